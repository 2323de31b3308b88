//! The definition, pair by pair.

use eval::precision_recall::{Comparison, Counts};
use rayon::prelude::*;

fn distance(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).fold(0.0, |sum, (&x, &y)| {
        let difference = f64::from(x) - f64::from(y);
        sum + difference * difference
    })
}

fn distances(a: &[f32], b: &[f32], columns: usize) -> Vec<Vec<f64>> {
    let row = |x: &[f32]| b.chunks_exact(columns).map(|y| distance(x, y)).collect();
    a.par_chunks_exact(columns).map(row).collect()
}

fn radii(set: &[f32], columns: usize, k: usize) -> Vec<f64> {
    let radius = |(i, mut row): (usize, Vec<f64>)| {
        row.remove(i);
        row.sort_by(f64::total_cmp);
        row[k - 1]
    };
    distances(set, set, columns).into_iter().enumerate().map(radius).collect()
}

/// The four counts.
pub(crate) fn counts(
    reference: &[f32],
    generated: &[f32],
    columns: usize,
    k: usize,
    comparison: Comparison,
) -> Counts {
    let [of_reference, of_generated] = [reference, generated].map(|set| radii(set, columns, k));
    let inside = |distance: f64, radius: f64| match comparison {
        Comparison::AtMost => distance <= radius,
        Comparison::Below => distance < radius,
    };
    let all = distances(generated, reference, columns);
    let in_reference = |g: usize, r: usize| inside(all[g][r], of_reference[r]);
    let in_generated = |g: usize, r: usize| inside(all[g][r], of_generated[g]);
    let [n, m] = [of_reference.len(), of_generated.len()];
    let count = |len: usize, holds: &dyn Fn(usize) -> bool| (0..len).filter(|&i| holds(i)).count();
    Counts {
        precision: count(m, &|g| (0..n).any(|r| in_reference(g, r))) as u64,
        recall: count(n, &|r| (0..m).any(|g| in_generated(g, r))) as u64,
        density: (0..m).map(|g| count(n, &|r| in_reference(g, r)) as u64).sum(),
        coverage: count(n, &|r| (0..m).any(|g| in_reference(g, r))) as u64,
    }
}
