//! How one call is cut into tiles of tokens, blocks of channels and tasks, and the operands
//! rearranged for it.

use crate::ScanOrder;
use crate::selective_scan::{Args, Direction, Shape};
use crate::simd::{LANES, Simd};
use rayon::prelude::*;
use std::ops::Range;

/// Tokens of a tile. While one state walks a tile, everything it needs stays in registers.
pub(super) const TILE: usize = 8;
/// Tokens of the last tile where at most so many are left: sequences are images and one or two
/// more tokens.
pub(super) const TAIL: usize = 2;

/// The cut of one call.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    /// Blocks of [`LANES`] channels; the last may be partial.
    pub(super) blocks: usize,
    /// Blocks of one task.
    pub(super) task_blocks: usize,
    /// Tasks of one image.
    tasks_per_image: usize,
}

/// Some tokens, counted in scan order.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) index: usize,
    pub(super) start: usize,
    /// Tokens of the sequence in it.
    pub(super) steps: usize,
    /// Tokens it is computed with, [`TILE`] or [`TAIL`]; those beyond `steps` have a delta of 0,
    /// which leaves the state as it is.
    pub(super) width: usize,
}

impl Plan {
    /// Cuts into tasks of whole units of blocks, one image at most.
    ///
    /// Some tasks for every thread even out their ends; more would only shorten the rows that a
    /// task reads, and with 64 bytes of every row the memory is three times as slow as with 3 KB.
    pub(super) fn new(shape: Shape, unit: usize) -> Self {
        const TASKS_PER_THREAD: usize = 4;
        let blocks = shape.channels.div_ceil(LANES);
        let units = blocks.div_ceil(unit);
        let tasks = TASKS_PER_THREAD * rayon::current_num_threads();
        let task_blocks = (shape.batch * units).div_ceil(tasks).clamp(1, units.max(1)) * unit;
        Self { shape, blocks, task_blocks, tasks_per_image: blocks.div_ceil(task_blocks) }
    }

    pub(super) fn tasks(&self) -> usize {
        self.shape.batch * self.tasks_per_image
    }

    /// Image and blocks of a task.
    pub(super) fn task(&self, index: usize) -> (usize, Range<usize>) {
        let first = index % self.tasks_per_image * self.task_blocks;
        (index / self.tasks_per_image, first..(first + self.task_blocks).min(self.blocks))
    }

    /// Channels of a block.
    #[inline(always)]
    pub(super) fn lanes(&self, block: usize) -> usize {
        LANES.min(self.shape.channels - block * LANES)
    }

    pub(super) fn tiles(&self) -> usize {
        self.shape.seq_len.div_ceil(TILE)
    }

    #[inline(always)]
    pub(super) fn tile(&self, index: usize) -> Tile {
        let start = index * TILE;
        let steps = TILE.min(self.shape.seq_len - start);
        Tile { index, start, steps, width: if steps <= TAIL { TAIL } else { TILE } }
    }

    /// Row of the `t`-th token of a tile in `[B, L, ..]`.
    #[inline(always)]
    pub(super) fn row(&self, order: ScanOrder, image: usize, tile: &Tile, t: usize) -> usize {
        image * self.shape.seq_len + order.token(tile.start + t, self.shape.seq_len)
    }

    /// Asks for the operands of a block in a tile.
    #[inline(always)]
    pub(super) fn prefetch<S: Simd>(
        &self,
        simd: S,
        order: ScanOrder,
        image: usize,
        (tile, block): (Tile, usize),
        operands: &[Rows],
    ) {
        for t in 0..tile.steps {
            let row = self.row(order, image, &tile, t);
            for rows in operands {
                simd.prefetch(rows.start.wrapping_add(row * rows.stride + block * LANES));
            }
        }
    }

    /// Tokens of all tiles, padding included.
    fn padded_len(&self) -> usize {
        self.tiles().checked_sub(1).map_or(0, |last| last * TILE + self.tile(last).width)
    }

    /// Place in [`crate::selective_scan::Kept::states`], `[direction, B, tile, block, N, LANES]`, of
    /// a block's states after a tile.
    #[inline(always)]
    pub(super) fn kept_states(
        &self,
        direction: usize,
        image: usize,
        tile: usize,
        block: usize,
    ) -> usize {
        let tile = (direction * self.shape.batch + image) * self.tiles() + tile;
        (tile * self.blocks + block) * self.state_len()
    }

