//! Which noise levels a sampler visits.

use crate::named_choice::{NamedChoice, text_choice};
use crate::{DiffusionError, FlowPath, Node, NoiseLevel, Process, Respacing};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Data time at which a flow begins where a sampler cannot begin with noise alone, and one before which
/// spacings in the noise end.
const FLOW_MARGIN: f64 = 1e-3;

/// How the levels of a run are spaced, from the noisiest down.
///
/// `tau` is the noise time of the process, 1 to 0; `N` evaluations; `i = 0 .. N-1`.
///
/// | text | levels | source |
/// |---|---|---|
/// | `uniform` | evenly in `tau`; on a noise schedule the timesteps of a [`Respacing`] | DDPM, SiT |
/// | `quadratic` | evenly in `sqrt(tau)` | DDIM |
/// | `log_snr` | evenly in `ln(s/a)` | DPM-Solver |
/// | `karras(r)` | evenly in `(s/a)^(1/r)` | EDM, r = 7 |
/// | `shifted(k)` | `uniform`, then `k u/(k u + 1 - u)` of the share `u` of `tau` between its ends | SD3, k = 3 |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Spacing {
    /// Evenly in the time of the process.
    Uniform,
    /// Closer where there is little noise.
    Quadratic,
    /// Evenly in the logarithm of the signal-to-noise ratio.
    LogSnr,
    /// Between evenly in the noise and in its logarithm.
    Karras {
        /// The larger, the closer where there is little noise.
        rho: f64,
    },
    /// Closer where there is much noise, for factors above 1.
    Shifted {
        /// Factor of the odds of the noise time.
        factor: f64,
    },
}

text_choice!(Spacing);

impl Spacing {
    fn parse(text: &str) -> Result<Self, DiffusionError> {
        let expected = "\"uniform\", \"quadratic\", \"log_snr\", \"karras(7)\" or \"shifted(3)\"";
        let choice = NamedChoice::parse("spacing", text, expected)?;
        match choice.parts() {
            ("uniform", []) => Ok(Self::Uniform),
            ("quadratic", []) => Ok(Self::Quadratic),
            ("log_snr", []) => Ok(Self::LogSnr),
            ("karras", []) => Ok(Self::Karras { rho: 7.0 }),
            ("karras", &[rho]) if rho >= 1.0 => Ok(Self::Karras { rho }),
            ("shifted", &[factor]) if factor > 0.0 => Ok(Self::Shifted { factor }),
            _ => choice.refuse(),
        }
    }

    /// `count` levels from `high` to `low`, both included, of a process; `high` alone for one.
    ///
    /// `high` and `low` are levels with noise and data in them.
    pub fn levels(
        self,
        process: &Process,
        high: NoiseLevel,
        low: NoiseLevel,
        count: usize,
    ) -> Vec<NoiseLevel> {
        let tau = |level| process.noise_time(process.time(level));
        let sigma = NoiseLevel::noise_per_data;
        let at_sigma = |sigma: f64| process.level(process.time(NoiseLevel { a: 1.0, s: sigma }));
        let at_tau = |tau: f64| process.level(process.at_noise_time(tau));
        let share = |i: usize| if count < 2 { 0.0 } else { i as f64 / (count - 1) as f64 };
        let between = |from: f64, to: f64, i: usize| from + share(i) * (to - from);
        let level = |i: usize| match self {
            _ if i == 0 => high,
            _ if i + 1 == count => low,
            Self::Uniform => at_tau(between(tau(high), tau(low), i)),
            Self::Quadratic => at_tau(between(tau(high).sqrt(), tau(low).sqrt(), i).powi(2)),
            Self::LogSnr => at_sigma(between(sigma(high).ln(), sigma(low).ln(), i).exp()),
            Self::Karras { rho } => {
                let root = |level| sigma(level).powf(1.0 / rho);
                at_sigma(between(root(high), root(low), i).powf(rho))
            }
            Self::Shifted { factor } => {
                let share = shift(factor, 1.0 - share(i));
                at_tau(tau(low) + share * (tau(high) - tau(low)))
            }
        };
        (0..count).map(level).collect()
    }
}

/// Multiplies the odds `tau/(1 - tau)`; 0 and 1 stay.
fn shift(factor: f64, tau: f64) -> f64 {
    factor * tau / (factor * tau + (1.0 - tau))
}

impl fmt::Display for Spacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Quadratic => f.write_str("quadratic"),
            Self::LogSnr => f.write_str("log_snr"),
            Self::Karras { rho } => write!(f, "karras({rho})"),
            Self::Shifted { factor } => write!(f, "shifted({factor})"),
        }
    }
}

/// The levels of a run: where the network is evaluated, and where the run ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    nodes: Vec<Node>,
    end: NoiseLevel,
}

