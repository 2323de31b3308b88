//! Errors relative to the largest reference value of a tensor.

/// An element that a comparison reads as f64.
pub trait ToF64: Copy {
    /// The exact value.
    fn to_f64(self) -> f64;
}

impl ToF64 for f32 {
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl ToF64 for f64 {
    fn to_f64(self) -> f64 {
        self
    }
}

/// `max |got - want| / max |want|`; infinite where `got` is not finite.
///
/// Where the reference is all zero the largest error itself is returned.
///
/// # Panics
/// When the lengths differ.
pub fn max_relative_error<A: ToF64, B: ToF64>(got: &[A], want: &[B]) -> f64 {
    worst(got, want).1
}

/// Panics unless `max |got - want| <= tolerance * max |want|`.
///
/// # Panics
/// With the operand's name, the worst element and both values; also on NaN and on unequal lengths.
#[track_caller]
pub fn assert_close<A: ToF64, B: ToF64>(what: &str, got: &[A], want: &[B], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: number of elements");
    if got.is_empty() {
        return;
    }
    let (index, error) = worst(got, want);
    assert!(
        error <= tolerance,
        "{what}: element {index} is {:e}, expected {:e}; error {error:.2e} of the largest value, \
         allowed {tolerance:.0e}",
        got[index].to_f64(),
        want[index].to_f64(),
    );
}

/// Index of the worst element and its error over the largest reference value.
#[track_caller]
fn worst<A: ToF64, B: ToF64>(got: &[A], want: &[B]) -> (usize, f64) {
    assert_eq!(got.len(), want.len(), "number of elements");
    let largest = want.iter().fold(0.0f64, |m, x| m.max(x.to_f64().abs()));
    assert!(largest.is_finite(), "the reference itself is not finite");
    let mut at = (0, 0.0);
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let difference = (g.to_f64() - w.to_f64()).abs();
        if difference.is_nan() {
            return (i, f64::INFINITY);
        }
        if difference > at.1 {
            at = (i, difference);
        }
    }
    (at.0, if largest > 0.0 { at.1 / largest } else { at.1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_relative_to_the_largest_value() {
        assert_eq!(max_relative_error(&[1.0, 100.5], &[1.0, 100.0]), 0.005);
        assert_eq!(max_relative_error(&[0.25f32], &[0.0]), 0.25);
    }

    #[test]
    #[should_panic(expected = "y: element 1")]
    fn nan_never_passes() {
        assert_close("y", &[1.0, f64::NAN], &[1.0, 1.0], 1e9);
    }

    #[test]
    #[should_panic(expected = "number of elements")]
    fn lengths_must_agree() {
        assert_close("y", &[1.0], &[1.0, 1.0], 1.0);
    }
}