    /// Elements of one block's states.
    pub(super) fn state_len(&self) -> usize {
        self.shape.states * LANES
    }
}

/// Elements of the states after every tile.
pub(super) fn states_len(shape: Shape, directions: usize) -> usize {
    let Shape { batch, seq_len, channels, states } = shape;
    directions * batch * seq_len.div_ceil(TILE) * channels.div_ceil(LANES) * states * LANES
}

/// Where an operand `[B, L, E]` stands, for prefetching.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    start: *const f32,
    stride: usize,
}

impl Rows {
    #[inline(always)]
    pub(super) fn new(start: *const f32, stride: usize) -> Self {
        Self { start, stride }
    }
}

/// Operands in the order in which the kernels read them.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    /// `-exp(a_log) log2(e)`, `[direction, block, N, LANES]`.
    decay_rates: &'a [f32],
    /// `[direction, B, tile, N, B and C of each token of the tile]`, in scan order.
    bc: &'a [f32],
    plan: &'a Plan,
}

impl<'a> Operands<'a> {
    /// Elements of memory that [`Operands::new`] asks for.
    pub(super) fn len(plan: &Plan, directions: usize) -> usize {
        let Shape { batch, states, .. } = plan.shape;
        directions * (plan.blocks * plan.state_len() + batch * plan.padded_len() * 2 * states)
    }

    pub(super) fn new(args: &Args<'_, f32>, plan: &'a Plan, memory: &'a mut [f32]) -> Self {
        let Shape { batch, states, .. } = plan.shape;
        let (rates, bc) =
            memory.split_at_mut(args.directions.len() * plan.blocks * plan.state_len());
        let rates_of_block = |(k, rates): (usize, &mut [f32])| {
            fill_rates(&args.directions[k / plan.blocks], plan, k % plan.blocks, rates);
        };
        let bc_of_image = |(k, tiles): (usize, &mut [f32])| {
            fill_tiles(&args.directions[k / batch], plan, k % batch, tiles);
        };
        rayon::join(
            || rates.par_chunks_mut(plan.state_len()).enumerate().for_each(rates_of_block),
            || bc.par_chunks_mut(plan.padded_len() * 2 * states).enumerate().for_each(bc_of_image),
        );
        Self { decay_rates: rates, bc, plan }
    }

    /// `[N, LANES]`.
    #[inline(always)]
    pub(super) fn decay_rates(&self, direction: usize, block: usize) -> &'a [[f32; LANES]] {
        let len = self.plan.state_len();
        self.decay_rates[(direction * self.plan.blocks + block) * len..][..len].as_chunks().0
    }

    /// `[N, 2 width]`: B of all tokens of the tile, then C.
    #[inline(always)]
    pub(super) fn bc(&self, direction: usize, image: usize, tile: &Tile) -> &'a [f32] {
        let per_token = 2 * self.plan.shape.states;
        let image = direction * self.plan.shape.batch + image;
        let first = image * self.plan.padded_len() + tile.start;
        &self.bc[first * per_token..][..tile.width * per_token]
    }
}

/// exp in f32 is accurate to its rounding, which the fast exp of the kernels is not; an error here
/// would act on every token alike.
fn fill_rates(direction: &Direction<'_, f32>, plan: &Plan, block: usize, rates: &mut [f32]) {
    let states = plan.shape.states;
    rates.fill(0.0);
    for lane in 0..plan.lanes(block) {
        let a_log = &direction.a_log[(block * LANES + lane) * states..][..states];
        for (n, a_log) in a_log.iter().enumerate() {
            let rate = f64::from(a_log.exp()) * -std::f64::consts::LOG2_E;
            rates[n * LANES + lane] = rate as f32;
        }
    }
}

fn fill_tiles(direction: &Direction<'_, f32>, plan: &Plan, image: usize, tiles: &mut [f32]) {
    let Shape { seq_len, states, .. } = plan.shape;
    for (index, memory) in tiles.chunks_mut(TILE * 2 * states).enumerate() {
        let tile = plan.tile(index);
        memory.fill(0.0);
        for t in 0..tile.steps {
            let row = image * seq_len + direction.order.token(tile.start + t, seq_len);
            let (b, c) = direction.bc.row(row).split_at(states);
            for (n, (b, c)) in b.iter().zip(c).enumerate() {
                memory[n * 2 * tile.width + t] = *b;
                memory[n * 2 * tile.width + tile.width + t] = *c;
            }
        }
    }
}
