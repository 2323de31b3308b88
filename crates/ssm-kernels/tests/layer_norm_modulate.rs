//! Norm and modulation against their definition, central differences and their laws.

use parity::{ToF64, assert_close, check_gradient, uniform};
use ssm_kernels::layer_norm_modulate::cases::SHAPES;
use ssm_kernels::layer_norm_modulate::{Args, Grads, Halves, Output, Shape, cpu, reference};
use ssm_kernels::{InstructionSet, KernelError, Real, Scratch};

use Halves::{FactorFirst, ShiftFirst};

/// f32 against f64, relative to the largest value: the roundings of sums over the width and, for
/// the modulation, over the tokens.
const F32: f64 = 2e-6;

const EPS: f64 = 1e-6;

/// Inputs exact in f32.
#[derive(Clone)]
struct Problem {
    shape: Shape,
    halves: Halves,
    x: Vec<f64>,
    modulation: Option<Vec<f64>>,
    grad_out: Vec<f64>,
}

#[derive(Debug, PartialEq)]
struct Values<T> {
    out: Vec<T>,
    stats: Vec<T>,
}

#[derive(Debug, PartialEq)]
struct Gradients<T> {
    x: Vec<T>,
    modulation: Option<Vec<T>>,
}

impl Problem {
    fn new(shape: Shape, halves: Option<Halves>) -> Self {
        let len = shape.batch * shape.seq_len * shape.width;
        Self {
            shape,
            halves: halves.unwrap_or(ShiftFirst),
            x: uniform(1, len).iter().map(|x| 2.0 * x + 0.5).collect(),
            modulation: halves.map(|_| uniform(2, shape.batch * 2 * shape.width)),
            grad_out: uniform(3, len),
        }
    }

    fn with_args<T: Real, R>(&self, run: impl FnOnce(&Args<'_, T>) -> R) -> R {
        let modulation = self.modulation.as_deref().map(convert);
        run(&Args {
            shape: self.shape,
            x: &convert(&self.x),
            modulation: modulation.as_deref(),
            halves: self.halves,
            eps: EPS,
        })
    }

    fn forward<T: Real>(
        &self,
        run: impl FnOnce(&Args<'_, T>, Output<'_, T>) -> Result<(), KernelError>,
    ) -> Values<T> {
        let rows = self.shape.batch * self.shape.seq_len;
        let mut values = Values { out: vec![T::NAN; self.x.len()], stats: vec![T::NAN; 2 * rows] };
        let out = Output::<_> { out: &mut values.out, stats: &mut values.stats };
        self.with_args(|args| run(args, out)).expect("fitting operands");
        values
    }

    fn backward<T: Real>(
        &self,
        stats: &[T],
        run: impl FnOnce(
            &Args<'_, T>,
            &[T],
            &[T],
            Grads<'_, T>,
            &mut Scratch<T>,
        ) -> Result<(), KernelError>,
    ) -> Gradients<T> {
        let mut grads = Gradients {
            x: vec![T::NAN; self.x.len()],
            modulation: self.modulation.as_ref().map(|m| vec![T::NAN; m.len()]),
        };
        let views = Grads::<_> { x: &mut grads.x, modulation: grads.modulation.as_deref_mut() };
        let mut scratch = Scratch::new();
        scratch.take(50_000).fill(T::NAN);
        let grad_out: Vec<T> = convert(&self.grad_out);
        self.with_args(|args| run(args, stats, &grad_out, views, &mut scratch))
            .expect("fitting operands");
        grads
    }

    fn objective(&self) -> f64 {
        let values = self.forward(reference::forward::<f64>);
        values.out.iter().zip(&self.grad_out).map(|(out, grad)| out * grad).sum()
    }
}

fn convert<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&x| T::from_f64(x)).collect()
}

fn assert_gradients_close<T: ToF64>(
    what: &str,
    got: &Gradients<T>,
    want: &Gradients<f64>,
    tolerance: f64,
) {
    assert_close(&format!("{what}: d x"), &got.x, &want.x, tolerance);
    assert_eq!(got.modulation.is_some(), want.modulation.is_some());
    if let (Some(got), Some(want)) = (&got.modulation, &want.modulation) {
        assert_close(&format!("{what}: d modulation"), got, want, tolerance);
    }
}

