//! Reading and writing safetensors files.

use super::{Tensor, TensorMap};
use crate::error::ModelError;
use crate::params::ParamLayout;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Longest header that is read, in bytes. The largest network has one of about 100 KB.
pub const MAX_HEADER_LEN: u64 = 16 << 20;
/// Most tensors of a file that is read.
pub const MAX_TENSORS: usize = 100_000;

/// Reads the tensors of a file as f32; f16, bf16 and f64 are converted.
///
/// With a prefix such as `ema.`, only the tensors below it are read, and it is taken off their
/// names; without one, every tensor of the file is read.
///
/// # Errors
/// [`ModelError::WeightFile`] when the file cannot be read, is not a safetensors file, has a tensor
/// of another type among those asked for, or has none of them.
pub fn read_safetensors(path: &Path, prefix: Option<&str>) -> Result<TensorMap, ModelError> {
    let fail =
        |reason: String| ModelError::WeightFile { source_name: path.display().to_string(), reason };
    let bytes = read_bytes(path).map_err(fail)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| fail(format!("not a safetensors file: {e}")))?;
    if file.len() > MAX_TENSORS {
        return Err(fail(format!("{} tensors, at most {MAX_TENSORS} are read", file.len())));
    }
    let mut tensors = TensorMap::new();
    for (name, view) in file.iter() {
        let Some(own) = name.strip_prefix(prefix.unwrap_or("")) else { continue };
        let data = to_f32(view.dtype(), view.data()).ok_or_else(|| {
            fail(format!("{name} is {}, expected F32, F16, BF16 or F64", view.dtype()))
        })?;
        tensors.insert(own.to_string(), Tensor { shape: view.shape().to_vec(), data });
    }
    if tensors.is_empty() {
        return Err(fail(nothing_read(&file, prefix)));
    }
    Ok(tensors)
}

/// The whole file, unless its first bytes rule out that it is one of ours.
fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |e: io::Error| format!("cannot be read: {e}");
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    (&file).take(8).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.starts_with(b"PK") {
        return Err("a zip archive, perhaps a torch checkpoint, which `dis convert` reads; \
                    expected a safetensors file"
            .into());
    }
    let Ok(header_len) = <[u8; 8]>::try_from(bytes.as_slice()).map(u64::from_le_bytes) else {
        return Err(format!("not a safetensors file: {} bytes in all", bytes.len()));
    };
    if header_len > MAX_HEADER_LEN {
        return Err(format!(
            "not a safetensors file: a header of {header_len} bytes, at most {MAX_HEADER_LEN}"
        ));
    }
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// What to say of a file without the tensors asked for.
fn nothing_read(file: &SafeTensors<'_>, prefix: Option<&str>) -> String {
    let top: BTreeSet<&str> =
        file.iter().map(|(name, _)| name.split_once('.').map_or(name, |(top, _)| top)).collect();
    let found = match top.len() {
        0 => "no tensors".to_string(),
        _ => {
            let names: Vec<&str> = top.iter().copied().take(8).collect();
            format!("names that start with {}", names.join(", "))
        }
    };
    let prefix = prefix.unwrap_or("");
    format!(
        "has {found}; expected {prefix}pos_embed, {prefix}norm_f.weight and so on \
         (official checkpoints hold them below `ema.` and `model.`)"
    )
}

/// Elements as f32, or nothing when they are no floating-point numbers.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|&element| convert(element)).collect()
    }
    Some(match dtype {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::BF16 => each(bytes, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
        Dtype::F16 => each(bytes, |b| f16_to_f32(u16::from_le_bytes(b))),
        _ => return None,
    })
}

/// The exact value of IEEE 754 binary16 bits.
fn f16_to_f32(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

/// Writes an arena as a safetensors file: f32, official names, shapes and order.
///
/// Equal input gives equal bytes. No second copy of the weights is made.
///
/// # Errors
/// Those of `out`.
///
/// # Panics
/// When the arena is not one of this layout.
pub fn write_safetensors(
    out: &mut impl Write,
    layout: &ParamLayout,
    arena: &[f32],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    /// Elements converted at a time.
    const BLOCK: usize = 1 << 12;
    assert_eq!(arena.len(), layout.len(), "elements of the arena");
    let header = header(layout, metadata);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    let mut bytes = [0; 4 * BLOCK];
    for block in arena.chunks(BLOCK) {
        for (to, x) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(block) {
            *to = x.to_le_bytes();
        }
        out.write_all(&bytes[..4 * block.len()])?;
    }
    Ok(())
}

/// The JSON header, padded with spaces to whole 8 bytes.
fn header(layout: &ParamLayout, metadata: &BTreeMap<String, String>) -> String {
    let mut entries = Vec::new();
    if !metadata.is_empty() {
        let pairs: Vec<String> =
            metadata.iter().map(|(k, v)| format!("{}:{}", quoted(k), quoted(v))).collect();
        entries.push(format!("\"__metadata__\":{{{}}}", pairs.join(",")));
    }
    for param in layout.iter() {
        let shape: Vec<String> = param.shape.iter().map(usize::to_string).collect();
        let (from, to) = (4 * param.range.start, 4 * param.range.end);
        entries.push(format!(
            "{}:{{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[{from},{to}]}}",
            quoted(&param.name),
            shape.join(",")
        ));
    }
    let mut header = format!("{{{}}}", entries.join(","));
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    header
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_widened_exactly() {
        let rows = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x0001, 2f32.powi(-24)),
            (0x03FF, 1023.0 * 2f32.powi(-24)),
            (0x0400, 2f32.powi(-14)),
            (0x3555, 1365.0 / 4096.0),
            (0x3C00, 1.0),
            (0xC500, -5.0),
            (0x7BFF, 65504.0),
            (0xFC00, f32::NEG_INFINITY),
        ];
        for (bits, value) in rows {
            assert_eq!(f16_to_f32(bits).to_bits(), value.to_bits(), "{bits:#06x}");
        }
        assert!(f16_to_f32(0x7E00).is_nan());
        assert_eq!(to_f32(Dtype::BF16, &[0x20, 0xC0, 0xCD, 0x3D]), Some(vec![-2.5, 0.100_097_656]));
        assert_eq!(to_f32(Dtype::F64, &0.1f64.to_le_bytes()), Some(vec![0.1]));
        assert_eq!(to_f32(Dtype::I64, &[0; 8]), None);
    }

    #[test]
    fn json_strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\n\u{1f}é"), r#""a\"b\\c\u000a\u001fé""#);
    }
}
