//! Frechet distances against 40 digits and scipy's, of full rank and of less, and their laws.

mod support;

use eval::frechet::{Frechet, frechet, of_features};
use eval::statistics::{Accumulator, Statistics};
use eval::{EvalError, Rows};
use proptest::prelude::*;
use support::{Features, assert_near, golden, number, numbers, on_threads, streams};

fn statistics(rows: Rows<'_>) -> Statistics {
    let mut accumulator = Accumulator::new(rows.dim());
    accumulator.push(rows).expect("finite rows");
    accumulator.finish().expect("two rows")
}

fn of_statistics(first: Rows<'_>, second: Rows<'_>) -> Frechet {
    frechet(&statistics(first), &statistics(second)).expect("equal lengths")
}

/// A column that repeats another and one that is constant: exactly singular with more rows than columns.
fn singular(features: Features) -> Features {
    features.map_rows(|row| (row[5], row[7]) = (row[4], 0.25))
}

#[test]
fn distances_are_those_of_forty_digits() {
    let golden = golden();
    let (x, y) = (Features::golden("X"), Features::golden("Y"));
    let (xd, yd) = (singular(x.clone()), singular(y.clone()));
    for (name, first, second, ranks) in [
        ("X_Y", x.rows(), y.rows(), [24, 24]),
        ("Y_X", y.rows(), x.rows(), [24, 24]),
        ("X0_12_Y0_15", x.first(12), y.first(15), [11, 14]),
        ("X0_2_Y", x.first(2), y.rows(), [1, 24]),
        ("XD_YD", xd.rows(), yd.rows(), [22, 22]),
        ("XD_Y", xd.rows(), y.rows(), [22, 24]),
    ] {
        let want = number(&golden["frechet"][name]["truth"]);
        for got in
            [of_statistics(first, second), of_features(first, second).expect("equal lengths")]
        {
            // Cancellation leaves the error of the traces, near 1e-15 of 4.5.
            assert_near(name, got.distance, want, 2e-14);
            assert_eq!(got.ranks, ranks, "{name}");
            assert_eq!(got.value(), got.distance);
        }
    }
}

#[test]
fn parts_of_the_distance_are_given() {
    let golden = golden();
    let (x, y) = (Features::golden("X"), Features::golden("Y"));
    let got = of_statistics(x.rows(), y.rows());
    let [want_x, want_y] = ["X", "Y"].map(|name| &golden["stats"][name]);
    let means = numbers(&want_x["mean"]).into_iter().zip(numbers(&want_y["mean"]));
    assert_near("mean term", got.mean_term, means.map(|(a, b)| (a - b) * (a - b)).sum(), 1e-13);
    assert_near("first trace", got.traces[0], number(&want_x["trace"]), 1e-13);
    assert_near("second trace", got.traces[1], number(&want_y["trace"]), 1e-13);
}

#[test]
fn diagonal_covariances_have_a_closed_form() {
    let golden = &golden()["frechet"]["diagonal"];
    let distribution = |mean: &str, diagonal: &str| {
        let (mean, diagonal) = (numbers(&golden[mean]), numbers(&golden[diagonal]));
        let covariance = (0..16).map(|i| if i % 5 == 0 { diagonal[i / 5] } else { 0.0 }).collect();
        Statistics::new(mean, covariance, None).expect("a covariance")
    };
    let (first, second) = (distribution("mu1", "sigma1_diag"), distribution("mu2", "sigma2_diag"));
    let got = frechet(&first, &second).expect("equal lengths");
    assert_near("distance", got.distance, number(&golden["truth"]), 1e-15);
    assert_eq!(got.ranks, [3, 4]);
}

#[test]
fn one_feature_has_a_closed_form() {
    let features = |values: &[f32]| Features { values: values.to_vec(), dim: 1 };
    let (first, second) = (features(&[1.0, 3.0]), features(&[0.0, 0.0, 6.0, 6.0]));
    let want = 1.0 + (2f64.sqrt() - 12f64.sqrt()).powi(2);
    let got = of_features(first.rows(), second.rows()).expect("equal lengths");
    assert_near("distance", got.distance, want, 1e-15);
    let got = of_statistics(first.rows(), second.rows());
    assert_near("distance by statistics", got.distance, want, 1e-15);
    let constant = features(&[5.0, 5.0]);
    let got = of_features(first.rows(), constant.rows()).expect("equal lengths");
    assert_eq!((got.distance, got.ranks), (9.0 + 2.0, [1, 0]));
}

