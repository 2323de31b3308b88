//! The choices of a training objective that a configuration names.

use crate::{FlowPath, PredictionKind};
use serde::{Deserialize, Serialize};

/// What the network predicts and which loss trains it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ObjectiveKind {
    /// Noise and a learned-range variance, `L_simple + L_vlb` (improved DDPM equation 16); DiS.
    EpsHybrid,
    /// Noise alone, `L_simple` (DDPM equation 14).
    Eps,
    /// The data, mean squared error.
    X0,
    /// `v = sqrt(ab) eps - sqrt(1-ab) x0`, mean squared error (progressive distillation section 4).
    V,
    /// The velocity `u = a' x0 + s' n` along a path, mean squared error (flow matching).
    Flow(FlowPath),
    /// The output `F` of EDM's preconditioning, mean squared error (arXiv 2206.00364 equation 8).
    Edm {
        /// Standard deviation of the data.
        sigma_data: f64,
    },
}

impl ObjectiveKind {
    /// Channels of the model output for images of `image_channels` channels.
    pub fn output_channels(self, image_channels: usize) -> usize {
        if self.learns_variance() { 2 * image_channels } else { image_channels }
    }

    /// Whether the second half of the output channels is a variance.
    pub fn learns_variance(self) -> bool {
        self == Self::EpsHybrid
    }

    /// Whether its times are the timesteps of a noise schedule.
    pub fn is_discrete(self) -> bool {
        !matches!(self, Self::Flow(_) | Self::Edm { .. })
    }

    /// Whether it predicts a velocity, which has a direction that a loss can compare.
    pub fn predicts_velocity(self) -> bool {
        matches!(self, Self::V | Self::Flow(_))
    }

    /// What the first `C` output channels mean.
    pub fn prediction(self) -> PredictionKind {
        match self {
            Self::EpsHybrid | Self::Eps => PredictionKind::Eps,
            Self::X0 => PredictionKind::X0,
            Self::V => PredictionKind::V,
            Self::Flow(path) => PredictionKind::Flow(path),
            Self::Edm { sigma_data } => PredictionKind::Edm { sigma_data },
        }
    }
}

/// How the squared error and the variational bound of a learned variance are put together.
///
/// Improved DDPM writes `L_simple + L_vlb/1000` with `L_vlb = T·E[vb_t]`; at `T = 1000` that is
/// `mse + vb_t`. In the two `Mse` forms the bound sends no gradient into the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HybridLoss {
    /// `mse + vb`; DiS.
    Mse,
    /// `mse + (T/1000) vb`.
    RescaledMse,
    /// `vb` alone, which also trains the mean.
    Kl,
    /// `T vb` alone.
    RescaledKl,
}

/// The factors of the parts of a hybrid loss.
#[derive(Clone, Copy, Debug)]
pub(super) struct HybridWeights {
    /// Of the mean squared error.
    pub(super) mse: f64,
    /// Of the variational bound.
    pub(super) vb: f64,
    /// Of the variational bound in the gradient of the mean.
    pub(super) vb_to_mean: f64,
}

impl HybridLoss {
    pub(super) fn weights(self, timesteps: usize) -> HybridWeights {
        let timesteps = timesteps as f64;
        match self {
            Self::Mse => HybridWeights { mse: 1.0, vb: 1.0, vb_to_mean: 0.0 },
            Self::RescaledMse => HybridWeights { mse: 1.0, vb: timesteps / 1e3, vb_to_mean: 0.0 },
            Self::Kl => HybridWeights { mse: 0.0, vb: 1.0, vb_to_mean: 1.0 },
            Self::RescaledKl => HybridWeights { mse: 0.0, vb: timesteps, vb_to_mean: timesteps },
        }
    }
}
