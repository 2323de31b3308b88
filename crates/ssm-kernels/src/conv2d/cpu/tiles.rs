//! Pixels and weights as three bf16 parts on AMX tiles.
//!
//! A pixel is three lines, one for each part of 32 channels, so sixteen pixels are a tile of every
//! part with rows that many lines apart.
#![allow(unsafe_code, reason = "tile instructions")]

use super::engine::{Engine, PANEL, Tile, Walk};
use crate::Mat;
use crate::gemm::packed::{self, Line, PART, PART_LINES, Tiles};
use std::arch::asm;

/// Pixels of a tile.
const TILE: usize = 16;
/// Lines of a pixel.
const PIXEL: usize = 3;
/// Lines of a step of a panel.
const STEP: usize = PIXEL * PART_LINES;

/// AMX tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amx;

impl Engine for Amx {
    type Item = Line;
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

    fn split(self, pixels: &[f32], channels: usize, first: usize, strip: &mut [Line]) {
        packed::split_pixels(pixels, channels, first, strip);
    }

    fn multiply(self, walk: &Walk<'_, Line>, tiles: &[Tile], out: &mut [f32]) {
        let on = Tiles::new();
        for pair in tiles.chunks(2) {
            let second = pair.get(1).copied().unwrap_or(Tile { wanted: 0, ..pair[0] });
            walk.add_product(&on, [pair[0], second], out);
        }
    }
}

impl Walk<'_, Line> {
    /// Adds the product of two tiles to the output.
    ///
    /// # Panics
    /// When a tile reaches beyond the strip or the output.
    fn add_product(&self, on: &Tiles, tiles: [Tile; 2], out: &mut [f32]) {
        let a = tiles.map(|tile| {
            let span = self.moves.reach + (TILE - 1) * self.pixel_stride + PIXEL;
            self.strip[tile.at..][..span].as_ptr()
        });
        assert_eq!(self.panel.len(), (self.moves.moves.len() + 1) * STEP, "lines of a panel");
        if self.columns == PANEL && tiles.iter().all(|tile| tile.wanted == TILE) {
            let out = tiles
                .map(|tile| out[tile.out..][..(TILE - 1) * self.out_stride + PANEL].as_mut_ptr());
            // SAFETY: by the slices above; the pixels of two tiles are not the same.
            return unsafe { self.run(on, a, out, self.out_stride) };
        }
        // Sums go on from the same numbers as those of whole tiles, which gives the same bits.
        let mut sums = [0.0f32; PART];
        self.each_pixel(tiles, &mut sums, out, |sums, out| sums.copy_from_slice(out));
        let low = sums.as_mut_ptr();
        // SAFETY: `sums` has 32 rows of 32 elements.
        unsafe { self.run(on, a, [low, low.wrapping_add(TILE * PANEL)], PANEL) };
        self.each_pixel(tiles, &mut sums, out, |sums, out| out.copy_from_slice(sums));
    }

    /// Calls `f` with the sums of every wanted pixel and their place in the output.
    fn each_pixel(
        &self,
        tiles: [Tile; 2],
        sums: &mut [f32; PART],
        out: &mut [f32],
        f: impl Fn(&mut [f32], &mut [f32]),
    ) {
        for (tile, sums) in tiles.iter().zip(sums.chunks_exact_mut(TILE * PANEL)) {
            for (pixel, sums) in sums.chunks_exact_mut(PANEL).enumerate().take(tile.wanted) {
                let out = &mut out[tile.out + pixel * self.out_stride..][..self.columns];
                f(&mut sums[..self.columns], out);
            }
        }
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
