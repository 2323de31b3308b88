//! Pixels and weights in f32: every channel of a pixel is broadcast, and multiplied with a vector of
//! weights or two.

use super::engine::{Engine, NOWHERE, PANEL, Start, Tile, Walk};
use crate::conv2d::Activation;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{Buffer, InstructionSet, Mat, Scratch};
use rayon::prelude::*;
use std::cell::Cell;

/// Pixels of a tile.
const TILE: usize = 8;
/// Elements of a step of a panel.
const STEP: usize = PANEL * PANEL;

/// Vectors of one instruction set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes(pub(super) InstructionSet);

impl Engine for Lanes {
    type Item = f32;
    /// Which starts at a cache line, so that no vector lies across two.
    type Panels = Buffer<f32>;
    const TILE: usize = TILE;
    const PIXEL: usize = PANEL;
    const STEP: usize = STEP;
    /// Panels of 36 KB, which stay in the L1 cache while the tiles pass.
    const CHUNK: usize = 9;
    /// 256 KB.
    const STRIP: usize = 64 << 10;

    fn panels(self, weights: Mat<'_, f32>) -> Buffer<f32> {
        let (rows, columns) = (weights.rows(), weights.cols());
        let panels = columns.div_ceil(PANEL);
        let mut packed = Buffer::zeros(panels * rows * PANEL + STEP);
        let blocks = packed[..panels * rows * PANEL].par_chunks_exact_mut(rows * PANEL);
        blocks.enumerate().for_each(|(panel, to)| {
            for (row, to) in to.chunks_exact_mut(PANEL).enumerate() {
                let from = &weights.row(row)[panel * PANEL..];
                let len = from.len().min(PANEL);
                to[..len].copy_from_slice(&from[..len]);
            }
        });
        packed
    }

    fn with_strip<R>(self, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
        thread_local! {
            static STRIP: Cell<Scratch<f32>> = const { Cell::new(Scratch::new()) };
        }
        let mut memory = STRIP.take();
        let result = work(memory.take(len));
        STRIP.set(memory);
        result
    }

    fn split(self, pixels: Mat<'_, f32>, strip: &mut [f32]) {
        for (pixel, to) in strip.as_chunks_mut().0.iter_mut().enumerate().take(pixels.rows()) {
            let from = pixels.row(pixel);
            // A copy whose length is known takes few instructions.
            match from.first_chunk::<PANEL>() {
                Some(from) => *to = *from,
                None => {
                    to[..from.len()].copy_from_slice(from);
                    to[from.len()..].fill(0.0);
                }
            }
        }
    }

    fn multiply(self, walk: &Walk<'_, f32>, tiles: &[Tile], out: &mut [f32]) {
        let has_registers = matches!(self.0, InstructionSet::Amx | InstructionSet::Avx512);
        dispatch(self.0, Product { walk, tiles, has_registers, out });
    }
}

/// Tiles times a panel.
struct Product<'a> {
    walk: &'a Walk<'a, f32>,
    tiles: &'a [Tile],
    /// Whether there are 32 vector registers, rather than 16 for halves of vectors.
    has_registers: bool,
    out: &'a mut [f32],
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        match (self.has_registers, self.walk.columns > LANES) {
            (true, true) => self.tiles::<S, 8, 2>(simd),
            (true, false) => self.tiles::<S, 8, 1>(simd),
            (false, _) => self.tiles::<S, 4, 1>(simd),
        }
    }
}

impl Product<'_> {
    /// All tiles, `R` pixels and `V` vectors at a time.
    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const V: usize>(&mut self, simd: S) {
        for tile in self.tiles {
            for first in (0..TILE).step_by(R) {
                if tile.outs[first..][..R].iter().all(|&out| out == NOWHERE) {
                    continue;
                }
                for vector in (0..self.walk.columns.div_ceil(LANES)).step_by(V) {
                    self.block::<S, R, V>(simd, tile, first, vector);
                }
            }
        }
    }

    /// Sums of `R` pixels from `first` and of `V` vectors from `vector`.
    #[inline(always)]
    fn block<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        tile: &Tile,
        first: usize,
        vector: usize,
    ) {
        let &Walk { strip, pixel_stride, moves, panel, columns, .. } = self.walk;
        let outs = &tile.outs[first..][..R];
        let mut sums = [[simd.splat(0.0); V]; R];
        for (sums, &out) in sums.iter_mut().zip(outs).filter(|(_, out)| **out != NOWHERE) {
            let from = match self.walk.start {
                Start::Output => &self.out[out..],
                Start::Bias(bias) => bias,
            };
            for (v, sum) in sums.iter_mut().enumerate() {
                let lane = (vector + v) * LANES;
                *sum = simd.load_part(&from[lane..columns.min(lane + LANES)]);
            }
        }
        let mut at = tile.at + moves.first + first * pixel_stride;
        let steps = panel.as_chunks::<LANES>().0.as_chunks::<2>().0.as_chunks::<PANEL>().0;
        for (step, go_on) in steps.iter().zip(&moves.moves) {
            let mut pixels = [&ZEROS; R];
            for r in 0..R {
                let pixel = strip[at + r * pixel_stride..].first_chunk();
                pixels[r] = pixel.expect("tiles are inside the strip");
            }
            for (k, channel) in step.iter().enumerate() {
                let mut weights = [simd.splat(0.0); V];
                for v in 0..V {
                    // What cannot be beyond the two is not checked.
                    weights[v] = simd.load(&channel[(vector + v) % 2]);
                }
                for r in 0..R {
                    let x = simd.splat(pixels[r][k]);
                    for v in 0..V {
                        sums[r][v] = simd.fma(x, weights[v], sums[r][v]);
                    }
                }
            }
            at = at.wrapping_add(*go_on);
        }
        let (zero, rectify) = (simd.splat(0.0), self.walk.activation == Activation::Relu);
        for (sums, &out) in sums.iter().zip(outs).filter(|(_, out)| **out != NOWHERE) {
            for (v, sum) in sums.iter().enumerate() {
                let lane = (vector + v) * LANES;
                // In this order NaN stays.
                let sum = if rectify { simd.max(zero, *sum) } else { *sum };
                simd.store_part(sum, &mut self.out[out..][lane..columns.min(lane + LANES)]);
            }
        }
    }
}

/// A pixel before there is one.
static ZEROS: [f32; PANEL] = [0.0; PANEL];
