//! Gradients of one tile and block.

use super::{Image, Task};
use crate::selective_scan::cpu::plan::Tile;
use crate::simd::{LANES, Simd};

/// What the states need of the tokens of a tile, and what they leave there.
struct Tokens<S: Simd, const T: usize> {
    u: [S::V; T],
    delta: [S::V; T],
    /// Derivative of `delta` with respect to its raw value.
    slope: [S::V; T],
    /// `delta u`.
    drive: [S::V; T],
    /// Gradient of the output before the gate.
    grad_y: [S::V; T],
    /// Gradient of `delta u` through the input term.
    grad_drive: [S::V; T],
    /// Gradient of delta through the decay, times `log2(e)`.
    grad_decay: [S::V; T],
}

/// All states of a block, as [`States`].
struct AllStates<'a> {
    rate: &'a [[f32; LANES]],
    before: &'a [[f32; LANES]],
    grad: &'a mut [[f32; LANES]],
    grad_a: &'a mut [[f32; LANES]],
    bc: &'a [f32],
    grad_bc: &'a mut [[f32; LANES]],
}

/// `P` states of a block. One alone is a chain of dependent operations, back and forth through the
/// tile, which keeps the CPU waiting.
struct States<'a, const P: usize> {
    rate: &'a [[f32; LANES]; P],
    before: &'a [[f32; LANES]; P],
    /// Gradients of the states after the tile; become those of the states before it.
    grad: &'a mut [[f32; LANES]; P],
    /// Gradients of A; added to.
    grad_a: &'a mut [[f32; LANES]; P],
    /// Of every state: B of all tokens, then C.
    bc: &'a [f32],
    /// As `bc`: their gradients; added to.
    grad_bc: &'a mut [[f32; LANES]],
}

impl Task<'_, '_> {
    #[inline(always)]
    pub(super) fn tile<S: Simd, const T: usize>(
        &mut self,
        simd: S,
        index: usize,
        tile: &Tile,
        block: usize,
    ) {
        let Image { plan, operands, index: image, .. } = self.image;
        let own = block - self.blocks.start;
        let sums = self.sums.block_mut(index, own);
        let (grad_a, [grad_d, grad_bias]) =
            sums.split_last_chunk_mut::<2>().expect("two sums beside those of the states");
        let mut tokens = self.image.load::<S, T>(simd, index, tile, block);

        let mut sum = simd.load(grad_d);
        for t in 0..T {
            sum = simd.fma(tokens.grad_y[t], tokens.u[t], sum);
        }
        simd.store(sum, grad_d);

        let state_range = own * plan.state_len()..(own + 1) * plan.state_len();
        let of_tile = &self.workspace.states[tile.index * plan.task_blocks * plan.state_len()..];
        let states = AllStates {
            rate: operands.decay_rates(index, block),
            before: of_tile[state_range.clone()].as_chunks().0,
            grad: self.workspace.grad_states[state_range].as_chunks_mut().0,
            grad_a,
            bc: operands.bc(index, image, tile),
            grad_bc: self.workspace.grad_bc.as_chunks_mut().0,
        };
        if plan.shape.states.is_multiple_of(2) {
            tokens.walk_all::<2>(simd, states);
        } else {
            tokens.walk_all::<1>(simd, states);
        }

        let mut sum = simd.load(grad_bias);
        for t in 0..tile.steps.min(T) {
            let grad = self.image.store(simd, index, tile, t, block, &tokens);
            sum = simd.add(sum, grad);
        }
        simd.store(sum, grad_bias);
    }
}

