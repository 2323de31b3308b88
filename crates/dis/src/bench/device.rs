//! Rounds of one network on a device: the total alone, from an idle device to one that has finished.

use super::report::{build, extremes};
use crate::device::{Job, OpenDevice};
use crate::info::describe;
use crate::info::plan::Pass;
use crate::info::target::Target;
use crate::info::units::bytes;
use crate::network::{Condition, Loaded, Moments, Rounds};
use crate::progress;
use anyhow::Result;
use dis_model::init::{InitOptions, init};
use dis_model::{DisConfig, ModelError, ParamLayout, counts};
use serde_json::{Value, json};
use ssm_kernels::adamw_ema::Hyper;
use ssm_kernels::{Backend, Buf, Storage};
use std::fmt::Write;
use std::time::Instant;
use trainer::workload::median;

/// Rounds before any is timed: kernels are looked up, working memory grows.
const WARM_UP: usize = 3;

/// A step so small that weights stay what they are while many are timed.
const HYPER: Hyper<'static> = Hyper {
    lr: 1e-6,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.0,
    step: 1,
    grad_factor: 1.0,
    no_decay: &[],
};

/// What was found.
pub(super) struct Measured {
    pass: Pass,
    images: usize,
    /// Seconds of each round.
    rounds: Vec<f64>,
    /// FLOPs of a round's matrix products.
    flops: f64,
    /// Bytes that were free before the network was made, and are not any more.
    taken: Option<u64>,
}

/// Measures a network of initial weights on made-up images.
pub(super) fn measure(
    config: &DisConfig,
    pass: Pass,
    images: usize,
    rounds: usize,
    device: &OpenDevice,
) -> Result<Measured> {
    device.run(Bench { config, pass, images, rounds, device })
}

struct Bench<'a> {
    config: &'a DisConfig,
    pass: Pass,
    images: usize,
    rounds: usize,
    device: &'a OpenDevice,
}

impl Job for Bench<'_> {
    type Output = Measured;

    fn on<B>(self, backend: B) -> Result<Measured>
    where
        B: Backend<Wide = f32>,
        B::Act: Rounds<f32>,
    {
        let Self { config, pass, images, rounds, device } = self;
        let before = device.free_memory();
        let mut workload = Workload::new(backend, config, pass, images)?;
        let bar = progress::bar((WARM_UP + rounds) as u64, 0, "rounds");
        let mut time = || {
            device.synchronize()?;
            let start = Instant::now();
            workload.round()?;
            device.synchronize()?;
            bar.inc(1);
            Ok::<f64, ModelError>(start.elapsed().as_secs_f64())
        };
        for _ in 0..WARM_UP {
            time()?;
        }
        let seconds = (0..rounds).map(|_| time()).collect::<Result<_, _>>()?;
        bar.finish_and_clear();
        let passes = if pass == Pass::TRAINING { 3.0 } else { 1.0 };
        let after = device.free_memory();
        Ok(Measured {
            pass,
            images,
            rounds: seconds,
            flops: passes * counts::gemm_flops(config) * images as f64,
            taken: before.zip(after).map(|(before, after)| before.saturating_sub(after)),
        })
    }
}

/// A network, its images, and in training what an optimiser needs.
struct Workload<B: Backend> {
    network: Loaded<B>,
    timesteps: Vec<f64>,
    labels: Option<Vec<u32>>,
    training: Option<(Buf<B, f32>, Moments<B>)>,
}

impl<B: Backend<Wide = f32>> Workload<B>
where
    B::Act: Rounds<f32>,
{
    fn new(backend: B, c: &DisConfig, pass: Pass, images: usize) -> Result<Self, ModelError> {
        c.validate()?;
        let wave = |len: usize| (0..len).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<_>>();
        let weights = init(c, &ParamLayout::new(c), &InitOptions::official(), 0);
        let mut network = Loaded::new(backend, c.clone(), &weights, pass)?;
        network.put(&wave(images * c.image_len()), images)?;
        let training = match pass {
            Pass::Inference => None,
            Pass::Training(_) => {
                let slope = wave(images * c.output_len());
                let mut grad_out = network.backend().zeros(slope.len())?;
                network.backend().upload(&slope, Storage::view_mut(&mut grad_out))?;
                Some((grad_out, network.moments()?))
            }
        };
        Ok(Self {
            network,
            timesteps: (0..images).map(|b| ((b * 97 + 50) % 1000) as f64).collect(),
            labels: c.is_conditional().then(|| vec![0; images]),
            training,
        })
    }

    /// Asks for a value pass, in training for a gradient pass and an optimiser step as well.
    fn round(&mut self) -> Result<(), ModelError> {
        let Self { network, timesteps, labels, training } = self;
        let condition = Condition { timesteps, labels: labels.as_deref() };
        network.forward(condition)?;
        let Some((grad_out, state)) = training else { return Ok(()) };
        network.backend().fill_zero(state.grads.view_mut())?;
        network.backward(condition, grad_out.view(), state.grads.view_mut(), None)?;
        Ok(network.update(&HYPER, state)?)
    }
}

/// One screen.
pub(super) fn page(
    target: &Target,
    m: &Measured,
    device: &OpenDevice,
) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let (seconds, rounds) = (median(&m.rounds), m.rounds.len());
    let what = match m.pass {
        Pass::Inference => "value pass",
        Pass::Training(_) => "training step without its loss",
    };
    writeln!(out, "{}: {}", target.name, describe(&target.config))?;
    let mut row = |title: &str, text: String| writeln!(out, "{title:<13}{text}");
    let precision = device.precision().name();
    row("measured", format!("{what}, {} images, {precision}, {} build", m.images, build()))?;
    row("machine", device.describe())?;
    let (min, max) = extremes(&m.rounds);
    let [seconds_ms, min, max] = [seconds, min, max].map(|seconds| seconds * 1e3);
    row("rounds", format!("{rounds}: median {seconds_ms:.2} ms, min {min:.2}, max {max:.2}"))?;
    row("speed", format!("{:.2} img/s", m.images as f64 / seconds))?;
    let rate = m.flops / seconds / 1e9;
    row("products", format!("{rate:.1} GFLOP/s, with all other work in the time"))?;
    if let Some(taken) = m.taken.filter(|&taken| taken > 0) {
        row(
            "memory",
            format!("{} of the device for weights, activations and the rest", bytes(taken)),
        )?;
    }
    row("parts", "not measured on a device: an operator returns before it has run".into())?;
    Ok(out)
}

/// The same for programs.
pub(super) fn as_json(target: &Target, m: &Measured, device: &OpenDevice) -> Value {
    let seconds = median(&m.rounds);
    let (min, max) = extremes(&m.rounds);
    json!({
        "name": target.name,
        "config": target.config,
        "pass": if m.pass == Pass::TRAINING { "training" } else { "forward" },
        "images": m.images,
        "precision": device.precision().name(),
        "build": build(),
        "device": device.describe(),
        "rounds": m.rounds.len(),
        "ms": { "median": seconds * 1e3, "min": min * 1e3, "max": max * 1e3 },
        "images_per_second": m.images as f64 / seconds,
        "gflops": m.flops / seconds / 1e9,
        "parts": null,
        "bytes": { "taken": m.taken },
    })
}
