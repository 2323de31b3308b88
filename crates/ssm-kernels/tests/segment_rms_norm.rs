//! Norms of segments against their definition, central differences and their laws.

use parity::{assert_close, check_gradient, uniform};
use proptest::prelude::*;
use ssm_kernels::segment_rms_norm::cases::SHAPES;
use ssm_kernels::segment_rms_norm::{Kept, SEGMENTS, Shape, cpu, reference};
use ssm_kernels::{InstructionSet, KernelError, Real};

/// f32 against f64, relative to the largest value: the roundings of a sum over a segment, twice.
const F32: f64 = 2e-6;

const EPS: f64 = 1e-5;

/// Inputs exact in f32.
#[derive(Clone)]
struct Problem {
    shape: Shape,
    eps: f64,
    x: Vec<f64>,
    grad_normed: Vec<f64>,
}

#[derive(Debug, PartialEq)]
struct Values<T> {
    normed: Vec<T>,
    rstd: Vec<T>,
}

impl Problem {
    fn new(shape: Shape) -> Self {
        let len = shape.rows * shape.row_len();
        // Segments of other sizes, so that one taken for another is seen.
        let sizes = shape.widths.into_iter().zip([2.0, 0.25, 1.0]);
        let sizes: Vec<f64> = sizes.flat_map(|(n, size)| std::iter::repeat_n(size, n)).collect();
        let x = uniform(1, len).into_iter().zip(sizes.iter().cycle()).map(|(x, size)| x * size);
        Self { shape, eps: EPS, x: x.collect(), grad_normed: uniform(2, len) }
    }

    fn forward<T: Real>(
        &self,
        run: impl FnOnce(&Shape, f64, &mut [T], &mut [T]) -> Result<(), KernelError>,
    ) -> Values<T> {
        let mut values =
            Values { normed: convert(&self.x), rstd: vec![T::NAN; self.shape.rows * SEGMENTS] };
        run(&self.shape, self.eps, &mut values.normed, &mut values.rstd).expect("fitting operands");
        values
    }

    fn backward<T: Real>(
        &self,
        values: &Values<T>,
        run: impl FnOnce(&Shape, &Kept<'_, T>, &mut [T]) -> Result<(), KernelError>,
    ) -> Vec<T> {
        let kept = Kept::<_> { normed: &values.normed, rstd: &values.rstd };
        let mut grad = convert(&self.grad_normed);
        run(&self.shape, &kept, &mut grad).expect("fitting operands");
        grad
    }

    fn objective(&self) -> f64 {
        let values = self.forward(reference::forward::<f64>);
        values.normed.iter().zip(&self.grad_normed).map(|(y, g)| y * g).sum()
    }
}

fn convert<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&x| T::from_f64(x)).collect()
}

#[test]
fn segments_are_divided_by_their_root_mean_square() {
    let shape = Shape { rows: 2, widths: [1, 2, 4] };
    let x = vec![-5.0, 3.0, 4.0, 1.0, 1.0, 7.0, 7.0, 0.0, 0.0, 2.0, 6.0, 0.0, 0.0, 8.0];
    let problem = Problem { shape, eps: 2.0, grad_normed: x.clone(), x };
    let values = problem.forward(reference::forward::<f64>);
    let rms = [27.0, 14.5, 27.0, 2.0, 4.0, 27.0].map(f64::sqrt);
    let owners = [0, 1, 1, 2, 2, 2, 2, 3, 4, 4, 5, 5, 5, 5];
    let want: Vec<f64> = problem.x.iter().zip(owners).map(|(x, owner)| x / rms[owner]).collect();
    assert_close("normed", &values.normed, &want, 1e-15);
    assert_close("rstd", &values.rstd, &rms.map(f64::recip), 1e-15);
}

#[test]
fn gradients_are_central_differences() {
    for widths in [[1, 16, 16], [3, 5, 2], [24, 1, 16]] {
        let problem = Problem::new(Shape { rows: 3, widths });
        let values = problem.forward(reference::forward::<f64>);
        let grad = problem.backward(&values, reference::backward);
        let moved = |x: &[f64]| Problem { x: x.to_vec(), ..problem.clone() }.objective();
        check_gradient("x", moved, &problem.x, &grad, 60, 1e-7);
    }
}

