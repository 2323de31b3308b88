//! Distances from f32 products, and how wrong they can be.
//!
//! Rows `x` are scaled by a power of two, so that no product leaves the range of f32, and moved by a
//! centre near the mean of the reference, so that a large mean costs no digits: `u = s x - c`. Then
//! `s^2 |x - y|^2 = |u|^2 + |v|^2 - 2 u v` with f64 norms of the f32 rows `u` and an f32 product `u v`.
//!
//! With `e = 2^-24`, the rounding of f32, and `d` columns, this is wrong by at most the sum of:
//!
//! - *The product.* A sum of products in which no term meets more than `n` roundings is wrong by at
//!   most `g |u| |v|`, `g = n e / (1 - n e)`, in whatever order it is made (Higham, *Accuracy and
//!   Stability*, section 3.1). A chain of multiply-adds has `n = d`. Tiles that multiply three bf16
//!   parts round a term at most 18 times in the instruction, once in each of the six that follow for
//!   every 32 columns, and once for every 512; leaving out the smallest parts weighs less than 2 more.
//!   `n = d + 40` covers both. Twice `|u| |v|` is at most `|u|^2 + |v|^2`.
//! - *The rows.* Each element of `u` is rounded once, to a relative `e`, so `u - v` is wrong by at
//!   most `e (|u| + |v|)` and its square by `(2 e + e^2) (|u| + |v|)^2 <= (4 e + 2 e^2) (|u|^2 + |v|^2)`.
//!   The centre itself may be any number.
//! - *All of f64*: norms, this sum, and the definition, at most `4 (d + 8) 2^-53` of the same, below
//!   `e / 100` for `d` up to [`MOST_COLUMNS`].
//! - *What is too small for f32.* Scaling, parts of bf16 and products lose less than `2^-120` a column
//!   where elements are at most 8.
//!
//! So the error is below `(g + 5 e) (|u|^2 + |v|^2) + d 2^-110`: 1.3e-4 of the norms for Inception's
//! 2048 columns, a bound that no order of the sum can break. Errors that were measured are below a
//! tenth of it, and below a hundredth for 2048 columns. A narrower band would save little: of the 5e8
//! pairs of `examples/precision_recall.rs` it left 1285 open.

use crate::{EvalError, Rows};
use rayon::prelude::*;
use ssm_kernels::{Mat, MatMut, Write, gemm};
use std::ops::Range;

/// Longest rows for which the bound was derived.
pub(super) const MOST_COLUMNS: usize = 1 << 20;
/// Products that are looked at together.
pub(super) const STRIP: usize = 64;
/// Rounding of f32.
const ROUNDING: f64 = 1.0 / (1u64 << 24) as f64;

/// Where rows are compared.
pub(super) struct Space {
    /// Power of two.
    scale: f32,
    /// Of scaled rows.
    centre: Vec<f32>,
    /// Error of a distance relative to the norms, and what is left without norms.
    relative: f64,
    absolute: f64,
}

