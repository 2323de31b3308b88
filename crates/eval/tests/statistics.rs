//! Mean and covariance against numpy's, and that parts, threads and interruptions change no bit.

mod support;

use eval::statistics::{Accumulator, AccumulatorState, Statistics};
use eval::{EvalError, Rows};
use parity::assert_close;
use proptest::prelude::*;
use support::{Features, assert_near, golden, number, numbers, on_threads, streams};

/// f64 sums in another order than numpy's.
const F64: f64 = 1e-13;

fn of(features: Rows<'_>) -> Statistics {
    let mut accumulator = Accumulator::new(features.dim());
    accumulator.push(features).expect("finite rows");
    accumulator.finish().expect("two rows")
}

/// Statistics by two passes of plain loops.
fn by_loops(features: Rows<'_>) -> (Vec<f64>, Vec<f64>) {
    let (n, d) = (features.len(), features.dim());
    let at = |i: usize, j: usize| f64::from(features.row(i)[j]);
    let mean: Vec<f64> = (0..d).map(|j| (0..n).map(|i| at(i, j)).sum::<f64>() / n as f64).collect();
    let covariance = |j: usize, k: usize| {
        let products = (0..n).map(|i| (at(i, j) - mean[j]) * (at(i, k) - mean[k]));
        products.sum::<f64>() / (n - 1) as f64
    };
    let covariance = (0..d * d).map(|at| covariance(at / d, at % d)).collect();
    (mean, covariance)
}

fn assert_input(result: Result<impl std::fmt::Debug, EvalError>, words: &str) {
    let error = result.expect_err("bad input");
    assert!(matches!(error, EvalError::Input { .. }), "{error:?}");
    assert_eq!(error.to_string(), words);
}

#[test]
fn formulas_give_the_features_of_the_goldens() {
    let golden = golden();
    for (name, features) in [("X", streams::x()), ("Y", streams::y())] {
        assert_eq!(streams::checksum(&features.values), golden["inputs"][name]["checksum"]);
        assert_eq!(features, Features::golden(name));
    }
}

#[test]
fn statistics_are_those_of_numpy() {
    let golden = golden();
    for name in ["X", "Y"] {
        let (features, want) = (Features::golden(name), &golden["stats"][name]);
        let got = of(features.rows());
        let at = |i: usize, j: usize| got.covariance[i * 24 + j];
        assert_eq!(got.count, want["n"].as_u64());
        assert_close("mean", &got.mean, &numbers(&want["mean"]), F64);
        let diagonal: Vec<f64> = (0..24).map(|i| at(i, i)).collect();
        assert_close("variances", &diagonal, &numbers(&want["cov_diag"]), F64);
        let norm = got.covariance.iter().map(|c| c * c).sum::<f64>().sqrt();
        assert_near("norm", norm, number(&want["fro"]), F64);
        for (got, key) in [(at(0, 1), "cov_0_1"), (at(1, 0), "cov_0_1"), (at(23, 22), "cov_23_22")]
        {
            assert!((got - number(&want[key])).abs() < 1e-16, "{key}: {got}");
        }
    }
}

#[test]
fn large_features_keep_the_digits_of_their_variance() {
    let mut features = Features::uniform(3, 2500, 5).map_rows(|row| {
        row.iter_mut().for_each(|x| *x += 1e5);
    });
    features.values.extend([3e5, 1e5, 1e5, 2e5, 1e5]);
    let (mean, covariance) = by_loops(features.rows());
    let got = of(features.rows());
    assert_close("mean", &got.mean, &mean, F64);
    assert_close("covariance", &got.covariance, &covariance, F64);
}

#[test]
fn wide_rows_are_cut_into_tiles_that_fit() {
    for dim in [1, 2, 255, 256, 257, 513] {
        let features = Features::uniform(dim as u64, 37, dim);
        let (mean, covariance) = by_loops(features.rows());
        let got = of(features.rows());
        assert_close("mean", &got.mean, &mean, F64);
        assert_close("covariance", &got.covariance, &covariance, F64);
    }
}

