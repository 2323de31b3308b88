//! How much room a network needs where it is to compute, and for how many images there is room.

use super::plan::{self, DEVICE_TILE, Pass, Place};
use super::target::Target;
use super::units::{bytes, thousands};
use crate::device::{ComputeArgs, DeviceArg};
use crate::doctor::available_memory;
use crate::precision::PrecisionArg;
use dis_model::{Recompute, counts};
use serde_json::{Value, json};
use std::fmt::Write;

/// Memories of GPUs that are about, in GB.
const USUAL_GPUS: [u64; 4] = [24, 48, 80, 141];

/// From the most memory to the least.
const RECOMPUTE: [Recompute; 3] = [Recompute::None, Recompute::Scan, Recompute::Block];

/// What is not planned for on a device: the driver, its pool, libraries.
const SPARE_BYTES: u64 = 1_500_000_000;

/// A place to compute, with its memory.
pub(super) struct Room {
    pub(super) place: Place,
    /// Name and bytes of the one memory that was found, or of the usual ones.
    spaces: Vec<(String, u64)>,
    /// Why no device was found.
    missing: Option<String>,
}

impl Room {
    /// Looks at the device of the flags.
    pub(super) fn look(args: ComputeArgs) -> Self {
        if args.device() == DeviceArg::Cpu {
            let free = available_memory().map(|free| (format!("{} free here", bytes(free)), free));
            return Self { place: Place::Cpu, spaces: free.into_iter().collect(), missing: None };
        }
        let place = Place::Device(args.precision());
        match args.open() {
            Ok(device) => {
                let name = |free| format!("{}, {} free", device.describe(), bytes(free));
                let spaces = device.free_memory().map(|free| (name(free), free));
                Self { place, spaces: spaces.into_iter().collect(), missing: None }
            }
            Err(failure) => {
                let usual = USUAL_GPUS.map(|gb| (format!("{gb} GB"), gb * 1_000_000_000));
                Self { place, spaces: usual.into(), missing: Some(failure.in_full()) }
            }
        }
    }

    /// Images that fit together into a memory.
    fn images(&self, target: &Target, pass: Pass, space: u64) -> u64 {
        let Target { config: c, averages, .. } = target;
        let usable = match self.place {
            Place::Cpu => space,
            // What the plan leaves out, and what is lost between buffers.
            Place::Device(_) => (space * 92 / 100).saturating_sub(SPARE_BYTES),
        };
        let state = match pass {
            Pass::Inference => plan::loaded_bytes(c, self.place),
            Pass::Training(_) => plan::state_bytes(c, self.place, *averages),
        };
        let image = plan::activation_bytes(c, pass, self.place);
        usable.saturating_sub(state) / image.max(1)
    }

    /// Lines of a page: a title, where it is not that of the line before, and a text.
    pub(super) fn lines(&self, target: &Target) -> Vec<(&'static str, String)> {
        let Place::Device(precision) = self.place else { return self.lines_of_cpu(target) };
        let &Target { config: ref c, averages, .. } = target;
        let kinds = match precision {
            PrecisionArg::F32 => "weights twice",
            PrecisionArg::Bf16 => "weights in f32 and bf16",
        };
        let kept = plan::averages_in_words(averages);
        let each = self.place.state_bytes_per_parameter(averages);
        let of = |elements: plan::Elements| bytes(elements.bytes(self.place));
        let image = plan::image(c, Pass::TRAINING, self.place);
        let of_image = |pass| bytes(plan::activation_bytes(c, pass, self.place));
        let [none, scan, block] = RECOMPUTE.map(Pass::Training).map(of_image);
        let state = plan::state_bytes(c, self.place, averages);
        let loaded = plan::loaded_bytes(c, self.place);
        let mut lines = vec![
            ("on a GPU", format!("{} training state, {each} bytes a parameter:", bytes(state))),
            ("", format!("  {kinds}, gradients, moments, {kept}")),
            ("", format!("+ {none} an image in training, activations in {}:", precision.name())),
            ("", format!("  {} for every block to keep", of(image.blocks))),
            (
                "",
                format!(
                    "  {} for its scans: a sum, and states every {DEVICE_TILE} tokens",
                    of(image.scans)
                ),
            ),
            ("", format!("  {} for all blocks together", of(image.rest))),
            ("", format!("  {scan} with train.recompute = \"scan\", {block} with \"block\"")),
            ("", format!("{} + {} an image in sampling", bytes(loaded), of_image(Pass::Inference))),
            ("images at once", "that fit, with 8 % and 1.5 GB to spare".into()),
            ("", format!("{:>8} {:>8} {:>8} {:>9}", "training", "scan", "block", "sampling")),
        ];
        lines.extend(self.spaces.iter().map(|(name, space)| {
            let fit = |pass| thousands(self.images(target, pass, *space));
            let [none, scan, block] = RECOMPUTE.map(Pass::Training).map(fit);
            let sampling = fit(Pass::Inference);
            ("", format!("{none:>8} {scan:>8} {block:>8} {sampling:>9}  {name}"))
        }));
        lines.extend(self.reasons().map(|line| ("", line)));
        lines
    }

