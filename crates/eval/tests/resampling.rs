//! The extrapolation to infinitely many samples, and intervals.

mod support;

use eval::bootstrap::{frechet_interval, interval, resample};
use eval::fid_infinity::{fid_infinity, fit};
use eval::frechet::frechet;
use eval::statistics::{Accumulator, Statistics};
use eval::{EvalError, Rows};
use support::{Features, assert_near, golden, number, numbers, on_threads};

fn statistics(rows: Rows<'_>) -> Statistics {
    let mut accumulator = Accumulator::new(rows.dim());
    accumulator.push(rows).expect("finite rows");
    accumulator.finish().expect("two rows")
}

/// Independent features that are uniform in [-1, 1).
fn exact(dim: usize) -> Statistics {
    let covariance = (0..dim * dim).map(|i| if i % (dim + 1) == 0 { 1.0 / 3.0 } else { 0.0 });
    Statistics::new(vec![0.0; dim], covariance.collect(), None).expect("a covariance")
}

fn assert_input<T: std::fmt::Debug>(result: Result<T, EvalError>, words: &str) {
    assert_eq!(result.expect_err("bad input").to_string(), words);
}

#[test]
fn the_fit_is_that_of_numpy() {
    let golden = &golden()["fid_infinity_fit"];
    let sizes = numbers(&golden["sizes"]).into_iter().map(|size| size as usize);
    let points: Vec<_> = sizes.zip(numbers(&golden["fid_of_prefixes"])).collect();
    let got = fit(&points).expect("different sizes");
    assert_near("intercept", got.intercept, number(&golden["intercept"]), 1e-13);
    assert_near("slope", got.slope, number(&golden["slope"]), 1e-13);
}

#[test]
fn fits_of_no_line_are_refused() {
    let two = "expected at least two different sizes";
    assert_input(fit(&[]), &format!("sizes of the fit is [], {two}"));
    let got = "[(5, 1.0), (5, 2.0)]";
    assert_input(fit(&[(5, 1.0), (5, 2.0)]), &format!("sizes of the fit is {got}, {two}"));
    assert_input(fit(&[(0, 1.0), (5, 2.0)]), "size of a subset is 0, expected at least 1");
}

/// Samples of the reference's own distribution: their distance is all bias.
#[test]
fn the_bias_of_few_samples_is_removed() {
    let samples = Features::uniform(1, 4000, 8);
    let got = fid_infinity(samples.rows(), &exact(8), 3).expect("enough samples");
    assert_eq!((got.sizes[0], got.sizes[14], got.sizes.len()), (400, 4000, 15));
    let whole = frechet(&statistics(samples.rows()), &exact(8)).expect("equal lengths").distance;
    assert_near("the last subset has all rows", got.distances[14], whole, 1e-9);
    let biased = got.distances[0];
    assert!(got.slope > 0.0 && got.intercept.abs() < 0.1 * biased, "{got:?}");
}

#[test]
fn subsets_of_the_fit_depend_on_the_seed_alone() {
    let samples = Features::uniform(2, 600, 20);
    let fit = |seed| fid_infinity(samples.rows(), &exact(20), seed).expect("enough samples");
    let [one, two, four] = on_threads(|| fit(1));
    assert_eq!(one, two);
    assert_eq!(one, four);
    let other = fit(2);
    assert_ne!(one.distances[..14], other.distances[..14]);
}

#[test]
fn sizes_below_the_features_are_exact() {
    // The first sizes have fewer rows than features, where rows are the factor.
    let samples = Features::uniform(3, 200, 40);
    let got = fid_infinity(samples.rows(), &exact(40), 3).expect("enough samples");
    assert!(got.sizes[0] < 40 && got.sizes[14] > 40);
    assert!(got.distances.windows(2).all(|pair| pair[0] > pair[1]), "{got:?}");
}

#[test]
fn few_or_bad_samples_are_refused() {
    let samples = Features::uniform(1, 5, 4);
    let few = "number of samples is 2, expected at least 3";
    assert_input(fid_infinity(samples.first(2), &exact(4), 0), few);
    assert!(fid_infinity(samples.first(3), &exact(4), 0).is_ok());
    let lengths = "features of the second set is 5, expected 4, as in the first";
    assert_input(fid_infinity(samples.rows(), &exact(5), 0), lengths);
    assert_input(frechet_interval(samples.rows(), &exact(5), 5, 0.9, 0), lengths);
    let mut bad = samples.clone();
    bad.values[6] = f32::NAN;
    let nan = "samples: element 2 of row 1 is NaN, expected a finite number";
    assert_input(fid_infinity(bad.rows(), &exact(4), 0), nan);
    assert_input(frechet_interval(bad.rows(), &exact(4), 5, 0.9, 0), nan);
    assert_input(
        frechet_interval(samples.first(1), &exact(4), 5, 0.9, 0),
        "number of rows is 1, expected at least 2",
    );
    assert_input(
        frechet_interval(samples.rows(), &exact(4), 0, 0.9, 0),
        "number of replicates is 0, expected at least 1",
    );
}

