//! Plain loops over sixteen lanes, vectorised by the compiler for the target's baseline.
//!
//! No `mul_add`: without the instruction it is a call into libm, twenty times slower.

use super::{LANES, ROUND, Simd};

#[derive(Clone, Copy)]
pub(crate) struct Baseline;

type V = [f32; LANES];

#[inline(always)]
fn each(a: V, f: impl Fn(f32) -> f32) -> V {
    let mut out = a;
    for x in &mut out {
        *x = f(*x);
    }
    out
}

#[inline(always)]
fn pair(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    let mut out = a;
    for (x, y) in out.iter_mut().zip(b) {
        *x = f(*x, y);
    }
    out
}

/// Sum by halving, the order of a vector reduction.
#[inline(always)]
pub(super) fn tree_sum(mut v: V) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            v[i] += v[i + half];
        }
        half /= 2;
    }
    v[0]
}

impl Simd for Baseline {
    type V = V;

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> V {
        *from
    }
    #[inline(always)]
    fn store(self, v: V, to: &mut [f32; LANES]) {
        *to = v;
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        pair(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        pair(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        pair(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        pair(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        pair(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        pair(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self, a: V) -> V {
        each(a, f32::sqrt)
    }
    #[inline(always)]
    fn abs(self, a: V) -> V {
        each(a, f32::abs)
    }
    #[inline(always)]
    fn exp2(self, x: V) -> V {
        let x = self.max(x, self.splat(-126.0));
        let shifted = each(x, |x| x + ROUND);
        let fraction = self.exp2_fraction(pair(x, shifted, |x, t| x - (t - ROUND)));
        pair(fraction, shifted, |q, t| f32::from_bits(q.to_bits().wrapping_add(t.to_bits() << 23)))
    }
    #[inline(always)]
    fn select_negative(self, x: V, a: V, b: V) -> V {
        let mut out = b;
        for k in 0..LANES {
            if x[k].is_sign_negative() {
                out[k] = a[k];
            }
        }
        out
    }
    #[inline(always)]
    fn sum(self, v: V) -> f32 {
        tree_sum(v)
    }
}
