//! Convolution straight from the image, by tasks that each make some rows of the output.
//!
//! A task copies the rows of the input that it needs into a strip once, some channels at a time, and
//! every place of the kernel reads them from another start. Where the input has few channels, all
//! pixels under the kernel of one output are one *deep* pixel instead, so that few terms are padded
//! to 32.
#![allow(unsafe_code, reason = "tasks own rows of one output")]

use super::engine::{Engine, Moves, PANEL, Tile, Walk};
use super::phases::Axis;
use super::weights::{Packed, Phase, Source};
use super::{Images, Sum};
use crate::disjoint::Disjoint;
use rayon::prelude::*;
use std::ops::Range;

/// Pixels that are copied together.
const BLOCK: usize = 16;

/// Value pass.
pub(super) fn forward<E: Engine>(
    engine: E,
    images: &Images<'_>,
    weights: &Packed<E::Item>,
    sum: &Sum<'_>,
    out: &mut [f32],
) {
    if out.is_empty() {
        return;
    }
    let plan = Plan::new::<E>(images, weights);
    let out_row = images.columns * images.kernel.outputs;
    let out = Disjoint::new(out);
    let tasks = images.shape.batch * plan.tasks;
    (0..tasks).into_par_iter().with_max_len(1).for_each(|task| {
        let (image, rows) = (task / plan.tasks, plan.rows(task % plan.tasks));
        let out_rows = rows.start * plan.out_step..(rows.end * plan.out_step).min(images.rows);
        let first = (image * images.rows + out_rows.start) * out_row;
        // SAFETY: the output rows of this task, which no other task reaches.
        let out = unsafe { out.part(first, out_rows.len() * out_row) };
        sum.start(first, out);
        Task { engine, images, weights, plan: &plan, image, rows }.run(out);
    });
}

/// The cut of one call.
struct Plan {
    /// Rows of the output of one row of each phase.
    out_step: usize,
    /// Rows of phases of an image.
    rows: usize,
    /// Tasks of an image.
    tasks: usize,
    /// Rows of the input that the first rows of all phases read.
    row_reads: Range<isize>,
    /// Columns of the input that whole tiles read.
    column_reads: Range<isize>,
    /// Rows of the input from one row of a phase to the next.
    in_step: usize,
}

impl Plan {
    fn new<E: Engine>(images: &Images<'_>, weights: &Packed<E::Item>) -> Self {
        let axes =
            |i: usize| weights.phases.iter().map(move |phase| [&phase.rows, &phase.columns][i]);
        let reads = |i: usize| {
            let first = axes(i).map(|axis| axis.taps[0].at).min();
            let last = axes(i).map(|axis| axis.taps[axis.taps.len() - 1].at).max();
            first.unwrap_or(0)..last.unwrap_or(0) + 1
        };
        let Axis { out_step, in_step, .. } = weights.phases[0].rows;
        let (rows, columns) = (images.rows.div_ceil(out_step), images.columns.div_ceil(out_step));
        let [row_reads, mut column_reads] = [reads(0), reads(1)];
        column_reads.end += ((columns.next_multiple_of(E::TILE) - 1) * in_step) as isize;
        let strip_rows = E::STRIP / (count(&column_reads) * weights.chunk * E::PIXEL);
        let most = strip_rows.saturating_sub(count(&row_reads)) / in_step + 1;
        // Twice the threads, so that one that is held up does not hold up all.
        let wanted = (2 * rayon::current_num_threads()).div_ceil(images.shape.batch);
        let tasks = rows.div_ceil(most).max(wanted).min(rows);
        Self { out_step, rows, tasks, row_reads, column_reads, in_step }
    }

    /// Rows of phases of a task.
    fn rows(&self, task: usize) -> Range<usize> {
        task * self.rows / self.tasks..(task + 1) * self.rows / self.tasks
    }
}

/// Some rows of one image.
struct Task<'a, E: Engine> {
    engine: E,
    images: &'a Images<'a>,
    weights: &'a Packed<E::Item>,
    plan: &'a Plan,
    image: usize,
    rows: Range<usize>,
}

/// Some channels of the pixels that a task reads, `[slab, row, column]`.
struct Strip<'a, I> {
    items: &'a mut [I],
    slabs: Range<usize>,
    rows: usize,
    columns: usize,
}

