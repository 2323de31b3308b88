//! How fast the training process turns data into noise.

use crate::DiffusionError;
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;

/// Most timesteps a noise schedule may have; a larger number is a typing error.
const MOST_TIMESTEPS: usize = 1_000_000;

/// The shape of a noise schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseScheduleKind {
    /// `beta` runs evenly from `1e-4·1000/T` to `2e-2·1000/T`; DDPM section 4, DiS.
    Linear,
    /// `ab(u) ∝ cos²((u + .008)/1.008 · pi/2)`, `beta <= .999`; improved DDPM equation 17.
    Cosine,
}

/// The betas of the training process and their running product, `t = 0..T-1`, in f64.
///
/// These are the raw numbers. Coefficients for training and sampling come from a
/// [`crate::DiffusionTable`], which is built from the product and not from the betas.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseSchedule {
    kind: NoiseScheduleKind,
    betas: Vec<f64>,
    alphas_cumprod: Vec<f64>,
}

impl NoiseSchedule {
    /// The schedule of the given kind with `timesteps` = `T` timesteps.
    ///
    /// # Errors
    /// [`DiffusionError::TimestepCount`] for fewer timesteps than keep every `beta` below 1 (21 for
    /// linear, 1 for cosine), or more than a million.
    pub fn new(kind: NoiseScheduleKind, timesteps: usize) -> Result<Self, DiffusionError> {
        let least = match kind {
            NoiseScheduleKind::Linear => 21,
            NoiseScheduleKind::Cosine => 1,
        };
        if !(least..=MOST_TIMESTEPS).contains(&timesteps) {
            let most = MOST_TIMESTEPS;
            return Err(DiffusionError::TimestepCount { kind, timesteps, least, most });
        }
        let betas = match kind {
            NoiseScheduleKind::Linear => linear_betas(timesteps),
            NoiseScheduleKind::Cosine => cosine_betas(timesteps),
        };
        let alphas_cumprod = running_product(&betas);
        Ok(Self { kind, betas, alphas_cumprod })
    }

    /// The linear schedule of DDPM and DiS.
    ///
    /// # Errors
    /// As [`NoiseSchedule::new`].
    pub fn linear(timesteps: usize) -> Result<Self, DiffusionError> {
        Self::new(NoiseScheduleKind::Linear, timesteps)
    }

    /// The cosine schedule of improved DDPM.
    ///
    /// # Errors
    /// As [`NoiseSchedule::new`].
    pub fn cosine(timesteps: usize) -> Result<Self, DiffusionError> {
        Self::new(NoiseScheduleKind::Cosine, timesteps)
    }

    /// Which schedule this is.
    pub fn kind(&self) -> NoiseScheduleKind {
        self.kind
    }

    /// Number of training timesteps `T`.
    pub fn timesteps(&self) -> usize {
        self.betas.len()
    }

    /// `beta_t`, `T` values.
    pub fn betas(&self) -> &[f64] {
        &self.betas
    }

    /// `ab_t = prod_{r <= t} (1 - beta_r)`, `T` values; `ab_{-1}` would be 1.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }
}

/// `prod_{r <= t} (1 - beta_r)`, multiplied in order.
pub(crate) fn running_product(betas: &[f64]) -> Vec<f64> {
    betas
        .iter()
        .scan(1.0, |product, beta| {
            *product *= 1.0 - beta;
            Some(*product)
        })
        .collect()
}

/// End points first, then `start + t·step`, the last one exact.
fn linear_betas(timesteps: usize) -> Vec<f64> {
    let per_1000 = 1000.0 / timesteps as f64;
    let (start, end) = (per_1000 * 1e-4, per_1000 * 2e-2);
    let step = (end - start) / (timesteps - 1) as f64;
    let mut betas: Vec<f64> = (0..timesteps).map(|t| start + t as f64 * step).collect();
    betas[timesteps - 1] = end;
    betas
}

/// `beta_t = min(1 - f((t+1)/T)/f(t/T), .999)`, `f(u) = cos²((u + .008)/1.008 · pi/2)`.
fn cosine_betas(timesteps: usize) -> Vec<f64> {
    let f = |t: usize| {
        let u = t as f64 / timesteps as f64;
        ((u + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2)
    };
    (0..timesteps).map(|t| (1.0 - f(t + 1) / f(t)).min(0.999)).collect()
}
