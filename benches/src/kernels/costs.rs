//! What a call costs at least: bytes of memory, exponentials, multiply-adds. All formulas are here.
//!
//! Bytes are those of activations, states and arenas, each read or written once; parameters of a
//! block and numbers per token are left out. An exponential is an instruction of the exp unit: 16
//! states and the step size of an element and order.

use super::shapes::{BlockShape, ProductShape, STATES, TILE};
use std::iter::Sum;
use std::ops::{Add, Mul};

/// Instructions of the exp unit for an element of one scan order.
pub const EXPS_PER_ELEMENT: f64 = 17.0;
/// The exp unit of a processor makes so many a clock.
pub const EXPS_PER_CLOCK: f64 = 16.0;

const F32: f64 = 4.0;
const ORDERS: f64 = 2.0;

/// What has to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Read from memory or written there.
    pub bytes: f64,
    /// Instructions of the exp unit.
    pub exps: f64,
    /// Of matrix products.
    pub flops: f64,
}

impl Cost {
    /// Of memory alone.
    pub fn bytes(bytes: f64) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Seconds that it takes where everything is at its ceiling, side by side.
    pub fn floor(&self, ceilings: &Ceilings) -> f64 {
        let Ceilings { bytes, exps, flops } = *ceilings;
        (self.bytes / bytes).max(self.exps / exps).max(self.flops / flops)
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            exps: self.exps + other.exps,
            flops: self.flops + other.flops,
        }
    }
}

impl Mul<f64> for Cost {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        let Self { bytes, exps, flops } = self;
        Self { bytes: times * bytes, exps: times * exps, flops: times * flops }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

/// The most of each in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Read plus written by a plain copy.
    pub bytes: f64,
    /// Instructions of the exp unit.
    pub exps: f64,
    /// Of a large matrix product.
    pub flops: f64,
}

/// Instructions of the exp units in a second.
pub fn exp_ceiling(processors: usize, clock: f64) -> f64 {
    EXPS_PER_CLOCK * processors as f64 * clock
}

/// A plain copy of so many bytes.
pub fn copy(bytes: usize) -> Cost {
    Cost::bytes(2.0 * bytes as f64)
}

/// `rows x terms` times `terms x cols`, all operands read and the result written once.
pub fn product(rows: usize, terms: usize, cols: usize, act: usize) -> Cost {
    let (m, k, n, act) = (rows as f64, terms as f64, cols as f64, act as f64);
    Cost { bytes: act * (m * k + k * n + m * n), exps: 0.0, flops: 2.0 * m * k * n }
}

/// A weight's gradient: as [`product`], added to a result in f32.
pub fn weight_gradient(p: &ProductShape, act: usize) -> Cost {
    let (rows, inputs, outputs) = (p.rows as f64, p.inputs as f64, p.outputs as f64);
    let bytes = act as f64 * rows * (inputs + outputs) + 2.0 * F32 * inputs * outputs;
    Cost { bytes, exps: 0.0, flops: 2.0 * rows * inputs * outputs }
}

/// The optimiser: parameters, two moments and an average updated, gradients read, and in bf16 the
/// parameters written once more.
pub fn adamw_ema(parameters: usize, act: usize) -> Cost {
    let copy = if act < 4 { act as f64 } else { 0.0 };
    Cost::bytes(parameters as f64 * (9.0 * F32 + copy))
}

/// A convolution with so many places in its kernel: pixels and weights read and the result written once.
pub fn conv2d(pixels: usize, [inputs, outputs]: [usize; 2], places: usize, act: usize) -> Cost {
    let [pixels, inputs, outputs, places] = [pixels, inputs, outputs, places].map(|n| n as f64);
    let weights = places * inputs * outputs;
    let bytes = act as f64 * (pixels * (inputs + outputs) + weights);
    Cost { bytes, exps: 0.0, flops: 2.0 * pixels * weights }
}

/// So many elements read once, and written.
pub fn pool2d(read: usize, written: usize, act: usize) -> Cost {
    Cost::bytes((act * (read + written)) as f64)
}

