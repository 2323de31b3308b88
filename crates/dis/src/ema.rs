//! `dis ema`: averaged weights of a width that nobody tracked, from the snapshots of a run.

use crate::doctor::available_memory;
use crate::exit::{Failure, print};
use crate::info::units::{bytes, thousands};
use crate::load::Partial;
use crate::progress;
use anyhow::Result;
use dis_model::{ParamLayout, weights};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use trainer::EMA_SNAPSHOTS;
use trainer::checkpoint::{SnapshotFile, list_snapshots, weight_metadata};
use trainer::ema::post_hoc::{Combination, combine};
use trainer::ema::power::{Profile, WIDTHS, WIDTHS_EXPECTED};

/// Key of the written file's metadata with the width.
const EMA_STD: &str = "ema_std";

/// Widths beyond the tracked ones by more than this factor are warned of.
const FAR: f64 = 2.0;

/// Share of a profile that may be missed without a warning.
const POOR_FIT: f64 = 0.05;

/// Steps that a message names.
const NAMED_STEPS: usize = 12;

const EXAMPLES: &str = "\
Examples:
  dis train --set train.ema_power=[0.05,0.1] --set train.ema_snapshot_every=50
  dis ema runs/quickstart --std 0.07          writes runs/quickstart/ema-std-0.07.safetensors
  dis sample runs/quickstart/ema-std-0.07.safetensors
  dis ema runs/quickstart --std 0.12 --step 600          as after step 600
  dis ema runs/quickstart --std 0.15 --out wide.safetensors

A run that keeps snapshots of two widths holds all widths about them: try some and keep the one
whose samples are best. The width is the standard deviation of the average's memory, as a share of
the run: with 0.1 mostly the last fifth of the steps counts. Short runs and noisy weights want wide
averages. Nothing is trained; time and disk are those of reading the snapshots once.

The table shows by what each snapshot is multiplied. `missed` is how much of the wanted profile the
snapshots cannot express: below 5 % it hardly matters; more snapshots, or widths closer to the one
that is wanted, lower it. `condition` is by how much the equations enlarge rounding.";

/// Make averaged weights of any width from the snapshots of a run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Run directory, of an experiment with train.ema_power and train.ema_snapshot_every
    run: PathBuf,
    /// Relative width of the average that is wanted, 0.0001 to 0.28
    #[arg(long, value_name = "S")]
    std: f64,
    /// Snapshot at which the average ends [default: the last]
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    /// File to write: .safetensors [default: ema-std-S.safetensors in the run directory, with --step
    /// ema-std-S-step-N]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace FILE if it exists; what stands under the default name is always replaced
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    if !WIDTHS.contains(&args.std) {
        return Err(
            Failure::usage(format!("--std {}, expected {WIDTHS_EXPECTED}", args.std)).into()
        );
    }
    let out = output(&args)?;
    let snapshots = Snapshots::find(&args)?;
    let profile = |file: &SnapshotFile| Profile::new(file.images_seen as f64, file.std);
    let given: Vec<Profile> = snapshots.files.iter().map(profile).collect();
    let wanted = Profile::new(snapshots.last().images_seen as f64, args.std);
    let combination = combine(&given, wanted);
    snapshots.warn(args.std, &combination);

    let layout = ParamLayout::new(&snapshots.last().dis_config);
    check_memory(&layout)?;
    // Before the work, which is in vain where nothing can be written.
    let partial = Partial::create(&out)?;
    let values = snapshots.sum(&combination.coefficients, &layout)?;
    write(partial.path(), snapshots.last(), args.std, &layout, &values)?;
    let length = partial.complete()?;
    print(&snapshots.table(args.std, &combination)?)?;
    print(&format!("wrote      {}, {}\n", out.display(), bytes(length)))?;
    Ok(ExitCode::SUCCESS)
}

/// Where the weights go.
fn output(args: &Args) -> Result<PathBuf, Failure> {
    let Some(out) = &args.out else {
        let step = args.step.map_or_else(String::new, |step| format!("-step-{step:09}"));
        return Ok(args.run.join(format!("ema-std-{}{step}.safetensors", args.std)));
    };
    let name = out.display();
    if out.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(Failure::usage(format!("{name}: FILE must end in .safetensors")));
    }
    if out.is_dir() {
        return Err(Failure::usage(format!("{name} is a directory")));
    }
    if out.exists() && !args.force {
        return Err(Failure::usage(format!("{name} exists")).help("--force replaces it"));
    }
    Ok(out.clone())
}

/// Two arenas: the sum in f64, and one snapshot.
fn check_memory(layout: &ParamLayout) -> Result<(), Failure> {
    let needed = (layout.len() * (size_of::<f64>() + size_of::<f32>())) as u64;
    match available_memory() {
        Some(free) if free < needed => {
            let (needed, free) = (bytes(needed), bytes(free));
            let message = format!("combining needs {needed} of memory, and {free} are free");
            Err(Failure::usage(message))
        }
        _ => Ok(()),
    }
}

/// Averages of one run, oldest first, up to the step at which the wanted one ends.
struct Snapshots {
    files: Vec<SnapshotFile>,
}

