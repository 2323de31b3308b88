//! The likelihood of an 8-bit pixel under a normal distribution.

use std::f64::consts::FRAC_2_PI;

/// Least probability of a pixel; below it the term is constant and has no gradient.
const LEAST_PROBABILITY: f64 = 1e-12;
/// Half the width of a pixel value: 256 values over [-1, 1].
const HALF_BIN: f64 = 1.0 / 255.0;
/// Beyond this, a pixel is black or white and its bin reaches to infinity.
const EDGE: f64 = 0.999;
/// The cubic coefficient of the approximation.
const CUBIC: f64 = 0.044_715;

/// Minus the log likelihood of one pixel value, with its derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecoderTerm {
    /// `-ln max(P, 1e-12)`, in nats.
    pub nats: f64,
    /// Derivative with respect to the mean `m_p`.
    pub grad_mean: f64,
    /// Derivative with respect to the log variance `l_p`.
    pub grad_log_variance: f64,
}

/// The term of timestep 0: pixel value `x0`, `deviation = x0 - m_p`, log variance `l_p`.
///
/// `z± = exp(-l_p/2)(deviation ± 1/255)`; `P = cdf(z+)` if `x0 < -.999`, `1 - cdf(z-)` if
/// `x0 > .999`, else `cdf(z+) - cdf(z-)`; `cdf(z) = ½(1 + tanh(sqrt(2/pi)(z + .044715 z³)))`.
///
/// The official code evaluates this in f32, where `tanh` is 1 from `z = 6` on: there `P` becomes 0
/// and an element costs `-ln 1e-12` = 27.6 nats instead of, say, 21. Here the `cdf` is a logistic
/// function and differences are taken in the lower tail, so `P` keeps its digits.
///
/// Source: DDPM section 3.3; improved DDPM.
pub fn decoder_term(x0: f64, deviation: f64, log_variance: f64) -> DecoderTerm {
    let inverse_deviation = (-0.5 * log_variance).exp();
    let above = inverse_deviation * (deviation + HALF_BIN);
    let below = inverse_deviation * (deviation - HALF_BIN);
    let (open_below, open_above) = (x0 < -EDGE, x0 > EDGE);
    let probability = if open_below {
        cdf(above)
    } else if open_above {
        cdf(-below)
    } else if below > 0.0 {
        cdf(-below) - cdf(-above)
    } else {
        cdf(above) - cdf(below)
    };
    // Written so that NaN takes the branch that keeps it.
    if probability <= LEAST_PROBABILITY {
        return DecoderTerm {
            nats: -LEAST_PROBABILITY.ln(),
            grad_mean: 0.0,
            grad_log_variance: 0.0,
        };
    }
    let at_above = if open_above { 0.0 } else { density(above) };
    let at_below = if open_below { 0.0 } else { density(below) };
    DecoderTerm {
        nats: -probability.ln(),
        grad_mean: inverse_deviation * (at_above - at_below) / probability,
        grad_log_variance: 0.5 * (at_above * above - at_below * below) / probability,
    }
}

/// `½(1 + tanh u) = 1/(1 + exp(-2u))`, `u = sqrt(2/pi)(z + .044715 z³)`.
fn cdf(z: f64) -> f64 {
    let u = FRAC_2_PI.sqrt() * (z + CUBIC * z * z * z);
    1.0 / (1.0 + (-2.0 * u).exp())
}

/// The derivative of [`cdf`].
fn density(z: f64) -> f64 {
    let slope = FRAC_2_PI.sqrt() * (1.0 + 3.0 * CUBIC * z * z);
    2.0 * slope * cdf(z) * cdf(-z)
}
