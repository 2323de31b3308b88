//! Time of precision and recall: `precision_recall [REFERENCE] [GENERATED] [COLUMNS] [TILE]`, by default
//! the sizes of ADM's evaluation. Features are made from a formula.
#![allow(clippy::print_stdout, reason = "the point of an example")]

use eval::precision_recall::{Options, precision_recall};
use eval::{EvalError, Rows};
use rayon::prelude::*;
use std::time::Instant;

/// Rows of correlated numbers, more of them near zero than far, as after a rectifier.
fn features(seed: u64, rows: usize, columns: usize) -> Vec<f32> {
    /// Directions in which images differ most.
    const DIRECTIONS: usize = 32;
    let mix: Vec<f32> = parity::to_f32(&parity::uniform(0, DIRECTIONS * columns));
    let mut all = vec![0.0; rows * columns];
    all.par_chunks_exact_mut(columns).enumerate().for_each(|(row, to)| {
        let numbers = parity::uniform(seed + row as u64, DIRECTIONS + columns);
        let (main, own) = numbers.split_at(DIRECTIONS);
        for (column, (to, &own)) in to.iter_mut().zip(own).enumerate() {
            let along = main.iter().zip(mix[column..].iter().step_by(columns));
            let sum: f64 = along.map(|(&x, &mix)| x * f64::from(mix)).sum();
            *to = (0.3 * sum + 0.3 * own).max(0.0) as f32;
        }
    });
    all
}

fn main() -> Result<(), EvalError> {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    let size = |index: usize, default: usize| sizes.get(index).copied().unwrap_or(default);
    let (n, m, columns) = (size(0, 10_000), size(1, 50_000), size(2, 2048));
    let options = Options { tile: size(3, Options::ADM.tile), ..Options::ADM };
    let [reference, generated] = [features(1, n, columns), features(1 << 32, m, columns)];
    let start = Instant::now();
    let result = precision_recall(
        Rows::new(&reference, columns)?,
        Rows::new(&generated, columns)?,
        &options,
        &|_| (),
    )?;
    let seconds = start.elapsed().as_secs_f64();
    let [n, m, columns] = [n, m, columns].map(|x| x as f64);
    let products = 2.0 * columns * (n * n / 2.0 + m * m / 2.0 + n * m);
    println!("{result:#?}");
    println!("{seconds:.1} s, {:.0} GFLOP/s", products / seconds * 1e-9);
    Ok(())
}
