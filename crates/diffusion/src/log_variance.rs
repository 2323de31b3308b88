//! A learned variance of the loss at each noise level.

use crate::NoiseLevel;
use philox::{Draws, Purpose, name_position};
use std::f64::consts::{SQRT_2, TAU};

/// Features of a noise level.
const FEATURES: usize = 64;
/// Noise levels beyond `exp(±20)` count as those.
const MOST_LN_SIGMA: f64 = 20.0;

/// `q(sigma)`, the logarithm of the expected squared error at a noise level.
///
/// A sample's loss becomes `exp(-q) mse + q`: at its best `q = ln E[mse]`, and every level then has a
/// loss of about 1. `q` is linear in 64 fixed sinusoids of `c = ln(sigma)/4`, `sqrt(2) cos(2 pi (f c +
/// p))` with normal `f` and uniform `p`, and a constant; its weights start at zero and are trained
/// beside the network by Adam.
///
/// Source: EDM2 (arXiv 2312.02696) equations 14, 15 and appendix B.
#[derive(Clone, Debug, PartialEq)]
pub struct LogVariance {
    frequencies: Vec<f64>,
    phases: Vec<f64>,
    /// `[65]` each: weights, mean gradient, mean squared gradient.
    weights: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
}

impl Default for LogVariance {
    fn default() -> Self {
        Self::new()
    }
}

impl LogVariance {
    /// `q = 0` everywhere.
    pub fn new() -> Self {
        let purpose = Purpose::ParameterInitialisation;
        let draws = |name: &str| Draws::new(0, purpose, name_position(name));
        let mut frequencies = vec![0.0f32; FEATURES];
        draws("log_variance.frequency").fill_normal(&mut frequencies);
        let phases = draws("log_variance.phase");
        let phases = (0..FEATURES).map(|i| f64::from(phases.word(i as u64)) / 4_294_967_296.0);
        let zeros = vec![0.0; FEATURES + 1];
        Self {
            frequencies: frequencies.into_iter().map(f64::from).collect(),
            phases: phases.collect(),
            weights: zeros.clone(),
            m: zeros.clone(),
            v: zeros,
        }
    }

    /// `q` at a level.
    pub fn at(&self, level: NoiseLevel) -> f64 {
        let features = self.features(level);
        features.iter().zip(&self.weights).map(|(f, &w)| f * f64::from(w)).sum()
    }

    /// State as numbers, `[3, 65]`: weights and moments.
    pub fn to_values(&self) -> Vec<f32> {
        [self.weights.as_slice(), &self.m, &self.v].concat()
    }

    /// The state that [`LogVariance::to_values`] gave; `None` when these are no such numbers.
    pub fn from_values(values: &[f32]) -> Option<Self> {
        let count = FEATURES + 1;
        (values.len() == 3 * count).then(|| Self {
            weights: values[..count].to_vec(),
            m: values[count..2 * count].to_vec(),
            v: values[2 * count..].to_vec(),
            ..Self::new()
        })
    }

    /// One step of Adam (0.9, 0.99) on the mean over samples of `exp(-q) mse + q`, whose gradient in
    /// `q` is `1 - exp(-q) mse`. `step` counts from 1.
    ///
    /// # Panics
    /// When the numbers of levels and losses differ.
    pub fn train(&mut self, levels: &[NoiseLevel], losses: &[f64], lr: f64, step: u64) {
        assert_eq!(levels.len(), losses.len(), "numbers of levels and losses");
        let mut gradient = vec![0.0f64; FEATURES + 1];
        for (&level, &loss) in levels.iter().zip(losses) {
            let slope = (1.0 - (-self.at(level)).exp() * loss) / levels.len() as f64;
            for (gradient, feature) in gradient.iter_mut().zip(self.features(level)) {
                *gradient += slope * feature;
            }
        }
        if gradient.iter().any(|g| !g.is_finite()) {
            return;
        }
        let (beta1, beta2) = (0.9f64, 0.99f64);
        let correct = |beta: f64| 1.0 - beta.powf(step as f64);
        let moments = self.m.iter_mut().zip(&mut self.v);
        for ((weight, (m, v)), g) in self.weights.iter_mut().zip(moments).zip(gradient) {
            *m = (beta1 * f64::from(*m) + (1.0 - beta1) * g) as f32;
            *v = (beta2 * f64::from(*v) + (1.0 - beta2) * g * g) as f32;
            let mean = f64::from(*m) / correct(beta1);
            let root = (f64::from(*v) / correct(beta2)).sqrt();
            *weight = (f64::from(*weight) - lr * mean / (root + 1e-8)) as f32;
        }
    }

    fn features(&self, level: NoiseLevel) -> Vec<f64> {
        let c = level.noise_per_data().ln().clamp(-MOST_LN_SIGMA, MOST_LN_SIGMA) / 4.0;
        let waves = self.frequencies.iter().zip(&self.phases);
        let waves = waves.map(|(f, p)| SQRT_2 * (TAU * (f * c + p)).cos());
        waves.chain(std::iter::once(1.0)).collect()
    }
}
