//! Distances to the `k`-th nearest other row of a set.

use super::Work;
use super::space::{Products, STRIP, Set, Space, any_may_reach};
use crate::EvalError;
use rayon::prelude::*;
use std::ops::Range;

/// Squared radii of a set in `space`, by the definition of the distance.
///
/// Two rows have one product, at which both of them look.
pub(super) fn squared(
    space: &Space,
    set: &Set<'_>,
    k: usize,
    tile: usize,
    work: &mut Work<'_>,
) -> Result<Vec<f64>, EvalError> {
    let search = Search { space, set, limits: set.limits(space) };
    let mut nearest = vec![Nearest::new(k); set.len()];
    let mut products = Products::default();
    for left in set.blocks(tile) {
        products.set_left(space, set, &left);
        for right in set.blocks(tile).skip(left.start / tile) {
            let products = products.with_right(space, set, &right)?;
            search.rows(&mut nearest[left.clone()], &left, &right, products);
            let pairs = left.len() as f64 * right.len() as f64;
            if left == right {
                work.advance((pairs + left.len() as f64) / 2.0);
            } else {
                search.columns(&mut nearest[right.clone()], &left, &right, products);
                work.advance(pairs);
            }
        }
    }
    let radius =
        |(row, mut nearest): (usize, Nearest)| nearest.radius(|other| search.distance(row, other));
    Ok(nearest.into_par_iter().enumerate().map(radius).collect())
}

/// What all rows of a search share.
struct Search<'a> {
    space: &'a Space,
    set: &'a Set<'a>,
    /// Limits of products without an area, of every row.
    limits: Vec<f32>,
}

impl Search<'_> {
    /// Shows each row of a block all other rows of `right`.
    fn rows(
        &self,
        nearest: &mut [Nearest],
        left: &Range<usize>,
        right: &Range<usize>,
        products: &[f32],
    ) {
        let rows = nearest.par_iter_mut().zip(left.clone()).zip(products.par_chunks(right.len()));
        rows.for_each(|((nearest, row), products)| {
            let mut limit = self.limit(row, nearest);
            let strips = right.clone().step_by(STRIP).zip(products.chunks(STRIP));
            for (first, products) in strips {
                let limits = &self.limits[first..][..products.len()];
                if any_may_reach(products, limits, limit) {
                    for (other, &product) in (first..).zip(products) {
                        self.show(nearest, row, other, product);
                    }
                    limit = self.limit(row, nearest);
                }
            }
        });
    }

    /// Shows each row of `right` all rows of `left`, which are others.
    fn columns(
        &self,
        nearest: &mut [Nearest],
        left: &Range<usize>,
        right: &Range<usize>,
        products: &[f32],
    ) {
        // A task reads whole cache lines of each row of the block.
        let strips = right.clone().into_par_iter().step_by(STRIP);
        nearest.par_chunks_mut(STRIP).zip(strips).for_each(|(nearest, first)| {
            let rows = first..first + nearest.len();
            let limits = rows.clone().zip(nearest.iter()).map(|(row, near)| self.limit(row, near));
            let mut limits: Vec<f32> = limits.collect();
            for (other, products) in left.clone().zip(products.chunks(right.len())) {
                let products = &products[first - right.start..][..rows.len()];
                if any_may_reach(products, &limits, self.limits[other]) {
                    for (i, row) in rows.clone().enumerate() {
                        self.show(&mut nearest[i], row, other, products[i]);
                        limits[i] = self.limit(row, &nearest[i]);
                    }
                }
            }
        });
    }

    /// Least product that a row wants to be shown, without the other row's share.
    fn limit(&self, row: usize, nearest: &Nearest) -> f32 {
        self.space.limit(self.set.norm(row), nearest.limit())
    }

    fn show(&self, nearest: &mut Nearest, row: usize, other: usize, product: f32) {
        if row != other {
            let norms = [self.set.norm(row), self.set.norm(other)];
            let bounds = self.space.bounds(norms, product);
            nearest.offer(other, bounds, |other| self.distance(row, other));
        }
    }

    fn distance(&self, row: usize, other: usize) -> f64 {
        self.space.distance(self.set.row(row), self.set.row(other))
    }
}

