//! Pixels and weights as three bf16 parts on AMX tiles.
//!
//! A pixel is three lines, one for each part of 32 channels, so sixteen pixels are a tile of every
//! part with rows that many lines apart.
#![allow(unsafe_code, reason = "tile instructions")]

use super::engine::{Engine, MOST_PIXELS, NOWHERE, PANEL, Start, Tile, Walk};
use crate::conv2d::Activation;
use crate::gemm::packed::{self, Line, PART, PART_LINES, Tiles};
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, Mat};
use std::arch::asm;

/// Pixels of a tile.
const TILE: usize = MOST_PIXELS;
/// Lines of a pixel.
const PIXEL: usize = 3;
/// Lines of a step of a panel.
const STEP: usize = PIXEL * PART_LINES;

/// AMX tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amx;

impl Engine for Amx {
    type Item = Line;
    type Panels = Vec<Line>;
    const TILE: usize = TILE;
    const PIXEL: usize = PIXEL;
    const STEP: usize = STEP;
    /// Panels of 300 KB.
    const CHUNK: usize = 48;
    /// 1.2 MiB, which leaves the L2 cache room for a panel.
    const STRIP: usize = 20 << 10;

    fn panels(self, weights: Mat<'_, f32>) -> Vec<Line> {
        packed::pack_panels(&weights)
    }

    fn with_strip<R>(self, len: usize, work: impl FnOnce(&mut [Line]) -> R) -> R {
        packed::with_lines(len, work)
    }

    fn split(self, pixels: Mat<'_, f32>, strip: &mut [Line]) {
        packed::split_pixels(&pixels, strip);
    }

    fn multiply(self, walk: &Walk<'_, Line>, tiles: &[Tile], out: &mut [f32]) {
        let on = Tiles::new();
        let mut sums = [0.0; PART];
        for pair in tiles.chunks(2) {
            let nothing = Tile { outs: [NOWHERE; TILE], is_whole: false, ..pair[0] };
            walk.add_product(&on, [&pair[0], pair.get(1).unwrap_or(&nothing)], &mut sums, out);
        }
    }
}

impl Walk<'_, Line> {
    /// Adds the product of two tiles to the output; `sums` is for what does not go there straight.
    ///
    /// # Panics
    /// When a tile reaches beyond the strip or the output.
    fn add_product(&self, on: &Tiles, tiles: [&Tile; 2], sums: &mut [f32; PART], out: &mut [f32]) {
        let a = tiles.map(|tile| {
            let span = self.moves.reach + (TILE - 1) * self.pixel_stride + PIXEL;
            self.strip[tile.at..][..span][self.moves.first..].as_ptr()
        });
        assert_eq!(self.panel.len(), (self.moves.moves.len() + 1) * STEP, "lines of a panel");
        let straight = matches!(self.start, Start::Output) && self.activation == Activation::None;
        if straight && self.columns == PANEL && tiles.iter().all(|tile| tile.is_whole) {
            let out = tiles.map(|tile| {
                out[tile.outs[0]..][..(TILE - 1) * self.out_stride + PANEL].as_mut_ptr()
            });
            // SAFETY: by the slices above; the pixels of two tiles are not the same.
            return unsafe { self.run(on, a, out, self.out_stride) };
        }
        // Sums go on from the same numbers as those of whole tiles, which gives the same bits.
        let set = InstructionSet::Amx;
        dispatch(set, Begin { walk: self, tiles, out, sums });
        let low = sums.as_mut_ptr();
        // SAFETY: `sums` has 32 rows of 32 elements.
        unsafe { self.run(on, a, [low, low.wrapping_add(TILE * PANEL)], PANEL) };
        dispatch(set, End { walk: self, tiles, sums, out });
    }

    /// The product. Its steps are those of the product of two packed panels, see
    /// `gemm::packed::amx`, but for where the left operand is read.
    ///
    /// # Safety
    /// Each of `a` starts a tile that is inside its allocation at every step; each of `out` starts 16
    /// rows of 32 elements, `stride` apart, that nobody else reaches.
    unsafe fn run(&self, _tiles: &Tiles, a: [*const Line; 2], out: [*mut f32; 2], stride: usize) {
        let mut spare = [Line::ZERO; TILE];
        // SAFETY: as the contract says, on tiles whose proof stands beside; `b` has a step more than
        // there are moves, which is what is loaded ahead after the last, and the last move stays.
        unsafe {
            asm!(
                "tileloadd tmm0, [{out0} + {stride}*1]",
                "tileloadd tmm1, [{out0} + {stride}*1 + 64]",
                "tileloadd tmm2, [{out1} + {stride}*1]",
                "tileloadd tmm3, [{out1} + {stride}*1 + 64]",
                "tileloadd tmm4, [{a0} + {pixel}*1]",
                "tileloadd tmm6, [{b} + {line}*1 + 4096]",
                "4:",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a1} + {pixel}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm7, [{b} + {line}*1 + 5120]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm6, [{b} + {line}*1 + 2048]",
                "tdpbf16ps tmm3, tmm5, tmm7; tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line}*1 + 3072]",
                "tdpbf16ps tmm2, tmm5, tmm6; tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{a0} + {pixel}*1 + 64]",
                "tdpbf16ps tmm3, tmm5, tmm7; tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a1} + {pixel}*1 + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7; tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm6, [{b} + {line}*1]",
                "tdpbf16ps tmm3, tmm5, tmm7; tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line}*1 + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6; tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{a0} + {pixel}*1 + 128]",
                "tdpbf16ps tmm3, tmm5, tmm7; tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a1} + {pixel}*1 + 128]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{a0} + {pixel}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6; tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm5, [{a1} + {pixel}*1]",
                "mov {move}, [{moves}]; shl {move}, 6",
                "add {moves}, 8; add {a0}, {move}; add {a1}, {move}",
                "tdpbf16ps tmm0, tmm4, tmm6; tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{a0} + {pixel}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm6, [{b} + {line}*1 + 6144 + 4096]",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "test {steps}, 3",
                "jnz 5f",
                "tilestored [{spare} + {line}*1], tmm4",
                "5:",
                "add {b}, 6144",
                "dec {steps}",
                "jnz 4b",
                "tilestored [{out0} + {stride}*1], tmm0",
                "tilestored [{out0} + {stride}*1 + 64], tmm1",
                "tilestored [{out1} + {stride}*1], tmm2",
                "tilestored [{out1} + {stride}*1 + 64], tmm3",
                a0 = inout(reg) a[0] => _,
                a1 = inout(reg) a[1] => _,
                b = inout(reg) self.panel.as_ptr() => _,
                moves = inout(reg) self.moves.moves.as_ptr() => _,
                steps = inout(reg) self.moves.moves.len() => _,
                move = out(reg) _,
                pixel = in(reg) size_of::<Line>() * self.pixel_stride,
                out0 = in(reg) out[0],
                out1 = in(reg) out[1],
                stride = in(reg) 4 * stride,
                line = in(reg) size_of::<Line>(),
                spare = in(reg) &raw mut spare,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack)
            );
        }
    }
}

