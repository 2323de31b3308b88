//! The optimiser against a loop written out in f64, its closed form, and itself on parts.

use parity::{assert_close, uniform};
use proptest::prelude::*;
use ssm_kernels::adamw_ema::{Arenas, Average, Hyper, cpu, reference};
use ssm_kernels::{InstructionSet, KernelError, Real};
use std::ops::Range;

/// f32 against f64 relative to the largest value, after several steps.
const F32: f64 = 2e-6;

const HYPER: Hyper<'static> = Hyper {
    lr: 1e-2,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.1,
    step: 1,
    grad_factor: 0.5,
    no_decay: &[],
};

/// All arenas with two averages.
#[derive(Clone, Debug, PartialEq)]
struct State<T> {
    params: Vec<T>,
    m: Vec<T>,
    v: Vec<T>,
    averages: Vec<(f64, Vec<T>)>,
}

impl<T: Real> State<T> {
    fn new(len: usize) -> Self {
        let params: Vec<T> = convert(&uniform(1, len));
        let averages = vec![(0.99, params.clone()), (0.9999, convert(&uniform(2, len)))];
        Self { params, m: vec![T::ZERO; len], v: vec![T::ZERO; len], averages }
    }

    fn step(
        &mut self,
        hyper: &Hyper<'_>,
        grads: &[T],
        range: Range<usize>,
        run: impl FnOnce(&Hyper<'_>, Arenas<'_, T>) -> Result<(), KernelError>,
    ) {
        let mut averages: Vec<Average<'_, T>> = self
            .averages
            .iter_mut()
            .map(|(decay, values)| Average { decay: *decay, values: &mut values[range.clone()] })
            .collect();
        let arenas = Arenas {
            params: &mut self.params[range.clone()],
            grads: &grads[range.clone()],
            m: &mut self.m[range.clone()],
            v: &mut self.v[range],
            averages: &mut averages,
            compute_copy: None,
        };
        run(hyper, arenas).expect("fitting operands");
    }
}

fn convert<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&x| T::from_f64(x)).collect()
}

/// The update as published, one element at a time, with every bias correction written out.
fn by_hand(state: &mut State<f64>, hyper: &Hyper<'_>, grads: &[f64]) {
    for (i, &grad) in grads.iter().enumerate() {
        let g = hyper.grad_factor * grad;
        state.m[i] = hyper.beta1 * state.m[i] + (1.0 - hyper.beta1) * g;
        state.v[i] = hyper.beta2 * state.v[i] + (1.0 - hyper.beta2) * g.powi(2);
        let m_hat = state.m[i] / (1.0 - hyper.beta1.powi(hyper.step as i32));
        let v_hat = state.v[i] / (1.0 - hyper.beta2.powi(hyper.step as i32));
        let p = state.params[i];
        let mut new = p - hyper.lr * m_hat / (v_hat.sqrt() + hyper.eps);
        if !hyper.no_decay.iter().any(|range| range.contains(&i)) {
            new -= hyper.lr * hyper.weight_decay * p;
        }
        state.params[i] = new;
        for (decay, average) in &mut state.averages {
            average[i] = *decay * average[i] + (1.0 - *decay) * new;
        }
    }
}

fn assert_states_close<T: Real + parity::ToF64>(
    what: &str,
    got: &State<T>,
    want: &State<f64>,
    tolerance: f64,
) {
    assert_close(&format!("{what}: m"), &got.m, &want.m, tolerance);
    assert_close(&format!("{what}: v"), &got.v, &want.v, tolerance);
    assert_close(&format!("{what}: params"), &got.params, &want.params, tolerance);
    for ((decay, got), (_, want)) in got.averages.iter().zip(&want.averages) {
        assert_close(&format!("{what}: average {decay}"), got, want, tolerance);
    }
}

/// Ranges at both ends, at vector borders and off them, empty and adjacent.
fn no_decay(len: usize) -> Vec<Range<usize>> {
    [0..1, 3..3, 5..17, 17..18, 32..48, 2040..2060, 65_530..65_540]
        .into_iter()
        .filter(|range| range.end < len)
        .chain(std::iter::once(len - 1..len))
        .collect()
}

#[test]
fn steps_follow_the_loop_written_out() {
    for len in [1, 15, 16, 17, 100, 2047, 2049, 65_536 + 77] {
        let ranges = no_decay(len);
        let start = State::<f64>::new(len);
        let mut hand = start.clone();
        let mut plain = start;
        let mut fast: Vec<_> =
            InstructionSet::available().iter().map(|&set| (set, State::<f32>::new(len))).collect();
        for step in 1..=6 {
            let hyper = Hyper { step, no_decay: &ranges, ..HYPER };
            let grads = uniform(100 + step, len);
            by_hand(&mut hand, &hyper, &grads);
            plain.step(&hyper, &grads, 0..len, reference::step);
            for (set, state) in &mut fast {
                let grads: Vec<f32> = convert(&grads);
                state.step(&hyper, &grads, 0..len, |h, a| cpu::step_on(*set, h, a));
            }
        }
        assert_states_close(&format!("reference, {len}"), &plain, &hand, 1e-13);
        for (set, state) in &fast {
            assert_states_close(&format!("{set:?}, {len}"), state, &hand, F32);
        }
    }
}

