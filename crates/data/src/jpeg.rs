//! JPEG files as RGB bytes.
//!
//! Through the decoder's own interface, not that of `image`, which copies the file, reads its header
//! twice and writes into memory of its own.

use crate::decode::{Decoded, check_size};
use crate::{Raster, spare};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

const START: [u8; 2] = [0xFF, 0xD8];

pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&START)
}

/// Decodes a whole file.
pub(crate) fn decode_jpeg(bytes: &[u8]) -> Result<Decoded, String> {
    let colour = colour_of(bytes)?;
    let describe = |e| format!("the JPEG is damaged: {e}");
    // Sides are checked below. Not strict, because cameras and old programs are not either.
    let options = DecoderOptions::default().set_strict_mode(false);
    let options = options.set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(describe)?;
    let is_grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let channels = if is_grey { 1 } else { 3 };
    let wanted = if is_grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let (width, height) = decoder.dimensions().unwrap_or_default();
    check_size(bytes, width as u64, height as u64, channels)?;
    // Zeros, because a damaged file may leave pixels unwritten.
    let mut pixels = spare::zeros(width * height * channels as usize);
    decoder.decode_into(&mut pixels).map_err(describe)?;
    if is_grey {
        pixels = pixels.into_iter().flat_map(|grey| [grey; 3]).collect();
    }
    let image = Raster::new(width, height, 3, pixels);
    Ok(Decoded { image, format: "JPEG", colour })
}

/// The colours of a JPEG, if it has its end marker: the decoder fills what is missing with grey and
/// says nothing.
///
/// Walks the segments rather than searching, since a thumbnail inside has an end of its own, and
/// bytes after the end, which cameras write, are allowed.
fn colour_of(bytes: &[u8]) -> Result<&'static str, String> {
    let cut_short = || "the JPEG is cut short: it has no end marker".to_owned();
    let mut colour = "RGB";
    let mut at = START.len();
    loop {
        // The next marker: behind a header at once, behind entropy-coded data after some bytes.
        at += marker_in(&bytes[at..]).ok_or_else(cut_short)? + 2;
        match bytes[at - 1] {
            0xD9 => return Ok(colour),
            // Restarts, a repeated start and TEM stand alone.
            0xD0..=0xD8 | 0x01 => {}
            marker => {
                let segment = &bytes[at..];
                let &[high, low, ..] = segment else { return Err(cut_short()) };
                // A frame: length, bits, height, width, number of components.
                if is_frame(marker) && segment.len() > 7 {
                    colour = match segment[7] {
                        1 => "grey",
                        4 => "CMYK",
                        _ => "RGB",
                    };
                }
                at += usize::from(u16::from_be_bytes([high, low]));
                if at > bytes.len() {
                    return Err(cut_short());
                }
            }
        }
    }
}

/// Where the first marker starts.
fn marker_in(bytes: &[u8]) -> Option<usize> {
    let is_start = |&at: &usize| bytes.get(at + 1).is_some_and(|&byte| is_marker(byte));
    memchr::memchr_iter(0xFF, bytes).find(is_start)
}

/// In entropy-coded data 0xFF is followed by 0; fill bytes are 0xFF.
fn is_marker(byte: u8) -> bool {
    !matches!(byte, 0x00 | 0xFF)
}

/// Start of a frame of any kind, as opposed to tables (0xC4, 0xCC) and extensions (0xC8).
fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC)
}
