//! Sums over features that come in parts.

use super::{BLOCK, Statistics, Tiles};
use crate::{EvalError, Rows};
use rayon::prelude::*;

/// Most features of a row: their sums are 1 GiB and their covariance 2 GiB. A file that says more would ask
/// for memory that its length does not justify.
const DIM_MAX: usize = 16_384;

/// Mean and covariance of rows as they come, in f64.
///
/// Sums are of `x - c` and `(x - c)(x - c)ᵀ` with the mean `c` of the first rows, because squares of
/// features far from 0 would leave few digits of a variance. Rows are added in blocks of 1,000, whatever
/// the parts they come in, and a product is cut by features and not by rows: **equal rows in equal order
/// give equal bits**, in parts of any length, on any number of threads, with or without an interruption.
///
/// For `d` features it holds about `4 d²` bytes of sums, a block of `4000 d` bytes, and twice that for a
/// moment while a block is added. [`Accumulator::finish`] makes the `8 d²` bytes of a covariance.
#[derive(Clone, Debug)]
pub struct Accumulator {
    dim: usize,
    /// Rows in the sums.
    summed: u64,
    /// `c`, `[dim]`; zeros until rows are in the sums.
    shift: Vec<f64>,
    /// `Σ(x - c)`, `[dim]`.
    sums: Vec<f64>,
    /// `Σ(x - c)(x - c)ᵀ`.
    products: Tiles,
    /// Rows that do not fill a block yet.
    pending: Vec<f32>,
}

/// Everything in an [`Accumulator`]: one made of it goes on as if there had been no interruption.
#[derive(Clone, Debug, PartialEq)]
pub struct AccumulatorState {
    /// Number of features `d`.
    pub dim: usize,
    /// Rows in the sums, without those of `pending`.
    pub count: u64,
    /// `[d]`: what was subtracted from each row.
    pub shift: Vec<f64>,
    /// `[d]`: sum of shifted rows.
    pub sums: Vec<f64>,
    /// `[d (d + 1) / 2]`: lower triangle, row by row, of the sum of outer products of shifted rows.
    pub products: Vec<f64>,
    /// `[n, d]`, n < 1000: rows that wait for a block to be full.
    pub pending: Vec<f32>,
}

impl Accumulator {
    /// Nothing yet, of `dim` features.
    ///
    /// # Panics
    /// When `dim` is 0.
    pub fn new(dim: usize) -> Self {
        assert!(dim > 0, "features of no numbers");
        Self {
            dim,
            summed: 0,
            shift: vec![0.0; dim],
            sums: vec![0.0; dim],
            products: Tiles::new(dim),
            pending: Vec::new(),
        }
    }

    /// Number of features of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of rows so far.
    pub fn count(&self) -> u64 {
        self.summed + (self.pending.len() / self.dim) as u64
    }

    /// Adds rows; after an error nothing has been added.
    ///
    /// # Errors
    /// [`EvalError::Input`] when rows have another number of features or more than 16,384,
    /// [`EvalError::NotFinite`] with the first number that is NaN or infinite, its row counted over all pushes.
    pub fn push(&mut self, rows: Rows<'_>) -> Result<(), EvalError> {
        if rows.dim() != self.dim {
            let expected = format!("{}, as in the rows before", self.dim);
            return Err(EvalError::input("features of a row", rows.dim(), expected));
        }
        if self.dim > DIM_MAX {
            let expected = format!("at most {DIM_MAX}");
            return Err(EvalError::input("features of a row", self.dim, expected));
        }
        rows.check_finite("features").map_err(|error| error.after_rows(self.count()))?;
        let mut values = rows.values();
        while !values.is_empty() {
            let room = BLOCK * self.dim - self.pending.len();
            let (now, later) = values.split_at(room.min(values.len()));
            self.pending.extend_from_slice(now);
            values = later;
            if now.len() == room {
                self.add_pending();
            }
        }
        Ok(())
    }

    /// Statistics of all rows so far. More may follow.
    ///
    /// # Errors
    /// [`EvalError::Input`] with fewer than two rows, which have no covariance.
    pub fn finish(&self) -> Result<Statistics, EvalError> {
        if self.count() < 2 {
            return Err(EvalError::input("number of rows", self.count(), "at least 2"));
        }
        let mut whole = self.clone();
        whole.add_pending();
        let count = whole.summed as f64;
        let mean = whole.mean();
        let sums = whole.sums;
        let covariance = whole.products.into_symmetric(|i, j, product| {
            let covariance = (product - sums[i] * sums[j] / count) / (count - 1.0);
            // Equal rows leave a rounding error, and a variance is not negative.
            if i == j { covariance.max(0.0) } else { covariance }
        });
        Ok(Statistics { mean, covariance, count: Some(whole.summed) })
    }

