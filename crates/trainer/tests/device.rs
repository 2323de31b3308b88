//! Steps on a device against those of the CPU: on the emulator, and on a GPU where there is one.
#![cfg(any(feature = "emulated", feature = "cuda"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "says what was skipped")]

mod objective_cases;

use data::{Batch, Shapes, load_batch};
use diffusion::{NoiseSchedule, Objective, ObjectiveKind};
use dis_model::init::{DeltaBiasInit, InitOptions, init};
use dis_model::{Conditioning, DisConfig, DisPreset, ParamLayout, Recompute, Skip};
use ssm_kernels::device::Format;
use trainer::{Compute, Engine, Feedback, RunState, StepConfig, StepError, StepReport, engine};

const SEED: u64 = 3;
const LR: f64 = 2e-3;
/// As many averages as a device keeps.
const DECAYS: [f64; 4] = [0.9, 0.5, 0.0, 0.99];
const BATCH: usize = 4;

/// Width 16, three blocks, 8x8 pixels in patches of 2, four classes.
fn network(objective: ObjectiveKind) -> DisConfig {
    DisConfig {
        hidden_size: 16,
        depth: 2,
        learned_variance: objective.learns_variance(),
        ..DisConfig::official(DisPreset::S, 8, 3, 2, 4)
    }
}

fn config(micro: usize) -> StepConfig {
    StepConfig {
        seed: SEED,
        micro_batch: micro,
        recompute: Recompute::None,
        label_dropout: 0.3,
        drop_path: 0.1,
        beta1: 0.9,
        beta2: 0.99,
        adam_eps: 1e-8,
        weight_decay: 0.01,
        grad_clip: 1.0,
    }
}

/// The state before the first step. The head does not start at zero, so that every parameter has a
/// gradient from the first step on.
fn start(network: &DisConfig) -> RunState {
    let options = InitOptions {
        delta_bias: DeltaBiasInit::Symmetric,
        zero_head: false,
        position_std: 0.02,
        label_std: 1.0,
    };
    RunState::new(init(network, &ParamLayout::new(network), &options, SEED), DECAYS.len())
}

fn run(
    compute: &Compute,
    network: &DisConfig,
    objective: ObjectiveKind,
    config: StepConfig,
    state: RunState,
) -> Box<dyn Engine> {
    let objective = Objective::new(objective, &NoiseSchedule::linear(1000).unwrap());
    engine(compute, network.clone(), objective, config, state).unwrap()
}

/// A learned log variance and a loss history make the device wait for every step; none may be lost.
#[test]
fn objectives_of_every_kind_are_those_of_the_cpu() {
    for (name, objective) in objective_cases::cases() {
        let network = network(objective.kind());
        let state = || RunState { feedback: Feedback::new(&objective, 0.02), ..start(&network) };
        let on = |compute: &Compute| {
            engine(compute, network.clone(), objective.clone(), config(2), state()).unwrap()
        };
        let mut cpu = on(&Compute::Cpu);
        let expected = steps(cpu.as_mut(), 6);
        for device in devices(Format::F32) {
            let mut engine = on(&device);
            let reports = steps(engine.as_mut(), 6);
            eprintln!("{name}: {:e}", reports[5].loss / expected[5].loss - 1.0);
            assert_losses(&reports, &expected, 1e-3);
        }
    }
}

fn samples(first_position: u64) -> Batch {
    load_batch(&Shapes::new(SEED, 8, 64).unwrap(), SEED, false, first_position, BATCH).unwrap()
}

/// Makes steps and returns what they measured.
fn steps(engine: &mut dyn Engine, count: u64) -> Vec<StepReport> {
    let mut reports = Vec::new();
    for _ in 0..count {
        let batch = samples(engine.steps() * BATCH as u64);
        engine.step(&batch, LR, &DECAYS).unwrap();
        if engine.reports_at_once() {
            reports.extend(engine.reports().unwrap());
        }
    }
    reports.extend(engine.reports().unwrap());
    reports
}

/// The devices at hand, in one format.
fn devices(format: Format) -> Vec<Compute> {
    let mut devices = Vec::new();
    #[cfg(feature = "emulated")]
    {
        let emulator = ssm_kernels::device::emulated::Fast::new().unwrap();
        devices.push(Compute::Emulated { emulator: emulator.into(), format });
    }
    #[cfg(feature = "cuda")]
    match ssm_kernels::device::cuda::Cuda::open(0) {
        Ok(gpu) => devices.push(Compute::Cuda { gpu: gpu.into(), format }),
        Err(why) => eprintln!("skipped, no GPU: {why}"),
    }
    devices
}

/// `max |a - b| / max |b|`.
fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let largest = b.iter().fold(0.0_f64, |m, &v| m.max(f64::from(v).abs()));
    let error =
        a.iter().zip(b).fold(0.0_f64, |m, (&a, &b)| m.max((f64::from(a) - f64::from(b)).abs()));
    assert!(largest > 0.0 && error.is_finite() && a.len() == b.len());
    error / largest
}

