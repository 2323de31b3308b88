//! Checkpoints: written whole or not at all, checked before they are believed.
//!
//! ```text
//! checkpoints/step-000005000/
//!     model.safetensors        weights, official names
//!     ema-0.9999.safetensors   each average of the weights
//!     optimizer.safetensors    m.<name> and v.<name>
//!     state.json               step, samples seen, sums of the open log interval
//!     manifest.json            length and BLAKE3 of each file, names and shapes of all tensors
//! ```
//!
//! A checkpoint is written into `.tmp-*`, every file and then the folder is forced to the disk, and
//! one rename makes it appear. Only then are old ones removed. There is no pointer to the newest:
//! it is the highest step whose manifest and hashes hold. Equal states give equal bytes in every
//! file of tensors. Snapshots of averages (`ema-snapshots`) are written in the same way and stay.

mod error;
mod load;
mod manifest;
mod power_snapshot;
mod tensor_file;
mod weights;
mod write;

#[cfg(test)]
mod tests;

pub use error::CheckpointError;
pub use load::{Loaded, Rejected, load_newest};
pub use power_snapshot::{
    PowerAverage, PowerSnapshot, SnapshotFile, list_snapshots, save_snapshot,
};
pub use weights::{WeightChoice, Weights, load_weights};
pub use write::{Saved, save, sweep, weight_metadata};

use crate::feedback::FeedbackState;
use crate::metrics::IntervalSums;
use dis_model::{DisConfig, ParamLayout};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a run is besides its arenas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainState {
    /// Optimiser steps made.
    pub step: u64,
    /// Samples seen; the position of the next one. All that the data order depends on.
    pub samples_seen: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Starts of the run up to this one.
    pub attempt: u64,
    /// Instructions that the kernels used. Other ones may give other last bits.
    pub instruction_set: String,
    /// The log interval that is under way.
    pub interval: IntervalSums,
    /// What the losses so far taught, where the objective learns from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<FeedbackState>,
}

/// An average of the weights.
#[derive(Clone, Copy, Debug)]
pub struct Average<'a> {
    /// What tells it from other averages, such as its decay. Letters, digits, `.`, `_` and `-`.
    pub name: &'a str,
    /// Its arena.
    pub values: &'a [f32],
}

/// All that a checkpoint keeps.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// Counters.
    pub state: TrainState,
    /// [`crate::Experiment::identity`].
    pub config_hash: String,
    /// The network; kept in each weight file, so that one such file is enough to sample from.
    pub dis_config: &'a DisConfig,
    /// Names and places of the parameters.
    pub layout: &'a ParamLayout,
    /// Arena of the weights.
    pub params: &'a [f32],
    /// Averages of the weights.
    pub averages: &'a [Average<'a>],
    /// Arena of Adam's mean gradients.
    pub m: &'a [f32],
    /// Arena of Adam's mean squared gradients.
    pub v: &'a [f32],
}

const MODEL_FILE: &str = "model.safetensors";
const OPTIMIZER_FILE: &str = "optimizer.safetensors";
const STATE_FILE: &str = "state.json";
/// Key of a weight file's metadata that says which network it is of.
const DIS_CONFIG: &str = "dis_config";
/// Key of a weight file's metadata with the optimiser steps made.
const STEP: &str = "step";
const STEP_PREFIX: &str = "step-";

/// Name of the weight file of an average.
fn average_file(name: &str) -> String {
    format!("ema-{name}.safetensors")
}

/// Name of the average in a weight file of that name, if it is one.
fn average_name(file: &str) -> Option<&str> {
    file.strip_prefix("ema-")?.strip_suffix(".safetensors")
}

/// Directory of a step: `step-000005000`.
fn step_dir(step: u64) -> String {
    format!("{STEP_PREFIX}{step:09}")
}

/// Checkpoint directories and their steps, newest first; none where there is no such directory.
///
/// # Errors
/// [`CheckpointError::Io`] when the directory cannot be listed.
pub fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CheckpointError::io(dir)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(CheckpointError::io(dir))?;
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(STEP_PREFIX));
        if let Some(step) = digits.and_then(|digits| digits.parse().ok())
            && name.to_str() == Some(&step_dir(step))
        {
            found.push((step, entry.path()));
        }
    }
    found.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
    Ok(found)
}
