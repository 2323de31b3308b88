//! The affine map between what the encoder gives and what a diffusion model is trained on.

use ssm_kernels::Real;

/// How latents are brought to about unit variance: `z = (x - mean) / std`, or a constant factor.
///
/// `x` is a sample of the posterior, `z` what a diffusion model sees. Both are `[B, C, pixels]`.
///
/// # Source
/// The factor 0.18215 is that of Stable Diffusion (arXiv 2112.10752, appendix G: the reciprocal of
/// the standard deviation over the first batch). Keys `scaling_factor`, `shift_factor`,
/// `latents_mean` and `latents_std` are those of diffusers.
#[derive(Clone, Debug, PartialEq)]
pub enum LatentScaling {
    /// `z = (x - shift) factor`.
    Constant {
        /// Key `scaling_factor`.
        factor: f64,
        /// Key `shift_factor`, or 0.
        shift: f64,
    },
    /// `z[c] = (x[c] - mean[c]) factor / std[c]`.
    PerChannel {
        /// Key `latents_mean`, one for each latent channel.
        mean: Vec<f64>,
        /// Key `latents_std`, one for each latent channel.
        std: Vec<f64>,
        /// Key `scaling_factor`; 1 where mean and deviation say it all.
        factor: f64,
    },
}

impl LatentScaling {
    /// The factor of Stable Diffusion's autoencoders.
    pub const STABLE_DIFFUSION: Self = Self::Constant { factor: 0.182_15, shift: 0.0 };

    /// Latents of the encoder `[B, C, pixels]` to those of a diffusion model, in place.
    ///
    /// # Panics
    /// When there are no whole `channels`, or another number than there are means.
    pub fn apply<T: Real>(&self, latents: &mut [T], channels: usize, pixels: usize) {
        self.each_channel(latents, channels, pixels, |x, shift, factor| (x - shift) * factor);
    }

    /// The inverse of [`LatentScaling::apply`], in place.
    ///
    /// # Panics
    /// As [`LatentScaling::apply`].
    pub fn undo<T: Real>(&self, latents: &mut [T], channels: usize, pixels: usize) {
        self.each_channel(latents, channels, pixels, |z, shift, factor| z / factor + shift);
    }

    fn each_channel<T: Real>(
        &self,
        latents: &mut [T],
        channels: usize,
        pixels: usize,
        map: impl Fn(T, T, T) -> T,
    ) {
        let image = channels * pixels;
        assert!(image > 0 && latents.len().is_multiple_of(image), "latents of {image} elements");
        for (i, plane) in latents.chunks_exact_mut(pixels).enumerate() {
            let (shift, factor) = self.of_channel(i % channels, channels);
            let (shift, factor) = (T::from_f64(shift), T::from_f64(factor));
            for x in plane {
                *x = map(*x, shift, factor);
            }
        }
    }

    /// Shift and factor of one channel.
    fn of_channel(&self, channel: usize, channels: usize) -> (f64, f64) {
        match self {
            Self::Constant { factor, shift } => (*shift, *factor),
            Self::PerChannel { mean, std, factor } => {
                assert_eq!((mean.len(), std.len()), (channels, channels), "latent channels");
                (mean[channel], factor / std[channel])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_factor_is_that_of_stable_diffusion() {
        let mut x = [1.0f32, -2.0];
        LatentScaling::STABLE_DIFFUSION.apply(&mut x, 1, 2);
        assert_eq!(x, [0.18215, -0.3643]);
    }

    #[test]
    fn channels_have_their_own_mean_and_deviation() {
        let (mean, std) = (vec![1.0, -1.0], vec![2.0, 4.0]);
        let scaling = LatentScaling::PerChannel { mean, std, factor: 0.5 };
        // Two images of two channels of one pixel.
        let mut x = [5.0f64, 7.0, 1.0, -1.0];
        scaling.apply(&mut x, 2, 1);
        assert_eq!(x, [1.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn undo_is_the_inverse() {
        let (mean, std) = (vec![0.3, -0.7, 2.0], vec![0.9, 1.7, 0.2]);
        for scaling in [
            LatentScaling::Constant { factor: 0.3611, shift: 0.1159 },
            LatentScaling::PerChannel { mean, std, factor: 1.0 },
        ] {
            let x = parity::uniform(3, 2 * 3 * 5);
            let mut z = x.clone();
            scaling.apply(&mut z, 3, 5);
            assert!(parity::max_relative_error(&z, &x) > 0.05);
            scaling.undo(&mut z, 3, 5);
            parity::assert_close("x", &z, &x, 1e-15);
        }
    }
}
