//! Products from operands packed as bf16.
//!
//! Both operands are cut into panels, 32 rows of `a` or 32 columns of `b`, and each panel along K
//! into slabs of 32, which hold two tiles of 16 for every part:
//!
//! ```text
//! a tile   [16 rows of a][32 of K]             64 bytes a row
//! b tile   [16 pairs of K][16 columns of b][2] 64 bytes a row
//! ```
//!
//! One slab of `a` and one of `b` are all that a step of the inner loop reads. `b` is packed first
//! and whole; tasks pack their rows of `a` chunk by chunk of K, which keeps them in the L2 cache
//! while the panels of `b` stream past.
#![allow(unsafe_code, reason = "tile and vector instructions, tasks that own parts of one matrix")]

mod amx;
mod dot;
mod pack;

use crate::disjoint::Disjoint;
use crate::matrix::{Mat, MatMut};
use crate::memory::advise_huge_pages;
use crate::simd::amx_available;
use crate::{InstructionSet, Precision, Write};
pub(crate) use amx::Tiles;
pub(crate) use pack::split_pixels;
use pack::{Operand, Side};
use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;

/// Rows or columns of a panel, and depth of a slab.
const PANEL: usize = 32;
/// bf16 of one part of a slab.
pub(crate) const PART: usize = PANEL * PANEL;
/// Most slabs of one chunk of K. Fixed, since the cut of a sum decides its bits.
const CHUNK: usize = 16;
/// Lines of the panels of `b` that are used together: half a megabyte.
const RUN_LINES: usize = 8192;
/// Most panels of `a` in one task: with the longest chunk three quarters of a megabyte.
const TASK_PANELS: usize = 8;

/// One cache line of packed numbers.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Line([u16; PANEL]);

impl Line {
    /// All zeros.
    pub(crate) const ZERO: Self = Self([0; PANEL]);
}

/// Lines of one part of a slab.
pub(crate) const PART_LINES: usize = PART / PANEL;

/// Units that multiply packed operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// AMX tiles, three parts of each operand.
    AmxF32,
    /// AMX tiles, operands rounded.
    AmxBf16,
    /// AVX-512 dot products, operands rounded.
    DotBf16,
}

impl Engine {
    /// The engine of a kind of product, where the CPU has one.
    ///
    /// # Panics
    /// When the CPU lacks `set`.
    pub(super) fn of(set: InstructionSet, precision: Precision) -> Option<Self> {
        assert!(set != InstructionSet::Amx || amx_available(), "this CPU has no AMX");
        match (set, precision) {
            (InstructionSet::Amx, Precision::F32) => Some(Self::AmxF32),
            (InstructionSet::Amx, Precision::Bf16) => Some(Self::AmxBf16),
            (InstructionSet::Avx512, Precision::Bf16) => dot::is_fast().then_some(Self::DotBf16),
            _ => None,
        }
    }

    /// bf16 numbers that stand for one f32.
    fn parts(self) -> usize {
        match self {
            Self::AmxF32 => 3,
            Self::AmxBf16 | Self::DotBf16 => 1,
        }
    }

    /// Lines of a slab.
    fn slab(self) -> usize {
        self.parts() * PART_LINES
    }
}

/// Computes the product, or returns false where it is better left to others.
pub(super) fn run(
    set: InstructionSet,
    precision: Precision,
    out: &mut MatMut<'_, f32>,
    write: Write,
    a: Mat<'_, f32>,
    b: Mat<'_, f32>,
) -> bool {
    let wide_enough = out.rows.min(out.cols) >= precision.least_size() && a.cols > 0;
    match Engine::of(set, precision) {
        Some(engine) if wide_enough => run_on(engine, out, write, a, b),
        _ => false,
    }
}