/// A norm with SiLU, which is an exponential and a reciprocal: the second reading is left out.
pub fn group_norm(elements: usize, act: usize) -> Cost {
    let elements = elements as f64;
    Cost { bytes: 2.0 * act as f64 * elements, exps: 2.0 * elements, flops: 0.0 }
}

/// Softmax in place, with an exponential for the sum and another for the result.
pub fn softmax_rows(elements: usize, act: usize) -> Cost {
    let elements = elements as f64;
    Cost { bytes: 2.0 * act as f64 * elements, exps: 2.0 * elements, flops: 0.0 }
}

/// Sum of squares in f32.
pub fn sum_squares(len: usize) -> Cost {
    Cost::bytes(F32 * len as f64)
}

/// An image read, noise and the mix of both written.
pub fn q_sample(elements: usize) -> Cost {
    Cost::bytes(3.0 * F32 * elements as f64)
}

/// Noise, variance, image and true noise read, the gradients of the first two written.
pub fn hybrid_loss(elements: usize) -> Cost {
    Cost::bytes(6.0 * F32 * elements as f64)
}

/// What the network says, image and noise read, the gradient written. The cosine reads them again, from
/// the cache.
pub fn squared_error_loss(elements: usize) -> Cost {
    Cost::bytes(4.0 * F32 * elements as f64)
}

/// Costs inside a block, for activations of `act` bytes.
#[derive(Clone, Copy, Debug)]
pub struct BlockCosts {
    /// Sizes.
    pub shape: BlockShape,
    /// Bytes of an element of an activation.
    pub act: usize,
}

impl BlockCosts {
    fn act(&self) -> f64 {
        self.act as f64
    }

    /// Bytes of so many activations inside the mixer.
    fn inner(&self, count: f64) -> f64 {
        count * self.act() * self.shape.elements() as f64
    }

    /// Bytes of so many activations outside, and of so many residual streams.
    fn outer(&self, activations: f64, residuals: f64) -> Cost {
        let per_element = activations * self.act() + residuals * F32;
        Cost::bytes(per_element * self.shape.outer_elements() as f64)
    }

    /// Bytes of `[B | C]` of both orders.
    fn bc(&self) -> f64 {
        ORDERS * self.act() * (self.shape.rows() * 2 * STATES) as f64
    }

    /// States that a value pass keeps.
    pub fn states(&self) -> usize {
        let tiles = self.shape.seq_len.div_ceil(TILE);
        2 * self.shape.batch * tiles.saturating_sub(1) * STATES * self.shape.inner()
    }

    fn exps(&self) -> f64 {
        ORDERS * EXPS_PER_ELEMENT * self.shape.elements() as f64
    }

    /// Value pass of both scans: `u` and `delta` of each order, gate and result.
    pub fn scan_forward(&self) -> Cost {
        Cost { bytes: self.inner(6.0) + self.bc(), exps: self.exps(), flops: 0.0 }
    }

    /// The same, which also writes the sum before the gate, and states.
    pub fn scan_forward_kept(&self) -> Cost {
        let kept = self.inner(1.0) + F32 * self.states() as f64;
        self.scan_forward() + Cost::bytes(kept)
    }

    /// Gradient pass of both scans: what the value pass read and kept and the gradient of the result;
    /// all gradients and the result once more.
    pub fn scan_backward(&self) -> Cost {
        let bytes = self.inner(13.0) + 2.0 * self.bc() + F32 * self.states() as f64;
        Cost { bytes, exps: self.exps(), flops: 0.0 }
    }

    /// One input, an output for each order.
    pub fn conv_forward(&self) -> Cost {
        Cost::bytes(self.inner(3.0))
    }

    /// Input and two gradients read, one written.
    pub fn conv_backward(&self) -> Cost {
        Cost::bytes(self.inner(4.0))
    }

    /// Branch and stream read, stream and normed branch written.
    pub fn add_rms_norm(&self) -> Cost {
        self.outer(2.0, 2.0)
    }

    /// Stream and its gradient and that of the normed branch read, two gradients written.
    pub fn add_rms_norm_backward(&self) -> Cost {
        self.outer(2.0, 3.0)
    }

