//! `dis convert`: PyTorch checkpoints to safetensors.
//!
//! A `.pt` file is a program for a stack machine. `torch_file` reads it without running what stands in
//! it, in memory that its length justifies; what it gives is then checked like any other file of
//! weights.

mod checkpoint;
mod inception;

use crate::exit::{self, Failure};
use crate::info::{describe, units};
use crate::load::{Partial, Weights, Which};
use anyhow::Result;
use checkpoint::{Kind, TensorSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  dis convert S-2.pt ema.safetensors                  the average, as for sampling
  dis convert S-2.pt raw.safetensors --key model      the weights themselves
  dis convert both.safetensors ema.safetensors        one set of a file that has two
  dis convert pt_inception-2015-12-05-6726825d.pth inception.safetensors

IN is what torch.save wrote, an archive or the form before torch 1.6, or a
safetensors file. What it holds is seen from its names:
- a DiS network, in the official {model, ema, opt, args} or as a bare state dict.
  Names may carry the prefix `module.` of distributed training. Optimiser and
  arguments are not used. OUT has the official names, in f32.
- the Inception network of FID, from a torch file. OUT has its 472 tensors; whether
  IN is the published file is seen from its SHA-256.
Equal inputs give equal bytes. No code of a pickle is run.";

/// Turn a PyTorch checkpoint into a safetensors file that every other command reads.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Checkpoint to read: .pt, .pth or .safetensors
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// File to write: .safetensors
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Which set of weights [default: ema, where there are several]
    #[arg(long, value_enum)]
    key: Option<Which>,
    /// Replace OUT if it exists
    #[arg(long)]
    force: bool,
}

/// What a file is by its first bytes.
enum Format {
    Torch,
    Safetensors,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    check_output(&args.output, args.force)?;
    let partial = Partial::create(&args.output)?;
    let report = match format(&args.input)? {
        Format::Torch => {
            let file = checkpoint::open(&args.input)?;
            let set = TensorSet::select(&file, &args.input, args.key)?;
            let read = set.describe();
            let found = match set.kind {
                Kind::Dis => {
                    let source = set.source().to_string();
                    write_network(&Weights::from_tensors(&set.read()?, source)?, &partial)?
                }
                Kind::Inception => inception::convert(&set, &args.input, partial.path())?,
            };
            format!("read     {read}\n{found}")
        }
        Format::Safetensors => {
            let weights = Weights::open(&args.input, args.key)?;
            format!("read     {}\n{}", weights.source, write_network(&weights, &partial)?)
        }
    };
    let length = units::bytes(partial.complete()?);
    exit::print(&format!("{report}wrote    {}, {length}\n", args.output.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the weights of a DiS network; returns what they are.
fn write_network(weights: &Weights, partial: &Partial) -> Result<String, Failure> {
    weights.write(partial.path())?;
    Ok(format!("found    {}\nnetwork  {}\n", weights.summary(), describe(&weights.config)))
}

fn check_output(output: &Path, force: bool) -> Result<(), Failure> {
    let name = output.display();
    match output.extension().and_then(|e| e.to_str()) {
        Some("safetensors") => {}
        Some("pt" | "pth" | "ckpt" | "bin") => {
            let message = format!("{name}: pickles are read but not written");
            return Err(Failure::usage(message).help(
                "give OUT the ending .safetensors; safetensors.torch.load_file reads it in Python",
            ));
        }
        _ => return Err(Failure::usage(format!("{name}: OUT must end in .safetensors"))),
    }
    if output.is_dir() {
        return Err(Failure::usage(format!("{name} is a directory")));
    }
    if output.exists() && !force {
        return Err(Failure::usage(format!("{name} exists")).help("--force replaces it"));
    }
    Ok(())
}

fn format(input: &Path) -> Result<Format, Failure> {
    let mut start = Vec::new();
    File::open(input)
        .and_then(|file| file.take(9).read_to_end(&mut start))
        .map_err(|e| Failure::reading(input, e))?;
    match start.as_slice() {
        [_, _, _, _, _, 0, 0, 0, b'{'] => Ok(Format::Safetensors),
        start if torch_file::looks_like_torch(start) => Ok(Format::Torch),
        _ => {
            let name = input.display();
            let message = format!("{name} is neither a torch checkpoint nor safetensors");
            Err(Failure::data(message).help("an incomplete download often looks like this"))
        }
    }
}
