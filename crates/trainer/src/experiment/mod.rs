//! One TOML file is one experiment.
//!
//! Every key that changes a number stands in every file, but for switches of what the official
//! network lacks, which are off without their key; unknown keys are refused with a suggestion;
//! ranges and what belongs together are checked before anything is allocated, and all problems are
//! reported at once, each with its file and line. `--set a.b=v` overrides any key.

mod compare;
mod data_sections;
mod eval_section;
mod load;
mod numbers;
mod problem;
mod schema;
mod sections;
mod validate;
mod validate_data;
mod validate_sampling;

pub use compare::{KeyChange, may_change};
pub use data_sections::{DataKind, DataSection, EncodeSection, SourceImages, VaeSection};
pub use dis_model::init::DeltaBiasInit;
pub use eval_section::EvalSection;
pub use numbers::Numbers;
pub use problem::{ConfigError, Problem};
pub use sections::{
    DiffusionSection, LrScheduleKind, ModelSection, ObjectiveName, SampleSection, TrainSection,
};

use diffusion::Guidance;
use dis_model::DisConfig;
use dis_model::init::InitOptions;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Everything that fixes the numbers of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name of the run directory, `runs/<name>`.
    pub name: String,
    /// Seed of every random number of the run.
    pub seed: u64,
    /// What the network learns.
    pub data: DataSection,
    /// The autoencoder, where the data are latents.
    pub vae: Option<VaeSection>,
    /// The images that become those latents.
    pub encode: Option<EncodeSection>,
    /// The network and how its parameters start.
    pub model: ModelSection,
    /// The process that is learned.
    pub diffusion: DiffusionSection,
    /// Optimiser, averages and intervals.
    pub train: TrainSection,
    /// How previews are drawn.
    pub sample: SampleSection,
    /// Guidance of previews.
    pub guidance: Guidance,
    /// How the run is evaluated while it is trained.
    pub eval: Option<EvalSection>,
}

impl Experiment {
    /// Reads and checks a file; `sets` are `--set` arguments, `train.steps=1000`.
    ///
    /// A set value is read as TOML and, where that fails, as a string. A table is merged key by key.
    /// Where two forms exclude each other, setting one removes the other from the file:
    /// `model.preset` and `model.hidden_size`/`model.depth`; a new `data.kind` removes `data.path`,
    /// `data.count`, `[vae]` and `[encode]`; a new `train.lr_schedule` removes `train.tail_fraction` and
    /// `train.decay_after`; a new `diffusion.objective` removes `diffusion.path`, `time_scale` and
    /// `sigma_data`; a new `sample.sampler` removes `sample.spacing`, `churn` and `diffusion_form`.
    ///
    /// # Errors
    /// [`ConfigError`] names the file, every key that is unknown, missing, of the wrong type or out
    /// of range, and what would do.
    pub fn load(path: impl AsRef<Path>, sets: &[String]) -> Result<Self, ConfigError> {
        load::load(path.as_ref(), sets)
    }

    /// The same for a text; `origin` stands for the file in messages.
    ///
    /// # Errors
    /// As [`Experiment::load`].
    pub fn parse(text: &str, origin: &str, sets: &[String]) -> Result<Self, ConfigError> {
        load::parse(text, origin, sets)
    }

    /// Checks ranges and what belongs together. Loading has done so already.
    ///
    /// # Errors
    /// [`ConfigError::Problems`] with every problem.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let origin = format!("experiment {}", self.name);
        load::refuse(
            self.violations().into_iter().map(|v| v.at(origin.clone())).collect::<Vec<_>>(),
        )
    }

    /// The experiment as a file that reads back as itself.
    ///
    /// # Panics
    /// When the seed is above 2^63 - 1, which no file can hold and [`Experiment::validate`] refuses.
    pub fn to_toml(&self) -> String {
        let table = self.to_table();
        let mut text = String::new();
        for (name, value) in &table {
            match value {
                Value::Table(inner) => {
                    text.push_str(&format!("\n[{name}]\n"));
                    inner.iter().for_each(|(key, value)| text.push_str(&line(key, value)));
                }
                _ => text.push_str(&line(name, value)),
            }
        }
        text
    }

    /// The network.
    ///
    /// Sizes are zero, and so refused by the network, unless the experiment is valid.
    pub fn dis_config(&self) -> DisConfig {
        let (hidden_size, depth) = self.model.size().unwrap_or((0, 0));
        DisConfig {
            image_size: self.data.image_size,
            channels: self.model.channels,
            patch_size: self.model.patch_size,
            num_classes: self.model.num_classes,
            hidden_size,
            depth,
            d_state: self.model.d_state,
            d_conv: self.model.d_conv,
            learned_variance: self.diffusion.kind().learns_variance(),
            skip: self.model.skip,
            conditioning: self.model.conditioning,
            final_adaln: self.model.final_adaln,
            direction_sum: self.model.direction_sum,
            normalize_ssm_inputs: self.model.normalize_ssm_inputs.unwrap_or(false),
            norm_eps: self.model.norm_eps,
            final_eps: self.model.final_eps,
        }
    }

    /// How its parameters start.
    pub fn init_options(&self) -> InitOptions {
        InitOptions {
            delta_bias: self.model.delta_bias_init,
            zero_head: self.model.zero_head,
            position_std: self.model.position_std,
            label_std: self.model.label_std,
        }
    }

    /// Where the run lies unless the caller says otherwise: `runs/<name>`.
    pub fn default_run_dir(&self) -> PathBuf {
        Path::new("runs").join(&self.name)
    }

    /// As TOML values, in the order of the structs.
    fn to_table(&self) -> Table {
        Table::try_from(self).expect("integers of an experiment fit those of TOML")
    }
}

/// A key and its value. Small numbers are written as people do, `1e-8`.
fn line(key: &str, value: &Value) -> String {
    match value {
        Value::Float(number) => format!("{key} = {number:?}\n"),
        _ => format!("{key} = {value}\n"),
    }
}

/// A value given for a key.
struct Leaf {
    /// The key in full: `train.steps`.
    key: String,
    value: Value,
    /// File and line, or the `--set` argument.
    location: String,
}

/// Keys in full and their values, of a table of tables.
fn flatten(table: &Table) -> Vec<(String, &Value)> {
    let mut leaves = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => {
                leaves.extend(inner.iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            _ => leaves.push((name.clone(), value)),
        }
    }
    leaves
}
