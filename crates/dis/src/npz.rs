//! NumPy archives in the form evaluation suites read: `arr_0`, `[N, H, W, 3]` bytes.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Writes `arr_0` batch by batch, so that memory does not grow with the number of images.
///
/// The file appears under its name when [`Writer::finish`] is called, and not before.
pub(crate) struct Writer {
    zip: ZipWriter<BufWriter<File>>,
    partial: PathBuf,
    file: PathBuf,
}

impl Writer {
    /// Starts an archive of `count` images of `size x size` pixels.
    pub(crate) fn create(file: &Path, count: usize, size: usize) -> Result<Self> {
        let partial = file.with_extension("npz.partial");
        let start = || -> Result<Self> {
            let mut zip = ZipWriter::new(BufWriter::new(File::create(&partial)?));
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .large_file(true);
            zip.start_file("arr_0.npy", options)?;
            zip.write_all(&header(&[count, size, size, 3]))?;
            Ok(Self { zip, partial: partial.clone(), file: file.to_path_buf() })
        };
        start().with_context(|| format!("cannot write {}", file.display()))
    }

    /// Adds images `[n, H, W, 3]`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.zip
            .write_all(bytes)
            .with_context(|| format!("cannot write {}", self.partial.display()))
    }

    /// Completes the archive and gives it its name.
    pub(crate) fn finish(self) -> Result<()> {
        let finish = || -> Result<()> {
            let buffered = self.zip.finish()?;
            buffered.into_inner().map_err(|e| e.into_error())?.sync_all()?;
            std::fs::rename(&self.partial, &self.file)?;
            Ok(())
        };
        finish().with_context(|| format!("cannot write {}", self.file.display()))
    }
}

/// Header of a `.npy` file of unsigned bytes in C order, padded to 64 bytes.
fn header(shape: &[usize]) -> Vec<u8> {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    let dict =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({}), }}", shape.join(", "));
    let prefix = 10;
    let padded = (prefix + dict.len() + 1).next_multiple_of(64);
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend(((padded - prefix) as u16).to_le_bytes());
    out.extend(dict.as_bytes());
    out.resize(padded - 1, b' ');
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_aligned_and_end_in_a_newline() {
        let h = header(&[50_000, 32, 32, 3]);
        assert_eq!(h.len() % 64, 0);
        assert_eq!(usize::from(u16::from_le_bytes([h[8], h[9]])), h.len() - 10);
        assert_eq!(h.last(), Some(&b'\n'));
        assert!(String::from_utf8_lossy(&h[10..]).contains("(50000, 32, 32, 3)"));
    }

    #[test]
    fn the_archive_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.npz");
        let mut writer = Writer::create(&file, 3, 2).unwrap();
        writer.write(&[7; 12]).unwrap();
        writer.write(&[9; 24]).unwrap();
        assert!(!file.exists());
        writer.finish().unwrap();
        let mut zip = zip::ZipArchive::new(File::open(&file).unwrap()).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut zip.by_name("arr_0.npy").unwrap(), &mut bytes).unwrap();
        let data = &bytes[header(&[3, 2, 2, 3]).len()..];
        assert_eq!((data.len(), data[0], data[35]), (36, 7, 9));
    }
}
