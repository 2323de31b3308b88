//! The input of one task, copied once, some channels at a time, to where the units read it.
//!
//! Rows stand one behind the other, so that a tile runs on from the end of one to the start of the
//! next, and zeros at the right of one are those at the left of the next. Where rows of the output
//! start `in_step` rows of the input apart, the strip has as many *planes*, of every `in_step`-th
//! row each: then the next row of the output reads the next row of the same planes.

use super::Images;
use super::engine::{Engine, PANEL};
use super::phases::Axis;
use super::weights::{Packed, Source};
use crate::Mat;
use std::ops::Range;

/// Pixels that are copied together.
const BLOCK: usize = 16;

/// Where the pixels of one image stand.
pub(super) struct Layout {
    /// Rows of the input that the first rows of all phases read.
    row_reads: Range<isize>,
    /// Columns of the input that rows of the output read.
    column_reads: Range<isize>,
    /// Rows of the input from one row of a phase to the next, and columns.
    in_step: usize,
    /// Pixels from a row of a plane to the next: a multiple of `in_step`.
    pub(super) pitch: usize,
}

impl Layout {
    pub(super) fn new<P>(images: &Images<'_>, weights: &Packed<P>) -> Self {
        let axes =
            |i: usize| weights.phases.iter().map(move |phase| [&phase.rows, &phase.columns][i]);
        let reads = |i: usize| {
            let first = axes(i).map(|axis| axis.taps[0].at).min();
            let last = axes(i).map(|axis| axis.taps[axis.taps.len() - 1].at).max();
            first.unwrap_or(0)..last.unwrap_or(0) + 1
        };
        let Axis { out_step, in_step, .. } = weights.phases[0].rows;
        let [row_reads, mut column_reads] = [reads(0), reads(1)];
        column_reads.end += ((images.columns.div_ceil(out_step) - 1) * in_step) as isize;
        let after = column_reads.end - weights.width(images) as isize;
        let shared = after.clamp(0, (-column_reads.start).max(0)) as usize;
        let pitch = (count(&column_reads) - shared).next_multiple_of(in_step);
        Self { row_reads, column_reads, in_step, pitch }
    }

    /// Rows of a plane for so many rows of phases.
    fn plane_rows(&self, rows: usize) -> usize {
        rows - 1 + count(&self.row_reads).div_ceil(self.in_step)
    }

    /// Pixels for so many rows of phases.
    pub(super) fn pixels(&self, rows: usize) -> usize {
        self.plane_rows(rows) * self.in_step * self.pitch
    }

    /// Rows of phases that have at most so many pixels, or one.
    pub(super) fn rows(&self, pixels: usize) -> usize {
        let plane_rows = pixels / (self.in_step * self.pitch);
        plane_rows.saturating_sub(count(&self.row_reads).div_ceil(self.in_step)) + 1
    }

    /// Place of what a tap meets for the first output of `rows` rows of phases.
    pub(super) fn place(&self, rows: usize, [row, column]: [isize; 2]) -> usize {
        let row = (row - self.row_reads.start) as usize;
        let column = (column - self.column_reads.start) as usize;
        self.row_place(rows, row) + column
    }

    /// Place of a row, counted from the first that is read.
    fn row_place(&self, rows: usize, row: usize) -> usize {
        (row % self.in_step * self.plane_rows(rows) + row / self.in_step) * self.pitch
    }

    /// Columns of zeros at the left, and pixels that are read after them.
    fn inside(&self, width: usize) -> Range<usize> {
        let before = (-self.column_reads.start).max(0) as usize;
        before..(before + width).min(count(&self.column_reads))
    }
}

/// Some rows of phases, the same of some images.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) images: Range<usize>,
    pub(super) rows: Range<usize>,
}

/// Some channels of the pixels that a task reads, `[slab, image, plane, row, column]`.
pub(super) struct Strip<'a, I> {
    pub(super) items: &'a mut [I],
    pub(super) slabs: Range<usize>,
    /// Pixels of a slab.
    pub(super) slab: usize,
}

/// What fills strips.
pub(super) struct Filler<'a, 'x, E: Engine> {
    pub(super) engine: E,
    pub(super) images: &'a Images<'x>,
    pub(super) weights: &'a Packed<E::Panels>,
    pub(super) layout: &'a Layout,
    pub(super) part: &'a Part,
}

impl<E: Engine> Filler<'_, '_, E> {
    /// Pixels of a slab.
    pub(super) fn slab(&self) -> usize {
        // The last row has no next one, whose zeros it shares.
        let own = count(&self.layout.column_reads).saturating_sub(self.layout.pitch);
        self.part.images.len() * self.layout.pixels(self.part.rows.len()) + own
    }

    /// Pixels behind the last slab that tiles reach, of any content.
    pub(super) fn margin(&self) -> usize {
        E::TILE * self.layout.in_step
    }

    /// Fills all rows of a strip.
    pub(super) fn fill(&self, strip: &mut Strip<'_, E::Item>) {
        let layout = self.layout;
        let rows = self.part.rows.len();
        let mut patches = Vec::new();
        for (i, image) in self.part.images.clone().enumerate() {
            let first = i * layout.pixels(rows);
            for row in 0..layout.plane_rows(rows) * layout.in_step {
                let at = first + layout.row_place(rows, row);
                let y = (self.part.rows.start * layout.in_step + row) as isize;
                self.fill_row(image, y + layout.row_reads.start, at, strip, &mut patches);
            }
        }
        let end = self.part.images.len() * layout.pixels(rows);
        self.zero(strip, end..strip.slab);
    }

    /// Fills the row of the strip that starts at pixel `at`.
    fn fill_row(
        &self,
        image: usize,
        y: isize,
        at: usize,
        strip: &mut Strip<'_, E::Item>,
        patches: &mut Vec<f32>,
    ) {
        let (end, width) = (at + self.layout.pitch, self.weights.width(self.images));
        let inside = self.layout.inside(width);
        let (start, mut x) = (at + inside.start, 0);
        let row = match self.weights.source {
            Source::Pixels => self.images.row(image, y),
            Source::Patches => usize::try_from(y).ok().filter(|&y| y < self.images.rows),
        };
        let Some(row) = row else { return self.zero(strip, at..end) };
        self.zero(strip, at..start);
        self.zero(strip, at + inside.end..end);
        // A few pixels at a time, so that what is read of them stays in the cache for all slabs.
        while x < inside.len() {
            let pixels = x..(x + BLOCK).min(inside.len());
            let source = match self.weights.source {
                Source::Pixels => {
                    let depth = self.weights.depth;
                    self.images.x.block(row + pixels.start..row + pixels.end, 0..depth)
                }
                Source::Patches => {
                    self.images.patches(image, row, pixels.clone(), patches);
                    Mat::new(patches, pixels.len(), self.weights.depth)
                }
            };
            for (i, slab) in strip.slabs.clone().enumerate() {
                let channels = slab * PANEL..((slab + 1) * PANEL).min(source.cols);
                let items = &mut strip.items[(i * strip.slab + start + x) * E::PIXEL..];
                self.engine.split(source.block(0..source.rows, channels), items);
            }
            x = pixels.end;
        }
    }

    /// Zeros in all slabs.
    fn zero(&self, strip: &mut Strip<'_, E::Item>, pixels: Range<usize>) {
        for slab in 0..strip.slabs.len() {
            let first = (slab * strip.slab + pixels.start) * E::PIXEL;
            strip.items[first..][..pixels.len() * E::PIXEL].fill(E::Item::default());
        }
    }
}

/// Elements of a range.
fn count(range: &Range<isize>) -> usize {
    (range.end - range.start) as usize
}
