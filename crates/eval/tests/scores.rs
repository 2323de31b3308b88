//! Inception Score and kernel distance against numpy's.

mod support;

use eval::Rows;
use eval::inception_score::{InceptionScore, ScoreAccumulator, Splits};
use eval::kernel_distance::{kid, kid_subsets};
use parity::assert_close;
use proptest::prelude::*;
use serde_json::Value;
use std::num::NonZeroUsize;
use support::{Features, assert_near, golden, number, numbers, on_threads};

fn count(value: usize) -> NonZeroUsize {
    NonZeroUsize::new(value).expect("not zero")
}

fn score(logits: Rows<'_>, splits: Splits) -> InceptionScore {
    let plan = ScoreAccumulator::new(logits.dim(), splits, logits.len() as u64);
    let mut score = plan.expect("a plan");
    score.push(logits).expect("finite logits");
    score.finish().expect("all images")
}

fn assert_score(splits: Splits, want: &Value, tolerance: f64) {
    let got = score(Features::golden("L").rows(), splits);
    assert_close("scores", &got.scores, &numbers(&want["scores"]), tolerance);
    assert_near("mean", got.mean, number(&want["mean"]), tolerance);
    assert!((got.deviation - number(&want["std"])).abs() < tolerance, "{got:?}");
}

#[test]
fn scores_are_those_of_numpy() {
    let golden = golden();
    for want in golden["inception_score"].as_array().expect("cases") {
        // The logits of the golden are f64.
        let splits = Splits::Chunks(count(number(&want["chunk"]) as usize));
        assert_score(splits, want, 1e-7);
    }
    let rounded = &golden["inception_score_f32"];
    for want in rounded["chunks"].as_array().expect("cases") {
        assert_score(Splits::Chunks(count(number(&want["size"]) as usize)), want, 1e-14);
    }
    for want in rounded["parts"].as_array().expect("cases") {
        assert_score(Splits::Parts(count(number(&want["parts"]) as usize)), want, 1e-14);
    }
}

#[test]
fn scores_have_known_ends() {
    let sure = |i: usize, class: usize| if i % 4 == class { 1e30 } else { -1e30 };
    let values = (0..16).map(|at| sure(at / 4, at % 4)).collect();
    let certain = Features { values, dim: 4 };
    assert_near("certain", score(certain.rows(), Splits::Chunks(count(4))).mean, 4.0, 1e-15);
    let equal = Features { values: vec![3.5; 20], dim: 4 };
    assert_near("equal", score(equal.rows(), Splits::Chunks(count(2))).mean, 1.0, 1e-15);
    let one = Features { values: vec![2.0; 3], dim: 1 };
    assert_near("one class", score(one.rows(), Splits::Parts(count(3))).mean, 1.0, 1e-15);
}

#[test]
fn a_chunk_beyond_the_images_has_them_all() {
    let logits = Features::golden("L");
    let got = score(logits.rows(), Splits::Chunks(count(5000)));
    assert_eq!(got.scores.len(), 1);
    assert_eq!(score(logits.rows(), Splits::Chunks(count(usize::MAX))), got);
    assert_eq!(score(logits.rows(), Splits::Parts(count(1))), got);
}

#[test]
fn other_images_than_announced_are_refused() {
    let message = |result: Result<(), eval::EvalError>| result.expect_err("bad input").to_string();
    let logits = Features::uniform(1, 10, 3);
    let plan = |splits, total| ScoreAccumulator::new(3, splits, total);
    let chunks = Splits::Chunks(count(4));
    assert_eq!(
        message(plan(chunks, 9).expect("a plan").push(logits.rows())),
        "number of images is 10, expected 9, as announced"
    );
    let mut short = plan(chunks, 11).expect("a plan");
    short.push(logits.rows()).expect("finite logits");
    assert_eq!(
        message(short.finish().map(drop)),
        "number of images is 10, expected 11, as announced"
    );
    assert_eq!(
        message(plan(Splits::Parts(count(10)), 9).map(drop)),
        "number of images is 9, expected at least 10, so that no group is empty"
    );
    assert!(plan(chunks, 0).is_err());
    assert!(ScoreAccumulator::new(0, chunks, 3).is_err());
    assert_eq!(
        message(short.push(Features::uniform(1, 1, 4).rows())),
        "logits of an image is 4, expected 3, the number of classes"
    );
    let mut bad = logits.clone();
    bad.values[5] = f32::NAN;
    let mut score = plan(chunks, 20).expect("a plan");
    score.push(logits.rows()).expect("finite logits");
    assert_eq!(
        message(score.push(bad.rows())),
        "logits: element 2 of row 11 is NaN, expected a finite number"
    );
}

#[test]
fn kernel_distances_are_those_of_numpy() {
    let golden = &golden()["kid"];
    let (x, y) = (Features::golden("X"), Features::golden("Y"));
    let got = kid(x.rows(), y.rows()).expect("equal lengths");
    assert_near("all rows", got, number(&golden["X_Y"]), 1e-13);
    let got = kid(x.first(100), y.first(100)).expect("equal lengths");
    assert_near("100 rows", got, number(&golden["X100_Y100"]), 1e-13);
}

