//! The selective scan of DiS-S/2 in both orders, with operands and results.

use crate::{BATCH, random};
use ssm_kernels::selective_scan::{
    Args, Direction, DirectionGrads, Grads, Kept, KeptMut, Output, Shape,
};
use ssm_kernels::{Backend, Buffer, Cpu, KernelError, Mat, MatMut, ScanOrder, Scratch};

const SHAPE: Shape = Shape { batch: BATCH, seq_len: 257, channels: 768, states: 16 };
const ROWS: usize = SHAPE.batch * SHAPE.seq_len;
const ACTIVATION: usize = ROWS * SHAPE.channels;
const ORDERS: [ScanOrder; 2] = [ScanOrder::LeftToRight, ScanOrder::RightToLeft];

/// Scans of 8 images, 257 tokens, 768 channels, 16 states.
pub struct Scan {
    operands: Operands,
    gated: Buffer<f32>,
    pre_gate: Buffer<f32>,
    states: Buffer<f32>,
    grad_gated: Buffer<f32>,
    grads: [OrderGrads; 2],
    grad_z: Buffer<f32>,
    scratch: Scratch<f32>,
}

/// Both orders read the same ones.
struct Operands {
    u: Buffer<f32>,
    delta: Buffer<f32>,
    bc: Buffer<f32>,
    z: Buffer<f32>,
    a_log: Vec<f32>,
    d_skip: Buffer<f32>,
    delta_bias: Vec<f32>,
}

/// Gradients of one order's operands.
struct OrderGrads {
    u: Buffer<f32>,
    delta: Buffer<f32>,
    bc: Buffer<f32>,
    a_log: Buffer<f32>,
    d_skip: Buffer<f32>,
    delta_bias: Buffer<f32>,
}

impl Operands {
    fn new() -> Self {
        let decays = (0..SHAPE.channels * SHAPE.states).map(|i| i % SHAPE.states + 1);
        Self {
            u: random(1, ACTIVATION),
            delta: random(2, ACTIVATION),
            bc: random(3, ROWS * 2 * SHAPE.states),
            z: random(4, ACTIVATION),
            a_log: decays.map(|rate| (rate as f32).ln()).collect(),
            d_skip: random(5, SHAPE.channels),
            delta_bias: vec![-4.0; SHAPE.channels],
        }
    }

    fn directions(&self) -> [Direction<'_, f32>; 2] {
        ORDERS.map(|order| Direction::<f32> {
            order,
            u: &self.u,
            delta_raw: &self.delta,
            bc: Mat::new(&self.bc, ROWS, 2 * SHAPE.states),
            a_log: &self.a_log,
            d_skip: &self.d_skip,
            delta_bias: &self.delta_bias,
        })
    }

    fn args<'a>(&'a self, directions: &'a [Direction<'a, f32>]) -> Args<'a, f32> {
        let z = Mat::new(&self.z, ROWS, SHAPE.channels);
        Args { shape: SHAPE, directions, z, direction_sum: 1.0 }
    }
}

impl OrderGrads {
    fn new() -> Self {
        Self {
            u: Buffer::zeros(ACTIVATION),
            delta: Buffer::zeros(ACTIVATION),
            bc: Buffer::zeros(ROWS * 2 * SHAPE.states),
            a_log: Buffer::zeros(SHAPE.channels * SHAPE.states),
            d_skip: Buffer::zeros(SHAPE.channels),
            delta_bias: Buffer::zeros(SHAPE.channels),
        }
    }

    fn views(&mut self) -> DirectionGrads<'_, f32> {
        DirectionGrads {
            u: &mut self.u,
            delta_raw: &mut self.delta,
            bc: MatMut::new(&mut self.bc, ROWS, 2 * SHAPE.states),
            a_log: &mut self.a_log,
            d_skip: &mut self.d_skip,
            delta_bias: &mut self.delta_bias,
        }
    }
}

impl Scan {
    /// Random operands.
    #[allow(clippy::new_without_default, reason = "100 MB are no default")]
    pub fn new() -> Self {
        Self {
            operands: Operands::new(),
            gated: Buffer::zeros(ACTIVATION),
            pre_gate: Buffer::zeros(ACTIVATION),
            states: Buffer::zeros(Cpu.selective_scan_states_len(SHAPE, ORDERS.len())),
            grad_gated: random(6, ACTIVATION),
            grads: [OrderGrads::new(), OrderGrads::new()],
            grad_z: Buffer::zeros(ACTIVATION),
            scratch: Scratch::new(),
        }
    }

    /// `8x257x768x16`.
    pub fn shape() -> String {
        let Shape { batch, seq_len, channels, states } = SHAPE;
        format!("{batch}x{seq_len}x{channels}x{states}")
    }

    /// Bytes of the activations that a value pass reads and writes: `u` and `delta` of each order,
    /// the gate, the result.
    pub fn value_bytes() -> usize {
        6 * ACTIVATION * size_of::<f32>()
    }

    /// Value pass as in sampling.
    ///
    /// # Errors
    /// None with the operands made here.
    pub fn forward(&mut self) -> Result<(), KernelError> {
        let directions = self.operands.directions();
        let args = self.operands.args(&directions);
        let out = Output::<f32> { gated: &mut self.gated, kept: None };
        Cpu.selective_scan(&args, out, &mut self.scratch)
    }

    /// Value pass that a gradient pass can follow.
    ///
    /// # Errors
    /// None with the operands made here.
    pub fn forward_keeping(&mut self) -> Result<(), KernelError> {
        let directions = self.operands.directions();
        let args = self.operands.args(&directions);
        let kept = KeptMut::<f32> { pre_gate: &mut self.pre_gate, states: &mut self.states };
        let out = Output::<f32> { gated: &mut self.gated, kept: Some(kept) };
        Cpu.selective_scan(&args, out, &mut self.scratch)
    }

    /// Gradient pass after [`Scan::forward_keeping`].
    ///
    /// # Errors
    /// None with the operands made here.
    pub fn backward(&mut self) -> Result<(), KernelError> {
        let directions = self.operands.directions();
        let args = self.operands.args(&directions);
        let mut grad_views = self.grads.each_mut().map(OrderGrads::views);
        let z = MatMut::new(&mut self.grad_z, ROWS, SHAPE.channels);
        let grads = Grads { directions: &mut grad_views, z, gated: &mut self.gated };
        let kept = Kept::<f32> { pre_gate: &self.pre_gate, states: &self.states };
        Cpu.selective_scan_backward(&args, kept, &self.grad_gated, grads, &mut self.scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_passes_run_and_keeping_changes_nothing() {
        let mut scan = Scan::new();
        scan.forward().unwrap();
        let plain = scan.gated.clone();
        scan.forward_keeping().unwrap();
        assert!(*plain == *scan.gated && plain.iter().all(|y| y.is_finite()));
        scan.backward().unwrap();
        assert!(scan.grads.iter().all(|order| order.u.iter().any(|g| *g != 0.0)));
    }
}
