//! Which rows of one set lie in balls of the other.

use super::space::{Products, STRIP, Set, Space, any_may_reach};
use super::{Comparison, Counts, Work};
use crate::EvalError;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// A ball around every row of a set.
pub(super) struct Balls<'a> {
    set: Set<'a>,
    /// Squared, in the space.
    radii: Vec<f64>,
    /// Limits of products for being a row, and for having the other row in the ball.
    as_row: Vec<f32>,
    as_ball: Vec<f32>,
}

impl<'a> Balls<'a> {
    pub(super) fn new(space: &Space, set: Set<'a>, radii: Vec<f64>) -> Self {
        let as_ball =
            (0..).zip(&radii).map(|(row, &area)| space.limit(set.norm(row), area)).collect();
        let as_row = set.limits(space);
        Self { set, radii, as_row, as_ball }
    }
}

/// Counts which rows of either set lie in balls of the other, and how many pairs were left open by
/// the bounds of their distance.
pub(super) fn count(
    space: &Space,
    reference: &Balls<'_>,
    generated: &Balls<'_>,
    comparison: Comparison,
    tile: usize,
    work: &mut Work<'_>,
) -> Result<(Counts, u64), EvalError> {
    let flags = || (0..reference.set.len()).map(|_| AtomicBool::new(false)).collect();
    let pairs =
        Pairs { space, reference, generated, comparison, covered: flags(), recalled: flags() };
    let mut counts = Counts { precision: 0, recall: 0, density: 0, coverage: 0 };
    let mut guarded = 0;
    let mut products = Products::default();
    for left in generated.set.blocks(tile) {
        products.set_left(space, &generated.set, &left);
        let mut found = vec![Found::default(); left.len()];
        for right in reference.set.blocks(tile) {
            let products = products.with_right(space, &reference.set, &right)?;
            let rows = found.par_iter_mut().zip(left.clone());
            rows.zip(products.par_chunks(right.len()))
                .for_each(|((found, row), products)| pairs.look(row, &right, products, found));
            work.advance(left.len() as f64 * right.len() as f64);
        }
        for found in found {
            counts.precision += u64::from(found.balls > 0);
            counts.density += found.balls;
            guarded += found.guarded;
        }
    }
    let set = |flags: Vec<AtomicBool>| flags.into_iter().map(|x| u64::from(x.into_inner())).sum();
    counts.coverage = set(pairs.covered);
    counts.recall = set(pairs.recalled);
    Ok((counts, guarded))
}

/// What a generated row met.
#[derive(Clone, Copy, Default)]
struct Found {
    /// Balls of the reference that it lies in.
    balls: u64,
    /// Pairs that were left open.
    guarded: u64,
}

/// What all pairs share.
struct Pairs<'a> {
    space: &'a Space,
    reference: &'a Balls<'a>,
    generated: &'a Balls<'a>,
    comparison: Comparison,
    /// Reference rows with a generated row in their ball. Only ever set, so order is of no meaning.
    covered: Vec<AtomicBool>,
    /// Reference rows in the ball of a generated row.
    recalled: Vec<AtomicBool>,
}

impl Pairs<'_> {
    /// A generated row and a block of reference rows.
    fn look(&self, row: usize, block: &Range<usize>, products: &[f32], found: &mut Found) {
        let [as_row, as_ball] = [self.generated.as_row[row], self.generated.as_ball[row]];
        for (first, products) in block.clone().step_by(STRIP).zip(products.chunks(STRIP)) {
            let strip = first..first + products.len();
            if any_may_reach(products, &self.reference.as_ball[strip.clone()], as_row)
                || any_may_reach(products, &self.reference.as_row[strip], as_ball)
            {
                for (other, &product) in (first..).zip(products) {
                    self.decide(row, other, product, found);
                }
            }
        }
    }

    /// Whether a generated and a reference row lie in the balls of each other.
    fn decide(&self, row: usize, other: usize, product: f32, found: &mut Found) {
        let norms = [self.generated.set.norm(row), self.reference.set.norm(other)];
        let [least, most] = self.space.bounds(norms, product);
        let radii = [self.reference.radii[other], self.generated.radii[row]];
        let open = radii.iter().any(|&radius| least <= radius && radius <= most);
        let distance = if open {
            found.guarded += 1;
            self.space.distance(self.generated.set.row(row), self.reference.set.row(other))
        } else {
            most
        };
        let [in_reference, in_generated] =
            radii.map(|radius| self.comparison.holds(distance, radius));
        if in_reference {
            found.balls += 1;
            self.covered[other].store(true, Ordering::Relaxed);
        }
        if in_generated {
            self.recalled[other].store(true, Ordering::Relaxed);
        }
    }
}
