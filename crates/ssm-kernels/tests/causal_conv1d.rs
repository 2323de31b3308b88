//! The convolution against its definition, the official code, central differences and its laws.

use parity::{Golden, assert_close, check_gradient, uniform};
use proptest::prelude::*;
use ssm_kernels::causal_conv1d::cases::SHAPES;
use ssm_kernels::causal_conv1d::{Args, Direction, DirectionGrads, Grads, Shape, cpu, reference};
use ssm_kernels::{InstructionSet, KernelError, Mat, MatMut, Real, ScanOrder, Scratch};
use std::slice::from_ref;

use ScanOrder::{LeftToRight, RightToLeft};

/// f32 against f64, relative to the largest value: the roundings of K products, of one sigmoid and
/// of sums over a sequence.
const F32: f64 = 2e-6;

/// What the gradients of parameters hold before the call, since it adds to them.
const BEFORE: f64 = 0.25;

/// Inputs exact in f32.
#[derive(Clone)]
struct Problem {
    shape: Shape,
    orders: Vec<ScanOrder>,
    /// Rows of 2E: the right halves are not the convolution's.
    x: Vec<f64>,
    weight: Vec<Vec<f64>>,
    bias: Vec<Vec<f64>>,
    grad_out: Vec<Vec<f64>>,
}

#[derive(Debug, PartialEq)]
struct Gradients<T> {
    x: Vec<T>,
    weight: Vec<Vec<T>>,
    bias: Vec<Vec<T>>,
}

impl Problem {
    fn new(shape: Shape, orders: &[ScanOrder]) -> Self {
        let tokens = shape.batch * shape.seq_len;
        let each = |seed: u64, len: usize| {
            (0..orders.len() as u64).map(|i| uniform(10 * seed + i, len)).collect()
        };
        Self {
            shape,
            orders: orders.to_vec(),
            x: uniform(1, tokens * 2 * shape.channels).iter().map(|x| 2.0 * x).collect(),
            weight: each(2, shape.channels * shape.width),
            bias: each(3, shape.channels),
            grad_out: each(4, tokens * shape.channels),
        }
    }

    fn tokens(&self) -> usize {
        self.shape.batch * self.shape.seq_len
    }

