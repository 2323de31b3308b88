//! `dis data verify`: every byte of a latent cache read, and compared with its index.

use crate::exit::{self, Failure};
use crate::info::units::{bytes, thousands};
use crate::progress;
use anyhow::Result;
use data::latents::{Flip, LatentReport, verify};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  dis data verify data/imagenet256-latents

Hashes every shard: the time of reading the cache once. The hash at the end names the cache: two
with the same are the same bytes. Do this after a copy, or when a disk is under suspicion; training
itself compares lengths and headers only.";

/// Read every byte of a latent cache and compare it with its index.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder of the cache
    cache: PathBuf,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let bar = progress::byte_bar(None);
    let report = verify(&args.cache, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report?;
    let name = args.cache.display().to_string();
    exit::print(&page(&name, &report)?)?;
    if report.is_whole() {
        return Ok(ExitCode::SUCCESS);
    }
    let (damaged, shards) = (report.problems.len(), report.index.shards().count());
    let failure = Failure::data(format!("{name}: {damaged} of {shards} shards are damaged"));
    let help = "run the `dis encode` that made it once more: it makes damaged shards again, and no \
                other";
    Err(failure.help(help).into())
}

/// What the cache is, and what is wrong with it.
fn page(name: &str, report: &LatentReport) -> Result<String, std::fmt::Error> {
    let (index, spec) = (&report.index, report.index.spec());
    let mut out = String::new();
    let (samples, size) = (thousands(index.len()), bytes(index.bytes()));
    writeln!(out, "{name}: {samples} samples in {} shards, {size}", index.shards().count())?;
    let mut row = |title: &str, text: &str| writeln!(out, "{title:<10} {text}");
    let [channels, height, width] = spec.latent_shape;
    let flips = if spec.flips.contains(&Flip::Horizontal) { "plain and mirrored" } else { "plain" };
    row("latents", &format!("{channels}x{height}x{width}, {flips}"))?;
    row("source", &format!("{}, {} samples", spec.source, thousands(spec.source_len)))?;
    row("skipped", &thousands(index.skipped()))?;
    row("crop", &spec.crop)?;
    row("vae", &spec.vae)?;
    row("hash", &index.hash())?;
    if !report.extra.is_empty() {
        row("unknown", &report.extra.join(", "))?;
    }
    match report.problems.len() {
        0 => row("damaged", "none")?,
        n => row("damaged", &thousands(n as u64))?,
    }
    for problem in &report.problems {
        writeln!(out, "  {problem}")?;
    }
    Ok(out)
}
