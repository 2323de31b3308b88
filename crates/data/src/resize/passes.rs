//! The two passes, in vectors of whatever width the machine has.
//!
//! A pass is a sum of bytes times weights. Down the columns, neighbouring bytes of a row are
//! neighbouring lanes. Along the rows they cannot be, since each pixel has inputs and weights of its
//! own; there sixteen rows are the lanes, transposed on the way in and on the way out.

use super::transpose::{ROWS, columns_to_rows, padded, rows_to_columns};
use super::weights::{PRECISION, Weights};
use crate::spare;
use pulp::{Arch, Simd, WithSimd};

/// One half, so that the shift rounds.
const HALF: i32 = 1 << (PRECISION - 1);
/// Bytes that are summed together, each with others of its own: lanes of a vector.
const LANES: usize = ROWS;
/// Inputs that are added without a stop.
const TAPS: usize = 8;

/// Rows of bytes, or a part of each.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// From the first byte of the first row on.
    pub(super) bytes: &'a [u8],
    /// From a row to the next.
    pub(super) stride: usize,
    /// Number of rows.
    pub(super) count: usize,
    /// Bytes of a row.
    pub(super) len: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `len` bytes, one after the other.
    pub(super) fn whole(bytes: &'a [u8], len: usize) -> Self {
        Self { bytes, stride: len, count: bytes.len() / len, len }
    }

    #[inline(always)]
    fn row(&self, i: usize) -> &'a [u8] {
        &self.bytes[i * self.stride..][..self.len]
    }
}

/// Resizes each row, of pixels of `channels` bytes: `[source.count, weights.outputs() * channels]`.
pub(super) fn resize_rows(source: Rows<'_>, channels: usize, weights: &Weights) -> Vec<u8> {
    let arch = Arch::new();
    match channels {
        1 => arch.dispatch(AlongRows::<1> { source, weights }),
        2 => arch.dispatch(AlongRows::<2> { source, weights }),
        3 => arch.dispatch(AlongRows::<3> { source, weights }),
        _ => arch.dispatch(AlongRows::<4> { source, weights }),
    }
}

/// Resizes each column: `[weights.outputs(), source.len]`.
pub(super) fn resize_columns(source: Rows<'_>, weights: &Weights) -> Vec<u8> {
    Arch::new().dispatch(DownColumns { source, weights })
}

struct AlongRows<'a, const C: usize> {
    source: Rows<'a>,
    weights: &'a Weights,
}

impl<const C: usize> WithSimd for AlongRows<'_, C> {
    type Output = Vec<u8>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<u8> {
        let Self { source, weights } = self;
        let out_len = weights.outputs() * C;
        let mut out = spare::unspecified(source.count * out_len);
        let mut columns = vec![[0; ROWS]; padded(source.len)];
        let mut resized = vec![[0; ROWS]; padded(out_len)];
        for (block, out) in out.chunks_mut(ROWS * out_len).enumerate() {
            // Lanes beyond the last row repeat it, and are not written back.
            let mut rows = [source.bytes; ROWS];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = source.row((block * ROWS + i).min(source.count - 1));
            }
            rows_to_columns(&rows, &mut columns);
            let (inputs, outputs) = (columns.as_chunks::<C>().0, resized.as_chunks_mut::<C>().0);
            for (out, (first, weights)) in outputs.iter_mut().zip(weights.iter()) {
                weigh_pixels(&inputs[first..][..weights.len()], weights, out);
            }
            columns_to_rows(&resized, out, out_len);
        }
        out
    }
}

struct DownColumns<'a> {
    source: Rows<'a>,
    weights: &'a Weights,
}

