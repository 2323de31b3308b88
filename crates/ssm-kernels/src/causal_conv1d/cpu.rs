//! The fast f32 form: lanes are channels, and both orders share one walk over the tokens.
//!
//! The walk slides a window of K tokens. Left to right, the output belongs to the window's last
//! token; right to left, to its first, with the taps mirrored. Either way an order is K taps on the
//! same window and a lag, so `x` is read once for all orders, and the gradients that flow back to a
//! token are complete when it leaves the window.
//!
//! Tasks are images x blocks of channels, as wide as leaves every thread enough of them: channels
//! never meet, so the split changes no bit. In a block a few tokens of one group of lanes follow each
//! other in registers, then the same tokens of the next group. Walking whole columns instead would
//! jump a row at each step, and neither prefetcher nor page walker follows.
//!
//! Each task leaves the parameter gradients of its image in scratch; these are added in the order of
//! the images.
#![allow(unsafe_code, reason = "tasks write blocks of columns")]

mod window;

use self::window::{Group, place, push};
use super::{
    Args, Direction, DirectionGrads, Grads, Shape, check_backward, check_forward, reference,
};
use crate::disjoint::Disjoint;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, KernelError, Scratch};
use rayon::prelude::*;
use std::ops::Range;

/// Most groups of [`LANES`] channels of one task. The state of so many still lies in L2.
const GROUPS: usize = 48;

/// Tokens of one group that follow each other.
const TILE: usize = 8;

/// Tasks for each thread, where the shape has so many: they end at different times.
const TASKS_PER_THREAD: usize = 4;

/// Value pass; see [`reference::forward`].
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward(args: &Args<'_, f32>, outs: &mut [&mut [f32]]) -> Result<(), KernelError> {
    forward_on(InstructionSet::current(), args, outs)
}

/// Gradient pass; see [`reference::backward`].
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn backward(
    args: &Args<'_, f32>,
    grad_outs: &[&[f32]],
    grads: Grads<'_, f32>,
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    backward_on(InstructionSet::current(), args, grad_outs, grads, scratch)
}

/// [`forward`] with the vectors of `set`.
///
/// Widths up to 4 and up to 8 have code of their own; wider ones run the plain loops.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward_on(
    set: InstructionSet,
    args: &Args<'_, f32>,
    outs: &mut [&mut [f32]],
) -> Result<(), KernelError> {
    check_forward(args, outs)?;
    match (args.shape.width, outs) {
        (1..=4, [a]) => forward_taps::<4, 1>(set, args, [a]),
        (1..=4, [a, b]) => forward_taps::<4, 2>(set, args, [a, b]),
        (5..=8, [a]) => forward_taps::<8, 1>(set, args, [a]),
        (5..=8, [a, b]) => forward_taps::<8, 2>(set, args, [a, b]),
        (_, outs) => return reference::forward(args, outs),
    }
    Ok(())
}

/// [`backward`] with the vectors of `set`.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn backward_on(
    set: InstructionSet,
    args: &Args<'_, f32>,
    grad_outs: &[&[f32]],
    grads: Grads<'_, f32>,
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    check_backward(args, grad_outs, &grads)?;
    match (args.shape.width, grad_outs) {
        (1..=4, &[a]) => backward_taps::<4, 1>(set, args, [a], grads, scratch),
        (1..=4, &[a, b]) => backward_taps::<4, 2>(set, args, [a, b], grads, scratch),
        (5..=8, &[a]) => backward_taps::<8, 1>(set, args, [a], grads, scratch),
        (5..=8, &[a, b]) => backward_taps::<8, 2>(set, args, [a, b], grads, scratch),
        _ => return reference::backward(args, grad_outs, grads, scratch),
    }
    Ok(())
}

/// Image and channels of every task.
fn tasks(shape: &Shape) -> impl IndexedParallelIterator<Item = (usize, Range<usize>)> {
    let channels = shape.channels;
    let groups = channels.div_ceil(LANES).max(1);
    let wanted = TASKS_PER_THREAD * rayon::current_num_threads();
    let blocks = wanted.div_ceil(shape.batch.max(1)).clamp(groups.div_ceil(GROUPS), groups);
    let block = groups.div_ceil(blocks) * LANES;
    let blocks = channels.div_ceil(block);
    (0..shape.batch * blocks).into_par_iter().map(move |task| {
        let first = task % blocks * block;
        (task / blocks, first..channels.min(first + block))
    })
}

