//! Softmax of rows: the definition by hand and by its laws, the CPU against it.

use parity::{assert_close, to_f32, uniform};
use proptest::prelude::*;
use ssm_kernels::softmax_rows::cases::SHAPES;
use ssm_kernels::softmax_rows::{cpu, reference};
use ssm_kernels::{Cpu, ImageBackend, InstructionSet, MatMut, Reference};

/// f32 against f64, relative to the largest value: the roundings of exponents of up to ten, of the
/// exponentials and of their sum.
const F32: f64 = 2e-6;

const FACTOR: f64 = 0.5;

/// Scores exact in f32, up to ten in size.
fn scores(seed: u64, len: usize) -> Vec<f64> {
    uniform(seed, len).iter().map(|x| 16.0 * x).collect()
}

fn defined(scores: &[f64], rows: usize, factor: f64) -> Vec<f64> {
    let mut out = scores.to_vec();
    let columns = out.len() / rows;
    reference::forward(MatMut::new(&mut out, rows, columns), factor).expect("columns");
    out
}

fn computed(set: InstructionSet, scores: &[f64], rows: usize, factor: f64) -> Vec<f32> {
    let mut out = to_f32(scores);
    let columns = out.len() / rows;
    cpu::forward_on(set, MatMut::new(&mut out, rows, columns), factor).expect("columns");
    out
}

#[test]
fn the_definition_on_numbers_done_by_hand() {
    let ln = f64::ln;
    let scores = [ln(1.0), ln(2.0), ln(5.0), 700.0, 700.0, 700.0, -1e4, 1e4, 0.0];
    let third = 1.0 / 3.0;
    let want = [0.125, 0.25, 0.625, third, third, third, 0.0, 1.0, 0.0];
    assert_close("factor 1", &defined(&scores, 3, 1.0), &want, 1e-15);
    let want = [1.0 / 30.0, 4.0 / 30.0, 25.0 / 30.0];
    assert_close("factor 2", &defined(&scores[..3], 1, 2.0), &want, 1e-15);
    let want = [10.0 / 17.0, 5.0 / 17.0, 2.0 / 17.0];
    assert_close("factor -1", &defined(&scores[..3], 1, -1.0), &want, 1e-15);
}

#[test]
fn cpu_agrees_with_the_definition_in_f64() {
    for (rows, columns) in SHAPES {
        let scores = scores(1, rows * columns);
        for factor in [FACTOR, -0.25] {
            let want = defined(&scores, rows, factor);
            for set in InstructionSet::available() {
                let got = computed(set, &scores, rows, factor);
                // Every row alone, for the largest of all hides a wrong one.
                for (got, want) in got.chunks_exact(columns).zip(want.chunks_exact(columns)) {
                    assert_close(&format!("{rows}x{columns} {factor} {set:?}"), got, want, F32);
                }
            }
        }
    }
}

#[test]
fn both_backends_have_it() {
    let scores = scores(1, 3 * 21);
    let want = defined(&scores, 3, FACTOR);
    let mut got = to_f32(&scores);
    Cpu.softmax_rows(MatMut::new(&mut got, 3, 21), FACTOR).unwrap();
    assert_close("cpu", &got, &want, F32);
    let mut got = scores;
    Reference::<f64>::default().softmax_rows(MatMut::new(&mut got, 3, 21), FACTOR).unwrap();
    assert_eq!(got, want);
}

#[test]
fn scores_of_any_size_give_shares() {
    for set in InstructionSet::available() {
        for columns in [3, 16, 35] {
            let mut scores = vec![-3e38; columns];
            scores[columns / 2] = 3e38;
            let mut want = vec![0.0; columns];
            want[columns / 2] = 1.0;
            // An AVX2 build ends with the smallest normal number where others end with 0.
            assert_close(&format!("{set:?}"), &computed(set, &scores, 1, 1.0), &want, 1e-30);
            let equal = vec![-3e38; columns];
            let want = vec![1.0 / columns as f64; columns];
            assert_close(&format!("{set:?}"), &computed(set, &equal, 1, 1.0), &want, F32);
        }
    }
}

#[test]
fn a_part_of_wider_rows_leaves_the_rest() {
    let (rows, stride, first, columns) = (5, 40, 3, 33);
    let wide = scores(1, rows * stride);
    let inside: Vec<f64> =
        wide.chunks_exact(stride).flat_map(|row| &row[first..][..columns]).copied().collect();
    let want = defined(&inside, rows, FACTOR);
    for set in InstructionSet::available() {
        let mut got = to_f32(&wide);
        let view = MatMut::columns(&mut got, rows, stride, first, columns);
        cpu::forward_on(set, view, FACTOR).unwrap();
        for (r, (got, before)) in
            got.chunks_exact(stride).zip(wide.chunks_exact(stride)).enumerate()
        {
            let want = &want[r * columns..][..columns];
            assert_close(&format!("{set:?}"), &got[first..][..columns], want, F32);
            let before = to_f32(before);
            assert_eq!(got[..first], before[..first]);
            assert_eq!(got[first + columns..], before[first + columns..]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Shares sum to one, and what is added to all scores of a row does not matter.
    #[test]
    fn an_offset_leaves_the_shares(rows in 1..9usize, columns in 1..200usize, offset in -50.0..50.0f64) {
        let scores = scores(1, rows * columns);
        let moved: Vec<f64> = scores.iter().map(|x| x + offset).collect();
        let want = defined(&scores, rows, FACTOR);
        for row in want.chunks_exact(columns) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        assert_close("definition", &defined(&moved, rows, FACTOR), &want, 1e-12);
        // The moved scores are rounded to f32: 60 has a last bit of 4e-6.
        let got = computed(InstructionSet::current(), &moved, rows, FACTOR);
        assert_close("cpu", &got, &want, 5e-6);
    }
}

#[test]
fn no_rows_are_no_work_and_no_columns_are_refused() {
    let none: &mut [f32] = &mut [];
    cpu::forward(MatMut::new(none, 0, 3), FACTOR).unwrap();
    for refused in [
        cpu::forward(MatMut::new(none, 3, 0), FACTOR),
        reference::forward(MatMut::new(none, 3, 0), FACTOR),
    ] {
        let error = refused.unwrap_err().to_string();
        assert_eq!(error, "softmax_rows: columns is 0, supported: 1 or more");
    }
}
