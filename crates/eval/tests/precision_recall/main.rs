//! Precision, recall, density and coverage against the definition and against numbers of numpy.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod brute_force;
mod classes;
mod features;
mod goldens;
mod laws;
mod refusals;

use eval::Rows;
use eval::precision_recall::{Comparison, Options, PrecisionRecall, precision_recall};

/// Tiles that divide nothing, fit exactly, and exceed every set.
const TILES: [usize; 4] = [1, 7, 64, 4096];

fn options(k: usize, comparison: Comparison, tile: usize) -> Options {
    Options { k, comparison, tile }
}

fn compare(
    reference: &[f32],
    generated: &[f32],
    columns: usize,
    options: &Options,
) -> PrecisionRecall {
    let rows = |values| Rows::new(values, columns).unwrap();
    precision_recall(rows(reference), rows(generated), options, &|_| ()).unwrap()
}

/// The result on a pool of some threads.
fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}
