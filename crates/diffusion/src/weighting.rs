//! How much each noise level counts in the loss.

use crate::named_choice::{NamedChoice, text_choice};
use crate::{DiffusionError, NoiseLevel, PredictionKind, Process};
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_2_PI;
use std::fmt;

/// Factor of the squared error of a sample, by its noise level.
///
/// Weights of the error of `x0` or `n` become weights of the error of the output by the slope of `x0`
/// or `n` in the output, so each means the same for every objective. `SNR = (a/s)²`, `sigma = s/a`,
/// `tau` the noise time, `g² = 2 w` the diffusion of the process ([`Process::diffusion`]).
///
/// | text | weight | source |
/// |---|---|---|
/// | `none` | 1 on the output | DDPM, flow matching; EDM on its own objective |
/// | `min_snr(g)` | `min(SNR, g)` on `x0` | arXiv 2303.09556, g = 5 |
/// | `edm(d)` | `(sigma² + d²)/(sigma d)²` on `x0` | EDM, d = 0.5 |
/// | `velocity` | `(w/s)²` on `n` | SiT |
/// | `likelihood` | `w/s²` on `n` | SiT, score-based likelihood |
/// | `inverse_square` | `tau^-2` on the output | SD3 |
/// | `cosmap` | `2/(pi (1 - 2 tau + 2 tau²))` on the output | SD3 |
/// | `learned` | `exp(-q)` with a learned `q` per level | EDM2, [`crate::LogVariance`] |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Weighting {
    /// The plain squared error of the output.
    None,
    /// Low noise counts no more than at a signal-to-noise ratio of `gamma`.
    MinSnr {
        /// Most weight of the error of `x0`.
        gamma: f64,
    },
    /// That of EDM, under which its preconditioned output has weight 1 everywhere.
    Edm {
        /// Standard deviation of the data.
        sigma_data: f64,
    },
    /// As if the velocity were predicted.
    Velocity,
    /// The bound of the likelihood.
    Likelihood,
    /// Falls as the square of the noise time.
    InverseSquare,
    /// A broad hump at the middle of the noise time.
    Cosmap,
    /// The inverse of a learned variance of the loss at each level.
    Learned,
}

text_choice!(Weighting);

impl Weighting {
    fn parse(text: &str) -> Result<Self, DiffusionError> {
        let expected = "\"none\", \"min_snr(5)\", \"edm(0.5)\", \"velocity\", \"likelihood\", \
                        \"inverse_square\", \"cosmap\" or \"learned\"";
        let choice = NamedChoice::parse("loss weighting", text, expected)?;
        match choice.parts() {
            ("none", []) => Ok(Self::None),
            ("min_snr", &[gamma]) if gamma > 0.0 => Ok(Self::MinSnr { gamma }),
            ("edm", &[sigma_data]) if sigma_data > 0.0 => Ok(Self::Edm { sigma_data }),
            ("velocity", []) => Ok(Self::Velocity),
            ("likelihood", []) => Ok(Self::Likelihood),
            ("inverse_square", []) => Ok(Self::InverseSquare),
            ("cosmap", []) => Ok(Self::Cosmap),
            ("learned", []) => Ok(Self::Learned),
            _ => choice.refuse(),
        }
    }

    /// The weight of the squared error of an output of that kind at a time of its process.
    ///
    /// `learned` is 1 here: what is learned is known to the one who learns it.
    pub fn at(self, kind: PredictionKind, process: &Process, time: f64) -> f64 {
        let level = process.level(time);
        let NoiseLevel { s, .. } = level;
        let of_x0 = |weight: f64| weight * kind.x0(level).second.powi(2);
        let of_noise = |weight: f64| weight * kind.noise(level).second.powi(2);
        match self {
            Self::None | Self::Learned => 1.0,
            Self::MinSnr { gamma } => of_x0(level.snr().min(gamma)),
            Self::Edm { sigma_data } => {
                let sigma = level.noise_per_data();
                of_x0((sigma * sigma + sigma_data * sigma_data) / (sigma * sigma_data).powi(2))
            }
            Self::Velocity => of_noise((process.diffusion(time) / s).powi(2)),
            Self::Likelihood => of_noise(process.diffusion(time) / (s * s)),
            Self::InverseSquare => process.noise_time(time).powi(-2),
            Self::Cosmap => {
                let tau = process.noise_time(time);
                FRAC_2_PI / (1.0 - 2.0 * tau + 2.0 * tau * tau)
            }
        }
    }
}

impl fmt::Display for Weighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::MinSnr { gamma } => write!(f, "min_snr({gamma})"),
            Self::Edm { sigma_data } => write!(f, "edm({sigma_data})"),
            Self::Velocity => f.write_str("velocity"),
            Self::Likelihood => f.write_str("likelihood"),
            Self::InverseSquare => f.write_str("inverse_square"),
            Self::Cosmap => f.write_str("cosmap"),
            Self::Learned => f.write_str("learned"),
        }
    }
}
