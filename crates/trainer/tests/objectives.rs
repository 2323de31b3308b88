//! Steps with objectives of every kind: they learn, and nothing but the samples decides how.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod objective_cases;

use data::{Batch, Shapes, load_batch};
use diffusion::Objective;
use dis_model::init::{DeltaBiasInit, InitOptions, init};
use dis_model::{Dis, DisConfig, DisPreset, Recompute};
use objective_cases::cases;
use trainer::{Feedback, RunState, StepConfig, StepReport, Stepper};

const SEED: u64 = 3;
const BATCH: usize = 8;

fn stepper(objective: &Objective, micro_batch: usize) -> Stepper {
    let config = DisConfig {
        hidden_size: 16,
        depth: 2,
        learned_variance: objective.kind().learns_variance(),
        ..DisConfig::official(DisPreset::S, 8, 3, 2, 4)
    };
    let steps = StepConfig {
        seed: SEED,
        micro_batch,
        recompute: Recompute::None,
        label_dropout: 0.1,
        drop_path: 0.0,
        beta1: 0.9,
        beta2: 0.99,
        adam_eps: 1e-8,
        weight_decay: 0.0,
        grad_clip: 1.0,
    };
    Stepper::new(Dis::new(config).unwrap(), objective.clone(), steps).unwrap()
}

fn start(stepper: &Stepper, objective: &Objective) -> RunState {
    let options = InitOptions {
        delta_bias: DeltaBiasInit::Symmetric,
        zero_head: true,
        position_std: 0.02,
        label_std: 1.0,
    };
    let dis = stepper.dis();
    let params = init(dis.config(), dis.layout(), &options, SEED);
    RunState { feedback: Feedback::new(objective, 0.02), ..RunState::new(params, 1) }
}

fn samples(first_position: u64) -> Batch {
    load_batch(&Shapes::new(SEED, 8, 64).unwrap(), SEED, false, first_position, BATCH).unwrap()
}

fn steps(stepper: &mut Stepper, state: &mut RunState, count: usize) -> Vec<StepReport> {
    (0..count)
        .map(|_| stepper.step(state, &samples(state.samples_seen), 3e-3, &[0.9]).unwrap())
        .collect()
}

/// Mean squared errors at the end are lower than at the start, where the output is zero.
#[test]
fn every_objective_learns() {
    for (name, objective) in cases() {
        let mut stepper = stepper(&objective, BATCH);
        let mut state = start(&stepper, &objective);
        let reports = steps(&mut stepper, &mut state, 80);
        let mean = |reports: &[StepReport]| {
            reports.iter().map(|report| report.mse).sum::<f64>() / reports.len() as f64
        };
        let (first, last) = (mean(&reports[..10]), mean(&reports[60..]));
        assert!(last < 0.9 * first, "{name}: {first} at first, {last} at last");
        assert!(reports.iter().all(|report| report.loss.is_finite()), "{name}");
    }
}

/// Also with timesteps and weights that follow from the losses before.
#[test]
fn micro_batches_make_the_steps_of_the_whole_batch() {
    for (name, objective) in cases() {
        let [mut whole, mut parts] = [BATCH, 2].map(|micro| stepper(&objective, micro));
        let (mut a, mut b) = (start(&whole, &objective), start(&parts, &objective));
        let pairs = steps(&mut whole, &mut a, 40).into_iter().zip(steps(&mut parts, &mut b, 40));
        for (a, b) in pairs {
            let error = (a.loss - b.loss).abs() / a.loss.abs().max(0.1);
            assert!(error < 2e-3, "{name}: step {}: {} and {}", a.step, a.loss, b.loss);
        }
    }
}

/// A state that was put aside goes on to the same bits: what the losses taught is part of it.
#[test]
fn a_state_is_all_there_is() {
    for (name, objective) in cases() {
        let mut stepper = stepper(&objective, BATCH);
        let mut state = start(&stepper, &objective);
        steps(&mut stepper, &mut state, 30);
        let kept = state.clone();
        if kept.feedback.is_active() {
            assert_ne!(
                kept.feedback,
                Feedback::new(&objective, 0.02),
                "{name}: nothing was learnt"
            );
        }
        steps(&mut stepper, &mut state, 10);
        let kept_feedback = kept.feedback.state().unwrap_or_default();
        let feedback = Feedback::restore(&objective, 0.02, &kept_feedback).unwrap();
        let mut again = RunState { feedback, ..kept };
        steps(&mut self::stepper(&objective, BATCH), &mut again, 10);
        assert!(again == state, "{name}");
    }
}