#[test]
fn the_definition_on_a_row_done_by_hand() {
    // Mean 2, variance 8/3 - eps: x^ = (-3, 1, 2) / sqrt(14/3).
    let problem = Problem {
        shape: Shape { batch: 1, seq_len: 1, width: 3 },
        halves: ShiftFirst,
        x: vec![-1.0, 3.0, 4.0],
        modulation: Some(vec![10.0, 20.0, 30.0, 0.0, 1.0, -1.0]),
        grad_out: vec![0.0; 3],
    };
    let unit = (14.0f64 / 3.0 + EPS).sqrt().recip();
    let values = problem.forward(reference::forward::<f64>);
    assert_close("out", &values.out, &[10.0 - 3.0 * unit, 20.0 + 2.0 * unit, 30.0], 1e-15);
    assert_close("stats", &values.stats, &[2.0, unit], 1e-15);
}

#[test]
fn the_halves_change_places() {
    let shape = Shape { batch: 2, seq_len: 3, width: 7 };
    let problem = Problem::new(shape, Some(ShiftFirst));
    let swap = |rows: &[f64]| -> Vec<f64> {
        rows.chunks_exact(14).flat_map(|row| [&row[7..], &row[..7]].concat()).collect()
    };
    let swapped = Problem {
        halves: FactorFirst,
        modulation: problem.modulation.as_deref().map(swap),
        ..problem.clone()
    };
    let values = problem.forward(reference::forward::<f64>);
    assert_eq!(values, swapped.forward(reference::forward));
    let grads = problem.backward(&values.stats, reference::backward);
    let swapped_grads = swapped.backward(&values.stats, reference::backward);
    assert_eq!(grads.x, swapped_grads.x);
    assert_eq!(grads.modulation.as_deref().map(swap), swapped_grads.modulation);
}

#[test]
fn gradients_are_central_differences() {
    let shape = Shape { batch: 2, seq_len: 3, width: 5 };
    for halves in [None, Some(ShiftFirst), Some(FactorFirst)] {
        let problem = Problem::new(shape, halves);
        let values = problem.forward(reference::forward::<f64>);
        let grads = problem.backward(&values.stats, reference::backward);
        let with_x = |x: &[f64]| Problem { x: x.to_vec(), ..problem.clone() }.objective();
        check_gradient("x", with_x, &problem.x, &grads.x, 30, 1e-8);
        if let (Some(modulation), Some(grad)) = (&problem.modulation, &grads.modulation) {
            let f =
                |m: &[f64]| Problem { modulation: Some(m.to_vec()), ..problem.clone() }.objective();
            check_gradient("modulation", f, modulation, grad, 20, 1e-8);
        }
    }
}

#[test]
fn cpu_agrees_with_the_definition_in_f64() {
    for shape in SHAPES {
        for halves in [None, Some(ShiftFirst), Some(FactorFirst)] {
            let problem = Problem::new(shape, halves);
            let values = problem.forward(reference::forward::<f64>);
            let grads = problem.backward(&values.stats, reference::backward);
            for set in InstructionSet::available() {
                let what = format!("{shape:?} {halves:?} {set:?}");
                let got = problem.forward(|args, out| cpu::forward_on(set, args, out));
                assert_close(&what, &got.out, &values.out, F32);
                // A row of one column has variance 0, so its deviation is that of eps.
                assert_close(&what, &got.stats, &values.stats, F32);
                let got = problem.backward(&got.stats, |args, stats, grad, grads, scratch| {
                    cpu::backward_on(set, args, stats, grad, grads, scratch)
                });
                assert_gradients_close(&what, &got, &grads, F32);
            }
        }
    }
}

