//! Archives of arrays that are written as their elements come.

use crate::NpzError;
use crate::element::Element;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// What the first element of an array is aligned to within its member.
const ALIGNMENT: usize = 64;
/// Magic, version and the length of version 1.
const PRELUDE: usize = 10;

/// Writes an archive as `numpy.savez` does, one array after the other: members are stored, of any
/// size, and memory does not grow with them.
///
/// The file appears under its name when [`Writer::finish`] is called, and not before; until then it
/// is beside it, with `.partial` at the end of its name.
#[derive(Debug)]
pub struct Writer {
    zip: ZipWriter<BufWriter<File>>,
    partial: PartialFile,
    file: PathBuf,
    /// Names of the arrays so far.
    names: Vec<String>,
    /// Bytes that the last of them still lacks.
    left: u64,
}

/// A file that is removed unless it was given another name.
#[derive(Debug)]
struct PartialFile(PathBuf);

impl Drop for PartialFile {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Writer {
    /// Starts an archive.
    ///
    /// # Errors
    /// The system's.
    pub fn create(file: impl AsRef<Path>) -> Result<Self, NpzError> {
        let file = file.as_ref().to_path_buf();
        let mut partial = file.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let opened = File::create(&partial).map_err(NpzError::io(&partial))?;
        let zip = ZipWriter::new(BufWriter::new(opened));
        let partial = PartialFile(partial);
        Ok(Self { zip, partial, file, names: Vec::new(), left: 0 })
    }

    /// Begins an array, whose elements follow in C order.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// When there is an array of this name, the one before lacks elements, or the shape is beyond
    /// 2^64 bytes.
    pub fn array(&mut self, name: &str, element: Element, shape: &[u64]) -> Result<(), NpzError> {
        self.check_complete();
        assert!(!self.names.iter().any(|other| other == name), "a second array {name}");
        let size = element.size() as u64;
        let len = shape.iter().try_fold(size, |product, &side| product.checked_mul(side));
        let Some(len) = len else { panic!("array {name}: shape {shape:?} of {size} bytes each") };
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(true);
        let io = NpzError::io(&self.partial.0);
        let mut begin = || -> Result<(), std::io::Error> {
            self.zip.start_file(format!("{name}.npy"), options)?;
            self.zip.write_all(&header(element, shape))
        };
        begin().map_err(io)?;
        self.names.push(name.into());
        self.left = len;
        Ok(())
    }

    /// Adds elements to the array that was begun last, as little-endian bytes.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// When they are more than its shape has.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), NpzError> {
        let (names, left, len) = (&self.names, self.left, bytes.len() as u64);
        assert!(len <= left, "array {:?}: {len} bytes, expected {left}", names.last());
        self.left -= len;
        self.zip.write_all(bytes).map_err(NpzError::io(&self.partial.0))
    }

    /// Adds a whole array.
    ///
    /// # Errors
    /// As [`Writer::array`].
    ///
    /// # Panics
    /// As [`Writer::array`], and when `values` are not as many as `shape` says.
    pub fn array_f64(&mut self, name: &str, shape: &[u64], values: &[f64]) -> Result<(), NpzError> {
        self.array(name, Element::F64, shape)?;
        self.write_each(values, |value| value.to_le_bytes())
    }

    /// Adds a whole array.
    ///
    /// # Errors
    /// As [`Writer::array`].
    ///
    /// # Panics
    /// As [`Writer::array`], and when `values` are not as many as `shape` says.
    pub fn array_f32(&mut self, name: &str, shape: &[u64], values: &[f32]) -> Result<(), NpzError> {
        self.array(name, Element::F32, shape)?;
        self.write_each(values, |value| value.to_le_bytes())
    }

    /// Completes the archive and gives it its name, once it is on the disk.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// When the last array lacks elements.
    pub fn finish(self) -> Result<(), NpzError> {
        self.check_complete();
        let buffered = self.zip.finish().map_err(NpzError::io(&self.partial.0))?;
        let file = buffered.into_inner().map_err(|e| e.into_error());
        file.and_then(|file| file.sync_all()).map_err(NpzError::io(&self.partial.0))?;
        std::fs::rename(&self.partial.0, &self.file).map_err(NpzError::io(&self.file))
    }

    fn write_each<T: Copy, const SIZE: usize>(
        &mut self,
        values: &[T],
        bytes_of: impl Fn(T) -> [u8; SIZE],
    ) -> Result<(), NpzError> {
        values.chunks(1 << 13).try_for_each(|values| {
            let bytes: Vec<u8> = values.iter().flat_map(|&value| bytes_of(value)).collect();
            self.write(&bytes)
        })
    }

    fn check_complete(&self) {
        let (names, left) = (&self.names, self.left);
        assert!(left == 0, "array {:?}: {left} bytes are lacking", names.last());
    }
}

/// Header of an npy file of version 1 in C order, padded so that elements are aligned.
///
/// # Panics
/// When there are more sides than a header of version 1 can name.
fn header(element: Element, shape: &[u64]) -> Vec<u8> {
    let sides: Vec<String> = shape.iter().map(u64::to_string).collect();
    // A tuple of one needs its comma.
    let comma = if shape.len() == 1 { "," } else { "" };
    let (descr, sides) = (element.descr(), sides.join(", "));
    let text =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sides}{comma}), }}");
    let padded = (PRELUDE + text.len() + 1).next_multiple_of(ALIGNMENT);
    let Ok(text_len) = u16::try_from(padded - PRELUDE) else { panic!("{} sides", shape.len()) };
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend(text_len.to_le_bytes());
    out.extend(text.as_bytes());
    out.resize(padded - 1, b' ');
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NpyHeader;

    #[test]
    fn headers_are_aligned_and_end_in_a_newline() {
        let shapes: [&[u64]; 4] = [&[50_000, 32, 32, 3], &[7], &[], &[u64::MAX; 6]];
        for shape in shapes {
            let bytes = header(Element::U8, shape);
            assert_eq!((bytes.len() % ALIGNMENT, bytes.last()), (0, Some(&b'\n')));
            let read = NpyHeader::parse(&bytes).unwrap();
            assert_eq!((read.descr.as_str(), &read.shape[..]), ("|u1", shape));
            assert_eq!((read.fortran_order, read.data_start), (false, bytes.len()));
        }
        assert!(String::from_utf8_lossy(&header(Element::F64, &[7])).contains("(7,), }"));
    }
}