/// Computes the product with one engine, or returns false where an operand has no contiguous
/// direction.
fn run_on(
    engine: Engine,
    out: &mut MatMut<'_, f32>,
    write: Write,
    a: Mat<'_, f32>,
    b: Mat<'_, f32>,
) -> bool {
    let (Some(rows), Some(columns)) = (Operand::new(Side::A, &a), Operand::new(Side::B, &b)) else {
        return false;
    };
    let plan = Plan::new(engine, out, a.cols);
    let panel = plan.slabs * engine.slab();
    let shares_a = plan.tasks[1] > 1;
    let a_panels = if shares_a { plan.a_panels } else { 0 };
    with_lines((a_panels + plan.b_panels) * panel, |packed| {
        let (packed_a, packed_b) = packed.split_at_mut(a_panels * panel);
        if shares_a {
            pack_whole(&plan, rows, packed_a);
        }
        pack_whole(&plan, columns, packed_b);
        let a = if shares_a { Rows::Packed(packed_a) } else { Rows::Unpacked(rows) };
        multiply(&plan, a, packed_b, write, out);
    });
    true
}

/// The cut of one product.
#[derive(Clone, Copy)]
struct Plan {
    engine: Engine,
    rows: usize,
    columns: usize,
    /// Slabs along K.
    slabs: usize,
    /// Slabs of a chunk; the last chunk may be shorter.
    chunk: usize,
    a_panels: usize,
    b_panels: usize,
    /// Tasks along the rows and along the columns.
    tasks: [usize; 2],
}

impl Plan {
    fn new(engine: Engine, out: &MatMut<'_, f32>, depth: usize) -> Self {
        let panels = |n: usize| n.div_ceil(PANEL);
        let (slabs, a_panels, b_panels) = (panels(depth), panels(out.rows), panels(out.cols));
        // Twice the threads, so that one that is held up does not hold up all.
        let wanted = 2 * rayon::current_num_threads();
        let down = a_panels.div_ceil(TASK_PANELS);
        let tasks = if down >= wanted {
            [down.next_multiple_of(wanted).min(a_panels), 1]
        } else {
            [down, wanted.div_ceil(down).min(b_panels)]
        };
        let chunk = slabs.div_ceil(slabs.div_ceil(CHUNK));
        let (rows, columns) = (out.rows, out.cols);
        Self { engine, rows, columns, slabs, chunk, a_panels, b_panels, tasks }
    }

    /// Panels of `a` and of `b` of a task.
    fn task(&self, task: usize) -> [Range<usize>; 2] {
        let share =
            |panels: usize, tasks: usize, i: usize| i * panels / tasks..(i + 1) * panels / tasks;
        let [down, across] = self.tasks;
        [share(self.a_panels, down, task / across), share(self.b_panels, across, task % across)]
    }
}

/// Packs a whole operand: `[panel, slab, part]`.
fn pack_whole(plan: &Plan, operand: Operand<'_>, packed: &mut [Line]) {
    let slab_lines = plan.engine.slab();
    let slabs = plan.slabs;
    let panels = packed.len() / (slabs * slab_lines);
    let packed = Disjoint::new(packed);
    let pack = |panel: usize, slab: usize| {
        // SAFETY: one slab of one panel, which only this call packs.
        let packed = unsafe { packed.part((panel * slabs + slab) * slab_lines, slab_lines) };
        pack::slab(plan.engine.parts(), operand, panel, slab, packed);
    };
    if operand.is_contiguous_along_depth() {
        (0..panels).into_par_iter().for_each(|panel| (0..slabs).for_each(|slab| pack(panel, slab)));
    } else {
        (0..slabs).into_par_iter().for_each(|slab| (0..panels).for_each(|panel| pack(panel, slab)));
    }
}

