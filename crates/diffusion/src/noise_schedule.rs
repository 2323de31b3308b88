//! How fast the training process turns data into noise.

use crate::{DiffusionError, NoiseLevel};
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
    /// `sqrt(beta)` runs evenly from `sqrt(8.5e-4·1000/T)` to `sqrt(1.2e-2·1000/T)`; latent diffusion.
    ScaledLinear,
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
    /// linear, 13 for scaled linear, 1 for cosine), or more than a million.
    pub fn new(kind: NoiseScheduleKind, timesteps: usize) -> Result<Self, DiffusionError> {
        let least = match kind {
            NoiseScheduleKind::Linear => 21,
            NoiseScheduleKind::ScaledLinear => 13,
            NoiseScheduleKind::Cosine => 1,
        };
        if !(least..=MOST_TIMESTEPS).contains(&timesteps) {
            let most = MOST_TIMESTEPS;
            return Err(DiffusionError::TimestepCount { kind, timesteps, least, most });
        }
        let betas = match kind {
            NoiseScheduleKind::Linear => linear_betas(timesteps),
            NoiseScheduleKind::ScaledLinear => scaled_linear_betas(timesteps),
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

    /// The same shape moved so that nothing of the data is left at the last timestep.
    ///
    /// `r = sqrt(ab)` becomes `(r - r_{T-1}) r_0/(r_0 - r_{T-1})`. The last beta is 1, and its product 0,
    /// kept at half the one before it so that it can be divided by. Noise cannot be predicted from noise
    /// alone: for objectives that predict data or a velocity.
    ///
    /// Source: arXiv 2305.08891 algorithm 1. (Others keep `2^-24` there, which at `T = 1000` is more
    /// than the timestep before has.)
    #[must_use]
    pub fn with_zero_terminal_snr(self) -> Self {
        let roots: Vec<f64> = self.alphas_cumprod.iter().map(|ab| ab.sqrt()).collect();
        let (first, last) = (roots[0], roots[roots.len() - 1]);
        let stretch = first / (first - last);
        let mut alphas_cumprod: Vec<f64> =
            roots.iter().map(|r| ((r - last) * stretch).powi(2)).collect();
        let previous = std::iter::once(1.0).chain(alphas_cumprod.iter().copied());
        let betas = previous.zip(&alphas_cumprod).map(|(before, ab)| 1.0 - ab / before).collect();
        if let [.., before, last] = alphas_cumprod.as_mut_slice() {
            *last = *before / 2.0;
        }
        Self { betas, alphas_cumprod, ..self }
    }

    /// Whether nothing of the data is left at the last timestep.
    pub fn has_zero_terminal_snr(&self) -> bool {
        self.betas.last() == Some(&1.0)
    }

    /// The level at a time in timesteps. Between two timesteps `ln a` is linear, and so it goes on
    /// before the first and after the last.
    ///
    /// Source: the continuous form of DPM-Solver (arXiv 2206.00927 appendix D.4), whose time is
    /// `(time + 1)/T`.
    pub fn level(&self, time: f64) -> NoiseLevel {
        let last = self.timesteps() - 1;
        if time.fract() == 0.0 && (0.0..=last as f64).contains(&time) {
            return NoiseLevel::variance_preserving(self.alphas_cumprod[time as usize]);
        }
        let left = (time.max(0.0) as usize).min(last.saturating_sub(1));
        let (here, next) = (self.ln_a(left), self.ln_a(last.min(left + 1)));
        let ln_a = here + (time - left as f64) * (next - here);
        NoiseLevel { a: ln_a.exp(), s: (-(2.0 * ln_a).exp_m1()).sqrt() }
    }

    /// The time in timesteps at which there is as much noise per data as in `level`.
    pub fn time(&self, level: NoiseLevel) -> f64 {
        // ln(a/sqrt(a² + s²)), without the rounding of a quotient near 1.
        let ln_a = -0.5 * level.noise_per_data().powi(2).ln_1p();
        let last = self.timesteps() - 1;
        let above = self.alphas_cumprod.partition_point(|ab| 0.5 * ab.ln() >= ln_a);
        let left = above.saturating_sub(1).min(last.saturating_sub(1));
        let (here, next) = (self.ln_a(left), self.ln_a(last.min(left + 1)));
        if here == next { left as f64 } else { left as f64 + (ln_a - here) / (next - here) }
    }

    /// `½ ln ab_t`.
    fn ln_a(&self, t: usize) -> f64 {
        0.5 * self.alphas_cumprod[t].ln()
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

/// As [`linear_betas`] in the roots, squared.
fn scaled_linear_betas(timesteps: usize) -> Vec<f64> {
    let per_1000 = 1000.0 / timesteps as f64;
    let (start, end) = ((per_1000 * 8.5e-4).sqrt(), (per_1000 * 1.2e-2).sqrt());
    let step = (end - start) / (timesteps - 1) as f64;
    let mut betas: Vec<f64> = (0..timesteps).map(|t| (start + t as f64 * step).powi(2)).collect();
    betas[timesteps - 1] = per_1000 * 1.2e-2;
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
