//! `dis info`: what a network costs, before anything is allocated.

pub(crate) mod plan;
mod room;
pub(crate) mod target;
pub(crate) mod units;

use crate::device::ComputeArgs;
use crate::exit;
use crate::load::Which;
use anyhow::Result;
use dis_model::{DisConfig, DisPreset, ParamLayout, Recompute, counts};
use plan::{Pass, Place};
use room::Room;
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::ExitCode;
use target::{Sizes, Target};
use units::{bytes, thousands};

const EXAMPLES: &str = "\
Examples:
  dis info                                    all sizes of the paper, for CIFAR-10
  dis info S/4                                one of them, patches of 4x4
  dis info H/2 --channels 4 --classes 1000    256 px ImageNet: 32x32x4 latents
  dis info configs/quickstart.toml            the network of an experiment
  dis info ema.safetensors --json             the network of a file of weights
  dis info H/2 --device cuda                  how many images fit on a GPU, and what takes the room
  dis info --device cuda                      the same for all sizes

A FLOP is one addition, multiplication or exponential. Counted are the matrix
products, convolutions and scans of one value pass of one image. The paper's own
figures count only skip linears, time network, patch convolution, final linear and
norms: they leave out the mixer, and so seven eighths of the cost. They are printed
beside the true ones for comparison with its table 1.";

const LEGEND: &str = "
products, scans, total: GFLOP of one value pass of one image
(paper):                the paper's own count, which leaves out the mixer
state, + image:         memory of training, and what every image of a batch adds (estimate)

`dis info SIZE` says more; `dis info --help` shows how to ask for other inputs.
";

/// Show what a network costs: parameters, true FLOPs, memory, checkpoint size.
///
/// A network is one of the paper's sizes (S, S-384, B, M, L, H, with /2, /4 or /8 for the patch), an
/// experiment file, a run directory or a file of weights. Without one, all sizes are listed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// PRESET[/PATCH], CONFIG.toml, run directory or FILE.safetensors
    target: Option<String>,
    #[command(flatten)]
    sizes: Sizes,
    /// Which weights of a file that holds several [default: ema, where there are several]
    #[arg(long, value_enum)]
    key: Option<Which>,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    args.compute.require_f32_on_cpu("training on the CPU")?;
    let room = Room::look(args.compute);
    let text = match &args.target {
        Some(text) => {
            let target = target::resolve(text, args.sizes, args.key)?;
            if args.json {
                format!("{:#}\n", as_json(&target, &room))
            } else {
                page(&target, &room)?
            }
        }
        None => {
            let targets =
                DisPreset::ALL.into_iter().map(|preset| target::preset(preset, args.sizes));
            let targets = targets.collect::<Result<Vec<_>>>()?;
            if args.json {
                let all = targets.iter().map(|target| as_json(target, &room)).collect();
                format!("{:#}\n", Value::Array(all))
            } else {
                heading(&targets)? + &table(&targets, &room)?
            }
        }
    };
    exit::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Sizes and switches in words.
pub(crate) fn describe(c: &DisConfig) -> String {
    let classes = match c.num_classes {
        0 => "unconditional".to_string(),
        n => format!("{n} classes"),
    };
    let (side, channels) = (c.image_size, c.channels);
    format!(
        "width {}, depth {} ({} blocks), patch {}, {side}x{side}x{channels}, {classes}",
        c.hidden_size,
        c.depth,
        c.n_blocks(),
        c.patch_size,
    )
}

fn giga(flops: f64) -> f64 {
    flops / 1e9
}

/// What all networks of a table have in common.
fn heading(targets: &[Target]) -> Result<String> {
    let mut out = String::new();
    if let Some(first) = targets.first() {
        let c = &first.config;
        let kind = if c.is_conditional() { "class-conditional" } else { "unconditional" };
        let (side, patch) = (c.image_size, c.patch_size);
        writeln!(
            out,
            "{side}x{side}x{} inputs, patch {patch}, {kind}: {} tokens\n",
            c.channels,
            c.seq_len()
        )?;
    }
    Ok(out)
}

