//! `dis sample`: images from trained weights.

mod plan;

use crate::device::ComputeArgs;
use crate::exit::{Failure, print};
use crate::network::Network;
use crate::pictures::{Pictures, VaeArgs};
use crate::sampling::{Generator, Plan};
use crate::threads::Threads;
use crate::{images, npz, progress, weak};
use anyhow::{Context, Result};
use diffusion::draw_start_noise;
use dis_model::DisConfig;
use plan::PlanArgs;
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
/// Images that pass through the network together, where nothing is said.
const CPU_BATCH: u16 = 16;
/// The same on a GPU, which is idle with fewer.
const GPU_BATCH: u16 = 128;

const EXAMPLES: &str = "\
Examples:
  dis sample runs/quickstart                            64 images and a grid, as the run's config says
  dis sample runs/quickstart --classes 2,3 --guidance 3 triangles and crosses, stronger guidance
  dis sample runs/quickstart/checkpoints/step-000000450 --sampler ddim --steps 20 --trajectory
  dis sample runs/quickstart --sampler dpmpp_2m --steps 12 --guidance-interval 0.2,5
  dis sample runs/quickstart --guidance 1.5 --weak-model runs/quickstart/checkpoints/step-000000300
  dis sample runs/quickstart --weights model            weights of the last step, not their average
  dis sample runs/cifar10-dis-s2 --count 50000 --out fid.npz --device cuda --batch 512";

/// Draw images from the averaged weights of a run.
///
/// Sampler, steps and guidance are those of the run's configuration unless flags say otherwise. An
/// image depends on the seed and its own number alone, not on the batch size; on a GPU, whose sums
/// follow the batch, it does so up to rounding.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Run directory, checkpoint directory or weight file
    run: PathBuf,
    /// Images to draw
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    count: u64,
    /// Folder for PNG files, or a .npz file (`arr_0`, [N, H, W, 3] bytes); a grid is drawn either way.
    /// Default: samples/seed-SEED in the run directory
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
    let labels = Labels::new(&args, &config)?;
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
    let usual = if device.is_cpu() { CPU_BATCH } else { GPU_BATCH };
    let batch = u64::from(args.batch.unwrap_or(usual)).min(args.count);
    let mut network = device.network(config, &weights.values)?;
    drop(weights);
    let job = Job { args: &args, plan: &plan, batch, labels, noise, pictures };
    job.run(network.as_mut(), weak.as_deref_mut())
}

/// Everything a sampling run needs but the network.
struct Job<'a> {
    args: &'a Args,
    plan: &'a Plan,
    batch: u64,
    labels: Labels,
    noise: Option<Vec<f32>>,
    pictures: Pictures,
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
        let mut sink = Sink::create(self.args, side)?;
        let bar = progress::bar(count * generator.evaluations() as u64, 0, "evaluations");
        let mut shown = Vec::new();
        let mut frames = Vec::new();
        for first in (0..count).step_by(batch as usize) {
            let n = batch.min(count - first);
            let wanted = frame_steps(generator.evaluations());
            let keep_frames = self.args.trajectory && first == 0;
            let labels = self.labels.of(first, n);
            let drawn = generator.generate(
                self.start_noise(first, n, c.image_len()),
                first,
                labels.as_deref(),
                &mut |index, state| {
                    bar.inc(n);
                    if keep_frames && wanted.contains(&index) {
                        let visible = (n as usize).min(TRAJECTORIES) * c.image_len();
                        frames.push(state[..visible].to_vec());
                    }
                },
            )?;
            bar.set_message("decoding");
            let bytes = self.pictures.bytes(&drawn, &c)?;
            bar.set_message("");
            if shown.len() < GRID * side * side * 3 {
                shown.extend_from_slice(&bytes);
            }
            sink.write(&bytes)?;
        }
        bar.finish_and_clear();
        shown.truncate(GRID * side * side * 3);
        let frames: Vec<Vec<u8>> =
            frames.iter().map(|frame| self.pictures.bytes(frame, &c)).collect::<Result<_>>()?;
        sink.finish(&shown, &frames)
    }

    /// Noise of images `first .. first + n`, of `len` numbers each.
    fn start_noise(&self, first: u64, n: u64, len: usize) -> Vec<f32> {
        match &self.noise {
            Some(noise) => noise[first as usize * len..(first + n) as usize * len].to_vec(),
            None => {
                let mut x = vec![0.0; n as usize * len];
                draw_start_noise(self.args.seed, first, len, &mut x);
                x
            }
        }
    }
}

