//! PNG, JPEG and npy files as RGB bytes, with limits.

use crate::jpeg::{decode_jpeg, is_jpeg};
use crate::{DataError, Raster};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use npz::{NpyHeader, is_npy};
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

/// Pixels of the largest image that is decoded: 64 Mpx.
pub const MAX_PIXELS: u64 = 64 << 20;
/// Bytes of the largest image that is decoded, in the file's own pixel format: 256 MiB.
pub const MAX_DECODED_BYTES: u64 = 256 << 20;
/// Bytes of the largest file that is read: 256 MiB.
pub const MAX_FILE_BYTES: u64 = 256 << 20;

/// Reads a PNG, JPEG or npy file as RGB, 8 bits a channel.
///
/// The content decides the format, not the name: ImageNet has a PNG called `.JPEG`. Grey and palette
/// images become RGB and alpha is dropped, not composited, as Pillow's `convert("RGB")` does. 16 bits
/// are rounded to 8 (Pillow clips grey ones). An orientation in the metadata is ignored, as by Pillow.
///
/// JPEG pixels differ a little from Pillow's (libjpeg-turbo): most bytes not at all, without chroma
/// subsampling by at most 3 of 255, with it by at most 7 to 23 at hard edges. The README of the crate
/// has the figures, and the whole list of what becomes of which image.
///
/// # Errors
/// [`DataError::Io`] when the file cannot be read; [`DataError::Image`] when it is empty, cut short,
/// damaged, of another format or beyond [`MAX_PIXELS`], [`MAX_DECODED_BYTES`] or [`MAX_FILE_BYTES`].
pub fn read_image(file: impl AsRef<Path>) -> Result<Raster, DataError> {
    let file = file.as_ref();
    let mut bytes = Vec::new();
    read_file(file, &mut bytes)?;
    let broken = |reason| DataError::Image { file: file.to_path_buf(), reason };
    decode(&bytes).map(|decoded| decoded.image).map_err(broken)
}

/// Replaces `bytes` by those of a file of at most [`MAX_FILE_BYTES`].
pub(crate) fn read_file(path: &Path, bytes: &mut Vec<u8>) -> Result<(), DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    let len = file.metadata().map_err(DataError::io(path))?.len();
    if len > MAX_FILE_BYTES {
        let reason = format!("{len} bytes, more than {MAX_FILE_BYTES}");
        return Err(DataError::Image { file: path.to_path_buf(), reason });
    }
    bytes.clear();
    bytes.reserve(len as usize);
    // What is no file has no length, and could be endless.
    file.take(MAX_FILE_BYTES).read_to_end(bytes).map_err(DataError::io(path))?;
    Ok(())
}

/// An image as RGB, and what it was.
pub(crate) struct Decoded {
    pub(crate) image: Raster,
    pub(crate) format: &'static str,
    pub(crate) colour: &'static str,
}

/// Decodes a whole PNG, JPEG or npy file; its first bytes say which it is.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    if is_npy(bytes) {
        return decode_npy(bytes);
    }
    if is_jpeg(bytes) {
        return decode_jpeg(bytes);
    }
    let describe = |e: image::ImageError| e.to_string();
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(describe)?;
    let (width, height) = decoder.dimensions();
    let pixel_bytes = u64::from(decoder.color_type().bytes_per_pixel());
    check_size(bytes, u64::from(width), u64::from(height), pixel_bytes)?;
    let image = DynamicImage::from_decoder(decoder).map_err(describe)?.into_rgb8();
    let image = Raster::new(width as usize, height as usize, 3, image.into_raw());
    Ok(Decoded { image, format: "PNG", colour: png_colour(bytes) })
}

/// Refuses an image that is too large, before memory is set aside for it.
pub(crate) fn check_size(
    bytes: &[u8],
    width: u64,
    height: u64,
    pixel_bytes: u64,
) -> Result<(), String> {
    check_pixels(width, height)?;
    check_promise(bytes, width, height)?;
    let decoded = width * height * pixel_bytes;
    if decoded > MAX_DECODED_BYTES {
        return Err(format!("{decoded} bytes when decoded, more than {MAX_DECODED_BYTES}"));
    }
    Ok(())
}

pub(crate) fn check_pixels(width: u64, height: u64) -> Result<(), String> {
    let pixels = width.checked_mul(height);
    if pixels.is_none_or(|pixels| pixels > MAX_PIXELS) {
        return Err(format!("{width}x{height} pixels, more than {MAX_PIXELS}"));
    }
    if pixels == Some(0) {
        return Err(format!("{width}x{height} pixels"));
    }
    Ok(())
}

/// Refuses a file that is too short for its pixels, before memory is set aside for them.
///
/// Deflate makes at most 1,032 bytes of one, and a JPEG spends at least one bit on a block of 8x8.
fn check_promise(bytes: &[u8], width: u64, height: u64) -> Result<(), String> {
    let least = if is_jpeg(bytes) {
        width.div_ceil(8) * height.div_ceil(8) / 8
    } else {
        let (depth, colour) = (bytes.get(24).copied(), bytes.get(25).copied());
        let channels = match colour {
            Some(2) => 3,
            Some(4) => 2,
            Some(6) => 4,
            _ => 1,
        };
        (width * channels * u64::from(depth.unwrap_or(1))).div_ceil(8) * height / 1032
    };
    if least > bytes.len() as u64 {
        let found = bytes.len();
        return Err(format!("{found} bytes, too few for the {width}x{height} pixels it promises"));
    }
    Ok(())
}

