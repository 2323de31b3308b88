//! The tables of an experiment file.
//!
//! No struct here has a `Default`: a number that nobody wrote down is a number that nobody can
//! check. Keys are optional only where another key takes their place, where they belong to an option
//! that is off without them, or where they describe the machine and not the experiment.

use super::numbers::Numbers;
use diffusion::{
    DiffusionError, DiffusionForm, FlowPath, NoiseSchedule, NoiseScheduleKind, Objective,
    ObjectiveKind, ObjectiveOptions, Process, Respacing, SamplerKind, SamplerPlan, Spacing,
    TimestepDensity, Weighting,
};
use dis_model::init::DeltaBiasInit;
use dis_model::{Conditioning, DisPreset, Recompute, Skip};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[model]`: the network and how its parameters start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// A size of the paper; takes the place of `hidden_size` and `depth`.
    pub preset: Option<DisPreset>,
    /// Width; with `depth` takes the place of `preset`.
    pub hidden_size: Option<usize>,
    /// Depth as the official code counts it: 24 builds 25 blocks.
    pub depth: Option<usize>,
    /// Side of a patch.
    pub patch_size: usize,
    /// Classes; 0 for an unconditional network.
    pub num_classes: usize,
    /// Channels of the image or latent.
    pub channels: usize,
    /// States per channel of the scan.
    pub d_state: usize,
    /// Taps of the convolution.
    pub d_conv: usize,
    /// Long connections from early to late blocks.
    pub skip: Skip,
    /// Path of time and label.
    pub conditioning: Conditioning,
    /// Modulation of the head by time and label; without effect when unconditional.
    pub final_adaln: bool,
    /// Start of the right-to-left step-size bias.
    pub delta_bias_init: DeltaBiasInit,
    /// Factor on the sum of the two scan orders.
    pub direction_sum: f64,
    /// Whether low-rank step size, B and C are each divided by their root mean square before the
    /// scan, against steps that are not finite. Ours: without the key they are not.
    pub normalize_ssm_inputs: Option<bool>,
    /// Drop-path rate of the last block.
    pub drop_path: f64,
    /// Share of labels replaced by the null class; without effect when unconditional.
    pub label_dropout: f64,
    /// Whether the last linear map starts at zero.
    pub zero_head: bool,
    /// Standard deviation at which the position table starts; 0 for zeros.
    pub position_std: f64,
    /// Standard deviation at which the label table starts; without effect when unconditional.
    pub label_std: f64,
    /// Added to the mean square in RMS norms.
    pub norm_eps: f64,
    /// Added to the variance in layer norms.
    pub final_eps: f64,
}

impl ModelSection {
    /// `(hidden_size, depth)` from whichever form is present, if exactly one is.
    pub fn size(&self) -> Option<(usize, usize)> {
        match (self.preset, self.hidden_size, self.depth) {
            (Some(preset), None, None) => Some(preset.size()),
            (None, Some(hidden_size), Some(depth)) => Some((hidden_size, depth)),
            _ => None,
        }
    }
}

/// What the network predicts and which loss trains it, as a configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveName {
    /// Noise and a learned-range variance; the paper.
    EpsHybrid,
    /// Noise.
    Eps,
    /// Data.
    X0,
    /// The velocity of the noise schedule.
    V,
    /// The velocity of a path; flow matching.
    Flow,
    /// The preconditioned output of EDM.
    Edm,
}

/// Factor of the time of a flow in what the network is told, unless `time_scale` says otherwise.
const TIME_SCALE: f64 = 1000.0;
/// Deviation of the data of EDM, unless `sigma_data` says otherwise.
const SIGMA_DATA: f64 = 0.5;
/// Learning rate of a learned log variance, unless `log_variance_lr` says otherwise.
const LOG_VARIANCE_LR: f64 = 0.01;

/// `[diffusion]`: the process that is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffusionSection {
    /// Timesteps of the noise schedule; without effect for `flow` and `edm`.
    pub timesteps: usize,
    /// Shape of the noise over the timesteps; without effect for `flow` and `edm`.
    pub noise_schedule: NoiseScheduleKind,
    /// Whether the schedule is moved so that nothing of the data is left at its end; for `v` and `x0`.
    pub zero_terminal_snr: Option<bool>,
    /// What the network predicts and which loss trains it.
    pub objective: ObjectiveName,
    /// The path of `flow`; `linear` without the key.
    pub path: Option<FlowPath>,
    /// Factor of the time of `flow`, 0 to 1, in what the network is told; 1000 without the key. SiT
    /// has 1.
    pub time_scale: Option<f64>,
    /// Standard deviation of the data for `edm`; 0.5 without the key.
    pub sigma_data: Option<f64>,
    /// How often each time is trained; `uniform` without the key, for `edm` `lognormal(-1.2, 1.2)`.
    pub timestep_density: Option<TimestepDensity>,
    /// How much each time counts; `none` without the key.
    pub loss_weighting: Option<Weighting>,
    /// Factor of the loss of direction, for `v` and `flow`; none without the key.
    pub cosine_direction: Option<f64>,
    /// Learning rate of the log variances of `loss_weighting = "learned"`; 0.01 without the key.
    pub log_variance_lr: Option<f64>,
}

impl DiffusionSection {
    /// What the network predicts.
    pub fn kind(&self) -> ObjectiveKind {
        match self.objective {
            ObjectiveName::EpsHybrid => ObjectiveKind::EpsHybrid,
            ObjectiveName::Eps => ObjectiveKind::Eps,
            ObjectiveName::X0 => ObjectiveKind::X0,
            ObjectiveName::V => ObjectiveKind::V,
            ObjectiveName::Flow => ObjectiveKind::Flow(self.path.unwrap_or(FlowPath::Linear)),
            ObjectiveName::Edm => {
                ObjectiveKind::Edm { sigma_data: self.sigma_data.unwrap_or(SIGMA_DATA) }
            }
        }
    }

    /// The process it is trained on.
    ///
    /// # Errors
    /// Those of [`NoiseSchedule::new`].
    pub fn process(&self) -> Result<Process, DiffusionError> {
        Ok(match self.kind() {
            ObjectiveKind::Flow(path) => {
                Process::Flow { path, time_scale: self.time_scale.unwrap_or(TIME_SCALE) }
            }
            ObjectiveKind::Edm { sigma_data } => Process::edm(sigma_data),
            _ => {
                let schedule = NoiseSchedule::new(self.noise_schedule, self.timesteps)?;
                Process::Discrete(match self.zero_terminal_snr {
                    Some(true) => schedule.with_zero_terminal_snr(),
                    _ => schedule,
                })
            }
        })
    }

    /// The objective.
    ///
    /// # Errors
    /// Those of [`NoiseSchedule::new`] and [`Objective::on`].
    pub fn objective(&self) -> Result<Objective, DiffusionError> {
        let usual_density = match self.objective {
            ObjectiveName::Edm => TimestepDensity::Lognormal { mean: -1.2, std: 1.2 },
            _ => TimestepDensity::Uniform,
        };
        let options = ObjectiveOptions {
            density: self.timestep_density.unwrap_or(usual_density),
            weighting: self.loss_weighting.unwrap_or(Weighting::None),
            cosine_direction: self.cosine_direction.unwrap_or(0.0),
            ..ObjectiveOptions::default()
        };
        Objective::on(self.kind(), self.process()?, options)
    }

    /// Learning rate of the log variances.
    pub fn log_variance_lr(&self) -> f64 {
        self.log_variance_lr.unwrap_or(LOG_VARIANCE_LR)
    }
}

/// The shape of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrScheduleKind {
    /// Stays at `lr_max`: the plain warm-up and constant rate, where `warmup_steps` is not 0.
    Constant,
    /// Half a cosine from `lr_max` to `lr_min`.
    Cosine,
    /// Stays at `lr_max`, then falls linearly to `lr_min` over the last `tail_fraction` of the run.
    LinearTail,
    /// Stays at `lr_max` for the first `decay_after` steps, then falls with the root of the steps:
    /// four times as many have half the rate.
    InverseSqrt,
}

/// `[train]`: optimiser, averages and intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// Optimiser steps of the run.
    pub steps: u64,
    /// Samples of an optimiser step.
    pub batch_size: usize,
    /// Samples of one pass; a divisor of `batch_size`. Without the key the whole batch. It changes
    /// the order of sums and so the last bits of the gradient.
    pub micro_batch: Option<usize>,
    /// What the gradient pass makes again instead of keeping it: less memory, more time, the same
    /// bits. Without the key nothing.
    pub recompute: Option<Recompute>,
    /// Learning rate after the warm-up.
    pub lr_max: f64,
    /// Learning rate at the end; without effect when constant or `inverse_sqrt`.
    pub lr_min: f64,
    /// Steps over which the learning rate rises from 0 to `lr_max`.
    pub warmup_steps: u64,
    /// Shape of the learning rate.
    pub lr_schedule: LrScheduleKind,
    /// Share of the run over which it falls; `linear_tail` only.
    pub tail_fraction: Option<f64>,
    /// Steps before it falls; `inverse_sqrt` only.
    pub decay_after: Option<u64>,
    /// Decay of the mean gradient in Adam.
    pub beta1: f64,
    /// Decay of the mean squared gradient in Adam.
    pub beta2: f64,
    /// Added to the root of the mean squared gradient in Adam.
    pub adam_eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest gradient norm; `inf` does not clip.
    pub grad_clip: f64,
    /// Decay of each average of the weights; previews and samples are drawn from the first.
    pub ema_decay: Numbers,
    /// Whether these decays are at most `(1 + step)/(10 + step)`.
    pub ema_warmup: bool,
    /// Relative width of each power-function average of the weights. Without the key none.
    pub ema_power: Option<Numbers>,
    /// Steps from one snapshot of the power-function averages to the next, from which `dis ema`
    /// makes averages of other widths. Without the key none.
    pub ema_snapshot_every: Option<u64>,
    /// Steps from one metrics line to the next.
    pub log_every: u64,
    /// Steps from one preview grid to the next; 0 for none.
    pub sample_every: u64,
    /// Steps from one checkpoint to the next.
    pub checkpoint_every: u64,
    /// Newest checkpoints that are kept.
    pub keep_checkpoints: usize,
}

impl TrainSection {
    /// Samples of one pass.
    pub fn micro_batch(&self) -> usize {
        self.micro_batch.unwrap_or(self.batch_size)
    }

    /// Averages of the weights, of both kinds.
    pub fn averages(&self) -> usize {
        self.ema_decay.len() + self.ema_power.as_deref().map_or(0, <[f64]>::len)
    }
}

/// `[sample]`: how previews are drawn, and what sampling a run starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleSection {
    /// The sampler.
    pub sampler: SamplerKind,
    /// Sampling steps.
    pub steps: usize,
    /// How the noise levels are spaced; without the key what is usual for the sampler.
    pub spacing: Option<Spacing>,
    /// Stochasticity of `ddim`; without effect for the others.
    pub eta: f64,
    /// Fresh noise of `heun` over the run, EDM's `S_churn`; none without the key.
    pub churn: Option<f64>,
    /// The diffusion of `euler_maruyama` and `heun_sde`; `sigma` without the key.
    pub diffusion_form: Option<DiffusionForm>,
    /// Whether predicted data is limited to [-1, 1] in every step.
    pub clip_x0: bool,
    /// Images of a preview grid.
    pub count: usize,
    /// A run, checkpoint or weight file of a weaker network of the same images and objective, from which
    /// guidance leads away in place of the unconditional output (autoguidance).
    pub weak_model: Option<PathBuf>,
}

impl SampleSection {
    /// The sampler with its choices.
    ///
    /// # Errors
    /// [`DiffusionError::RespacingSyntax`] for no steps.
    pub fn plan(&self) -> Result<SamplerPlan, DiffusionError> {
        let usual = SamplerPlan::new(self.sampler, Respacing::evenly(self.steps)?);
        Ok(SamplerPlan {
            spacing: self.spacing,
            eta: self.eta,
            churn: self.churn.unwrap_or(usual.churn),
            diffusion_form: self.diffusion_form.unwrap_or(usual.diffusion_form),
            ..usual
        })
    }
}