/// One line per network.
fn table(targets: &[Target], room: &Room) -> Result<String> {
    if room.place != Place::Cpu {
        return Ok(room.table(targets)?);
    }
    let mut out = String::new();
    writeln!(
        out,
        "{:<6} {:>5} {:>6} {:>7} {:>11} {:>9} {:>7} {:>9} {:>8} {:>8} {:>8}",
        "size",
        "width",
        "blocks",
        "tensors",
        "parameters",
        "products",
        "scans",
        "total",
        "(paper)",
        "state",
        "+ image"
    )?;
    for Target { name, config: c, averages, .. } in targets {
        writeln!(
            out,
            "{name:<6} {:>5} {:>6} {:>7} {:>11} {:>9.3} {:>7.3} {:>9.3} {:>8.3} {:>8} {:>8}",
            c.hidden_size,
            c.n_blocks(),
            ParamLayout::new(c).iter().count(),
            thousands(counts::parameters(c)),
            giga(counts::gemm_flops(c)),
            giga(counts::scan_flops(c)),
            giga(counts::flops(c)),
            giga(counts::paper_flops(c)),
            bytes(plan::state_bytes(c, Place::Cpu, *averages)),
            bytes(plan::activation_bytes(c, Pass::TRAINING, Place::Cpu)),
        )?;
    }
    out += LEGEND;
    Ok(out)
}

/// Everything about one network.
fn page(target: &Target, room: &Room) -> Result<String> {
    let Target { name, config: c, averages, note } = target;
    let mut out = String::new();
    writeln!(out, "{name}: {}", describe(c))?;
    if let Some(note) = note {
        writeln!(out, "{note}")?;
    }
    let mut row = |title: &str, text: String| writeln!(out, "{title:<15}{text}");
    let tensors = ParamLayout::new(c).iter().count();
    row("parameters", format!("{} in {tensors} tensors", thousands(counts::parameters(c))))?;
    let tokens = format!("{} patches + {} extra", c.n_patches(), c.extra_tokens());
    row("tokens", format!("{} ({tokens})", c.seq_len()))?;
    let [products, scans, total, paper] =
        [counts::gemm_flops(c), counts::scan_flops(c), counts::flops(c), counts::paper_flops(c)]
            .map(units::flops);
    row("value pass", format!("{total} an image: {products} matrix products, {scans} scans"))?;
    row("", "a training step costs about three times as much".into())?;
    row("paper's count", format!("{paper}, leaving out the mixer, where most of the work is"))?;
    for (title, text) in room.lines(target) {
        row(title, text)?;
    }
    let (checkpoint, weights) = (plan::checkpoint_bytes(c, *averages), plan::weight_bytes(c));
    row("checkpoint", format!("{}; weights alone {}", bytes(checkpoint), bytes(weights)))?;
    Ok(out)
}

/// The same for programs. Sizes in bytes.
fn as_json(target: &Target, room: &Room) -> Value {
    let (c, place) = (&target.config, room.place);
    let training = |recompute| plan::activation_bytes(c, Pass::Training(recompute), place);
    json!({
        "name": target.name,
        "config": c,
        "parameters": counts::parameters(c),
        "tensors": ParamLayout::new(c).iter().count(),
        "blocks": c.n_blocks(),
        "tokens": c.seq_len(),
        "gflop": {
            "matrix_products": giga(counts::gemm_flops(c)),
            "scans": giga(counts::scan_flops(c)),
            "total": giga(counts::flops(c)),
            "paper_convention": giga(counts::paper_flops(c)),
        },
        "bytes": {
            "weights": plan::weight_bytes(c),
            "checkpoint": plan::checkpoint_bytes(c, target.averages),
            "training_state": plan::state_bytes(c, place, target.averages),
            "training_per_image_estimate": training(Recompute::None),
            "training_per_image_recompute_scan": training(Recompute::Scan),
            "training_per_image_recompute_block": training(Recompute::Block),
            "sampling_per_image_estimate": plan::activation_bytes(c, Pass::Inference, place),
        },
        "images_at_once": room.as_json(target),
    })
}
