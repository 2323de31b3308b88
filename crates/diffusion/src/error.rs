//! What can be wrong with what a user asks for.

use crate::NoiseScheduleKind;
use thiserror::Error;

/// A request that has no meaning, with the nearest one that has.
///
/// Only values that come from a configuration or a command line are answered with an error. Slices
/// of unequal lengths are mistakes of the calling code and panic with the lengths.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum DiffusionError {
    /// The noise schedule does not exist at this number of timesteps.
    #[error(
        "{kind:?} noise schedule of {timesteps} timesteps: {least} to {most} are possible\n\
         help: 1000 is the usual number"
    )]
    TimestepCount {
        /// The schedule.
        kind: NoiseScheduleKind,
        /// What was asked for.
        timesteps: usize,
        /// Fewest possible; with fewer a beta reaches 1.
        least: usize,
        /// Most accepted.
        most: usize,
    },

    /// The text is no respacing.
    #[error(
        "respacing {spec:?}: {part:?} is no whole number above 0\n\
         help: write \"250\", \"ddim50\", \"10,15,20\" (one number per equal block) or \"full\""
    )]
    RespacingSyntax {
        /// As written by the user.
        spec: String,
        /// The part that cannot be read.
        part: String,
    },

    /// A block of the grid has fewer timesteps than are asked of it.
    #[error(
        "respacing {spec:?} of {timesteps} timesteps: block {block} has {available} timesteps, \
         {asked} are asked for\nhelp: the nearest that fits is {nearest:?}"
    )]
    RespacingTooMany {
        /// The respacing.
        spec: String,
        /// Timesteps `T` of the noise schedule.
        timesteps: usize,
        /// Number of the block, from 1.
        block: usize,
        /// Timesteps asked of the block.
        asked: usize,
        /// Timesteps the block has.
        available: usize,
        /// The nearest respacing that fits.
        nearest: String,
    },

    /// No whole stride takes that many timesteps.
    #[error(
        "respacing {spec:?} of {timesteps} timesteps: no whole stride takes that many of them\n\
         help: the nearest that exists is {nearest:?}"
    )]
    RespacingStride {
        /// The respacing.
        spec: String,
        /// Timesteps `T` of the noise schedule.
        timesteps: usize,
        /// The nearest respacing that exists.
        nearest: String,
    },

    /// The stochasticity of DDIM is outside [0, 1].
    #[error("DDIM: eta is {eta}, expected 0 (deterministic) to 1 (DDPM with fixed small variance)")]
    Eta {
        /// What was asked for.
        eta: f64,
    },

    /// The solver has no such order.
    #[error("{solver}: order is {order}, expected 1 to {most}")]
    SolverOrder {
        /// The solver.
        solver: &'static str,
        /// What was asked for.
        order: usize,
        /// The highest it has.
        most: usize,
    },

    /// The share of noise of a solver is below 0 or not a finite number.
    #[error("{solver}: eta is {eta}, expected 0 (deterministic) or more\nhelp: 1 is usual")]
    SolverEta {
        /// The solver.
        solver: &'static str,
        /// What was asked for.
        eta: f64,
    },

    /// A number of a stochastic sampler that has to be a length or a strength.
    #[error("{name} is {value}, expected a finite number of 0 or more\nhelp: 0 adds no noise")]
    Strength {
        /// Its name.
        name: &'static str,
        /// What was asked for.
        value: f64,
    },

    /// The text names none of the choices.
    #[error("{what} {text:?}, expected {expected}")]
    Choice {
        /// What is being chosen.
        what: &'static str,
        /// As written by the user.
        text: String,
        /// What would do.
        expected: &'static str,
    },

    /// Two choices that do not go together.
    #[error("{what}\nhelp: {help}")]
    Combination {
        /// The choices.
        what: String,
        /// Why not, and the nearest that do.
        help: String,
    },

    /// A learned variance is asked of an objective that trains none.
    #[error(
        "DDPM: learned_range variance needs a model trained with eps_hybrid\n\
         help: use \"fixed_small\""
    )]
    NoLearnedVariance,

    /// The guidance factor is not a finite number.
    #[error("guidance_scale is {guidance_scale}, expected a finite number\nhelp: 1 is no guidance")]
    GuidanceScale {
        /// What was asked for.
        guidance_scale: f64,
    },

    /// The interval of guidance is empty.
    #[error(
        "guidance interval [{least}, {most}], expected noise per data, least before most\n\
         help: such as [0.2, 3.0]"
    )]
    GuidanceInterval {
        /// The first number.
        least: f64,
        /// The second.
        most: f64,
    },

    /// The share of rescaling is no share.
    #[error("guidance rescale is {rescale}, expected 0 (none) to 1\nhelp: 0.7 is usual")]
    GuidanceRescale {
        /// What was asked for.
        rescale: f64,
    },
}

impl DiffusionError {
    /// Whether a strength is one: finite and not negative.
    pub(crate) fn check_strength(name: &'static str, value: f64) -> Result<(), Self> {
        if value.is_finite() && value >= 0.0 { Ok(()) } else { Err(Self::Strength { name, value }) }
    }
}