/// The panels of the right operand `[k, n]` of an f32 product, as three parts, and a step more: made
/// once for many products.
///
/// # Panics
/// When the CPU lacks AMX, or `matrix` is not contiguous along its rows or columns.
pub(crate) fn pack_panels(matrix: &Mat<'_, f32>) -> Vec<Line> {
    assert!(amx_available(), "this CPU has no AMX");
    let operand = Operand::new(Side::B, matrix).expect("a matrix with a contiguous direction");
    let steps = matrix.rows.div_ceil(PANEL);
    let len = matrix.cols.div_ceil(PANEL) * steps * 3 * PART_LINES;
    let mut packed = vec![Line::ZERO; len + 3 * PART_LINES];
    packed[..len].par_chunks_exact_mut(3 * PART_LINES).enumerate().for_each(|(i, lines)| {
        pack::slab(3, operand, i / steps, i % steps, lines);
    });
    packed
}

/// The left operand.
#[derive(Clone, Copy)]
enum Rows<'a> {
    /// `[panel, slab, part]`, for tasks that share rows.
    Packed(&'a [Line]),
    /// To be packed by the one task that needs them.
    Unpacked(Operand<'a>),
}

fn multiply(plan: &Plan, a: Rows<'_>, b: &[Line], write: Write, out: &mut MatMut<'_, f32>) {
    let out_stride = out.row_stride;
    let out = Disjoint::new(&mut *out.data);
    let tasks = plan.tasks[0] * plan.tasks[1];
    (0..tasks).into_par_iter().with_max_len(1).for_each(|task| {
        let [rows, columns] = plan.task(task);
        let task = Task { plan, a, b, rows, columns, out, out_stride };
        let own = match a {
            Rows::Packed(_) => 0,
            Rows::Unpacked(_) => task.rows.len() * plan.chunk * plan.engine.slab(),
        };
        with_lines(own, |own| {
            let _tiles = amx::Tiles::of(plan.engine);
            for first in (0..plan.slabs).step_by(plan.chunk) {
                let slabs = first..(first + plan.chunk).min(plan.slabs);
                task.chunk(slabs, if first == 0 { write } else { Write::Accumulate }, own);
            }
        });
    });
}

/// Some panels of rows times some panels of columns.
struct Task<'a> {
    plan: &'a Plan,
    a: Rows<'a>,
    b: &'a [Line],
    rows: Range<usize>,
    columns: Range<usize>,
    out: Disjoint<'a, f32>,
    out_stride: usize,
}

impl Task<'_> {
    /// One chunk of K.
    fn chunk(&self, slabs: Range<usize>, write: Write, own: &mut [Line]) {
        let slab = self.plan.engine.slab();
        let len = slabs.len() * slab;
        let of_panel = |panel: usize| (panel * self.plan.slabs + slabs.start) * slab;
        if let Rows::Unpacked(a) = self.a {
            self.pack(a, slabs.clone(), &mut own[..self.rows.len() * len]);
        }
        // Rows of the destination are written in runs, which memory serves faster than single
        // blocks, and the panels of `b` that a run needs stay in the cache for the next.
        let run = (RUN_LINES / len).max(1);
        for first in self.columns.clone().step_by(run) {
            for (i, row) in self.rows.clone().enumerate() {
                let a = match self.a {
                    Rows::Packed(a) => &a[of_panel(row)..][..len],
                    Rows::Unpacked(_) => &own[i * len..][..len],
                };
                for column in first..(first + run).min(self.columns.end) {
                    let b = &self.b[of_panel(column)..][..len];
                    self.block(row, column).add_product(self.plan.engine, a, b, write);
                }
            }
        }
    }

    /// Packs this task's rows, `[panel, slab, part]`.
    fn pack(&self, a: Operand<'_>, slabs: Range<usize>, packed: &mut [Line]) {
        let slab_lines = self.plan.engine.slab();
        let (panels, len) = (self.rows.len(), slabs.len());
        let mut pack = |panel: usize, slab: usize| {
            let packed = &mut packed[(panel * len + slab) * slab_lines..][..slab_lines];
            let (panel, slab) = (self.rows.start + panel, slabs.start + slab);
            pack::slab(self.plan.engine.parts(), a, panel, slab, packed);
        };
        if a.is_contiguous_along_depth() {
            (0..panels).for_each(|panel| (0..len).for_each(|slab| pack(panel, slab)));
        } else {
            (0..len).for_each(|slab| (0..panels).for_each(|panel| pack(panel, slab)));
        }
    }

    /// Where the product of two panels goes.
    fn block(&self, row: usize, column: usize) -> Block {
        let (first_row, first_column) = (row * PANEL, column * PANEL);
        let height = (self.plan.rows - first_row).min(PANEL);
        let width = (self.plan.columns - first_column).min(PANEL);
        let at = first_row * self.out_stride + first_column;
        // SAFETY: rows and columns of this task, which no other task reaches.
        unsafe { Block::new(self.out, at, self.out_stride, height, width) }
    }
}

