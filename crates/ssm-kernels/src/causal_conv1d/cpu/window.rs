//! Taps of a group of channels, and the window of tokens that they see.

use super::super::{Args, Direction};
use crate::ScanOrder;
use crate::simd::{LANES, Simd};
use std::ops::Range;

/// One order as seen from the window.
#[derive(Clone, Copy)]
pub(super) struct Taps<V, const K: usize> {
    /// Factor on each token of the window, oldest first.
    pub(super) weight: [V; K],
    bias: V,
    /// Tokens from the output's token to the newest of the window.
    pub(super) lag: usize,
}

impl<V: Copy, const K: usize> Taps<V, K> {
    /// Taps of `n` channels from `at`; those that `width < K` leaves over are 0.
    #[inline(always)]
    fn load<S: Simd<V = V>>(
        simd: S,
        direction: &Direction<'_, f32>,
        width: usize,
        at: usize,
        n: usize,
    ) -> Self {
        let mut lanes = [[0.0; LANES]; K];
        for tap in 0..width {
            let place = place::<K>(direction.order, width, tap);
            for (lane, channel) in (at..at + n).enumerate() {
                lanes[place][lane] = direction.weight[channel * width + tap];
            }
        }
        let lag = match direction.order {
            ScanOrder::LeftToRight => 0,
            ScanOrder::RightToLeft => K - 1,
        };
        let bias = simd.load_part(&direction.bias[at..at + n]);
        let mut weight = [bias; K];
        for (weight, lanes) in weight.iter_mut().zip(&lanes) {
            *weight = simd.load(lanes);
        }
        Self { weight, bias, lag }
    }

    #[inline(always)]
    pub(super) fn before_silu<S: Simd<V = V>>(&self, simd: S, window: &[V; K]) -> V {
        let mut sum = self.bias;
        for (&weight, &x) in self.weight.iter().zip(window) {
            sum = simd.fma(weight, x, sum);
        }
        sum
    }
}

/// Place in a window of K tokens that `tap` falls on.
#[inline(always)]
pub(super) fn place<const K: usize>(order: ScanOrder, width: usize, tap: usize) -> usize {
    let distance = width - 1 - tap;
    match order {
        ScanOrder::LeftToRight => K - 1 - distance,
        ScanOrder::RightToLeft => distance,
    }
}

/// A group of channels: its taps and the tokens that the walk has reached.
#[derive(Clone, Copy)]
pub(super) struct Group<V, const K: usize, const ORDERS: usize> {
    /// First channel.
    pub(super) at: usize,
    /// Channels, up to [`LANES`].
    pub(super) n: usize,
    pub(super) orders: [Taps<V, K>; ORDERS],
    /// Tokens, oldest first; 0 outside the sequence.
    pub(super) window: [V; K],
}

impl<V: Copy, const K: usize, const ORDERS: usize> Group<V, K, ORDERS> {
    #[inline(always)]
    fn load<S: Simd<V = V>>(simd: S, args: &Args<'_, f32>, at: usize, n: usize) -> Self {
        let Args { shape, directions, .. } = args;
        let mut orders = [Taps::load(simd, &directions[0], shape.width, at, n); ORDERS];
        for (taps, direction) in orders.iter_mut().zip(*directions).skip(1) {
            *taps = Taps::load(simd, direction, shape.width, at, n);
        }
        Self { at, n, orders, window: [simd.splat(0.0); K] }
    }

    /// The groups of a task. A loop, since what an iterator adaptor calls may be compiled on its
    /// own, where it lacks the instruction set.
    #[inline(always)]
    pub(super) fn load_all<S: Simd<V = V>>(
        simd: S,
        args: &Args<'_, f32>,
        channels: &Range<usize>,
    ) -> Vec<Self> {
        let mut groups = Vec::with_capacity(channels.len().div_ceil(LANES));
        for at in channels.clone().step_by(LANES) {
            groups.push(Self::load(simd, args, at, LANES.min(channels.end - at)));
        }
        groups
    }

    /// Moves the window on to the token `newest` of the image that starts at `first_row`.
    #[inline(always)]
    pub(super) fn advance<S: Simd<V = V>>(
        &mut self,
        simd: S,
        args: &Args<'_, f32>,
        first_row: usize,
        newest: usize,
    ) {
        let x = &args.x;
        let newest = if newest < args.shape.seq_len {
            simd.load_part(&x.data[(first_row + newest) * x.row_stride + self.at..][..self.n])
        } else {
            simd.splat(0.0)
        };
        self.window = push(&self.window, newest);
    }
}

/// `window` without its oldest entry and with `newest`.
///
/// A copy from array to array, since a shift in place keeps the window in memory.
#[inline(always)]
pub(super) fn push<V: Copy, const K: usize>(window: &[V; K], newest: V) -> [V; K] {
    let mut next = [newest; K];
    next[..K - 1].copy_from_slice(&window[1..]);
    next
}
