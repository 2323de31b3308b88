//! Making images: state machines that say what to evaluate and are told the answer.

mod ancestral;
mod ddim;
mod ddpm;
mod deis;
mod descent;
mod diffusion_form;
mod dpm_multistep;
mod dpm_sde;
mod dpm_singlestep;
mod euler_ancestral;
mod flow_sde;
mod inversion;
mod kind;
mod leap;
mod lms;
mod multistep;
mod ode;
mod ode_path;
mod plan;
mod pndm;
mod sums;
mod unipc;
mod walk;

pub use ancestral::{AncestralStep, ancestral_step};
pub use ddim::DdimSampler;
pub use ddpm::DdpmSampler;
pub use deis::Deis;
pub use diffusion_form::DiffusionForm;
pub use dpm_multistep::{DpmMultistep, DpmOptions, SecondOrder};
pub use dpm_sde::{DpmSde, DpmSdeMethod};
pub use dpm_singlestep::{DpmSinglestep, singlestep_grid};
pub use euler_ancestral::EulerAncestral;
pub use flow_sde::{FlowSde, FlowSdeOptions, LastStep, SdeMethod};
pub use inversion::DdimInversion;
pub use kind::SamplerKind;
pub use leap::DpmForm;
pub use lms::LmsSampler;
pub use multistep::FinalOrder;
pub use ode::{Churn, OdeEnd, OdeMethod, OdeOptions, OdeSampler};
pub use ode_path::OdePath;
pub use plan::SamplerPlan;
pub use pndm::PndmSampler;
pub use unipc::{UniPc, UniPcB};

use crate::{Node, NoiseLevel, NoiseSource, Prediction, Real};

/// What a sampler wants the network to evaluate: `input_factor · state` at `network_time`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRequest {
    /// Number of this request in a whole run, from 0.
    pub index: usize,
    /// Factor of the state in the network's input.
    pub input_factor: f64,
    /// The time the network is told.
    pub network_time: f64,
    /// How much data and noise the state holds.
    pub level: NoiseLevel,
}

impl SampleRequest {
    /// The request for an evaluation.
    fn at(node: Node, index: usize) -> Self {
        let Node { level, input_factor, network_time } = node;
        Self { index, input_factor, network_time, level }
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
