//! Logarithm, sine and cosine from IEEE `+ - * /` alone, branch-free, the same bits everywhere.
//!
//! The arguments are words, not arbitrary doubles, so every reduction is exact in integers. No
//! function here branches or calls a library, which lets loops over them become vector code.

/// 2^52 as bits: or-ed with an integer below 2^52 it is the double 2^52 + integer.
const TWO_52_BITS: u64 = 0x4330_0000_0000_0000;
const TWO_52: f64 = (1u64 << 52) as f64;
/// Bits of the double next to sqrt(1/2); mantissas in [sqrt(1/2), sqrt(2)) keep `ln` exact at 1.
const SQRT_HALF_BITS: u64 = 0x3FE6_A09E_667F_3BCD;
const ONE_BITS: u64 = 0x3FF0_0000_0000_0000;
const MANTISSA: u64 = (1 << 52) - 1;

/// ln 2 in two parts. The first has 21 trailing zero bits, so its product with an exponent is exact.
const LN_2_HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000);
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// An integer below 2^52 as a double, exact, without a conversion instruction.
#[inline(always)]
fn exact(integer: u64) -> f64 {
    f64::from_bits(TWO_52_BITS | integer) - TWO_52
}

/// `ln((word + 1) 2^-32)`, in [-22.19, 0]; error below 1 ulp (0.83 measured).
///
/// `ln u = k ln 2 + ln m` with m in [sqrt(1/2), sqrt(2)) and `ln m = 2 atanh((m-1)/(m+1))`.
#[inline(always)]
pub(crate) fn ln_unit(word: u32) -> f64 {
    let u = (exact(u64::from(word)) + 1.0) * (1.0 / (1u64 << 32) as f64);
    // Moves the borders between exponents from powers of two to sqrt(1/2) times them.
    let shifted = u.to_bits().wrapping_add(ONE_BITS - SQRT_HALF_BITS);
    let k = exact(shifted >> 52) - 1023.0;
    let m = f64::from_bits((shifted & MANTISSA) + SQRT_HALF_BITS);

    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let series = atanh_series(z);
    // 2 atanh(s) = f - s (f - 2 z series): f is exact, the rest is small.
    k * LN_2_HIGH - ((s * (f - 2.0 * z * series) - k * LN_2_LOW) - f)
}

/// `(atanh(s)/s - 1)/z = 1/3 + z/5 + z^2/7 + ..` with z = s^2 <= 0.0295; the rest is below 1e-18.
#[inline(always)]
fn atanh_series(z: f64) -> f64 {
    let mut sum = 1.0 / 23.0;
    for odd in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        sum = sum * z + 1.0 / odd;
    }
    sum
}

/// `(sin, cos)` of `2 pi word 2^-32`; absolute error below 2e-16 (1.6e-16 measured).
#[inline(always)]
pub(crate) fn sin_cos_turn(word: u32) -> (f64, f64) {
    const EIGHTH_TURN: u32 = 1 << 29;
    const QUARTER_MASK: u32 = (1 << 30) - 1;
    // The nearest quarter turn and what is left of it, in [-1/8, 1/8) turn.
    let moved = word.wrapping_add(EIGHTH_TURN);
    let quarter = u64::from(moved >> 30);
    let left = exact(u64::from(moved & QUARTER_MASK)) - f64::from(EIGHTH_TURN);
    let x = left * (std::f64::consts::TAU / (1u64 << 32) as f64);
    let z = x * x;
    let sin = (x + x * z * sin_series(z)).to_bits();
    let cos = (1.0 - (0.5 * z - z * z * cos_series(z))).to_bits();

    // Odd quarters exchange the two; signs: sin minus in quarters 2, 3 and cos minus in 1, 2.
    let exchange = (sin ^ cos) & (quarter & 1).wrapping_neg();
    let sin_sign = quarter >> 1 << 63;
    let cos_sign = (quarter.wrapping_add(1) >> 1) << 63;
    (f64::from_bits(sin ^ exchange ^ sin_sign), f64::from_bits(cos ^ exchange ^ cos_sign))
}

/// `(sin(x)/x - 1)/z = -1/3! + z/5! - ..` with z = x^2 <= 0.617; the rest is below 4e-19.
#[inline(always)]
fn sin_series(z: f64) -> f64 {
    let mut sum = 1.0 / FACTORIAL[17];
    for n in [15, 13, 11, 9, 7, 5, 3] {
        let sign = if n % 4 == 1 { 1.0 } else { -1.0 };
        sum = sum * z + sign / FACTORIAL[n];
    }
    sum
}

/// `(cos(x) - 1 + z/2)/z^2 = 1/4! - z/6! + ..` with z = x^2 <= 0.617; the rest is below 6e-18.
#[inline(always)]
fn cos_series(z: f64) -> f64 {
    let mut sum = 1.0 / FACTORIAL[16];
    for n in [14, 12, 10, 8, 6, 4] {
        let sign = if n % 4 == 0 { 1.0 } else { -1.0 };
        sum = sum * z + sign / FACTORIAL[n];
    }
    sum
}

/// Factorials; all are exact doubles (18! < 2^53).
const FACTORIAL: [f64; 18] = {
    let mut table = [1.0; 18];
    let mut n = 1;
    while n < 18 {
        table[n] = table[n - 1] * n as f64;
        n += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends and middle of the range, and words over all of it, against the platform's functions
    /// (which are themselves within an ulp).
    fn words() -> impl Iterator<Item = u32> {
        let spread = (0..100_000u32).map(|i| i.wrapping_mul(0x9E37_79B9));
        let edges = (0..1000).flat_map(|i| [i, u32::MAX - i, (1 << 31) - 500 + i, (1 << 29) + i]);
        edges.chain(spread)
    }

    #[test]
    fn logarithm() {
        for word in words() {
            let expected = ((f64::from(word) + 1.0) / 2f64.powi(32)).ln();
            let error = (ln_unit(word) - expected).abs();
            assert!(error <= 4.5e-16 * expected.abs(), "ln of {word:#x}: off by {error:e}");
        }
        assert_eq!(ln_unit(u32::MAX).to_bits(), 0);
    }

    #[test]
    fn sine_and_cosine() {
        for word in words() {
            let (sin, cos) = sin_cos_turn(word);
            let expected = (std::f64::consts::TAU * (f64::from(word) / 2f64.powi(32))).sin_cos();
            // The platform's angle is rounded: up to 4.5e-16 beside ours.
            let error = (sin - expected.0).abs().max((cos - expected.1).abs());
            assert!(error <= 8e-16, "sine, cosine of {word:#x}: off by {error:e}");
            assert!((sin * sin + cos * cos - 1.0).abs() <= 7e-16);
        }
        let quarters = [0u32, 1, 2, 3].map(|quarter| sin_cos_turn(quarter << 30));
        assert_eq!(quarters, [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)]);
    }
}
