//! Matrix products against the definition, on every kind of view.

use parity::{assert_close, uniform};
use ssm_kernels::{InstructionSet, Mat, MatMut, Precision, Real, Write, gemm};

/// f32 against f64 relative to the largest value: the roundings of sums over K.
const F32: f64 = 2e-6;

/// The same for sums of 64 terms: tight enough to see the lightest products of parts missing.
const SHORT_SUM: f64 = 4e-7;

/// `(m, k, n)`: single elements, odd sizes, vectors, products of the real layers at a small batch,
/// and some above the size from which the crate uses threads.
const SHAPES: [(usize, usize, usize); 17] = [
    (1, 1, 1),
    (1, 7, 1),
    (7, 1, 3),
    (1, 368, 736),
    (5, 3, 2),
    (17, 23, 31),
    (66, 46, 184),
    (257, 96, 384),
    (257, 24, 768),
    (257, 768, 56),
    (63, 65, 64),
    (129, 300, 127),
    (184, 514, 46),
    (3, 1026, 5),
    (56, 257, 768),
    (23, 130, 97),
    (301, 64, 33),
];

/// A matrix inside a buffer, in f32 and f64.
struct Operand {
    narrow: Vec<f32>,
    wide: Vec<f64>,
    view: View,
}

#[derive(Clone, Copy, Debug)]
enum View {
    Plain,
    Transposed,
    LeftHalf,
    RightHalf,
    RightHalfTransposed,
}

const VIEWS: [View; 5] =
    [View::Plain, View::Transposed, View::LeftHalf, View::RightHalf, View::RightHalfTransposed];

impl Operand {
    fn new(seed: u64, rows: usize, cols: usize, view: View) -> Self {
        let len = match view {
            View::Plain | View::Transposed => rows * cols,
            View::LeftHalf | View::RightHalf | View::RightHalfTransposed => 2 * rows * cols,
        };
        let wide = uniform(seed, len);
        Self { narrow: parity::to_f32(&wide), wide, view }
    }

    fn mat<'a, T: Real>(&self, data: &'a [T], rows: usize, cols: usize) -> Mat<'a, T> {
        match self.view {
            View::Plain => Mat::new(data, rows, cols),
            View::Transposed => Mat::new(data, cols, rows).t(),
            View::LeftHalf => Mat::columns(data, rows, 2 * cols, 0, cols),
            View::RightHalf => Mat::columns(data, rows, 2 * cols, cols, cols),
            View::RightHalfTransposed => Mat::columns(data, cols, 2 * rows, rows, rows).t(),
        }
    }
}

/// Every instruction set of this CPU with every precision.
fn builds() -> impl Iterator<Item = (InstructionSet, Precision)> {
    let sets = InstructionSet::available().into_iter();
    sets.flat_map(|set| [Precision::F32, Precision::Bf16].map(|precision| (set, precision)))
}

/// What a product with `precision` reads instead of `x`.
fn as_read(set: InstructionSet, precision: Precision, rows: usize, cols: usize, x: f64) -> f64 {
    let is_f32 = precision == Precision::F32 || !gemm::has_units(set, precision);
    if is_f32 || rows.min(cols) < precision.least_size() {
        x
    } else {
        f64::from(half::bf16::from_f32(x as f32))
    }
}

#[test]
fn cpu_agrees_with_the_definition_in_f64() {
    for (m, k, n) in SHAPES {
        for a_view in VIEWS {
            for b_view in VIEWS {
                let a = Operand::new(1, m, k, a_view);
                let b = Operand::new(2, k, n, b_view);
                for (set, precision) in builds() {
                    let read = |x: &[f64]| -> Vec<f64> {
                        x.iter().map(|&x| as_read(set, precision, m, n, x)).collect()
                    };
                    let (a_wide, b_wide) = (read(&a.wide), read(&b.wide));
                    let mut want = vec![0.0; m * n];
                    let out = &mut MatMut::new(&mut want, m, n);
                    let (a_wide, b_wide) = (a.mat(&a_wide, m, k), b.mat(&b_wide, k, n));
                    gemm::reference(out, Write::Overwrite, a_wide, b_wide).unwrap();
                    let mut got = vec![f32::NAN; m * n];
                    let out = &mut MatMut::new(&mut got, m, n);
                    let (a, b) = (a.mat(&a.narrow, m, k), b.mat(&b.narrow, k, n));
                    gemm::cpu_on(set, precision, out, Write::Overwrite, a, b).unwrap();
                    let what = format!("{m}x{k}x{n} {a_view:?} {b_view:?} {set:?} {precision:?}");
                    assert_close(&what, &got, &want, F32);
                }
            }
        }
    }
}