/// The estimate by plain loops.
fn kid_by_loops(x: Rows<'_>, y: Rows<'_>) -> f64 {
    let kernel = |a: &[f32], b: &[f32]| {
        let product: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        (product / a.len() as f64 + 1.0).powi(3)
    };
    let mean = |a: Rows<'_>, b: Rows<'_>, same: bool| {
        let pairs = (0..a.len()).flat_map(|i| (0..b.len()).map(move |j| (i, j)));
        let pairs: Vec<_> = pairs.filter(|&(i, j)| !same || i != j).collect();
        let sum: f64 = pairs.iter().map(|&(i, j)| kernel(a.row(i), b.row(j))).sum();
        sum / pairs.len() as f64
    };
    mean(x, x, true) + mean(y, y, true) - 2.0 * mean(x, y, false)
}

#[test]
fn kernel_distances_of_several_tiles_are_those_of_loops() {
    let (x, y) = (Features::uniform(1, 2049, 3), Features::uniform(2, 1024, 3));
    let y = y.map_rows(|row| row[0] += 0.5);
    let got = kid(x.rows(), y.rows()).expect("equal lengths");
    assert_near("distance", got, kid_by_loops(x.rows(), y.rows()), 1e-12);
    let back = kid(y.rows(), x.rows()).expect("equal lengths");
    assert_near("the other way round", back, got, 1e-12);
}

/// Sums of several sets, because a sum in another order has the same bits more often than not.
#[test]
fn threads_change_no_bit() {
    for seed in 0..4 {
        let x = Features::uniform(seed, 3100, 2);
        let y = Features::uniform(seed + 10, 2100, 2);
        let [one, two, four] = on_threads(|| kid(x.rows(), y.rows()).expect("equal lengths"));
        assert_eq!(one.to_bits(), two.to_bits());
        assert_eq!(one.to_bits(), four.to_bits());
    }
}

#[test]
fn subsets_depend_on_the_seed_alone() {
    let (x, y) = (Features::golden("X"), Features::golden("Y"));
    let subsets = |seed| kid_subsets(x.rows(), y.rows(), 20, 50, seed).expect("enough rows");
    let [one, two, four] = on_threads(|| subsets(7));
    assert_eq!(one, two);
    assert_eq!(one, four);
    assert_ne!(one.values, subsets(8).values);
    assert_eq!(one.values.len(), 20);
    assert!(one.values.windows(2).all(|pair| pair[0] != pair[1]));
    let mean = one.values.iter().sum::<f64>() / 20.0;
    let squares: f64 = one.values.iter().map(|value| (value - mean).powi(2)).sum();
    assert_near("mean", one.mean, mean, 1e-15);
    assert_near("deviation", one.deviation, (squares / 20.0).sqrt(), 1e-14);
    // Unbiased: the mean is the distance of all rows, within five standard errors.
    let whole = kid(x.rows(), y.rows()).expect("equal lengths");
    assert!((one.mean - whole).abs() < 5.0 * one.deviation / 20f64.sqrt(), "{one:?}");
}

#[test]
fn a_subset_of_all_rows_is_the_set() {
    let (x, y) = (Features::golden("X"), Features::golden("Y"));
    let got = kid_subsets(x.first(200), y.first(200), 3, 200, 1).expect("enough rows");
    let want = kid(x.first(200), y.first(200)).expect("equal lengths");
    got.values.iter().for_each(|&got| assert_near("a permutation", got, want, 1e-13));
}

#[test]
fn bad_sets_are_refused() {
    let (x, y) = (Features::golden("X"), Features::golden("Y"));
    let narrow = Features::uniform(1, 30, 23);
    let error = kid(x.rows(), narrow.rows()).expect_err("other length");
    assert_eq!(error.to_string(), "features of the second set is 23, expected 24, as in the first");
    let error = kid(x.rows(), y.first(1)).expect_err("one row");
    assert_eq!(error.to_string(), "rows of the second set is 1, expected at least 2");
    let mut bad = x.clone();
    bad.values[25] = f32::NEG_INFINITY;
    let error = kid(bad.rows(), y.rows()).expect_err("infinite");
    assert_eq!(
        error.to_string(),
        "first features: element 1 of row 1 is -inf, expected a finite number"
    );
    for size in [0, 1, 261] {
        let error = kid_subsets(x.rows(), y.rows(), 2, size, 0).expect_err("no such subset");
        let want = "expected from 2 to 260, the rows of the smaller set";
        assert_eq!(error.to_string(), format!("rows of a subset is {size}, {want}"));
    }
    assert!(kid_subsets(x.rows(), y.rows(), 0, 2, 0).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn scores_are_between_one_and_the_classes(
        seed in 0u64..1000, rows in 1usize..60, classes in 1usize..9, size in 1usize..70,
        scale in 0.0f32..100.0, cut in 0usize..60,
    ) {
        let logits = Features::uniform(seed, rows, classes).map_rows(|row| {
            row.iter_mut().for_each(|x| *x *= scale);
        });
        let splits = Splits::Chunks(count(size));
        let whole = score(logits.rows(), splits);
        let ends = 1.0 - 1e-14..=classes as f64 * (1.0 + 1e-14);
        prop_assert!(whole.scores.iter().all(|score| ends.contains(score)), "{whole:?}");

        let cut = cut % (rows + 1);
        let mut parts = ScoreAccumulator::new(classes, splits, rows as u64).expect("a plan");
        parts.push(logits.first(cut)).expect("finite logits");
        parts.push(logits.rows().part(cut, rows - cut)).expect("finite logits");
        prop_assert_eq!(parts.finish().expect("all images"), whole);
    }
}