#[test]
fn threads_change_no_bit() {
    let features = Features::uniform(5, 2345, 300);
    let [one, two, four] = on_threads(|| of(features.rows()));
    assert_eq!(one, two);
    assert_eq!(one, four);
}

#[test]
fn equal_rows_vary_by_nothing() {
    let features = Features { values: [0.1, 7.3, 1e9].repeat(1500), dim: 3 };
    let got = of(features.rows());
    assert_close("covariance", &got.covariance, &[0.0; 9], 1e-12);
    assert!((0..3).all(|i| got.covariance[i * 4] >= 0.0));
}

#[test]
fn an_interruption_changes_no_bit() {
    let features = Features::uniform(6, 2777, 20);
    let whole = of(features.rows());
    for rows in [0, 1, 999, 1000, 1001, 2000, 2500, 2777] {
        let mut first = Accumulator::new(20);
        first.push(features.first(rows)).expect("finite rows");
        let state = first.state();
        let mut second = Accumulator::from_state(state.clone()).expect("its own state");
        assert_eq!(second.state(), state);
        assert_eq!(second.count(), rows as u64);
        second.push(features.rows().part(rows, 2777 - rows)).expect("finite rows");
        assert_eq!(second.finish().expect("rows"), whole, "interrupted after {rows}");
    }
}

#[test]
fn a_state_that_could_not_have_been_is_refused() {
    let mut accumulator = Accumulator::new(2);
    accumulator.push(Features::uniform(7, 1001, 2).rows()).expect("finite rows");
    let state = accumulator.state();
    let changed = |change: fn(&mut AccumulatorState)| {
        let mut state = state.clone();
        change(&mut state);
        Accumulator::from_state(state)
    };
    assert_input(changed(|s| s.dim = 0), "dim of the state is 0, expected a number of features");
    assert!(changed(|s| s.dim = usize::MAX).is_err());
    assert_input(
        changed(|s| s.products.truncate(2)),
        "length of products of the state is 2, expected 3, for 2 features",
    );
    assert_input(
        changed(|s| s.shift.clear()),
        "length of shift of the state is 0, expected 2, for 2 features",
    );
    assert_input(
        changed(|s| s.pending.push(0.0)),
        "length of pending of the state is 3, expected whole rows of 2, fewer than 1000",
    );
    assert!(changed(|s| s.pending = vec![0.0; 2000]).is_err());
    assert_input(
        changed(|s| s.count = 0),
        "count of the state is 0, expected the rows that its sums are of",
    );
    assert!(matches!(
        changed(|s| s.sums[1] = f64::NAN),
        Err(EvalError::NotFinite { what, row: 0, column: 1, .. }) if what == "sums of the state"
    ));
    assert!(matches!(
        changed(|s| s.pending[1] = f32::INFINITY),
        Err(EvalError::NotFinite { what, row: 0, column: 1, .. }) if what == "pending of the state"
    ));
    assert_input(
        changed(|s| s.products[2] = -1.0),
        "sum of squares of feature 1 of the state is -1, expected at least 0",
    );
}

#[test]
fn bad_rows_are_refused_and_leave_nothing() {
    let mut accumulator = Accumulator::new(3);
    accumulator.push(Features::uniform(8, 5, 3).rows()).expect("finite rows");
    let before = accumulator.state();
    assert_input(
        accumulator.push(Features::uniform(8, 5, 4).rows()),
        "features of a row is 4, expected 3, as in the rows before",
    );
    let mut bad = Features::uniform(9, 5, 3);
    bad.values[7] = f32::NAN;
    let error = accumulator.push(bad.rows()).expect_err("NaN");
    assert_eq!(error.to_string(), "features: element 1 of row 7 is NaN, expected a finite number");
    assert_eq!(accumulator.state(), before);
    let wide = vec![0.0; 20_000];
    assert_input(
        Accumulator::new(20_000).push(Rows::new(&wide, 20_000).expect("a row")),
        "features of a row is 20000, expected at most 16384",
    );
    let other = Accumulator::new(4);
    assert_input(
        accumulator.merge(&other),
        "features of an accumulator is 4, expected 3, as in the other",
    );
}