struct Forward<'a, 'o, const K: usize, const ORDERS: usize> {
    args: &'a Args<'o, f32>,
    outs: [Disjoint<'a, f32>; ORDERS],
    image: usize,
    channels: Range<usize>,
}

fn forward_taps<const K: usize, const ORDERS: usize>(
    set: InstructionSet,
    args: &Args<'_, f32>,
    outs: [&mut &mut [f32]; ORDERS],
) {
    let outs = outs.map(|out| Disjoint::new(out));
    tasks(&args.shape).for_each(|(image, channels)| {
        dispatch(set, Forward::<K, ORDERS> { args, outs, image, channels });
    });
}

impl<const K: usize, const ORDERS: usize> Kernel for Forward<'_, '_, K, ORDERS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Shape { seq_len, channels, .. } = self.args.shape;
        let first_row = self.image * seq_len;
        let mut groups = Group::<S::V, K, ORDERS>::load_all(simd, self.args, &self.channels);
        let lag = groups[0].orders.iter().fold(0, |lag, taps| lag.max(taps.lag));
        for tile in (0..seq_len + lag).step_by(TILE) {
            for state in &mut groups {
                let mut group = *state;
                for newest in tile..(seq_len + lag).min(tile + TILE) {
                    group.advance(simd, self.args, first_row, newest);
                    for (taps, out) in group.orders.iter().zip(&self.outs) {
                        let token = newest.wrapping_sub(taps.lag);
                        if token < seq_len {
                            let sum = taps.before_silu(simd, &group.window);
                            let first = (first_row + token) * channels + group.at;
                            // SAFETY: tasks own disjoint blocks of columns of disjoint images, and
                            // a part dies before the next of the same task is made.
                            let to = unsafe { out.part(first, group.n) };
                            simd.store_part(simd.silu(sum), to);
                        }
                    }
                }
                state.window = group.window;
            }
        }
    }
}

