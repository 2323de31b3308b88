//! Sums over tokens and channels: one for every group of blocks of an image, added up in order.

use super::GROUP;
use crate::ScanOrder;
use crate::selective_scan::cpu::plan::{Operands, Plan};
use crate::selective_scan::{DirectionGrads, Shape};
use crate::simd::LANES;
use rayon::prelude::*;
use std::ops::Range;

/// Sums of [`GROUP`] blocks of an image.
pub(super) struct Sums<'a> {
    /// `[direction, block, N + 2, LANES]`: gradients of A, of `d_skip` and of `delta_bias`.
    channels: &'a mut [[f32; LANES]],
    /// `[direction, L in scan order, 2N]`: gradients of B and C, sums over the group's channels.
    bc: &'a mut [f32],
    plan: &'a Plan,
}

impl<'a> Sums<'a> {
    fn channels_len(plan: &Plan, directions: usize) -> usize {
        directions * GROUP * (plan.state_len() + 2 * LANES)
    }

    pub(super) fn len(plan: &Plan, directions: usize) -> usize {
        let Shape { seq_len, states, .. } = plan.shape;
        Self::channels_len(plan, directions) + directions * seq_len * 2 * states
    }

    pub(super) fn new(plan: &'a Plan, directions: usize, memory: &'a mut [f32]) -> Self {
        let (channels, bc) = memory.split_at_mut(Self::channels_len(plan, directions));
        Self { channels: channels.as_chunks_mut().0, bc, plan }
    }

    /// Sets the sums that are added to at every tile to 0.
    pub(super) fn clear(&mut self) {
        self.channels.as_flattened_mut().fill(0.0);
    }

    /// Place of the group's `own`-th block in `channels`.
    #[inline(always)]
    fn block_at(&self, direction: usize, own: usize) -> Range<usize> {
        let len = self.plan.shape.states + 2;
        let at = (direction * GROUP + own) * len;
        at..at + len
    }

    /// `[N + 2, LANES]` of the group's `own`-th block.
    fn block(&self, direction: usize, own: usize) -> &[[f32; LANES]] {
        &self.channels[self.block_at(direction, own)]
    }

    /// As [`Sums::block`].
    #[inline(always)]
    pub(super) fn block_mut(&mut self, direction: usize, own: usize) -> &mut [[f32; LANES]] {
        let range = self.block_at(direction, own);
        &mut self.channels[range]
    }

    /// Place of a token's gradients in `bc`.
    #[inline(always)]
    fn bc_at(&self, direction: usize, place: usize) -> Range<usize> {
        let Shape { seq_len, states, .. } = self.plan.shape;
        let at = (direction * seq_len + place) * 2 * states;
        at..at + 2 * states
    }

    /// `[2N]` of the token at `place`.
    fn bc_row(&self, direction: usize, place: usize) -> &[f32] {
        &self.bc[self.bc_at(direction, place)]
    }

    /// As [`Sums::bc_row`].
    #[inline(always)]
    pub(super) fn bc_row_mut(&mut self, direction: usize, place: usize) -> &mut [f32] {
        let range = self.bc_at(direction, place);
        &mut self.bc[range]
    }
}

/// Adds the sums to the gradients of one scan order's parameters and writes those of B and C.
pub(super) fn collect(
    operands: &Operands<'_>,
    plan: &Plan,
    sums: &[Sums<'_>],
    index: usize,
    order: ScanOrder,
    grads: &mut DirectionGrads<'_, f32>,
) {
    let Shape { batch, seq_len, states, .. } = plan.shape;
    let groups = sums.len() / batch;
    grads.bc.data.par_chunks_mut(grads.bc.row_stride).enumerate().for_each(|(row, grad_bc)| {
        let (image, token) = (row / seq_len, row % seq_len);
        let place = order.token(token, seq_len);
        let grad_bc = &mut grad_bc[..2 * states];
        grad_bc.fill(0.0);
        for group in &sums[image * groups..][..groups] {
            for (grad, sum) in grad_bc.iter_mut().zip(group.bc_row(index, place)) {
                *grad += sum;
            }
        }
    });
    let per_block = grads.a_log.par_chunks_mut(LANES * states);
    let per_block = per_block.zip(grads.d_skip.par_chunks_mut(LANES));
    let per_block = per_block.zip(grads.delta_bias.par_chunks_mut(LANES));
    per_block.enumerate().for_each(|(block, ((grad_a_log, grad_d), grad_bias))| {
        let rates = operands.decay_rates(index, block);
        let of_images = sums.iter().skip(block / GROUP).step_by(groups);
        let sum = |n: usize| {
            let mut total = [0.0; LANES];
            for sums in of_images.clone() {
                let sum = sums.block(index, block % GROUP)[n];
                total.iter_mut().zip(sum).for_each(|(total, x)| *total += x);
            }
            total
        };
        for (n, rates) in rates.iter().enumerate().take(states) {
            for (lane, (sum, rate)) in sum(n).iter().zip(rates).enumerate() {
                if let Some(grad) = grad_a_log.get_mut(lane * states + n) {
                    // The derivative of A = -exp(a_log) is A itself.
                    *grad += sum * rate * std::f32::consts::LN_2;
                }
            }
        }
        grad_d.iter_mut().zip(sum(states)).for_each(|(grad, sum)| *grad += sum);
        grad_bias.iter_mut().zip(sum(states + 1)).for_each(|(grad, sum)| *grad += sum);
    });
}