#[test]
fn the_definition_on_numbers_done_by_hand() {
    let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let b = [1.0, -1.0, 0.5, 0.0, 2.0, 1.0];
    let mut out = [100.0; 4];
    let (a, b) = (Mat::new(&a, 2, 3), Mat::new(&b, 2, 3).t());
    gemm::reference(&mut MatMut::new(&mut out, 2, 2), Write::Accumulate, a, b).unwrap();
    assert_eq!(out, [100.5, 107.0, 102.0, 116.0]);
}

#[test]
fn products_into_halves_of_rows_leave_the_other_half() {
    let (m, k, n) = (66, 46, 92);
    let (a, b) = (uniform(1, m * k), uniform(2, k * n));
    for first in [0, n] {
        let mut wide = uniform(3, m * 2 * n);
        let before = wide.clone();
        let mut narrow = parity::to_f32(&wide);
        let (a32, b32) = (parity::to_f32(&a), parity::to_f32(&b));
        let out = &mut MatMut::columns(&mut wide, m, 2 * n, first, n);
        gemm::reference(out, Write::Accumulate, Mat::new(&a, m, k), Mat::new(&b, k, n)).unwrap();
        let out = &mut MatMut::columns(&mut narrow, m, 2 * n, first, n);
        gemm::cpu(out, Write::Accumulate, Mat::new(&a32, m, k), Mat::new(&b32, k, n)).unwrap();
        assert_close("both halves", &narrow, &wide, F32);
        let other = n - first;
        for (row, before) in wide.chunks_exact(2 * n).zip(before.chunks_exact(2 * n)) {
            assert_eq!(row[other..][..n], before[other..][..n]);
        }
    }
}

#[test]
fn overwriting_does_not_read_the_destination() {
    for (m, k, n) in [(1, 1, 1), (17, 5, 33), (257, 96, 384)] {
        let (a, b) = (vec![1.0f32; m * k], vec![2.0f32; k * n]);
        let mut out = vec![f32::NAN; m * n];
        let view = &mut MatMut::new(&mut out, m, n);
        gemm::cpu(view, Write::Overwrite, Mat::new(&a, m, k), Mat::new(&b, k, n)).unwrap();
        assert!(out.iter().all(|&x| x == 2.0 * k as f32), "{m}x{k}x{n}");
    }
}

#[test]
fn sums_of_no_terms_are_zero() {
    let (a, b): ([f32; 0], [f32; 0]) = ([], []);
    for (write, want) in [(Write::Overwrite, 0.0), (Write::Accumulate, 3.0)] {
        for run in [gemm::cpu, gemm::reference::<f32>] {
            let mut out = [3.0f32; 6];
            let view = &mut MatMut::new(&mut out, 2, 3);
            run(view, write, Mat::new(&a, 2, 0), Mat::new(&b, 0, 3)).unwrap();
            assert_eq!(out, [want; 6], "{write:?}");
        }
    }
}

#[test]
fn products_without_rows_or_columns_are_no_work() {
    let a = [1.0f32; 6];
    for run in [gemm::cpu, gemm::reference::<f32>] {
        let none = &mut MatMut::new(&mut [], 0, 2);
        run(none, Write::Overwrite, Mat::new(&[], 0, 3), Mat::new(&a, 3, 2)).unwrap();
        let none = &mut MatMut::new(&mut [], 2, 0);
        run(none, Write::Overwrite, Mat::new(&a, 2, 3), Mat::new(&[], 3, 0)).unwrap();
    }
}

