//! `dis data check`: every image of a data set decoded, and what was found.

pub(super) mod kind;
mod picture;
mod report;
mod survey;

use crate::exit::{self, Failure};
use crate::images::save_png;
use crate::info::units::thousands;
use crate::load::Partial;
use crate::progress;
use crate::threads::Threads;
use anyhow::Result;
use data::Dataset;
use kind::{Kind, Part};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use survey::Survey;

const EXAMPLES: &str = "\
Examples:
  dis data check data/cifar10
  dis data check imagenet/train --grid imagenet.png
  dis data check shards --size 256 --broken broken.txt
  dis data check scraped --skip-broken                 count what is broken, and end with 0

Every image is decoded completely, as training would, on all cores; nothing is changed. The page
says how large images are and how they are stored, how many each class has, and what is broken and
why. Training stops at a broken image: remove it, or get it again. The picture has a row a class.";

/// Decode every image of a data set, and show what is in it and what is broken.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder or file of the data set
    path: PathBuf,
    /// What it is [default: told by the names of its files]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Part of CIFAR-10 or CelebA
    #[arg(long, value_enum, default_value = "train")]
    part: Part,
    /// Side in pixels of the square that an image is made, as training would, and shown as
    #[arg(long, value_name = "N", default_value_t = 64)]
    size: usize,
    /// End with 0 although images are broken
    #[arg(long)]
    skip_broken: bool,
    /// File for the complete list of broken images
    #[arg(long, value_name = "FILE")]
    broken: Option<PathBuf>,
    /// File for the picture: .png [default: check-KIND.png in the current directory]
    #[arg(long, value_name = "FILE")]
    grid: Option<PathBuf>,
    #[command(flatten)]
    threads: Threads,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let grid = args.grid.as_deref();
    if grid.is_some_and(|file| file.extension().is_none_or(|extension| extension != "png")) {
        return Err(Failure::usage("--grid FILE must end in .png").into());
    }
    for file in [grid, args.broken.as_deref()].into_iter().flatten() {
        exit::check_parent(file)?;
    }
    args.threads.start()?;
    let kind = match args.kind {
        Some(kind) => kind,
        None => Kind::of(&args.path)?,
    };
    let dataset = kind.open(&args.path, args.part, args.size)?;
    let bar = progress::bar(dataset.len(), 0, "images");
    let start = Instant::now();
    let (survey, labels) = Survey::of(dataset.as_ref(), &|n| bar.inc(n));
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();

    let path = args.path.display().to_string();
    exit::print(&report::page(&path, dataset.as_ref(), &survey, &labels)?)?;
    let rate = thousands((dataset.len() as f64 / seconds) as u64);
    exit::print(&format!("took       {seconds:.1} s, {rate} images a second\n"))?;
    if let Some(file) = &args.broken {
        write_list(file, &survey)?;
    }
    let default = PathBuf::from(format!("check-{}.png", dataset.name()));
    draw(dataset.as_ref(), &labels, grid.unwrap_or(&default))?;
    verdict(&path, &survey, args.skip_broken)
}

/// The picture, where there is something to show.
fn draw(dataset: &dyn Dataset, labels: &[Option<u32>], file: &Path) -> Result<()> {
    if let Some(picture) = picture::picture(dataset, labels)? {
        save_png(&picture, file)?;
        exit::print(&format!("wrote      {}\n", file.display()))?;
    }
    Ok(())
}

/// All broken samples, one a line.
fn write_list(file: &Path, survey: &Survey) -> Result<(), Failure> {
    let partial = Partial::create(file)?;
    let write = || {
        let mut out = BufWriter::new(File::create(partial.path())?);
        for (index, error) in &survey.broken {
            writeln!(out, "{}", report::broken_line(*index, error))?;
        }
        out.flush()
    };
    write().map_err(|error| Failure::writing(file, error))?;
    partial.complete()?;
    exit::print(&format!("wrote      {}\n", file.display()))
}

/// How the command ends.
fn verdict(path: &str, survey: &Survey, skip_broken: bool) -> Result<ExitCode> {
    let broken = survey.broken.len() as u64;
    if broken == 0 || skip_broken {
        return Ok(ExitCode::SUCCESS);
    }
    let (broken, whole) = (thousands(broken), thousands(survey.whole()));
    let failure = Failure::data(format!("{path}: {broken} broken images, {whole} whole ones"));
    Err(failure.help("--broken FILE lists them all; --skip-broken only counts them").into())
}
