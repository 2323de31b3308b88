//! Convolution straight from the image, by tasks that each make some rows of the output, of one image
//! or of several.
//!
//! A task copies the rows of the input that it needs into a strip once, some channels at a time, and
//! every place of the kernel reads them from another start. Where the input has few channels, all
//! pixels under the kernel of one output are one *deep* pixel instead, so that few terms are padded
//! to 32.
#![allow(unsafe_code, reason = "tasks own rows of one output")]

use super::engine::{Engine, Moves, PANEL, Run, Start, Strides, Tile, Walk, cover};
use super::strip::{Filler, Layout, Part, Strip};
use super::weights::{Packed, Phase};
use super::{Images, Sum};
use crate::MatMut;
use crate::conv2d::Activation;
use crate::disjoint::Disjoint;
use rayon::prelude::*;
use std::ops::Range;

/// Value pass.
pub(super) fn forward<E: Engine>(
    engine: E,
    images: &Images<'_>,
    weights: &Packed<E::Panels>,
    sum: &Sum<'_>,
    out: &mut MatMut<'_, f32>,
) {
    if out.rows == 0 {
        return;
    }
    let plan = Plan::new::<E>(images, weights, out.row_stride);
    let out_stride = out.row_stride;
    let out = Disjoint::new(&mut *out.data);
    (0..plan.tasks()).into_par_iter().with_max_len(1).for_each(|task| {
        let part = plan.part(task);
        let rows = plan.out_rows(images, &part);
        let (first, pixels) = (rows.start * images.columns, rows.len() * images.columns);
        let span = (pixels - 1) * out_stride + images.kernel.outputs;
        // SAFETY: the output rows of this task, which no other task reaches.
        let out = unsafe { out.part(first * out_stride, span) };
        if let Some(add) = sum.add {
            let add = &add[first * sum.bias.len()..];
            start(sum.bias, add, out_stride, out);
        }
        Task { engine, images, weights, sum, plan: &plan, part }.run(out);
    });
}

/// Writes bias and residual to the part of the output whose first pixel is that of `add`, with pixels
/// `stride` apart.
fn start(bias: &[f32], add: &[f32], stride: usize, out: &mut [f32]) {
    for (out, add) in out.chunks_mut(stride).zip(add.chunks_exact(bias.len())) {
        for ((out, add), bias) in out.iter_mut().zip(add).zip(bias) {
            *out = add + bias;
        }
    }
}

/// The cut of one call.
struct Plan {
    /// Elements from a pixel of the output to the next.
    out_stride: usize,
    /// Rows of the output of one row of each phase.
    out_step: usize,
    /// Images, and rows of phases of each.
    batch: usize,
    rows: usize,
    /// Tasks of an image, and images of a task; one of them is 1.
    image_tasks: usize,
    task_images: usize,
    layout: Layout,
}

impl Plan {
    fn new<E: Engine>(images: &Images<'_>, weights: &Packed<E::Panels>, out_stride: usize) -> Self {
        let layout = Layout::new(images, weights);
        let out_step = weights.phases[0].rows.out_step;
        let (batch, rows) = (images.shape.batch, images.rows.div_ceil(out_step));
        let pixels = E::STRIP / (weights.chunk * E::PIXEL);
        // Twice the threads, so that one that is held up does not hold up all.
        let wanted = 2 * rayon::current_num_threads();
        let image_tasks = rows.div_ceil(layout.rows(pixels)).max(wanted.div_ceil(batch)).min(rows);
        let task_images = match image_tasks {
            1 => (pixels / layout.pixels(rows)).clamp(1, batch.div_ceil(wanted)),
            _ => 1,
        };
        Self { out_stride, out_step, batch, rows, image_tasks, task_images, layout }
    }

    fn tasks(&self) -> usize {
        self.batch.div_ceil(self.task_images) * self.image_tasks
    }

    fn part(&self, task: usize) -> Part {
        let share = |all: usize, tasks: usize, i: usize| i * all / tasks..(i + 1) * all / tasks;
        let (first, of_image) = (task / self.image_tasks, task % self.image_tasks);
        Part {
            images: share(self.batch, self.batch.div_ceil(self.task_images), first),
            rows: share(self.rows, self.image_tasks, of_image),
        }
    }

    /// Rows of the output of a task, counted through all images.
    fn out_rows(&self, images: &Images<'_>, part: &Part) -> Range<usize> {
        let first = part.images.start * images.rows + part.rows.start * self.out_step;
        let last = (part.images.end - 1) * images.rows;
        first..last + (part.rows.end * self.out_step).min(images.rows)
    }
}