#[test]
fn one_row_has_no_covariance() {
    let mut accumulator = Accumulator::new(2);
    assert_input(accumulator.finish(), "number of rows is 0, expected at least 2");
    accumulator.push(Features::uniform(1, 1, 2).rows()).expect("a finite row");
    assert_input(accumulator.finish(), "number of rows is 1, expected at least 2");
}

#[test]
fn statistics_of_other_origin_are_checked() {
    let symmetric = |c: Vec<f64>| Statistics::new(vec![0.0; 2], c, None);
    assert_eq!(symmetric(vec![4.0, 1.0, 1.0, 9.0]).expect("a covariance").dim(), 2);
    let rounding = 2f64.powi(-20);
    let rounded = symmetric(vec![4.0, 1.0 + 2.0 * rounding, 1.0, -1e-9]).expect("by rounding");
    assert_eq!(rounded.covariance, [4.0, 1.0 + rounding, 1.0 + rounding, 0.0]);
    assert_input(
        symmetric(vec![4.0, 1.0, 1.1, 9.0]),
        "covariance[1][0] is 1.1, expected covariance[0][1], which is 1",
    );
    assert_input(
        symmetric(vec![4.0, 1.0, 1.0, -1.0]),
        "covariance[1][1] is -1, expected a variance, at least 0",
    );
    assert_input(
        symmetric(vec![0.0; 6]),
        "length of the covariance is 6, expected 2 x 2, because the mean has 2",
    );
    assert_input(
        Statistics::new(vec![], vec![], None),
        "length of the mean is 0, expected at least 1",
    );
    let error = symmetric(vec![4.0, 1.0, f64::INFINITY, 9.0]).expect_err("infinite");
    assert_eq!(
        error.to_string(),
        "covariance: element 0 of row 1 is inf, expected a finite number"
    );
    assert!(matches!(
        Statistics::new(vec![0.0, f64::NAN], vec![0.0; 4], None),
        Err(EvalError::NotFinite { what, column: 1, .. }) if what == "mean"
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn parts_of_any_length_change_no_bit(
        rows in 2usize..3300,
        cuts in proptest::collection::vec(0usize..3300, 0..6),
    ) {
        let features = Features::uniform(10, rows, 7);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (rows + 1)).collect();
        cuts.extend([0, rows]);
        cuts.sort_unstable();
        let mut accumulator = Accumulator::new(7);
        for cut in cuts.windows(2) {
            accumulator.push(features.rows().part(cut[0], cut[1] - cut[0])).expect("finite rows");
        }
        prop_assert_eq!(accumulator.finish().expect("rows"), of(features.rows()));
    }

    #[test]
    fn merged_parts_are_the_whole(rows in 2usize..2500, cuts in [0usize..2500, 0usize..2500]) {
        let mut cuts = cuts.map(|cut| cut % (rows + 1));
        cuts.sort_unstable();
        // Parts that differ in their means by much more than they vary.
        let mut row = 0.0;
        let features = Features::uniform(11, rows, 6).map_rows(|values| {
            row += 1.0;
            values.iter_mut().for_each(|x| *x += (row / 400.0_f32).floor() * 10.0);
        });
        let part = |from: usize, to: usize| {
            let mut accumulator = Accumulator::new(6);
            accumulator.push(features.rows().part(from, to - from)).expect("finite rows");
            accumulator
        };
        let mut merged = part(0, cuts[0]);
        merged.merge(&part(cuts[0], cuts[1])).expect("equal lengths");
        merged.merge(&Accumulator::new(6)).expect("equal lengths");
        // A push after a merge goes on.
        merged.push(features.rows().part(cuts[1], rows - cuts[1])).expect("finite rows");
        let (got, want) = (merged.finish().expect("rows"), of(features.rows()));
        prop_assert_eq!(got.count, want.count);
        assert_close("mean", &got.mean, &want.mean, 1e-13);
        assert_close("covariance", &got.covariance, &want.covariance, 1e-12);
    }
}
