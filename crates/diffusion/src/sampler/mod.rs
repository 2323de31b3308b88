//! Making images: state machines that say what to evaluate and are told the answer.

mod ddim;
mod ddpm;
mod descent;
mod inversion;

pub use ddim::{DdimOptions, DdimSampler};
pub use ddpm::{DdpmOptions, DdpmSampler};
pub use inversion::DdimInversion;

use crate::{
    DiffusionError, DiffusionTable, NoiseLevel, NoiseSource, ObjectiveKind, Prediction, Real,
    TableRow, VarianceKind,
};
use serde::{Deserialize, Serialize};

/// What a sampler wants the network to evaluate: `input_factor · state` at `network_time`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRequest {
    /// Number of this request in a whole run, from 0; also the index of the noise drawn after it.
    pub index: usize,
    /// Factor of the state in the network's input, 1 for variance-preserving samplers.
    pub input_factor: f64,
    /// The time the network is told, in training timesteps; a whole number on a grid.
    pub network_time: f64,
    /// How much data and noise the state holds.
    pub level: NoiseLevel,
}

impl SampleRequest {
    /// The request for an entry of a grid.
    fn at(row: &TableRow, index: usize) -> Self {
        let network_time = row.timestep as f64;
        Self { index, input_factor: 1.0, network_time, level: row.level() }
    }
}

/// A sampling run: state `[B, C, H, W]` and what to do next.
///
/// ```text
/// while let Some(request) = sampler.request() {
///     output = network(request.input_factor * sampler.state(), request.network_time)
///     sampler.advance(Prediction::new(objective, layout, &output), &mut noise)
/// }
/// ```
/// Guidance, batching, the device and stopping early are the caller's: the loop may end at any time.
pub trait Sampler<T: Real>: Send {
    /// The next evaluation, `None` when the run is over.
    fn request(&self) -> Option<SampleRequest>;

    /// Number of requests of the whole run.
    fn request_count(&self) -> usize;

    /// The images as they are now; after the last request, the result.
    fn state(&self) -> &[T];

    /// Moves on with the network's answer to the request. Deterministic samplers draw no noise.
    ///
    /// # Panics
    /// When the run is over or the prediction is of another shape than the state.
    fn advance(&mut self, prediction: Prediction<'_, T>, noise: &mut dyn NoiseSource<T>);
}

/// The samplers a configuration can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerKind {
    /// Ancestral sampling; what DiS samples with.
    Ddpm,
    /// The deterministic sampler, DDIM with `eta = 0`.
    Ddim,
}

impl SamplerKind {
    /// Starts a run from noise `x` `[B, C, H, W]` with the sampler's usual options.
    ///
    /// `x0` is not clamped. DDPM takes the learned variance where `objective` trains one, else the
    /// fixed small one.
    ///
    /// # Errors
    /// Those of the sampler's own constructor.
    pub fn start<T: Real>(
        self,
        table: DiffusionTable,
        objective: ObjectiveKind,
        x: Vec<T>,
    ) -> Result<Box<dyn Sampler<T>>, DiffusionError> {
        let clamp_x0 = false;
        Ok(match self {
            Self::Ddpm => {
                let variance = VarianceKind::for_objective(objective);
                let options = DdpmOptions { variance, clamp_x0 };
                Box::new(DdpmSampler::new(table, objective, options, x)?)
            }
            Self::Ddim => Box::new(DdimSampler::new(table, DdimOptions { eta: 0.0, clamp_x0 }, x)?),
        })
    }
}

/// Limits predicted data to [-1, 1]; NaN stays NaN.
fn clamp_to_image_range<T: Real>(x0: &mut [T]) {
    let one = T::from_f64(1.0);
    for x0 in x0 {
        if *x0 > one {
            *x0 = one;
        } else if *x0 < -one {
            *x0 = -one;
        }
    }
}