    fn lines_of_cpu(&self, target: &Target) -> Vec<(&'static str, String)> {
        let &Target { config: ref c, averages, .. } = target;
        let state = plan::state_bytes(c, Place::Cpu, averages);
        let [training, sampling] =
            [Pass::TRAINING, Pass::Inference].map(|p| plan::activation_bytes(c, p, Place::Cpu));
        let kinds = format!("weights, gradients, moments, {}", plan::averages_in_words(averages));
        let mut lines = vec![
            ("memory", format!("{} training state: {kinds}", bytes(state))),
            ("", format!("+ {} an image in training (estimate)", bytes(training))),
            (
                "",
                format!(
                    "{} + {} an image in sampling",
                    bytes(plan::weight_bytes(c)),
                    bytes(sampling)
                ),
            ),
        ];
        lines.extend(self.spaces.first().map(|(_, free)| {
            let most = thousands(self.images(target, Pass::TRAINING, *free));
            ("", format!("{} are free here: up to {most} images at once", bytes(*free)))
        }));
        lines
    }

    /// Why no device was found, line by line.
    fn reasons(&self) -> impl Iterator<Item = String> {
        let reason = self.missing.as_deref().unwrap_or_default();
        reason.lines().enumerate().map(|(i, line)| match i {
            0 => format!("no GPU was looked at: {line}"),
            _ => format!("  {line}"),
        })
    }

    /// One line per network: how many images fit in training on a device.
    pub(super) fn table(&self, targets: &[Target]) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        write!(out, "{:<6} {:>11} {:>8} {:>8}", "size", "parameters", "state", "+ image")?;
        let found = self.missing.is_none();
        let head = |name: &str| if found { "images".into() } else { name.to_string() };
        for (name, _) in &self.spaces {
            write!(out, " {:>9}", head(name))?;
        }
        out.push('\n');
        for target in targets {
            let Target { name, config: c, averages, .. } = target;
            let state = plan::state_bytes(c, self.place, *averages);
            let parameters = counts::parameters(c);
            let image = plan::activation_bytes(c, Pass::TRAINING, self.place);
            let (parameters, state, image) = (thousands(parameters), bytes(state), bytes(image));
            write!(out, "{name:<6} {parameters:>11} {state:>8} {image:>8}")?;
            for (_, space) in &self.spaces {
                write!(out, " {:>9}", thousands(self.images(target, Pass::TRAINING, *space)))?;
            }
            out.push('\n');
        }
        out += "\nstate, + image: memory of training on a GPU, and what every image adds\n";
        match self.spaces.first().filter(|_| found) {
            Some((name, _)) => writeln!(out, "images:         that train at once on {name}")?,
            None => out += "24 GB to 141 GB: images that train at once on a GPU with that memory\n",
        }
        self.reasons().try_for_each(|line| writeln!(out, "{line}"))?;
        Ok(out)
    }

    /// The same for programs.
    pub(super) fn as_json(&self, target: &Target) -> Value {
        let spaces: Vec<Value> = self
            .spaces
            .iter()
            .map(|(name, space)| {
                json!({
                    "memory": name,
                    "bytes": space,
                    "training": self.images(target, Pass::TRAINING, *space),
                    "training_recompute_scan": self.images(target, Pass::Training(Recompute::Scan), *space),
                    "training_recompute_block": self.images(target, Pass::Training(Recompute::Block), *space),
                    "sampling": self.images(target, Pass::Inference, *space),
                })
            })
            .collect();
        spaces.into()
    }
}