impl Space {
    /// A space for two sets.
    pub(super) fn around(reference: Rows<'_>, generated: Rows<'_>) -> Self {
        let columns = reference.dim();
        let largest = [reference, generated]
            .map(|rows| rows.values().par_iter().copied().map(f32::abs).reduce(|| 0.0, f32::max))
            .into_iter()
            .fold(0.0, f32::max);
        // Within the range in which the scale and its inverse are normal f32.
        let exponent = f64::from(largest).log2().ceil().clamp(-126.0, 126.0);
        let scale = 2f64.powi(-(exponent as i32));
        let mut mean = vec![0.0; columns];
        for row in reference.values().chunks_exact(columns) {
            mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let to_mean = scale / reference.len() as f64;
        let centre = mean.iter().map(|sum| (sum * to_mean) as f32).collect();
        let roundings = (columns + 40) as f64 * ROUNDING;
        let relative = roundings / (1.0 - roundings) + 5.0 * ROUNDING;
        let absolute = columns as f64 * 2f64.powi(-110);
        Self { scale: scale as f32, centre, relative, absolute }
    }

    /// Squared distance of two rows by its definition, here: differences, squares and sum in f64, from
    /// the first column to the last. The scale is exact, since it is a power of two.
    pub(super) fn distance(&self, x: &[f32], y: &[f32]) -> f64 {
        let mut sum = 0.0;
        for (&x, &y) in x.iter().zip(y) {
            let difference = f64::from(x) - f64::from(y);
            sum += difference * difference;
        }
        sum * f64::from(self.scale).powi(2)
    }

    /// One element.
    fn place(&self, x: f32, centre: f32) -> f32 {
        x * self.scale - centre
    }

    /// Rows, here.
    fn place_rows(&self, rows: Rows<'_>, to: &mut Vec<f32>) {
        let columns = rows.dim();
        to.resize(rows.values().len(), 0.0);
        to.par_chunks_exact_mut(columns).zip(rows.values().par_chunks_exact(columns)).for_each(
            |(to, row)| {
                for ((to, &x), &centre) in to.iter_mut().zip(row).zip(&self.centre) {
                    *to = self.place(x, centre);
                }
            },
        );
    }

    /// Squared norm of a row, here.
    fn norm(&self, row: &[f32]) -> f64 {
        row.iter()
            .zip(&self.centre)
            .map(|(&x, &centre)| f64::from(self.place(x, centre)).powi(2))
            .sum()
    }

    /// Least and largest squared distance of two rows with these norms and this product.
    pub(super) fn bounds(&self, norms: [f64; 2], product: f32) -> [f64; 2] {
        let sum = norms[0] + norms[1];
        let distance = sum - 2.0 * f64::from(product);
        let error = self.relative * sum + self.absolute;
        [(distance - error).max(0.0), distance + error]
    }

    /// The part of [`Self::may_reach`]'s limit that belongs to a row.
    ///
    /// A distance may be below an area where `u v >= (|u|^2 + |v|^2 - error - area) / 2`. The limit is a
    /// sum of two f32 of which each is rounded, and so is the sum; what that can do is at most `2^-22`
    /// of all three terms, by which they are made smaller.
    pub(super) fn limit(&self, norm: f64, area: f64) -> f32 {
        let slack = 8.0 * ROUNDING;
        let norm = (1.0 - self.relative - slack) * norm;
        ((norm - (1.0 + slack) * area - 2.0 * self.absolute) / 2.0) as f32
    }
}

/// Whether a squared distance may be below an area, for any of some products: `limits` and `limit`
/// are [`Space::limit`] of both rows, one of them with the area and the other with none.
pub(super) fn any_may_reach(products: &[f32], limits: &[f32], limit: f32) -> bool {
    // A count instead of `any`, because it has no early exit and so becomes vector code.
    let reach = |(&product, &of_row): (&f32, &f32)| u32::from(product >= of_row + limit);
    products.iter().zip(limits).map(reach).sum::<u32>() > 0
}

/// Rows with their norms in a space.
pub(super) struct Set<'a> {
    rows: Rows<'a>,
    norms: Vec<f64>,
}

impl<'a> Set<'a> {
    pub(super) fn new(rows: Rows<'a>, space: &Space) -> Self {
        let norms = rows.values().par_chunks_exact(rows.dim()).map(|row| space.norm(row)).collect();
        Self { rows, norms }
    }

    pub(super) fn len(&self) -> usize {
        self.norms.len()
    }

    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        self.rows.row(row)
    }

    pub(super) fn norm(&self, row: usize) -> f64 {
        self.norms[row]
    }

    /// [`Space::limit`] of every row without an area.
    pub(super) fn limits(&self, space: &Space) -> Vec<f32> {
        self.norms.iter().map(|&norm| space.limit(norm, 0.0)).collect()
    }

    /// Blocks of at most `tile` rows.
    pub(super) fn blocks(&self, tile: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let len = self.len();
        (0..len).step_by(tile.min(len)).map(move |first| first..len.min(first.saturating_add(tile)))
    }
}

/// Products of the rows of two blocks. Its memory is made once.
#[derive(Default)]
pub(super) struct Products {
    left: Vec<f32>,
    right: Vec<f32>,
    products: Vec<f32>,
}

