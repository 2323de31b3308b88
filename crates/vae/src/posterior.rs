//! What the encoder says of latents: a normal distribution for each element.

use ssm_kernels::Real;

/// Least and largest logarithm of a variance, as diffusers bounds it.
const LOG_VARIANCE: [f64; 2] = [-30.0, 20.0];

/// A diagonal normal distribution of the latents of images, `[B, C, H, W]`, before any scaling.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior<T = f32> {
    mean: Vec<T>,
    log_variance: Vec<T>,
}

impl<T: Real> Posterior<T> {
    /// From the moments of the encoder, `[B, 2C, H W]`: means first, logarithms of variances last.
    /// The latter are clamped to [-30, 20].
    ///
    /// # Panics
    /// When `moments` is not made of images of `2 channels * pixels` elements.
    pub fn from_moments(moments: &[T], channels: usize, pixels: usize) -> Self {
        let half = channels * pixels;
        assert!(half > 0 && moments.len().is_multiple_of(2 * half), "moments of 2 x {half}");
        let mut mean = Vec::with_capacity(moments.len() / 2);
        let mut log_variance = Vec::with_capacity(moments.len() / 2);
        for image in moments.chunks_exact(2 * half) {
            mean.extend_from_slice(&image[..half]);
            log_variance.extend(image[half..].iter().map(|&x| clamped(x)));
        }
        Self { mean, log_variance }
    }

    /// Means, which are the mode as well.
    pub fn mean(&self) -> &[T] {
        &self.mean
    }

    /// Natural logarithms of the variances, in [-30, 20].
    pub fn log_variance(&self) -> &[T] {
        &self.log_variance
    }

    /// Standard deviations.
    pub fn std(&self) -> impl Iterator<Item = T> {
        self.log_variance.iter().map(|&x| (x * T::from_f64(0.5)).exp())
    }

    /// A sample: `mean + std normal`.
    ///
    /// # Panics
    /// When there is not one standard normal for each element.
    pub fn sample(&self, normals: &[T]) -> Vec<T> {
        assert_eq!(normals.len(), self.mean.len(), "normals of a sample");
        let each = self.mean.iter().zip(self.std()).zip(normals);
        each.map(|((&mean, std), &normal)| mean + std * normal).collect()
    }
}

/// `x` within [`LOG_VARIANCE`]; what is not a number stays so, and is seen.
fn clamped<T: Real>(x: T) -> T {
    let [least, largest] = LOG_VARIANCE.map(T::from_f64);
    if x < least {
        least
    } else if x > largest {
        largest
    } else {
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_split_by_image_and_clamped() {
        // Two images, one channel of two pixels.
        let moments = [1.0f64, 2.0, 0.0, -40.0, 3.0, 4.0, 25.0, f64::NAN];
        let posterior = Posterior::from_moments(&moments, 1, 2);
        assert_eq!(posterior.mean(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(posterior.log_variance()[..3], [0.0, -30.0, 20.0]);
        assert!(posterior.log_variance()[3].is_nan());
    }

    #[test]
    fn a_sample_is_mean_plus_deviations() {
        let log4 = 4f64.ln();
        let posterior = Posterior::from_moments(&[1.0, -1.0, log4, -log4], 1, 2);
        let std: Vec<f64> = posterior.std().collect();
        parity::assert_close("std", &std, &[2.0, 0.5], 1e-15);
        parity::assert_close("sample", &posterior.sample(&[1.5, -2.0]), &[4.0, -2.0], 1e-15);
        assert_eq!(posterior.sample(&[0.0, 0.0]), posterior.mean());
    }
}