/// Evaluations after which a trajectory picture shows the state.
fn frame_steps(evaluations: usize) -> Vec<usize> {
    let frames = FRAMES.min(evaluations);
    (1..=frames).map(|i| (i * evaluations).div_ceil(frames) - 1).collect()
}

/// Labels of a run of images.
struct Labels(Option<Vec<u32>>);

impl Labels {
    fn new(args: &Args, config: &DisConfig) -> Result<Self> {
        let n = config.num_classes as u32;
        if n == 0 {
            if !args.classes.is_empty() {
                return Err(Failure::usage("--classes: the network is unconditional").into());
            }
            return Ok(Self(None));
        }
        if let Some(bad) = args.classes.iter().find(|&&y| y >= n) {
            let range = format!("--classes: {bad}, expected classes from 0 to {}", n - 1);
            return Err(Failure::usage(range).into());
        }
        let all = || (0..n).collect();
        Ok(Self(Some(if args.classes.is_empty() { all() } else { args.classes.clone() })))
    }

    /// Labels of images `first .. first + n`: the classes in turn.
    fn of(&self, first: u64, n: u64) -> Option<Vec<u32>> {
        let classes = self.0.as_ref()?;
        Some((first..first + n).map(|i| classes[(i % classes.len() as u64) as usize]).collect())
    }
}

/// Where images go.
struct Sink {
    out: PathBuf,
    npz: Option<npz::Writer>,
    size: usize,
    written: u64,
}

impl Sink {
    fn create(args: &Args, size: usize) -> Result<Self> {
        let out = args.out.clone().unwrap_or_else(|| default_out(args));
        let is_npz = out.extension().is_some_and(|e| e == "npz");
        let folder = if is_npz { out.parent().unwrap_or(Path::new("")) } else { &out };
        if !folder.as_os_str().is_empty() {
            std::fs::create_dir_all(folder).map_err(|e| Failure::writing(folder, e))?;
        }
        let npz =
            is_npz.then(|| npz::Writer::create(&out, args.count as usize, size)).transpose()?;
        Ok(Self { out, npz, size, written: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(npz) = &mut self.npz {
            return npz.write(bytes);
        }
        for image in bytes.chunks_exact(self.size * self.size * 3) {
            let file = self.out.join(format!("{:06}.png", self.written));
            let side = self.size as u32;
            image::save_buffer(&file, image, side, side, image::ColorType::Rgb8)
                .with_context(|| format!("cannot write {}", file.display()))?;
            self.written += 1;
        }
        Ok(())
    }

    /// Completes the archive, draws grid and trajectory, says where they are.
    fn finish(self, shown: &[u8], frames: &[Vec<u8>]) -> Result<ExitCode> {
        let named = |what: &str| match &self.npz {
            Some(_) => self.out.with_extension(format!("{what}.png")),
            None => self.out.join(format!("{what}.png")),
        };
        let count = shown.len() / (self.size * self.size * 3);
        let (grid, trajectory) = (named("grid"), named("trajectory"));
        images::save_png(&images::grid(shown, self.size, images::columns_for(count)), &grid)?;
        if !frames.is_empty() {
            let strip = images::filmstrip(frames, self.size);
            images::save_png(&strip, &trajectory)?;
        }
        if let Some(npz) = self.npz {
            npz.finish()?;
        }
        print(&format!("{}\n{}\n", self.out.display(), grid.display()))?;
        if !frames.is_empty() {
            print(&format!("{}\n", trajectory.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
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
