//! The optimiser and the norm of the gradient.

use super::case::{Call, Case, Lab};
use super::costs::{adamw_ema, sum_squares};
use ssm_kernels::adamw_ema::{Arenas, Average, Hyper};
use ssm_kernels::device::{Activation, Device, DeviceBuffer, Driver, Format, OnDevice};
use ssm_kernels::sum_squares::device::sum_squares as add_squares;
use ssm_kernels::{Backend, KernelError, Storage};

/// A step so small that parameters stay what they are while many are timed.
const HYPER: Hyper<'static> = Hyper {
    lr: 1e-6,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.0,
    step: 100,
    grad_factor: 1.0,
    no_decay: &[],
};

struct Step<A: Activation, D: Driver> {
    device: Device<A, D>,
    params: DeviceBuffer<f32, D>,
    grads: DeviceBuffer<f32, D>,
    m: DeviceBuffer<f32, D>,
    v: DeviceBuffer<f32, D>,
    ema: DeviceBuffer<f32, D>,
    compute: Option<DeviceBuffer<A, D>>,
}

impl<A: Activation, D: Driver> Step<A, D> {
    fn new(lab: &Lab<A, D>, parameters: usize) -> Result<Self, KernelError> {
        let has_copy = A::FORMAT == Format::Bf16;
        Ok(Self {
            params: lab.wide(1, parameters, |x| x)?,
            grads: lab.wide(2, parameters, |x| x)?,
            m: lab.wide(3, parameters, |x| x)?,
            v: lab.wide(4, parameters, |x| x * x)?,
            ema: lab.wide(1, parameters, |x| x)?,
            compute: has_copy.then(|| lab.act_zeros(parameters)).transpose()?,
            device: lab.device.clone(),
        })
    }

    fn run(&mut self) -> Result<(), KernelError> {
        let average = Average::<f32, OnDevice<D>> { decay: 0.9999, values: self.ema.view_mut() };
        let arenas = Arenas {
            params: self.params.view_mut(),
            grads: self.grads.view(),
            m: self.m.view_mut(),
            v: self.v.view_mut(),
            averages: &mut [average],
            compute_copy: self.compute.as_mut().map(|copy| copy.view_mut()),
        };
        self.device.adamw_ema(&HYPER, arenas)
    }
}

pub(super) fn cases<A: Activation, D: Driver>(lab: &Lab<A, D>, parameters: usize) -> Vec<Case> {
    let shape = format!("{} M", parameters / 1_000_000);
    let act = Lab::<A, D>::act_bytes();
    let mut cases = vec![lab.case("adamw_ema", &*shape, adamw_ema(parameters, act), move |lab| {
        let mut step = Step::new(lab, parameters)?;
        Ok(Box::new(move || step.run()) as Call)
    })];
    // Gradients are f32 whatever the activations are.
    if A::FORMAT == Format::F32 {
        cases.push(lab.case("sum_squares", &*shape, sum_squares(parameters), move |lab| {
            let (device, grads) = (lab.device.clone(), lab.wide(1, parameters, |x| x)?);
            let mut sum: DeviceBuffer<f64, D> = device.zeros(1)?;
            Ok(Box::new(move || add_squares(&device, grads.view(), sum.view_mut())) as Call)
        }));
    }
    cases
}
