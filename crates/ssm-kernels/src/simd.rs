//! Sixteen f32 lanes on whatever the CPU has.
//!
//! A kernel is written once, generic over [`Simd`], and built three times: AVX-512, AVX2 with FMA,
//! and the target's baseline (SSE2 on x86-64, NEON on AArch64). [`dispatch`] picks the build at run
//! time. Lanes are channels, so nothing crosses lanes except [`Simd::sum`].
#![allow(unsafe_code, reason = "vector instructions of a CPU feature that was detected")]

use std::sync::OnceLock;

/// Lanes of one vector, on every instruction set.
pub(crate) const LANES: usize = 16;

/// Instruction sets the CPU kernels are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// AVX-512, and AMX tiles of bf16 for matrix products.
    Amx,
    /// 512-bit vectors (AVX-512 F, VL, DQ, BW).
    Avx512,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// What the compilation target guarantees.
    Baseline,
}

impl InstructionSet {
    /// All that this CPU runs, best first.
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("fma")
            {
                if amx_available() {
                    sets.push(Self::Amx);
                }
                sets.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                sets.push(Self::Avx2);
            }
        }
        sets.push(Self::Baseline);
        sets
    }

    /// The one in use: the best available, or what `DIS_CPU_ISA` (`amx`, `avx512`, `avx2`,
    /// `baseline`) asks for where the CPU has it.
    pub fn current() -> Self {
        static CURRENT: OnceLock<InstructionSet> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let available = Self::available();
            let wanted = match std::env::var("DIS_CPU_ISA").as_deref() {
                Ok("amx") => Self::Amx,
                Ok("avx512") => Self::Avx512,
                Ok("avx2") => Self::Avx2,
                Ok("baseline") => Self::Baseline,
                _ => available[0],
            };
            if available.contains(&wanted) { wanted } else { available[0] }
        })
    }

    /// Name as accepted by `DIS_CPU_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amx => "amx",
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Baseline => "baseline",
        }
    }
}

