//! Weights alone, to sample from.

use super::load::{compare_whole, newest, read_manifest, read_tensors, record};
use super::manifest::{FileRecord, MANIFEST};
use super::tensor_file::{self, Header};
use super::{CheckpointError, DIS_CONFIG, MODEL_FILE, Rejected, average_file, average_name};
use crate::ema::canonical_name;
use dis_model::weights::{TensorMap, infer_config, read_safetensors, to_arena};
use dis_model::{DisConfig, ModelError, ParamLayout};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Which weights of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightChoice {
    /// The first average: what samples are drawn from.
    Ema,
    /// The weights of the last step.
    Model,
    /// The average of that name, `0.9999` or `power-0.05`.
    Average(String),
}

impl FromStr for WeightChoice {
    type Err = &'static str;

    /// Reads `ema`, `model`, or the name of an average as its file has it, `ema-0.9999`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected ema (the first average), model, or an average: ema-0.9999, ema-power-0.05";
        match text {
            "ema" => Ok(Self::Ema),
            "model" => Ok(Self::Model),
            _ => {
                let name = text.strip_prefix("ema-").filter(|name| !name.is_empty());
                name.map(|name| Self::Average(canonical_name(name))).ok_or(EXPECTED)
            }
        }
    }
}

/// Weights and the network that they are of.
#[derive(Debug)]
pub struct Weights {
    /// The file they are from.
    pub file: PathBuf,
    /// Optimiser steps made, where the file says so.
    pub step: Option<u64>,
    /// The network.
    pub dis_config: DisConfig,
    /// Its parameters.
    pub layout: ParamLayout,
    /// Arena of the weights.
    pub values: Vec<f32>,
    /// Newer checkpoints that could not be believed, newest first.
    pub rejected: Vec<Rejected>,
}

/// Reads weights from a run directory or its `checkpoints` (the newest that can be believed), from a
/// checkpoint, or from a weight file.
///
/// Weight files of other programs do: shapes then say which network they are of, and `choice` is
/// between names that begin with `ema.` and `model.`, where names do. Our own files hold one set, and
/// no file has averages to choose from by name.
///
/// # Errors
/// [`CheckpointError::NoWeights`] when there are none, [`CheckpointError::Foreign`] for a file that
/// is of no network; otherwise as [`super::load_newest`].
pub fn load_weights(path: &Path, choice: &WeightChoice) -> Result<Weights, CheckpointError> {
    if !path.is_dir() {
        let prefix = match choice {
            WeightChoice::Ema => "ema.",
            WeightChoice::Model => "model.",
            WeightChoice::Average(name) => return Err(no_choice(path, name)),
        };
        return match says_network(path)? {
            true => load_file(path, None),
            false => load_foreign(path, prefix),
        };
    }
    if path.join(MANIFEST).exists() {
        return load_checkpoint(path, choice);
    }
    let inner = path.join("checkpoints");
    let dir = if inner.is_dir() { &inner } else { path };
    match newest(dir, |checkpoint| load_checkpoint(checkpoint, choice))? {
        Some((weights, rejected)) => Ok(Weights { rejected, ..weights }),
        None => Err(CheckpointError::NoWeights {
            path: path.into(),
            what: "no checkpoint in it\nhelp: give a run directory, a checkpoint or a weight file"
                .into(),
        }),
    }
}

fn load_checkpoint(dir: &Path, choice: &WeightChoice) -> Result<Weights, CheckpointError> {
    let manifest = read_manifest(dir)?;
    let files = manifest.files.iter().map(|file| file.name.as_str());
    let mut averages = files.filter(|file| average_name(file).is_some());
    let name = match choice {
        WeightChoice::Model => MODEL_FILE,
        WeightChoice::Ema => averages.next().ok_or_else(|| CheckpointError::NoWeights {
            path: dir.into(),
            what: "no average of the weights in it\nhelp: use the weights of the last step".into(),
        })?,
        WeightChoice::Average(name) => {
            let wanted = average_file(name);
            averages.clone().find(|file| *file == wanted).ok_or_else(|| {
                let stem = |file: &str| file.trim_end_matches(".safetensors").to_owned();
                let there = [MODEL_FILE].into_iter().chain(averages).map(stem).collect();
                CheckpointError::NoAverage { path: dir.into(), name: name.clone(), there }
            })?
        }
    };
    load_file(&dir.join(name), Some(record(dir, &manifest, name)?))
}

/// What is said when an average is asked of a file by its name.
fn no_choice(path: &Path, name: &str) -> CheckpointError {
    let what = format!(
        "ema-{name} is asked for, and a file has no averages to choose from\n\
         help: give the run or the checkpoint, or the file of that average"
    );
    CheckpointError::NoWeights { path: path.into(), what }
}

fn load_file(path: &Path, record: Option<&FileRecord>) -> Result<Weights, CheckpointError> {
    let mut file = File::open(path).map_err(CheckpointError::read(path))?;
    let len = file.metadata().map_err(CheckpointError::io(path))?.len();
    let header = tensor_file::read_header(&mut file, len).map_err(CheckpointError::read(path))?;
    let dis_config = config_of(path, &header)?;
    let layout = ParamLayout::new(&dis_config);
    // Compared before the arena is allocated, so that no file makes us allocate more than it holds.
    let tensors = header.tensors.iter().map(|tensor| (&*tensor.name, &*tensor.shape));
    compare_whole(path, record, tensors, &layout, &[""])?;
    let mut values = vec![0.0; layout.len()];
    read_tensors(path, record, &layout, &mut [("", &mut values)])?;
    let step = header.metadata.get(super::STEP).and_then(|step| step.parse().ok());
    Ok(Weights { file: path.into(), step, dis_config, layout, values, rejected: Vec::new() })
}

/// Whether the file is one of ours, which say what they are.
fn says_network(path: &Path) -> Result<bool, CheckpointError> {
    let mut file = File::open(path).map_err(CheckpointError::read(path))?;
    let len = file.metadata().map_err(CheckpointError::io(path))?.len();
    let header = tensor_file::read_header(&mut file, len);
    Ok(header.is_ok_and(|header| header.metadata.contains_key(DIS_CONFIG)))
}

/// The network that a weight file of ours is of.
fn config_of(path: &Path, header: &Header) -> Result<DisConfig, CheckpointError> {
    let no_weights = |what: String| CheckpointError::NoWeights { path: path.into(), what };
    let text = header.metadata.get(DIS_CONFIG).map_or("", String::as_str);
    let config: DisConfig = serde_json::from_str(text)
        .map_err(|error| no_weights(format!("its {DIS_CONFIG} cannot be read: {error}")))?;
    config.validate().map_err(|error| no_weights(format!("its {DIS_CONFIG}: {error}")))?;
    Ok(config)
}

/// Reads a file that does not say what it is.
fn load_foreign(path: &Path, prefix: &str) -> Result<Weights, CheckpointError> {
    let bare = read_safetensors(path, None).and_then(|tensors| of_tensors(path, &tensors));
    let weights = match bare {
        Ok(weights) => weights,
        Err(error) => match read_safetensors(path, Some(prefix)) {
            Ok(tensors) => of_tensors(path, &tensors)?,
            Err(_) => return Err(error.into()),
        },
    };
    Ok(weights)
}

fn of_tensors(path: &Path, tensors: &TensorMap) -> Result<Weights, ModelError> {
    let dis_config = infer_config(tensors)?;
    let layout = ParamLayout::new(&dis_config);
    let values = to_arena(&layout, tensors, &path.display().to_string())?;
    let rejected = Vec::new();
    Ok(Weights { file: path.into(), step: None, dis_config, layout, values, rejected })
}
