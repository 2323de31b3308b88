//! Squared error of the noise plus the variational bound of the learned variance.
//!
//! With `d = eps_hat - eps`, `k = sqrt(1/ab - 1)` and no clipping, `x0_hat = x_t/sqrt(ab) - k eps_hat`
//! is `x0 - k d`. So the two posterior means differ by `m_q - m_p = c1 (x0 - x0_hat) = c1 k d`, and
//! neither `x_t` nor `x0` is read where the bound is a KL divergence.
//!
//! With `l_q` the clipped posterior log variance, `delta = l_p - l_q = (v+1)/2 (ln beta - l_q)` and
//! `e = exp(-delta) - 1`:
//!
//! | quantity | per element |
//! |---|---|
//! | `KL` | `½(-1 + delta + exp(-delta) + (m_q-m_p)² exp(-l_p))` |
//! | | `= ½(delta + e + q)` with `q = (c1 k)² exp(-l_q) (1 + e) d²` |
//! | `dKL/dl_p` | `½(-e - q)` |
//! | `dKL/d eps_hat` | `q/d` |
//! | `dl_p/dv` | `½(ln beta - l_q)` |
//!
//! Source: improved DDPM section 3; the loss of DiS. Means over the `M` elements of a sample, the
//! bound in bits.

use super::kind::HybridWeights;
use super::{Sample, decoder_term};
use crate::{Real, TableRow};
use std::f64::consts::LN_2;

/// The sums over one sample: squared error, and the bound in nats.
struct Sums {
    squared_error: f64,
    bound: f64,
}

/// What the loss of a sample takes from its timestep, its size and the weights: all but the elements.
///
/// `M` elements, `g` the factor on gradients, `l_q` the clipped posterior log variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HybridCoefficients {
    /// `2 g w_mse/M`, of `d` in the gradient of the prediction.
    pub error_slope: f64,
    /// `g w_vb_to_mean/(M ln 2)`, of `d KL/d eps_hat`.
    pub mean_slope: f64,
    /// `g w_vb/(M ln 2)`, of `d KL/d l_p`.
    pub variance_slope: f64,
    /// `½(ln beta - l_q)`.
    pub half_range: f64,
    /// `l_q`.
    pub log_variance: f64,
    /// `(c1 k)² exp(-l_q)`.
    pub precision: f64,
    /// `k`.
    pub noise_per_data: f64,
    /// Whether the bound is the likelihood of an 8-bit pixel.
    pub is_first: bool,
}

pub(super) fn coefficients(
    row: &TableRow,
    weights: HybridWeights,
    elements: usize,
    gradient_factor: f64,
) -> HybridCoefficients {
    let count = elements as f64;
    let bits = 1.0 / (count * LN_2);
    let mean_per_error = row.posterior_mean_x0 * row.sqrt_recip_alpha_bar_minus_one;
    HybridCoefficients {
        error_slope: gradient_factor * weights.mse * 2.0 / count,
        mean_slope: gradient_factor * weights.vb_to_mean * bits,
        variance_slope: gradient_factor * weights.vb * bits,
        half_range: 0.5 * (row.ln_beta - row.posterior_log_variance),
        log_variance: row.posterior_log_variance,
        precision: mean_per_error.powi(2) * (-row.posterior_log_variance).exp(),
        noise_per_data: row.sqrt_recip_alpha_bar_minus_one,
        is_first: row.is_first(),
    }
}

/// Mean squared error and bound in bits per element of one sample; writes the gradient over `grad`
/// (prediction, then `v`).
pub(super) fn loss<T: Real>(
    c: HybridCoefficients,
    sample: Sample<'_, T>,
    grad: &mut [T],
) -> (f64, f64) {
    let sums = if c.is_first { decoder_sums(c, sample, grad) } else { kl_sums(c, sample, grad) };
    let count = sample.x0.len() as f64;
    (sums.squared_error / count, sums.bound / (count * LN_2))
}

/// Timesteps above 0: the KL divergence between the posterior and the model, in one pass.
fn kl_sums<T: Real>(c: HybridCoefficients, sample: Sample<'_, T>, grad: &mut [T]) -> Sums {
    let half_range = T::from_f64(c.half_range);
    let precision = T::from_f64(c.precision);
    let error_slope = T::from_f64(c.error_slope);
    let mean_slope = T::from_f64(c.mean_slope) * precision;
    let variance_slope = T::from_f64(-0.5 * c.half_range * c.variance_slope);
    let one = T::from_f64(1.0);

    let (eps_hat, v) = sample.layout.split(sample.output);
    let (grad_eps, grad_v) = sample.layout.split_mut(grad);
    let inputs = eps_hat.iter().zip(v).zip(sample.noise);
    let (mut squared_error, mut bound) = (0.0, 0.0);
    for (((&eps_hat, &v), &eps), (grad_eps, grad_v)) in inputs.zip(grad_eps.iter_mut().zip(grad_v))
    {
        let d = eps_hat - eps;
        let delta = half_range * (v + one);
        let e = (-delta).exp_m1();
        let q = precision * d * d * (one + e);
        squared_error += (d * d).to_f64();
        bound += (delta + e + q).to_f64();
        *grad_eps = d * (error_slope + mean_slope * (one + e));
        *grad_v = variance_slope * (e + q);
    }
    Sums { squared_error, bound: 0.5 * bound }
}

/// Timestep 0: minus the log likelihood of the 8-bit pixel.
///
/// Here `c1 = 1` and `c2 = 0`, so `x0 - m_p = k d`. One sample in `T`: in f64 for every `T`.
fn decoder_sums<T: Real>(c: HybridCoefficients, sample: Sample<'_, T>, grad: &mut [T]) -> Sums {
    let k = c.noise_per_data;
    let (eps_hat, v) = sample.layout.split(sample.output);
    let (grad_eps, grad_v) = sample.layout.split_mut(grad);
    let mut sums = Sums { squared_error: 0.0, bound: 0.0 };
    for i in 0..sample.x0.len() {
        let d = eps_hat[i].to_f64() - sample.noise[i].to_f64();
        let log_variance = c.log_variance + c.half_range * (v[i].to_f64() + 1.0);
        let term = decoder_term(sample.x0[i].to_f64(), k * d, log_variance);
        sums.squared_error += d * d;
        sums.bound += term.nats;
        let grad_mean = -k * term.grad_mean;
        grad_eps[i] = T::from_f64(c.error_slope * d + c.mean_slope * grad_mean);
        grad_v[i] = T::from_f64(c.variance_slope * term.grad_log_variance * c.half_range);
    }
    sums
}