struct Backward<'a, 'o, const K: usize, const ORDERS: usize> {
    args: &'a Args<'o, f32>,
    grad_outs: [&'a [f32]; ORDERS],
    grad_x: Disjoint<'a, f32>,
    grad_x_stride: usize,
    /// `[B, ORDERS, K + 1, E]`: of each image the gradients of the window's taps and the bias.
    partial: Disjoint<'a, f32>,
    image: usize,
    channels: Range<usize>,
}

fn backward_taps<const K: usize, const ORDERS: usize>(
    set: InstructionSet,
    args: &Args<'_, f32>,
    grad_outs: [&[f32]; ORDERS],
    grads: Grads<'_, f32>,
    scratch: &mut Scratch<f32>,
) {
    let shape = args.shape;
    let per_image = ORDERS * (K + 1) * shape.channels;
    let partial = scratch.take(shape.batch * per_image);
    let grad_x_stride = grads.x.row_stride;
    let grad_x = Disjoint::new(grads.x.data);
    let shared = Disjoint::new(partial);
    tasks(&args.shape).for_each(|(image, channels)| {
        dispatch(
            set,
            Backward::<K, ORDERS> {
                args,
                grad_outs,
                grad_x,
                grad_x_stride,
                partial: shared,
                image,
                channels,
            },
        );
    });
    if shape.channels == 0 || shape.batch == 0 {
        return;
    }
    let (total, others) = partial.split_at_mut(per_image);
    for other in others.chunks_exact(per_image) {
        for (total, other) in total.iter_mut().zip(other) {
            *total += other;
        }
    }
    let totals = total.chunks_exact((K + 1) * shape.channels);
    for ((direction, grads), totals) in args.directions.iter().zip(grads.directions).zip(totals) {
        add_parameters::<K>(direction, shape.width, totals, grads);
    }
}

/// Adds sums `[K + 1, E]` over the window's taps and the bias to the gradients of the parameters.
fn add_parameters<const K: usize>(
    direction: &Direction<'_, f32>,
    width: usize,
    totals: &[f32],
    grads: &mut DirectionGrads<'_, f32>,
) {
    let channels = grads.bias.len();
    for (channel, weight) in grads.weight.chunks_exact_mut(width).enumerate() {
        for (tap, weight) in weight.iter_mut().enumerate() {
            *weight += totals[place::<K>(direction.order, width, tap) * channels + channel];
        }
    }
    for (bias, total) in grads.bias.iter_mut().zip(&totals[K * channels..]) {
        *bias += total;
    }
}

/// Sums of gradients of one group of channels.
#[derive(Clone, Copy)]
struct Sums<V, const K: usize, const ORDERS: usize> {
    /// Of the tokens in the window.
    x: [V; K],
    weight: [[V; K]; ORDERS],
    bias: [V; ORDERS],
}

impl<V: Copy, const K: usize, const ORDERS: usize> Sums<V, K, ORDERS> {
    /// Adds what flows back from one token of one order.
    #[inline(always)]
    fn add<S: Simd<V = V>>(
        &mut self,
        simd: S,
        group: &Group<V, K, ORDERS>,
        order: usize,
        grad_out: V,
    ) {
        let taps = &group.orders[order];
        let sum = taps.before_silu(simd, &group.window);
        let one = simd.splat(1.0);
        let sigmoid = simd.sigmoid(sum);
        let slope = simd.mul(sigmoid, simd.fma(sum, simd.sub(one, sigmoid), one));
        let grad = simd.mul(grad_out, slope);
        self.bias[order] = simd.add(self.bias[order], grad);
        for k in 0..K {
            self.weight[order][k] = simd.fma(grad, group.window[k], self.weight[order][k]);
            self.x[k] = simd.fma(grad, taps.weight[k], self.x[k]);
        }
    }
}

impl<const K: usize, const ORDERS: usize> Kernel for Backward<'_, '_, K, ORDERS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Shape { seq_len, channels, .. } = self.args.shape;
        let first_row = self.image * seq_len;
        let zero = simd.splat(0.0);
        let mut groups = Group::<S::V, K, ORDERS>::load_all(simd, self.args, &self.channels);
        let none = Sums { x: [zero; K], weight: [[zero; K]; ORDERS], bias: [zero; ORDERS] };
        let mut all_sums = vec![none; groups.len()];
        for tile in (0..seq_len + K - 1).step_by(TILE) {
            for (state, sums_state) in groups.iter_mut().zip(&mut all_sums) {
                let (mut group, mut sums) = (*state, *sums_state);
                for newest in tile..(seq_len + K - 1).min(tile + TILE) {
                    group.advance(simd, self.args, first_row, newest);
                    sums.x = push(&sums.x, zero);
                    for order in 0..ORDERS {
                        let token = newest.wrapping_sub(group.orders[order].lag);
                        if token < seq_len {
                            let first = (first_row + token) * channels + group.at;
                            let grad_out = &self.grad_outs[order][first..][..group.n];
                            sums.add(simd, &group, order, simd.load_part(grad_out));
                        }
                    }
                    if let Some(oldest) = newest.checked_sub(K - 1) {
                        let first = (first_row + oldest) * self.grad_x_stride + group.at;
                        // SAFETY: tasks own disjoint blocks of columns of disjoint images, and a
                        // part dies before the next of the same task is made.
                        let to = unsafe { self.grad_x.part(first, group.n) };
                        simd.store_part(sums.x[0], to);
                    }
                }
                state.window = group.window;
                *sums_state = sums;
            }
        }
        for (group, sums) in groups.iter().zip(&all_sums) {
            for order in 0..ORDERS {
                let window = sums.weight[order].iter().chain([&sums.bias[order]]);
                for (k, &sum) in window.enumerate() {
                    let row = (self.image * ORDERS + order) * (K + 1) + k;
                    // SAFETY: as above.
                    let to = unsafe { self.partial.part(row * channels + group.at, group.n) };
                    simd.store_part(sum, to);
                }
            }
        }
    }
}
