//! Embeddings against loops written out and central differences.

use parity::{assert_close, check_gradient, uniform};
use ssm_kernels::embed::{
    Classes, Condition, ConditionBackward, ConditionGrads, ConditionOutput, Shape, Tokens,
    TokensGrads, cpu, reference,
};
use ssm_kernels::{Backend, Cpu, KernelError, Real};

const LABELS: [u32; 4] = [2, 0, 2, 1];
const CLASSES: usize = 3;

/// Four images of five tokens.
fn shape(extra: usize) -> Shape {
    Shape { batch: 4, seq_len: 5, width: 3, extra }
}

/// Operands in f64, and the gradients of both outputs.
struct Problem {
    shape: Shape,
    time: Vec<f64>,
    table: Vec<f64>,
    patches: Vec<f64>,
    bias: Vec<f64>,
    position: Vec<f64>,
    grad_condition: Vec<f64>,
    grad_tokens: Vec<f64>,
}

impl Problem {
    fn new(extra: usize) -> Self {
        let shape = shape(extra);
        let Shape { batch, seq_len, width, .. } = shape;
        Self {
            shape,
            time: uniform(1, batch * width),
            table: uniform(2, CLASSES * width),
            patches: uniform(3, batch * seq_len * width),
            bias: uniform(4, width),
            position: uniform(5, seq_len * width),
            grad_condition: uniform(6, batch * width),
            grad_tokens: uniform(7, batch * seq_len * width),
        }
    }

    /// `sum`, the condition and the tokens.
    fn forward(&self, has_classes: bool) -> [Vec<f64>; 3] {
        let mut out = [vec![f64::NAN; 12], vec![f64::NAN; 12], self.patches.clone()];
        let [sum, condition, tokens] = &mut out;
        let shape = self.shape;
        let classes =
            has_classes.then_some(Classes { table: self.table.as_slice(), labels: &LABELS[..] });
        let args = Condition::<_> { shape, time: &self.time, classes };
        reference::condition(&args, ConditionOutput { sum, condition }).expect("fitting operands");
        let (bias, position) = (&self.bias, &self.position);
        let args = Tokens::<_> { shape, bias, position, time: &self.time, classes };
        reference::tokens(&args, tokens).expect("fitting operands");
        out
    }

    fn objective(&self, has_classes: bool) -> f64 {
        let [_, condition, tokens] = self.forward(has_classes);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(&condition, &self.grad_condition) + dot(&tokens, &self.grad_tokens)
    }

    /// Gradients of time, table, position and bias, on top of what stands there.
    fn backward(&self, has_classes: bool, before: f64) -> [Vec<f64>; 4] {
        let [sum, ..] = self.forward(has_classes);
        let before = |like: &[f64]| vec![before; like.len()];
        let mut time = self.grad_condition.clone();
        let [mut table, mut position, mut bias] =
            [before(&self.table), before(&self.position), before(&self.bias)];
        let shape = self.shape;
        let args = ConditionBackward::<_> {
            shape,
            sum: &sum,
            grad_tokens: &self.grad_tokens,
            labels: has_classes.then_some(&LABELS[..]),
        };
        let grads = ConditionGrads::<_> {
            condition: &mut time,
            table: has_classes.then_some(&mut table[..]),
        };
        reference::condition_backward(&args, grads).expect("fitting operands");
        let grads = TokensGrads::<_> { position: &mut position, bias: &mut bias };
        reference::tokens_backward(&shape, &self.grad_tokens, grads).expect("fitting operands");
        [time, table, position, bias]
    }
}

#[test]
fn tokens_are_label_time_and_patches_plus_position() {
    for (extra, has_classes) in [(0, false), (0, true), (1, false), (2, true)] {
        let problem = Problem::new(extra);
        let [sum, condition, tokens] = problem.forward(has_classes);
        let Shape { batch, seq_len, width, .. } = problem.shape;
        for (b, i) in (0..batch).flat_map(|b| (0..width).map(move |i| (b, i))) {
            let at = b * width + i;
            let label = problem.table[LABELS[b] as usize * width + i];
            let want = problem.time[at] + if has_classes { label } else { 0.0 };
            assert_eq!(sum[at], want);
            assert_eq!(condition[at], want.silu());
            for place in 0..seq_len {
                let token = (b * seq_len + place) * width + i;
                let before = match place {
                    _ if place >= extra => problem.patches[token] + problem.bias[i],
                    _ if place + 1 == extra => problem.time[at],
                    _ => label,
                };
                assert_eq!(tokens[token], before + problem.position[place * width + i]);
            }
        }
    }
}

