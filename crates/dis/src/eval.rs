//! `dis eval`: how much images look like those of a reference.

mod args;
mod arrays;
mod files;
mod images;
mod network;
mod scorer;
mod side;

pub(crate) use args::{FeatureArgs, FeaturesFrom, ScoreArgs};
pub(crate) use scorer::Scorer;

use crate::device::ComputeArgs;
use crate::exit::{self, Failure};
use crate::load::Partial;
use crate::threads::Threads;
use anyhow::{Context, Result};
use eval::fingerprint::{FeatureSpec, Fingerprint, Origin};
use eval::{Report, check_fingerprints};
use network::FeatureSource;
use side::Side;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  dis eval --samples a.npz --reference VIRTUAL_imagenet256_labeled.npz --weights W
  dis eval --samples out/ --reference cifar10.npz --weights W --protocol pytorch-fid
  dis eval --samples data/cifar10:test --reference data/cifar10:train \\
           --features-from random-inception              to try it out without weights
  dis eval --samples a.safetensors --reference b.safetensors --metrics fid,pr,kid
  dis eval stats data/cifar10 --out cifar10.safetensors --weights W
  dis eval npz out/ --out out.npz
W is what `dis convert pt_inception-2015-12-05-6726825d.pth W` made.

A set is a folder, .zip or .tar of images; an .npz with arr_0 (images), with mu and
sigma (statistics) or with all three; a file that `dis eval stats` or `features` made;
the folder of CIFAR-10 (PATH:test for its other part); or an experiment file, whose
images are prepared as for training. Images have 8 bits and three channels; grey ones
are repeated. docs/evaluation.md says how to reproduce published figures.";

/// FID, sFID, Inception Score, precision and recall, by the papers' protocols.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compare: CompareArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Stats(files::StatsArgs),
    Features(files::FeaturesArgs),
    Merge(files::MergeArgs),
    Npz(arrays::Args),
}

#[derive(Debug, clap::Args)]
struct CompareArgs {
    /// The set that is judged
    #[arg(long, value_name = "SET", required = true)]
    samples: Option<PathBuf>,
    /// The set that it should look like
    #[arg(long, value_name = "SET", required = true)]
    reference: Option<PathBuf>,
    /// File for the report: .json
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    features: FeatureArgs,
    #[command(flatten)]
    score: ScoreArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    threads: Threads,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Some(Command::Stats(args)) => files::stats(&args),
        Some(Command::Features(args)) => files::features(&args),
        Some(Command::Merge(args)) => files::merge(&args),
        Some(Command::Npz(args)) => arrays::run(&args),
        None => compare(&args.compare),
    }
}

fn compare(args: &CompareArgs) -> Result<ExitCode> {
    let (Some(samples), Some(reference)) = (&args.samples, &args.reference) else {
        return Err(Failure::usage("--samples and --reference are both needed").into());
    };
    if let Some(out) = &args.out {
        exit::check_parent(out)?;
    }
    args.threads.start()?;
    let start = Instant::now();
    let (features, score) = (&args.features, &args.score);
    let named = |what: &str, path: &Path| format!("{what} {} cannot be used", path.display());
    let reference = Side::open(reference, features.policy)
        .with_context(|| named("the reference", reference))?;
    let samples =
        Side::open(samples, features.policy).with_context(|| named("the samples", samples))?;

    let mut source = if network_is_needed([&reference, &samples], features) {
        let known = reference.spec().or(samples.spec());
        Some(FeatureSource::open(features, known, &args.compute.open_for_features()?)?)
    } else {
        None
    };
    let spec = source.as_ref().map(|source| source.spec.clone());
    let metrics = scorer::metrics(
        score.metrics(),
        spec.as_ref().or(reference.spec()).or(samples.spec()),
        |at, needs| [&reference, &samples][at].can_give(needs, spec.as_ref()),
    )?;
    let options = score.options(metrics)?;
    let [of_reference, of_samples] = scorer::keep(&options.metrics, score);
    check_before(&reference, &samples, source.as_ref(), score.force)?;
    let reference = reference.measure(source.as_mut(), of_reference)?;
    let samples = samples.measure(source.as_mut(), of_samples)?;
    let warnings = check_fingerprints(&reference.fingerprint, &samples.fingerprint, score.force)?;
    let report = scorer::report(&reference, &samples, &options, score, warnings, start)?;
    show(&report, args.out.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// Whether images have to become features: those of a set of images always, those beside statistics
/// where it was said how.
fn network_is_needed(sides: [&Side; 2], features: &FeatureArgs) -> bool {
    sides.iter().any(|side| match side {
        Side::Images(_) => true,
        Side::Both(..) => features.is_given(),
        Side::Statistics(_) | Side::Features(..) => false,
    })
}

/// Refuses features that were made differently before hours are spent on making the others.
fn check_before(
    reference: &Side,
    samples: &Side,
    source: Option<&FeatureSource>,
    force: bool,
) -> Result<()> {
    let of = |side: &Side| {
        let made = || match side {
            Side::Images(_) => source.map(|source| &source.spec),
            _ => None,
        };
        let features: Option<FeatureSpec> = side.spec().or_else(made).cloned();
        Fingerprint { features, origin: Origin::default() }
    };
    check_fingerprints(&of(reference), &of(samples), force)?;
    Ok(())
}

/// Prints a report, and writes it to a file.
pub(crate) fn show(report: &Report, out: Option<&Path>) -> Result<()> {
    exit::print(&report.table())?;
    let Some(out) = out else { return Ok(()) };
    let partial = Partial::create(out)?;
    let text = serde_json::to_string_pretty(&report.to_json())? + "\n";
    std::fs::write(partial.path(), text).map_err(|error| Failure::writing(out, error))?;
    partial.complete()?;
    exit::print(&format!("\nwrote {}\n", out.display()))?;
    Ok(())
}
