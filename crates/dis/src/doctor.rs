//! `dis doctor`: what this machine can do.

mod gpus;
mod machine;
mod measure;

pub(crate) use machine::{available_memory, processor};

use crate::device::DeviceArg;
use crate::exit;
use crate::info::units::bytes;
use anyhow::{Context, Result};
use machine::Machine;
use measure::Speed;
use ssm_kernels::InstructionSet;
use std::fmt::Write;
use std::process::ExitCode;

/// Below this many GFLOP/s a thread, products of matrices do not use the vectors they could: AVX2
/// at 2 GHz gives 64 at best, AVX-512 twice that.
const SLOW_GEMM_PER_THREAD: f64 = 15.0;

/// Free disk space below which checkpoints of the larger networks do not fit.
const LITTLE_DISK: u64 = 10_000_000_000;

/// Open files below which many data shards cannot be read at once.
const FEW_FILES: u64 = 1024;

const NOTES: &str = "\
Measures for about a second: a product of matrices of the shape that dominates DiS-S
(2056 tokens, 384 to 1536 channels, f32) and a copy in memory. A quiet machine gives
steadier numbers.

With --device it ends with exit code 74 where that GPU does not work.

  dis doctor --device cuda:1         the second GPU
  DIS_CPU_ISA=avx2 dis doctor        the same with another instruction set
  RAYON_NUM_THREADS=1 dis doctor     the same on one thread";

/// Show what this machine can do: instruction set, memory, disk, GPUs, measured speed.
///
/// Put its output into every report of a problem.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// A GPU that has to work, such as cuda or cuda:1; without it all GPUs are listed
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceArg>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let gpus = gpus::look(args.device)?;
    let machine = Machine::look();
    let speed = Speed::measure().context("measuring the speed of products")?;
    let mut out = page(&machine, &gpus, &speed)?;
    let warnings = warnings(&machine, &speed);
    for warning in &warnings {
        writeln!(out, "warning: {warning}")?;
    }
    if warnings.is_empty() {
        out += "nothing to complain about\n";
    }
    exit::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

fn page(machine: &Machine, gpus: &[String], speed: &Speed) -> Result<String> {
    let mut out = String::new();
    let mut row = |title: &str, text: String| writeln!(out, "{title:<14}{text}");
    let build = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    row("dis", format!("{}, {build}, {}", env!("CARGO_PKG_VERSION"), gpus::KIND_OF_BUILD))?;
    row("system", machine.system.clone())?;
    row("processor", machine.processor.clone())?;
    row("features", machine.features.join(" "))?;
    let names = |sets: &[InstructionSet]| sets.iter().map(|s| s.name()).collect::<Vec<_>>();
    let available = names(&InstructionSet::available()).join(", ");
    row("kernels", format!("{} (of {available})", InstructionSet::current().name()))?;
    let threads = rayon::current_num_threads();
    let load = machine.load.map_or(String::new(), |load| format!(", load {load:.1}"));
    row("threads", format!("{threads} of {} processors{load}", machine.processors))?;
    if let Some((total, free)) = machine.memory {
        row("memory", format!("{}, {} free", bytes(total), bytes(free)))?;
    }
    if let Some(limit) = machine.memory_limit {
        row("", format!("limited to {} by a control group", bytes(limit)))?;
    }
    match machine.disk_free {
        Some(free) => row("disk", format!("{} free in the current directory", bytes(free)))?,
        None => row("disk", "unknown".into())?,
    }
    let files = machine.open_files.map_or("no limit".to_string(), |n| n.to_string());
    row("open files", files)?;
    for (i, gpu) in gpus.iter().enumerate() {
        row(if i == 0 { "GPUs" } else { "" }, gpu.clone())?;
    }
    let (gemm, copy) = (speed.gemm_gflops, speed.copy_gbytes);
    let per_thread = gemm / threads as f64;
    row("products", format!("{gemm:.0} GFLOP/s, {per_thread:.0} a thread"))?;
    row("copying", format!("{copy:.1} GB/s read and written, one thread"))?;
    Ok(out)
}

/// What should be changed.
fn warnings(machine: &Machine, speed: &Speed) -> Vec<String> {
    let mut found = Vec::new();
    let current = InstructionSet::current();
    if let Ok(wanted) = std::env::var("DIS_CPU_ISA")
        && wanted != current.name()
    {
        let used = current.name();
        found
            .push(format!("DIS_CPU_ISA is {wanted:?}, which this processor lacks: {used} is used"));
    }
    if current == InstructionSet::Baseline {
        found.push("the kernels use baseline instructions, which is several times slower".into());
    } else if current != InstructionSet::available()[0] {
        found.push(format!("DIS_CPU_ISA chose {}, and the processor has more", current.name()));
    }
    let threads = rayon::current_num_threads();
    if speed.gemm_gflops / (threads as f64) < SLOW_GEMM_PER_THREAD {
        found.push(
            "products of matrices are far slower than a processor of today makes them: it is busy, \
             throttled, or its vectors are not used"
                .into(),
        );
    }
    if threads < machine.processors {
        let processors = machine.processors;
        found.push(format!(
            "{threads} threads on {processors} processors: RAYON_NUM_THREADS is set"
        ));
    }
    if cfg!(debug_assertions) {
        found.push("this is a debug build: `cargo build --release` gives the full speed".into());
    }
    if machine.disk_free.is_some_and(|free| free < LITTLE_DISK) {
        found.push("little disk space: a run of the size H writes 15 GB per checkpoint".into());
    }
    if machine.open_files.is_some_and(|n| n < FEW_FILES) {
        found.push("few files may be open at once: `ulimit -n 4096` before training".into());
    }
    found
}
