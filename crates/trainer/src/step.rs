//! One optimiser step, and everything it owns.
//!
//! ```text
//! batch -> timestep, noise, dropped labels, drop-path (Philox at each sample's position)
//!       -> network -> loss and its gradient -> network backward      (per micro-batch)
//!       -> global norm -> finite? -> clip, AdamW, averages
//! ```
//!
//! All random numbers are addressed by the sample's global position, so how a batch is split into
//! micro-batches does not change them.

use crate::draw;
use crate::feedback::{Draw, Feedback};
use data::Batch;
use diffusion::{ImageLayout, LossBatch, LossTerms, Objective, draw_training_noise};
use dis_model::{Activations, Dis, Input, ModelError, ParamLayout, Params, Recompute};
use ssm_kernels::adamw_ema::{Arenas, Average, Hyper};
use ssm_kernels::{Backend, Buffer, Cpu};
use std::ops::Range;

/// Added to the gradient norm when clipping, as PyTorch's clipping does.
const CLIP_EPS: f64 = 1e-6;

/// What a step needs to know beside the network.
#[derive(Clone, Debug)]
pub struct StepConfig {
    /// Seed of the run.
    pub seed: u64,
    /// Samples that pass through the network together; divides the batch.
    pub micro_batch: usize,
    /// What the gradient pass makes again.
    pub recompute: Recompute,
    /// Probability that a training label becomes the null class.
    pub label_dropout: f64,
    /// Drop-path rate of the last block.
    pub drop_path: f64,
    /// AdamW: decay of the first moment.
    pub beta1: f64,
    /// AdamW: decay of the second moment.
    pub beta2: f64,
    /// AdamW: added to the root of the second moment.
    pub adam_eps: f64,
    /// AdamW: decoupled weight decay.
    pub weight_decay: f64,
    /// Largest global gradient norm; larger gradients are scaled down to it.
    pub grad_clip: f64,
}

/// Parameters and all that goes with them: what a checkpoint holds.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    /// Optimiser steps made.
    pub step: u64,
    /// Samples seen, which is the position of the next one.
    pub samples_seen: u64,
    /// Parameters.
    pub params: Vec<f32>,
    /// First moments.
    pub m: Vec<f32>,
    /// Second moments.
    pub v: Vec<f32>,
    /// Averages of the parameters, in the order of [`EmaSet`](crate::EmaSet).
    pub averages: Vec<Vec<f32>>,
    /// What the losses so far say about timesteps and weights.
    pub feedback: Feedback,
}

impl RunState {
    /// The state before the first step, with so many averages, each a copy of the parameters.
    pub fn new(params: Vec<f32>, averages: usize) -> Self {
        let zeros = vec![0.0; params.len()];
        let averages = vec![params.clone(); averages];
        let feedback = Feedback::default();
        Self { step: 0, samples_seen: 0, averages, params, m: zeros.clone(), v: zeros, feedback }
    }
}

/// Numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step made, from 1.
    pub step: u64,
    /// Samples seen up to it.
    pub samples_seen: u64,
    /// Mean loss of the batch.
    pub loss: f64,
    /// Mean squared error part of the loss.
    pub mse: f64,
    /// Variational part of the loss, where the objective has one.
    pub vb: Option<f64>,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate used.
    pub lr: f64,
}

/// A loss or gradient that is not finite. Nothing was updated.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "step {step}: loss {loss:e}, gradient norm {grad_norm:e}: not finite, and nothing was updated\n  \
     positions of the samples with such a loss: {positions:?}\n  \
     parameters with such a gradient: {}\n  \
     help: lower train.lr_max, or set model.direction_sum = 0.5, \
     model.delta_bias_init = \"symmetric\" or model.normalize_ssm_inputs = true for a new run",
    params.join("\n    ")
)]
pub struct NonFinite {
    /// The step that was not made.
    pub step: u64,
    /// Mean loss.
    pub loss: f64,
    /// Global gradient norm.
    pub grad_norm: f64,
    /// Global positions of the samples whose loss is not finite, at most 16.
    pub positions: Vec<u64>,
    /// Names of the parameters whose gradient is not finite, at most 16.
    pub params: Vec<String>,
}