#[test]
fn gradients_are_central_differences_and_parameters_add_them() {
    for (extra, has_classes) in [(0, false), (0, true), (1, false), (2, true)] {
        let gradients = Problem::new(extra).backward(has_classes, 0.0);
        let names = ["time", "table", "position", "bias"];
        for (k, (name, gradient)) in names.into_iter().zip(&gradients).enumerate() {
            let mut problem = Problem::new(extra);
            let start = operand(&mut problem, k).clone();
            let loss = |x: &[f64]| {
                operand(&mut problem, k).copy_from_slice(x);
                problem.objective(has_classes)
            };
            check_gradient(name, loss, &start, gradient, 12, 1e-7);
        }
        let on_top = Problem::new(extra).backward(has_classes, 0.25);
        for k in 1..4 {
            let added = has_classes || k > 1;
            let want: Vec<f64> = gradients[k].iter().map(|g| g + 0.25).collect();
            assert_close(names[k], &on_top[k], &want, if added { 1e-14 } else { 0.0 });
        }
    }
}

/// The operand whose gradient is the `k`-th.
fn operand(problem: &mut Problem, k: usize) -> &mut Vec<f64> {
    match k {
        0 => &mut problem.time,
        1 => &mut problem.table,
        2 => &mut problem.position,
        _ => &mut problem.bias,
    }
}

/// Threads share the columns, so no sum has another order.
#[test]
fn the_fast_gradient_of_tokens_is_the_definition() {
    let shape = Shape { batch: 3, seq_len: 70, width: 150, extra: 2 };
    let grad_tokens = parity::to_f32(&uniform(8, 3 * 70 * 150));
    let [plain, fast] = [reference::tokens_backward, cpu::tokens_backward].map(|backward| {
        let (mut position, mut bias) = (vec![0.5f32; 70 * 150], vec![0.5f32; 150]);
        let grads = TokensGrads::<_> { position: &mut position, bias: &mut bias };
        backward(&shape, &grad_tokens, grads).unwrap();
        [position, bias]
    });
    assert!(plain == fast);
}

#[test]
fn wrong_operands_are_named() {
    let x = [1.0f32; 60];
    let refused = |shape, labels, words: &str| {
        let (mut sum, mut condition) = ([0.0; 12], [0.0; 12]);
        let classes = Some(Classes { table: &x[..9], labels });
        let args = Condition { shape, time: &x[..12], classes };
        let out = ConditionOutput::<_> { sum: &mut sum, condition: &mut condition };
        expect(Cpu.embed_condition(&args, out), words);
    };
    refused(shape(3), &LABELS[..], "extra is 3");
    refused(Shape { width: 0, ..shape(0) }, &LABELS[..], "width is 0");
    refused(Shape { batch: 5, ..shape(0) }, &LABELS[..], "time has 12 elements, expected 15");
    refused(shape(0), &LABELS[1..], "labels has 3 elements, expected 4");

    let (time, bias, position) = (&x[..12], &x[..3], &x[..15]);
    let args = Tokens { shape: shape(2), bias, position, time, classes: None };
    expect(Cpu.embed_tokens(&args, &mut [0.0; 60]), "extra is 2");
    let classes = Some(Classes { table: &x[..9], labels: &LABELS[..] });
    let args = Tokens { classes, ..args };
    expect(Cpu.embed_tokens(&args, &mut [0.0; 59]), "tokens has 59 elements, expected 60");

    let (sum, grad_tokens) = (&x[..12], &x[..]);
    let args = ConditionBackward { shape: shape(2), sum, grad_tokens, labels: None };
    let (mut condition, mut table) = ([0.0; 12], [0.0; 9]);
    let grads = ConditionGrads { condition: &mut condition[..], table: Some(&mut table[..]) };
    expect(Cpu.embed_condition_backward(&args, grads), "labels has 0 elements, expected 4");
    let grads = TokensGrads { position: &mut condition[..], bias: &mut table[..3] };
    expect(
        Cpu.embed_tokens_backward(&shape(2), grad_tokens, grads),
        "grads.position has 12 elements, expected 15",
    );
    expect(Cpu.timestep_phases(&[1.0, 2.0], &mut condition[..11]), "phases has 11");
}

#[track_caller]
fn expect(result: Result<(), KernelError>, words: &str) {
    let error = result.expect_err(words).to_string();
    assert!(error.starts_with("embed: ") && error.contains(words), "{error}: no {words}");
}
