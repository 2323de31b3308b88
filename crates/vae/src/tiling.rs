//! Large images in overlapping tiles.
//!
//! Along each axis tiles stand at even distances and overlap by at least [`Tiling::overlap`]. In the
//! middle of an overlap, over exactly that length, one tile fades into the next: the weight of the
//! one falls linearly while that of the other rises. Elsewhere a tile counts alone, so whatever it
//! computes near an inner edge, where it lacks neighbours, is not used.

use crate::error::VaeError;
use ssm_kernels::Real;
use std::ops::Range;

/// Size of tiles, in latent pixels. An image pixel is `1 / 2^(levels - 1)` of one.
///
/// A tiled pass is **not** bit-equal to a whole one: norms and attention see the whole image there
/// and a tile here. An image that fits one tile is computed whole, to the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    tile: usize,
    overlap: usize,
}

impl Tiling {
    /// Tiles of 64 latent pixels, 512 image pixels for Stable Diffusion, with a quarter as overlap.
    pub const DEFAULT: Self = Self { tile: 64, overlap: 16 };

    /// Square tiles of `tile` latent pixels that overlap by `overlap` or more.
    ///
    /// # Errors
    /// [`VaeError::Input`] when the overlap is zero or more than a third of a tile: a pixel could then
    /// belong to three tiles.
    pub fn new(tile: usize, overlap: usize) -> Result<Self, VaeError> {
        if overlap == 0 || overlap.checked_mul(3).is_none_or(|least| least > tile) {
            let got = format!("{overlap} of a tile of {tile}");
            return Err(VaeError::input("tile overlap", got, "1 to a third of the tile"));
        }
        Ok(Self { tile, overlap })
    }

    /// Side of a tile, in latent pixels.
    pub fn tile(self) -> usize {
        self.tile
    }

    /// Tiles along an axis of `len` latent pixels.
    pub(crate) fn cover(self, len: usize) -> Cover {
        let tile = self.tile.min(len);
        let last = len - tile;
        let gaps = last.div_ceil(self.tile - self.overlap);
        let starts = (0..=gaps).map(|i| (i * last).checked_div(gaps).unwrap_or(0)).collect();
        Cover { starts, tile, overlap: self.overlap }
    }
}

/// Tiles along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    starts: Vec<usize>,
    tile: usize,
    overlap: usize,
}

impl Cover {
    /// Number of tiles.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Place of one tile.
    pub(crate) fn range(&self, index: usize) -> Range<usize> {
        self.starts[index]..self.starts[index] + self.tile
    }

    /// The same places where each pixel is `factor` pixels.
    pub(crate) fn scaled(&self, factor: usize) -> Self {
        Self {
            starts: self.starts.iter().map(|start| start * factor).collect(),
            tile: self.tile * factor,
            overlap: self.overlap * factor,
        }
    }

    /// What each pixel of one tile counts; over all tiles it is 1 at every pixel.
    pub(crate) fn weights(&self, index: usize) -> Vec<f64> {
        let fall = |to: usize, pixel: usize| {
            if to < self.len() { 1.0 - self.rise(to, pixel) } else { 1.0 }
        };
        let rise = |pixel: usize| if index > 0 { self.rise(index, pixel) } else { 1.0 };
        self.range(index).map(|pixel| rise(pixel).min(fall(index + 1, pixel))).collect()
    }

    /// Share of tile `index` against the one before it, at the centre of a pixel.
    fn rise(&self, index: usize, pixel: usize) -> f64 {
        let middle = (self.starts[index] + self.range(index - 1).end) as f64 / 2.0;
        let length = self.overlap as f64;
        ((pixel as f64 + 0.5 - middle) / length + 0.5).clamp(0.0, 1.0)
    }
}