#[test]
fn bits_depend_neither_on_the_call_nor_on_threads() {
    for (m, k, n) in [(514, 384, 301), (257, 768, 56), (736, 2056, 23), (1, 4096, 64)] {
        let (a, b) = (parity::to_f32(&uniform(1, m * k)), parity::to_f32(&uniform(2, k * n)));
        let run = || {
            let mut out = vec![f32::NAN; m * n];
            let view = &mut MatMut::new(&mut out, m, n);
            gemm::cpu(view, Write::Overwrite, Mat::new(&a, m, k), Mat::new(&b, k, n)).unwrap();
            out
        };
        let first = run();
        for threads in [1, 2, 3, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for _ in 0..5 {
                assert!(pool.install(run) == first, "{m}x{k}x{n}, {threads} threads");
            }
        }
    }
}

#[test]
fn wrong_operands_are_named() {
    let data = [0.0f32; 12];
    let a = Mat::new(&data[..6], 2, 3);
    for run in [gemm::cpu, gemm::reference::<f32>] {
        let mut out = [0.0f32; 8];
        let view = &mut MatMut::new(&mut out, 2, 4);
        let error = run(view, Write::Overwrite, a, Mat::new(&data, 4, 3)).unwrap_err();
        assert_eq!(error.to_string(), "gemm: b is 4x3, expected 3x3");
        let view = &mut MatMut::new(&mut out, 4, 2);
        let error = run(view, Write::Overwrite, a, Mat::new(&data, 3, 4)).unwrap_err();
        assert_eq!(error.to_string(), "gemm: out is 4x2, expected 2x4");
    }
}

#[test]
fn values_that_are_not_finite_stay_visible() {
    let (m, k, n) = (66, 70, 67);
    for (set, precision) in builds() {
        for bad in [f32::NAN, f32::from_bits(u32::MAX >> 1), f32::INFINITY, f32::NEG_INFINITY] {
            for at_b in [false, true] {
                let (mut a, mut b) = (vec![0.5; m * k], vec![0.25; k * n]);
                let operand = if at_b { &mut b } else { &mut a };
                operand[3 * if at_b { n } else { k } + 5] = bad;
                let mut out = vec![0.0; m * n];
                let view = &mut MatMut::new(&mut out, m, n);
                let (a, b) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
                gemm::cpu_on(set, precision, view, Write::Overwrite, a, b).unwrap();
                let touched = |i: usize| if at_b { i % n == 5 } else { i / n == 3 };
                for (i, x) in out.iter().enumerate() {
                    let what = format!("{bad} in {set:?} {precision:?}, b: {at_b}, element {i}");
                    assert_eq!(x.is_finite(), !touched(i), "{what}: {x}");
                }
            }
        }
    }
}

#[test]
fn every_magnitude_keeps_its_digits() {
    let (m, k, n) = (66, 64, 67);
    let a = uniform(1, m * k);
    let b = uniform(2, k * n);
    for set in InstructionSet::available() {
        for exponent in [-40, -20, 0, 20, 40] {
            let scale = 2f64.powi(exponent);
            let a: Vec<f64> = a.iter().map(|x| x * scale).collect();
            let (a32, b32) = (parity::to_f32(&a), parity::to_f32(&b));
            let (mut want, mut got) = (vec![0.0; m * n], vec![f32::NAN; m * n]);
            let view = &mut MatMut::new(&mut want, m, n);
            let (a, b) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
            gemm::reference(view, Write::Overwrite, a, b).unwrap();
            let view = &mut MatMut::new(&mut got, m, n);
            let (a, b) = (Mat::new(&a32, m, k), Mat::new(&b32, k, n));
            gemm::cpu_on(set, Precision::F32, view, Write::Overwrite, a, b).unwrap();
            assert_close(&format!("{set:?} times 2^{exponent}"), &got, &want, SHORT_SUM);
        }
    }
}
