//! Gradients of one tile and block.

use super::{GROUP, Image, Task};
use crate::selective_scan::cpu::plan::{Rows, Tile};
use crate::simd::{LANES, Simd};

/// States that are walked side by side.
const PAIR: usize = 2;

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

/// Some states of a block; the outer length of every slice is their number.
struct States<'a, const T: usize> {
    rates: &'a [[f32; LANES]],
    /// B of all tokens, then C.
    bc: &'a [[[f32; T]; 2]],
    /// The states before the tile.
    before: &'a [[f32; LANES]],
    /// Gradients of the states after the tile; become those of the states before it.
    grads: &'a mut [[f32; LANES]],
    /// Gradients of A; added to.
    grad_a: &'a mut [[f32; LANES]],
    /// Gradients of B of all tokens, then C; added to.
    grad_bc: &'a mut [[[[f32; LANES]; T]; 2]],
}

impl Task<'_, '_, '_> {
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
        tokens.walk_all(
            simd,
            States {
                rates: operands.decay_rates(index, block),
                bc: operands.bc(index, image, tile).as_chunks().0.as_chunks().0,
                before,
                grads: self.workspace.grad_states[state_range].as_chunks_mut().0,
                grad_a,
                grad_bc: self
                    .workspace
                    .grad_bc
                    .as_chunks_mut()
                    .0
                    .as_chunks_mut()
                    .0
                    .as_chunks_mut()
                    .0,
            },
        );

        let mut sum = simd.splat(0.0);
        for t in 0..tile.steps.min(T) {
            let grad = self.image.store(simd, index, tile, t, block, &tokens);
            sum = simd.add(sum, grad);
        }
        simd.store(simd.add(simd.load(grad_bias), sum), grad_bias);
    }
}

impl Image<'_, '_> {
    /// `[N, LANES]`: the states of a block before a tile.
    #[inline(always)]
    fn states_before(&self, index: usize, tile: usize, block: usize) -> &[f32] {
        let Some(last) = tile.checked_sub(1) else {
            return self.start;
        };
        let at = self.plan.kept_states(index, self.index, last, block);
        &self.states[at..][..self.plan.state_len()]
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
            activation(self.pre_gate.as_ptr()),
            Rows::new(self.grad_z.address(), self.grad_z_stride),
            activation(self.gated.address()),
        ];
        // The gradient of the gate and the gated output are written with the first scan order.
        let operands = if index == 0 { &operands } else { &operands[..6] };
        self.plan.prefetch(simd, direction.order, self.index, next, operands);
        let (tile, block) = next;
        let states = self.states_before(index, tile.index, block);
        for state in states.as_chunks::<LANES>().0 {
            simd.prefetch(state.as_ptr());
        }
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

    /// Gradient of the output before the gate; writes the gradient of the gate and the gated output
    /// where `write_z`.
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
            // SAFETY: as above, of another buffer.
            let gated = unsafe { self.gated.part(at, lanes) };
            simd.store_part(simd.mul(pre_gate, silu), gated);
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
    /// Walks all states of a block through the tile and their gradients back.
    #[inline(always)]
    fn walk_all(&mut self, simd: S, mut states: States<'_, T>) {
        while states.rates.len() >= PAIR {
            let (pair, rest) = states.split_at(PAIR);
            self.walk::<PAIR>(simd, pair);
            states = rest;
        }
        if !states.rates.is_empty() {
            self.walk::<1>(simd, states);
        }
    }

    /// Walks `K` states side by side, since each waits for its own results most of the time.
    #[inline(always)]
    fn walk<const K: usize>(&mut self, simd: S, states: States<'_, T>) {
        let States { rates, bc, before, grads, grad_a, grad_bc } = states;
        let zero = simd.splat(0.0);
        let (mut rate, mut h) = ([zero; K], [zero; K]);
        for k in 0..K {
            rate[k] = simd.load(&rates[k]);
            h[k] = simd.load(&before[k]);
        }
        let (mut decay, mut before) = ([[zero; T]; K], [[zero; T]; K]);
        for t in 0..T {
            for k in 0..K {
                let [b, _] = &bc[k];
                decay[k][t] = simd.exp2(simd.mul(self.delta[t], rate[k]));
                before[k][t] = h[k];
                h[k] = simd.fma(decay[k][t], h[k], simd.mul(self.drive[t], simd.splat(b[t])));
            }
        }
        let (mut grad, mut sum_a) = ([zero; K], [zero; K]);
        for k in 0..K {
            grad[k] = simd.load(&grads[k]);
        }
        for t in (0..T).rev() {
            for k in 0..K {
                let [b, c] = &bc[k];
                let [grad_b, grad_c] = &mut grad_bc[k];
                grad[k] = simd.fma(self.grad_y[t], simd.splat(c[t]), grad[k]);
                let sum = simd.fma(self.grad_y[t], h[k], simd.load(&grad_c[t]));
                simd.store(sum, &mut grad_c[t]);
                let sum = simd.fma(grad[k], self.drive[t], simd.load(&grad_b[t]));
                simd.store(sum, &mut grad_b[t]);
                self.grad_drive[t] = simd.fma(grad[k], simd.splat(b[t]), self.grad_drive[t]);
                h[k] = before[k][t];
                grad[k] = simd.mul(grad[k], decay[k][t]);
                let grad_exponent = simd.mul(grad[k], h[k]);
                self.grad_decay[t] = simd.fma(grad_exponent, rate[k], self.grad_decay[t]);
                sum_a[k] = simd.fma(grad_exponent, self.delta[t], sum_a[k]);
            }
        }
        for k in 0..K {
            simd.store(grad[k], &mut grads[k]);
            simd.store(simd.add(simd.load(&grad_a[k]), sum_a[k]), &mut grad_a[k]);
        }
    }
}

impl<'a, const T: usize> States<'a, T> {
    /// The first `n` states and the others.
    #[inline(always)]
    fn split_at(self, n: usize) -> (Self, Self) {
        let (rates, other_rates) = self.rates.split_at(n);
        let (bc, other_bc) = self.bc.split_at(n);
        let (before, other_before) = self.before.split_at(n);
        let (grads, other_grads) = self.grads.split_at_mut(n);
        let (grad_a, other_grad_a) = self.grad_a.split_at_mut(n);
        let (grad_bc, other_grad_bc) = self.grad_bc.split_at_mut(n);
        (
            Self { rates, bc, before, grads, grad_a, grad_bc },
            Self {
                rates: other_rates,
                bc: other_bc,
                before: other_before,
                grads: other_grads,
                grad_a: other_grad_a,
                grad_bc: other_grad_bc,
            },
        )
    }
}