#[track_caller]
fn assert_losses(reports: &[StepReport], expected: &[StepReport], bar: f64) {
    assert_eq!(reports.len(), expected.len());
    for (a, b) in reports.iter().zip(expected) {
        assert_eq!((a.step, a.samples_seen, a.lr), (b.step, b.samples_seen, b.lr));
        assert_eq!(a.vb.is_some(), b.vb.is_some());
        for (a, b) in [(a.loss, b.loss), (a.mse, b.mse), (a.grad_norm, b.grad_norm)] {
            assert!((a / b - 1.0).abs() < bar, "{a} and {b}");
        }
    }
}

#[test]
fn ten_steps_are_those_of_the_cpu() {
    for objective in [ObjectiveKind::EpsHybrid, ObjectiveKind::V] {
        let network = network(objective);
        let mut cpu = run(&Compute::Cpu, &network, objective, config(2), start(&network));
        let expected = steps(cpu.as_mut(), 10);
        for compute in devices(Format::F32) {
            let mut device = run(&compute, &network, objective, config(2), start(&network));
            let reports = steps(device.as_mut(), 10);
            assert_losses(&reports, &expected, 1e-4);
            let (state, wanted) = (device.state().unwrap().clone(), cpu.state().unwrap());
            assert_eq!((state.step, state.samples_seen), (wanted.step, wanted.samples_seen));
            assert_eq!(state.averages.len(), DECAYS.len());
            let averages = state.averages.iter().zip(&wanted.averages);
            for (values, wanted) in averages.chain([(&state.params, &wanted.params)]) {
                let error = relative_error(values, wanted);
                assert!(error < 1e-4, "{objective:?} on {}: {error:e}", device.name());
            }
        }
    }
}

#[test]
fn bf16_follows_at_its_distance() {
    let objective = ObjectiveKind::EpsHybrid;
    let normed = DisConfig { normalize_ssm_inputs: true, hidden_size: 40, ..network(objective) };
    for network in [network(objective), normed] {
        let mut cpu = run(&Compute::Cpu, &network, objective, config(4), start(&network));
        let expected = steps(cpu.as_mut(), 10);
        for compute in devices(Format::Bf16) {
            let mut device = run(&compute, &network, objective, config(4), start(&network));
            assert_losses(&steps(device.as_mut(), 10), &expected, 0.05);
        }
    }
}

#[test]
fn every_kind_of_network_trains() {
    let objective = ObjectiveKind::V;
    let kinds = [
        DisConfig { conditioning: Conditioning::Adaln, ..network(objective) },
        DisConfig { skip: Skip::Add, num_classes: 0, ..network(objective) },
        DisConfig { skip: Skip::None, final_adaln: false, ..network(objective) },
        DisConfig { normalize_ssm_inputs: true, hidden_size: 40, ..network(objective) },
    ];
    for network in kinds {
        let mut cpu = run(&Compute::Cpu, &network, objective, config(4), start(&network));
        let expected = steps(cpu.as_mut(), 2);
        for compute in devices(Format::F32) {
            let mut device = run(&compute, &network, objective, config(4), start(&network));
            assert_losses(&steps(device.as_mut(), 2), &expected, 1e-4);
        }
    }
}

#[test]
fn what_is_made_again_has_the_bits_of_what_is_kept() {
    let objective = ObjectiveKind::EpsHybrid;
    let normed = DisConfig { normalize_ssm_inputs: true, ..network(objective) };
    for network in [network(objective), normed] {
        for compute in devices(Format::Bf16) {
            let [kept, scans, blocks] =
                [Recompute::None, Recompute::Scan, Recompute::Block].map(|recompute| {
                    let config = StepConfig { recompute, ..config(2) };
                    let mut device = run(&compute, &network, objective, config, start(&network));
                    let reports = steps(device.as_mut(), 2);
                    (reports, device.state().unwrap().clone())
                });
            assert!(kept == scans && kept == blocks);
        }
    }
}

#[test]
fn a_resumed_run_makes_the_same_bits() {
    let objective = ObjectiveKind::EpsHybrid;
    let network = network(objective);
    for compute in devices(Format::Bf16) {
        let begin = |state| run(&compute, &network, objective, config(2), state);
        let mut whole = begin(start(&network));
        let reports = steps(whole.as_mut(), 4);
        let mut first = begin(start(&network));
        let mut parts = steps(first.as_mut(), 2);
        let mut second = begin(first.state().unwrap().clone());
        parts.extend(steps(second.as_mut(), 2));
        assert!(parts == reports);
        assert!(whole.state().unwrap() == second.state().unwrap());
    }
}

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    let objective = ObjectiveKind::EpsHybrid;
    let network = network(objective);
    for compute in devices(Format::F32) {
        let mut device = run(&compute, &network, objective, config(2), start(&network));
        let before = device.state().unwrap().clone();
        let mut batch = samples(0);
        let image = batch.images.len() / BATCH;
        batch.images[2 * image] = f32::NAN;
        device.step(&batch, LR, &DECAYS).unwrap();
        let Err(StepError::NonFinite(error)) = device.reports() else { panic!("not reported") };
        assert_eq!((error.step, &error.positions[..]), (1, &batch.positions[2..3]));
        let after = device.state().unwrap();
        assert!(before.params == after.params && before.m == after.m);
        assert!(before.averages == after.averages);
    }
}