/// A channels-first image of which parts are read or written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planes {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Planes {
    /// Elements.
    pub(crate) fn len(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Copies a rectangle of `image` to `tile`.
    pub(crate) fn cut<T: Real>(
        self,
        image: &[T],
        rows: Range<usize>,
        columns: Range<usize>,
        tile: &mut Vec<T>,
    ) {
        tile.clear();
        for plane in image.chunks_exact(self.height * self.width) {
            for row in rows.clone() {
                tile.extend_from_slice(&plane[row * self.width..][columns.clone()]);
            }
        }
    }

    /// Adds tile `(row, column)` of `covers`, weighted, to its place in `image`.
    pub(crate) fn blend<T: Real>(
        self,
        image: &mut [T],
        covers: [&Cover; 2],
        place: [usize; 2],
        tile: &[T],
    ) {
        let [rows, columns] = [0, 1].map(|axis| covers[axis].range(place[axis]));
        let [of_rows, of_columns] = [0, 1].map(|axis| covers[axis].weights(place[axis]));
        let mut tile_rows = tile.chunks_exact(columns.len());
        for plane in image.chunks_exact_mut(self.height * self.width) {
            for (row, of_row) in rows.clone().zip(&of_rows) {
                let to = &mut plane[row * self.width..][columns.clone()];
                for ((to, &x), of_column) in
                    to.iter_mut().zip(tile_rows.by_ref().take(1).flatten()).zip(&of_columns)
                {
                    *to += T::from_f64(of_row * of_column) * x;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_a_partition_of_unity_and_tiles_reach_both_ends() {
        for (tile, overlap) in [(64, 16), (6, 2), (3, 1), (9, 1)] {
            let tiling = Tiling::new(tile, overlap).unwrap();
            for len in 1..200 {
                let cover = tiling.cover(len);
                assert_eq!((cover.range(0).start, cover.range(cover.len() - 1).end), (0, len));
                let (mut sums, mut counts) = (vec![0.0; len], vec![0; len]);
                for index in 0..cover.len() {
                    let weights = cover.weights(index);
                    assert_eq!(weights.len(), tile.min(len));
                    for (pixel, weight) in cover.range(index).zip(weights) {
                        sums[pixel] += weight;
                        counts[pixel] += usize::from(weight > 0.0);
                    }
                }
                assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-14), "{cover:?}: {sums:?}");
                assert!(counts.iter().all(|&n| n <= 2), "{cover:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn tiles_overlap_by_what_is_asked_for() {
        for len in 65..300 {
            let cover = Tiling::DEFAULT.cover(len);
            for index in 1..cover.len() {
                assert!(cover.range(index).start + 16 <= cover.range(index - 1).end, "{cover:?}");
            }
        }
        assert_eq!(Tiling::DEFAULT.cover(128).starts, [0, 32, 64]);
        assert_eq!(Tiling::DEFAULT.cover(64).starts, [0]);
        assert_eq!(Tiling::DEFAULT.cover(40).range(0), 0..40);
    }

    #[test]
    fn weights_fall_over_the_overlap_in_the_middle() {
        // Tiles 0..6 and 4..10: the overlap is 4 to 6, and so is the ramp.
        let cover = Tiling::new(6, 2).unwrap().cover(10);
        assert_eq!(cover.weights(0), [1.0, 1.0, 1.0, 1.0, 0.75, 0.25]);
        assert_eq!(cover.weights(1), [0.25, 0.75, 1.0, 1.0, 1.0, 1.0]);
        let fine = cover.scaled(2);
        assert_eq!(fine.range(1), 8..20);
        assert_eq!(fine.weights(1)[..5], [0.125, 0.375, 0.625, 0.875, 1.0]);
    }

    #[test]
    fn a_cut_and_blended_image_is_itself() {
        let planes = Planes { channels: 2, height: 7, width: 10 };
        let tiling = Tiling::new(4, 1).unwrap();
        let (rows, columns) = (tiling.cover(7), tiling.cover(10));
        let image = parity::uniform(1, planes.len());
        let (mut out, mut tile) = (vec![0.0; planes.len()], Vec::new());
        for r in 0..rows.len() {
            for c in 0..columns.len() {
                planes.cut(&image, rows.range(r), columns.range(c), &mut tile);
                planes.blend(&mut out, [&rows, &columns], [r, c], &tile);
            }
        }
        parity::assert_close("image", &out, &image, 1e-15);
    }

    #[test]
    fn overlaps_that_would_join_three_tiles_are_refused() {
        for (tile, overlap) in [(8, 0), (8, 3), (0, 0), (8, usize::MAX)] {
            let message = Tiling::new(tile, overlap).unwrap_err().to_string();
            assert!(message.starts_with("tile overlap: "), "{message}");
        }
    }
}
