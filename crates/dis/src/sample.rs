//! `dis sample`: images from trained weights.

mod plan;
mod score;

use crate::device::ComputeArgs;
use crate::eval::{Scorer, show};
use crate::exit::{Failure, print};
use crate::image_sink::ImageSink;
use crate::network::Network;
use crate::pictures::{Pictures, VaeArgs};
use crate::sampling::{Generator, Labels, Plan, usual_batch};
use crate::threads::Threads;
use crate::{images, progress, weak};
use anyhow::Result;
use dis_model::DisConfig;
use plan::PlanArgs;
use score::EvalArgs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use trainer::Experiment;
use trainer::checkpoint::{WeightChoice, load_weights};

/// States of a trajectory picture, noise to image.
const FRAMES: usize = 10;
/// Images a trajectory picture shows.
const TRAJECTORIES: usize = 8;
/// Images a grid shows.
const GRID: usize = 64;

const EXAMPLES: &str = "\
Examples:
  dis sample runs/quickstart                            64 images and a grid, as the run's config says
  dis sample runs/quickstart --classes 2,3 --guidance 3 triangles and crosses, stronger guidance
  dis sample runs/quickstart/checkpoints/step-000000450 --sampler ddim --steps 20 --trajectory
  dis sample runs/quickstart --sampler dpmpp_2m --steps 12 --guidance-interval 0.2,5
  dis sample runs/quickstart --guidance 1.5 --weak-model runs/quickstart/checkpoints/step-000000300
  dis sample runs/quickstart --weights model            weights of the last step, not their average
  dis sample runs/cifar10-dis-s2 --count 50000 --out fid.npz --device cuda --batch 512
  dis sample RUN --count 4096 --eval-reference configs/quickstart.toml --features-from pixels";

/// Draw images from the averaged weights of a run.
///
/// Sampler, steps and guidance are those of the run's configuration unless flags say otherwise. An
/// image depends on the seed and its own number alone, not on the batch size; on a GPU, whose sums
/// follow the batch, it does so up to rounding.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    // Weights are those of the network that draws.
    mut_arg("features_from", |arg| arg.visible_alias(None).requires("eval_reference")),
    // The group of a struct that holds another is empty.
    mut_arg("protocol", |arg| arg.requires("eval_reference")),
    mut_group("ScoreArgs", |group| group.requires("eval_reference")),
    mut_group("ImagePolicy", |group| group.requires("eval_reference")),
)]
pub(crate) struct Args {
    /// Run directory, checkpoint directory or weight file
    run: PathBuf,
    /// Images to draw
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    count: u64,
    /// Folder for PNG files, or a .npz file (`arr_0`, [N, H, W, 3] bytes); a grid is drawn either way.
    /// Default: samples/seed-SEED in the run directory; nothing with --eval-reference
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    vae: VaeArgs,
    /// Classes to draw, in turn; without it every class
    #[arg(long, value_delimiter = ',')]
    classes: Vec<u32>,
    /// Seed of the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Start noise instead of the seed's: a safetensors file with `noise` [N, C, H, W]
    #[arg(long)]
    noise: Option<PathBuf>,
    /// Also draw how the first images come out of the noise
    #[arg(long)]
    trajectory: bool,
    /// Images that pass through the network together [default: 16, on a GPU 128]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: Option<u16>,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    threads: Threads,
    /// Which weights of a checkpoint: ema (its first average), model, or an average by name, such as
    /// ema-0.9999 or ema-power-0.05
    #[arg(long, value_name = "NAME", default_value = "ema")]
    weights: WeightChoice,
    /// Configuration, where the weights lie outside a run directory
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Scores")]
    eval: EvalArgs,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    args.threads.start()?;
    if !args.run.exists() {
        let what = format!("{}: no such run, checkpoint or weight file", args.run.display());
        let help = "give a run directory, such as runs/quickstart, or train one: dis train";
        return Err(Failure::data(what).help(help).into());
    }
    let device = args.compute.open()?;
    let weights = load_weights(&args.run, &args.weights)?;
    for rejected in &weights.rejected {
        tracing::warn!("not used: {rejected}");
    }
    let experiment = find_experiment(&args)?;
    let config = weights.dis_config.clone();
    let plan = args.plan.plan(experiment.as_ref(), &config, &args.run, args.seed)?;
    let weak = args.plan.weak_model(experiment.as_ref(), &plan.guidance)?;
    let mut weak = weak
        .map(|path| weak::load(path, &config, (plan.objective, &plan.process), &device))
        .transpose()?;
    let labels = labels(&args.classes, &config)?;
    let noise = args.noise.as_deref().map(|file| read_noise(file, &args, &config)).transpose()?;
    tracing::info!(
        "{} of {}: {} with {} steps, guidance {}, on {}",
        if args.weights == WeightChoice::Model { "weights" } else { "averaged weights" },
        weights.file.display(),
        plan.sampler.sampler.name(),
        plan.sampler.steps,
        plan.guidance.guidance_scale,
        device.record(),
    );
    let pictures = args.vae.pictures(experiment.as_ref(), &config, &device)?;
    let scorer = args.eval.open(&args, &device)?;
    let batch = args.batch.map_or(usual_batch(&device), usize::from) as u64;
    let batch = batch.min(args.count);
    let mut network = device.network(config, &weights.values)?;
    let file = weights.file.clone();
    drop(weights);
    let job = Job { args: &args, plan: &plan, file, batch, labels, noise, pictures, scorer };
    job.run(network.as_mut(), weak.as_deref_mut())
}