impl Image<'_> {
    #[inline(always)]
    fn load<S: Simd, const T: usize>(
        &self,
        simd: S,
        index: usize,
        tile: &Tile,
        block: usize,
    ) -> Tokens<S, T> {
        let direction = &self.args.directions[index];
        let (channel, lanes) = (block * LANES, self.plan.lanes(block));
        let bias = simd.load_part(&direction.delta_bias[channel..][..lanes]);
        let zero = [simd.splat(0.0); T];
        let mut tokens = Tokens {
            u: zero,
            delta: zero,
            slope: zero,
            drive: zero,
            grad_y: zero,
            grad_drive: zero,
            grad_decay: zero,
        };
        for t in 0..tile.steps.min(T) {
            let row = self.plan.row(direction.order, self.index, tile, t);
            let at = row * self.plan.shape.channels + channel;
            let raw = simd.add(simd.load_part(&direction.delta_raw[at..][..lanes]), bias);
            tokens.u[t] = simd.load_part(&direction.u[at..][..lanes]);
            (tokens.delta[t], tokens.slope[t]) = simd.softplus_slope(raw);
            tokens.drive[t] = simd.mul(tokens.delta[t], tokens.u[t]);
            tokens.grad_y[t] = self.through_gate(simd, row, block, index == 0);
        }
        tokens
    }

    /// Gradient of the output before the gate; writes the gradient of the gate where `write_z`.
    #[inline(always)]
    fn through_gate<S: Simd>(&self, simd: S, row: usize, block: usize, write_z: bool) -> S::V {
        let (channel, lanes) = (block * LANES, self.plan.lanes(block));
        let at = row * self.plan.shape.channels + channel;
        let z = simd.load_part(&self.args.z.row(row)[channel..][..lanes]);
        let grad_gated = simd.load_part(&self.grad_gated[at..][..lanes]);
        let gate = simd.sigmoid(z);
        let silu = simd.mul(z, gate);
        if write_z {
            // silu'(z) = s + z s (1 - s)
            let slope = simd.fma(silu, simd.sub(simd.splat(1.0), gate), gate);
            let pre_gate = simd.load_part(&self.pre_gate[at..][..lanes]);
            let grad = simd.mul(simd.mul(grad_gated, pre_gate), slope);
            // SAFETY: these are this task's channels of this task's image; the slice dies here.
            let grad_z = unsafe { self.grad_z.part(row * self.grad_z_stride + channel, lanes) };
            simd.store_part(grad, grad_z);
        }
        simd.mul(simd.mul(grad_gated, silu), simd.splat(self.args.direction_sum))
    }

    /// Writes the gradients of `u` and `delta_raw` at a token and returns the latter.
    #[inline(always)]
    fn store<S: Simd, const T: usize>(
        &self,
        simd: S,
        index: usize,
        tile: &Tile,
        t: usize,
        block: usize,
        tokens: &Tokens<S, T>,
    ) -> S::V {
        let direction = &self.args.directions[index];
        let (channel, lanes) = (block * LANES, self.plan.lanes(block));
        let row = self.plan.row(direction.order, self.index, tile, t);
        let at = row * self.plan.shape.channels + channel;
        let d_skip = simd.load_part(&direction.d_skip[channel..][..lanes]);
        let skipped = simd.mul(tokens.grad_y[t], d_skip);
        let grad_u = simd.fma(tokens.grad_drive[t], tokens.delta[t], skipped);
        let through_decay = simd.mul(tokens.grad_decay[t], simd.splat(std::f32::consts::LN_2));
        let grad_delta = simd.fma(tokens.grad_drive[t], tokens.u[t], through_decay);
        let grad_raw = simd.mul(grad_delta, tokens.slope[t]);
        // SAFETY: these are this task's channels of this task's image, and the slice dies here.
        simd.store_part(grad_u, unsafe { self.grads[index].u.part(at, lanes) });
        // SAFETY: as above, of another buffer.
        simd.store_part(grad_raw, unsafe { self.grads[index].delta_raw.part(at, lanes) });
        grad_raw
    }
}

impl<S: Simd, const T: usize> Tokens<S, T> {
    #[inline(always)]
    fn walk_all<const P: usize>(&mut self, simd: S, states: AllStates<'_>) {
        let rate = states.rate.as_chunks::<P>().0.iter();
        let before = states.before.as_chunks::<P>().0;
        let grad = states.grad.as_chunks_mut::<P>().0;
        let grad_a = states.grad_a.as_chunks_mut::<P>().0;
        let bc = states.bc.chunks_exact(2 * T * P);
        let grad_bc = states.grad_bc.chunks_exact_mut(2 * T * P);
        for (((((rate, before), grad), grad_a), bc), grad_bc) in
            rate.zip(before).zip(grad).zip(grad_a).zip(bc).zip(grad_bc)
        {
            self.walk(simd, States { rate, before, grad, grad_a, bc, grad_bc });
        }
    }

    /// Walks states through the tile and their gradients back.
    #[inline(always)]
    fn walk<const P: usize>(&mut self, simd: S, states: States<'_, P>) {
        let zero = simd.splat(0.0);
        let (mut rate, mut h, mut grad, mut grad_a) = ([zero; P], [zero; P], [zero; P], [zero; P]);
        for p in 0..P {
            rate[p] = simd.load(&states.rate[p]);
            h[p] = simd.load(&states.before[p]);
            grad[p] = simd.load(&states.grad[p]);
            grad_a[p] = simd.load(&states.grad_a[p]);
        }
        let (mut decay, mut before) = ([[zero; P]; T], [[zero; P]; T]);
        for t in 0..T {
            for p in 0..P {
                decay[t][p] = simd.mul(self.delta[t], rate[p]);
            }
            decay[t] = simd.exp2_each(decay[t]);
            before[t] = h;
            for p in 0..P {
                let b = simd.splat(states.bc[2 * T * p + t]);
                h[p] = simd.fma(decay[t][p], h[p], simd.mul(self.drive[t], b));
            }
        }
        for t in (0..T).rev() {
            for p in 0..P {
                let (at_b, at_c) = (2 * T * p + t, 2 * T * p + T + t);
                let (b, c) = (simd.splat(states.bc[at_b]), simd.splat(states.bc[at_c]));
                grad[p] = simd.fma(self.grad_y[t], c, grad[p]);
                let grad_c = &mut states.grad_bc[at_c];
                simd.store(simd.fma(self.grad_y[t], h[p], simd.load(grad_c)), grad_c);
                let grad_b = &mut states.grad_bc[at_b];
                simd.store(simd.fma(grad[p], self.drive[t], simd.load(grad_b)), grad_b);
                self.grad_drive[t] = simd.fma(grad[p], b, self.grad_drive[t]);
                grad[p] = simd.mul(grad[p], decay[t][p]);
                h[p] = before[t][p];
                let grad_exponent = simd.mul(grad[p], h[p]);
                self.grad_decay[t] = simd.fma(grad_exponent, rate[p], self.grad_decay[t]);
                grad_a[p] = simd.fma(grad_exponent, self.delta[t], grad_a[p]);
            }
        }
        for p in 0..P {
            simd.store(grad[p], &mut states.grad[p]);
            simd.store(grad_a[p], &mut states.grad_a[p]);
        }
    }
}
