//! Safetensors files, written from arenas and read into them.
//!
//! A file is the length of its header (u64), the header (JSON: name to type, shape and place), and
//! the numbers. Arenas are written and read where they lie, without a copy of the whole. Equal
//! arenas give equal bytes.
//!
//! Files may come from anywhere, so reading trusts nothing: sizes are checked against the length of
//! the file before anything of that size is allocated, and what other readers disagree about
//! (duplicate names, overlapping or unused bytes) is refused.

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::{self, Read, Write};

#[cfg(target_endian = "big")]
compile_error!("tensor files are little-endian and are read in place");

/// Longest header that is read, in bytes.
const LONGEST_HEADER: u64 = 16_000_000;
/// Most tensors of a file.
const MOST_TENSORS: usize = 100_000;
/// Bytes handed to the disk and the hash at once.
const CHUNK: usize = 1 << 20;

/// A tensor to be written.
pub(super) struct TensorView<'a> {
    pub(super) name: String,
    pub(super) shape: &'a [usize],
    pub(super) values: &'a [f32],
}

/// Writes a file of f32 tensors.
pub(super) fn write(
    out: &mut impl Write,
    metadata: &BTreeMap<String, String>,
    tensors: &[TensorView<'_>],
) -> io::Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!(metadata));
    let mut end = 0;
    for tensor in tensors {
        let start = end;
        end += size_of_val(tensor.values);
        let entry = json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end] });
        header.insert(tensor.name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // Numbers start at a multiple of 8, so that a mapped file can be used in place.
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for tensor in tensors {
        for chunk in bytemuck::cast_slice::<f32, u8>(tensor.values).chunks(CHUNK) {
            out.write_all(chunk)?;
        }
    }
    Ok(())
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TensorEntry {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
}

/// Names, shapes and metadata of a file, in the order of its bytes.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) tensors: Vec<TensorEntry>,
}

/// Reads the header of a file of `len` bytes and leaves `input` at the first number.
///
/// # Errors
/// Of kind `InvalidData`, with the reason, where the file is no well-formed file of f32 tensors.
pub(super) fn read_header(input: &mut impl Read, len: u64) -> io::Result<Header> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    let header_len = u64::from_le_bytes(bytes);
    let rest = len.saturating_sub(8);
    if header_len > rest || header_len > LONGEST_HEADER {
        return Err(invalid(format!(
            "header length is {header_len}, expected at most {}",
            rest.min(LONGEST_HEADER)
        )));
    }
    let mut text = vec![0; header_len as usize];
    input.read_exact(&mut text)?;
    let raw: RawHeader =
        serde_json::from_slice(&text).map_err(|error| invalid(format!("header: {error}")))?;
    let mut tensors = raw.tensors;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let mut end = 0;
    for (name, info) in &tensors {
        end = info.check(end).map_err(|reason| invalid(format!("tensor {name}: {reason}")))?;
    }
    if end != rest - header_len {
        let held = rest - header_len;
        return Err(invalid(format!("bytes of numbers are {held}, expected {end}")));
    }
    let entry = |(name, info): (String, TensorInfo)| TensorEntry { name, shape: info.shape };
    Ok(Header { metadata: raw.metadata, tensors: tensors.into_iter().map(entry).collect() })
}

