//! The tables of an experiment file.
//!
//! No struct here has a `Default`: a number that nobody wrote down is a number that nobody can
//! check. Keys are optional only where another key takes their place, or where they describe the
//! machine and not the experiment.

use diffusion::{NoiseScheduleKind, ObjectiveKind, SamplerKind};
use dis_model::init::DeltaBiasInit;
use dis_model::{Conditioning, DisPreset, Recompute, Skip};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataKind {
    /// Generated discs, squares, triangles and crosses; needs `count`, no files.
    Shapes,
    /// The official binary files of CIFAR-10 under `path`.
    Cifar10,
    /// PNG and JPEG files under `path`, one sub-folder a class or none.
    ImageFolder,
    /// A cache of encoded images under `path`.
    Latents,
}

impl DataKind {
    /// Name as written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shapes => "shapes",
            Self::Cifar10 => "cifar10",
            Self::ImageFolder => "image_folder",
            Self::Latents => "latents",
        }
    }

    /// Whether the data lie in files.
    pub fn has_path(self) -> bool {
        self != Self::Shapes
    }
}

/// `[data]`: what the network learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Which data set.
    pub kind: DataKind,
    /// Folder of the files; every kind but `shapes`.
    pub path: Option<PathBuf>,
    /// Images in the set; `shapes` only.
    pub count: Option<u64>,
    /// Side of the square image or latent.
    pub image_size: usize,
    /// Whether images are mirrored with probability 0.5.
    pub flip: bool,
    /// Threads that load data. A matter of the machine: no result depends on it, and without the
    /// key the trainer chooses.
    pub workers: Option<usize>,
}

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

/// `[diffusion]`: the process that is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffusionSection {
    /// Timesteps of the training process.
    pub timesteps: usize,
    /// Shape of the noise over the timesteps.
    pub noise_schedule: NoiseScheduleKind,
    /// What the network predicts and which loss trains it.
    pub objective: ObjectiveKind,
}

/// The shape of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrScheduleKind {
    /// Stays at `lr_max`.
    Constant,
    /// Half a cosine from `lr_max` to `lr_min`.
    Cosine,
    /// Stays at `lr_max`, then falls linearly to `lr_min` over the last `tail_fraction` of the run.
    LinearTail,
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
    /// Learning rate at the end; without effect when constant.
    pub lr_min: f64,
    /// Steps over which the learning rate rises from 0 to `lr_max`.
    pub warmup_steps: u64,
    /// Shape of the learning rate.
    pub lr_schedule: LrScheduleKind,
    /// Share of the run over which it falls; `linear_tail` only.
    pub tail_fraction: Option<f64>,
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
    /// Decay of the average of the weights.
    pub ema_decay: f64,
    /// Whether the decay is at most `(1 + step)/(10 + step)`.
    pub ema_warmup: bool,
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
}

/// `[sample]`: how previews are drawn, and what sampling a run starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleSection {
    /// The sampler.
    pub sampler: SamplerKind,
    /// Sampling steps.
    pub steps: usize,
    /// Stochasticity of `ddim`; without effect for `ddpm`.
    pub eta: f64,
    /// Whether predicted data is limited to [-1, 1] in every step.
    pub clip_x0: bool,
    /// Images of a preview grid.
    pub count: usize,
}
