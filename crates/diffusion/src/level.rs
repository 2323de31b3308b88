//! How much data and how much noise a noisy image holds.

use crate::Real;

/// The pair `(a, s)` of `x = a x0 + s n`, `n ~ N(0, 1)`.
///
/// | process | `a` | `s` |
/// |---|---|---|
/// | variance preserving (DDPM) | `sqrt(ab)` | `sqrt(1 - ab)` |
/// | variance exploding (EDM) | 1 | sigma |
/// | flow | the path's | the path's |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseLevel {
    /// Factor of the data.
    pub a: f64,
    /// Standard deviation of the noise.
    pub s: f64,
}

impl NoiseLevel {
    /// The variance-preserving level: `a = sqrt(ab)`, `s = sqrt(1 - ab)`.
    pub fn variance_preserving(alpha_bar: f64) -> Self {
        Self { a: alpha_bar.sqrt(), s: (1.0 - alpha_bar).sqrt() }
    }

    /// Noise per unit of data, `s/a`: EDM's sigma. Infinite where there is no data.
    pub fn noise_per_data(self) -> f64 {
        self.s / self.a
    }

    /// Half the logarithm of the signal-to-noise ratio, `lambda = ln(a/s)`.
    pub fn lambda(self) -> f64 {
        (self.a / self.s).ln()
    }

    /// The variance-preserving level with as much noise per data.
    #[must_use]
    pub fn to_variance_preserving(self) -> Self {
        let norm = self.a.hypot(self.s);
        Self { a: self.a / norm, s: self.s / norm }
    }

    /// Data without noise.
    pub const DATA: Self = Self { a: 1.0, s: 0.0 };

    /// Signal-to-noise ratio `(a/s)²`; for a variance-preserving level `ab/(1 - ab)`.
    pub fn snr(self) -> f64 {
        (self.a / self.s).powi(2)
    }

    /// Writes `x = a x0 + s n`. All slices have one length.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn corrupt<T: Real>(self, x0: &[T], noise: &[T], x: &mut [T]) {
        assert_eq!((x0.len(), noise.len()), (x.len(), x.len()), "corrupt: lengths of x0, noise, x");
        let (a, s) = (T::from_f64(self.a), T::from_f64(self.s));
        for ((x, &x0), &n) in x.iter_mut().zip(x0).zip(noise) {
            *x = a * x0 + s * n;
        }
    }

    /// Writes the noise that leads from `x0` to `x`, `n = (x - a x0)/s`. All slices have one length.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn noise_between<T: Real>(self, x0: &[T], x: &[T], noise: &mut [T]) {
        assert_eq!((x0.len(), noise.len()), (x.len(), x.len()), "lengths of x0, noise, x");
        let (a, inverse_s) = (T::from_f64(self.a), T::from_f64(1.0 / self.s));
        for ((n, &x0), &x) in noise.iter_mut().zip(x0).zip(x) {
            *n = (x - a * x0) * inverse_s;
        }
    }
}
