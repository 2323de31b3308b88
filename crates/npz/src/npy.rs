//! The header of NumPy's `.npy` format, with limits.

use std::ops::Range;

/// Bytes of the longest header that is read; NumPy writes 128 for any plain array.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// What can stand before the text of a header: magic, version, and a length of 2 or 4 bytes.
pub(crate) const NPY_PRELUDE_BYTES: usize = 12;
const MAGIC: &[u8] = b"\x93NUMPY";
/// Dimensions of the largest arrays of NumPy 1.
const MAX_DIMENSIONS: usize = 32;

/// The most bytes that [`NpyHeader::parse`] looks at.
pub const NPY_HEAD_BYTES: usize = NPY_PRELUDE_BYTES + MAX_HEADER_BYTES;

/// Whether bytes begin as an `.npy` file does.
pub fn is_npy(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// What an `.npy` file says about its array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyHeader {
    /// Type of the elements as NumPy writes it: `|u1`, `<i8`.
    pub descr: String,
    /// Whether the first side is the one that lies close together, not the last.
    pub fortran_order: bool,
    /// Sides, outermost first; none for a single number.
    pub shape: Vec<u64>,
    /// Bytes before the first element.
    pub data_start: usize,
}

impl NpyHeader {
    /// Reads the header at the start of `bytes`, of which [`NPY_HEAD_BYTES`] are enough.
    ///
    /// # Errors
    /// What is wrong with it, for people: another beginning, cut short, too long, no plain array.
    ///
    /// # Source
    /// `numpy.lib.format`, versions 1.0 to 3.0 of the format.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = Self::text_range(bytes)?;
        let data_start = text.end;
        let text = bytes.get(text).ok_or_else(cut_short)?;
        let text = std::str::from_utf8(text).map_err(|_| "an npy header that is no text")?;
        parse_dictionary(text, data_start)
            .ok_or_else(|| format!("an npy header that is no plain array: {}", shortened(text)))
    }

    /// Bytes before the first element, from the first [`NPY_PRELUDE_BYTES`] alone.
    pub(crate) fn len_of(prelude: &[u8]) -> Result<usize, String> {
        Ok(Self::text_range(prelude)?.end)
    }

    fn text_range(bytes: &[u8]) -> Result<Range<usize>, String> {
        let prelude = bytes.get(..8).ok_or_else(cut_short)?;
        if !is_npy(prelude) {
            return Err("no npy file: it does not begin with \\x93NUMPY".into());
        }
        let (text_start, text_len) = match (prelude[6], bytes.get(8..12)) {
            (1, Some(&[low, high, ..])) => (10, usize::from(u16::from_le_bytes([low, high]))),
            (2 | 3, Some(&[a, b, c, d])) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
            (1..=3, _) => return Err(cut_short()),
            (version, _) => return Err(format!("npy version {version}, expected 1 to 3")),
        };
        if text_len > MAX_HEADER_BYTES {
            return Err(format!("an npy header of {text_len} bytes, more than {MAX_HEADER_BYTES}"));
        }
        Ok(text_start..text_start + text_len)
    }
}

fn cut_short() -> String {
    "the npy header is cut short".into()
}

/// `{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }`: each key once, in any order.
fn parse_dictionary(text: &str, data_start: usize) -> Option<NpyHeader> {
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        let replaced = match key {
            "descr" => {
                let (value, after) = quoted(value)?;
                rest = after;
                descr.replace(value.to_owned()).is_some()
            }
            "fortran_order" => {
                let is_true = value.starts_with("True");
                rest = value.strip_prefix(if is_true { "True" } else { "False" })?;
                fortran_order.replace(is_true).is_some()
            }
            "shape" => {
                let (value, after) = value.strip_prefix('(')?.split_once(')')?;
                rest = after;
                shape.replace(dimensions(value)?).is_some()
            }
            _ => return None,
        };
        if replaced {
            return None;
        }
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(NpyHeader { descr: descr?, fortran_order: fortran_order?, shape: shape?, data_start })
}

/// A string in single or double quotes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// `2, 3` or `5,` or nothing.
fn dimensions(text: &str) -> Option<Vec<u64>> {
    let text = text.trim();
    let text = text.strip_suffix(',').unwrap_or(text);
    if text.is_empty() {
        return Some(Vec::new());
    }
    let shape: Option<Vec<u64>> = text.split(',').map(|side| side.trim().parse().ok()).collect();
    shape.filter(|shape| shape.len() <= MAX_DIMENSIONS)
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Vec<u8> {
        let len = (text.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &len, text.as_bytes(), &[7; 4]].concat()
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        let one = "{'descr': '<i8', 'fortran_order': False, 'shape': (5,), }   \n";
        let header = NpyHeader::parse(&file(one)).unwrap();
        let expected = NpyHeader {
            descr: "<i8".into(),
            fortran_order: false,
            shape: vec![5],
            data_start: 10 + one.len(),
        };
        assert_eq!(header, expected);
        let shape_of = |text: &str| NpyHeader::parse(&file(text)).unwrap().shape;
        let with =
            |shape: &str| format!("{{'shape':{shape},'fortran_order':True,'descr':\"|u1\"}}");
        assert_eq!(shape_of(&with("(2, 3,4)")), [2, 3, 4]);
        assert_eq!(shape_of(&with("()")), [0; 0]);
    }

    #[test]
    fn other_headers_are_refused() {
        for text in [
            "",
            "{}",
            "{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (5,), }",
            "{'descr': '<i8', 'fortran_order': 0, 'shape': (5,), }",
            "{'descr': '<i8', 'fortran_order': False, 'shape': (-5,), }",
            "{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999999999,), }",
            "{'descr': '<i8', 'descr': '<i8', 'fortran_order': False, 'shape': (5,), }",
            "{'descr': '<i8', 'fortran_order': False, 'shape': (5,), 'more': 1}",
            "{'descr': '<i8', 'fortran_order': False, 'shape': (5,",
            "{'descr': '<i8', 'fortran_order': False}",
        ] {
            let reason = NpyHeader::parse(&file(text)).unwrap_err();
            assert!(reason.contains("no plain array"), "{text}: {reason}");
        }
        let good = file("{'descr': '<i8', 'fortran_order': False, 'shape': (5,), }");
        for len in 0..good.len() - 4 {
            NpyHeader::parse(&good[..len]).unwrap_err();
        }
        let mut newer = good.clone();
        newer[6] = 4;
        assert!(NpyHeader::parse(&newer).unwrap_err().contains("version 4"));
        let mut endless = good;
        endless[6] = 2;
        endless[8..12].fill(0xFF);
        assert!(NpyHeader::parse(&endless).unwrap_err().contains("more than"));
    }
}