/// The nearest other rows of one row, as far as they were seen.
///
/// `known` and `open` together always have the `k` nearest. A row leaves only when its distance is
/// at least the largest of `most`, which `k` of those that stay do not exceed.
#[derive(Clone)]
struct Nearest {
    k: usize,
    /// At most `k` smallest upper bounds, ascending.
    most: Vec<f64>,
    /// At most `k` smallest distances that were computed, ascending.
    known: Vec<f64>,
    /// Rows whose distance may matter, and its lower bound.
    open: Vec<(usize, f64)>,
}

impl Nearest {
    fn new(k: usize) -> Self {
        Self { k, most: Vec::new(), known: Vec::new(), open: Vec::new() }
    }

    /// A distance from here on does not matter.
    fn limit(&self) -> f64 {
        if self.most.len() < self.k { f64::INFINITY } else { self.most[self.k - 1] }
    }

    /// Takes a row into account whose distance lies in `bounds`.
    fn offer(&mut self, row: usize, bounds: [f64; 2], distance: impl Fn(usize) -> f64) {
        let [least, most] = bounds;
        if least >= self.limit() {
            return;
        }
        insert(&mut self.most, most, self.k);
        self.open.push((row, least));
        // Where bounds tell little apart, as among copies of one row, distances are computed before
        // rows pile up.
        let many = 4 * self.k + 32;
        if self.open.len() > many {
            self.forget();
            if self.open.len() > many / 2 {
                self.compute(distance);
            }
        }
    }

    /// Drops rows that no longer matter.
    fn forget(&mut self) {
        let limit = self.limit();
        self.open.retain(|&(_, least)| least < limit);
    }

    /// Replaces bounds by distances.
    fn compute(&mut self, distance: impl Fn(usize) -> f64) {
        for (row, _) in self.open.drain(..) {
            insert(&mut self.known, distance(row), self.k);
        }
        self.most.clone_from(&self.known);
    }

    /// The `k`-th smallest distance.
    fn radius(&mut self, distance: impl Fn(usize) -> f64) -> f64 {
        self.forget();
        self.compute(distance);
        self.known[self.k - 1]
    }
}

/// Adds a number to an ascending list that keeps the `most` smallest.
fn insert(list: &mut Vec<f64>, value: f64, most: usize) {
    let at = list.partition_point(|&other| other <= value);
    if at < most {
        list.truncate(most - 1);
        list.insert(at, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bounds around distances that contain them, in any order and however wide.
    #[test]
    fn the_kth_distance_is_found_from_any_bounds() {
        for (seed, width) in (0..60).zip([0.0, 1e-9, 1e-3, 0.1, 10.0].into_iter().cycle()) {
            let numbers = parity::uniform(seed, 600);
            let (distances, widths) = numbers.split_at(300);
            // Coarse, so that many are equal.
            let distances: Vec<f64> = distances.iter().map(|x| (x * 50.0).round() + 50.0).collect();
            let mut sorted = distances.clone();
            sorted.sort_by(f64::total_cmp);
            for k in [1, 2, 7, 300] {
                let mut nearest = Nearest::new(k);
                for (row, (&distance, x)) in distances.iter().zip(widths).enumerate() {
                    let width = width * (2.0 + x) + 1e-12;
                    let bounds = [(distance - width * 0.7).max(0.0), distance + width];
                    nearest.offer(row, bounds, |row| distances[row]);
                    assert!(nearest.open.len() <= 4 * k + 32, "{} of k {k}", nearest.open.len());
                }
                assert_eq!(nearest.radius(|row| distances[row]), sorted[k - 1], "{width} {k}");
            }
        }
    }
    /// What bounds do not tell apart is computed until the limit is exact, and no further.
    #[test]
    fn copies_of_a_row_need_few_distances() {
        let computed = std::cell::Cell::new(0);
        let distance = |_: usize| {
            computed.set(computed.get() + 1);
            0.0
        };
        let mut nearest = Nearest::new(3);
        (0..10_000).for_each(|row| nearest.offer(row, [0.0, 1e-6], distance));
        assert_eq!(nearest.radius(distance), 0.0);
        assert!(computed.get() < 50, "{} distances", computed.get());
    }
}