/// A computation to run with the vectors of one instruction set.
///
/// `run` must be `#[inline(always)]`, else it is compiled without the instruction set. The same holds
/// for every function that it hands vectors to. A closure called in two places, `array::map` and
/// `array::from_fn` may be compiled on their own: each cost a factor of ten when it happened.
pub(crate) trait Kernel {
    type Output;
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs `kernel` built for `set`.
///
/// # Panics
/// When the CPU lacks `set`.
#[inline]
pub(crate) fn dispatch<K: Kernel>(set: InstructionSet, kernel: K) -> K::Output {
    match set {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Amx | InstructionSet::Avx512 => {
            assert!(is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq"));
            // SAFETY: the features were detected.
            unsafe { x86::run_avx512(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => {
            assert!(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"));
            // SAFETY: the features were detected.
            unsafe { x86::run_avx2(kernel) }
        }
        _ => kernel.run(baseline::Baseline),
    }
}

/// `2^r` on [-1/2, 1/2], highest power first: relative error 1.8e-7.
///
/// The coefficients minimise the error divided by `1 - decay`, which is the weight of one decay's
/// error in a state that is the sum of many. The constant is exactly 1: a constant of 1.0000001
/// would let slowly decaying states drift by 1e-7 per token.
const EXP2: [f32; 6] = [1.320_361e-3, 9.667_992e-3, 5.550_907e-2, 2.402_232e-1, 6.931_469e-1, 1.0];

/// 1.5 * 2^23: adding it to a number below 2^22 rounds to an integer, which then stands in the
/// lowest bits.
const ROUND: f32 = 12_582_912.0;

/// `ln(1 + e) / e` on [0, 1], highest power first: relative error 2.9e-7.
const LN_1P: [f32; 9] = [
    5.232_692_7e-3,
    -2.950_523_2e-2,
    7.822_594e-2,
    -1.366_324_4e-1,
    1.910_600_7e-1,
    -2.484_298_2e-1,
    3.331_909_8e-1,
    -4.999_949_3e-1,
    9.999_999_4e-1,
];

/// Lane-wise arithmetic on [`LANES`] f32.
pub(crate) trait Simd: Copy + Send + Sync {
    /// A vector.
    type V: Copy;

    fn splat(self, x: f32) -> Self::V;
    fn load(self, from: &[f32; LANES]) -> Self::V;
    fn store(self, v: Self::V, to: &mut [f32; LANES]);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, fused where the CPU can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    fn abs(self, a: Self::V) -> Self::V;
    /// `2^x` for `x <= 127`; results below the normal range may be zero or a smallest normal number.
    fn exp2(self, x: Self::V) -> Self::V;
    /// Sum of all lanes in a fixed order.
    fn sum(self, v: Self::V) -> f32;
    /// Sums of sixteen vectors, the `i`-th in lane `i`, each in a fixed order.
    #[inline(always)]
    fn sums(self, v: &[Self::V; LANES]) -> Self::V {
        let mut sums = [0.0; LANES];
        for (sum, v) in sums.iter_mut().zip(v) {
            *sum = self.sum(*v);
        }
        self.load(&sums)
    }
    /// `a` where `x` is negative (-0 included), else `b`.
    fn select_negative(self, x: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// Asks for the cache line of `at`, which will be read or written soon; any address will do.
    #[inline(always)]
    fn prefetch(self, _at: *const f32) {}

    /// `2^r` for `r` in [-1/2, 1/2].
    #[inline(always)]
    fn exp2_fraction(self, r: Self::V) -> Self::V {
        let mut q = self.splat(EXP2[0]);
        for c in &EXP2[1..] {
            q = self.fma(q, r, self.splat(*c));
        }
        q
    }

    #[inline(always)]
    fn neg(self, a: Self::V) -> Self::V {
        self.sub(self.splat(0.0), a)
    }

    #[inline(always)]
    fn sigmoid(self, x: Self::V) -> Self::V {
        let one = self.splat(1.0);
        self.div(one, self.add(one, self.exp_neg(x)))
    }

    /// `x sigmoid(x)`.
    #[inline(always)]
    fn silu(self, x: Self::V) -> Self::V {
        self.div(x, self.add(self.splat(1.0), self.exp_neg(x)))
    }

    /// `ln(1 + e^x)` to 3e-7 of its value, for every x.
    #[inline(always)]
    fn softplus(self, x: Self::V) -> Self::V {
        self.softplus_of(x, self.exp_neg_abs(x))
    }

    /// Softplus and its derivative, the sigmoid.
    #[inline(always)]
    fn softplus_slope(self, x: Self::V) -> (Self::V, Self::V) {
        let one = self.splat(1.0);
        let e = self.exp_neg_abs(x);
        let slope = self.div(self.select_negative(x, e, one), self.add(one, e));
        (self.softplus_of(x, e), slope)
    }

    /// `max(x, 0) + ln(1 + e)` for `e = exp(-|x|)`.
    #[inline(always)]
    fn softplus_of(self, x: Self::V, e: Self::V) -> Self::V {
        let mut q = self.splat(LN_1P[0]);
        for c in &LN_1P[1..] {
            q = self.fma(q, e, self.splat(*c));
        }
        self.fma(q, e, self.max(x, self.splat(0.0)))
    }

    /// `e^-|x|`.
    #[inline(always)]
    fn exp_neg_abs(self, x: Self::V) -> Self::V {
        self.exp2(self.mul(self.abs(x), self.splat(-std::f32::consts::LOG2_E)))
    }

    /// `e^-x`, at most 2^127.
    #[inline(always)]
    fn exp_neg(self, x: Self::V) -> Self::V {
        let exponent = self.mul(x, self.splat(-std::f32::consts::LOG2_E));
        self.exp2(self.min(exponent, self.splat(127.0)))
    }

    /// The first `n` lanes from a slice of `n <= LANES` elements, the rest 0.
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::V {
        if let Ok(full) = <&[f32; LANES]>::try_from(from) {
            return self.load(full);
        }
        let mut lanes = [0.0; LANES];
        lanes[..from.len()].copy_from_slice(from);
        self.load(&lanes)
    }

    /// The first `n` lanes to a slice of `n <= LANES` elements.
    #[inline(always)]
    fn store_part(self, v: Self::V, to: &mut [f32]) {
        if let Ok(full) = <&mut [f32; LANES]>::try_from(&mut *to) {
            return self.store(v, full);
        }
        let mut lanes = [0.0; LANES];
        self.store(v, &mut lanes);
        let n = to.len();
        to.copy_from_slice(&lanes[..n]);
    }
}

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
pub(crate) use amx::available as amx_available;

#[cfg(target_arch = "x86_64")]
mod x86;

mod baseline;

#[cfg(test)]
mod tests;
