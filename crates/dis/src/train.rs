//! `dis train`: an experiment from its configuration to its last step.

mod describe;
mod evaluation;
mod screen;

use crate::autoencoder;
use crate::device::{ComputeArgs, OpenDevice};
use crate::exit::{Failure, code};
use crate::info::plan::{self, Pass};
use crate::info::units;
use crate::network::Network;
use crate::pictures::Pictures;
use crate::sampling::Plan;
use crate::threads::Threads;
use crate::weak;
use anyhow::{Context, Result};
use describe::describe;
use dis_model::Recompute;
use evaluation::Evaluator;
use screen::{Screen, Tools};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use ssm_kernels::InstructionSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};
use trainer::{Environment, Experiment, Outcome, RunDir, check_dataset, open_dataset};

/// What `dis train` trains when nothing else is said.
const QUICKSTART: &str = "configs/quickstart.toml";
/// The same, for when there is no such file in the working directory.
const QUICKSTART_TEXT: &str = include_str!("../../../configs/quickstart.toml");

const EXAMPLES: &str = "\
Examples:
  dis train                                      the quickstart: generated shapes, minutes on a CPU
  dis train configs/cifar10-dis-s2.toml          after dis data download cifar10
  dis train --set train.steps=1800 --set name=longer
  dis train configs/cifar10-dis-s2.toml --device cuda    on an NVIDIA GPU, in bf16
  dis train configs/cifar10-dis-s2.toml --fast   five small steps, to see that everything works

The same command resumes where the run stopped, however it stopped, and makes the same bits as a run
that was never stopped. Ctrl-C finishes the step, saves and exits with 75; twice exits at once.";

/// Train a model.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Experiment file; without it the quickstart, which needs no download
    config: Option<PathBuf>,
    /// Override a key of the experiment: section.key=value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Where the run lies; without it runs/NAME
    #[arg(long)]
    run_dir: Option<PathBuf>,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Stop and save at this step, if the run is longer
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    max_steps: Option<u64>,
    #[command(flatten)]
    threads: Threads,
    /// Five small steps in a directory of their own
    #[arg(long)]
    fast: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    args.threads.start()?;
    args.compute.require_f32_on_cpu("training on the CPU")?;
    let experiment = load(&args)?;
    let dataset = open_dataset(&experiment)?;
    check_dataset(&experiment, dataset.as_ref())?;
    let dir = args.run_dir.clone().unwrap_or_else(|| experiment.default_run_dir());
    let device = args.compute.open()?;
    device.compute().check(&experiment)?;
    check_memory(&experiment, &device)?;
    let tools = tools(&experiment, &device)?;
    let environment = environment(&device);
    let run = RunDir::open(&dir, &experiment, &environment)?;
    let stop = install_signals().context("cannot watch for signals")?;
    describe(&experiment, &run, &environment, dataset.as_ref(), device.place());
    let mut screen = Screen::new(&experiment, &run, &environment, &device, tools, stop);
    let (compute, max_steps) = (device.compute(), args.max_steps);
    let outcome = trainer::train(&experiment, &run, dataset, compute, max_steps, &mut screen);
    screen.end();
    match outcome? {
        Outcome::Finished => Ok(ExitCode::SUCCESS),
        Outcome::Interrupted => {
            tracing::info!("saved; the same command goes on from here");
            Ok(ExitCode::from(code::SAVED))
        }
    }
}

/// What draws and scores images of the run, before anything is written.
fn tools(experiment: &Experiment, device: &OpenDevice) -> Result<Tools> {
    let (d, sample) = (&experiment.diffusion, &experiment.sample);
    let plan = Plan {
        objective: d.kind(),
        process: d.process()?,
        sampler: sample.plan()?,
        clip_x0: sample.clip_x0,
        guidance: experiment.guidance,
        seed: experiment.seed,
    };
    let weak = weak_model(experiment, device)?;
    let pictures = pictures(experiment, device)?;
    let evaluator = Evaluator::open(experiment, &plan, device)?;
    Ok(Tools { plan, weak, pictures, evaluator })
}

/// The weaker network that guides.
fn weak_model(experiment: &Experiment, device: &OpenDevice) -> Result<Option<Box<dyn Network>>> {
    let Some(path) = &experiment.sample.weak_model else { return Ok(None) };
    let (kind, process) = (experiment.diffusion.kind(), experiment.diffusion.process()?);
    let weak = weak::load(path, &experiment.dis_config(), (kind, &process), device);
    Ok(Some(weak.context("sample.weak_model cannot be used")?))
}

/// What becomes of images that are drawn.
fn pictures(experiment: &Experiment, device: &OpenDevice) -> Result<Pictures> {
    if experiment.train.sample_every == 0 && !is_evaluated(experiment) {
        return Ok(Pictures::Pixels);
    }
    let open = || {
        if let (Some(vae), Some(cache)) = (&experiment.vae, &experiment.data.path) {
            autoencoder::warn_of_another(vae, cache)?;
        }
        Pictures::of(experiment, device)
    };
    open().context(
        "drawn images cannot be decoded\nhelp: --set train.sample_every=0 does without previews",
    )
}

