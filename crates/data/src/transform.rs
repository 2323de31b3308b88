//! From decoded bytes to what the network sees.

use crate::{Filter, ImageShape, PassOrder, Raster, resize, resize_window};

/// A byte as a number in [-1, 1]: `byte / 127.5 - 1`, so 0 is -1 and 255 is 1.
pub fn signed_unit(byte: u8) -> f32 {
    SIGNED_UNIT[usize::from(byte)]
}

/// The value of every byte; reading it is less work than a division.
static SIGNED_UNIT: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte as f32 / 127.5 - 1.0;
        byte += 1;
    }
    table
};

/// Writes an image as planes, `[C, H, W]` in [-1, 1]: what [`crate::Dataset::load`] gives.
///
/// # Panics
/// When `out` is not as long as the image.
pub fn write_planes(image: &Raster, out: &mut [f32]) {
    assert_eq!(out.len(), image.pixels().len(), "elements of an image's planes");
    match image.channels() {
        1 => write_channels::<1>(image.pixels(), out),
        2 => write_channels::<2>(image.pixels(), out),
        3 => write_channels::<3>(image.pixels(), out),
        _ => write_channels::<4>(image.pixels(), out),
    }
}

fn write_channels<const C: usize>(pixels: &[u8], out: &mut [f32]) {
    let pixels = pixels.as_chunks::<C>().0;
    for (channel, plane) in out.chunks_exact_mut(pixels.len()).enumerate() {
        for (out, pixel) in plane.iter_mut().zip(pixels) {
            *out = signed_unit(pixel[channel]);
        }
    }
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
/// 9.5 to 12.1 (how later ones differ is described at [`PassOrder`]).
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
        return resize_window(
            image,
            [width, height],
            window,
            Filter::Bicubic,
            PassOrder::default(),
        );
    }
}
