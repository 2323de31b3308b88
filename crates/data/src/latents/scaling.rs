//! Latents as a network wants them.

use crate::DataError;

/// From the autoencoder's latents to those that a network is trained on:
/// `(z - mean) / std * factor`, mean and std per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentScaling {
    /// Mean of each channel; empty for zeros.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel; empty for ones.
    pub std: Vec<f32>,
    /// What all are multiplied by: 0.18215 for Stable Diffusion's first autoencoders.
    pub factor: f32,
}

/// What one channel needs: `(z - shift) * factor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ChannelScaling {
    pub(super) shift: f32,
    pub(super) factor: f32,
}

impl LatentScaling {
    /// A factor for all channels.
    pub const fn constant(factor: f32) -> Self {
        Self { mean: Vec::new(), std: Vec::new(), factor }
    }

    /// What each of `channels` channels needs; the quotient of the factor and the standard deviation
    /// is rounded once.
    pub(super) fn channels(&self, channels: usize) -> Result<Vec<ChannelScaling>, DataError> {
        check("latent mean", &self.mean, channels, "finite", f32::is_finite)?;
        let positive = |x: f32| x.is_finite() && x > 0.0;
        check("latent std", &self.std, channels, "above zero", positive)?;
        check("latent factor", &[self.factor], 1, "above zero", positive)?;
        let at = |values: &[f32], channel: usize, otherwise| {
            values.get(channel).copied().unwrap_or(otherwise)
        };
        let channel = |i| {
            let factor = (f64::from(self.factor) / f64::from(at(&self.std, i, 1.0))) as f32;
            ChannelScaling { shift: at(&self.mean, i, 0.0), factor }
        };
        Ok((0..channels).map(channel).collect())
    }
}

fn check(
    field: &'static str,
    values: &[f32],
    channels: usize,
    what: &str,
    good: impl Fn(f32) -> bool,
) -> Result<(), DataError> {
    let (len, bad) = (values.len(), values.iter().find(|&&x| !good(x)));
    let got = match bad {
        Some(bad) => bad.to_string(),
        None if len != 0 && len != channels => format!("{len} numbers"),
        None => return Ok(()),
    };
    Err(DataError::Config { field, expected: format!("{channels} numbers, each {what}"), got })
}
