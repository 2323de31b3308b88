//! `dis eval npz`: between folders of PNG files and the archives that evaluation programs read.

use super::images::{ImagePolicy, Images};
use crate::exit::{self, Failure};
use crate::image_sink::ImageSink;
use crate::info::units;
use crate::progress;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Images read together.
const BATCH: usize = 64;

/// A set of images as an .npz with `arr_0` [N, H, W, 3], or as a folder of PNG files.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images: a folder, .zip, .tar, .npz, the folder of CIFAR-10 or an experiment file
    #[arg(value_name = "SET")]
    set: PathBuf,
    /// What to make: a file .npz, or else a folder that does not exist
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    #[command(flatten)]
    policy: ImagePolicy,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let out = args.out.as_path();
    if out.exists() {
        let what = format!("{} exists", out.display());
        return Err(Failure::usage(what).help("give another name, or remove it first").into());
    }
    exit::check_parent(out)?;
    let mut images = Images::open(&args.set, args.policy)?;
    let (count, [height, width]) = (images.count(), images.size());
    if images.is_labelled() {
        tracing::warn!("{}: the classes of its images are left behind", args.set.display());
    }
    // An archive has its name when it is complete; so has a folder.
    let is_archive = out.extension().is_some_and(|ending| ending == "npz");
    let unfinished = out.with_file_name(format!(
        "{}.partial",
        out.file_name().unwrap_or_default().to_string_lossy()
    ));
    if !is_archive && unfinished.exists() {
        let what = format!("{} exists, from a command that was stopped", unfinished.display());
        return Err(Failure::usage(what).help("remove it first").into());
    }
    let place = if is_archive { out } else { &unfinished };
    let mut sink = ImageSink::create(place, count, [height, width])?;
    let bar = progress::bar(count, 0, "images");
    let mut bytes = Vec::new();
    loop {
        let read = images.read(BATCH, &mut bytes)?;
        if read == 0 {
            break;
        }
        sink.write(&bytes)?;
        bar.inc(read as u64);
    }
    bar.finish_and_clear();
    sink.finish()?;
    if !is_archive {
        std::fs::rename(&unfinished, out).map_err(|error| Failure::writing(out, error))?;
    }
    images.finish();
    let count = units::thousands(count);
    exit::print(&format!("{}\n{count} images of {height}x{width}\n", out.display()))?;
    Ok(ExitCode::SUCCESS)
}
