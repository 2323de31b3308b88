//! Experiments, runs and their state on disk.
#![forbid(unsafe_code)]

pub mod checkpoint;
mod compute;
mod dataset;
#[cfg(any(feature = "cuda", feature = "emulated"))]
mod device_step;
mod draw;
pub mod ema;
mod engine;
mod evaluations;
mod exit_code;
mod experiment;
mod feedback;
mod hooks;
mod json_lines;
mod lr_schedule;
mod metrics;
mod run_dir;
mod run_lock;
mod step;
mod storage;
mod tensorboard;
mod train;
pub mod usage;
pub mod workload;

pub use compute::Compute;
pub use dataset::{latent_scaling, open_dataset, open_encode_source};
pub use ema::EmaSet;
pub use engine::{Engine, engine};
pub use evaluations::*;
pub use exit_code::{ExitCode, exit};
pub use experiment::*;
pub use feedback::{Feedback, FeedbackState};
pub use hooks::*;
pub use json_lines::{MetricsError, Trimmed, deterministic_part};
pub use lr_schedule::{LrSchedule, inverse_sqrt};
pub use metrics::*;
pub use run_dir::{EMA_SNAPSHOTS, Environment, RunDir, RunDirError, read_experiment};
pub use run_lock::Holder;
pub use step::*;
pub use tensorboard::{EventError, EventFile, EventImage};
pub use train::*;
