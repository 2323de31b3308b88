//! Products of packed panels with AVX-512 BF16 dot products.

use super::{Line, PANEL, PART_LINES};
use crate::Write;
use std::arch::x86_64::*;
use std::sync::OnceLock;

/// Rows whose sums are in registers together, each in two vectors.
const ROWS: usize = 8;

/// Whether the CPU makes more bf16 dot products than f32 multiply-adds: AMD's do, twice as many.
/// Intel's start one every other cycle (measured: 213 against 390 GFLOP/s on a Xeon).
pub(super) fn is_fast() -> bool {
    // Asked once: under a hypervisor the question costs as much as a small product.
    static IS_AMD: OnceLock<bool> = OnceLock::new();
    let is_amd = *IS_AMD.get_or_init(|| {
        let vendor = __cpuid(0);
        [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD"
    });
    is_amd && is_x86_feature_detected!("avx512bf16")
}

/// # Safety
/// The CPU must have AVX-512 BF16, and `out` must point to 32 rows of 32 elements, `stride` apart,
/// that nobody else reaches.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn product(a: &[Line], b: &[Line], write: Write, out: *mut f32, stride: usize) {
    for first in (0..PANEL).step_by(ROWS) {
        // SAFETY: eight rows of the block of the contract.
        unsafe { rows(a, b, first, write, out.wrapping_add(first * stride), stride) };
    }
}

/// Sums of [`ROWS`] rows.
///
/// # Safety
/// As [`product`], for rows `first ..` alone, the first of which is at `out`.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn rows(a: &[Line], b: &[Line], first: usize, write: Write, out: *mut f32, stride: usize) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    if write == Write::Accumulate {
        for (r, sums) in sums.iter_mut().enumerate() {
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: inside row `r` of the contract.
                *sum = unsafe { _mm512_loadu_ps(out.wrapping_add(r * stride + 16 * half)) };
            }
        }
    }
    // A slab is two tiles of sixteen lines.
    for (a, b) in a.as_chunks::<PART_LINES>().0.iter().zip(b.as_chunks::<PART_LINES>().0) {
        for pair in 0..PANEL / 2 {
            let b = [&b[pair], &b[16 + pair]].map(|line| {
                // SAFETY: a line is 64 aligned bytes.
                let line = unsafe { _mm512_load_si512((&raw const *line).cast()) };
                // SAFETY: both are 64 bytes of any content.
                unsafe { std::mem::transmute::<__m512i, __m512bh>(line) }
            });
            for (r, sums) in sums.iter_mut().enumerate() {
                let line = &a[first + r].0;
                let two = u32::from(line[2 * pair]) | u32::from(line[2 * pair + 1]) << 16;
                let two = _mm512_set1_epi32(two.cast_signed());
                // SAFETY: both are 64 bytes of any content.
                let two = unsafe { std::mem::transmute::<__m512i, __m512bh>(two) };
                sums[0] = _mm512_dpbf16_ps(sums[0], two, b[0]);
                sums[1] = _mm512_dpbf16_ps(sums[1], two, b[1]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (half, sum) in sums.iter().enumerate() {
            // SAFETY: inside row `r` of the contract.
            unsafe { _mm512_storeu_ps(out.wrapping_add(r * stride + 16 * half), *sum) };
        }
    }
}