impl<E: Engine> Task<'_, E> {
    fn run(&self, out: &mut [f32]) {
        let rows = (self.rows.len() - 1) * self.plan.in_step + count(&self.plan.row_reads);
        let columns = count(&self.plan.column_reads);
        let Packed { depth, chunk, ref phases, .. } = *self.weights;
        let slab = rows * columns * E::PIXEL;
        self.engine.with_strip(chunk * slab, |items| {
            for first in (0..depth.div_ceil(PANEL)).step_by(chunk) {
                let slabs = first..(first + chunk).min(depth.div_ceil(PANEL));
                let items = &mut items[..slabs.len() * slab];
                let mut strip = Strip { items, slabs, rows, columns };
                match self.weights.source {
                    Source::Pixels => self.split(&mut strip),
                    Source::Patches => self.split_patches(&mut strip),
                }
                for phase in phases {
                    self.multiply(phase, &strip, out);
                }
            }
        });
    }

    /// Fills a strip with pixels.
    fn split(&self, strip: &mut Strip<'_, E::Item>) {
        let &mut Strip { ref slabs, rows, columns, .. } = strip;
        let depth = self.weights.depth;
        let first_row = (self.rows.start * self.plan.in_step) as isize + self.plan.row_reads.start;
        let before = self.plan.column_reads.start.unsigned_abs();
        let inside = self.images.shape.width.min(columns - before);
        for row in 0..rows {
            let pixels = self.images.row(self.image, first_row + row as isize, inside);
            let pixels = pixels.unwrap_or_default();
            let filled = before..before + pixels.len() / depth;
            for slab in 0..slabs.len() {
                let items = &mut strip.items[(slab * rows + row) * columns * E::PIXEL..];
                items[..filled.start * E::PIXEL].fill(E::Item::default());
                items[filled.end * E::PIXEL..columns * E::PIXEL].fill(E::Item::default());
            }
            // A few pixels at a time, so that what is read of them stays in the cache for all slabs.
            for (block, pixels) in pixels.chunks(BLOCK * depth).enumerate() {
                for (i, slab) in slabs.clone().enumerate() {
                    let first = (i * rows + row) * columns + before + block * BLOCK;
                    let items = &mut strip.items[first * E::PIXEL..];
                    self.engine.split(pixels, depth, slab * PANEL, items);
                }
            }
        }
    }

    /// Fills a strip with deep pixels; those beyond the last output are left as they are.
    fn split_patches(&self, strip: &mut Strip<'_, E::Item>) {
        let mut patch = vec![0.0; self.weights.depth];
        for row in 0..strip.rows {
            for x in 0..self.images.columns {
                self.images.patch(self.image, self.rows.start + row, x, &mut patch);
                for (i, slab) in strip.slabs.clone().enumerate() {
                    let pixel = (i * strip.rows + row) * strip.columns + x;
                    let items = &mut strip.items[pixel * E::PIXEL..][..E::PIXEL];
                    self.engine.split(&patch, self.weights.depth, slab * PANEL, items);
                }
            }
        }
    }

    /// Adds the products of one phase with a strip.
    fn multiply(&self, phase: &Phase<E::Item>, strip: &Strip<'_, E::Item>, out: &mut [f32]) {
        let places = Self::places(phase, strip);
        let moves = Moves::new(&places);
        let list = self.tiles(phase, strip.columns);
        let outputs = self.images.kernel.outputs;
        let slabs = self.weights.depth.div_ceil(PANEL);
        for panel in 0..outputs.div_ceil(PANEL) {
            let step = (panel * slabs + strip.slabs.start) * (places.len() / strip.slabs.len());
            let walk = Walk {
                strip: strip.items,
                pixel_stride: phase.columns.in_step * E::PIXEL,
                moves: &moves,
                panel: &phase.panels[step * E::STEP..][..(places.len() + 1) * E::STEP],
                out_stride: phase.columns.out_step * outputs,
                columns: PANEL.min(outputs - panel * PANEL),
            };
            self.engine.multiply(&walk, &list, &mut out[panel * PANEL..]);
        }
    }

    /// Where the steps of a product read, in items of the strip from the first.
    fn places(phase: &Phase<E::Item>, strip: &Strip<'_, E::Item>) -> Vec<usize> {
        let from_first = |axis: &Axis| -> Vec<usize> {
            axis.taps.iter().map(|tap| (tap.at - axis.taps[0].at) as usize).collect()
        };
        let (rows, columns) = (from_first(&phase.rows), from_first(&phase.columns));
        let mut places = Vec::new();
        for slab in 0..strip.slabs.len() {
            for row in &rows {
                let start = (slab * strip.rows + row) * strip.columns;
                places.extend(columns.iter().map(|column| (start + column) * E::PIXEL));
            }
        }
        places
    }

    /// The tiles of a phase in a strip whose rows have `columns` pixels.
    fn tiles(&self, phase: &Phase<E::Item>, columns: usize) -> Vec<Tile> {
        let rows = self.rows.end.min(phase.rows.count(self.images.rows)) - self.rows.start;
        let phase_columns = phase.columns.count(self.images.columns);
        // The pixel of the strip that the first place of the kernel meets.
        let above = (phase.rows.taps[0].at - self.plan.row_reads.start) as usize;
        let left = (phase.columns.taps[0].at - self.plan.column_reads.start) as usize;
        let tile = |row: usize, column: usize| {
            let pixel = [above + row * phase.rows.in_step, left + column * phase.columns.in_step];
            let out = [
                row * phase.rows.out_step + phase.rows.first,
                column * phase.columns.out_step + phase.columns.first,
            ];
            Tile {
                at: (pixel[0] * columns + pixel[1]) * E::PIXEL,
                out: (out[0] * self.images.columns + out[1]) * self.images.kernel.outputs,
                wanted: E::TILE.min(phase_columns - column),
            }
        };
        let starts = (0..phase_columns).step_by(E::TILE);
        (0..rows).flat_map(|row| starts.clone().map(move |column| tile(row, column))).collect()
    }
}

/// Elements of a range.
fn count(range: &Range<isize>) -> usize {
    (range.end - range.start) as usize
}