impl Products {
    /// Chooses the left block.
    pub(super) fn set_left(&mut self, space: &Space, set: &Set<'_>, block: &Range<usize>) {
        space.place_rows(set.rows.part(block.start, block.len()), &mut self.left);
    }

    /// Products with a right block, `[left, right]`.
    pub(super) fn with_right(
        &mut self,
        space: &Space,
        set: &Set<'_>,
        block: &Range<usize>,
    ) -> Result<&[f32], EvalError> {
        let columns = set.rows.dim();
        space.place_rows(set.rows.part(block.start, block.len()), &mut self.right);
        let (left, right) = (self.left.len() / columns, block.len());
        self.products.resize(left * right, 0.0);
        gemm::cpu(
            &mut MatMut::new(&mut self.products, left, right),
            Write::Overwrite,
            Mat::new(&self.left, left, columns),
            Mat::new(&self.right, right, columns).t(),
        )?;
        Ok(&self.products)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows around a mean, the last of them copies of the first. There are enough for the tiles of
    /// CPUs that have some.
    fn rows(seed: u64, columns: usize, mean: f64, factor: f64) -> Vec<f32> {
        let numbers = parity::uniform(seed, 80 * columns);
        let mut rows: Vec<f32> = numbers.iter().map(|x| (factor * (mean + x)) as f32).collect();
        rows.copy_within(0..10 * columns, 70 * columns);
        rows
    }

    /// Calls `check` with space, sets and products of rows of many lengths, means and magnitudes.
    fn for_each_case(check: impl Fn(&Space, [&Set<'_>; 2], &[f32])) {
        let shapes = [1, 2, 8, 31, 33, 257, 2048].into_iter();
        let cases = shapes.flat_map(|n| [(n, 0.0, 1.0), (n, 1.0, 1e30), (n, -300.0, 1e-42)]);
        for (columns, mean, factor) in cases {
            // The second set is far from the centre, so the terms of its products have one sign.
            let [a, b] =
                [(1, mean), (2, mean + 5.0)].map(|(seed, mean)| rows(seed, columns, mean, factor));
            let [a, b] = [&a, &b].map(|rows| Rows::new(rows, columns).unwrap());
            let space = Space::around(a, b);
            for (a, b) in [(a, a), (a, b), (b, b)] {
                let [a, b] = [a, b].map(|rows| Set::new(rows, &space));
                let mut products = Products::default();
                products.set_left(&space, &a, &(0..a.len()));
                let products = products.with_right(&space, &b, &(0..b.len())).unwrap();
                check(&space, [&a, &b], products);
            }
        }
    }

    #[test]
    fn bounds_hold_the_distance_and_are_no_wider_than_said() {
        for_each_case(|space, [a, b], products| {
            for (at, &product) in products.iter().enumerate() {
                let (i, j) = (at / b.len(), at % b.len());
                let norms = [a.norm(i), b.norm(j)];
                let [least, most] = space.bounds(norms, product);
                let distance = space.distance(a.row(i), b.row(j));
                assert!(least <= distance && distance <= most, "{least} {distance} {most}");
                let columns = a.rows.dim() as f64;
                let said = 2.0 * (columns + 50.0) * ROUNDING * (norms[0] + norms[1]) + 1e-29;
                assert!(most - least <= 1.01 * said, "{} {said}", most - least);
            }
        });
    }

    #[test]
    fn no_limit_hides_a_distance_and_far_ones_are_hidden() {
        for_each_case(|space, [a, b], products| {
            for (at, &product) in products.iter().enumerate() {
                let (i, j) = (at / b.len(), at % b.len());
                let norms = [a.norm(i), b.norm(j)];
                let reaches = |area: f64| {
                    any_may_reach(
                        &[product],
                        &[space.limit(norms[0], 0.0)],
                        space.limit(norms[1], area),
                    )
                };
                let [least, most] = space.bounds(norms, product);
                assert!(reaches(least) && reaches(most) && reaches(f64::INFINITY));
                let far = least - 16.0 * ROUNDING * (norms[0] + norms[1] + least);
                if far > 0.0 {
                    assert!(!reaches(far), "{least} {most}");
                }
            }
        });
    }
}
