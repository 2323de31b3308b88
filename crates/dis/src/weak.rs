//! The weaker network of autoguidance.

use crate::device::OpenDevice;
use crate::exit::Failure;
use crate::network::Network;
use crate::sample::run_dir_of;
use anyhow::Result;
use diffusion::{ObjectiveKind, Process};
use dis_model::DisConfig;
use std::path::Path;
use trainer::Experiment;
use trainer::checkpoint::{WeightChoice, load_weights};

/// Loads the averaged weights of a weaker network that guides one of `config`, trained with
/// `objective` on `process`.
pub(crate) fn load(
    path: &Path,
    config: &DisConfig,
    (objective, process): (ObjectiveKind, &Process),
    device: &OpenDevice,
) -> Result<Box<dyn Network>> {
    if !path.exists() {
        let what = format!("{}: no such run, checkpoint or weight file", path.display());
        let help = "autoguidance needs the weights of a weaker network";
        return Err(Failure::data(what).help(help).into());
    }
    let weights = load_weights(path, &WeightChoice::Ema)?;
    if let Some(run) = run_dir_of(path) {
        let weak = Experiment::load(run.join("config.toml"), &[])?.diffusion;
        if weak.kind() != objective || weak.process()? != *process {
            let what = format!(
                "{}: trained with {:?}, expected {objective:?} on the same noise or path",
                path.display(),
                weak.kind()
            );
            let help = "outputs can be compared only where they mean the same";
            return Err(Failure::usage(what).help(help).into());
        }
    }
    check(path, config, &weights.dis_config)?;
    device.network(weights.dis_config.clone(), &weights.values)
}

/// Refuses a network whose outputs cannot be compared with those of the guided one.
fn check(path: &Path, config: &DisConfig, weak: &DisConfig) -> Result<(), Failure> {
    let pairs = [
        ("image_size", config.image_size, weak.image_size),
        ("channels", config.channels, weak.channels),
        ("output channels", output_channels(config), output_channels(weak)),
    ];
    for (what, expected, got) in pairs {
        if got != expected {
            let what = format!("{}: {what} is {got}, expected {expected}", path.display());
            let help = "the weaker network must be of the same images and the same objective; \
                        width, depth and patches may differ";
            return Err(Failure::usage(what).help(help));
        }
    }
    // Without classes of its own it guides as an unconditional network does.
    if weak.num_classes != 0 && weak.num_classes != config.num_classes {
        let expected = match config.num_classes {
            0 => "0".into(),
            classes => format!("{classes} or 0"),
        };
        let what =
            format!("{}: num_classes is {}, expected {expected}", path.display(), weak.num_classes);
        return Err(Failure::usage(what).help("the labels of both must mean the same"));
    }
    Ok(())
}

fn output_channels(config: &DisConfig) -> usize {
    if config.learned_variance { 2 * config.channels } else { config.channels }
}