#[test]
fn percentiles_are_those_of_numpy() {
    let estimates = [3.0, -1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
    // numpy.percentile(estimates, [2.5, 97.5, 25, 75])
    let (low, high) = interval(&mut estimates.clone(), 0.95).expect("numbers");
    assert_near("2.5 %", low, -0.65, 1e-14);
    assert_near("97.5 %", high, 8.475, 1e-14);
    assert_eq!(interval(&mut estimates.clone(), 0.5).expect("numbers"), (1.75, 5.25));
    assert_eq!(interval(&mut [2.0], 0.95).expect("a number"), (2.0, 2.0));
}

#[test]
fn intervals_of_nothing_are_refused() {
    assert_input(interval(&mut [], 0.95), "list of estimates is empty, expected numbers");
    let nan = "list of estimates is with NaN, expected numbers";
    assert_input(interval(&mut [1.0, f64::NAN], 0.95), nan);
    for level in [0.0, 1.0, 95.0, -1.0, f64::NAN] {
        let words = "expected above 0 and below 1, such as 0.95";
        let want = format!("level of the interval is {level}, {words}");
        assert_input(interval(&mut [1.0, 2.0], level), &want);
    }
}

#[test]
fn replicates_are_draws_with_replacement() {
    let (first, second) = (resample(1000, 5, 0), resample(1000, 5, 1));
    assert_eq!(first, resample(1000, 5, 0));
    assert_ne!(first, second);
    assert_ne!(first, resample(1000, 6, 0));
    assert!(first.iter().all(|&row| row < 1000));
    let mut different = first.clone();
    different.sort_unstable();
    different.dedup();
    // 1 - 1/e of the rows, with a deviation of 10.
    assert!((582..=682).contains(&different.len()), "{}", different.len());
    // Every row is drawn once on average: 300 replicates, a deviation of 17 draws a row.
    let mut times = vec![0; 50];
    (0..300)
        .for_each(|replicate| resample(50, 5, replicate).iter().for_each(|&row| times[row] += 1));
    assert!(times.iter().all(|times| (200..400).contains(times)), "{times:?}");
}

/// The interval has the spread that distances of other samples really have: with many samples a feature,
/// and with two, where distances of replicates vary three times as much.
#[test]
fn the_interval_is_that_of_other_samples() {
    for (rows, dim) in [(400, 3), (80, 40), (30, 40)] {
        let set =
            |seed| Features::uniform(seed, rows, dim).map_rows(|row| row[0] = 1.3 * row[0] + 0.4);
        let distance = |seed| {
            let statistics = statistics(set(seed).rows());
            frechet(&statistics, &exact(dim)).expect("equal lengths").distance
        };
        let mut others: Vec<f64> = (100..400).map(distance).collect();
        let (low, high) = interval(&mut others, 0.9).expect("numbers");
        let mut widths = 0.0;
        for seed in 0..8 {
            let samples = set(seed);
            let got = frechet_interval(samples.rows(), &exact(dim), 1000, 0.9, seed);
            let got = got.expect("numbers");
            assert_near("estimate", got.estimate, distance(seed), 1e-10);
            assert!(got.low < got.estimate && got.estimate < got.high, "{got:?}");
            widths += (got.high - got.low) / 8.0;
            // 5 and 95 % of a normal distribution are at 1.645 deviations.
            assert_near("deviations", (got.high - got.low) / got.deviation, 2.0 * 1.645, 0.1);
        }
        assert_near("width", widths, high - low, 0.35);
    }
}

#[test]
fn intervals_depend_on_the_seed_alone() {
    let samples = Features::uniform(1, 1300, 10);
    let of = |seed| frechet_interval(samples.rows(), &exact(10), 50, 0.95, seed).expect("numbers");
    let [one, two, four] = on_threads(|| of(2));
    assert_eq!(one, two);
    assert_eq!(one, four);
    let other = of(3);
    assert_eq!((one.estimate, one.deviation), (other.estimate, other.deviation));
    assert_ne!((one.low, one.high), (other.low, other.high));
}

#[test]
fn samples_that_do_not_vary_have_an_interval() {
    let equal = Features { values: vec![0.5; 30], dim: 3 };
    let got = frechet_interval(equal.rows(), &exact(3), 10, 0.9, 0).expect("numbers");
    assert_near("distance", got.estimate, 0.75 + 1.0, 1e-15);
    assert_eq!((got.low, got.high, got.deviation), (got.estimate, got.estimate, 0.0));
}
