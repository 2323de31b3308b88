//! From decoded bytes to what the network sees.

use crate::{Filter, ImageShape, Raster, resize, resize_window};

/// A byte as a number in [-1, 1]: `byte / 127.5 - 1`, so 0 is -1 and 255 is 1.
pub fn signed_unit(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}

/// Mirrors an image `[C, H, W]` left to right in place.
///
/// # Panics
/// When `image` is not `shape.len()` long.
pub fn flip_horizontally(image: &mut [f32], shape: ImageShape) {
    assert_eq!(image.len(), shape.len(), "elements of an image {shape:?}");
    image.chunks_exact_mut(shape.width).for_each(<[f32]>::reverse);
}

/// The centre `size x size` pixels after the short side was resized to `size`, as ADM does it.
///
/// Halves with [`Filter::Box`] while the short side is at least twice `size`, then resizes once with
/// [`Filter::Bicubic`] to `round(side * size / short side)` (a tie goes to the even number) and cuts
/// the middle out, the odd pixel being left at the right and bottom. Only pixels of the cut are made.
///
/// # Panics
/// When `size` is zero.
///
/// # Source
/// `center_crop_arr` of openai/guided-diffusion, which DiT and DiS use; equal to it with Pillow
/// 9.5 to 12.3 (the differences of 13.0 are described at [`resize_window`]).
pub fn centre_crop(image: &Raster, size: usize) -> Raster {
    assert!(size > 0, "a crop of no pixels");
    let mut halved = None;
    loop {
        let image = halved.as_ref().unwrap_or(image);
        let (width, height) = (image.width(), image.height());
        let short = width.min(height);
        if short >= 2 * size {
            halved = Some(resize(image, width / 2, height / 2, Filter::Box));
            continue;
        }
        let factor = size as f64 / short as f64;
        let resized = |side: usize| (side as f64 * factor).round_ties_even() as usize;
        let (width, height) = (resized(width), resized(height));
        let (left, top) = ((width - size) / 2, (height - size) / 2);
        let window = [left..left + size, top..top + size];
        return resize_window(image, width, height, window, Filter::Bicubic);
    }
}
