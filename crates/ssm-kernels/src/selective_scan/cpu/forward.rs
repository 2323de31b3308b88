//! Value pass: tile by tile of tokens, one state after the other.

use super::plan::{Operands, Plan, Rows, TAIL, TILE, Tile};
use super::recur::{Tokens, recur};
use crate::disjoint::Disjoint;
use crate::selective_scan::{Args, KeptMut, Output};
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, Scratch};
use rayon::prelude::*;
use std::ops::Range;

pub(super) fn run(
    set: InstructionSet,
    args: &Args<'_, f32>,
    out: Output<'_, f32>,
    scratch: &mut Scratch<f32>,
) {
    let plan = Plan::new(args.shape, 1);
    if plan.tasks() == 0 || plan.tiles() == 0 {
        return;
    }
    let operands = Operands::len(&plan, args.directions.len());
    let own_states = if out.kept.is_some() { 0 } else { 2 * plan.task_blocks * plan.state_len() };
    let memory = scratch.take(operands + plan.state_len() + plan.tasks() * own_states);
    let (operands, memory) = memory.split_at_mut(operands);
    let operands = Operands::new(args, &plan, operands);
    let (start, memory) = memory.split_at_mut(plan.state_len());
    start.fill(0.0);
    let start = &*start;
    let gated = Disjoint::new(out.gated);
    let (pre_gate, kept) = match out.kept {
        Some(KeptMut { pre_gate, states }) => (Some(pre_gate), Some(states)),
        None => (None, None),
    };
    let pre_gate = pre_gate.map(Disjoint::new);
    let keeps_states = kept.is_some();
    let states = Disjoint::new(kept.unwrap_or(memory));
    (0..plan.tasks()).into_par_iter().for_each(|index| {
        let (image, blocks) = plan.task(index);
        let own_states = (!keeps_states).then_some(index * own_states);
        let (plan, states) = (&plan, States { start, states, own_states });
        dispatch(set, Task { args, plan, operands, image, blocks, gated, pre_gate, states });
    });
}

/// Where a task's states are before and after every tile.
#[derive(Clone, Copy)]
struct States<'a> {
    /// `[N, LANES]`, the states before the first token.
    start: &'a [f32],
    /// States after all tiles, as kept, or the memory of all tasks.
    states: Disjoint<'a, f32>,
    /// Where the task's own memory starts, `[2, block, N, LANES]`: tiles take turns. None where the
    /// states are kept.
    own_states: Option<usize>,
}

/// Some neighbouring blocks of channels of one image, in all scan orders.
struct Task<'a, 'o> {
    args: &'a Args<'o, f32>,
    plan: &'a Plan,
    operands: Operands<'a>,
    image: usize,
    blocks: Range<usize>,
    gated: Disjoint<'a, f32>,
    pre_gate: Option<Disjoint<'a, f32>>,
    states: States<'a>,
}

impl Kernel for Task<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        for index in 0..self.args.directions.len() {
            for tile in 0..self.plan.tiles() {
                let tile = self.plan.tile(tile);
                for block in self.blocks.clone() {
                    if tile.width == TILE {
                        self.tile::<S, TILE>(simd, index, &tile, block);
                    } else {
                        self.tile::<S, TAIL>(simd, index, &tile, block);
                    }
                }
            }
        }
    }
}

impl Task<'_, '_> {
    #[inline(always)]
    fn tile<S: Simd, const T: usize>(&mut self, simd: S, index: usize, tile: &Tile, block: usize) {
        let (args, plan) = (self.args, self.plan);
        let direction = &args.directions[index];
        let is_last = index + 1 == args.directions.len();
        let tokens = Tokens::<S, T>::load(simd, plan, direction, self.image, tile, block);
        self.prefetch_next(simd, index, tile, block);

        let d_skip = &direction.d_skip[block * LANES..][..plan.lanes(block)];
        let d_skip = simd.load_part(d_skip);
        let mut y = tokens.u;
        for y in &mut y {
            *y = simd.mul(*y, d_skip);
        }
        let rates = self.operands.decay_rates(index, block);
        let bc = self.operands.bc(index, self.image, tile);
        let (before, after) = self.states_around(index, tile.index, block);
        recur::<S, T>(simd, rates, bc, before, after, &tokens, &mut y);

        for (t, y) in y.into_iter().enumerate().take(tile.steps) {
            let row = plan.row(direction.order, self.image, tile, t);
            self.finish(simd, row, block, y, index > 0, is_last);
        }
    }

    /// States `[N, LANES]` of a block before and after a tile.
    #[inline(always)]
    fn states_around(&mut self, index: usize, tile: usize, block: usize) -> (&[f32], &mut [f32]) {
        let len = self.plan.state_len();
        let place = |tile: usize| match self.states.own_states {
            None => self.plan.kept_states(index, self.image, tile, block),
            Some(own) => own + (tile % 2 * self.plan.task_blocks + block - self.blocks.start) * len,
        };
        // SAFETY: states of this task's blocks of this task's image; the slice dies with the tile.
        let after = unsafe { self.states.states.part(place(tile), len) };
        let before = match tile.checked_sub(1) {
            None => self.states.start,
            // SAFETY: as above, of another tile, which has another place.
            Some(last) => unsafe { self.states.states.part(place(last), len) },
        };
        (before, after)
    }

    #[inline(always)]
    fn prefetch_next<S: Simd>(&self, simd: S, index: usize, tile: &Tile, block: usize) {
        if tile.index + 1 == self.plan.tiles() {
            return;
        }
        let next = (self.plan.tile(tile.index + 1), block);
        let (channels, z) = (self.plan.shape.channels, self.args.z);
        let direction = &self.args.directions[index];
        let operands = [
            Rows::new(direction.delta_raw.as_ptr(), channels),
            Rows::new(direction.u.as_ptr(), channels),
            Rows::new(z.data.as_ptr(), z.row_stride),
        ];
        let is_last = index + 1 == self.args.directions.len();
        let operands = if is_last { &operands } else { &operands[..2] };
        self.plan.prefetch(simd, direction.order, self.image, next, operands);
    }

    /// Adds `y` to the sum over the scan orders and, at the last one, applies the gate.
    ///
    /// The sum waits in `pre_gate` or, where that is not asked for, in `gated`.
    #[inline(always)]
    fn finish<S: Simd>(
        &self,
        simd: S,
        row: usize,
        block: usize,
        y: S::V,
        add: bool,
        is_last: bool,
    ) {
        let lanes = self.plan.lanes(block);
        let at = row * self.plan.shape.channels + block * LANES;
        // SAFETY: these are this task's channels of this task's image, and the slice dies here.
        let gated = unsafe { self.gated.part(at, lanes) };
        // SAFETY: as above, of another buffer.
        let mut pre_gate = self.pre_gate.map(|pre_gate| unsafe { pre_gate.part(at, lanes) });
        let sum = match &mut pre_gate {
            Some(pre_gate) => &mut **pre_gate,
            None => &mut *gated,
        };
        let y = if add { simd.add(y, simd.load_part(sum)) } else { y };
        if !is_last {
            return simd.store_part(y, sum);
        }
        let y = simd.mul(y, simd.splat(self.args.direction_sum));
        simd.store_part(y, sum);
        let z = simd.load_part(&self.args.z.row(row)[block * LANES..][..lanes]);
        simd.store_part(simd.mul(y, simd.silu(z)), gated);
    }
}
