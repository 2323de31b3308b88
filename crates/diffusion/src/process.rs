//! The noising process that a network knows.

use crate::{FlowPath, NoiseLevel, NoiseSchedule};

/// The process a network was trained on: what its times mean, and what it wants to be shown.
///
/// Samplers keep their state in coordinates of their own, `x = a x0 + s n` with any `(a, s)`. Only the
/// ratio `s/a` matters to a network: [`Process::node`] finds the time at which the process has that
/// ratio, and the factor that brings the state to the process's own scale. So any sampler runs on any
/// process.
///
/// | process | time | level | network is shown | network is told |
/// |---|---|---|---|---|
/// | `Discrete` | timestep `0..T`, also between | `sqrt(ab), sqrt(1-ab)` | `x` | the timestep |
/// | `Flow` | `t`, 0 noise to 1 data | the path's | `x` | `time_scale · t` |
/// | `Edm` | `sigma` | `1, sigma` | `x/sqrt(sigma² + sigma_data²)` | `ln(sigma)/4` |
#[derive(Clone, Debug, PartialEq)]
pub enum Process {
    /// `T` timesteps of a noise schedule; between them `ln a` is linear, as in DPM-Solver.
    Discrete(NoiseSchedule),
    /// A path of flow matching.
    Flow {
        /// The path.
        path: FlowPath,
        /// Factor of `t` in what the network is told; its sinusoids are made for numbers up to 1000.
        time_scale: f64,
    },
    /// Variance exploding, with the preconditioning of EDM (arXiv 2206.00364 table 1).
    Edm {
        /// Standard deviation of the data.
        sigma_data: f64,
        /// Noise that sampling ends above, usually 0.002.
        sigma_min: f64,
        /// Noise that sampling starts from, usually 80.
        sigma_max: f64,
    },
}

/// A noise level with what the network is to be given there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// How much data and noise the sampler's state holds.
    pub level: NoiseLevel,
    /// Factor of the state in the network's input.
    pub input_factor: f64,
    /// The time the network is told.
    pub network_time: f64,
}

impl Process {
    /// The EDM process with its usual noise, from 0.002 to 80.
    pub fn edm(sigma_data: f64) -> Self {
        Self::Edm { sigma_data, sigma_min: 0.002, sigma_max: 80.0 }
    }

    /// The level at a time.
    pub fn level(&self, time: f64) -> NoiseLevel {
        match self {
            Self::Discrete(schedule) => schedule.level(time),
            Self::Flow { path, .. } => path.at(time).level,
            Self::Edm { .. } => NoiseLevel { a: 1.0, s: time },
        }
    }

    /// The time with as much noise per data as `level`.
    pub fn time(&self, level: NoiseLevel) -> f64 {
        match self {
            Self::Discrete(schedule) => schedule.time(level),
            Self::Flow { path, .. } => path.time(level),
            Self::Edm { .. } => level.noise_per_data(),
        }
    }

    /// What the network is told at a time; of a noise schedule never a timestep outside it.
    pub fn network_time(&self, time: f64) -> f64 {
        match self {
            Self::Discrete(schedule) => time.clamp(0.0, (schedule.timesteps() - 1) as f64),
            Self::Flow { time_scale, .. } => time_scale * time,
            Self::Edm { .. } => 0.25 * time.ln(),
        }
    }

    /// Factor of a state at the process's own level in what the network is shown.
    pub fn input_factor(&self, time: f64) -> f64 {
        match self {
            Self::Discrete(_) | Self::Flow { .. } => 1.0,
            Self::Edm { sigma_data, .. } => time.hypot(*sigma_data).recip(),
        }
    }

    /// The time at a noise time `tau`, 0 (data) to 1 (noise): timestep `tau T` rounded up, less 1;
    /// `1 - tau` of a flow; for EDM `sigma` evenly in its logarithm.
    pub fn at_noise_time(&self, tau: f64) -> f64 {
        match self {
            Self::Discrete(schedule) => {
                let count = schedule.timesteps() as f64;
                (tau * count - 1.0).max(0.0)
            }
            Self::Flow { .. } => 1.0 - tau,
            Self::Edm { sigma_min, sigma_max, .. } => {
                sigma_min.powf(1.0 - tau) * sigma_max.powf(tau)
            }
        }
    }

    /// The noise time of a time, the inverse of [`Process::at_noise_time`].
    pub fn noise_time(&self, time: f64) -> f64 {
        match self {
            Self::Discrete(schedule) => (time + 1.0) / schedule.timesteps() as f64,
            Self::Flow { .. } => 1.0 - time,
            Self::Edm { sigma_min, sigma_max, .. } => {
                (time / sigma_min).ln() / (sigma_max / sigma_min).ln()
            }
        }
    }

    /// Half the squared diffusion `g²` of the forward process at a time, the `w` under which noising
    /// along the path is `dx = (a'/a) x dt + sqrt(2 w) dW`: `(a'/a) s² - s s'` in the direction of data.
    ///
    /// For a noise schedule `T beta/2`, for EDM in the time `sigma` itself `sigma`.
    pub fn diffusion(&self, time: f64) -> f64 {
        match self {
            Self::Discrete(schedule) => {
                let t = time.round().clamp(0.0, (schedule.timesteps() - 1) as f64) as usize;
                0.5 * schedule.timesteps() as f64 * schedule.betas()[t]
            }
            Self::Flow { path, .. } => path.at(time).diffusion(),
            Self::Edm { .. } => time,
        }
    }

    /// What the network is to be given for a state at `level`, in whatever coordinates that is.
    pub fn node(&self, level: NoiseLevel) -> Node {
        let time = self.time(level);
        let own = self.level(time);
        // `a` alone would be 0/0 where there is no data.
        let rescale = (own.a + own.s) / (level.a + level.s);
        Node {
            level,
            input_factor: rescale * self.input_factor(time),
            network_time: self.network_time(time),
        }
    }

    /// What the network is to be given at a time of the process, for a state in its own coordinates.
    pub fn node_at(&self, time: f64) -> Node {
        Node {
            level: self.level(time),
            input_factor: self.input_factor(time),
            network_time: self.network_time(time),
        }
    }
}
