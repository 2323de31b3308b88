//! What the targets share: bytes as a file, and reading all of a source.
#![forbid(unsafe_code)]

use data::{DataError, Dataset, ImageFiles, ImageSource, Preparation};
use npz::{Archive, ArrayReader, NpyFile, NpzError};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Side of the squares that images become: small, so that time goes into reading.
const SIZE: usize = 8;
/// Images that are read of an input.
const IMAGES: u64 = 16;
/// Bytes that are read of an array, in parts of an odd size.
const ARRAY_BYTES: usize = 1 << 20;
const PART: usize = 4093;

/// Gives `read` the bytes as a file of a name; in memory where the system has such a folder.
pub fn with_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        TempDir::new_in(parent).expect("a temporary folder")
    });
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a temporary file");
    read(&path);
}

/// Reads the first images of a source that was accepted.
pub fn read_images(source: Result<impl ImageSource, DataError>) {
    let Ok(source) = source else { return };
    let crop = Preparation::CentreCrop { size: SIZE };
    let images = ImageFiles::new(source, crop).expect("a size in range");
    for index in 0..images.len().min(IMAGES) {
        // Either is as good; what counts is that it comes back.
        drop((images.probe(index), images.sample_name(index)));
    }
}

/// Reads what a file has as an archive of arrays, as one array, and as images.
pub fn read_arrays(path: &Path) {
    if let Ok(archive) = Archive::open(path) {
        for name in archive.names().take(IMAGES as usize) {
            drop((archive.header(&name), archive.read_f64(&name, ARRAY_BYTES)));
            read_parts(archive.stream(&name));
        }
    }
    if let Ok(file) = NpyFile::open(path) {
        drop((file.header(), file.read_f64(ARRAY_BYTES)));
        read_parts(file.stream());
    }
    if let Ok(mut images) = npz::images(path) {
        let mut batch = Vec::new();
        drop(images.labels());
        for _ in 0..IMAGES {
            match images.read(2, &mut batch) {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
    }
}

fn read_parts(reader: Result<ArrayReader, NpzError>) {
    let Ok(mut reader) = reader else { return };
    let mut part = [0; PART];
    for _ in 0..ARRAY_BYTES / PART {
        match reader.read_into(&mut part) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}
