//! The element types of images.

use std::fmt::Debug;
use std::ops::{Add, Mul, Neg, Sub};

/// An element of an image or of a model output: f32 in production, f64 in tests.
///
/// Coefficients are f64 and enter through [`Real::from_f64`].
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
{
    /// The nearest element.
    fn from_f64(value: f64) -> Self;

    /// The exact value.
    fn to_f64(self) -> f64;

    /// `e^self - 1`, accurate also near 0.
    fn exp_m1(self) -> Self;
}

impl Real for f32 {
    #[inline]
    fn from_f64(value: f64) -> Self {
        value as Self
    }

    #[inline]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline]
    fn exp_m1(self) -> Self {
        // The f64 exponential has digits to spare, and is faster than the f32 `expm1` of libm.
        (f64::from(self).exp() - 1.0) as Self
    }
}

impl Real for f64 {
    #[inline]
    fn from_f64(value: f64) -> Self {
        value
    }

    #[inline]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline]
    fn exp_m1(self) -> Self {
        Self::exp_m1(self)
    }
}