/// Whether images are drawn to be scored.
fn is_evaluated(experiment: &Experiment) -> bool {
    experiment.eval.as_ref().is_some_and(|eval| eval.every > 0)
}

/// The experiment of the arguments; `--fast` cuts it down after `--set`.
fn load(args: &Args) -> Result<Experiment> {
    if let Some(file) = args.config.as_ref().filter(|file| !file.exists()) {
        let what = format!("{}: no such experiment file", file.display());
        let help =
            "give a TOML file, such as configs/cifar10-dis-s2.toml, or none for the quickstart";
        return Err(Failure::usage(what).help(help).into());
    }
    let read = |sets: &[String]| match &args.config {
        Some(file) => Experiment::load(file, sets),
        None if Path::new(QUICKSTART).exists() => Experiment::load(QUICKSTART, sets),
        None => Experiment::parse(QUICKSTART_TEXT, QUICKSTART, sets),
    };
    let experiment = read(&args.sets)?;
    if !args.fast {
        return Ok(experiment);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let batch = experiment.train.batch_size.min(4);
    let cuts = [
        format!("name=\"{}-fast-{now}\"", experiment.name),
        "train.steps=5".into(),
        "train.warmup_steps=1".into(),
        "train.log_every=1".into(),
        "train.sample_every=5".into(),
        "train.checkpoint_every=5".into(),
        format!("train.batch_size={batch}"),
        format!("train.micro_batch={batch}"),
        format!("sample.steps={}", experiment.sample.steps.min(5)),
        format!("sample.count={}", experiment.sample.count.min(4)),
    ];
    let scored = experiment.eval.iter().flat_map(|eval| {
        let (every, count) = (eval.every.min(5), eval.count.min(16));
        let steps = eval.steps.unwrap_or(experiment.sample.steps).min(5);
        [
            format!("eval.every={every}"),
            format!("eval.count={count}"),
            format!("eval.steps={steps}"),
        ]
    });
    let sets: Vec<String> = args.sets.iter().cloned().chain(cuts).chain(scored).collect();
    Ok(read(&sets)?)
}

/// Refuses what would be killed half-way.
fn check_memory(experiment: &Experiment, device: &OpenDevice) -> Result<(), Failure> {
    let Some(available) = device.free_memory() else { return Ok(()) };
    let (c, images) = (experiment.dis_config(), experiment.train.micro_batch());
    let place = device.place();
    let recompute = experiment.train.recompute.unwrap_or_default();
    let image_with = |recompute| plan::activation_bytes(&c, Pass::Training(recompute), place);
    let image = image_with(recompute);
    let drawing = drawing_bytes(experiment, device);
    let state = plan::state_bytes(&c, place, experiment.train.averages()) + drawing;
    let needed = state + images as u64 * image;
    if needed <= available {
        return Ok(());
    }
    let message = format!(
        "training needs about {}: {} for the parameters, {} for drawing images, {} for each of {images} \
         images; {} are free",
        units::bytes(needed),
        units::bytes(state - drawing),
        units::bytes(drawing),
        units::bytes(image),
        units::bytes(available)
    );
    let room = available.saturating_sub(state);
    let batch = experiment.train.batch_size;
    let divisor = (1..=batch).rev().find(|m| batch.is_multiple_of(*m) && *m as u64 * image <= room);
    let fewer = divisor.map(|m| format!("pass fewer images together: --set train.micro_batch={m}"));
    let cheaper = [("scan", Recompute::Scan), ("block", Recompute::Block)];
    let fits = |recompute| images as u64 * image_with(recompute) <= room;
    let again = cheaper
        .into_iter()
        .find(|(_, recompute)| fits(*recompute))
        .map(|(name, _)| format!("keep less, for more time: --set train.recompute={name}"));
    let ways: Vec<String> = fewer.into_iter().chain(again).collect();
    Err(Failure::usage(message).help(match ways.is_empty() {
        false => ways.join("; or "),
        true => "a smaller network: --set model.preset=S, or larger patches".into(),
    }))
}

/// Memory of the network that draws previews and what is scored.
fn drawing_bytes(experiment: &Experiment, device: &OpenDevice) -> u64 {
    let previewed = match experiment.train.sample_every {
        0 => 0,
        _ => experiment.sample.count.min(screen::BATCH),
    };
    let scored = experiment.eval.as_ref().filter(|_| is_evaluated(experiment));
    let scored = scored.map_or(0, |section| evaluation::batch(section, device));
    let images = previewed.max(scored);
    if images == 0 {
        return 0;
    }
    let (c, place) = (experiment.dis_config(), device.place());
    let image = plan::activation_bytes(&c, Pass::Inference, place);
    plan::loaded_bytes(&c, place) + images as u64 * image
}

/// Program and machine, as kept in the run directory.
fn environment(device: &OpenDevice) -> Environment {
    Environment {
        program_version: env!("CARGO_PKG_VERSION").into(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: crate::doctor::processor(),
        device: device.record(),
        threads: rayon::current_num_threads(),
        instruction_set: InstructionSet::current().name().into(),
    }
}

/// A flag that SIGINT, SIGTERM and SIGUSR1 set. A second SIGINT ends the process at once.
fn install_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&stop))?;
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
