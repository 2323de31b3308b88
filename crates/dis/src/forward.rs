//! `dis forward`: one pass of a network on given inputs.

mod inputs;

use crate::doctor::available_memory;
use crate::exit::{self, Failure};
use crate::info::plan::{self, Pass};
use crate::info::{describe, units};
use crate::load::{self, Partial, View, Weights};
use crate::precision::PrecisionArg;
use crate::threads::Threads;
use anyhow::{Context, Result};
use dis_model::{Activations, Dis, Input, Params};
use inputs::Inputs;
use safetensors::tensor::Dtype;
use ssm_kernels::{Cpu, CpuBf16, HostBackend, InstructionSet, Real, Reference};
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
  dis forward … --backend reference    plain loops in f64: the definition; writes f64";

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
    /// Who computes
    #[arg(long, value_enum, default_value_t = BackendName::Cpu)]
    backend: BackendName,
    /// What stands before the names of the weights, such as `ema.` [default: nothing, or `ema.`]
    #[arg(long, allow_hyphen_values = true)]
    prefix: Option<String>,
    /// Operands of matrix products, without gradients
    #[arg(long, value_enum, default_value_t = PrecisionArg::F32)]
    precision: PrecisionArg,
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
    check_memory(&weights, &inputs, args.backend)?;
    if args.backend == BackendName::Reference {
        args.precision.require_f32("the reference")?;
    }
    if inputs.grad_out.is_some() {
        args.precision.require_f32("a gradient pass")?;
    }
    args.precision.warn_without_units();
    let start = Instant::now();
    let partial = Partial::create(&args.out)?;
    let found = match (args.backend, args.precision) {
        (BackendName::Cpu, PrecisionArg::F32) => pass::<Cpu>(&weights, &inputs, &partial)?,
        (BackendName::Cpu, PrecisionArg::Bf16) => pass::<CpuBf16>(&weights, &inputs, &partial)?,
        (BackendName::Reference, _) => pass::<Reference<f64>>(&weights, &inputs, &partial)?,
    };
    let seconds = start.elapsed().as_secs_f64();
    let length = partial.complete()?;
    let backend = match args.backend {
        BackendName::Cpu => {
            let threads = rayon::current_num_threads();
            format!("cpu, {}, {threads} threads", InstructionSet::current().name())
        }
        BackendName::Reference => "reference, f64".into(),
    };
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

/// Refuses what would be killed half-way.
fn check_memory(weights: &Weights, inputs: &Inputs, backend: BackendName) -> Result<(), Failure> {
    let Some(available) = available_memory() else { return Ok(()) };
    let wide = if backend == BackendName::Reference { 2 } else { 1 };
    let (pass, arenas) = match inputs.grad_out {
        Some(_) => (Pass::Training, 2),
        None => (Pass::Inference, 1),
    };
    let c = &weights.config;
    let activations = inputs.batch as u64 * plan::activation_bytes(c, pass);
    let needed = wide * (activations + arenas * plan::weight_bytes(c));
    if needed <= available {
        return Ok(());
    }
    let (needed, available) = (units::bytes(needed), units::bytes(available));
    let message =
        format!("{} images need about {needed} of memory, and {available} are free", inputs.batch);
    Err(Failure::usage(message).help("give fewer images at a time"))
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

/// Runs one pass and writes its results. Returns what there is to say about them.
fn pass<B: HostBackend<Elem: Stored>>(
    weights: &Weights,
    inputs: &Inputs,
    partial: &Partial,
) -> Result<String> {
    let convert = |values: &[f64]| values.iter().map(|&v| B::Elem::from_f64(v)).collect::<Vec<_>>();
    let params: Vec<B::Elem> =
        weights.params.iter().map(|&p| B::Elem::from_f64(f64::from(p))).collect();
    let x = convert(&inputs.x);
    let dis = Dis::<B>::new(weights.config.clone())?;
    let (timesteps, labels) = (inputs.t.as_slice(), inputs.y.as_deref());
    let input = Input::<B::Elem> { x: &x, timesteps, labels, drop_path: None };
    let mut activations = match inputs.grad_out {
        Some(_) => Activations::for_training(&dis, inputs.batch)?,
        None => Activations::for_inference(&dis, inputs.batch)?,
    };
    let arena = Params::host(&params);
    dis.forward(arena, &input, &mut activations).context("value pass")?;
    let c = &weights.config;
    let side = c.image_size;
    let out_shape = [inputs.batch, c.output_channels(), side, side];
    let out = activations.output().to_vec();
    let mut found = format!("out      {}\n", statistics(&out));
    let mut views: Vec<View<'_>> =
        vec![("out", &out_shape, B::Elem::DTYPE, bytemuck::cast_slice(&out))];

    let Some(grad_out) = &inputs.grad_out else {
        load::write_views(partial.path(), views.into_iter())?;
        return Ok(found);
    };
    let mut grads = vec![B::Elem::ZERO; params.len()];
    let mut grad_x = vec![B::Elem::ZERO; x.len()];
    let grad_out = convert(grad_out);
    dis.backward(arena, &input, &mut activations, &grad_out, &mut grads, Some(&mut grad_x))
        .context("gradient pass")?;
    found += &format!("grad.x   {}\ngrad.*   {}\n", statistics(&grad_x), statistics(&grads));
    let x_shape = [inputs.batch, c.channels, side, side];
    views.push(("grad.x", &x_shape, B::Elem::DTYPE, bytemuck::cast_slice(&grad_x)));
    let names: Vec<String> = dis.layout().iter().map(|p| format!("grad.{}", p.name)).collect();
    views.extend(dis.layout().iter().zip(&names).map(|(param, name)| {
        let bytes = bytemuck::cast_slice(&grads[param.range.clone()]);
        (name.as_str(), param.shape.as_slice(), B::Elem::DTYPE, bytes)
    }));
    load::write_views(partial.path(), views.into_iter())?;
    Ok(found)
}

/// Mean, norm and largest magnitude.
fn statistics<T: Real>(values: &[T]) -> String {
    let all = || values.iter().map(|v| v.to_f64());
    let mean = all().sum::<f64>() / values.len() as f64;
    let norm = all().map(|v| v * v).sum::<f64>().sqrt();
    let largest = all().fold(0.0, |m: f64, v| m.max(v.abs()));
    format!("mean {mean:.6e}, norm {norm:.6e}, largest {largest:.6e}")
}
