//! AVX-512 and AVX2. The token types are made by `run_avx512` and `run_avx2` alone, which are
//! called only after detection; that is what every block below rests on.

use super::{Kernel, LANES, ROUND, Simd};
use std::arch::x86_64::*;

#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
pub(super) fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// The halving of `Avx512::sums` leaves the sum of its `i`-th vector in lane `SUM_PLACES[i]`; the
/// exchange of places is its own inverse.
const SUM_PLACES: [usize; LANES] = [0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15];

/// Proof that AVX-512 F, VL, DQ, BW and FMA were detected.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// Proof that AVX2 and FMA were detected.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

macro_rules! detected {
    ($e:expr) => {
        // SAFETY: the token exists, so the CPU has the instructions; pointers come from arrays of
        // the full width, and the load and store forms need no alignment.
        unsafe { $e }
    };
}

/// Mask of the first `n` lanes.
#[inline(always)]
fn first_lanes(n: usize) -> __mmask16 {
    assert!(n <= LANES, "{n} lanes of {LANES}");
    ((1u32 << n) - 1) as __mmask16
}

impl Simd for Avx512 {
    type V = __m512;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        detected!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        detected!(_mm512_loadu_ps(from.as_ptr()))
    }
    #[inline(always)]
    fn store(self, v: __m512, to: &mut [f32; LANES]) {
        detected!(_mm512_storeu_ps(to.as_mut_ptr(), v));
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        detected!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        detected!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        detected!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        detected!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        detected!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        detected!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        detected!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        detected!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        detected!(_mm512_abs_ps(a))
    }
    /// `reduce` leaves the fraction in one instruction, where rounding takes two; `scalef` underflows
    /// exactly, so the argument needs no clamp.
    #[inline(always)]
    fn exp2(self, x: __m512) -> __m512 {
        let r = detected!(_mm512_reduce_ps::<8>(x));
        let n = self.sub(x, r);
        let fraction = self.exp2_fraction(r);
        detected!(_mm512_scalef_ps(fraction, n))
    }
    /// Halves the lanes of a vector and the number of vectors four times.
    #[inline(always)]
    fn sums(self, v: &[__m512; LANES]) -> __m512 {
        let (mut w, mut x, mut y) = ([v[0]; 8], [v[0]; 4], [v[0]; 2]);
        for i in 0..8 {
            let (a, b) = (v[SUM_PLACES[i]], v[SUM_PLACES[i + 8]]);
            let low = detected!(_mm512_shuffle_f32x4::<0x44>(a, b));
            w[i] = self.add(low, detected!(_mm512_shuffle_f32x4::<0xEE>(a, b)));
        }
        for i in 0..4 {
            let low = detected!(_mm512_shuffle_f32x4::<0x88>(w[i], w[i + 4]));
            x[i] = self.add(low, detected!(_mm512_shuffle_f32x4::<0xDD>(w[i], w[i + 4])));
        }
        for i in 0..2 {
            let (a, b) = (x[i], x[i + 2]);
            let low = detected!(_mm512_shuffle_ps::<0x44>(a, b));
            y[i] = self.add(low, detected!(_mm512_shuffle_ps::<0xEE>(a, b)));
        }
        let low = detected!(_mm512_shuffle_ps::<0x88>(y[0], y[1]));
        self.add(low, detected!(_mm512_shuffle_ps::<0xDD>(y[0], y[1])))
    }
    #[inline(always)]
    fn select_negative(self, x: __m512, a: __m512, b: __m512) -> __m512 {
        let negative = detected!(_mm512_movepi32_mask(_mm512_castps_si512(x)));
        detected!(_mm512_mask_blend_ps(negative, b, a))
    }
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        detected!(_mm_prefetch::<_MM_HINT_T0>(at.cast()));
    }
    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        detected!(_mm512_reduce_add_ps(v))
    }
    /// One masked load: the copy that the default makes is a call, around which the registers of
    /// the loop that holds it live in memory.
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> __m512 {
        match <&[f32; LANES]>::try_from(from) {
            Ok(full) => self.load(full),
            // SAFETY: the token exists; the mask admits the elements of `from` alone.
            Err(_) => unsafe { _mm512_maskz_loadu_ps(first_lanes(from.len()), from.as_ptr()) },
        }
    }
    #[inline(always)]
    fn store_part(self, v: __m512, to: &mut [f32]) {
        match <&mut [f32; LANES]>::try_from(&mut *to) {
            Ok(full) => self.store(v, full),
            // SAFETY: as above.
            Err(_) => unsafe {
                _mm512_mask_storeu_ps(to.as_mut_ptr(), first_lanes(to.len()), v);
            },
        }
    }
}