#[test]
fn equal_sets_have_no_distance() {
    let x = Features::golden("X");
    for rows in [300, 12, 2] {
        let got = of_features(x.first(rows), x.first(rows)).expect("equal lengths");
        assert!(got.distance.abs() < 5e-15, "{got:?}");
        assert_eq!(got.value(), 0.0);
    }
}

#[test]
fn features_of_any_size_have_a_distance() {
    for size in [1e-300, 1e-150, 1e150, 1e300] {
        let scaled = |covariance: [f64; 4]| {
            let covariance = covariance.iter().map(|c| c * size).collect();
            Statistics::new(vec![0.0; 2], covariance, None).expect("a covariance")
        };
        let (line, round) = (scaled([1.0, 1.0, 1.0, 1.0]), scaled([1.0, 0.0, 0.0, 1.0]));
        let got = frechet(&line, &round).expect("equal lengths");
        assert_near("a line from a circle", got.distance, size * (4.0 - 2.0 * 2f64.sqrt()), 1e-14);
        assert_eq!(got.ranks, [1, 2]);
    }
}

/// The distance of 2048 features, from more rows than features and from fewer.
#[test]
fn distances_of_inception_size_are_those_of_scipy() {
    let golden = &golden()["big"];
    let first = streams::spectrum(11, 2600, 1.0, 0.0);
    let second = streams::spectrum(12, 2500, 1.1, 0.02);
    for (name, features) in [("F1", &first), ("F2", &second)] {
        assert_eq!(streams::checksum(&features.values), golden[name]["checksum"]);
    }
    let got = of_statistics(first.rows(), second.rows());
    assert_near("trace", got.traces[0], number(&golden["F1"]["trace"]), 1e-13);
    // sqrtm's own error is 1e-13 of the traces, which are 16 times the distance.
    assert_near("full rank", got.distance, number(&golden["fid_full_sqrtm"]), 2e-12);
    let numpy = number(&golden["fid_full_cholesky_nuclear"]);
    assert_near("full rank", got.distance, numpy, 1e-12);
    assert_eq!(got.ranks, [2048; 2]);

    let want = number(&golden["fid_700_900_truth"]);
    let few = of_features(first.first(700), second.first(900)).expect("equal lengths");
    assert_near("few rows", few.distance, want, 1e-13);
    assert_eq!(few.ranks, [699, 899]);
    let few = of_statistics(first.first(700), second.first(900));
    assert_near("few rows by statistics", few.distance, want, 1e-12);
    assert_eq!(few.ranks, [699, 899]);
}

#[test]
fn threads_change_no_bit() {
    let (first, second) = (Features::uniform(1, 700, 300), Features::uniform(2, 250, 300));
    let [one, two, four] = on_threads(|| {
        let features = of_features(first.rows(), second.rows()).expect("equal lengths");
        (features, of_statistics(first.rows(), second.rows()))
    });
    assert_eq!(one, two);
    assert_eq!(one, four);
}

#[test]
fn bad_input_is_refused() {
    let (x, narrow) = (Features::golden("X"), Features::uniform(1, 30, 23));
    let message = |result: Result<Frechet, EvalError>| result.expect_err("bad input").to_string();
    let lengths = "features of the second set is 23, expected 24, as in the first";
    assert_eq!(message(of_features(x.rows(), narrow.rows())), lengths);
    let (first, second) = (statistics(x.rows()), statistics(narrow.rows()));
    assert_eq!(message(frechet(&first, &second)), lengths);
    assert_eq!(
        message(of_features(x.first(1), x.rows())),
        "number of rows is 1, expected at least 2"
    );
    let mut bad = x.clone();
    bad.values[24 * 3 + 2] = f32::NAN;
    assert_eq!(
        message(of_features(x.rows(), bad.rows())),
        "second features: element 2 of row 3 is NaN, expected a finite number"
    );
    let mut bad = first.clone();
    bad.covariance[24] = f64::NAN;
    assert!(matches!(frechet(&bad, &first), Err(EvalError::NotFinite { row: 1, column: 0, .. })));
    let indefinite =
        Statistics::new(vec![0.0; 2], vec![1.0, 2.0, 2.0, 1.0], None).expect("symmetric");
    assert_eq!(
        message(frechet(&indefinite, &indefinite)),
        "least eigenvalue of a covariance is -1, expected at least 0, but for rounding"
    );
    let huge = Statistics::new(vec![1e200; 2], vec![1.0, 0.0, 0.0, 1.0], None).expect("finite");
    let zero = Statistics::new(vec![0.0; 2], vec![1.0, 0.0, 0.0, 1.0], None).expect("finite");
    assert_eq!(
        message(frechet(&huge, &zero)),
        "Frechet distance is inf, expected features of a usual size"
    );
}