    /// One read, one written.
    pub fn layer_norm_modulate(&self) -> Cost {
        self.outer(2.0, 0.0)
    }

    /// Value and gradient read, one written.
    pub fn layer_norm_modulate_backward(&self) -> Cost {
        self.outer(3.0, 0.0)
    }

    /// A step between operators that moves so many activations.
    pub fn elementwise(&self, activations: f64) -> Cost {
        self.outer(activations, 0.0)
    }

    /// Every operator of a block's value pass.
    pub fn forward(&self, keeps: bool) -> Vec<Cost> {
        let scan = if keeps { self.scan_forward_kept() } else { self.scan_forward() };
        let products = self.shape.products();
        let products = products.iter().map(|p| self.value(p) * p.times as f64);
        [self.add_rms_norm(), self.conv_forward(), scan].into_iter().chain(products).collect()
    }

    /// Every operator of a block's gradient pass.
    pub fn backward(&self) -> Vec<Cost> {
        let own = [self.add_rms_norm_backward(), self.conv_backward(), self.scan_backward()];
        let products = self.shape.products();
        let products = products.iter().flat_map(|p| {
            let times = p.times as f64;
            [self.value(p) * times, weight_gradient(p, self.act) * times]
        });
        own.into_iter().chain(products).collect()
    }

    fn value(&self, p: &ProductShape) -> Cost {
        product(p.rows, p.inputs, p.outputs, self.act)
    }

    /// Both products of a skip connection, one after the other.
    fn skip(&self) -> [Cost; 2] {
        let [.., p] = self.shape.products();
        [self.value(&p); 2]
    }

    /// Least seconds of a value pass of `blocks` blocks, `skips` of them with a skip connection.
    /// Embeddings and head are left out.
    pub fn forward_floor(&self, blocks: usize, skips: usize, ceilings: &Ceilings) -> f64 {
        let floor = |costs: &[Cost]| costs.iter().map(|cost| cost.floor(ceilings)).sum::<f64>();
        blocks as f64 * floor(&self.forward(false)) + skips as f64 * floor(&self.skip())
    }

    /// Least seconds of a training step.
    pub fn training_floor(
        &self,
        blocks: usize,
        skips: usize,
        parameters: usize,
        ceilings: &Ceilings,
    ) -> f64 {
        let floor = |costs: &[Cost]| costs.iter().map(|cost| cost.floor(ceilings)).sum::<f64>();
        let block = floor(&self.forward(true)) + floor(&self.backward());
        let step = [sum_squares(parameters), adamw_ema(parameters, self.act)];
        blocks as f64 * block + skips as f64 * 3.0 * floor(&self.skip()) + floor(&step)
    }
}

#[cfg(test)]
mod tests {
    use super::super::shapes::TRAINING;
    use super::*;

    fn near(what: &str, got: f64, want: f64) {
        assert!((got / want - 1.0).abs() < 0.02, "{what}: {got:e}, expected {want:e}");
    }

    /// An H200: 132 processors at 1.98 GHz, 4.3 TB/s, 790 TFLOP/s.
    fn ceilings() -> Ceilings {
        Ceilings { bytes: 4.3e12, exps: exp_ceiling(132, 1.98e9), flops: 790e12 }
    }

    fn bf16(shape: BlockShape) -> BlockCosts {
        BlockCosts { shape, act: 2 }
    }

    #[test]
    fn scans_cost_what_a_calculation_by_hand_says() {
        let [small, _, huge, long] = TRAINING.map(bf16);
        // 25.3, 25.4 and 100.9 million elements of 12 bytes.
        for (costs, giga_bytes, exp_micros, copy_micros) in
            [(small, 0.31, 205.7, 72.5), (huge, 0.305, 206.0, 71.0), (long, 1.215, 820.0, 282.0)]
        {
            let forward = costs.scan_forward();
            near("bytes", forward.bytes, giga_bytes * 1e9);
            near("exps", 1e6 * forward.exps / ceilings().exps, exp_micros);
            near("copy", 1e6 * forward.bytes / ceilings().bytes, copy_micros);
            assert_eq!(forward.floor(&ceilings()), forward.exps / ceilings().exps);
        }
        near("states", 4.0 * small.states() as f64, 0.2e9);
        let kept = small.scan_forward_kept().bytes - small.scan_forward().bytes;
        near("kept", kept, 0.2e9 + 2.0 * 25.27e6);
        near("gradients", small.scan_backward().bytes, 26.0 * 25.27e6 + 0.2e9 + 8.4e6);
    }

