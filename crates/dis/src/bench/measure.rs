//! Rounds of one network.

use crate::info::plan::Pass;
use crate::progress;
use anyhow::Result;
use dis_model::{DisConfig, ModelError};
use ssm_kernels::HostBackend;
use ssm_kernels::ceilings::Ceilings;
use ssm_kernels::timed::{self, Part, Timed, Times};
use std::time::Instant;
use trainer::usage;
use trainer::workload::{Workload, median};

/// Rounds that touch memory and let buffers grow, before any is timed.
const WARM_UP: usize = 2;

/// Most rounds with a clock around every operator.
const PART_ROUNDS: usize = 5;

/// What was found.
pub(super) struct Measured {
    pub(super) pass: Pass,
    pub(super) images: usize,
    pub(super) ceilings: Ceilings,
    /// Seconds of each round.
    pub(super) rounds: Vec<f64>,
    /// Seconds a round that each part takes, in the order of [`Part::ALL`].
    pub(super) parts: [(Part, f64); Part::ALL.len()],
    /// FLOPs of a round's matrix products.
    pub(super) flops: f64,
    /// Minor page faults of all rounds.
    pub(super) faults: Option<u64>,
    /// Most memory in use at once, from the making of the network on.
    pub(super) peak_bytes: Option<u64>,
}

impl Measured {
    /// Seconds of a round.
    pub(super) fn seconds(&self) -> f64 {
        median(&self.rounds)
    }
}

/// Measures the machine, then the network.
pub(super) fn measure<B: HostBackend<Elem = f32>>(
    config: &DisConfig,
    pass: Pass,
    images: usize,
    rounds: usize,
) -> Result<Measured> {
    let ceilings = Ceilings::measure();
    // The ceilings copy between large buffers, which are not the network's.
    let resettable = usage::reset_peak_memory();
    let mut workload = match pass {
        Pass::Inference => Workload::<B>::for_inference(config.clone(), images)?,
        Pass::Training(_) => Workload::<B>::for_training(config.clone(), images)?,
    };
    let part_rounds = rounds.min(PART_ROUNDS);
    let bar = progress::bar((2 * WARM_UP + rounds + part_rounds) as u64, 0, "rounds");
    let time = |round: &mut dyn FnMut() -> Result<(), ModelError>| {
        let start = Instant::now();
        round()?;
        let seconds = start.elapsed().as_secs_f64();
        bar.inc(1);
        Ok::<f64, ModelError>(seconds)
    };
    for _ in 0..WARM_UP {
        time(&mut || step(&mut workload, pass))?;
    }
    let before = usage::minor_faults();
    let seconds = (0..rounds)
        .map(|_| time(&mut || step(&mut workload, pass)))
        .collect::<Result<Vec<_>, _>>()?;
    let faults = usage::minor_faults().zip(before).map(|(after, before)| after - before);
    let peak_bytes = resettable.and_then(|()| usage::peak_memory());

    let mut workload = workload.on::<Timed<B>>()?;
    for _ in 0..WARM_UP {
        time(&mut || step(&mut workload, pass))?;
    }
    timed::take();
    let mut times = Vec::new();
    for _ in 0..part_rounds {
        time(&mut || step(&mut workload, pass))?;
        times.push(timed::take());
    }
    bar.finish_and_clear();
    let passes = if pass == Pass::TRAINING { 3.0 } else { 1.0 };
    Ok(Measured {
        pass,
        images,
        ceilings,
        rounds: seconds,
        parts: Part::ALL.map(|part| (part, part_seconds(&times, part))),
        flops: passes * workload.gemm_flops(),
        faults,
        peak_bytes,
    })
}

fn step<B: HostBackend<Elem = f32>>(
    workload: &mut Workload<B>,
    pass: Pass,
) -> Result<(), ModelError> {
    match pass {
        Pass::Inference => workload.forward().map(drop),
        Pass::Training(_) => workload.train_step().map(drop),
    }
}

fn part_seconds(times: &[Times], part: Part) -> f64 {
    median(&times.iter().map(|times| times.of(part).as_secs_f64()).collect::<Vec<_>>())
}
