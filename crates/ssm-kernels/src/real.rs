//! Element types of the reference backend.

use crate::space::Element;
use std::fmt::Display;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// f32 or f64: what the reference definitions are generic over.
pub trait Real:
    Element
    + Display
    + PartialOrd
    + Sum
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + SubAssign
    + Mul<Output = Self>
    + MulAssign
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Not a number, for poisoning buffers.
    const NAN: Self;

    /// Nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// Exact value as f64.
    fn to_f64(self) -> f64;
    /// `e^x`.
    fn exp(self) -> Self;
    /// `ln(1 + x)`, accurate for small `x`.
    fn ln_1p(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Magnitude.
    fn abs(self) -> Self;

    /// Logistic function `1 / (1 + e^-x)`.
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }

    /// `x * sigmoid(x)`.
    fn silu(self) -> Self {
        self * self.sigmoid()
    }

    /// Derivative of [`Real::silu`]: `s * (1 + x * (1 - s))` with `s = sigmoid(x)`.
    fn silu_slope(self) -> Self {
        let s = self.sigmoid();
        s * (Self::ONE + self * (Self::ONE - s))
    }

    /// `ln(1 + e^x)` without overflow and without losing small values.
    fn softplus(self) -> Self {
        let positive = if self > Self::ZERO { self } else { Self::ZERO };
        positive + (-self.abs()).exp().ln_1p()
    }
}

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NAN: Self = <$t>::NAN;

            fn from_f64(x: f64) -> Self {
                x as $t
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn exp(self) -> Self {
                self.exp()
            }
            fn ln_1p(self) -> Self {
                self.ln_1p()
            }
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            fn abs(self) -> Self {
                self.abs()
            }
        }
    };
}
real!(f32);
real!(f64);
