//! The recurrence over one tile.

use super::plan::{Plan, Tile};
use crate::selective_scan::Direction;
use crate::simd::{LANES, Simd};

/// What the states need of the tokens of a tile; all 0 beyond its last token.
pub(super) struct Tokens<S: Simd, const T: usize> {
    pub(super) u: [S::V; T],
    pub(super) delta: [S::V; T],
    /// `delta u`.
    pub(super) drive: [S::V; T],
}

impl<S: Simd, const T: usize> Tokens<S, T> {
    #[inline(always)]
    pub(super) fn load(
        simd: S,
        plan: &Plan,
        direction: &Direction<'_, f32>,
        image: usize,
        tile: &Tile,
        block: usize,
    ) -> Self {
        let zero = [simd.splat(0.0); T];
        let mut tokens = Self { u: zero, delta: zero, drive: zero };
        let (channel, lanes) = (block * LANES, plan.lanes(block));
        let bias = simd.load_part(&direction.delta_bias[channel..][..lanes]);
        for t in 0..tile.steps.min(T) {
            let at = plan.row(direction.order, image, tile, t) * plan.shape.channels + channel;
            let raw = simd.load_part(&direction.delta_raw[at..][..lanes]);
            tokens.u[t] = simd.load_part(&direction.u[at..][..lanes]);
            tokens.delta[t] = simd.softplus(simd.add(raw, bias));
            tokens.drive[t] = simd.mul(tokens.delta[t], tokens.u[t]);
        }
        tokens
    }
}

/// Walks every state `[N, LANES]` through a tile and adds `<C, h>` to `y`.
#[inline(always)]
pub(super) fn recur<S: Simd, const T: usize>(
    simd: S,
    rates: &[[f32; LANES]],
    bc: &[f32],
    before: &[f32],
    after: &mut [f32],
    tokens: &Tokens<S, T>,
    y: &mut [S::V; T],
) {
    let mut sums = *y;
    let states = before.as_chunks().0.iter().zip(after.as_chunks_mut().0);
    for ((rate, (before, after)), bc) in rates.iter().zip(states).zip(bc.chunks_exact(2 * T)) {
        let rate = simd.load(rate);
        let mut h = simd.load(before);
        let (b, c) = bc.split_at(T);
        for t in 0..T {
            let decay = simd.exp2(simd.mul(tokens.delta[t], rate));
            h = simd.fma(decay, h, simd.mul(tokens.drive[t], simd.splat(b[t])));
            sums[t] = simd.fma(h, simd.splat(c[t]), sums[t]);
        }
        simd.store(h, after);
    }
    *y = sums;
}
