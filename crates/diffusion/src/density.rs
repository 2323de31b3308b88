//! How often each noise level is trained.

use crate::named_choice::{NamedChoice, text_choice};
use crate::{DiffusionError, NoiseLevel, Process};
use philox::Draws;
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;
use std::fmt;

/// The distribution of the training times of samples.
///
/// `tau` is the noise time of [`Process::at_noise_time`], 0 (data) to 1 (noise); `z` is standard
/// normal, `u` uniform.
///
/// | text | density | source |
/// |---|---|---|
/// | `uniform` | `tau = u`; on a noise schedule every timestep alike | DDPM, SiT |
/// | `logit_normal(m, s)` | `tau = 1/(1 + exp(-(m + s z)))` | SD3, arXiv 2403.03206; LightningDiT (0, 1) |
/// | `mode(k)` | `tau = 1 - u - k (cos²(pi u/2) - 1 + u)` | SD3, k = 1.29 |
/// | `lognormal(m, s)` | noise per data `exp(m + s z)` | EDM (-1.2, 1.2), EDM2 (-0.4, 1) |
/// | `loss_aware` | by the losses seen, of a [`crate::LossHistory`] | improved DDPM section 3.3 |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TimestepDensity {
    /// Every time alike.
    Uniform,
    /// The logistic function of a normal number.
    LogitNormal {
        /// Mean of the normal number; above 0 there is more noise.
        mean: f64,
        /// Its standard deviation.
        std: f64,
    },
    /// Uniform with a hump in the middle.
    Mode {
        /// Size of the hump, 0 for none.
        scale: f64,
    },
    /// A lognormal ratio of noise to data.
    Lognormal {
        /// Mean of the logarithm.
        mean: f64,
        /// Its standard deviation.
        std: f64,
    },
    /// As often as losses are large.
    LossAware,
}

text_choice!(TimestepDensity);

impl TimestepDensity {
    fn parse(text: &str) -> Result<Self, DiffusionError> {
        let expected = "\"uniform\", \"logit_normal(0, 1)\", \"lognormal(-1.2, 1.2)\", \
                        \"mode(1.29)\" (0 to 1.75) or \"loss_aware\"";
        let choice = NamedChoice::parse("timestep density", text, expected)?;
        match choice.parts() {
            ("uniform", []) => Ok(Self::Uniform),
            ("logit_normal", &[mean, std]) if std > 0.0 => Ok(Self::LogitNormal { mean, std }),
            ("lognormal", &[mean, std]) if std > 0.0 => Ok(Self::Lognormal { mean, std }),
            // Beyond 2/(pi - 2) the map is no longer one to one.
            ("mode", &[scale]) if (0.0..=1.75).contains(&scale) => Ok(Self::Mode { scale }),
            ("loss_aware", []) => Ok(Self::LossAware),
            _ => choice.refuse(),
        }
    }

    /// The time of a sample on a process of continuous time, from its own random numbers.
    ///
    /// # Panics
    /// For [`TimestepDensity::LossAware`], which needs a history.
    pub(crate) fn draw(self, process: &Process, draws: &Draws) -> f64 {
        let uniform = || (f64::from(draws.word(0)) + 0.5) / 4_294_967_296.0;
        let normal = || {
            let mut values = [0.0f32];
            draws.fill_normal(&mut values);
            f64::from(values[0])
        };
        match self {
            Self::Uniform => process.at_noise_time(uniform()),
            Self::LogitNormal { mean, std } => {
                process.at_noise_time(1.0 / (1.0 + (-(mean + std * normal())).exp()))
            }
            Self::Mode { scale } => {
                let u = uniform();
                let hump = (FRAC_PI_2 * u).cos().powi(2) - 1.0 + u;
                process.at_noise_time(1.0 - u - scale * hump)
            }
            Self::Lognormal { mean, std } => {
                let s = (mean + std * normal()).exp();
                process.time(NoiseLevel { a: 1.0, s })
            }
            Self::LossAware => panic!("a loss-aware density is drawn from its history"),
        }
    }
}

impl fmt::Display for TimestepDensity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::LogitNormal { mean, std } => write!(f, "logit_normal({mean}, {std})"),
            Self::Mode { scale } => write!(f, "mode({scale})"),
            Self::Lognormal { mean, std } => write!(f, "lognormal({mean}, {std})"),
            Self::LossAware => f.write_str("loss_aware"),
        }
    }
}