/// At most 32 x 32 elements of the destination.
struct Block {
    at: *mut f32,
    stride: usize,
    height: usize,
    width: usize,
}

impl Block {
    /// # Safety
    /// While the block lives, nobody else may reach its elements.
    unsafe fn new(
        out: Disjoint<'_, f32>,
        at: usize,
        stride: usize,
        height: usize,
        width: usize,
    ) -> Self {
        let at = out.pointer(at, (height - 1) * stride + width);
        Self { at, stride, height, width }
    }

    /// Adds the product of two panels, or overwrites with it.
    fn add_product(&mut self, engine: Engine, a: &[Line], b: &[Line], write: Write) {
        if self.height == PANEL && self.width == PANEL {
            // SAFETY: a full block, exclusive as promised when it was made.
            return unsafe { product(engine, a, b, write, self.at, self.stride) };
        }
        let mut full = [0.0f32; PART];
        // SAFETY: `full` is a full block of its own.
        unsafe { product(engine, a, b, Write::Overwrite, full.as_mut_ptr(), PANEL) };
        for (r, from) in full.chunks_exact(PANEL).enumerate().take(self.height) {
            let row = self.at.wrapping_add(r * self.stride);
            // SAFETY: row `r` of the block, exclusive as promised when it was made.
            let row = unsafe { std::slice::from_raw_parts_mut(row, self.width) };
            match write {
                Write::Overwrite => row.copy_from_slice(&from[..self.width]),
                Write::Accumulate => row.iter_mut().zip(from).for_each(|(to, x)| *to += x),
            }
        }
    }
}

/// Product of two panels into a full block.
///
/// # Safety
/// `out` must point to 32 rows of 32 elements, `stride` apart, that nobody else reaches, and `a` and
/// `b` must come from [`with_lines`].
unsafe fn product(
    engine: Engine,
    a: &[Line],
    b: &[Line],
    write: Write,
    out: *mut f32,
    stride: usize,
) {
    let product = match engine {
        Engine::AmxF32 => amx::product_of_three,
        Engine::AmxBf16 => amx::product_of_one,
        Engine::DotBf16 => dot::product,
    };
    // SAFETY: by the contract of this function; an engine exists only where its units do, and
    // tasks configure the tiles of theirs.
    unsafe { product(a, b, write, out, stride) };
}

/// Hands out lines of this thread's buffer, which only grows and always has one slab more. A task
/// that is interrupted by another product finds the buffer gone and the other one takes a new one.
pub(crate) fn with_lines<R>(len: usize, work: impl FnOnce(&mut [Line]) -> R) -> R {
    /// The largest slab: three parts.
    const SPARE: usize = 3 * PART_LINES;
    thread_local! {
        static LINES: Cell<Vec<Vec<Line>>> = const { Cell::new(Vec::new()) };
    }
    let mut stock = LINES.take();
    let mut lines = stock.pop().unwrap_or_default();
    LINES.set(stock);
    if lines.len() < len + SPARE {
        lines = vec![Line::ZERO; len + SPARE];
        advise_huge_pages(&lines);
    }
    let result = work(&mut lines[..len]);
    let mut stock = LINES.take();
    stock.push(lines);
    LINES.set(stock);
    result
}

#[cfg(test)]
mod tests;
