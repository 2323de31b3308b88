//! Equal to the definition, whatever the features, tiles and threads.

use crate::features::{narrow, unit};
use crate::{TILES, brute_force, compare, on_threads, options};
use eval::Rows;
use eval::precision_recall::{Comparison, Options, precision_recall};
use parity::to_f32;
use proptest::prelude::*;
use std::sync::Mutex;

const BOTH: [Comparison; 2] = [Comparison::AtMost, Comparison::Below];

fn check(reference: &[f32], generated: &[f32], columns: usize, k: usize, tiles: &[usize]) {
    for comparison in BOTH {
        let expected = brute_force::counts(reference, generated, columns, k, comparison);
        for &tile in tiles {
            let got = compare(reference, generated, columns, &options(k, comparison, tile));
            assert_eq!(
                got.counts, expected,
                "{columns} columns, k {k}, {comparison:?}, tile {tile}"
            );
        }
    }
}

/// Rows around a few centres, which are far from zero.
fn clusters(seed: u64, rows: usize, columns: usize, spread: f64) -> Vec<f32> {
    let element = |at: usize| {
        let (row, column) = (at / columns, at % columns);
        let centre = unit(99, (row % 5) * columns + column);
        (30.0 + centre + spread * unit(seed, at)) as f32
    };
    (0..rows * columns).map(element).collect()
}

#[test]
fn two_thousand_rows_of_each_have_the_counts_of_the_definition() {
    let [a, b] = [clusters(1, 2000, 40, 1.0), clusters(2, 2000, 40, 1.1)];
    check(&a, &b, 40, 3, &[64, 700, 4096]);
}

/// Small integers, so that many distances are equal: to each other, and to radii.
#[test]
fn ties_are_decided_by_the_comparison() {
    let digits = |seed: u64, rows: usize| -> Vec<f32> {
        (0..rows * 6).map(|at| (4.0 * unit(seed, at)).floor() as f32).collect()
    };
    let [a, b] = [digits(5, 400), digits(6, 300)];
    check(&a, &b, 6, 1, &TILES);
    check(&a, &b, 6, 4, &TILES);
    let [at_most, below] = BOTH.map(|comparison| brute_force::counts(&a, &b, 6, 4, comparison));
    assert!(at_most.density > below.density, "{at_most:?} {below:?}");
}

/// The worst case for bounds: they tell nothing apart.
#[test]
fn copies_of_one_row_have_the_counts_of_the_definition() {
    let one: Vec<f32> = (0..20).map(|i| 0.1 * i as f32).collect();
    let mut all = one.repeat(150);
    check(&all, &all, 20, 3, &TILES);
    all[20 * 7] += 1.0;
    check(&all, &one.repeat(90), 20, 3, &TILES);
}

#[test]
fn the_largest_and_least_numbers_of_f32_are_compared() {
    let [a, b] = [narrow("X"), narrow("Y")];
    for factor in [3.4e38, 1e19, 1e-19, 1e-38, 1e-44] {
        let scaled = |rows: &[f32]| -> Vec<f32> {
            rows.iter().map(|&x| (f64::from(x) * factor).clamp(-3.4e38, 3.4e38) as f32).collect()
        };
        let opposite: Vec<f32> = scaled(&b).iter().map(|x| -x).collect();
        check(&scaled(&a), &scaled(&b), 24, 3, &[64]);
        check(&scaled(&a), &opposite, 24, 3, &[64]);
    }
    let mixed: Vec<f32> =
        a.iter().zip((0..24).cycle()).map(|(x, i)| x * 10f32.powi(i - 12)).collect();
    check(&mixed, &b, 24, 3, &[64]);
}

#[test]
fn threads_change_no_bit() {
    let [a, b] = [clusters(3, 500, 70, 0.7), clusters(4, 600, 70, 0.7)];
    for tile in TILES {
        let options = options(3, Comparison::AtMost, tile.max(7));
        let results = [1, 2, 4].map(|n| on_threads(n, || compare(&a, &b, 70, &options)));
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
    }
}

#[test]
fn progress_rises_to_one() {
    let [a, b] = [narrow("X"), narrow("Y")];
    for tile in [50, 64, 1000] {
        let seen = Mutex::new(Vec::new());
        let rows = |values| Rows::new(values, 24).unwrap();
        let options = Options { tile, ..Options::ADM };
        precision_recall(rows(&a), rows(&b), &options, &|done| seen.lock().unwrap().push(done))
            .unwrap();
        let seen = seen.into_inner().unwrap();
        assert!(seen.is_sorted() && seen[0] > 0.0 && seen.len() >= 3, "{seen:?}");
        assert_eq!(seen.last(), Some(&1.0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_features_have_the_counts_of_the_definition(
        seed in any::<u64>(),
        columns in 1usize..70,
        rows in (5usize..60, 5usize..60),
        k in 1usize..5,
        tile in 1usize..70,
        // Mean, spread, and how coarse numbers are.
        mean in prop::sample::select(vec![0.0, 1.0, 1e3, -1e6, 1e30]),
        spread in prop::sample::select(vec![0.0, 1e-8, 1e-4, 1.0, 1e6, 1e25]),
        steps in prop::sample::select(vec![2.0, 5.0, 1e9]),
    ) {
        let make = |seed: u64, rows: usize| -> Vec<f32> {
            let numbers = parity::uniform(seed, rows * columns);
            to_f32(&numbers.iter().map(|x| mean + spread * (x * steps).round() / steps).collect::<Vec<_>>())
        };
        let (a, b) = (make(seed, rows.0), make(!seed, rows.1));
        check(&a, &b, columns, k, &[tile]);
    }
}