impl Grid {
    /// `steps` evaluations of a network of `process`, ending at data without noise.
    ///
    /// `needs_data` is whether the first level must hold data: flows begin with noise alone, which
    /// samplers in `s/a` cannot divide by; they then begin at `t = 0.001`, where a linear path has about
    /// a thousand times as much noise as data, or half-way to the second level if that is earlier.
    ///
    /// # Errors
    /// Those of [`Respacing::grid`]; [`DiffusionError::Combination`] when a spacing other than
    /// `uniform` of a noise schedule is given more than a number.
    pub fn new(
        process: &Process,
        spacing: Spacing,
        steps: &Respacing,
        needs_data: bool,
    ) -> Result<Self, DiffusionError> {
        if let (Process::Discrete(schedule), Spacing::Uniform) = (process, spacing) {
            let timesteps = steps.grid(schedule.timesteps())?;
            let nodes = timesteps.iter().rev().map(|&t| process.node_at(t as f64)).collect();
            return Ok(Self { nodes, end: NoiseLevel::DATA });
        }
        let Some(count) = steps.count() else {
            return Err(DiffusionError::Combination {
                what: format!("{steps} steps with the spacing {spacing} of this process"),
                help: "give a number of steps; parts of a grid need a noise schedule and the \
                       spacing \"uniform\""
                    .into(),
            });
        };
        let times = times(process, spacing, count, needs_data);
        let nodes = times.into_iter().map(|time| process.node_at(time)).collect();
        Ok(Self { nodes, end: NoiseLevel::DATA })
    }

    /// The given evaluations, from the noisiest down, and the level to end at.
    ///
    /// # Panics
    /// When there is none.
    pub fn of_nodes(nodes: Vec<Node>, end: NoiseLevel) -> Self {
        assert!(!nodes.is_empty(), "a grid without evaluations");
        Self { nodes, end }
    }

    /// The same levels for states `x/a`, which are `(1, s/a)`: EDM's coordinates.
    ///
    /// A level without data has no such coordinates: its `s/a` is infinite.
    #[must_use]
    pub fn in_sigma(&self) -> Self {
        self.in_coordinates(|level| NoiseLevel { a: 1.0, s: level.noise_per_data() })
    }

    /// The levels of a path with as much noise per data.
    ///
    /// `vp` begins with a little data, so a level without any has none there: its numbers are NaN.
    #[must_use]
    pub fn on_path(&self, path: FlowPath) -> Self {
        self.in_coordinates(|level| path.at(path.time(level)).level)
    }

    /// Each level replaced by one of the same `s/a`; the network is shown what it was shown.
    fn in_coordinates(&self, to: impl Fn(NoiseLevel) -> NoiseLevel) -> Self {
        let moved = |node: &Node| {
            let level = to(node.level);
            let rescale = (node.level.a + node.level.s) / (level.a + level.s);
            Node { level, input_factor: rescale * node.input_factor, ..*node }
        };
        Self { nodes: self.nodes.iter().map(moved).collect(), end: to(self.end) }
    }

    /// Evaluations, from the noisiest down.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Where the run ends.
    pub fn end(&self) -> NoiseLevel {
        self.end
    }

    /// The level of evaluation `i`, and after the last the end.
    pub fn level(&self, i: usize) -> NoiseLevel {
        self.nodes.get(i).map_or(self.end, |node| node.level)
    }
}

/// `count` times of a process of continuous time, or off the timesteps of a noise schedule.
fn times(process: &Process, spacing: Spacing, count: usize, needs_data: bool) -> Vec<f64> {
    if let Process::Flow { .. } = process {
        let even = |i: usize| 1.0 - i as f64 / count as f64;
        let tau = |i: usize| match spacing {
            Spacing::Quadratic => Some(even(i).powi(2)),
            Spacing::Shifted { factor } => Some(shift(factor, even(i))),
            Spacing::Uniform => Some(even(i)),
            Spacing::LogSnr | Spacing::Karras { .. } => None,
        };
        if let Some(taus) = (0..count).map(tau).collect::<Option<Vec<_>>>() {
            let mut times: Vec<f64> = taus.into_iter().map(|tau| 1.0 - tau).collect();
            if needs_data {
                // Before the second, however many there are.
                times[0] = times.get(1).map_or(FLOW_MARGIN, |second| FLOW_MARGIN.min(second / 2.0));
            }
            return times;
        }
    }
    let (high, low) = match process {
        Process::Discrete(schedule) => ((schedule.timesteps() - 1) as f64, 0.0),
        Process::Flow { .. } => (FLOW_MARGIN, 1.0 - FLOW_MARGIN),
        Process::Edm { sigma_min, sigma_max, .. } => (*sigma_max, *sigma_min),
    };
    let levels = spacing.levels(process, process.level(high), process.level(low), count);
    levels.into_iter().map(|level| process.time(level)).collect()
}