    #[cfg(feature = "device")]
    #[test]
    fn kept_states_are_as_many_as_the_operator_asks_for() {
        use ssm_kernels::selective_scan::{Shape, device::states_len};
        for costs in TRAINING.map(bf16) {
            let BlockShape { batch, seq_len, .. } = costs.shape;
            let channels = costs.shape.inner();
            let shape = Shape { batch, seq_len, channels, states: STATES };
            assert_eq!(costs.states(), states_len(shape, 2));
        }
    }

    #[test]
    fn products_of_a_block_are_those_of_the_network() {
        let network = crate::s384(32, 0);
        let costs = bf16(TRAINING[0]);
        let block: Cost = costs.forward(false).into_iter().sum();
        let skips: Cost = costs.skip().into_iter().sum();
        let flops = 25.0 * block.flops + 12.0 * skips.flops;
        let share = flops / (128.0 * dis_model::counts::gemm_flops(&network));
        // The network counts its convolutions, embeddings and head besides.
        assert!((0.97..1.0).contains(&share), "{share}");
        // 84 microseconds of products a block.
        near("block", 1e6 * block.flops / ceilings().flops, 84.0);
        let training: f64 = costs.backward().iter().map(|cost| cost.flops).sum();
        assert_eq!(training, 2.0 * block.flops);
    }

    #[test]
    fn convolutions_cost_what_a_calculation_by_hand_says() {
        let cost = conv2d(128, [3, 5], 9, 2);
        assert_eq!(cost, Cost { bytes: 2318.0, exps: 0.0, flops: 34_560.0 });
        assert_eq!(pool2d(75, 12, 4), Cost::bytes(348.0));
    }

    #[test]
    fn norms_and_optimiser_move_what_their_tables_list() {
        let (costs, elements) = (bf16(TRAINING[0]), TRAINING[0].outer_elements() as f64);
        assert_eq!(costs.add_rms_norm().bytes, 12.0 * elements);
        assert_eq!(costs.add_rms_norm_backward().bytes, 16.0 * elements);
        assert_eq!(costs.layer_norm_modulate().bytes, 4.0 * elements);
        assert_eq!(costs.layer_norm_modulate_backward().bytes, 6.0 * elements);
        assert_eq!(costs.conv_forward().bytes, 12.0 * elements);
        assert_eq!(costs.conv_backward().bytes, 16.0 * elements);
        assert_eq!((adamw_ema(10, 2).bytes, adamw_ema(10, 4).bytes), (380.0, 360.0));
        assert_eq!((q_sample(10).bytes, hybrid_loss(10).bytes), (120.0, 240.0));
        assert_eq!((copy(10).bytes, sum_squares(10).bytes), (20.0, 40.0));
        let product = product(2, 3, 5, 2);
        assert_eq!((product.bytes, product.flops), (62.0, 60.0));
    }

    #[test]
    fn a_floor_is_that_of_the_slowest_unit() {
        let ceilings = Ceilings { bytes: 1.0, exps: 2.0, flops: 4.0 };
        assert_eq!(Cost { bytes: 3.0, exps: 8.0, flops: 4.0 }.floor(&ceilings), 4.0);
        let forward = bf16(TRAINING[0]).forward_floor(25, 12, &self::ceilings());
        let training = bf16(TRAINING[0]).training_floor(25, 12, 33_000_000, &self::ceilings());
        assert!((0.005..0.02).contains(&forward), "{forward}");
        assert!((2.0 * forward..4.0 * forward).contains(&training), "{training} and {forward}");
    }
}
