//! Gradients of one tile and block.

use super::{GROUP, Image, Task};
use crate::selective_scan::cpu::plan::{Rows, Tile};
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

/// One state of a block.
struct State<'a> {
    rate: &'a [f32; LANES],
    /// B of all tokens, then C.
    bc: &'a [f32],
    /// The state before the tile.
    before: &'a [f32; LANES],
    /// Gradient of the state after the tile; becomes that of the state before it.
    grad: &'a mut [f32; LANES],
    /// Gradient of A; added to.
    grad_a: &'a mut [f32; LANES],
    /// Gradients of B of all tokens, then C; added to.
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
        let sums = self.sums[own / GROUP].block_mut(index, own % GROUP);
        let (grad_a, [grad_d, grad_bias]) =
            sums.split_last_chunk_mut::<2>().expect("two sums beside those of the states");
        let mut tokens = self.image.load::<S, T>(simd, index, tile, block);
        if block + 1 < self.blocks.end {
            self.image.prefetch(simd, index, (*tile, block + 1));
        } else if tile.index > 0 {
            self.image.prefetch(simd, index, (plan.tile(tile.index - 1), self.blocks.start));
        }

        let mut sum = simd.splat(0.0);
        for t in 0..T {
            sum = simd.fma(tokens.grad_y[t], tokens.u[t], sum);
        }
        simd.store(simd.add(simd.load(grad_d), sum), grad_d);

        let state_range = own * plan.state_len()..(own + 1) * plan.state_len();
        let before = self.image.states_before(index, tile.index, block).as_chunks().0;
        let grads = self.workspace.grad_states[state_range].as_chunks_mut().0;
        let rates = operands.decay_rates(index, block);
        let bc = operands.bc(index, image, tile).chunks_exact(2 * T);
        let grad_bc = self.workspace.grad_bc.as_chunks_mut().0.chunks_exact_mut(2 * T);
        let states = rates.iter().zip(bc).zip(before).zip(grads).zip(grad_a).zip(grad_bc);
        for (((((rate, bc), before), grad), grad_a), grad_bc) in states {
            tokens.walk(simd, State { rate, bc, before, grad, grad_a, grad_bc });
        }

        let mut sum = simd.splat(0.0);
        for t in 0..tile.steps.min(T) {
            let grad = self.image.store(simd, index, tile, t, block, &tokens);
            sum = simd.add(sum, grad);
        }
        simd.store(simd.add(simd.load(grad_bias), sum), grad_bias);
    }
}

impl Image<'_> {
    /// `[N, LANES]`: the states of a block before a tile.
    #[inline(always)]
    fn states_before(&self, index: usize, tile: usize, block: usize) -> &[f32] {
        let Some(last) = tile.checked_sub(1) else {
            return self.start;
        };
        let at = self.plan.kept_states(index, self.index, last, block);
        &self.kept.states[at..][..self.plan.state_len()]
    }

    /// Asks for what [`Image::load`] and [`Image::store`] will touch.
    #[inline(always)]
    fn prefetch<S: Simd>(&self, simd: S, index: usize, next: (Tile, usize)) {
        let direction = &self.args.directions[index];
        let activation = |start| Rows::new(start, self.plan.shape.channels);
        let operands = [
            activation(direction.u.as_ptr()),
            activation(direction.delta_raw.as_ptr()),
            activation(self.grad_gated.as_ptr()),
            Rows::new(self.args.z.data.as_ptr(), self.args.z.row_stride),
            activation(self.grads[index].u.address()),
            activation(self.grads[index].delta_raw.address()),
            activation(self.kept.pre_gate.as_ptr()),
            Rows::new(self.grad_z.address(), self.grad_z_stride),
        ];
        // The gradient of the gate is written with the first scan order.
        let operands = if index == 0 { &operands } else { &operands[..6] };
        self.plan.prefetch(simd, direction.order, self.index, next, operands);
    }

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
            let pre_gate = simd.load_part(&self.kept.pre_gate[at..][..lanes]);
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
    /// Walks a state through the tile and its gradient back.
    #[inline(always)]
    fn walk(&mut self, simd: S, state: State<'_>) {
        let rate = simd.load(state.rate);
        let (b, c) = state.bc.split_at(T);
        let (grad_b, grad_c) = state.grad_bc.split_at_mut(T);
        let mut h = simd.load(state.before);
        let (mut decay, mut before) = ([h; T], [h; T]);
        for t in 0..T {
            decay[t] = simd.exp2(simd.mul(self.delta[t], rate));
            before[t] = h;
            h = simd.fma(decay[t], h, simd.mul(self.drive[t], simd.splat(b[t])));
        }
        let mut grad = simd.load(state.grad);
        let mut grad_a = simd.splat(0.0);
        for t in (0..T).rev() {
            grad = simd.fma(self.grad_y[t], simd.splat(c[t]), grad);
            let sum = simd.fma(self.grad_y[t], h, simd.load(&grad_c[t]));
            simd.store(sum, &mut grad_c[t]);
            let sum = simd.fma(grad, self.drive[t], simd.load(&grad_b[t]));
            simd.store(sum, &mut grad_b[t]);
            self.grad_drive[t] = simd.fma(grad, simd.splat(b[t]), self.grad_drive[t]);
            h = before[t];
            grad = simd.mul(grad, decay[t]);
            let grad_exponent = simd.mul(grad, h);
            self.grad_decay[t] = simd.fma(grad_exponent, rate, self.grad_decay[t]);
            grad_a = simd.fma(grad_exponent, self.delta[t], grad_a);
        }
        simd.store(grad, state.grad);
        simd.store(simd.add(simd.load(state.grad_a), grad_a), state.grad_a);
    }
}