impl Avx2 {
    #[inline(always)]
    fn each(self, a: [__m256; 2], f: impl Fn(__m256) -> __m256) -> [__m256; 2] {
        [f(a[0]), f(a[1])]
    }

    #[inline(always)]
    fn pair(
        self,
        a: [__m256; 2],
        b: [__m256; 2],
        f: impl Fn(__m256, __m256) -> __m256,
    ) -> [__m256; 2] {
        [f(a[0], b[0]), f(a[1], b[1])]
    }
}

impl Simd for Avx2 {
    type V = [__m256; 2];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [detected!(_mm256_set1_ps(x)); 2]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        let (low, high) = from.split_at(LANES / 2);
        [detected!(_mm256_loadu_ps(low.as_ptr())), detected!(_mm256_loadu_ps(high.as_ptr()))]
    }
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; LANES]) {
        let (low, high) = to.split_at_mut(LANES / 2);
        detected!(_mm256_storeu_ps(low.as_mut_ptr(), v[0]));
        detected!(_mm256_storeu_ps(high.as_mut_ptr(), v[1]));
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        self.pair(a, b, |a, b| detected!(_mm256_add_ps(a, b)))
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        self.pair(a, b, |a, b| detected!(_mm256_sub_ps(a, b)))
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        self.pair(a, b, |a, b| detected!(_mm256_mul_ps(a, b)))
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        self.pair(a, b, |a, b| detected!(_mm256_div_ps(a, b)))
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        [detected!(_mm256_fmadd_ps(a[0], b[0], c[0])), detected!(_mm256_fmadd_ps(a[1], b[1], c[1]))]
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        self.pair(a, b, |a, b| detected!(_mm256_max_ps(a, b)))
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        self.pair(a, b, |a, b| detected!(_mm256_min_ps(a, b)))
    }
    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        self.each(a, |a| detected!(_mm256_sqrt_ps(a)))
    }
    #[inline(always)]
    fn abs(self, a: Self::V) -> Self::V {
        let sign = detected!(_mm256_set1_ps(-0.0));
        self.each(a, |a| detected!(_mm256_andnot_ps(sign, a)))
    }
    #[inline(always)]
    fn exp2(self, x: Self::V) -> Self::V {
        let x = self.max(x, self.splat(-126.0));
        let shifted = self.add(x, self.splat(ROUND));
        let r = self.sub(x, self.sub(shifted, self.splat(ROUND)));
        self.pair(self.exp2_fraction(r), shifted, |q, shifted| {
            let exponent = detected!(_mm256_slli_epi32::<23>(_mm256_castps_si256(shifted)));
            let bits = detected!(_mm256_add_epi32(_mm256_castps_si256(q), exponent));
            detected!(_mm256_castsi256_ps(bits))
        })
    }
    #[inline(always)]
    fn select_negative(self, x: Self::V, a: Self::V, b: Self::V) -> Self::V {
        let low = detected!(_mm256_blendv_ps(b[0], a[0], x[0]));
        [low, detected!(_mm256_blendv_ps(b[1], a[1], x[1]))]
    }
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        detected!(_mm_prefetch::<_MM_HINT_T0>(at.cast()));
    }
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(v, &mut lanes);
        super::baseline::tree_sum(lanes)
    }
}
