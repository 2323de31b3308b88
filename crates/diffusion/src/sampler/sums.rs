//! Sums of images, in place.

use crate::Real;

/// `x <- factor x`.
pub(super) fn scale<T: Real>(x: &mut [T], factor: f64) {
    let factor = T::from_f64(factor);
    for x in x {
        *x = factor * *x;
    }
}

/// `x <- x + factor y`, for slices of one length.
pub(super) fn add_scaled<T: Real>(x: &mut [T], factor: f64, y: &[T]) {
    let factor = T::from_f64(factor);
    for (x, &y) in x.iter_mut().zip(y) {
        *x = *x + factor * y;
    }
}