/// Everything a sampling run needs but the network.
struct Job<'a> {
    args: &'a Args,
    plan: &'a Plan,
    /// Where the weights are from.
    file: PathBuf,
    batch: u64,
    labels: Labels,
    noise: Option<Vec<f32>>,
    pictures: Pictures,
    scorer: Option<Scorer>,
}

impl Job<'_> {
    fn run(
        mut self,
        network: &mut dyn Network,
        weak: Option<&mut (dyn Network + 'static)>,
    ) -> Result<ExitCode> {
        let (count, batch, c) = (self.args.count, self.batch, network.config().clone());
        let side = self.pictures.side(&c);
        let mut generator = Generator::new(network, weak, self.plan)?;
        let mut sink = match self.args.place() {
            Some(out) => Some(ImageSink::create(&out, count, [side, side])?),
            None => None,
        };
        let origin = score::origin(&self.file, side, self.args, self.plan);
        let scorer = self.scorer.as_mut();
        let mut scoring = scorer.map(|scorer| scorer.start(count)).transpose()?;
        let bar = progress::bar(count * generator.evaluations() as u64, 0, "evaluations");
        let mut shown = Vec::new();
        let mut frames = Vec::new();
        for first in (0..count).step_by(batch as usize) {
            let n = batch.min(count - first);
            let wanted = frame_steps(generator.evaluations());
            let keep_frames = self.args.trajectory && first == 0;
            let labels = self.labels.of(first, n);
            let x = match &self.noise {
                Some(noise) => given(noise, first, n, c.image_len()),
                None => generator.start_noise(first, n),
            };
            let drawn = generator.generate(x, first, labels.as_deref(), &mut |index, state| {
                bar.inc(n);
                if keep_frames && wanted.contains(&index) {
                    let visible = (n as usize).min(TRAJECTORIES) * c.image_len();
                    frames.push(state[..visible].to_vec());
                }
            })?;
            bar.set_message("decoding");
            let bytes = self.pictures.bytes(&drawn, &c)?;
            bar.set_message("");
            if shown.len() < GRID * side * side * 3 {
                shown.extend_from_slice(&bytes);
            }
            if let Some(sink) = &mut sink {
                sink.write(&bytes)?;
            }
            if let Some(scoring) = &mut scoring {
                bar.set_message("scoring");
                scoring.push(&bytes, side)?;
                bar.set_message("");
            }
        }
        bar.finish_and_clear();
        shown.truncate(GRID * side * side * 3);
        let frames: Vec<Vec<u8>> =
            frames.iter().map(|frame| self.pictures.bytes(frame, &c)).collect::<Result<_>>()?;
        if let Some(sink) = sink {
            finish(sink, side, &shown, &frames)?;
        }
        if let Some(scoring) = scoring {
            show(&scoring.finish(origin)?, self.args.eval.report())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Noise of images `first .. first + n`, of `len` numbers each.
fn given(noise: &[f32], first: u64, n: u64, len: usize) -> Vec<f32> {
    noise[first as usize * len..(first + n) as usize * len].to_vec()
}

/// Evaluations after which a trajectory picture shows the state.
fn frame_steps(evaluations: usize) -> Vec<usize> {
    let frames = FRAMES.min(evaluations);
    (1..=frames).map(|i| (i * evaluations).div_ceil(frames) - 1).collect()
}

/// Labels of the classes that are asked for, or of all.
fn labels(classes: &[u32], config: &DisConfig) -> Result<Labels> {
    let n = config.num_classes as u32;
    if n == 0 && !classes.is_empty() {
        return Err(Failure::usage("--classes: the network is unconditional").into());
    }
    if let Some(bad) = classes.iter().find(|&&y| y >= n) {
        let range = format!("--classes: {bad}, expected classes from 0 to {}", n - 1);
        return Err(Failure::usage(range).into());
    }
    Ok(match classes.is_empty() {
        true => Labels::all(config),
        false => Labels::of_classes(classes.to_vec()),
    })
}

impl Args {
    /// Where images are written; nowhere when they are scored and no place is given.
    fn place(&self) -> Option<PathBuf> {
        self.out.clone().or_else(|| (!self.eval.is_asked_for()).then(|| default_out(self)))
    }
}

/// Completes the archive, draws grid and trajectory, says where they are.
fn finish(sink: ImageSink, side: usize, shown: &[u8], frames: &[Vec<u8>]) -> Result<()> {
    let count = shown.len() / (side * side * 3);
    let (grid, trajectory) = (sink.beside("grid.png"), sink.beside("trajectory.png"));
    images::save_png(&images::grid(shown, side, images::columns_for(count)), &grid)?;
    if !frames.is_empty() {
        images::save_png(&images::filmstrip(frames, side), &trajectory)?;
    }
    let out = sink.finish()?;
    print(&format!("{}\n{}\n", out.display(), grid.display()))?;
    if !frames.is_empty() {
        print(&format!("{}\n", trajectory.display()))?;
    }
    Ok(())
}

fn default_out(args: &Args) -> PathBuf {
    let seed = format!("seed-{}", args.seed);
    match run_dir_of(&args.run) {
        Some(run) => run.join("samples").join(seed),
        None => Path::new("samples").join(seed),
    }
}

/// The run directory that a path lies in or is: the nearest one with a `config.toml`.
pub(crate) fn run_dir_of(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    path.ancestors().take(4).find(|dir| dir.join("config.toml").is_file()).map(Path::to_path_buf)
}

fn find_experiment(args: &Args) -> Result<Option<Experiment>> {
    let file = match (&args.config, run_dir_of(&args.run)) {
        (Some(file), _) => file.clone(),
        (None, Some(run)) => run.join("config.toml"),
        (None, None) => return Ok(None),
    };
    Ok(Some(Experiment::load(file, &[])?))
}

fn read_noise(file: &Path, args: &Args, config: &DisConfig) -> Result<Vec<f32>> {
    let mut tensors = dis_model::weights::read_safetensors(file, None)?;
    let Some(noise) = tensors.remove("noise") else {
        let what = format!("{}: no tensor `noise`", file.display());
        return Err(Failure::data(what).into());
    };
    let (n, size) = (args.count as usize, config.image_size);
    let expected = [n, config.channels, size, size];
    let enough = noise.shape.len() == 4 && noise.shape[0] >= n && noise.shape[1..] == expected[1..];
    if !enough {
        let what = format!(
            "{}: `noise` is {:?}, expected {expected:?} or more images",
            file.display(),
            noise.shape
        );
        return Err(Failure::data(what).into());
    }
    Ok(noise.data)
}