    /// Adds all rows of another accumulator, as if they came after these, but for rounding: with
    /// `δ = μb - μa`, `M = Ma + Mb + δ δᵀ na nb / n` (Chan, Golub and LeVeque, 1979).
    ///
    /// Rows that come later begin a block of their own.
    ///
    /// # Errors
    /// [`EvalError::Input`] when it has another number of features.
    pub fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        if other.dim != self.dim {
            let expected = format!("{}, as in the other", self.dim);
            return Err(EvalError::input("features of an accumulator", other.dim, expected));
        }
        let mut other = other.clone();
        other.centre();
        self.centre();
        let (a, b) = (self.summed as f64, other.summed as f64);
        if b == 0.0 {
            return Ok(());
        }
        let total = a + b;
        let distance: Vec<f64> = self.shift.iter().zip(&other.shift).map(|(a, b)| b - a).collect();
        let weight = a / total * b;
        self.products.add_tiles(&other.products);
        self.products.for_each(|i, j, product| *product += distance[i] * distance[j] * weight);
        for (shift, distance) in self.shift.iter_mut().zip(&distance) {
            *shift += distance * (b / total);
        }
        self.summed += other.summed;
        Ok(())
    }

    /// What [`Accumulator::from_state`] needs to go on.
    pub fn state(&self) -> AccumulatorState {
        let mut products = vec![0.0; self.dim * (self.dim + 1) / 2];
        self.products.clone().for_each(|i, j, product| products[triangle(i, j)] = *product);
        AccumulatorState {
            dim: self.dim,
            count: self.summed,
            shift: self.shift.clone(),
            sums: self.sums.clone(),
            products,
            pending: self.pending.clone(),
        }
    }

    /// An accumulator that was interrupted.
    ///
    /// # Errors
    /// [`EvalError::Input`] when a field has another length than `dim` asks for, a sum of squares is
    /// negative, or there are sums of no rows; [`EvalError::NotFinite`] when a number is NaN or infinite.
    pub fn from_state(state: AccumulatorState) -> Result<Self, EvalError> {
        state.check()?;
        let AccumulatorState { dim, count: summed, shift, sums, products: triangular, pending } =
            state;
        let mut products = Tiles::new(dim);
        products.allocate();
        products.for_each(|i, j, product| *product = triangular[triangle(i, j)]);
        Ok(Self { dim, summed, shift, sums, products, pending })
    }

    /// Adds the pending rows to the sums, however many there are.
    fn add_pending(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let dim = self.dim;
        let rows = self.pending.chunks_exact(dim);
        if self.summed == 0 {
            self.shift = mean_of(rows.clone(), dim);
        }
        self.summed += rows.len() as u64;
        let mut centred = vec![0.0; self.pending.len()];
        centred.par_chunks_mut(dim).zip(self.pending.par_chunks(dim)).for_each(|(centred, row)| {
            for ((centred, x), c) in centred.iter_mut().zip(row).zip(&self.shift) {
                *centred = f64::from(*x) - c;
            }
        });
        for row in centred.chunks_exact(dim) {
            self.sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        self.products.add(&centred);
        self.pending.clear();
    }

    /// Adds what is pending and makes the mean of all rows the shift, which leaves sums of 0.
    fn centre(&mut self) {
        self.add_pending();
        if self.summed == 0 {
            return;
        }
        let count = self.summed as f64;
        let sums = std::mem::replace(&mut self.sums, vec![0.0; self.dim]);
        self.products.for_each(|i, j, product| *product -= sums[i] * sums[j] / count);
        self.shift.iter_mut().zip(&sums).for_each(|(shift, sum)| *shift += sum / count);
    }

    /// Mean of the rows in the sums.
    fn mean(&self) -> Vec<f64> {
        let count = self.summed as f64;
        self.shift.iter().zip(&self.sums).map(|(shift, sum)| shift + sum / count).collect()
    }
}

impl AccumulatorState {
    fn check(&self) -> Result<(), EvalError> {
        let dim = self.dim;
        let triangle = dim.checked_add(1).and_then(|next| next.checked_mul(dim)).map(|n| n / 2);
        let Some(triangle) = triangle.filter(|&len| len > 0) else {
            return Err(EvalError::input("dim of the state", dim, "a number of features"));
        };
        for (what, got, expected) in [
            ("shift", self.shift.len(), dim),
            ("sums", self.sums.len(), dim),
            ("products", self.products.len(), triangle),
        ] {
            if got != expected {
                let what = format!("length of {what} of the state");
                let expected = format!("{expected}, for {dim} features");
                return Err(EvalError::input(what, got, expected));
            }
        }
        if self.pending.len() >= BLOCK * dim || !self.pending.len().is_multiple_of(dim) {
            let expected = format!("whole rows of {dim}, fewer than {BLOCK}");
            return Err(EvalError::input(
                "length of pending of the state",
                self.pending.len(),
                expected,
            ));
        }
        for (what, values) in
            [("shift", &self.shift), ("sums", &self.sums), ("products", &self.products)]
        {
            super::check_finite(&format!("{what} of the state"), values, values.len())?;
            if self.count == 0 && values.iter().any(|&value| value != 0.0) {
                let expected = "the rows that its sums are of";
                return Err(EvalError::input("count of the state", 0, expected));
            }
        }
        Rows::new(&self.pending, dim)?.check_finite("pending of the state")?;
        for i in 0..dim {
            let square = self.products[self::triangle(i, i)];
            if square < 0.0 {
                let what = format!("sum of squares of feature {i} of the state");
                return Err(EvalError::input(what, square, "at least 0"));
            }
        }
        Ok(())
    }
}

/// Place of an element of a lower triangle, row by row.
fn triangle(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

/// Mean of rows, summed in f64 in their order.
fn mean_of<'a>(rows: impl ExactSizeIterator<Item = &'a [f32]>, dim: usize) -> Vec<f64> {
    let count = rows.len() as f64;
    let mut mean = vec![0.0; dim];
    for row in rows {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x));
    }
    mean.iter_mut().for_each(|mean| *mean /= count);
    mean
}
