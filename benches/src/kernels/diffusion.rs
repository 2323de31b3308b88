//! Noising and the loss, in f32.

use super::case::{Call, Case, Lab};
use super::costs::{hybrid_loss, q_sample};
use ssm_kernels::device::diffusion::{
    Draw, HybridLoss, LossOutput, LossRow, QSample, QSampleOutput, hybrid_loss as loss_of,
    q_sample as noised,
};
use ssm_kernels::device::{Activation, DeviceBuffer, Driver};
use ssm_kernels::{Backend, KernelError, Storage};

/// A timestep in the middle of the usual schedule, roughly.
const ROW: LossRow = LossRow {
    error_slope: 1e-3,
    mean_slope: 1e-6,
    variance_slope: 1e-6,
    half_range: 0.01,
    log_variance: -4.6,
    precision: 0.1,
    noise_per_data: 2.0,
    is_first: false,
};

fn noising<A: Activation, D: Driver>(
    lab: &Lab<A, D>,
    batch: usize,
    elements: usize,
) -> Result<Call, KernelError> {
    let device = lab.device.clone();
    let len = batch * elements;
    let x0 = lab.wide(1, len, |x| x)?;
    let (mut x_t, mut noise) = (lab.wide_zeros(len)?, lab.wide_zeros(len)?);
    let positions: Vec<u64> = (0..batch as u64).collect();
    let levels = vec![[0.8, 0.6]; batch];
    Ok(Box::new(move || {
        let draw = Draw { seed: 0, purpose: 1, sub: 0, positions: &positions };
        let args = QSample { draw, levels: &levels, x0: x0.view() };
        let out = QSampleOutput { x_t: x_t.view_mut(), noise: noise.view_mut() };
        noised(&device, &args, out)
    }))
}

fn loss<A: Activation, D: Driver>(
    lab: &Lab<A, D>,
    batch: usize,
    elements: usize,
) -> Result<Call, KernelError> {
    let device = lab.device.clone();
    let len = batch * elements;
    let (x0, noise) = (lab.wide(1, len, |x| 0.3 * x)?, lab.wide(2, len, |x| x)?);
    let output = lab.wide(3, 2 * len, |x| x)?;
    let mut grad_output = lab.wide_zeros(2 * len)?;
    let mut terms: DeviceBuffer<f64, D> = device.zeros(2 * batch)?;
    let rows = vec![ROW; batch];
    Ok(Box::new(move || {
        let (x0, noise) = (x0.view(), noise.view());
        let args = HybridLoss { rows: &rows, output: output.view(), x0, noise };
        let out = LossOutput { grad_output: grad_output.view_mut(), terms: terms.view_mut() };
        loss_of(&device, &args, out)
    }))
}

pub(super) fn cases<A: Activation, D: Driver>(
    lab: &Lab<A, D>,
    name: &'static str,
    batch: usize,
    elements: usize,
) -> Vec<Case> {
    let (shape, len) = (format!("{batch}x{name}"), batch * elements);
    vec![
        lab.case("q_sample", &*shape, q_sample(len), move |lab| noising(lab, batch, elements)),
        lab.case("hybrid_loss", &*shape, hybrid_loss(len), move |lab| loss(lab, batch, elements)),
    ]
}