    fn forward<T: Real>(
        &self,
        run: impl FnOnce(&Args<'_, T>, &mut [&mut [T]]) -> Result<(), KernelError>,
    ) -> Vec<Vec<T>> {
        let len = self.tokens() * self.shape.channels;
        let mut outs = vec![vec![T::NAN; len]; self.orders.len()];
        let mut views: Vec<&mut [T]> = outs.iter_mut().map(Vec::as_mut_slice).collect();
        self.with_args(|args| run(args, &mut views)).expect("fitting operands");
        outs
    }

    fn backward<T: Real>(
        &self,
        run: impl FnOnce(
            &Args<'_, T>,
            &[&[T]],
            Grads<'_, T>,
            &mut Scratch<T>,
        ) -> Result<(), KernelError>,
    ) -> Gradients<T> {
        let Shape { channels, width, .. } = self.shape;
        let before = |len| vec![vec![T::from_f64(BEFORE); len]; self.orders.len()];
        let (mut weight, mut bias) = (before(channels * width), before(channels));
        let mut directions: Vec<DirectionGrads<'_, T>> = weight
            .iter_mut()
            .zip(&mut bias)
            .map(|(weight, bias)| DirectionGrads::<_> { weight, bias })
            .collect();
        let grad_outs: Vec<Vec<T>> = self.grad_out.iter().map(|g| convert(g)).collect();
        let grad_outs: Vec<&[T]> = grad_outs.iter().map(Vec::as_slice).collect();
        let mut x = vec![T::NAN; self.tokens() * 2 * channels];
        let view = MatMut::columns(&mut x, self.tokens(), 2 * channels, 0, channels);
        let mut scratch = Scratch::new();
        scratch.take(50_000).fill(T::NAN);
        let grads = Grads { x: view, directions: &mut directions };
        self.with_args(|args| run(args, &grad_outs, grads, &mut scratch))
            .expect("fitting operands");
        let rows = x.chunks_exact(2 * channels);
        let untouched = |row: &[T]| row[channels..].iter().all(|x| x.to_f64().is_nan());
        assert!(rows.clone().all(untouched), "wrote beyond the columns of x");
        let x = rows.flat_map(|row| row[..channels].to_vec()).collect();
        Gradients { x, weight, bias }
    }

    fn with_args<T: Real, R>(&self, run: impl FnOnce(&Args<'_, T>) -> R) -> R {
        let Shape { channels, .. } = self.shape;
        let x = convert(&self.x);
        let parameters: Vec<(Vec<T>, Vec<T>)> =
            self.weight.iter().zip(&self.bias).map(|(w, b)| (convert(w), convert(b))).collect();
        let directions: Vec<Direction<'_, T>> = self
            .orders
            .iter()
            .zip(&parameters)
            .map(|(&order, (weight, bias))| Direction::<_> { order, weight, bias })
            .collect();
        run(&Args {
            shape: self.shape,
            x: Mat::columns(&x, self.tokens(), 2 * channels, 0, channels),
            directions: &directions,
        })
    }

    /// `sum grad_out out`, whose gradient the gradient pass computes.
    fn objective(&self) -> f64 {
        let outs = self.forward(reference::forward::<f64>);
        outs.iter().zip(&self.grad_out).map(|(out, grad)| dot(out, grad)).sum()
    }

    /// The same with the tokens of every image in the other order.
    fn mirrored(&self) -> Self {
        let Shape { seq_len, channels, .. } = self.shape;
        Self {
            x: mirror(&self.x, seq_len, 2 * channels),
            grad_out: self.grad_out.iter().map(|g| mirror(g, seq_len, channels)).collect(),
            ..self.clone()
        }
    }
}

fn convert<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&x| T::from_f64(x)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn mirror<T: Copy>(values: &[T], seq_len: usize, channels: usize) -> Vec<T> {
    values
        .chunks_exact(seq_len * channels)
        .flat_map(|image| image.chunks_exact(channels).rev().flatten().copied())
        .collect()
}

fn assert_gradients_close<A: Real + parity::ToF64, B: Real + parity::ToF64>(
    what: &str,
    got: &Gradients<A>,
    want: &Gradients<B>,
    tolerance: f64,
) {
    assert_close(&format!("{what}: d x"), &got.x, &want.x, tolerance);
    for (i, (got, want)) in got.weight.iter().zip(&want.weight).enumerate() {
        assert_close(&format!("{what}: d weight of order {i}"), got, want, tolerance);
    }
    for (i, (got, want)) in got.bias.iter().zip(&want.bias).enumerate() {
        assert_close(&format!("{what}: d bias of order {i}"), got, want, tolerance);
    }
}

/// Channel-first `[B, E, L]` of the golden files to token-major rows of `row` elements.
fn token_major(values: &[f64], shape: Shape, row: usize) -> Vec<f64> {
    let Shape { batch, seq_len, channels, .. } = shape;
    let mut out = vec![0.0; batch * seq_len * row];
    for (at, &value) in values.iter().enumerate() {
        let (token, channel) = (at % seq_len, at / seq_len % channels);
        out[(at / (seq_len * channels) * seq_len + token) * row + channel] = value;
    }
    out
}

fn golden(file: &Golden, seq_len: usize) -> (Problem, Vec<f64>, Gradients<f64>) {
    let get = |name: &str| file.get(&format!("conv.L{seq_len}.{name}"));
    let shape = Shape { batch: 2, seq_len, channels: 24, width: 4 };
    let problem = Problem {
        shape,
        orders: vec![LeftToRight],
        x: token_major(get("in.x"), shape, 48),
        weight: vec![get("in.w").to_vec()],
        bias: vec![get("in.b").to_vec()],
        grad_out: vec![token_major(get("gout0"), shape, 24)],
    };
    let added = |name: &str| vec![get(name).iter().map(|g| g + BEFORE).collect()];
    let grads = Gradients {
        x: token_major(get("grad.x"), shape, 24),
        weight: added("grad.w"),
        bias: added("grad.b"),
    };
    (problem, token_major(get("out0"), shape, 24), grads)
}

#[test]
fn official_values_and_gradients() {
    let file = Golden::open("tests/goldens/causal_conv1d.safetensors");
    for seq_len in [1, 3, 65, 66] {
        let (problem, out, grads) = golden(&file, seq_len);
        let got = problem.forward(reference::forward::<f64>);
        assert_close("reference", &got[0], &out, 1e-12);
        let got = problem.backward(reference::backward::<f64>);
        assert_gradients_close("reference", &got, &grads, 1e-12);
        let got = problem.forward(cpu::forward);
        assert_close("cpu", &got[0], &out, F32);
        let got = problem.backward(cpu::backward);
        assert_gradients_close("cpu", &got, &grads, F32);
    }
}

#[test]
fn right_to_left_is_the_official_code_on_mirrored_tokens() {
    let file = Golden::open("tests/goldens/causal_conv1d.safetensors");
    for seq_len in [1, 3, 65] {
        let (problem, out, mut grads) = golden(&file, seq_len);
        let problem = Problem { orders: vec![RightToLeft], ..problem.mirrored() };
        let got = problem.forward(reference::forward::<f64>);
        assert_close("out", &got[0], &mirror(&out, seq_len, 24), 1e-12);
        grads.x = mirror(&grads.x, seq_len, 24);
        let got = problem.backward(reference::backward::<f64>);
        assert_gradients_close("mirrored", &got, &grads, 1e-12);
    }
}

#[test]
fn gradients_are_central_differences() {
    let shape = Shape { batch: 2, seq_len: 6, channels: 3, width: 4 };
    let problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
    let grads = problem.backward(reference::backward::<f64>);
    let mut own = vec![];
    for row in problem.x.chunks_exact(6) {
        own.extend_from_slice(&row[..3]);
    }
    let with_x = |x: &[f64]| {
        let mut moved = problem.clone();
        for (to, from) in moved.x.chunks_exact_mut(6).zip(x.chunks_exact(3)) {
            to[..3].copy_from_slice(from);
        }
        moved.objective()
    };
    check_gradient("x", with_x, &own, &grads.x, 36, 1e-8);
    let minus_before = |g: &[f64]| g.iter().map(|g| g - BEFORE).collect::<Vec<_>>();
    for order in 0..2 {
        let with_weight = |weight: &[f64]| {
            let mut moved = problem.clone();
            moved.weight[order] = weight.to_vec();
            moved.objective()
        };
        let grad = minus_before(&grads.weight[order]);
        check_gradient("weight", with_weight, &problem.weight[order], &grad, 12, 1e-8);
        let with_bias = |bias: &[f64]| {
            let mut moved = problem.clone();
            moved.bias[order] = bias.to_vec();
            moved.objective()
        };
        let grad = minus_before(&grads.bias[order]);
        check_gradient("bias", with_bias, &problem.bias[order], &grad, 3, 1e-8);
    }
}

#[test]
fn cpu_agrees_with_the_definition_in_f64() {
    for shape in SHAPES {
        for orders in [
            &[LeftToRight][..],
            &[RightToLeft],
            &[LeftToRight, RightToLeft],
            &[RightToLeft, LeftToRight],
        ] {
            let problem = Problem::new(shape, orders);
            let outs = problem.forward(reference::forward::<f64>);
            let grads = problem.backward(reference::backward::<f64>);
            for set in InstructionSet::available() {
                let what = format!("{shape:?} {orders:?} {set:?}");
                let got = problem.forward(|args, outs| cpu::forward_on(set, args, outs));
                for (got, want) in got.iter().zip(&outs) {
                    assert_close(&what, got, want, F32);
                }
                let got = problem.backward(|args, grad_outs, grads, scratch| {
                    cpu::backward_on(set, args, grad_outs, grads, scratch)
                });
                assert_gradients_close(&what, &got, &grads, F32);
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let shape = Shape { batch: 3, seq_len: 66, channels: 296, width: 4 };
    let problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (problem.forward(cpu::forward), problem.backward(cpu::backward)))
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn one_call_for_both_orders_is_two_calls() {
    let shape = Shape { batch: 2, seq_len: 17, channels: 46, width: 4 };
    let both = Problem::new(shape, &[LeftToRight, RightToLeft]);
    let outs = both.forward(cpu::forward);
    for (order, out) in outs.iter().enumerate() {
        let single = Problem {
            orders: vec![both.orders[order]],
            weight: vec![both.weight[order].clone()],
            bias: vec![both.bias[order].clone()],
            grad_out: vec![both.grad_out[order].clone()],
            ..both.clone()
        };
        assert_eq!(single.forward(cpu::forward), from_ref(out));
    }
}

#[test]
fn saturated_values_stay_finite() {
    let shape = Shape { batch: 1, seq_len: 5, channels: 24, width: 4 };
    let mut problem = Problem::new(shape, &[LeftToRight]);
    problem.x.iter_mut().for_each(|x| *x *= 1e4);
    let want = problem.forward(reference::forward::<f64>);
    let grads = problem.backward(reference::backward::<f64>);
    for set in InstructionSet::available() {
        let got = problem.forward(|args, outs| cpu::forward_on(set, args, outs));
        assert_close(&format!("{set:?}"), &got[0], &want[0], F32);
        let got = problem.backward(|a, g, grads, s| cpu::backward_on(set, a, g, grads, s));
        assert_gradients_close(&format!("{set:?}"), &got, &grads, F32);
    }
}

fn small_shapes() -> impl Strategy<Value = Shape> {
    (1..4usize, 1..24usize, 1..40usize, 1..7usize)
        .prop_map(|(batch, seq_len, channels, width)| Shape { batch, seq_len, channels, width })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// A token changes outputs from itself to K - 1 tokens on, in scan order.
    #[test]
    fn causality(shape in small_shapes(), at in 0..24usize) {
        let at = at % shape.seq_len;
        let problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
        let mut moved = problem.clone();
        for row in moved.x.chunks_exact_mut(2 * shape.channels).skip(at).step_by(shape.seq_len) {
            row.iter_mut().for_each(|x| *x += 1.0);
        }
        let before = problem.forward(cpu::forward);
        let after = moved.forward(cpu::forward);
        for ((order, before), after) in problem.orders.iter().zip(&before).zip(&after) {
            let tokens = before.chunks_exact(shape.channels).zip(after.chunks_exact(shape.channels));
            for (row, (before, after)) in tokens.enumerate() {
                let token = row % shape.seq_len;
                let reached = match order {
                    LeftToRight => (at..at + shape.width).contains(&token),
                    RightToLeft => (token..token + shape.width).contains(&at),
                };
                prop_assert!(reached || before == after, "{order:?}: token {token} saw {at}");
            }
        }
    }

    /// Right to left on mirrored tokens mirrors left to right.
    #[test]
    fn mirror_symmetry(shape in small_shapes()) {
        let problem = Problem::new(shape, &[LeftToRight]);
        let mirrored = Problem { orders: vec![RightToLeft], ..problem.mirrored() };
        let unmirror = |values: &[f32]| mirror(values, shape.seq_len, shape.channels);
        let want = problem.forward(cpu::forward);
        let got = mirrored.forward(cpu::forward);
        assert_close("out", &unmirror(&got[0]), &want[0], F32);
        let want = problem.backward(cpu::backward);
        let mut got = mirrored.backward(cpu::backward);
        got.x = unmirror(&got.x);
        assert_close("d x", &got.x, &want.x, F32);
        // The sums of one channel may cancel.
        assert_gradients_close("mirrored", &got, &want, 1e-4);
    }
}

#[test]
fn empty_batches_and_sequences_are_no_work() {
    for shape in [
        Shape { batch: 0, seq_len: 3, channels: 5, width: 4 },
        Shape { batch: 2, seq_len: 0, channels: 5, width: 4 },
    ] {
        let problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
        assert!(problem.forward(cpu::forward).iter().all(Vec::is_empty));
        let want = problem.backward(reference::backward::<f32>);
        assert_eq!(problem.backward(cpu::backward), want);
    }
}

#[test]
fn wrong_operands_are_named() {
    let shape = Shape { batch: 2, seq_len: 3, channels: 5, width: 4 };
    let x = vec![0.0f32; 6 * 5];
    let (weight, bias) = (vec![0.0; 20], vec![0.0; 5]);
    let short = vec![0.0; 4];
    let direction = Direction::<_> { order: LeftToRight, weight: &weight, bias: &bias };
    let args = Args { shape, x: Mat::new(&x, 6, 5), directions: from_ref(&direction) };
    let refused = |args: &Args<'_, f32>, outs: &mut [&mut [f32]], words: &str| {
        for error in [cpu::forward(args, outs), reference::forward(args, outs)] {
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with("causal_conv1d: ") && error.contains(words), "{error}");
        }
    };
    let mut out = vec![0.0; 30];
    refused(&args, &mut [&mut out[1..]], "out has 29 elements, expected 30");
    refused(&args, &mut [], "outs has 0 elements, expected 1");
    let none = Args { directions: &[], ..args };
    refused(&none, &mut [], "number of directions is 0");
    let flat = Args { x: Mat::new(&x, 5, 6), ..args };
    refused(&flat, &mut [&mut out], "x is 5x6, expected 6x5");
    let transposed = Args { x: Mat::new(&x, 5, 6).t(), ..args };
    refused(&transposed, &mut [&mut out], "column stride of x is 6");
    let no_taps = Args { shape: Shape { width: 0, ..shape }, ..args };
    refused(&no_taps, &mut [&mut out], "width is 0");
    let wrong = Direction::<_> { weight: &short, ..direction };
    let wrong = Args { directions: from_ref(&wrong), ..args };
    refused(&wrong, &mut [&mut out], "weight has 4 elements, expected 20");
    let wrong = Direction::<_> { bias: &short, ..direction };
    let wrong = Args { directions: from_ref(&wrong), ..args };
    refused(&wrong, &mut [&mut out], "bias has 4 elements, expected 5");
}

#[test]
fn wrong_gradients_are_named() {
    let shape = Shape { batch: 2, seq_len: 3, channels: 5, width: 4 };
    let x = vec![0.0f32; 6 * 5];
    let (weight, bias) = (vec![0.0; 20], vec![0.0; 5]);
    let direction = Direction::<_> { order: LeftToRight, weight: &weight, bias: &bias };
    let args = Args { shape, x: Mat::new(&x, 6, 5), directions: from_ref(&direction) };
    let refused = |lens: [usize; 4], columns: usize, words: &str| {
        for run in [cpu::backward, reference::backward] {
            let [grad_outs, grad_out, weight, bias] = lens;
            let grad_out = vec![0.0; grad_out];
            let (mut weight, mut bias) = (vec![0.0; weight], vec![0.0; bias]);
            let mut directions = [DirectionGrads::<_> { weight: &mut weight, bias: &mut bias }];
            let mut grad_x = vec![0.0; 6 * columns];
            let x = MatMut::new(&mut grad_x, 6, columns);
            let grads = Grads { x, directions: &mut directions };
            let grad_outs = vec![grad_out.as_slice(); grad_outs];
            let error = run(&args, &grad_outs, grads, &mut Scratch::new()).unwrap_err().to_string();
            assert!(error.starts_with("causal_conv1d: ") && error.contains(words), "{error}");
        }
    };
    refused([2, 30, 20, 5], 5, "grad_outs has 2 elements, expected 1");
    refused([1, 31, 20, 5], 5, "grad_out has 31 elements, expected 30");
    refused([1, 30, 19, 5], 5, "grads.weight has 19 elements, expected 20");
    refused([1, 30, 20, 4], 5, "grads.bias has 4 elements, expected 5");
    refused([1, 30, 20, 5], 4, "grads.x is 6x4, expected 6x5");
}
