//! Samples as bytes, and bytes as pictures.

use anyhow::{Context, Result};
use image::RgbImage;
use std::path::Path;

/// Grids enlarge their images to at least this side, by whole factors.
const VISIBLE_SIDE: usize = 64;
/// Pixels between the images of a grid.
const GAP: u32 = 2;

/// How [`to_bytes`] rounds, for records.
pub(crate) const QUANTISATION: &str = "floor(clamp(127.5 x + 128, 0, 255))";

/// Images `[N, C, H, W]` of a network as bytes `[N, H, W, 3]`.
///
/// `floor(clamp(127.5 x + 128, 0, 255))`, the rule of DiT's `sample_ddp.py` and of torchvision's
/// `save_image`, with which published figures were made: every level has an interval of equal length
/// around it, and bytes that became numbers become the same bytes again. One channel becomes grey; of
/// more than three, as in latents, the first three are shown.
pub(crate) fn to_bytes(images: &[f32], channels: usize, size: usize) -> Vec<u8> {
    let pixels = size * size;
    let shown: [usize; 3] = if channels >= 3 { [0, 1, 2] } else { [0; 3] };
    let mut bytes = Vec::with_capacity(images.len() / channels * 3);
    for image in images.chunks_exact(channels * pixels) {
        for pixel in 0..pixels {
            for channel in shown {
                let x = image[channel * pixels + pixel];
                // The cast rounds towards 0, and takes NaN to 0.
                bytes.push((127.5 * x + 128.0).clamp(0.0, 255.0) as u8);
            }
        }
    }
    bytes
}

/// Images `[N, size, size, 3]` side by side, `columns` to a row, on white.
pub(crate) fn grid(bytes: &[u8], size: usize, columns: usize) -> RgbImage {
    let count = bytes.len() / (size * size * 3);
    let columns = columns.clamp(1, count.max(1));
    let rows = count.div_ceil(columns);
    let factor = VISIBLE_SIDE.div_ceil(size).max(1);
    let side = (size * factor) as u32;
    let extent = |n: usize| n as u32 * (side + GAP) + GAP;
    RgbImage::from_fn(extent(columns), extent(rows), |x, y| {
        let place = |v: u32| ((v / (side + GAP)) as usize, v % (side + GAP));
        let ((column, dx), (row, dy)) = (place(x), place(y));
        let index = row * columns + column;
        if dx < GAP || dy < GAP || column >= columns || index >= count {
            return image::Rgb([255; 3]);
        }
        let (px, py) = ((dx - GAP) as usize / factor, (dy - GAP) as usize / factor);
        let at = ((index * size + py) * size + px) * 3;
        image::Rgb([bytes[at], bytes[at + 1], bytes[at + 2]])
    })
}

/// States of the same images over time: one row an image, one column a state.
pub(crate) fn filmstrip(states: &[Vec<u8>], size: usize) -> RgbImage {
    let len = size * size * 3;
    let rows = states.first().map_or(0, |state| state.len() / len);
    let frame = |row: usize| states.iter().flat_map(move |s| &s[row * len..(row + 1) * len]);
    let bytes: Vec<u8> = (0..rows).flat_map(frame).copied().collect();
    grid(&bytes, size, states.len())
}

/// Writes a PNG, replacing the file only once it is complete.
pub(crate) fn save_png(picture: &RgbImage, file: &Path) -> Result<()> {
    let partial = file.with_extension("png.partial");
    picture
        .save_with_format(&partial, image::ImageFormat::Png)
        .and_then(|()| std::fs::rename(&partial, file).map_err(image::ImageError::from))
        .with_context(|| format!("cannot write the picture {}", file.display()))
}

/// A near-square number of columns.
pub(crate) fn columns_for(count: usize) -> usize {
    (1..).find(|c| c * c >= count).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_interleaved_and_clamped() {
        let image = [-1.0, 1.0, 0.0, 2.0, -3.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, f32::NAN];
        let bytes = to_bytes(&image, 3, 2);
        assert_eq!(bytes[..6], [0, 0, 128, 255, 191, 128]);
        assert_eq!(bytes[11], 0);
        assert_eq!(to_bytes(&[1.0, -1.0, 0.0, 0.0], 1, 2)[..6], [255, 255, 255, 0, 0, 0]);
    }

    #[test]
    fn every_level_is_its_own_byte_and_the_middle_of_an_interval() {
        let byte = |x: f32| to_bytes(&[x], 1, 1)[0];
        for level in 0..=255_u8 {
            let x = f32::from(level) / 127.5 - 1.0;
            assert_eq!(byte(x), level);
            // Half a level to either side, short of the border by what f32 resolves there.
            let half = 0.5 / 127.5 - 1e-6;
            assert_eq!([byte(x - half), byte(x + half)], [level, level], "{level}");
            let beyond = half + 2e-6;
            assert_eq!(byte(x - beyond), level.saturating_sub(1));
            assert_eq!(byte(x + beyond), level.saturating_add(1));
        }
    }

    #[test]
    fn a_filmstrip_has_a_row_for_each_image() {
        let state = |a: u8, b: u8| [vec![a; 64 * 64 * 3], vec![b; 64 * 64 * 3]].concat();
        let strip = filmstrip(&[state(1, 2), state(3, 4), state(5, 6)], 64);
        let at = |column: u32, row: u32| strip.get_pixel(2 + 66 * column, 2 + 66 * row).0[0];
        assert_eq!([at(0, 0), at(2, 0), at(0, 1), at(2, 1)], [1, 5, 2, 6]);
    }

    #[test]
    fn a_grid_shows_every_image_once() {
        let bytes: Vec<u8> = (0..3u8).flat_map(|i| vec![10 * i + 5; 64 * 64 * 3]).collect();
        let picture = grid(&bytes, 64, 2);
        assert_eq!(picture.dimensions(), (2 * 66 + 2, 2 * 66 + 2));
        assert_eq!(picture.get_pixel(2, 2).0, [5; 3]);
        assert_eq!(picture.get_pixel(68, 2).0, [15; 3]);
        assert_eq!(picture.get_pixel(2, 68).0, [25; 3]);
        assert_eq!(picture.get_pixel(68, 68).0, [255; 3]);
    }
}