/// Fills the sums of two tiles with what the product is added to.
struct Begin<'a> {
    walk: &'a Walk<'a, Line>,
    tiles: [&'a Tile; 2],
    out: &'a [f32],
    sums: &'a mut [f32; PART],
}

impl Kernel for Begin<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (low, high) = (self.walk.columns.min(LANES), self.walk.columns.saturating_sub(LANES));
        let rows = self.sums.as_chunks_mut::<LANES>().0.as_chunks_mut::<2>().0;
        let outs = self.tiles[0].outs.iter().chain(&self.tiles[1].outs);
        match self.walk.start {
            Start::Bias(bias) => {
                // What is written after the product has come until then.
                for &at in outs.filter(|at| **at != NOWHERE) {
                    let to = self.out[at..].as_ptr();
                    simd.prefetch(to);
                    simd.prefetch(to.wrapping_add(low + high - 1));
                }
                let (first, second) = bias.split_at(low);
                let (first, second) = (simd.load_part(first), simd.load_part(second));
                for row in rows {
                    simd.store(first, &mut row[0]);
                    simd.store(second, &mut row[1]);
                }
            }
            Start::Output => {
                for (row, &at) in rows.iter_mut().zip(outs) {
                    if at != NOWHERE {
                        let (first, second) = self.out[at..][..low + high].split_at(low);
                        simd.store(simd.load_part(first), &mut row[0]);
                        simd.store(simd.load_part(second), &mut row[1]);
                    }
                }
            }
        }
    }
}

/// Puts the sums of two tiles to their places.
struct End<'a> {
    walk: &'a Walk<'a, Line>,
    tiles: [&'a Tile; 2],
    sums: &'a [f32; PART],
    out: &'a mut [f32],
}

impl Kernel for End<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (low, high) = (self.walk.columns.min(LANES), self.walk.columns.saturating_sub(LANES));
        let rows = self.sums.as_chunks::<LANES>().0.as_chunks::<2>().0;
        let outs = self.tiles[0].outs.iter().chain(&self.tiles[1].outs);
        for (row, &at) in rows.iter().zip(outs) {
            if at == NOWHERE {
                continue;
            }
            let (mut a, mut b) = (simd.load(&row[0]), simd.load(&row[1]));
            if self.walk.activation == Activation::Relu {
                // In this order NaN stays.
                let zero = simd.splat(0.0);
                (a, b) = (simd.max(zero, a), simd.max(zero, b));
            }
            let (first, second) = self.out[at..][..low + high].split_at_mut(low);
            simd.store_part(a, first);
            simd.store_part(b, second);
        }
    }
}