/// A rotation of neighbours after each other, so that every feature meets every other.
fn rotate(rows: &Features, angle: f64) -> Vec<Vec<f64>> {
    let (sin, cos) = angle.sin_cos();
    let turn = |row: &[f32]| {
        let mut row: Vec<f64> = row.iter().copied().map(f64::from).collect();
        for i in 1..row.len() {
            (row[i - 1], row[i]) =
                (cos * row[i - 1] - sin * row[i], sin * row[i - 1] + cos * row[i]);
        }
        row
    };
    rows.values.chunks(rows.dim).map(turn).collect()
}

/// Statistics of f64 rows, which a rotation does not round.
fn exact(rows: &[Vec<f64>]) -> Statistics {
    let (n, d) = (rows.len() as f64, rows[0].len());
    let mean: Vec<f64> = (0..d).map(|j| rows.iter().map(|row| row[j]).sum::<f64>() / n).collect();
    let covariance = |j: usize, k: usize| {
        rows.iter().map(|row| (row[j] - mean[j]) * (row[k] - mean[k])).sum::<f64>() / (n - 1.0)
    };
    let covariance = (0..d * d).map(|at| covariance(at / d, at % d)).collect();
    Statistics::new(mean, covariance, None).expect("a covariance")
}

/// Rounding can leave a covariance of as many rows as features with one eigenvalue too many.
#[test]
fn the_rank_is_below_the_number_of_rows() {
    for seed in 0..400 {
        let rows = Features::uniform(seed, 10, 10);
        let by_statistics = of_statistics(rows.rows(), rows.rows());
        let by_features = of_features(rows.rows(), rows.rows()).expect("equal lengths");
        assert_eq!([by_statistics.ranks, by_features.ranks], [[9, 9], [9, 9]], "seed {seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn distances_are_symmetric_and_not_negative(
        seed in 0u64..1000, dim in 1usize..12, rows in 2usize..30, others in 2usize..30,
    ) {
        let first = Features::uniform(seed, rows, dim);
        let second = Features::uniform(seed + 1, others, dim).map_rows(|row| row[0] *= 3.0);
        let there = of_features(first.rows(), second.rows()).expect("equal lengths");
        let back = of_features(second.rows(), first.rows()).expect("equal lengths");
        let size = there.mean_term + there.traces[0] + there.traces[1];
        prop_assert!(there.distance >= there.mean_term - 1e-14 * size);
        prop_assert!((there.distance - back.distance).abs() <= 1e-14 * size);
        prop_assert_eq!([there.ranks[1], there.ranks[0]], back.ranks);
        let by_statistics = of_statistics(first.rows(), second.rows());
        // Eigenvalues of rounding that are kept or cut enter by their roots.
        prop_assert!((there.distance - by_statistics.distance).abs() <= 1e-7 * size);
        prop_assert_eq!(there.ranks, by_statistics.ranks);
    }

    #[test]
    fn a_rotation_of_both_changes_nothing(
        seed in 0u64..1000, angle in 0.1f64..3.0, rows in 3usize..40, dim in 2usize..10,
    ) {
        let (first, second) = (Features::uniform(seed, rows, dim), Features::uniform(seed + 1, 30, dim));
        let [plain, turned] = [0.0, angle].map(|angle| {
            let [first, second] = [&first, &second].map(|rows| exact(&rotate(rows, angle)));
            frechet(&first, &second).expect("equal lengths")
        });
        let size = plain.mean_term + plain.traces[0] + plain.traces[1];
        prop_assert!((plain.distance - turned.distance).abs() <= 1e-7 * size, "{plain:?} {turned:?}");
        if rows > dim + 5 {
            prop_assert!((plain.distance - turned.distance).abs() <= 1e-13 * size);
        }
    }

    #[test]
    fn the_order_of_rows_changes_nothing(seed in 0u64..1000, rows in 3usize..40) {
        let (first, second) = (Features::uniform(seed, rows, 6), Features::uniform(seed + 1, 20, 6));
        let reversed = Features {
            values: first.values.chunks(6).rev().flatten().copied().collect(),
            dim: 6,
        };
        let [plain, other] = [&first, &reversed]
            .map(|rows| of_features(rows.rows(), second.rows()).expect("equal lengths").distance);
        prop_assert!((plain - other).abs() <= 1e-14 * 20.0);
    }
}
