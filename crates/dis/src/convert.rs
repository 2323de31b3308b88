//! `dis convert`: PyTorch checkpoints to safetensors.
//!
//! A `.pt` file is a program for a stack machine. It is read by a child process whose memory and
//! time are limited, and which names classes but never calls one; what it wrote is then checked by
//! the parent like any other file of weights.

mod guard;
mod pickle;

use crate::exit::{self, Failure};
use crate::info::{describe, units};
use crate::load::{Partial, Weights, Which};
use anyhow::Result;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  dis convert S-2.pt ema.safetensors                  the average, as for sampling
  dis convert S-2.pt raw.safetensors --key model      the weights themselves
  dis convert both.safetensors ema.safetensors        one set of a file that has two

IN is what torch.save wrote, the official {model, ema, opt, args} or a bare state
dict, or a safetensors file. Names may carry the prefix `module.` of distributed
training. Optimiser and arguments are not used. OUT has the official names, in f32;
equal inputs give equal bytes. A pickle is read by a second process with limited
memory and time, and no code of it is run.";

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
    /// This is the child that reads a pickle.
    #[arg(long, hide = true)]
    guarded: bool,
}

/// What a file is by its first bytes.
enum Format {
    Zip,
    Safetensors,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    if args.guarded {
        return Ok(guard::child(&args.input, &args.output, args.key));
    }
    check_output(&args.output, args.force)?;
    let partial = Partial::create(&args.output)?;
    let (weights, read) = match format(&args.input)? {
        Format::Zip => {
            let read = guard::spawn(&args.input, partial.path(), args.key)?;
            let source = args.input.display().to_string();
            let read = format!("{source}: {read}");
            (Weights::open_below(partial.path(), "", source)?, read)
        }
        Format::Safetensors => {
            let weights = Weights::open(&args.input, args.key)?;
            let read = weights.source.clone();
            (weights, read)
        }
    };
    weights.write(partial.path())?;
    let length = partial.complete()?;
    exit::print(&format!(
        "read     {read}\nfound    {}\nnetwork  {}\nwrote    {}, {}\n",
        weights.summary(),
        describe(&weights.config),
        args.output.display(),
        units::bytes(length),
    ))?;
    Ok(ExitCode::SUCCESS)
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
    let name = input.display();
    match start.as_slice() {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Ok(Format::Zip),
        [_, _, _, _, _, 0, 0, 0, b'{'] => Ok(Format::Safetensors),
        [0x80, 2..=5, ..] => {
            let message = format!("{name} is a bare pickle, as torch wrote before version 1.6");
            Err(Failure::data(message).help("load and save it once with a later torch"))
        }
        _ => {
            let message = format!("{name} is neither a torch checkpoint (zip) nor safetensors");
            Err(Failure::data(message).help("an incomplete download often looks like this"))
        }
    }
}