/// Why a step was not made.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Loss or gradient not finite.
    #[error(transparent)]
    NonFinite(#[from] Box<NonFinite>),
    /// The batch does not fit the network.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Network, objective and the memory of a step.
pub struct Stepper {
    dis: Dis<Cpu>,
    objective: Objective,
    config: StepConfig,
    no_decay: Vec<Range<usize>>,
    activations: Activations<Cpu>,
    grads: Buffer<f32>,
    noise: Vec<f32>,
    x_t: Vec<f32>,
    grad_output: Vec<f32>,
    labels: Vec<u32>,
    drop_path: Vec<f32>,
}

/// Sums of loss terms over a batch.
#[derive(Default)]
struct LossSum {
    loss: f64,
    mse: f64,
    vb: Option<f64>,
    bad_positions: Vec<u64>,
    terms: Vec<LossTerms>,
}

impl Stepper {
    /// Allocates all memory that steps will need.
    ///
    /// # Errors
    /// [`ModelError::Kernel`] when a device has not so much memory.
    pub fn new(
        dis: Dis<Cpu>,
        objective: Objective,
        config: StepConfig,
    ) -> Result<Self, ModelError> {
        let (c, micro) = (dis.config(), config.micro_batch);
        let image = vec![0.0; micro * c.image_len()];
        Ok(Self {
            no_decay: dis.layout().no_decay(),
            activations: Activations::for_training_with(&dis, micro, config.recompute)?,
            grads: Buffer::zeros(dis.layout().len()),
            noise: image.clone(),
            x_t: image,
            grad_output: vec![0.0; micro * c.output_len()],
            labels: vec![0; micro],
            drop_path: vec![1.0; (c.n_blocks() + 1) * micro],
            dis,
            objective,
            config,
        })
    }

    /// The network.
    pub fn dis(&self) -> &Dis<Cpu> {
        &self.dis
    }

    /// Names and places of the parameters.
    pub fn layout(&self) -> &ParamLayout {
        self.dis.layout()
    }

    /// The gradient of the last step, before clipping.
    pub fn grads(&self) -> &[f32] {
        &self.grads
    }

    /// Makes one step at learning rate `lr`; each average keeps its share `decays` of its old value.
    ///
    /// # Errors
    /// [`StepError::NonFinite`] before anything is updated.
    ///
    /// # Panics
    /// When the batch is not a multiple of the micro-batch, or there is not one share an average.
    pub fn step(
        &mut self,
        state: &mut RunState,
        batch: &Batch,
        lr: f64,
        decays: &[f64],
    ) -> Result<StepReport, StepError> {
        let micro = self.config.micro_batch;
        assert!(batch.len().is_multiple_of(micro), "batch {} in parts of {micro}", batch.len());
        assert_eq!(decays.len(), state.averages.len(), "one decay an average");
        self.grads.fill(0.0);
        let draw = state.feedback.draw(&self.objective, self.config.seed, &batch.positions);
        let mut sum = LossSum::default();
        for first in (0..batch.len()).step_by(micro) {
            self.accumulate(&state.params, batch, &draw, first, &mut sum)?;
        }
        let count = batch.len() as f64;
        let report = StepReport {
            step: state.step + 1,
            samples_seen: state.samples_seen + batch.len() as u64,
            loss: sum.loss / count,
            mse: sum.mse / count,
            vb: sum.vb.map(|vb| vb / count),
            grad_norm: ssm_kernels::sum_squares::sum_squares(&self.grads).sqrt(),
            lr,
        };
        if !(report.loss.is_finite() && report.grad_norm.is_finite()) {
            return Err(Box::new(self.describe(&report, sum.bad_positions)).into());
        }
        self.update(state, &report, decays)?;
        state.feedback.learn(&self.objective, report.step, &draw, &sum.terms);
        state.step += 1;
        state.samples_seen = report.samples_seen;
        Ok(report)
    }

    /// Adds the gradient of one micro-batch to `grads`.
    fn accumulate(
        &mut self,
        params: &[f32],
        batch: &Batch,
        draw: &Draw,
        first: usize,
        sum: &mut LossSum,
    ) -> Result<(), StepError> {
        let micro = self.config.micro_batch;
        let image_len = self.dis.config().image_len();
        let samples = first..first + micro;
        let positions = &batch.positions[samples.clone()];
        let timesteps = &draw.timesteps[samples.clone()];
        let x0 = &batch.images[first * image_len..(first + micro) * image_len];
        draw_training_noise(self.config.seed, positions, &mut self.noise);
        self.objective.corrupt(x0, &self.noise, timesteps, &mut self.x_t);
        let (seed, c) = (self.config.seed, self.dis.config());
        let labels = &batch.labels[samples.clone()];
        let null = c.num_classes as u32;
        draw::labels(seed, self.config.label_dropout, null, labels, positions, &mut self.labels);
        if self.config.drop_path > 0.0 {
            let rates = c.drop_path_rates(self.config.drop_path);
            draw::drop_path(seed, rates, positions, &mut self.drop_path);
        }

        let network_times: Vec<f64> =
            timesteps.iter().map(|&t| self.objective.network_time(t)).collect();
        let input = Input::<f32> {
            x: &self.x_t,
            timesteps: &network_times,
            labels: c.is_conditional().then_some(self.labels.as_slice()),
            drop_path: (self.config.drop_path > 0.0).then_some(self.drop_path.as_slice()),
        };
        let params = Params::host(params);
        self.dis.forward(params, &input, &mut self.activations)?;
        let layout = ImageLayout { channels: c.channels, pixels: c.image_size * c.image_size };
        let terms = self.objective.loss(
            layout,
            LossBatch {
                model_output: self.activations.output(),
                x0,
                noise: &self.noise,
                timesteps,
                weights: Some(&draw.weights[samples.clone()]),
            },
            1.0 / batch.len() as f64,
            &mut self.grad_output,
        );
        sum.add(&terms, &draw.log_variances[samples], positions);
        let (grad_output, grads) = (&self.grad_output, &mut self.grads);
        self.dis.backward(params, &input, &mut self.activations, grad_output, grads, None)?;
        Ok(())
    }

    /// Clips, updates the parameters and their averages.
    fn update(
        &self,
        state: &mut RunState,
        report: &StepReport,
        decays: &[f64],
    ) -> Result<(), StepError> {
        let config = &self.config;
        let hyper = Hyper {
            lr: report.lr,
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.adam_eps,
            weight_decay: config.weight_decay,
            step: report.step,
            grad_factor: (config.grad_clip / (report.grad_norm + CLIP_EPS)).min(1.0),
            no_decay: &self.no_decay,
        };
        let pairs = decays.iter().zip(state.averages.iter_mut().map(Vec::as_mut_slice));
        let mut averages: Vec<Average<'_, f32>> =
            pairs.map(|(&decay, values)| Average { decay, values }).collect();
        let arenas = Arenas::<f32> {
            params: &mut state.params,
            grads: &self.grads,
            m: &mut state.m,
            v: &mut state.v,
            averages: &mut averages,
            compute_copy: None,
        };
        self.dis.backend().adamw_ema(&hyper, arenas).map_err(ModelError::from)?;
        Ok(())
    }

    fn describe(&self, report: &StepReport, mut positions: Vec<u64>) -> NonFinite {
        positions.truncate(16);
        let bad = |range: &Range<usize>| self.grads[range.clone()].iter().any(|g| !g.is_finite());
        let params = self.layout().iter().filter(|p| bad(&p.range)).map(|p| p.name.clone());
        NonFinite {
            step: report.step,
            loss: report.loss,
            grad_norm: report.grad_norm,
            positions,
            params: params.take(16).collect(),
        }
    }
}

impl LossSum {
    fn add(&mut self, terms: &[LossTerms], log_variances: &[f64], positions: &[u64]) {
        for ((term, log_variance), &position) in terms.iter().zip(log_variances).zip(positions) {
            let loss = term.loss + log_variance;
            self.loss += loss;
            self.mse += term.mse;
            if let Some(vb) = term.vb {
                *self.vb.get_or_insert(0.0) += vb;
            }
            if !loss.is_finite() {
                self.bad_positions.push(position);
            }
        }
        self.terms.extend_from_slice(terms);
    }
}
