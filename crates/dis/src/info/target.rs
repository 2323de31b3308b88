//! Which network a word on the command line means.

use crate::exit::Failure;
use crate::load::{Weights, Which};
use anyhow::Result;
use dis_model::{DisConfig, DisPreset};
use std::path::Path;
use trainer::{Experiment, read_experiment};

/// A network to describe or measure.
pub(crate) struct Target {
    /// As asked for: `S/2`, or a file.
    pub(crate) name: String,
    pub(crate) config: DisConfig,
    /// Averages of the weights that training keeps.
    pub(crate) averages: usize,
    /// Where a file's content needs a remark.
    pub(crate) note: Option<String>,
}

/// What a preset leaves open.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Sizes {
    /// Side of a patch [default: 2]
    #[arg(long)]
    patch: Option<usize>,
    /// Side of the square image or latent [default: 32]
    #[arg(long)]
    image_size: Option<usize>,
    /// Channels of the image or latent [default: 3]
    #[arg(long)]
    channels: Option<usize>,
    /// Classes; 0 is unconditional [default: 0]
    #[arg(long)]
    classes: Option<usize>,
}

/// A preset with the sizes of the flags.
pub(crate) fn preset(preset: DisPreset, sizes: Sizes) -> Result<Target> {
    let sized = DisConfig::official(
        preset,
        sizes.image_size.unwrap_or(32),
        sizes.channels.unwrap_or(3),
        sizes.patch.unwrap_or(2),
        sizes.classes.unwrap_or(0),
    );
    sized.validate()?;
    Ok(Target { name: preset.name().to_string(), config: sized, averages: 1, note: None })
}

/// The network a word means: a preset of those sizes, or a file, with the weights of `key`.
pub(crate) fn resolve(text: &str, sizes: Sizes, key: Option<Which>) -> Result<Target> {
    if let Some((found, patch)) = parse_preset(text)? {
        if let (Some(a), Some(b)) = (patch, sizes.patch)
            && a != b
        {
            return Err(Failure::usage(format!("{text} means patch {a}, --patch says {b}")).into());
        }
        let target = preset(found, Sizes { patch: patch.or(sizes.patch), ..sizes })?;
        let name = format!("{}/{}", found.name(), target.config.patch_size);
        return Ok(Target { name, ..target });
    }
    let Sizes { patch, image_size, channels, classes } = sizes;
    if [patch, image_size, channels, classes].iter().any(Option::is_some) {
        let message = format!(
            "--patch, --image-size, --channels and --classes are for presets; {text} is none"
        );
        return Err(Failure::usage(message).help("a file has its own sizes").into());
    }
    file(Path::new(text), key)
}

/// A run directory, an experiment file, a checkpoint or a file of weights.
fn file(path: &Path, key: Option<Which>) -> Result<Target> {
    let name = path.display().to_string();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let experiment = match extension {
        "toml" => Some(Experiment::load(path, &[])?),
        _ if path.join("config.toml").is_file() => Some(read_experiment(path)?),
        _ => None,
    };
    if let Some(experiment) = experiment {
        let note = Some(format!("experiment {}", experiment.name));
        let averages = experiment.train.averages();
        return Ok(Target { name, config: experiment.dis_config(), averages, note });
    }
    if extension == "safetensors" || path.is_dir() {
        let weights = Weights::open(path, key)?;
        let note = format!("{}: {}", weights.source, weights.summary());
        return Ok(Target { name, config: weights.config, averages: 1, note: Some(note) });
    }
    let message = format!("{name} is neither a preset nor an experiment, run or file of weights");
    Err(Failure::usage(message).help(known()).into())
}

/// What would have done.
fn known() -> String {
    let presets = DisPreset::ALL.map(DisPreset::name).join(", ");
    format!("presets are {presets}, with /2, /4 or /8; files end in .toml or .safetensors")
}

/// `S`, `s-384/4`, `H/2`.
fn parse_preset(text: &str) -> Result<Option<(DisPreset, Option<usize>)>> {
    let (name, patch) = match text.split_once('/') {
        Some((name, patch)) => (name, Some(patch)),
        None => (text, None),
    };
    let name = name.strip_prefix("DiS-").unwrap_or(name);
    let found = DisPreset::ALL.into_iter().find(|p| p.name().eq_ignore_ascii_case(name));
    let Some(found) = found else { return Ok(None) };
    let Some(patch) = patch else { return Ok(Some((found, None))) };
    match patch.parse() {
        Ok(patch) => Ok(Some((found, Some(patch)))),
        Err(_) => {
            let message = format!("{text}: the patch after the slash is {patch:?}, not a number");
            Err(Failure::usage(message).help(format!("write {}/2", found.name())).into())
        }
    }
}
