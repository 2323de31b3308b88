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
use super::{LossTerms, Sample, decoder_term};
use crate::{Real, TableRow};
use std::f64::consts::LN_2;

/// The sums over one sample: squared error, and the bound in nats.
struct Sums {
    squared_error: f64,
    bound: f64,
}

/// The factors of the gradients of one element.
#[derive(Clone, Copy)]
struct Slopes {
    /// Of `d` in the gradient of the prediction: `2 w_mse/M`.
    error: f64,
    /// Of `d KL/d eps_hat`: `w_vb_to_mean/(M ln 2)`.
    bound_of_mean: f64,
    /// Of `d KL/d l_p`: `w_vb/(M ln 2)`.
    bound_of_variance: f64,
}

/// Loss of one sample; writes its gradient times `gradient_factor` over `grad` (prediction, then `v`).
pub(super) fn loss<T: Real>(
    row: &TableRow,
    weights: HybridWeights,
    sample: Sample<'_, T>,
    gradient_factor: f64,
    grad: &mut [T],
) -> LossTerms {
    let count = sample.x0.len() as f64;
    let bits = 1.0 / (count * LN_2);
    let slopes = Slopes {
        error: gradient_factor * weights.mse * 2.0 / count,
        bound_of_mean: gradient_factor * weights.vb_to_mean * bits,
        bound_of_variance: gradient_factor * weights.vb * bits,
    };
    let sums = if row.is_first() {
        decoder_sums(row, slopes, sample, grad)
    } else {
        kl_sums(row, slopes, sample, grad)
    };
    let (mse, vb) = (sums.squared_error / count, sums.bound * bits);
    LossTerms { loss: weights.mse * mse + weights.vb * vb, mse, vb: Some(vb) }
}

/// Timesteps above 0: the KL divergence between the posterior and the model, in one pass.
fn kl_sums<T: Real>(row: &TableRow, slopes: Slopes, sample: Sample<'_, T>, grad: &mut [T]) -> Sums {
    let range = row.ln_beta - row.posterior_log_variance;
    let mean_per_error = row.posterior_mean_x0 * row.sqrt_recip_alpha_bar_minus_one;
    let half_range = T::from_f64(0.5 * range);
    let precision = T::from_f64(mean_per_error.powi(2) * (-row.posterior_log_variance).exp());
    let error_slope = T::from_f64(slopes.error);
    let mean_slope = T::from_f64(slopes.bound_of_mean) * precision;
    let variance_slope = T::from_f64(-0.25 * range * slopes.bound_of_variance);
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
fn decoder_sums<T: Real>(
    row: &TableRow,
    slopes: Slopes,
    sample: Sample<'_, T>,
    grad: &mut [T],
) -> Sums {
    let half_range = 0.5 * (row.ln_beta - row.posterior_log_variance);
    let k = row.sqrt_recip_alpha_bar_minus_one;
    let (eps_hat, v) = sample.layout.split(sample.output);
    let (grad_eps, grad_v) = sample.layout.split_mut(grad);
    let mut sums = Sums { squared_error: 0.0, bound: 0.0 };
    for i in 0..sample.x0.len() {
        let d = eps_hat[i].to_f64() - sample.noise[i].to_f64();
        let log_variance = row.posterior_log_variance + half_range * (v[i].to_f64() + 1.0);
        let term = decoder_term(sample.x0[i].to_f64(), k * d, log_variance);
        sums.squared_error += d * d;
        sums.bound += term.nats;
        let grad_mean = -k * term.grad_mean;
        grad_eps[i] = T::from_f64(slopes.error * d + slopes.bound_of_mean * grad_mean);
        grad_v[i] = T::from_f64(slopes.bound_of_variance * term.grad_log_variance * half_range);
    }
    sums
}
