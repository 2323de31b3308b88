//! The variance of a reverse step.

use crate::{ObjectiveKind, TableRow};
use serde::{Deserialize, Serialize};

/// How the variance of `p(x_{t-1} | x_t)` is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VarianceKind {
    /// The network interpolates between the two fixed choices; improved DDPM equation 15.
    LearnedRange,
    /// The posterior variance, right for data at one point.
    FixedSmall,
    /// `beta_t`, right for normal data; at the first entry the second's posterior variance.
    FixedLarge,
}

impl VarianceKind {
    /// Learned where the objective trains a variance, else fixed small.
    pub fn for_objective(objective: ObjectiveKind) -> Self {
        if objective.learns_variance() { Self::LearnedRange } else { Self::FixedSmall }
    }

    /// The log variance at an entry of a grid; `v` is the network's variance output for the element.
    ///
    /// With `l = ` [`TableRow::posterior_log_variance`] and `f = (v + 1)/2`, not clamped:
    /// `f ln beta + (1 - f) l` (learned range), `l` (fixed small), `ln beta`, at entry 0 `l` (large).
    pub fn log_variance(self, row: &TableRow, v: f64) -> f64 {
        let small = row.posterior_log_variance;
        match self {
            Self::LearnedRange => {
                let fraction = (v + 1.0) / 2.0;
                fraction * row.ln_beta + (1.0 - fraction) * small
            }
            Self::FixedSmall => small,
            Self::FixedLarge if row.is_first() => small,
            Self::FixedLarge => row.ln_beta,
        }
    }

    /// The variance itself: `exp` of the log variance, but for fixed small exactly 0 at entry 0.
    pub fn variance(self, row: &TableRow, v: f64) -> f64 {
        match self {
            Self::FixedSmall => row.posterior_variance,
            Self::FixedLarge if !row.is_first() => row.beta,
            _ => self.log_variance(row, v).exp(),
        }
    }
}
