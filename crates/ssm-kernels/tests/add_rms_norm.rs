//! Add and norm against their definition, the official code, central differences and their laws.

use parity::{Golden, ToF64, assert_close, check_gradient, uniform};
use proptest::prelude::*;
use ssm_kernels::add_rms_norm::cases::SHAPES;
use ssm_kernels::add_rms_norm::{Args, BackwardArgs, Grads, Output, Shape, cpu, reference};
use ssm_kernels::{InstructionSet, KernelError, Real, Scratch};

/// f32 against f64, relative to the largest value: the roundings of two sums over the width and,
/// for the weight, of one over all tokens.
const F32: f64 = 2e-6;

/// What the gradient of the weight holds before the call, since it is added to.
const BEFORE: f64 = 0.25;

const EPS: f64 = 1e-5;

/// Inputs exact in f32.
#[derive(Clone)]
struct Problem {
    shape: Shape,
    hidden: Vec<f64>,
    residual: Option<Vec<f64>>,
    drop_path: Option<Vec<f64>>,
    weight: Vec<f64>,
    grad_normed: Vec<f64>,
    /// What reaches the new residual from later blocks.
    grad_residual: Vec<f64>,
}

#[derive(Debug, PartialEq)]
struct Values<T> {
    residual: Vec<T>,
    normed: Vec<T>,
    rstd: Vec<T>,
}

#[derive(Debug, PartialEq)]
struct Gradients<T> {
    residual: Vec<T>,
    hidden: Vec<T>,
    weight: Vec<T>,
}

impl Problem {
    fn new(shape: Shape, with_residual: bool, with_drop_path: bool) -> Self {
        let len = shape.batch * shape.seq_len * shape.width;
        // Kept images are divided by the share that is kept; 1.25 is exact.
        let drop_path = (0..shape.batch).map(|b| if b % 3 == 1 { 0.0 } else { 1.25 }).collect();
        Self {
            shape,
            hidden: uniform(1, len),
            residual: with_residual.then(|| uniform(2, len).iter().map(|x| 3.0 * x).collect()),
            drop_path: with_drop_path.then_some(drop_path),
            weight: uniform(3, shape.width).iter().map(|x| 1.0 + 0.5 * x).collect(),
            grad_normed: uniform(4, len),
            grad_residual: uniform(5, len),
        }
    }

    fn forward<T: Real>(
        &self,
        run: impl FnOnce(&Args<'_, T>, Output<'_, T>) -> Result<(), KernelError>,
    ) -> Values<T> {
        let len = self.hidden.len();
        let rows = self.shape.batch * self.shape.seq_len;
        let mut values = Values {
            residual: vec![T::NAN; len],
            normed: vec![T::NAN; len],
            rstd: vec![T::NAN; rows],
        };
        let residual = self.residual.as_deref().map(convert);
        let drop_path = self.drop_path.as_deref().map(convert);
        let args = Args::<_> {
            shape: self.shape,
            hidden: &convert(&self.hidden),
            residual: residual.as_deref(),
            drop_path: drop_path.as_deref(),
            weight: &convert(&self.weight),
            eps: EPS,
        };
        let out = Output::<_> {
            residual: &mut values.residual,
            normed: &mut values.normed,
            rstd: &mut values.rstd,
        };
        run(&args, out).expect("fitting operands");
        values
    }

    fn backward<T: Real>(
        &self,
        values: &Values<T>,
        run: impl FnOnce(&BackwardArgs<'_, T>, Grads<'_, T>, &mut Scratch<T>) -> Result<(), KernelError>,
    ) -> Gradients<T> {
        let drop_path = self.drop_path.as_deref().filter(|_| self.residual.is_some()).map(convert);
        let args = BackwardArgs::<_> {
            shape: self.shape,
            residual: &values.residual,
            rstd: &values.rstd,
            weight: &convert(&self.weight),
            drop_path: drop_path.as_deref(),
            grad_normed: &convert(&self.grad_normed),
        };
        let mut grads = Gradients {
            residual: convert(&self.grad_residual),
            hidden: vec![T::NAN; self.hidden.len()],
            weight: vec![T::from_f64(BEFORE); self.weight.len()],
        };
        let views = Grads::<_> {
            residual: &mut grads.residual,
            hidden: &mut grads.hidden,
            weight: &mut grads.weight,
        };
        let mut scratch = Scratch::new();
        scratch.take(50_000).fill(T::NAN);
        run(&args, views, &mut scratch).expect("fitting operands");
        grads
    }

