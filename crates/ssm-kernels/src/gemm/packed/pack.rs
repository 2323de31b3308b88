//! From strided f32 to panels of bf16 parts.

use super::{Line, PANEL, PART_LINES};
use crate::matrix::Mat;
use std::arch::x86_64::*;

/// Rows of a tile, of either operand.
const TILE: usize = 16;

/// Which operand of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

/// A matrix seen as lines along K, `a`'s rows or `b`'s columns.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    data: &'a [f32],
    side: Side,
    /// Rows of `a` or columns of `b`.
    lines: usize,
    depth: usize,
    line_stride: usize,
    depth_stride: usize,
}

impl<'a> Operand<'a> {
    /// None where neither direction is contiguous.
    pub(super) fn new(side: Side, mat: &Mat<'a, f32>) -> Option<Self> {
        let rows = (mat.rows, mat.row_stride);
        let cols = (mat.cols, mat.col_stride);
        let ((lines, line_stride), (depth, depth_stride)) = match side {
            Side::A => (rows, cols),
            Side::B => (cols, rows),
        };
        (line_stride == 1 || depth_stride == 1).then_some(Self {
            data: mat.data,
            side,
            lines,
            depth,
            line_stride,
            depth_stride,
        })
    }

    /// Whether neighbours along K are neighbours in memory: then panels are best packed one after
    /// the other, else slabs.
    pub(super) fn is_contiguous_along_depth(&self) -> bool {
        self.depth_stride == 1
    }
}

/// Packs one slab of one panel, `[part, 2 tiles]`; what lies beyond the matrix is 0.
///
/// # Panics
/// When the CPU lacks AVX-512 BW or BF16, or `packed` has another size.
pub(super) fn slab(
    parts: usize,
    operand: Operand<'_>,
    panel: usize,
    slab: usize,
    packed: &mut [Line],
) {
    assert!(is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512bf16"));
    assert_eq!(packed.len(), parts * PART_LINES, "lines of a slab");
    for tile in 0..2 {
        let line = panel * PANEL + tile * TILE;
        let pack = if parts == 1 { pack_tile::<1> } else { pack_tile::<3> };
        // SAFETY: the features were detected.
        unsafe { pack(operand, line, slab * PANEL, tile, packed) };
    }
}

/// Packs all parts of the tile of sixteen lines from `line` and 32 of K from `first`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pack_tile<const PARTS: usize>(
    operand: Operand<'_>,
    line: usize,
    first: usize,
    tile: usize,
    packed: &mut [Line],
) {
    let lines = operand.lines.saturating_sub(line).min(TILE);
    let depth = operand.depth.saturating_sub(first).min(PANEL);
    let along = operand.is_contiguous_along_depth();
    let start = operand.tile(line, lines, first, depth);
    let (parts, _) = packed.as_chunks_mut::<PART_LINES>();
    for i in 0..TILE {
        // Row `i` holds both halves of line `i`, or a pair of K of all lines.
        let (low, high, low_len, high_len);
        if along {
            let depth = if i < lines { depth } else { 0 };
            (low, high) = (i * operand.line_stride, i * operand.line_stride + TILE);
            (low_len, high_len) = (depth.min(TILE), depth.saturating_sub(TILE));
        } else {
            (low, high) = (2 * i * operand.depth_stride, (2 * i + 1) * operand.depth_stride);
            low_len = if 2 * i < depth { lines } else { 0 };
            high_len = if 2 * i + 1 < depth { lines } else { 0 };
        }
        // The same tile of the next slab, too scattered for the CPU to guess.
        for at in [low, high] {
            let next = start.wrapping_add(at + PANEL * operand.depth_stride);
            _mm_prefetch::<_MM_HINT_T0>(next.cast());
        }
        // SAFETY: `tile` checked that the tile's elements lie in the operand, and the lengths mask
        // what is not of the tile.
        let low = unsafe { _mm512_maskz_loadu_ps(mask(low_len), start.wrapping_add(low)) };
        // SAFETY: as above.
        let high = unsafe { _mm512_maskz_loadu_ps(mask(high_len), start.wrapping_add(high)) };
        let (low, high) = (split::<PARTS>(low), split::<PARTS>(high));
        for part in 0..PARTS {
            let both = join(low[part], high[part]);
            let both = if along { both } else { interleave(both) };
            store(both, &mut parts[part][tile * TILE + i]);
        }
    }
    if along == (operand.side == Side::B) {
        for part in &mut parts[..PARTS] {
            let rows = &mut part[tile * TILE..][..TILE];
            transpose(rows.try_into().expect("sixteen lines"));
        }
    }
}

