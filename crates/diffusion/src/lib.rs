//! Noise schedules, objectives, guidance and samplers of diffusion models: pure maths on slices.
//!
//! Nothing here knows a tensor type, a device or a network. An [`Objective`] says what a network is
//! shown and how wrong its answer is, with the gradient in closed form; a [`Sampler`] says what to
//! evaluate next and is told the answer; a [`Prediction`] turns any answer into `x0` and noise, so
//! that every objective runs with every sampler. The callers own the loops.
//!
//! Letters, as in the papers: `x0` data, `eps` or `n` standard normal noise, `x = a x0 + s n` the
//! noisy image, `ab` (`alpha_bar`) the product of `1 - beta` up to a timestep, `a = sqrt(ab)` and
//! `s = sqrt(1 - ab)`. Shapes: `B` images, `C` channels, `H W` pixels, `T` training timesteps, `N`
//! timesteps of a respaced grid. A *timestep* is diffusion time, a *step* is one of an optimiser;
//! samplers count `request`s.
//!
//! Element types are f32 and f64 through [`Real`]. Scalar coefficients are always computed and kept
//! in f64 and rounded once, where they meet an element. Sums over an image are f64.
//!
//! ```
//! use diffusion::{
//!     FlowPath, ImageLayout, LossBatch, Objective, ObjectiveKind, ObjectiveOptions, PhiloxNoise,
//!     Prediction, Process, SamplerKind, SamplerPlan, draw_start_noise, draw_training_noise,
//! };
//! # fn network(x: &[f32], _time: f64) -> Vec<f32> { x.iter().map(|x| 0.1 * x).collect() }
//! let layout = ImageLayout { channels: 3, pixels: 8 * 8 };
//! let kind = ObjectiveKind::Flow(FlowPath::Linear);
//! let process = Process::Flow { path: FlowPath::Linear, time_scale: 1000.0 };
//! let seed = 42;
//!
//! // A training step on two images.
//! let (x0, positions) = (vec![0.5f32; 2 * layout.image_len()], [0, 1]);
//! let objective = Objective::on(kind, process.clone(), ObjectiveOptions::default())?;
//! let timesteps = objective.draw_timesteps(seed, &positions);
//! let mut noise = vec![0.0; x0.len()];
//! draw_training_noise(seed, &positions, &mut noise);
//! let mut x_t = vec![0.0; x0.len()];
//! objective.corrupt(&x0, &noise, &timesteps, &mut x_t);
//! let model_output = network(&x_t, objective.network_time(timesteps[0]));
//! let mut grad_output = vec![0.0; model_output.len()];
//! let batch = LossBatch {
//!     model_output: &model_output,
//!     x0: &x0,
//!     noise: &noise,
//!     timesteps: &timesteps,
//!     weights: None,
//! };
//! let terms = objective.loss(layout, batch, 1.0 / 2.0, &mut grad_output);
//! assert!(terms.iter().all(|term| term.loss.is_finite()));
//!
//! // Two images in 20 evaluations.
//! let mut x = vec![0.0f32; 2 * layout.image_len()];
//! draw_start_noise(seed, 0, layout.image_len(), &mut x);
//! let mut noise = PhiloxNoise::new(seed, 0, layout.image_len());
//! let plan = SamplerPlan::new(SamplerKind::Heun, "20".parse()?);
//! let mut sampler = plan.start(kind, &process, x, &mut noise)?;
//! while let Some(request) = sampler.request() {
//!     let factor = request.input_factor as f32;
//!     let input: Vec<f32> = sampler.state().iter().map(|x| factor * x).collect();
//!     let output = network(&input, request.network_time);
//!     sampler.advance(Prediction::new(kind, layout, &output), &mut noise);
//! }
//! assert!(sampler.state().iter().all(|x| x.is_finite()));
//! # Ok::<(), diffusion::DiffusionError>(())
//! ```
//!
//! Sources: DDPM arXiv 2006.11239, DDIM arXiv 2010.02502, improved DDPM arXiv 2102.09672
//! (learned range, respacing, hybrid loss), progressive distillation arXiv 2202.00512 (`v`),
//! classifier-free guidance arXiv 2207.12598, DiS arXiv 2402.05608 (what of it is used).
#![forbid(unsafe_code)]

mod density;
mod error;
mod flow_path;
mod grid;
mod guidance;
mod layout;
mod level;
mod log_variance;
mod loss_history;
mod named_choice;
mod noise;
mod noise_schedule;
mod objective;
mod prediction;
mod process;
mod real;
mod respacing;
mod sampler;
mod table;
mod variance;
mod weighting;

pub use density::TimestepDensity;
pub use error::DiffusionError;
pub use flow_path::{FlowPath, PathPoint};
pub use grid::{Grid, Spacing};
pub use guidance::{Guidance, GuidanceChannels, GuidanceSchedule};
pub use layout::ImageLayout;
pub use level::NoiseLevel;
pub use log_variance::LogVariance;
pub use loss_history::LossHistory;
pub use noise::{NoiseSource, PhiloxNoise, draw_start_noise, draw_training_noise};
pub use noise_schedule::{NoiseSchedule, NoiseScheduleKind};
pub use objective::{
    DecoderTerm, HybridCoefficients, HybridLoss, LossBatch, LossCoefficients, LossTerms, Objective,
    ObjectiveKind, ObjectiveOptions, decoder_term,
};
pub use prediction::{Mix, Prediction, PredictionKind};
pub use process::{Node, Process};
pub use real::Real;
pub use respacing::Respacing;
pub use sampler::{
    AncestralStep, Churn, DdimInversion, DdimSampler, DdpmSampler, Deis, DiffusionForm, DpmForm,
    DpmMultistep, DpmOptions, DpmSde, DpmSdeMethod, DpmSinglestep, EulerAncestral, FinalOrder,
    FlowSde, FlowSdeOptions, LastStep, LmsSampler, OdeEnd, OdeMethod, OdeOptions, OdePath,
    OdeSampler, PndmSampler, SampleRequest, Sampler, SamplerKind, SamplerPlan, SdeMethod,
    SecondOrder, UniPc, UniPcB, ancestral_step, singlestep_grid,
};
pub use table::{DiffusionTable, TableRow};
pub use variance::VarianceKind;
pub use weighting::Weighting;
