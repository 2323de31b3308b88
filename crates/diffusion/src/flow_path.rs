//! The ways from noise to data that flow matching interpolates along.

use crate::NoiseLevel;
use serde::{Deserialize, Serialize};
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// Half the growth of `beta` of the variance-preserving path, `(20 - 0.1)/2`, and half its start.
const VP_HALF_GROWTH: f64 = 9.95;
const VP_HALF_START: f64 = 0.05;

/// A path `x = a(t) x0 + s(t) n` from noise at `t = 0` to data at `t = 1`.
///
/// | path | `a` | `s` |
/// |---|---|---|
/// | linear | `t` | `1 - t` |
/// | gvp | `sin(pi t/2)` | `cos(pi t/2)` |
/// | vp | `exp(-½ 9.95 (1-t)² - ½ 0.1 (1-t))` | `sqrt(1 - a²)` |
///
/// The vp row is `exp(-¼ (1-t)² 19.9 - ½ (1-t) 0.1)`: the continuous process with `beta` from 0.1 to
/// 20. The direction of time is SiT's (arXiv 2401.08740); papers that put data at 0 have `1 - t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowPath {
    /// A straight line; rectified flow.
    Linear,
    /// A quarter circle: the variance of normalised data is kept.
    Gvp,
    /// The variance-preserving diffusion process.
    Vp,
}

/// A point of a path, with the slopes in `t`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathPoint {
    /// How much data and noise.
    pub level: NoiseLevel,
    /// `da/dt`.
    pub a_slope: f64,
    /// `ds/dt`.
    pub s_slope: f64,
}

impl FlowPath {
    /// Name as written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Gvp => "gvp",
            Self::Vp => "vp",
        }
    }

    /// The point at `t`, 0 (noise) to 1 (data). At `t = 1` the noise of `vp` has no finite slope.
    pub fn at(self, t: f64) -> PathPoint {
        match self {
            Self::Linear => {
                let level = NoiseLevel { a: t, s: 1.0 - t };
                PathPoint { level, a_slope: 1.0, s_slope: -1.0 }
            }
            Self::Gvp => {
                // Two sines: both ends are exact, where a cosine would leave 6e-17.
                let (a, s) = ((FRAC_PI_2 * t).sin(), (FRAC_PI_2 * (1.0 - t)).sin());
                let level = NoiseLevel { a, s };
                PathPoint { level, a_slope: FRAC_PI_2 * s, s_slope: -FRAC_PI_2 * a }
            }
            Self::Vp => {
                let left = 1.0 - t;
                let ln_a = -0.5 * VP_HALF_GROWTH * left * left - VP_HALF_START * left;
                let (a, s) = (ln_a.exp(), (-(2.0 * ln_a).exp_m1()).sqrt());
                let a_slope = a * (VP_HALF_GROWTH * left + VP_HALF_START);
                let level = NoiseLevel { a, s };
                PathPoint { level, a_slope, s_slope: -a * a_slope / s }
            }
        }
    }

    /// The `t` at which the path has as much noise per data as `level`.
    pub fn time(self, level: NoiseLevel) -> f64 {
        let NoiseLevel { a, s } = level;
        match self {
            Self::Linear => a / (a + s),
            Self::Gvp => FRAC_2_PI * a.atan2(s),
            Self::Vp => {
                // ½ 9.95 w² + .05 w + ln a = 0, in the form that keeps its digits near w = 0.
                let minus_ln_a = 0.5 * (s / a).powi(2).ln_1p();
                let root =
                    (VP_HALF_START * VP_HALF_START + 2.0 * VP_HALF_GROWTH * minus_ln_a).sqrt();
                1.0 - 2.0 * minus_ln_a / (VP_HALF_START + root)
            }
        }
    }
}

impl PathPoint {
    /// `(a'/a) s² - s s'`: half the squared diffusion of the forward process along this path. Infinite
    /// at `t = 0` where `a = 0`.
    pub fn diffusion(self) -> f64 {
        let NoiseLevel { a, s } = self.level;
        self.a_slope / a * s * s - s * self.s_slope
    }

    /// Factors of (`x`, velocity) in the score, `-n/s`.
    pub fn score(self) -> (f64, f64) {
        let (of_x, of_velocity) = self.noise();
        (-of_x / self.level.s, -of_velocity / self.level.s)
    }

    /// Factors of (`x`, velocity) in `x0`: solves `x = a x0 + s n`, `u = a' x0 + s' n`.
    pub(crate) fn x0(self) -> (f64, f64) {
        let determinant = self.determinant();
        (self.s_slope / determinant, -self.level.s / determinant)
    }

    /// Factors of (`x`, velocity) in the noise.
    pub(crate) fn noise(self) -> (f64, f64) {
        let determinant = self.determinant();
        (-self.a_slope / determinant, self.level.a / determinant)
    }

    fn determinant(self) -> f64 {
        self.level.a * self.s_slope - self.level.s * self.a_slope
    }
}
