//! PNG and JPEG files as RGB bytes, with limits.

use crate::{DataError, Raster};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use std::fs;
use std::io::Cursor;
use std::path::Path;

/// Pixels of the largest image that is decoded: 64 Mpx.
pub const MAX_PIXELS: u64 = 64 << 20;
/// Bytes of the largest image that is decoded, in the file's own pixel format: 256 MiB.
pub const MAX_DECODED_BYTES: u64 = 256 << 20;
/// Bytes of the largest file that is read: 256 MiB.
pub const MAX_FILE_BYTES: u64 = 256 << 20;

/// Reads a PNG or JPEG file as RGB, 8 bits a channel.
///
/// The content decides the format, not the name: ImageNet has a PNG called `.JPEG`. Grey and palette
/// images become RGB and alpha is dropped, not composited, as Pillow's `convert("RGB")` does. 16 bits
/// are rounded to 8 (Pillow clips grey ones). An orientation in the metadata is ignored, as by Pillow.
///
/// JPEG pixels differ a little from Pillow's (libjpeg-turbo): by at most 3 of 255 without chroma
/// subsampling and 7 with it, in most bytes not at all.
///
/// # Errors
/// [`DataError::Io`] when the file cannot be read; [`DataError::Image`] when it is empty, cut short,
/// damaged, of another format or beyond [`MAX_PIXELS`], [`MAX_DECODED_BYTES`] or [`MAX_FILE_BYTES`].
pub fn read_image(file: impl AsRef<Path>) -> Result<Raster, DataError> {
    let file = file.as_ref();
    let broken = |reason| DataError::Image { file: file.to_path_buf(), reason };
    let len = fs::metadata(file).map_err(DataError::io(file))?.len();
    if len > MAX_FILE_BYTES {
        return Err(broken(format!("{len} bytes, more than {MAX_FILE_BYTES}")));
    }
    decode(&fs::read(file).map_err(DataError::io(file))?).map_err(broken)
}

fn decode(bytes: &[u8]) -> Result<Raster, String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let describe = |e: image::ImageError| e.to_string();
    if bytes.starts_with(&JPEG_START) && !jpeg_is_complete(bytes) {
        return Err("the JPEG is cut short: it has no end marker".into());
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(describe)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!("{width}x{height} pixels, more than {MAX_PIXELS}"));
    }
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        let bytes = decoder.total_bytes();
        return Err(format!("{bytes} bytes when decoded, more than {MAX_DECODED_BYTES}"));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(describe)?.into_rgb8();
    if width == 0 || height == 0 {
        return Err(format!("{width}x{height} pixels"));
    }
    Ok(Raster::new(width as usize, height as usize, 3, image.into_raw()))
}

const JPEG_START: [u8; 2] = [0xFF, 0xD8];

/// Whether a JPEG has its end marker. The decoder fills what is missing with grey and says nothing.
///
/// Walks the segments rather than searching, since a thumbnail inside has an end of its own, and
/// bytes after the end, which cameras write, are allowed.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = JPEG_START.len();
    loop {
        // The next marker: behind a header at once, behind entropy-coded data after some bytes.
        let Some(found) = bytes[at..].windows(2).position(|w| w[0] == 0xFF && is_marker(w[1]))
        else {
            return false;
        };
        at += found + 2;
        match bytes[at - 1] {
            0xD9 => return true,
            // Restarts, a repeated start and TEM stand alone.
            0xD0..=0xD8 | 0x01 => {}
            _ => {
                let Some(&[high, low]) = bytes.get(at..at + 2) else { return false };
                at += usize::from(u16::from_be_bytes([high, low]));
                if at > bytes.len() {
                    return false;
                }
            }
        }
    }
}

/// In entropy-coded data 0xFF is followed by 0; fill bytes are 0xFF.
fn is_marker(byte: u8) -> bool {
    !matches!(byte, 0x00 | 0xFF)
}