    fn objective(&self) -> f64 {
        let values = self.forward(reference::forward::<f64>);
        dot(&values.normed, &self.grad_normed) + dot(&values.residual, &self.grad_residual)
    }
}

fn convert<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&x| T::from_f64(x)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn assert_values_close<T: ToF64>(what: &str, got: &Values<T>, want: &Values<f64>, tolerance: f64) {
    assert_close(&format!("{what}: residual"), &got.residual, &want.residual, tolerance);
    assert_close(&format!("{what}: normed"), &got.normed, &want.normed, tolerance);
    assert_close(&format!("{what}: rstd"), &got.rstd, &want.rstd, tolerance);
}

fn assert_gradients_close<T: ToF64>(
    what: &str,
    got: &Gradients<T>,
    want: &Gradients<f64>,
    tolerance: f64,
) {
    assert_close(&format!("{what}: d residual"), &got.residual, &want.residual, tolerance);
    assert_close(&format!("{what}: d hidden"), &got.hidden, &want.hidden, tolerance);
    assert_close(&format!("{what}: d weight"), &got.weight, &want.weight, tolerance);
}

#[test]
fn official_values_and_gradients() {
    let file = Golden::open("tests/goldens/add_rms_norm.safetensors");
    for seq_len in [1, 3, 65] {
        let get = |name: &str| file.get(&format!("rms.L{seq_len}.{name}")).to_vec();
        let problem = Problem {
            shape: Shape { batch: 2, seq_len, width: 48 },
            hidden: get("in.x"),
            residual: Some(get("in.r")),
            drop_path: None,
            weight: get("in.w"),
            grad_normed: get("gout0"),
            grad_residual: get("gout1"),
        };
        let (normed, residual) = (get("out0"), get("out1"));
        let grads = Gradients {
            residual: get("grad.r"),
            hidden: get("grad.x"),
            weight: get("grad.w").iter().map(|g| g + BEFORE).collect(),
        };
        let values = problem.forward(reference::forward::<f64>);
        assert_close("residual", &values.residual, &residual, 1e-12);
        assert_close("normed", &values.normed, &normed, 1e-12);
        let got = problem.backward(&values, reference::backward);
        assert_gradients_close("reference", &got, &grads, 1e-12);

        let values = problem.forward(cpu::forward);
        assert_close("cpu residual", &values.residual, &residual, F32);
        assert_close("cpu normed", &values.normed, &normed, F32);
        let got = problem.backward(&values, cpu::backward);
        assert_gradients_close("cpu", &got, &grads, F32);
    }
}

#[test]
fn gradients_are_central_differences() {
    let shape = Shape { batch: 3, seq_len: 2, width: 5 };
    for (with_residual, with_drop_path) in [(false, false), (true, false), (true, true)] {
        let problem = Problem::new(shape, with_residual, with_drop_path);
        let values = problem.forward(reference::forward::<f64>);
        let grads = problem.backward(&values, reference::backward);
        let moved = |change: &dyn Fn(&mut Problem)| {
            let mut moved = problem.clone();
            change(&mut moved);
            moved.objective()
        };
        let f = |x: &[f64]| moved(&|p| p.hidden = x.to_vec());
        check_gradient("hidden", f, &problem.hidden, &grads.hidden, 30, 1e-8);
        if let Some(residual) = &problem.residual {
            let f = |x: &[f64]| moved(&|p| p.residual = Some(x.to_vec()));
            check_gradient("residual", f, residual, &grads.residual, 30, 1e-8);
        }
        let f = |x: &[f64]| moved(&|p| p.weight = x.to_vec());
        let weight: Vec<f64> = grads.weight.iter().map(|g| g - BEFORE).collect();
        check_gradient("weight", f, &problem.weight, &weight, 5, 1e-8);
    }
}