/// Reads the numbers of the next tensor.
pub(super) fn read_values(input: &mut impl Read, values: &mut [f32]) -> io::Result<()> {
    for chunk in bytemuck::cast_slice_mut::<f32, u8>(values).chunks_mut(CHUNK) {
        input.read_exact(chunk)?;
    }
    Ok(())
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[derive(Deserialize)]
struct TensorInfo {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl TensorInfo {
    /// Where the tensor ends, given where it must start.
    fn check(&self, start: u64) -> Result<u64, String> {
        if self.dtype != "F32" {
            return Err(format!("type is {}, expected F32", self.dtype));
        }
        let bytes = self
            .shape
            .iter()
            .try_fold(size_of::<f32>() as u64, |bytes, &n| bytes.checked_mul(n as u64))
            .and_then(|bytes| bytes.checked_add(start))
            .ok_or_else(|| format!("shape {:?} is too large", self.shape))?;
        if self.data_offsets != (start, bytes) {
            return Err(format!(
                "bytes {:?} do not follow the tensor before or do not fit shape {:?}",
                self.data_offsets, self.shape
            ));
        }
        Ok(bytes)
    }
}

struct RawHeader {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;

        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from names to tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut names = HashSet::new();
                let mut header = RawHeader { metadata: BTreeMap::new(), tensors: Vec::new() };
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("{name} occurs twice")));
                    }
                    if name == "__metadata__" {
                        header.metadata = map.next_value()?;
                    } else {
                        header.tensors.push((name, map.next_value()?));
                    }
                    if names.len() > MOST_TENSORS {
                        let reason = format!("more than {MOST_TENSORS} tensors");
                        return Err(A::Error::custom(reason));
                    }
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(HeaderVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    fn file() -> Vec<u8> {
        let metadata = BTreeMap::from([("step".to_owned(), "7".to_owned())]);
        let tensors = [
            TensorView { name: "b".into(), shape: &[2, 1], values: &[1.0, -2.0] },
            TensorView { name: "a".into(), shape: &[3], values: &[0.5, f32::NAN, 0.0] },
            TensorView { name: "none".into(), shape: &[0], values: &[] },
        ];
        let mut bytes = Vec::new();
        write(&mut bytes, &metadata, &tensors).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> io::Result<Header> {
        read_header(&mut &bytes[..], bytes.len() as u64)
    }

    /// A file with that header and that many bytes of numbers.
    fn with_header(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    #[test]
    fn the_standard_reader_reads_what_is_written() {
        let bytes = file();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.names().len(), 3);
        let b = tensors.tensor("b").unwrap();
        assert_eq!((b.shape(), b.data()), (&[2, 1][..], &[0, 0, 128, 63, 0, 0, 0, 192][..]));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["step"], "7");
        assert_eq!(bytes, file(), "equal input, equal bytes");
    }

    #[test]
    fn numbers_come_back_in_the_order_of_the_file() {
        let bytes = file();
        let mut input = &bytes[..];
        let header = read_header(&mut input, bytes.len() as u64).unwrap();
        let names: Vec<&str> = header.tensors.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "none"]);
        assert_eq!(header.metadata["step"], "7");
        let mut values = [0.0; 2];
        read_values(&mut input, &mut values).unwrap();
        assert_eq!(values, [1.0, -2.0]);
    }

    #[test]
    fn files_of_the_standard_writer_are_read() {
        let values: Vec<u8> = [1.0f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &values);
        let bytes = safetensors::serialize([("x", view.unwrap())], None).unwrap();
        assert_eq!(read(&bytes).unwrap().tensors[0].shape, [2]);
    }

    #[test]
    fn ill_formed_files_are_refused_with_the_reason() {
        let entry = |shape: &str, start: u64, end: u64| {
            format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}"#)
        };
        let (one, two) = (entry("[1]", 0, 4), entry("[1]", 4, 8));
        let cases = [
            (format!(r#"{{"a":{one},"a":{two}}}"#), 8, "a occurs twice"),
            (format!(r#"{{"a":{one},"b":{one}}}"#), 4, "do not follow"),
            (format!(r#"{{"a":{two}}}"#), 8, "do not follow"),
            (format!(r#"{{"a":{one}}}"#), 8, "bytes of numbers are 8, expected 4"),
            (format!(r#"{{"a":{one}}}"#), 0, "bytes of numbers are 0, expected 4"),
            (format!(r#"{{"a":{}}}"#, entry("[2]", 0, 4)), 4, "do not fit shape [2]"),
            (
                format!(r#"{{"a":{}}}"#, entry("[4294967296,4294967296]", 0, 4)),
                4,
                "shape [4294967296, 4294967296] is too large",
            ),
            (format!(r#"{{"a":{}}}"#, one.replace("F32", "F16")), 4, "type is F16, expected F32"),
            ("[]".into(), 0, "expected a map from names to tensors"),
            (r#"{"a":{"dtype":"F32"}}"#.into(), 0, "missing field"),
            ("{".into(), 0, "header: EOF"),
        ];
        for (header, data, expected) in cases {
            let error = read(&with_header(&header, data)).unwrap_err().to_string();
            assert!(error.contains(expected), "{header}: {error}");
        }
        let mut huge = with_header("{}", 0);
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(read(&huge).unwrap_err().to_string().contains("expected at most 2"));
        assert!(read(&[1, 2, 3]).is_err());
        let many: Vec<String> =
            (0..=MOST_TENSORS).map(|i| format!(r#""{i}":{}"#, entry("[0]", 0, 0))).collect();
        let many = read(&with_header(&format!("{{{}}}", many.join(",")), 0)).unwrap_err();
        assert!(many.to_string().contains("more than 100000 tensors"), "{many}");
    }
}
