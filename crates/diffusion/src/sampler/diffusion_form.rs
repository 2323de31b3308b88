//! How much noise a stochastic run along a flow adds.

use crate::FlowPath;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The shape of `w(t)` in `dx = (u + w score) dt + sqrt(2 w) dW`, `t` 0 (noise) to 1 (data).
///
/// Every `w >= 0` has the same distribution at every `t`, if the prediction is perfect and the steps are
/// small; more noise forgets more of the errors made before.
///
/// | form | `w` |
/// |---|---|
/// | `Constant` | 1 |
/// | `Sbdm` | `(a'/a) s² - s s'`, the forward process run backwards; infinite where `a = 0` |
/// | `Sigma` | `s` |
/// | `Linear` | `1 - t` |
/// | `Decreasing` | `¼ (cos(pi t) + 1)²` |
/// | `IncreasingDecreasing` | `sin²(pi t)` |
///
/// Source: arXiv 2401.08740 and `transport/path.py` of SiT 947f95b (MIT).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiffusionForm {
    /// As much everywhere. Its drift grows without bound towards the data, where `s` ends: for runs
    /// that stop before, not to be named for whole ones.
    #[serde(skip)]
    Constant,
    /// That of the forward process.
    Sbdm,
    /// As the noise.
    Sigma,
    /// As the time that is left.
    Linear,
    /// Much at first, flat at the end.
    Decreasing,
    /// Most in the middle.
    IncreasingDecreasing,
}

impl DiffusionForm {
    /// Every form that a run to data can take.
    pub const ALL: [Self; 5] =
        [Self::Sbdm, Self::Sigma, Self::Linear, Self::Decreasing, Self::IncreasingDecreasing];

    /// Name as written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Sbdm => "sbdm",
            Self::Sigma => "sigma",
            Self::Linear => "linear",
            Self::Decreasing => "decreasing",
            Self::IncreasingDecreasing => "increasing_decreasing",
        }
    }

    /// `w(t)` on a path.
    pub fn at(self, path: FlowPath, t: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Sbdm => path.at(t).diffusion(),
            Self::Sigma => path.at(t).level.s,
            Self::Linear => 1.0 - t,
            Self::Decreasing => 0.25 * ((PI * t).cos() + 1.0).powi(2),
            Self::IncreasingDecreasing => (PI * t).sin().powi(2),
        }
    }
}