#[test]
fn cpu_agrees_with_the_definition_in_f64() {
    for shape in SHAPES {
        for (with_residual, with_drop_path) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let problem = Problem::new(shape, with_residual, with_drop_path);
            let values = problem.forward(reference::forward::<f64>);
            let grads = problem.backward(&values, reference::backward);
            for set in InstructionSet::available() {
                let what = format!("{shape:?} {with_residual} {with_drop_path} {set:?}");
                let got = problem.forward(|args, out| cpu::forward_on(set, args, out));
                assert_values_close(&what, &got, &values, F32);
                let got = problem.backward(&got, |args, grads, scratch| {
                    cpu::backward_on(set, args, grads, scratch)
                });
                assert_gradients_close(&what, &got, &grads, F32);
            }
        }
    }
}

#[test]
fn without_residual_the_stream_is_hidden_itself() {
    let shape = Shape { batch: 3, seq_len: 5, width: 24 };
    let problem = Problem::new(shape, false, true);
    let values = problem.forward(cpu::forward);
    assert_eq!(values.residual, convert::<f32>(&problem.hidden), "drop-path is not applied");
    let grads = problem.backward(&values, cpu::backward);
    assert_eq!(grads.hidden, grads.residual);
}

#[test]
fn dropped_images_pass_the_stream_on() {
    let shape = Shape { batch: 3, seq_len: 5, width: 24 };
    let problem = Problem::new(shape, true, true);
    let image = 5 * 24..2 * 5 * 24;
    let values = problem.forward(cpu::forward);
    let old = convert::<f32>(problem.residual.as_deref().unwrap());
    assert_eq!(values.residual[image.clone()], old[image.clone()]);
    let grads = problem.backward(&values, cpu::backward);
    assert!(grads.hidden[image].iter().all(|&g| g == 0.0));
}

#[test]
fn bits_do_not_depend_on_threads() {
    let problem = Problem::new(Shape { batch: 3, seq_len: 66, width: 46 }, true, true);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let values = problem.forward(cpu::forward);
            let grads = problem.backward(&values, cpu::backward);
            (values, grads)
        })
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

    /// Rows far above `eps` keep their normed values when they grow, and lose slope in proportion.
    #[test]
    fn growing_the_input_leaves_the_norm(
        batch in 1..4usize, seq_len in 1..40usize, width in 8..60usize, power in 4..12i32,
    ) {
        let shape = Shape { batch, seq_len, width };
        let mut problem = Problem::new(shape, false, false);
        problem.grad_residual.fill(0.0);
        let growth = 2f64.powi(power);
        // eps is 1e-5 of a mean square above 1.
        problem.hidden.iter_mut().for_each(|x| *x = 16.0 * *x + 4.0);
        let grown = Problem {
            hidden: problem.hidden.iter().map(|x| growth * x).collect(),
            ..problem.clone()
        };
        let (values, grown_values) = (problem.forward(cpu::forward), grown.forward(cpu::forward));
        assert_close("normed", &grown_values.normed, &values.normed, 1e-5);
        let grads = problem.backward(&values, cpu::backward);
        let grown_grads = grown.backward(&grown_values, cpu::backward);
        let shrunk: Vec<f32> = grads.hidden.iter().map(|g| g / growth as f32).collect();
        assert_close("d hidden", &grown_grads.hidden, &shrunk, 2e-5);
    }
}

#[test]
fn empty_batches_and_sequences_are_no_work() {
    for shape in
        [Shape { batch: 0, seq_len: 3, width: 5 }, Shape { batch: 2, seq_len: 0, width: 5 }]
    {
        let problem = Problem::new(shape, true, true);
        let values = problem.forward(cpu::forward);
        assert!(values.residual.is_empty());
        assert_eq!(problem.backward(&values, cpu::backward).weight, [BEFORE as f32; 5]);
    }
}