#[test]
fn rows_far_from_zero_keep_their_digits() {
    let shape = Shape { batch: 1, seq_len: 3, width: 46 };
    let mut problem = Problem::new(shape, None);
    problem.x.iter_mut().for_each(|x| *x += 1024.0);
    problem.x.iter_mut().for_each(|x| *x = f64::from(*x as f32));
    let want = problem.forward(reference::forward::<f64>);
    for set in InstructionSet::available() {
        let got = problem.forward(|args, out| cpu::forward_on(set, args, out));
        // The mean itself has 2^-24 of 1024 against deviations of 1.
        assert_close(&format!("{set:?}"), &got.out, &want.out, 1e-4);
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let problem = Problem::new(Shape { batch: 3, seq_len: 66, width: 46 }, Some(ShiftFirst));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let values = problem.forward(cpu::forward);
            let grads = problem.backward(&values.stats, cpu::backward);
            (values, grads)
        })
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn empty_batches_and_sequences_are_no_work() {
    for shape in
        [Shape { batch: 0, seq_len: 3, width: 5 }, Shape { batch: 2, seq_len: 0, width: 5 }]
    {
        let problem = Problem::new(shape, Some(ShiftFirst));
        let values = problem.forward(cpu::forward);
        assert!(values.out.is_empty());
        let grads = problem.backward(&values.stats, cpu::backward);
        assert_eq!(grads.modulation, Some(vec![0.0; shape.batch * 10]));
    }
}

#[test]
fn wrong_operands_are_named() {
    let shape = Shape { batch: 2, seq_len: 3, width: 5 };
    let (a, short) = (vec![0.0f32; 30], vec![0.0f32; 4]);
    let args = Args::<_> { shape, x: &a, modulation: Some(&a[..20]), halves: ShiftFirst, eps: EPS };
    let refused = |args: Args<'_, f32>, lens: [usize; 2], words: &str| {
        for run in [cpu::forward, reference::forward] {
            let [mut out, mut stats] = lens.map(|len| vec![0.0; len]);
            let error = run(&args, Output { out: &mut out, stats: &mut stats }).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with("layer_norm_modulate: ") && error.contains(words), "{error}");
        }
    };
    refused(Args { x: &short, ..args }, [30, 12], "x has 4 elements, expected 30");
    let wrong = Args::<_> { modulation: Some(&short), ..args };
    refused(wrong, [30, 12], "modulation has 4 elements, expected 20");
    refused(args, [29, 12], "out has 29 elements, expected 30");
    refused(args, [30, 11], "stats has 11 elements, expected 12");
    let flat = Args { shape: Shape { width: 0, ..shape }, ..args };
    refused(flat, [30, 12], "width is 0");
}

#[test]
fn wrong_gradients_are_named() {
    let shape = Shape { batch: 2, seq_len: 3, width: 5 };
    let a = vec![0.0f32; 30];
    let args = Args::<_> { shape, x: &a, modulation: Some(&a[..20]), halves: ShiftFirst, eps: EPS };
    let refused = |args: Args<'_, f32>,
                   lens: [usize; 3],
                   modulation: Option<usize>,
                   words: &str| {
        for run in [cpu::backward, reference::backward] {
            let [stats, grad_out, mut x] = lens.map(|len| vec![0.0; len]);
            let mut modulation = modulation.map(|len| vec![0.0; len]);
            let grads = Grads::<_> { x: &mut x, modulation: modulation.as_deref_mut() };
            let error = run(&args, &stats, &grad_out, grads, &mut Scratch::new()).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with("layer_norm_modulate: ") && error.contains(words), "{error}");
        }
    };
    refused(args, [11, 30, 30], Some(20), "stats has 11 elements, expected 12");
    refused(args, [12, 29, 30], Some(20), "grad_out has 29 elements, expected 30");
    refused(args, [12, 30, 29], Some(20), "grads.x has 29 elements, expected 30");
    refused(args, [12, 30, 30], Some(19), "grads.modulation has 19 elements, expected 20");
    refused(args, [12, 30, 30], None, "grads.modulation has 0 elements, expected 20");
    let plain = Args { modulation: None, ..args };
    refused(plain, [12, 30, 30], Some(20), "grads.modulation has 20 elements, expected 0");
}
