//! Pixels and weights in f32: every channel of a pixel is broadcast, and multiplied with a vector of
//! weights or two.

use super::engine::{Engine, PANEL, Tile, Walk};
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, Mat, Scratch};
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
    const TILE: usize = TILE;
    const PIXEL: usize = PANEL;
    const STEP: usize = STEP;
    /// Panels of 36 KB, which stay in the L1 cache while the tiles pass.
    const CHUNK: usize = 9;
    /// 256 KB.
    const STRIP: usize = 64 << 10;

    fn panels(self, weights: Mat<'_, f32>) -> Vec<f32> {
        let (rows, columns) = (weights.rows(), weights.cols());
        let panels = columns.div_ceil(PANEL);
        let mut packed = vec![0.0; panels * rows * PANEL + STEP];
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

    fn split(self, pixels: &[f32], channels: usize, first: usize, strip: &mut [f32]) {
        let len = (channels - first).min(PANEL);
        for (pixel, to) in pixels.chunks_exact(channels).zip(strip.chunks_exact_mut(PANEL)) {
            to[..len].copy_from_slice(&pixel[first..][..len]);
            to[len..].fill(0.0);
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
        for &tile in self.tiles {
            for first in (0..tile.wanted).step_by(R) {
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
        tile: Tile,
        first: usize,
        vector: usize,
    ) {
        let &Walk { strip, pixel_stride, moves, panel, out_stride, columns } = self.walk;
        let mut sums = [[simd.splat(0.0); V]; R];
        for (r, sums) in sums.iter_mut().enumerate() {
            // Pixels beyond the last repeat it, and nobody reads their sums.
            let out = &self.out[tile.out + (first + r).min(tile.wanted - 1) * out_stride..];
            for (v, sum) in sums.iter_mut().enumerate() {
                let lane = (vector + v) * LANES;
                *sum = simd.load_part(&out[lane..columns.min(lane + LANES)]);
            }
        }
        let mut at = tile.at + first * pixel_stride;
        for (panel, step) in
            panel.as_chunks::<LANES>().0.as_chunks::<STEP_VECTORS>().0.iter().zip(&moves.moves)
        {
            let mut pixels = [&ZEROS; R];
            for r in 0..R {
                let pixel = strip[at + r * pixel_stride..].first_chunk();
                pixels[r] = pixel.expect("tiles are inside the strip");
            }
            for k in 0..PANEL {
                let mut weights = [simd.splat(0.0); V];
                for v in 0..V {
                    weights[v] = simd.load(&panel[2 * k + vector + v]);
                }
                for r in 0..R {
                    let x = simd.splat(pixels[r][k]);
                    for v in 0..V {
                        sums[r][v] = simd.fma(x, weights[v], sums[r][v]);
                    }
                }
            }
            at += step;
        }
        for (r, sums) in sums.iter().enumerate().take(tile.wanted - first) {
            let out = &mut self.out[tile.out + (first + r) * out_stride..];
            for (v, sum) in sums.iter().enumerate() {
                let lane = (vector + v) * LANES;
                simd.store_part(*sum, &mut out[lane..columns.min(lane + LANES)]);
            }
        }
    }
}

/// Vectors of a step of a panel.
const STEP_VECTORS: usize = STEP / LANES;

/// A pixel before there is one.
static ZEROS: [f32; PANEL] = [0.0; PANEL];
