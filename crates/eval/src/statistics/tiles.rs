//! The lower triangle of a sum of outer products.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows that are added at once. The order of every sum depends on it, and so do the bits.
pub(crate) const BLOCK: usize = 1000;

/// Rows and columns of a tile: 512 KiB of f64, and 36 tiles of 2048 features for threads to share.
const SIDE: usize = 256;

/// `Σ x xᵀ`, as the square tiles on and below the diagonal, row of tiles by row of tiles.
///
/// One task computes a tile and nothing else writes it, so the order of every sum is that of the rows,
/// whatever the number of threads. Nothing is allocated before the first rows.
#[derive(Clone, Debug)]
pub(crate) struct Tiles {
    dim: usize,
    side: usize,
    values: Vec<f64>,
}

impl Tiles {
    /// Zeros.
    pub(crate) fn new(dim: usize) -> Self {
        Self { dim, side: dim.min(SIDE), values: Vec::new() }
    }

    /// Makes room for all tiles.
    pub(crate) fn allocate(&mut self) {
        let across = self.dim.div_ceil(self.side);
        self.values.resize(across * (across + 1) / 2 * self.side * self.side, 0.0);
    }

    /// Adds `Σ x xᵀ` over rows `x` of `rows`, `[n, dim]`.
    pub(crate) fn add(&mut self, rows: &[f64]) {
        self.allocate();
        let (dim, side) = (self.dim, self.side);
        assert!(rows.len().is_multiple_of(dim), "{} numbers in rows of {dim}", rows.len());
        // Features are neighbours in memory: the columns of a matrix `[dim, n]` of rows.
        let features = MatRef::from_column_major_slice(rows, dim, rows.len() / dim);
        self.values.par_chunks_mut(side * side).enumerate().for_each(|(tile, values)| {
            let (i, j) = place(tile);
            let (height, width) = (side.min(dim - i * side), side.min(dim - j * side));
            let tile = &mut values[..height * width];
            matmul(
                MatMut::from_column_major_slice_mut(tile, height, width),
                Accum::Add,
                features.subrows(i * side, height),
                features.subrows(j * side, width).transpose(),
                1.0,
                Par::Seq,
            );
        });
    }

    /// Adds another sum of as many features.
    pub(crate) fn add_tiles(&mut self, other: &Self) {
        assert_eq!(self.dim, other.dim, "sums of other features");
        self.allocate();
        self.values.iter_mut().zip(&other.values).for_each(|(sum, term)| *sum += term);
    }

    /// Calls `f` with every element of the lower triangle and its place `(row, column)`, if there were
    /// any rows.
    pub(crate) fn for_each(&mut self, mut f: impl FnMut(usize, usize, &mut f64)) {
        let (dim, side) = (self.dim, self.side);
        for (tile, values) in self.values.chunks_mut(side * side).enumerate() {
            let (i, j) = place(tile);
            let (height, width) = (side.min(dim - i * side), side.min(dim - j * side));
            for (at, value) in values[..height * width].iter_mut().enumerate() {
                let (row, column) = (i * side + at % height, j * side + at / height);
                if column <= row {
                    f(row, column, value);
                }
            }
        }
    }

    /// The whole matrix, `[dim, dim]`, of `f` of every element of the lower triangle.
    pub(crate) fn into_symmetric(mut self, f: impl Fn(usize, usize, f64) -> f64) -> Vec<f64> {
        let dim = self.dim;
        let mut matrix = vec![0.0; dim * dim];
        self.for_each(|row, column, value| {
            let value = f(row, column, *value);
            matrix[row * dim + column] = value;
            matrix[column * dim + row] = value;
        });
        matrix
    }
}

/// Row and column of a tile.
fn place(tile: usize) -> (usize, usize) {
    let row = ((8 * tile + 1).isqrt() - 1) / 2;
    (row, tile - row * (row + 1) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_row_by_row() {
        let mut tile = 0;
        for row in 0..100 {
            for column in 0..=row {
                assert_eq!(place(tile), (row, column));
                tile += 1;
            }
        }
    }

    #[test]
    fn products_are_those_of_plain_loops() {
        for (dim, rows) in [(1, 1), (3, 7), (255, 2), (256, 1), (257, 3), (600, 5)] {
            let values = parity::uniform(dim as u64, 2 * rows * dim);
            let mut tiles = Tiles::new(dim);
            values.chunks(rows * dim).for_each(|block| tiles.add(block));
            let got = tiles.into_symmetric(|_, _, value| value);
            for i in 0..dim {
                for j in 0..dim {
                    let want: f64 = values.chunks(dim).map(|row| row[i] * row[j]).sum();
                    let error = (got[i * dim + j] - want).abs();
                    assert!(error <= 1e-14, "dim {dim}, element {i}, {j}: off by {error}");
                }
            }
        }
    }
}
