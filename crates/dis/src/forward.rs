//! `dis forward`: one pass of a network on given inputs.

mod inputs;

use crate::device::{ComputeArgs, DeviceArg, Job, OpenDevice};
use crate::doctor::available_memory;
use crate::exit::{self, Failure};
use crate::info::plan::{self, Pass, Place};
use crate::info::{describe, units};
use crate::load::{self, Partial, View, Weights};
use crate::network::{Condition, Loaded, Rounds};
use crate::threads::Threads;
use anyhow::{Context, Result};
use inputs::Inputs;
use safetensors::tensor::Dtype;
use ssm_kernels::{Backend, Real, Reference};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const EXAMPLES: &str = "\
Inputs, by name:
  x         [B, C, H, W]   images or latents, floats
  t         [B]            diffusion times, 0 to 999 for the official schedule
  y         [B]            classes, where the network has them; with 10 classes,
                           10 is the null class
  grad_out  [B, C', H, W]  gradient of `out`; asks for a gradient pass

Outputs:
  out             [B, C', H, W]; with a learned variance C' = 2C, predictions first
  grad.x          where grad_out was given
  grad.<name>     the same for every parameter

Examples:
  dis forward --weights ema.safetensors --inputs in.safetensors --out out.safetensors
  dis forward … --prefix model.        where a file holds several sets of weights
  dis forward … --backend reference    plain loops in f64: the definition; writes f64
  dis forward … --device cuda --precision f32    for comparing a GPU with the CPU";

/// Run a network once, and its gradient pass where a gradient is given.
///
/// The network is the one that the file names, or that the shapes of its weights show. For comparing with other implementations,
/// and for using a network from other languages.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// File of weights under their official names, run directory or checkpoint
    #[arg(long, value_name = "W.safetensors")]
    weights: PathBuf,
    /// File of inputs
    #[arg(long, value_name = "I.safetensors")]
    inputs: PathBuf,
    /// File to write; replaced if it exists
    #[arg(long, value_name = "O.safetensors")]
    out: PathBuf,
    /// Who computes [default: the fast path of the device]
    #[arg(long, value_enum)]
    backend: Option<BackendName>,
    /// What stands before the names of the weights, such as `ema.` [default: nothing, or `ema.`]
    #[arg(long, allow_hyphen_values = true)]
    prefix: Option<String>,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    threads: Threads,
}

/// Names of backends on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum BackendName {
    /// The fast path of this processor, f32.
    Cpu,
    /// Plain loops, one thread, f64.
    Reference,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    args.threads.start()?;
    if args.out.extension().is_none_or(|e| e != "safetensors") {
        let name = args.out.display();
        return Err(Failure::usage(format!("--out {name} must end in .safetensors")).into());
    }
    let weights = match &args.prefix {
        Some(prefix) => Weights::open_prefixed(&args.weights, prefix)?,
        None => Weights::open(&args.weights, None)?,
    };
    let inputs = Inputs::open(&args.inputs, &weights.config)?;
    let computer = Computer::open(&args, &inputs)?;
    computer.check_memory(&weights, &inputs)?;
    let start = Instant::now();
    let partial = Partial::create(&args.out)?;
    let work = Work { weights: &weights, inputs: &inputs, partial: &partial };
    let found = match &computer {
        Computer::Reference => work.pass(Reference::<f64>::default())?,
        Computer::Device(device) => device.run(work)?,
    };
    let seconds = start.elapsed().as_secs_f64();
    let length = partial.complete()?;
    let backend = computer.describe();
    exit::print(&format!(
        "weights  {}: {}\nnetwork  {}\ninputs   {}: {} images\nbackend  {backend}, {seconds:.3} s\n\
         {found}wrote    {}, {}\n",
        weights.source,
        weights.summary(),
        describe(&weights.config),
        args.inputs.display(),
        inputs.batch,
        args.out.display(),
        units::bytes(length),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Who computes.
enum Computer {
    Reference,
    Device(OpenDevice),
}

impl Computer {
    /// The computer of the flags, where they agree with each other and with the inputs.
    fn open(args: &Args, inputs: &Inputs) -> Result<Self, Failure> {
        let device = args.compute.device();
        match args.backend {
            Some(backend) if device != DeviceArg::Cpu => {
                let name = match backend {
                    BackendName::Cpu => "cpu",
                    BackendName::Reference => "reference",
                };
                let message = format!("--backend {name} computes on the CPU, not on {device}");
                Err(Failure::usage(message).help("leave --backend or --device out"))
            }
            Some(BackendName::Reference) => {
                args.compute.require_f32_on_cpu("the reference")?;
                Ok(Self::Reference)
            }
            _ => {
                if inputs.grad_out.is_some() {
                    args.compute.require_f32_on_cpu("a gradient pass")?;
                }
                Ok(Self::Device(args.compute.open()?))
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Reference => "reference, f64".into(),
            Self::Device(device) if device.is_cpu() => device.describe(),
            Self::Device(device) => device.record(),
        }
    }

    /// Refuses what would be killed half-way.
    fn check_memory(&self, weights: &Weights, inputs: &Inputs) -> Result<(), Failure> {
        let (place, wide, available) = match self {
            Self::Reference => (Place::Cpu, 2, available_memory()),
            Self::Device(device) => (device.place(), 1, device.free_memory()),
        };
        let Some(available) = available else { return Ok(()) };
        let (pass, gradients) = match inputs.grad_out {
            Some(_) => (Pass::TRAINING, plan::weight_bytes(&weights.config)),
            None => (Pass::Inference, 0),
        };
        let c = &weights.config;
        let activations = inputs.batch as u64 * plan::activation_bytes(c, pass, place);
        let needed = wide * (activations + plan::loaded_bytes(c, place) + gradients);
        if needed <= available {
            return Ok(());
        }
        let (needed, available) = (units::bytes(needed), units::bytes(available));
        let images = inputs.batch;
        let message =
            format!("{images} images need about {needed} of memory, and {available} are free");
        Err(Failure::usage(message).help("give fewer images at a time"))
    }
}

/// Elements that can stand in a file.
trait Stored: Real + bytemuck::Pod {
    const DTYPE: Dtype;
}

impl Stored for f32 {
    const DTYPE: Dtype = Dtype::F32;
}

impl Stored for f64 {
    const DTYPE: Dtype = Dtype::F64;
}

/// One pass, whose results are written to a file.
struct Work<'a> {
    weights: &'a Weights,
    inputs: &'a Inputs,
    partial: &'a Partial,
}

impl Job for Work<'_> {
    type Output = String;

    fn on<B>(self, backend: B) -> Result<String>
    where
        B: Backend<Wide = f32>,
        B::Act: Rounds<f32>,
    {
        self.pass(backend)
    }
}

impl Work<'_> {
    /// Runs the pass. Returns what there is to say about its results.
    fn pass<B>(&self, backend: B) -> Result<String>
    where
        B: Backend<Wide: Stored>,
        B::Act: Rounds<B::Wide>,
    {
        let (weights, inputs, c) = (self.weights, self.inputs, &self.weights.config);
        let convert =
            |values: &[f64]| values.iter().map(|&v| B::Wide::from_f64(v)).collect::<Vec<_>>();
        let params: Vec<B::Wide> =
            weights.params.iter().map(|&p| B::Wide::from_f64(f64::from(p))).collect();
        let pass = if inputs.grad_out.is_some() { Pass::TRAINING } else { Pass::Inference };
        let mut network = Loaded::new(backend, c.clone(), &params, pass)?;
        let condition = Condition { timesteps: &inputs.t, labels: inputs.y.as_deref() };
        network.put(&convert(&inputs.x), inputs.batch)?;
        network.forward(condition).context("value pass")?;
        let out = network.output().context("value pass")?.to_vec();
        let side = c.image_size;
        let out_shape = [inputs.batch, c.output_channels(), side, side];
        let mut found = format!("out      {}\n", statistics(&out));
        let mut views: Vec<View<'_>> =
            vec![("out", &out_shape, B::Wide::DTYPE, bytemuck::cast_slice(&out))];

        let Some(grad_out) = &inputs.grad_out else {
            load::write_views(self.partial.path(), views.into_iter())?;
            return Ok(found);
        };
        let grads = network.gradients(condition, &convert(grad_out)).context("gradient pass")?;
        let [of_x, of_params] = [&grads.x, &grads.params].map(|grads| statistics(grads));
        found += &format!("grad.x   {of_x}\ngrad.*   {of_params}\n");
        let x_shape = [inputs.batch, c.channels, side, side];
        views.push(("grad.x", &x_shape, B::Wide::DTYPE, bytemuck::cast_slice(&grads.x)));
        let layout = network.layout();
        let names: Vec<String> = layout.iter().map(|p| format!("grad.{}", p.name)).collect();
        views.extend(layout.iter().zip(&names).map(|(param, name)| {
            let bytes = bytemuck::cast_slice(&grads.params[param.range.clone()]);
            (name.as_str(), param.shape.as_slice(), B::Wide::DTYPE, bytes)
        }));
        load::write_views(self.partial.path(), views.into_iter())?;
        Ok(found)
    }
}

/// Mean, norm and largest magnitude.
fn statistics<T: Real>(values: &[T]) -> String {
    let all = || values.iter().map(|v| v.to_f64());
    let mean = all().sum::<f64>() / values.len() as f64;
    let norm = all().map(|v| v * v).sum::<f64>().sqrt();
    let largest = all().fold(0.0, |m: f64, v| m.max(v.abs()));
    format!("mean {mean:.6e}, norm {norm:.6e}, largest {largest:.6e}")
}
