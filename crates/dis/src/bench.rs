//! `dis bench`: how fast a network runs here, and where the time goes.

mod device;
mod measure;
mod report;

use crate::device::{ComputeArgs, OpenDevice};
use crate::exit::{self, Failure};
use crate::info::plan::{self, Pass};
use crate::info::target::{self, Sizes, Target};
use crate::info::units::bytes;
use crate::precision::PrecisionArg;
use crate::threads::Threads;
use anyhow::Result;
use ssm_kernels::{Cpu, CpuBf16};
use std::process::ExitCode;

const NOTES: &str = "\
Examples:
  dis bench S/2                            a value pass, as in sampling
  dis bench S/2 --train                    a training step: loss, gradients, optimiser
  dis bench configs/quickstart.toml --train --batch 32
  dis bench S-384 --image-size 64 --classes 1000 --batch 2
  dis bench S/2 --precision bf16           what shorter numbers bring
  dis bench S/2 --threads 1                what the other cores bring
  dis bench S/2 --device cuda --batch 256  the same on an NVIDIA GPU
  DIS_CPU_ISA=avx2 dis bench S/2           what the wider vectors bring

Weights and images are made up: the time depends on sizes alone. First the ceilings of
the machine are measured, so that shares compare figures of the same minute: f32
multiply-adds and exponentials in registers, and a copy in memory, on all threads.
Then the rounds are timed; a few more, with a clock around every operator, give the parts.

  matrix products   counted as 2 FLOP a multiply-add of the network, three times as many
                    in training; `dis info` shows the count
  other             what stands between the operators: additions, copies, the loss
  page faults       memory touched for the first time; a steady state has next to none

On a GPU there are no ceilings and no parts: the total alone is measured, from an idle
device to one that has finished. A training step leaves the loss out there.

Give it a quiet machine: what else runs shows as a gap between median and min.";

/// Measure how fast a network runs on this machine, and where the time goes.
///
/// Prints the total, the time of each part, and shares of what the machine can do at most.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// PRESET[/PATCH], CONFIG.toml, run directory or FILE.safetensors, as `dis info` takes them
    model: String,
    #[command(flatten)]
    sizes: Sizes,
    /// Images in a round
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Measure whole training steps, not value passes
    #[arg(long)]
    train: bool,
    /// Rounds to time, after two that are not
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rounds: u16,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    threads: Threads,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    args.threads.start()?;
    let target = target::resolve(&args.model, args.sizes, None)?;
    let pass = if args.train { Pass::TRAINING } else { Pass::Inference };
    if args.train {
        args.compute.require_f32_on_cpu("a training step on the CPU")?;
    }
    let device = args.compute.open()?;
    check_memory(&target, pass, args.batch, &device)?;
    let (images, rounds) = (args.batch.into(), args.rounds.into());
    let text = if device.is_cpu() {
        let precision = device.precision();
        let measure = match precision {
            PrecisionArg::F32 => measure::measure::<Cpu>,
            PrecisionArg::Bf16 => measure::measure::<CpuBf16>,
        };
        let measured = measure(&target.config, pass, images, rounds)?;
        match args.json {
            true => format!("{:#}\n", report::as_json(&target, &measured, precision.name())),
            false => report::page(&target, &measured, precision.name())?,
        }
    } else {
        let measured = device::measure(&target.config, pass, images, rounds, &device)?;
        match args.json {
            true => format!("{:#}\n", device::as_json(&target, &measured, &device)),
            false => device::page(&target, &measured, &device)?,
        }
    };
    exit::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses what would be killed half-way.
fn check_memory(
    target: &Target,
    pass: Pass,
    images: u16,
    device: &OpenDevice,
) -> Result<(), Failure> {
    let Some(available) = device.free_memory() else { return Ok(()) };
    let (c, place) = (&target.config, device.place());
    let arenas = match pass {
        Pass::Inference => plan::loaded_bytes(c, place),
        Pass::Training(_) => plan::state_bytes(c, place, 1),
    };
    let needed = arenas + u64::from(images) * plan::activation_bytes(c, pass, place);
    if needed <= available {
        return Ok(());
    }
    let (name, needed, available) = (&target.name, bytes(needed), bytes(available));
    let message =
        format!("{name} at --batch {images} needs about {needed} of memory; {available} are free");
    Err(Failure::usage(message).help("give fewer images in a round: --batch 1"))
}