#[test]
fn the_first_step_is_the_sign_of_the_gradient() {
    // m / (1 - beta1) = g and v / (1 - beta2) = g^2, so the direction is g / (|g| + eps).
    let hyper = Hyper { eps: 1e-3, ..HYPER };
    let mut state = State::<f64>::new(50);
    let mut fast = State::<f32>::new(50);
    let grads = uniform(7, 50);
    let want: Vec<f64> = state
        .params
        .iter()
        .zip(&grads)
        .map(|(p, g)| {
            let g = 0.5 * g;
            p * (1.0 - 1e-2 * 0.1) - 1e-2 * g / (g.abs() + 1e-3)
        })
        .collect();
    state.step(&hyper, &grads, 0..50, reference::step);
    assert_close("reference", &state.params, &want, 1e-13);
    fast.step(&hyper, &convert::<f32>(&grads), 0..50, cpu::step);
    assert_close("cpu", &fast.params, &want, F32);
}

#[test]
fn constant_gradients_keep_their_moments_for_good() {
    // With beta2 rounded to f32 the second moment would settle 1.6e-5 off; 200 000 steps of a
    // gradient that stays must leave it at g^2.
    let mut state = State::<f32>::new(16);
    state.averages.clear();
    let grads = vec![1.5f32; 16];
    state.m.fill(0.75);
    state.v.fill(0.5625);
    for step in 200_000..200_100 {
        let hyper = Hyper { step, beta2: 0.9999, ..HYPER };
        state.step(&hyper, &grads, 0..16, cpu::step);
    }
    assert_eq!((state.m[3], state.v[3]), (0.75, 0.5625));
}

#[test]
fn an_average_of_decay_zero_is_the_new_parameter() {
    let mut state = State::<f32>::new(40);
    state.averages = vec![(0.0, vec![7.0; 40])];
    state.step(&HYPER, &convert::<f32>(&uniform(3, 40)), 0..40, cpu::step);
    assert_close("average", &state.averages[0].1, &state.params, 1e-6);
}

#[test]
fn bits_do_not_depend_on_threads() {
    let len = 200_003;
    let grads: Vec<f32> = convert(&uniform(4, len));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut state = State::<f32>::new(len);
        pool.install(|| state.step(&HYPER, &grads, 0..len, cpu::step));
        state
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// An arena in two calls is the arena in one, bit for bit: shards may end anywhere.
    #[test]
    fn two_calls_are_one(len in 2..5000usize, cut in 1..5000usize, first in 0..5000usize) {
        let cut = 1 + cut % (len - 1);
        let first = first % len;
        let ranges = [first / 2..first, first..len.min(first + 77)];
        let hyper = Hyper { step: 3, no_decay: &ranges, ..HYPER };
        let grads: Vec<f32> = convert(&uniform(5, len));
        let start = State::<f32>::new(len);
        let mut whole = start.clone();
        whole.step(&hyper, &grads, 0..len, cpu::step);
        let mut parts = start;
        for part in [0..cut, cut..len] {
            let shifted: Vec<Range<usize>> = ranges
                .iter()
                .map(|r| r.start.clamp(part.start, part.end) - part.start
                    ..r.end.clamp(part.start, part.end) - part.start)
                .collect();
            parts.step(&Hyper { no_decay: &shifted, ..hyper.clone() }, &grads, part, cpu::step);
        }
        prop_assert!(whole == parts);
    }
}

#[test]
fn wrong_operands_are_named() {
    let refused = |lens: [usize; 4], step: u64, no_decay: &[Range<usize>], words: &str| {
        for run in [cpu::step, reference::step] {
            let mut params = vec![0.0f32; 10];
            let [grads, mut m, mut v, mut average] = lens.map(|len| vec![0.0f32; len]);
            let arenas = Arenas::<_> {
                params: &mut params,
                grads: &grads,
                m: &mut m,
                v: &mut v,
                averages: &mut [Average::<_> { decay: 0.9, values: &mut average }],
                compute_copy: None,
            };
            let hyper = Hyper { step, no_decay, ..HYPER };
            let error = run(&hyper, arenas).unwrap_err().to_string();
            assert!(error.starts_with("adamw_ema: ") && error.contains(words), "{error}");
        }
    };
    let right = [10; 4];
    refused([9, 10, 10, 10], 1, &[], "grads has 9 elements, expected 10");
    refused([10, 9, 10, 10], 1, &[], "m has 9 elements, expected 10");
    refused([10, 10, 9, 10], 1, &[], "v has 9 elements, expected 10");
    refused([10, 10, 10, 9], 1, &[], "average has 9 elements, expected 10");
    refused(right, 0, &[], "step is 0");
    refused(right, 1, &[2..5, 4..6], "start of a no_decay range is 4");
    refused(right, 1, &[4..6, 1..2], "start of a no_decay range is 1");
    refused(right, 1, &[0..1, 8..11], "end of a no_decay range is 11");
}

#[test]
fn the_copy_for_products_is_the_new_parameters() {
    for run in [cpu::step, reference::step] {
        let (mut state, mut copy) = (State::<f32>::new(100), vec![f32::NAN; 100]);
        let arenas = Arenas::<_> {
            params: &mut state.params,
            grads: &[0.5; 100],
            m: &mut state.m,
            v: &mut state.v,
            averages: &mut [],
            compute_copy: Some(&mut copy),
        };
        run(&HYPER, arenas).unwrap();
        assert_eq!(copy, state.params);
        assert_ne!(copy, State::<f32>::new(100).params);
    }
}
