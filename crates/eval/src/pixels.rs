//! Features without a network: what an image looks like from far away.

use crate::fingerprint::{FORMAT, FeatureSpec, Layer, Network};
use crate::{EvalError, FeatureBatch, FeatureNetwork, ImageBatch};
use rayon::prelude::*;

/// Squares of an image along each side.
const GRID: usize = 8;
/// Numbers of a row.
const DIM: usize = GRID * GRID * 3;

/// Mean colours of the squares of an 8 x 8 grid, as features.
///
/// Distances of such features say whether two sets have alike colours in alike places, and nothing of
/// whether their images look real. They need no weights, so they are for trying things out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pixels;

impl Pixels {
    /// What its features are.
    pub fn spec() -> FeatureSpec {
        FeatureSpec {
            format: FORMAT,
            network: Network::Pixels,
            protocol: "pixels".into(),
            resize: format!("means of the squares of a {GRID} x {GRID} grid, weighted by area"),
            value_map: "(x - 128) / 128".into(),
            pool: Layer { name: format!("squares, [{GRID}, {GRID}, 3]"), dim: DIM },
            spatial: None,
            logits: None,
        }
    }
}

impl FeatureNetwork for Pixels {
    fn dim(&self) -> usize {
        DIM
    }

    fn spatial_dim(&self) -> usize {
        0
    }

    fn classes(&self) -> usize {
        0
    }

    fn features(&mut self, images: ImageBatch<'_>) -> Result<FeatureBatch, EvalError> {
        let (rows, columns) = (shares(images.height()), shares(images.width()));
        let mut pool = vec![0.0; images.len() * DIM];
        pool.par_chunks_exact_mut(DIM).enumerate().for_each(|(index, out)| {
            let image = images.image(index);
            for (cell, out) in out.chunks_exact_mut(3).enumerate() {
                let (rows, columns) = (&rows[cell / GRID], &columns[cell % GRID]);
                for (channel, out) in out.iter_mut().enumerate() {
                    let mut sum = 0.0;
                    for &(y, height) in rows {
                        for &(x, width) in columns {
                            let byte = image[(y * images.width() + x) * 3 + channel];
                            sum += height * width * f64::from(byte);
                        }
                    }
                    *out = ((sum - 128.0) / 128.0) as f32;
                }
            }
        });
        Ok(FeatureBatch { pool, ..FeatureBatch::default() })
    }
}

/// The pixels of a side that each part of the grid covers, with the share of the part that each of
/// them makes.
fn shares(side: usize) -> [Vec<(usize, f64)>; GRID] {
    std::array::from_fn(|part| {
        // In eighths of a pixel, so that shares are exact: pixel i covers 8 i to 8 (i + 1).
        let (start, end) = (part * side, (part + 1) * side);
        (start / GRID..end.div_ceil(GRID))
            .map(|pixel| {
                let covered = end.min((pixel + 1) * GRID) - start.max(pixel * GRID);
                (pixel, covered as f64 / side as f64)
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(pixels: &[u8], height: usize, width: usize) -> Vec<f32> {
        let images = ImageBatch::new(pixels, height, width).unwrap();
        Pixels.features(images).unwrap().pool
    }

    #[test]
    fn shares_of_every_part_sum_to_one_whatever_the_side() {
        for side in [1, 3, 7, 8, 9, 32, 299] {
            for part in shares(side) {
                let sum: f64 = part.iter().map(|(_, share)| share).sum();
                assert!((sum - 1.0).abs() < 1e-12, "side {side}: {sum}");
                assert!(part.iter().all(|&(pixel, share)| pixel < side && share > 0.0));
            }
        }
    }

    #[test]
    fn a_pixel_counts_by_how_much_of_it_a_square_covers() {
        // Twelve pixels in eight parts of one and a half.
        let [first, second, ..] = shares(12);
        assert_eq!(first, [(0, 8.0 / 12.0), (1, 4.0 / 12.0)]);
        assert_eq!(second, [(1, 4.0 / 12.0), (2, 8.0 / 12.0)]);
    }

    #[test]
    fn a_pixel_reaches_the_squares_it_covers_and_no_other() {
        // 16 x 16 black pixels but one: each square is 2 x 2 pixels.
        let mut pixels = vec![0; 16 * 16 * 3];
        pixels[(5 * 16 + 14) * 3 + 1] = 200;
        let found = features(&pixels, 16, 16);
        for (at, &value) in found.iter().enumerate() {
            let expected = if at == (2 * GRID + 7) * 3 + 1 { 50.0 } else { 0.0 };
            assert_eq!(f64::from(value), (expected - 128.0) / 128.0, "{at}");
        }
    }

    #[test]
    fn an_even_image_is_even_at_any_size_and_images_stand_alone() {
        for (height, width) in [(1, 1), (5, 3), (8, 8), (33, 17)] {
            let image = |byte: u8| vec![byte; height * width * 3];
            let found = features(&[image(192), image(64)].concat(), height, width);
            assert!(found[..DIM].iter().all(|&value| (value - 0.5).abs() < 1e-6));
            assert!(found[DIM..].iter().all(|&value| (value + 0.5).abs() < 1e-6));
        }
    }
}
