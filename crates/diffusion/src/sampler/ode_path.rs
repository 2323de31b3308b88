//! The coordinates in which a probability flow is solved.

use crate::{DiffusionError, FlowPath, Grid, Mix, NoiseLevel};

/// Coordinates of a probability flow: what the state is, what it moves along, and its slope.
///
/// | path | state | along | slope | source |
/// |---|---|---|---|---|
/// | `Sigma` | `x0 + sigma n` | `sigma` | `n` | arXiv 2206.00364 equation 1 |
/// | `Flow` | `a x0 + s n` | `t`, 0 noise to 1 data | `a' x0 + s' n` | arXiv 2401.08740 section 2 |
///
/// Both are the same flow. A coarse grid follows it the better the straighter it is in its coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OdePath {
    /// Those of EDM; grids through [`Grid::in_sigma`].
    Sigma,
    /// Those of a path of flow matching; grids through [`Grid::on_path`].
    Flow(FlowPath),
}

impl OdePath {
    /// Where along the path a level is.
    pub(super) fn coordinate(self, level: NoiseLevel) -> f64 {
        match self {
            Self::Sigma => level.noise_per_data(),
            Self::Flow(path) => path.time(level),
        }
    }

    /// The level at a coordinate.
    pub(super) fn level(self, coordinate: f64) -> NoiseLevel {
        match self {
            Self::Sigma => NoiseLevel { a: 1.0, s: coordinate },
            Self::Flow(path) => path.at(coordinate).level,
        }
    }

    /// Weights of (`x0`, `n`) in the slope at a level.
    pub(super) fn slope(self, level: NoiseLevel) -> Mix {
        match self {
            Self::Sigma => Mix { first: 0.0, second: 1.0 },
            Self::Flow(path) => {
                let point = path.at(path.time(level));
                Mix { first: point.a_slope, second: point.s_slope }
            }
        }
    }

    /// The level halfway to another: of the mean `t`, of the geometric mean `sigma`, which is not
    /// there if the step ends without noise.
    pub(super) fn halfway(self, from: NoiseLevel, to: NoiseLevel) -> Option<NoiseLevel> {
        let (from, to) = (self.coordinate(from), self.coordinate(to));
        match self {
            Self::Sigma => (to > 0.0).then(|| self.level((from * to).sqrt())),
            Self::Flow(_) => Some(self.level(0.5 * (from + to))),
        }
    }

    /// Whether a grid can be followed.
    ///
    /// # Errors
    /// [`DiffusionError::Combination`] when `sigma` is infinite at its start.
    ///
    /// # Panics
    /// When its levels are in other coordinates.
    pub(super) fn check(self, grid: &Grid) -> Result<(), DiffusionError> {
        if self == Self::Sigma && grid.level(0).noise_per_data().is_infinite() {
            return Err(DiffusionError::Combination {
                what: "the probability flow in sigma, from a level without data: sigma is infinite"
                    .into(),
                help: "start at t = 0.001, or follow the flow in the time of its path".into(),
            });
        }
        for i in 0..=grid.nodes().len() {
            let level = grid.level(i);
            let own = self.level(self.coordinate(level));
            let distance = (own.a - level.a).abs() + (own.s - level.s).abs();
            assert!(
                distance <= 1e-9 * (level.a + level.s),
                "level {i} is {level:?}, which is not on the path {self:?}"
            );
        }
        Ok(())
    }
}