/// Splits at most 32 channels of successive pixels, which are rows, into three parts a pixel, one
/// line each; what lies beyond the last channel is 0.
///
/// # Panics
/// When the CPU lacks AVX-512 BW or BF16, or a pixel has more channels.
pub(crate) fn split_pixels(pixels: &Mat<'_, f32>, strip: &mut [Line]) {
    assert!(is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512bf16"));
    assert!(pixels.cols <= PANEL, "{} channels of a slab", pixels.cols);
    // SAFETY: the features were detected.
    unsafe { split_on(pixels, strip) };
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn split_on(pixels: &Mat<'_, f32>, strip: &mut [Line]) {
    let len = pixels.cols;
    let (low_len, high_len) = (len.min(TILE), len.saturating_sub(TILE));
    for (pixel, lines) in strip.as_chunks_mut::<3>().0.iter_mut().enumerate().take(pixels.rows) {
        let start = pixels.row(pixel).as_ptr();
        // The same channels of a later pixel, too scattered for the CPU to guess.
        for line in [0, TILE] {
            let next = start.wrapping_add(TILE * pixels.row_stride + line);
            _mm_prefetch::<_MM_HINT_T0>(next.cast());
        }
        // SAFETY: the lengths mask what is not of the slice above.
        let low = unsafe { _mm512_maskz_loadu_ps(mask(low_len), start) };
        // SAFETY: as above.
        let high = unsafe { _mm512_maskz_loadu_ps(mask(high_len), start.wrapping_add(TILE)) };
        let (low, high) = (split::<3>(low), split::<3>(high));
        for part in 0..3 {
            store(join(low[part], high[part]), &mut lines[part]);
        }
    }
}

impl Operand<'_> {
    /// Start of a tile that lies inside the operand.
    ///
    /// # Panics
    /// When it does not.
    fn tile(&self, line: usize, lines: usize, first: usize, depth: usize) -> *const f32 {
        if lines == 0 || depth == 0 {
            return self.data.as_ptr();
        }
        let at = line * self.line_stride + first * self.depth_stride;
        let span = (lines - 1) * self.line_stride + (depth - 1) * self.depth_stride + 1;
        self.data[at..][..span].as_ptr()
    }
}

/// The first `len` of sixteen lanes.
#[inline]
fn mask(len: usize) -> u16 {
    ((1u32 << len) - 1) as u16
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(row: __m512i, to: &mut Line) {
    // SAFETY: a line is 64 aligned bytes.
    unsafe { _mm512_store_si512((&raw mut *to).cast(), row) };
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(from: &Line) -> __m512i {
    // SAFETY: as in `store`.
    unsafe { _mm512_load_si512((&raw const *from).cast()) }
}

/// Parts that add up to `x`: each but the last is the nearest bf16 to what the ones before leave,
/// ties away from 0, still as f32. The last is rounded when it is joined; of three it is exact.
#[inline]
#[target_feature(enable = "avx512f")]
fn split<const PARTS: usize>(x: __m512) -> [__m512; PARTS] {
    let mut parts = [x; PARTS];
    let mut left = x;
    for part in &mut parts[..PARTS - 1] {
        let half = _mm512_add_epi32(_mm512_castps_si512(left), _mm512_set1_epi32(0x8000));
        let upper = _mm512_and_si512(half, _mm512_set1_epi32(0xffff_0000u32.cast_signed()));
        *part = _mm512_castsi512_ps(upper);
        left = _mm512_sub_ps(left, *part);
    }
    parts[PARTS - 1] = left;
    parts
}

/// bf16 of `low`, then of `high`.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn join(low: __m512, high: __m512) -> __m512i {
    let joined = _mm512_cvtne2ps_pbh(high, low);
    // SAFETY: both are 64 bytes of any content.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(joined) }
}

/// Pairs of the `i`-th number of the first half and the `i`-th of the second.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn interleave(halves: __m512i) -> __m512i {
    const ORDER: [u16; PANEL] = {
        let mut order = [0; PANEL];
        let mut i = 0;
        while i < TILE {
            order[2 * i] = i as u16;
            order[2 * i + 1] = (TILE + i) as u16;
            i += 1;
        }
        order
    };
    // SAFETY: 64 bytes of a constant.
    let order = unsafe { _mm512_loadu_si512(ORDER.as_ptr().cast()) };
    _mm512_permutexvar_epi16(order, halves)
}

/// Transposes sixteen rows of sixteen 32-bit numbers.
#[target_feature(enable = "avx512f")]
fn transpose(rows: &mut [Line; TILE]) {
    // Within the 128-bit quarters: pairs of rows, then pairs of pairs.
    for four in rows.as_chunks_mut::<4>().0 {
        let [r0, r1] = [load(&four[0]), load(&four[1])];
        let [r2, r3] = [load(&four[2]), load(&four[3])];
        let (a, b) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
        let (c, d) = (_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
        store(_mm512_unpacklo_epi64(a, c), &mut four[0]);
        store(_mm512_unpackhi_epi64(a, c), &mut four[1]);
        store(_mm512_unpacklo_epi64(b, d), &mut four[2]);
        store(_mm512_unpackhi_epi64(b, d), &mut four[3]);
    }
    // Row 4 g + c now holds, in quarter q, column 4 q + c of rows 4 g to 4 g + 3.
    for c in 0..4 {
        let [g0, g1] = [load(&rows[c]), load(&rows[4 + c])];
        let [g2, g3] = [load(&rows[8 + c]), load(&rows[12 + c])];
        let even_low = _mm512_shuffle_i32x4::<0x88>(g0, g1);
        let odd_low = _mm512_shuffle_i32x4::<0xdd>(g0, g1);
        let even_high = _mm512_shuffle_i32x4::<0x88>(g2, g3);
        let odd_high = _mm512_shuffle_i32x4::<0xdd>(g2, g3);
        store(_mm512_shuffle_i32x4::<0x88>(even_low, even_high), &mut rows[c]);
        store(_mm512_shuffle_i32x4::<0x88>(odd_low, odd_high), &mut rows[4 + c]);
        store(_mm512_shuffle_i32x4::<0xdd>(even_low, even_high), &mut rows[8 + c]);
        store(_mm512_shuffle_i32x4::<0xdd>(odd_low, odd_high), &mut rows[12 + c]);
    }
}
