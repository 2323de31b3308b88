//! `dis eval stats`, `features` and `merge`: what a set is, in a file, for later comparisons.

use super::args::FeatureArgs;
use super::images::Images;
use super::network::FeatureSource;
use super::side::{self, Side};
use crate::device::ComputeArgs;
use crate::exit::{self, Failure};
use crate::info::units;
use crate::progress;
use crate::threads::Threads;
use anyhow::{Context, Result};
use eval::files::{FeatureWriter, StatisticsFile, write_statistics};
use eval::{ImageBatch, Keep};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Mean and covariance of the features of a set, in a file of some 67 MB whatever the set.
#[derive(Debug, clap::Args)]
pub(crate) struct StatsArgs {
    /// Images, or a file of features
    #[arg(value_name = "SET")]
    set: PathBuf,
    /// File to write: .safetensors, with the fingerprint, or .npz (mu, sigma, mu_s, sigma_s), which
    /// other programs read and which has none
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    making: Making,
}

/// The features of every image of a set, in a file of 20 KB an image.
#[derive(Debug, clap::Args)]
pub(crate) struct FeaturesArgs {
    /// Images
    #[arg(value_name = "SET")]
    set: PathBuf,
    /// File to write: .safetensors
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    making: Making,
}

/// How features are made.
#[derive(Debug, clap::Args)]
struct Making {
    #[command(flatten)]
    features: FeatureArgs,
    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    threads: Threads,
}

/// Statistics of several sets that were made in the same way, as of one set of all their images.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// Files of statistics, of which the number of images is known
    #[arg(value_name = "FILE", num_args = 2.., required = true)]
    files: Vec<PathBuf>,
    /// File to write: .safetensors or .npz
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Refuses to overwrite, and names that say nothing of the format, before anything long happens.
fn check_output(out: &Path, endings: &[&str], force: bool) -> Result<(), Failure> {
    let ending = out.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if !endings.contains(&ending.as_str()) {
        let expected = endings.join(" or .");
        return Err(Failure::usage(format!("--out {}: expected .{expected}", out.display())));
    }
    if out.exists() && !force {
        let what = format!("{} exists", out.display());
        return Err(Failure::usage(what).help("--force replaces it"));
    }
    exit::check_parent(out)
}

pub(super) fn stats(args: &StatsArgs) -> Result<ExitCode> {
    let Making { features, force, compute, threads } = &args.making;
    check_output(&args.out, &["safetensors", "npz"], *force)?;
    threads.start()?;
    let side = Side::open(&args.set, features.policy)?;
    let mut source = match &side {
        Side::Images(_) => {
            Some(FeatureSource::open(features, None, &compute.open_for_features()?)?)
        }
        _ => None,
    };
    let spatial = match (&side, &source) {
        (Side::Features(file, _), _) => file.layers()[1] > 0,
        (_, Some(source)) => source.spec.spatial.is_some(),
        _ => true,
    };
    let measured = side.measure(source.as_mut(), Keep { spatial, score: None, rows: false })?;
    let (fingerprint, pool, spatial) = (measured.fingerprint, measured.pool, measured.spatial);
    let file = StatisticsFile { fingerprint, pool, spatial };
    write(&args.out, &file)
}

/// Writes statistics, and says what was written.
fn write(out: &Path, file: &StatisticsFile) -> Result<ExitCode> {
    write_statistics(out, file)?;
    let count = file.pool.count.map_or_else(|| "?".into(), units::thousands);
    let spatial = file.spatial.as_ref().map_or_else(String::new, |s| format!(" and {}", s.dim()));
    let dims = format!("{}{spatial} features", file.pool.dim());
    exit::print(&format!("{}\n{count} images, {dims}\n", out.display()))?;
    let dim = file.pool.dim() as u64;
    if let Some(count) = file.pool.count.filter(|&count| count <= dim) {
        tracing::warn!("{count} images for {dim} features: the covariance lacks dimensions");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn features(args: &FeaturesArgs) -> Result<ExitCode> {
    let Making { features, force, compute, threads } = &args.making;
    check_output(&args.out, &["safetensors"], *force)?;
    threads.start()?;
    let mut images = Images::open(&args.set, features.policy)?;
    let mut source = FeatureSource::open(features, None, &compute.open_for_features()?)?;
    let network = source.network.as_ref();
    let layers = [network.dim(), network.spatial_dim(), network.classes()];
    let count = images.count() as usize;
    let mut writer = FeatureWriter::create(&args.out, count, layers)?;
    let bar = progress::bar(images.count(), 0, "images");
    let [height, width] = images.size();
    let mut bytes = Vec::new();
    loop {
        let read = images.read(side::BATCH, &mut bytes)?;
        if read == 0 {
            break;
        }
        writer.write(&source.network.features(ImageBatch::new(&bytes, height, width)?)?)?;
        bar.inc(read as u64);
    }
    bar.finish_and_clear();
    let (origin, labels) = images.finish();
    writer.finish(&source.fingerprint(origin), &labels)?;
    let layers = layers.map(|dim| dim.to_string()).join(", ");
    let (out, count) = (args.out.display(), units::thousands(count as u64));
    exit::print(&format!("{out}\n{count} images, pool, spatial and logits of {layers}\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn merge(args: &MergeArgs) -> Result<ExitCode> {
    check_output(&args.out, &["safetensors", "npz"], args.force)?;
    for (at, path) in args.files.iter().enumerate() {
        let same = |other: &PathBuf| other.canonicalize().ok() == path.canonicalize().ok();
        if path.exists() && args.files[..at].iter().any(same) {
            let what = format!("{} is given twice, its images would count twice", path.display());
            return Err(Failure::usage(what).into());
        }
    }
    let mut merged: Option<StatisticsFile> = None;
    for path in &args.files {
        let file = eval::files::read_statistics(path)?;
        merged = Some(match merged {
            None => file,
            Some(before) => before
                .merge(&file)
                .with_context(|| format!("{} cannot be merged", path.display()))?,
        });
    }
    match merged {
        Some(file) => write(&args.out, &file),
        None => Err(Failure::usage("no files to merge").into()),
    }
}