/// Some rows of some images.
struct Task<'a, 'x, E: Engine> {
    engine: E,
    images: &'a Images<'x>,
    weights: &'a Packed<E::Panels>,
    sum: &'a Sum<'a>,
    plan: &'a Plan,
    part: Part,
}

impl<E: Engine> Task<'_, '_, E> {
    fn run(&self, out: &mut [f32]) {
        let &Self { engine, images, weights, plan, ref part, .. } = self;
        let filler = Filler { engine, images, weights, layout: &plan.layout, part };
        let slab = filler.slab();
        let tiles: Vec<Vec<Tile>> = weights.phases.iter().map(|phase| self.tiles(phase)).collect();
        let all = weights.depth.div_ceil(PANEL);
        engine.with_strip((weights.chunk * slab + filler.margin()) * E::PIXEL, |items| {
            for first in (0..all).step_by(weights.chunk) {
                let slabs = first..(first + weights.chunk).min(all);
                let mut strip = Strip { items, slabs, slab };
                filler.fill(&mut strip);
                for (phase, tiles) in weights.phases.iter().zip(&tiles) {
                    self.multiply(phase, &strip, tiles, out);
                }
            }
        });
    }

    /// Adds the products of one phase with a strip.
    fn multiply(
        &self,
        phase: &Phase<E::Panels>,
        strip: &Strip<'_, E::Item>,
        tiles: &[Tile],
        out: &mut [f32],
    ) {
        let places = self.places(phase, strip);
        let moves = Moves::new(&places);
        let outputs = self.images.kernel.outputs;
        let slabs = self.weights.depth.div_ceil(PANEL);
        let is_first = strip.slabs.start == 0 && self.sum.add.is_none();
        let is_last = strip.slabs.end == slabs;
        let activation = if is_last { self.sum.activation } else { Activation::None };
        for panel in 0..outputs.div_ceil(PANEL) {
            let columns = panel * PANEL..outputs.min((panel + 1) * PANEL);
            let step = (panel * slabs + strip.slabs.start) * (places.len() / strip.slabs.len());
            let walk = Walk {
                strip: strip.items,
                pixel_stride: phase.columns.in_step * E::PIXEL,
                moves: &moves,
                panel: &phase.panels[step * E::STEP..][..(places.len() + 1) * E::STEP],
                out_stride: phase.columns.out_step * self.plan.out_stride,
                columns: columns.len(),
                start: if is_first {
                    Start::Bias(&self.sum.bias[columns.clone()])
                } else {
                    Start::Output
                },
                activation,
            };
            self.engine.multiply(&walk, tiles, &mut out[columns.start..]);
        }
    }

    /// Where the steps of a product read for the first output, in items of the strip.
    fn places(&self, phase: &Phase<E::Panels>, strip: &Strip<'_, E::Item>) -> Vec<usize> {
        let (layout, rows) = (&self.plan.layout, self.part.rows.len());
        let mut places = Vec::new();
        for slab in 0..strip.slabs.len() {
            for row in &phase.rows.taps {
                for column in &phase.columns.taps {
                    let place = slab * strip.slab + layout.place(rows, [row.at, column.at]);
                    places.push(place * E::PIXEL);
                }
            }
        }
        places
    }

    /// The tiles of a phase.
    fn tiles(&self, phase: &Phase<E::Panels>) -> Vec<Tile> {
        let (images, plan) = (self.images, self.plan);
        let rows = self.part.rows.start..self.part.rows.end.min(phase.rows.count(images.rows));
        let columns = phase.columns.count(images.columns);
        let image_pixels = plan.layout.pixels(self.part.rows.len());
        let runs = (0..self.part.images.len()).flat_map(|image| {
            (0..rows.len()).map(move |row| {
                let out_row = image * images.rows + row * phase.rows.out_step + phase.rows.first;
                let out = out_row * images.columns + phase.columns.first;
                Run {
                    at: (image * image_pixels + row * plan.layout.pitch) * E::PIXEL,
                    out: out * plan.out_stride,
                    pixels: columns,
                }
            })
        });
        let out_stride = phase.columns.out_step * plan.out_stride;
        let strides = Strides { strip: phase.columns.in_step * E::PIXEL, out: out_stride };
        cover(E::TILE, strides, runs)
    }
}
