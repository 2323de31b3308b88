//! Gradient pass: tile by tile from the last to the first, each from the states kept before it.

mod sums;
mod tile;

use super::plan::{Operands, Plan, TAIL, TILE, Tile};
use crate::disjoint::Disjoint;
use crate::selective_scan::{Args, DirectionGrads, Grads, Kept};
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, Scratch};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use sums::Sums;

/// Blocks of one sum over channels. Fixed, since the order of a sum decides its bits.
const GROUP: usize = 8;

pub(super) fn run(
    set: InstructionSet,
    args: &Args<'_, f32>,
    kept: Kept<'_, f32>,
    grad_gated: &[f32],
    grads: Grads<'_, f32>,
    scratch: &mut Scratch<f32>,
) {
    let plan = Plan::new(args.shape, GROUP);
    let directions = args.directions.len();
    if plan.tasks() == 0 || plan.tiles() == 0 {
        return clear_bc(grads.directions);
    }
    let workers = rayon::current_num_threads().min(plan.tasks());
    let groups = plan.blocks.div_ceil(GROUP);
    let sums = args.shape.batch * groups * Sums::len(&plan, directions);
    let operands = Operands::len(&plan, directions);
    let start = plan.state_len();
    let memory = scratch.take(operands + start + sums + workers * Workspace::len(&plan));
    let (operands, memory) = memory.split_at_mut(operands);
    let (start, memory) = memory.split_at_mut(start);
    start.fill(0.0);
    let (sums, workspaces) = memory.split_at_mut(sums);
    let operands = Operands::new(args, &plan, operands);
    let sums = sums.chunks_exact_mut(Sums::len(&plan, directions));
    let mut sums: Vec<_> = sums.map(|memory| Sums::new(&plan, directions, memory)).collect();
    let images = sums.chunks_mut(groups);
    let tasks = images.flat_map(|image| image.chunks_mut(plan.task_blocks / GROUP)).enumerate();
    let image = Image {
        args,
        plan: &plan,
        operands,
        index: 0,
        start,
        pre_gate: kept.pre_gate,
        states: kept.states,
        grad_gated,
        grads: &grads.directions.iter_mut().map(Outputs::new).collect::<Vec<_>>(),
        grad_z_stride: grads.z.row_stride,
        grad_z: Disjoint::new(grads.z.data),
        gated: Disjoint::new(grads.gated),
    };
    let queue = Mutex::new(tasks);
    let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    // Workspaces belong to workers, not to tasks, so that they stay in the cache.
    workspaces.par_chunks_mut(Workspace::len(&plan)).for_each(|workspace| {
        while let Some((task, sums)) = take() {
            let (index, blocks) = plan.task(task);
            let workspace = Workspace::new(&plan, workspace);
            dispatch(set, Task { image: Image { index, ..image }, blocks, sums, workspace });
        }
    });
    for (index, grads) in grads.directions.iter_mut().enumerate() {
        sums::collect(&operands, &plan, &sums, index, args.directions[index].order, grads);
    }
}

/// The gradients of B and C without channels or tokens.
fn clear_bc(grads: &mut [DirectionGrads<'_, f32>]) {
    for grads in grads {
        for row in 0..grads.bc.rows {
            grads.bc.row_mut(row).fill(0.0);
        }
    }
}

/// Gradients of one scan order that tasks write block by block.
struct Outputs<'a> {
    u: Disjoint<'a, f32>,
    delta_raw: Disjoint<'a, f32>,
}

impl<'a> Outputs<'a> {
    fn new(grads: &'a mut DirectionGrads<'_, f32>) -> Self {
        Self { u: Disjoint::new(&mut *grads.u), delta_raw: Disjoint::new(&mut *grads.delta_raw) }
    }
}

/// What all tasks of an image share.
#[derive(Clone, Copy)]
struct Image<'a, 'o> {
    args: &'a Args<'o, f32>,
    plan: &'a Plan,
    operands: Operands<'a>,
    index: usize,
    /// `[N, LANES]`, the states before the first token.
    start: &'a [f32],
    pre_gate: &'a [f32],
    states: &'a [f32],
    grad_gated: &'a [f32],
    grads: &'a [Outputs<'a>],
    grad_z: Disjoint<'a, f32>,
    gated: Disjoint<'a, f32>,
    grad_z_stride: usize,
}

/// What a task keeps between the tiles of one scan order.
struct Workspace<'a> {
    /// Gradient of the states after the tile at hand, `[block, N, LANES]`.
    grad_states: &'a mut [f32],
    /// Gradients of B and C of one tile before the sum over lanes, `[N, 2 width, LANES]`.
    grad_bc: &'a mut [f32],
}

impl<'a> Workspace<'a> {
    fn len(plan: &Plan) -> usize {
        plan.state_len() * (plan.task_blocks + 2 * TILE)
    }

    fn new(plan: &Plan, memory: &'a mut [f32]) -> Self {
        let (grad_states, grad_bc) = memory.split_at_mut(plan.task_blocks * plan.state_len());
        Self { grad_states, grad_bc }
    }
}

/// Some neighbouring blocks of channels of one image, in all scan orders.
struct Task<'a, 'b, 'o> {
    image: Image<'a, 'o>,
    blocks: Range<usize>,
    /// One for every [`GROUP`] blocks.
    sums: &'a mut [Sums<'b>],
    workspace: Workspace<'a>,
}

impl Kernel for Task<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.sums.iter_mut().for_each(Sums::clear);
        for index in 0..self.image.args.directions.len() {
            self.workspace.grad_states.fill(0.0);
            for tile in (0..self.image.plan.tiles()).rev() {
                let tile = self.image.plan.tile(tile);
                for group in 0..self.sums.len() {
                    self.group(simd, index, &tile, group);
                }
            }
        }
    }
}

impl Task<'_, '_, '_> {
    /// Gradients of one group of blocks in a tile.
    #[inline(always)]
    fn group<S: Simd>(&mut self, simd: S, index: usize, tile: &Tile, group: usize) {
        self.workspace.grad_bc.fill(0.0);
        let first = self.blocks.start + group * GROUP;
        for block in first..(first + GROUP).min(self.blocks.end) {
            if tile.width == TILE {
                self.tile::<S, TILE>(simd, index, tile, block);
            } else {
                self.tile::<S, TAIL>(simd, index, tile, block);
            }
        }
        self.sum_lanes(simd, index, tile, group);
    }

    /// Adds up the lanes of a group's gradients of B and C.
    #[inline(always)]
    fn sum_lanes<S: Simd>(&mut self, simd: S, index: usize, tile: &Tile, group: usize) {
        let states = self.image.plan.shape.states;
        let lanes = self.workspace.grad_bc.as_chunks::<LANES>().0;
        for t in 0..tile.steps {
            let row = self.sums[group].bc_row_mut(index, tile.start + t);
            for (half, sums) in row.chunks_exact_mut(states).enumerate() {
                for (group, sums) in sums.chunks_mut(LANES).enumerate() {
                    let mut vectors = [simd.splat(0.0); LANES];
                    for (k, vector) in vectors[..sums.len()].iter_mut().enumerate() {
                        let at = (2 * (group * LANES + k) + half) * tile.width + t;
                        *vector = simd.load(&lanes[at]);
                    }
                    simd.store_part(simd.sums(&vectors), sums);
                }
            }
        }
    }
}