/// An array of bytes, `[C, H, W]`, `[H, W, C]` or `[H, W]`, with 1 or 3 channels.
fn decode_npy(bytes: &[u8]) -> Result<Decoded, String> {
    let header = NpyHeader::parse(bytes)?;
    if header.descr != "|u1" || header.fortran_order {
        let order = if header.fortran_order { "Fortran" } else { "C" };
        let NpyHeader { descr, .. } = header;
        return Err(format!("elements {descr} in {order} order, expected |u1 in C order"));
    }
    let (width, height, channels, planar) = match header.shape[..] {
        [channels @ (1 | 3), height, width] => (width, height, channels, true),
        [height, width, channels @ (1 | 3)] => (width, height, channels, false),
        [height, width] => (width, height, 1, true),
        ref shape => {
            return Err(format!("shape {shape:?}, expected [C, H, W], [H, W, C] or [H, W]"));
        }
    };
    check_pixels(width, height)?;
    let (width, height, channels) = (width as usize, height as usize, channels as usize);
    let decoded = pixels_of(&bytes[header.data_start..], width, height, channels, planar)?;
    Ok(Decoded { format: "npy", ..decoded })
}

/// Pixels that are stored as they are; grey is repeated.
pub(crate) fn pixels_of(
    bytes: &[u8],
    width: usize,
    height: usize,
    channels: usize,
    planar: bool,
) -> Result<Decoded, String> {
    let plane_len = width * height;
    let expected = plane_len * channels;
    if bytes.len() != expected {
        let found = bytes.len();
        return Err(format!("{found} bytes of pixels, expected {expected}"));
    }
    let (pixels, colour) = match (channels, planar) {
        (1, _) => (bytes.iter().flat_map(|&grey| [grey; 3]).collect(), "grey"),
        (_, true) => {
            let (red, others) = bytes.split_at(plane_len);
            let (green, blue) = others.split_at(plane_len);
            let pixels = red.iter().zip(green).zip(blue);
            (pixels.flat_map(|((&red, &green), &blue)| [red, green, blue]).collect(), "RGB")
        }
        (_, false) => (bytes.to_vec(), "RGB"),
    };
    Ok(Decoded { image: Raster::new(width, height, 3, pixels), format: "pixels", colour })
}

/// From the header that every PNG begins with, and whether a colour is transparent; the decoder checks
/// that it is one.
fn png_colour(bytes: &[u8]) -> &'static str {
    match (bytes.get(24..26), has_transparent_colour(bytes)) {
        (Some([16, 0]), _) => "grey, 16 bits",
        (Some([_, 0]), false) => "grey",
        (Some([_, 0]), true) => "grey with a transparent shade",
        (Some([16, 2]), _) => "RGB, 16 bits",
        (Some([_, 2]), true) => "RGB with a transparent colour",
        (Some([_, 3]), false) => "palette",
        (Some([_, 3]), true) => "palette with transparency",
        (Some([_, 4]), _) => "grey with alpha",
        (Some([_, 6]), _) => "RGB with alpha",
        _ => "RGB",
    }
}

/// Whether a PNG has a chunk `tRNS`, which stands before its pixels.
fn has_transparent_colour(bytes: &[u8]) -> bool {
    const SIGNATURE: usize = 8;
    // Beside its content a chunk has a length, a name and a checksum.
    const FRAME: usize = 12;
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    while let Some((head, _)) = rest.split_at_checked(8) {
        let content = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        match &head[4..] {
            b"tRNS" => return true,
            b"IDAT" => return false,
            _ => rest = rest.get(content + FRAME..).unwrap_or_default(),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG of a colour type up to its pixels, which no test here decodes.
    fn png(depth: u8, colour: u8, chunks: &[&[u8; 4]]) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR\0\0\0\x02\0\0\0\x02".to_vec();
        bytes.extend([depth, colour, 0, 0, 0, 9, 9, 9, 9]);
        for name in chunks {
            bytes.extend([0, 0, 0, 3]);
            bytes.extend(*name);
            bytes.extend([1, 2, 3, 9, 9, 9, 9]);
        }
        bytes
    }

    #[test]
    fn a_transparent_colour_is_seen_before_the_pixels_and_nowhere_else() {
        for (depth, colour, chunks, expected) in [
            (8, 2, &[b"IDAT"][..], "RGB"),
            (8, 2, &[b"gAMA", b"tRNS", b"IDAT"], "RGB with a transparent colour"),
            (8, 0, &[b"tRNS", b"IDAT"], "grey with a transparent shade"),
            (8, 0, &[b"IDAT", b"tRNS"], "grey"),
            (4, 3, &[b"PLTE", b"tRNS", b"IDAT"], "palette with transparency"),
            (4, 3, &[b"PLTE", b"IDAT"], "palette"),
            (8, 6, &[b"IDAT"], "RGB with alpha"),
            (16, 2, &[b"IDAT"], "RGB, 16 bits"),
        ] {
            assert_eq!(png_colour(&png(depth, colour, chunks)), expected, "{colour} {chunks:?}");
        }
        // A chunk longer than the file ends the search.
        let mut endless = png(8, 2, &[b"gAMA", b"tRNS"]);
        endless[33..37].fill(0xFF);
        assert_eq!(png_colour(&endless), "RGB");
        for len in 0..endless.len() {
            png_colour(&endless[..len]);
        }
    }
}