#[test]
fn wrong_operands_are_named() {
    let shape = Shape { batch: 2, seq_len: 3, width: 5 };
    let (a, short) = (vec![0.0f32; 30], vec![0.0f32; 4]);
    let args = Args::<_> {
        shape,
        hidden: &a,
        residual: Some(&a),
        drop_path: Some(&a[..2]),
        weight: &a[..5],
        eps: EPS,
    };
    let refused = |args: Args<'_, f32>, lens: [usize; 3], words: &str| {
        for run in [cpu::forward, reference::forward] {
            let [mut residual, mut normed, mut rstd] = lens.map(|len| vec![0.0; len]);
            let out = Output::<_> { residual: &mut residual, normed: &mut normed, rstd: &mut rstd };
            let error = run(&args, out).unwrap_err().to_string();
            assert!(error.starts_with("add_rms_norm: ") && error.contains(words), "{error}");
        }
    };
    let right = [30, 30, 6];
    refused(Args { hidden: &short, ..args }, right, "hidden has 4 elements, expected 30");
    let wrong = Args::<_> { residual: Some(&short), ..args };
    refused(wrong, right, ": residual has 4 elements, expected 30");
    let wrong = Args::<_> { drop_path: Some(&short), ..args };
    refused(wrong, right, "drop_path has 4 elements, expected 2");
    refused(Args { weight: &short, ..args }, right, "weight has 4 elements, expected 5");
    refused(args, [29, 30, 6], "out.residual has 29 elements, expected 30");
    refused(args, [30, 29, 6], "out.normed has 29 elements, expected 30");
    refused(args, [30, 30, 5], "out.rstd has 5 elements, expected 6");
    let flat = Args { shape: Shape { width: 0, ..shape }, ..args };
    refused(flat, right, "width is 0");
}

#[test]
fn wrong_gradients_are_named() {
    let shape = Shape { batch: 2, seq_len: 3, width: 5 };
    let (a, short) = (vec![0.0f32; 30], vec![0.0f32; 4]);
    let args = BackwardArgs::<_> {
        shape,
        residual: &a,
        rstd: &a[..6],
        weight: &a[..5],
        drop_path: Some(&a[..2]),
        grad_normed: &a,
    };
    let refused = |args: BackwardArgs<'_, f32>, lens: [usize; 3], words: &str| {
        for run in [cpu::backward, reference::backward] {
            let [mut residual, mut hidden, mut weight] = lens.map(|len| vec![0.0; len]);
            let grads =
                Grads::<_> { residual: &mut residual, hidden: &mut hidden, weight: &mut weight };
            let error = run(&args, grads, &mut Scratch::new()).unwrap_err().to_string();
            assert!(error.starts_with("add_rms_norm: ") && error.contains(words), "{error}");
        }
    };
    let right = [30, 30, 5];
    let wrong = BackwardArgs::<_> { residual: &short, ..args };
    refused(wrong, right, ": residual has 4 elements, expected 30");
    refused(BackwardArgs { rstd: &short, ..args }, right, "rstd has 4 elements, expected 6");
    refused(BackwardArgs { weight: &short, ..args }, right, "weight has 4 elements, expected 5");
    let wrong = BackwardArgs::<_> { drop_path: Some(&short), ..args };
    refused(wrong, right, "drop_path has 4 elements, expected 2");
    let wrong = BackwardArgs::<_> { grad_normed: &short, ..args };
    refused(wrong, right, "grad_normed has 4 elements, expected 30");
    refused(args, [29, 30, 5], "grads.residual has 29 elements, expected 30");
    refused(args, [30, 29, 5], "grads.hidden has 29 elements, expected 30");
    refused(args, [30, 30, 4], "grads.weight has 4 elements, expected 5");
}