impl WithSimd for DownColumns<'_> {
    type Output = Vec<u8>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<u8> {
        let Self { source, weights } = self;
        let mut out = spare::unspecified(weights.outputs() * source.len);
        let mut sums = vec![0; source.len];
        for (out, (first, weights)) in out.chunks_exact_mut(source.len).zip(weights.iter()) {
            sums.fill(HALF);
            for (first, weights) in (first..).step_by(TAPS).zip(weights.chunks(TAPS)) {
                add_rows(&mut sums, source, first, weights);
            }
            for (out, &sum) in out.iter_mut().zip(&sums) {
                *out = to_byte(sum);
            }
        }
        out
    }
}

/// One column of a pixel for each of its bytes.
type Pixel<const C: usize> = [[u8; LANES]; C];

/// The sum of pixels times weights, as many of these as of those, in [`LANES`] rows.
#[inline(always)]
fn weigh_pixels<const C: usize>(inputs: &[Pixel<C>], weights: &[i32], out: &mut Pixel<C>) {
    let mut sums = [[HALF; LANES]; C];
    for (inputs, weights) in inputs.chunks(TAPS).zip(weights.chunks(TAPS)) {
        match weights.len() {
            1 => add_pixels::<C, 1>(&mut sums, inputs, weights),
            2 => add_pixels::<C, 2>(&mut sums, inputs, weights),
            3 => add_pixels::<C, 3>(&mut sums, inputs, weights),
            4 => add_pixels::<C, 4>(&mut sums, inputs, weights),
            5 => add_pixels::<C, 5>(&mut sums, inputs, weights),
            6 => add_pixels::<C, 6>(&mut sums, inputs, weights),
            7 => add_pixels::<C, 7>(&mut sums, inputs, weights),
            _ => add_pixels::<C, TAPS>(&mut sums, inputs, weights),
        }
    }
    for (out, sums) in out.iter_mut().zip(&sums) {
        *out = to_bytes(sums);
    }
}

/// Adds `N` pixels. Loops of known lengths are what compilers make vectors of.
#[inline(always)]
fn add_pixels<const C: usize, const N: usize>(
    sums: &mut [[i32; LANES]; C],
    inputs: &[Pixel<C>],
    weights: &[i32],
) {
    let (Some(inputs), Some(weights)) = (inputs.first_chunk::<N>(), weights.first_chunk::<N>())
    else {
        return;
    };
    for channel in 0..C {
        for lane in 0..LANES {
            let mut sum = sums[channel][lane];
            for i in 0..N {
                sum += i32::from(inputs[i][channel][lane]) * weights[i];
            }
            sums[channel][lane] = sum;
        }
    }
}

/// Adds up to [`TAPS`] rows times weights, byte by byte.
#[inline(always)]
fn add_rows(sums: &mut [i32], source: Rows<'_>, first: usize, weights: &[i32]) {
    match weights.len() {
        1 => add::<1>(sums, source, first, weights),
        2 => add::<2>(sums, source, first, weights),
        3 => add::<3>(sums, source, first, weights),
        4 => add::<4>(sums, source, first, weights),
        5 => add::<5>(sums, source, first, weights),
        6 => add::<6>(sums, source, first, weights),
        7 => add::<7>(sums, source, first, weights),
        _ => add::<TAPS>(sums, source, first, weights),
    }
}

#[inline(always)]
fn add<const N: usize>(sums: &mut [i32], source: Rows<'_>, first: usize, weights: &[i32]) {
    let rows: [&[u8]; N] = std::array::from_fn(|i| &source.row(first + i)[..sums.len()]);
    let weights: &[i32; N] = weights.first_chunk().unwrap_or(&[0; N]);
    for (at, out) in sums.iter_mut().enumerate() {
        let mut sum = *out;
        for i in 0..N {
            sum += i32::from(rows[i][at]) * weights[i];
        }
        *out = sum;
    }
}

#[inline(always)]
fn to_bytes(sums: &[i32; LANES]) -> [u8; LANES] {
    let mut bytes = [0; LANES];
    for lane in 0..LANES {
        bytes[lane] = to_byte(sums[lane]);
    }
    bytes
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
