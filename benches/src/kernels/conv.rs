//! The causal convolution of both orders, on half of a wider row.

use super::case::{Call, Case, Lab, label};
use super::costs::BlockCosts;
use super::shapes::{BlockShape, TAPS};
use ssm_kernels::causal_conv1d::{Args, Direction, DirectionGrads, Grads, Shape};
use ssm_kernels::device::{Activation, Device, DeviceBuffer, Driver, OnDevice};
use ssm_kernels::{Backend, KernelError, ScanOrder, Storage};

const ORDERS: [ScanOrder; 2] = [ScanOrder::LeftToRight, ScanOrder::RightToLeft];

struct Conv<A: Activation, D: Driver> {
    device: Device<A, D>,
    shape: BlockShape,
    /// `[B, L, 2E]`, and its gradient.
    xz: DeviceBuffer<A, D>,
    grad_xz: DeviceBuffer<A, D>,
    /// Per order: parameters, their gradients, the result or what reaches it.
    params: [Params<D>; 2],
    grads: [Params<D>; 2],
    outs: [DeviceBuffer<A, D>; 2],
}

struct Params<D: Driver> {
    weight: DeviceBuffer<f32, D>,
    bias: DeviceBuffer<f32, D>,
}

impl<D: Driver> Params<D> {
    fn new<A: Activation>(
        lab: &Lab<A, D>,
        channels: usize,
        seed: u64,
    ) -> Result<Self, KernelError> {
        let weight = lab.wide(seed, channels * TAPS, |x| x)?;
        Ok(Self { weight, bias: lab.wide(seed + 1, channels, |x| x)? })
    }

    fn view(&self, order: ScanOrder) -> Direction<'_, f32, OnDevice<D>> {
        Direction { order, weight: self.weight.view(), bias: self.bias.view() }
    }

    fn view_mut(&mut self) -> DirectionGrads<'_, f32, OnDevice<D>> {
        DirectionGrads { weight: self.weight.view_mut(), bias: self.bias.view_mut() }
    }
}

impl<A: Activation, D: Driver> Conv<A, D> {
    fn new(lab: &Lab<A, D>, shape: BlockShape) -> Result<Self, KernelError> {
        let params = |seed| Params::new(lab, shape.inner(), seed);
        Ok(Self {
            xz: lab.act(1, 2 * shape.elements())?,
            grad_xz: lab.act_zeros(2 * shape.elements())?,
            params: [params(2)?, params(4)?],
            grads: [params(6)?, params(8)?],
            outs: [lab.act(10, shape.elements())?, lab.act(11, shape.elements())?],
            device: lab.device.clone(),
            shape,
        })
    }

    fn forward(&mut self) -> Result<(), KernelError> {
        let directions = [0, 1].map(|i| self.params[i].view(ORDERS[i]));
        let args = args(&self.shape, &self.xz, &directions);
        self.device.causal_conv1d(&args, &mut self.outs.each_mut().map(|out| out.view_mut()))
    }

    fn backward(&mut self) -> Result<(), KernelError> {
        let directions = [0, 1].map(|i| self.params[i].view(ORDERS[i]));
        let args = args(&self.shape, &self.xz, &directions);
        let grad_outs = self.outs.each_ref().map(|out| out.view());
        let x = self.grad_xz.columns_mut(self.shape.rows(), 0..self.shape.inner());
        let mut grads = self.grads.each_mut().map(Params::view_mut);
        let grads = Grads { x, directions: &mut grads };
        self.device.causal_conv1d_backward(&args, &grad_outs, grads, &mut ())
    }
}

fn args<'a, A: Activation, D: Driver>(
    s: &BlockShape,
    xz: &'a DeviceBuffer<A, D>,
    directions: &'a [Direction<'a, f32, OnDevice<D>>],
) -> Args<'a, A, f32, OnDevice<D>> {
    let shape = Shape { batch: s.batch, seq_len: s.seq_len, channels: s.inner(), width: TAPS };
    Args { shape, x: xz.columns(s.rows(), 0..s.inner()), directions }
}

pub(super) fn cases<A: Activation, D: Driver>(lab: &Lab<A, D>, s: BlockShape) -> Vec<Case> {
    let costs = BlockCosts { shape: s, act: Lab::<A, D>::act_bytes() };
    let shape = label(&s, s.inner());
    vec![
        lab.case("causal_conv1d", &*shape, costs.conv_forward(), move |lab| {
            let mut conv = Conv::new(lab, s)?;
            Ok(Box::new(move || conv.forward()) as Call)
        }),
        lab.case("causal_conv1d backward", &*shape, costs.conv_backward(), move |lab| {
            let mut conv = Conv::new(lab, s)?;
            Ok(Box::new(move || conv.backward()) as Call)
        }),
    ]
}