impl Snapshots {
    /// Those of the arguments, which are of one network and one run.
    fn find(args: &Args) -> Result<Self> {
        let name = args.run.display();
        if !args.run.is_dir() {
            let help = "give a run directory, such as runs/quickstart";
            return Err(Failure::data(format!("{name}: no such run directory")).help(help).into());
        }
        let mut files = list_snapshots(&args.run.join(EMA_SNAPSHOTS))?;
        let Some(last) = files.last() else {
            let help = "a run keeps them with --set train.ema_power=[0.05,0.1] and --set \
                        train.ema_snapshot_every=STEPS from its first step on";
            return Err(Failure::data(format!("{name}: no snapshots in it")).help(help).into());
        };
        let end = args.step.unwrap_or(last.step);
        if !files.iter().any(|file| file.step == end) {
            let message = format!("--step {end}: {name} has no snapshot of it");
            let help = format!("there are those of steps {}", named(&steps(&files)));
            return Err(Failure::usage(message).help(help).into());
        }
        files.retain(|file| file.step <= end);
        if steps(&files).len() < 2 {
            let message =
                format!("{name}: one snapshot up to step {end}, and two or more are combined");
            return Err(Failure::data(message).help("train on, or give a later --step").into());
        }
        let snapshots = Self { files };
        snapshots.check_alike()?;
        Ok(snapshots)
    }

    /// The one at which the wanted average ends.
    fn last(&self) -> &SnapshotFile {
        self.files.last().expect("two or more")
    }

    fn check_alike(&self) -> Result<(), Failure> {
        let last = self.last();
        let differs = |what: &str, other: &SnapshotFile| {
            let (one, other) = (last.path.display(), other.path.display());
            let message = format!("{one} and {other} are of different {what}");
            Err(Failure::data(message).help("remove the folder of the one that is not of this run"))
        };
        for file in &self.files {
            if file.dis_config != last.dis_config {
                return differs("networks", file);
            }
            if file.config_hash != last.config_hash {
                return differs("experiments", file);
            }
        }
        Ok(())
    }

    /// Says when the result is not what its width promises.
    fn warn(&self, std: f64, combination: &Combination) {
        let widths = || self.files.iter().map(|file| file.std);
        let (least, most) = (widths().fold(f64::MAX, f64::min), widths().fold(0.0, f64::max));
        if std * FAR < least || std > most * FAR {
            tracing::warn!("{std} is far from the widths that were tracked, {least} to {most}");
        }
        if combination.residual > POOR_FIT {
            let missed = 100.0 * combination.residual;
            tracing::warn!("the snapshots miss {missed:.0} % of the profile of width {std}");
        }
    }

    /// The combined weights, summed in f64, one file after the other.
    fn sum(&self, coefficients: &[f64], layout: &ParamLayout) -> Result<Vec<f32>> {
        let mut sum = vec![0.0_f64; layout.len()];
        let mut values = vec![0.0_f32; layout.len()];
        let bar = progress::bar(self.files.len() as u64, 0, "snapshots");
        for (file, &x) in self.files.iter().zip(coefficients) {
            file.read(layout, &mut values)?;
            sum.iter_mut().zip(&values).for_each(|(sum, &value)| *sum += x * f64::from(value));
            bar.inc(1);
        }
        bar.finish_and_clear();
        values.iter_mut().zip(&sum).for_each(|(value, &sum)| *value = sum as f32);
        let is_finite = |param: &&dis_model::Param| {
            values[param.range.clone()].iter().all(|value| value.is_finite())
        };
        match layout.iter().find(|param| !is_finite(param)) {
            None => Ok(values),
            Some(bad) => {
                let folder = self.last().path.display();
                let what = format!("{folder} and those before: {} is not finite", bad.name);
                Err(Failure::data(what).into())
            }
        }
    }

    /// What was done, for people.
    fn table(&self, std: f64, combination: &Combination) -> Result<String, std::fmt::Error> {
        let mut out = format!("{:>11} {:>15} {:>7} {:>14}\n", "step", "images", "width", "factor");
        for (file, x) in self.files.iter().zip(&combination.coefficients) {
            let images = thousands(file.images_seen);
            writeln!(out, "{:>11} {images:>15} {:>7} {x:>14.9}", file.step, file.std)?;
        }
        let (last, residual) = (self.last(), combination.residual);
        writeln!(out, "width      {std} of the {} images", thousands(last.images_seen))?;
        writeln!(out, "missed     {:.4} % of the profile", 100.0 * residual)?;
        writeln!(out, "condition  {:.1e}", combination.condition)?;
        Ok(out)
    }
}

/// Steps of which there are snapshots, oldest first.
fn steps(files: &[SnapshotFile]) -> Vec<u64> {
    let mut steps: Vec<u64> = files.iter().map(|file| file.step).collect();
    steps.dedup();
    steps
}

/// Steps in words: all, or the first and the last ones.
fn named(steps: &[u64]) -> String {
    let join = |steps: &[u64]| steps.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    if steps.len() <= NAMED_STEPS {
        return join(steps);
    }
    let half = NAMED_STEPS / 2;
    format!("{}, ..., {}", join(&steps[..half]), join(&steps[steps.len() - half..]))
}

/// Writes a weight file such as a checkpoint has, which says its width as well.
fn write(
    path: &Path,
    last: &SnapshotFile,
    std: f64,
    layout: &ParamLayout,
    values: &[f32],
) -> Result<(), Failure> {
    let mut metadata = weight_metadata(&last.dis_config, last.step);
    metadata.insert(EMA_STD.into(), std.to_string());
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        weights::write_safetensors(&mut file, layout, values, &metadata)?;
        file.flush()
    };
    write().map_err(|error| Failure::writing(path, error))
}