#[test]
fn cpu_agrees_with_the_definition_in_f64() {
    for shape in SHAPES {
        let problem = Problem::new(shape);
        let values = problem.forward(reference::forward::<f64>);
        let grad = problem.backward(&values, reference::backward);
        for set in InstructionSet::available() {
            let what = |operand| format!("{shape:?} {set:?}: {operand}");
            let got =
                problem.forward(|shape, eps, x, rstd| cpu::forward_on(set, shape, eps, x, rstd));
            assert_close(&what("normed"), &got.normed, &values.normed, F32);
            assert_close(&what("rstd"), &got.rstd, &values.rstd, F32);
            let got = problem
                .backward(&got, |shape, kept, grad| cpu::backward_on(set, shape, kept, grad));
            assert_close(&what("d x"), &got, &grad, F32);
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let problem = Problem::new(Shape { rows: 257, widths: [24, 16, 16] });
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let values = problem.forward(cpu::forward);
            let grad = problem.backward(&values, cpu::backward);
            (values, grad)
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

    /// Far above `eps`, a segment that grows keeps its normed values and loses slope in proportion;
    /// the others see nothing of it.
    #[test]
    fn growing_one_segment_leaves_the_norm(
        rows in 1..130usize, rank in 1..60usize, states in 1..40usize, segment in 0..SEGMENTS,
        growth in 0.1..100.0f32,
    ) {
        let shape = Shape { rows, widths: [rank, states, states] };
        let mut problem = Problem::new(shape);
        // eps is at most 1e-11 of every mean square.
        problem.eps = 1e-12;
        problem.x.iter_mut().for_each(|x| *x += x.signum());
        let first: usize = shape.widths[..segment].iter().sum();
        let grown_columns = first..first + shape.widths[segment];
        let growth = f64::from(growth);
        let factors = |inside: f64| -> Vec<f64> {
            let factor = |at| if grown_columns.contains(&at) { inside } else { 1.0 };
            (0..problem.x.len()).map(|i| factor(i % shape.row_len())).collect()
        };
        let scaled = |x: &[f64], by: f64| -> Vec<f64> {
            x.iter().zip(factors(by)).map(|(x, factor)| x * factor).collect()
        };
        let grown = Problem { x: scaled(&problem.x, growth), ..problem.clone() };
        let values = problem.forward(reference::forward::<f64>);
        let grown_values = grown.forward(cpu::forward);
        assert_close("normed", &grown_values.normed, &values.normed, 2.0 * F32);
        let grad = problem.backward(&values, reference::backward);
        let shrunk = scaled(&grad, 1.0 / growth);
        let got = grown.backward(&grown_values, cpu::backward);
        // A segment of one element has no slope, but the roundings of what cancels.
        let terms = grown_values.rstd.iter().fold(0.0, |most: f64, &x| most.max(f64::from(x)));
        let largest = shrunk.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        assert_close("d x", &got, &shrunk, 2.0 * F32 * (terms / largest).max(1.0));
    }
}

#[test]
fn rows_of_zeros_stay_zero() {
    let shape = Shape { rows: 2, widths: [3, 16, 16] };
    let zeros = vec![0.0; 2 * shape.row_len()];
    let problem = Problem { x: zeros.clone(), ..Problem::new(shape) };
    let values = problem.forward(cpu::forward);
    assert_eq!(values.normed, convert::<f32>(&zeros));
    assert_close("rstd", &values.rstd, &[1e5f64.sqrt(); 6], F32);
    let want: Vec<f64> = problem.grad_normed.iter().map(|g| g * 1e5f64.sqrt()).collect();
    assert_close("d x", &problem.backward(&values, cpu::backward), &want, F32);
}

#[test]
fn no_rows_are_no_work() {
    let problem = Problem::new(Shape { rows: 0, widths: [3, 16, 16] });
    let values = problem.forward(cpu::forward);
    assert!(values.normed.is_empty());
    assert!(problem.backward(&values, cpu::backward).is_empty());
}

#[test]
fn wrong_operands_are_named() {
    let shape = Shape { rows: 2, widths: [3, 4, 4] };
    let refused = |shape: Shape, [x, rstd]: [usize; 2], words: &str| {
        for run in [cpu::forward, reference::forward] {
            let (mut x, mut rstd) = (vec![0.0; x], vec![0.0; rstd]);
            let error = run(&shape, EPS, &mut x, &mut rstd).unwrap_err().to_string();
            assert!(error.starts_with("segment_rms_norm: ") && error.contains(words), "{error}");
        }
    };
    refused(shape, [21, 6], ": x has 21 elements, expected 22");
    refused(shape, [22, 5], "rstd has 5 elements, expected 6");
    let flat = Shape { widths: [3, 0, 4], ..shape };
    refused(flat, [14, 6], "width of a segment is 0, supported: 1 or more");
}

#[test]
fn wrong_gradients_are_named() {
    let shape = Shape { rows: 2, widths: [3, 4, 4] };
    let refused = |shape: Shape, lens: [usize; 3], words: &str| {
        for run in [cpu::backward, reference::backward] {
            let [normed, rstd, mut grad] = lens.map(|len| vec![0.0f32; len]);
            let kept = Kept::<_> { normed: &normed, rstd: &rstd };
            let error = run(&shape, &kept, &mut grad).unwrap_err().to_string();
            assert!(error.starts_with("segment_rms_norm: ") && error.contains(words), "{error}");
        }
    };
    refused(shape, [21, 6, 22], "normed has 21 elements, expected 22");
    refused(shape, [22, 5, 22], "rstd has 5 elements, expected 6");
    refused(shape, [22, 6, 23], "grad has 23 elements, expected 22");
    refused(Shape { widths: [0, 4, 4], ..shape }, [16, 6, 16], "width of a segment is 0");
}
