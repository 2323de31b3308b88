//! A file that threads read at positions.

use crate::DataError;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file with the length that it had when it was opened.
#[derive(Debug)]
pub(crate) struct SharedFile {
    path: PathBuf,
    len: u64,
    /// Absent where so many files belong together that they cannot all stay open.
    file: Option<File>,
}

impl SharedFile {
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path))?;
        let meta = file.metadata().map_err(DataError::io(path))?;
        if !meta.is_file() {
            return Err(DataError::Field {
                file: path.to_path_buf(),
                field: "kind".into(),
                expected: "a file".into(),
                got: if meta.is_dir() { "a folder" } else { "something else" }.into(),
            });
        }
        Ok(Self { path: path.to_path_buf(), len: meta.len(), file: Some(file) })
    }

    /// Closes the file; each read opens it again.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Does something with the open file.
    pub(crate) fn with<R>(
        &self,
        work: impl FnOnce(&File) -> Result<R, DataError>,
    ) -> Result<R, DataError> {
        match &self.file {
            Some(file) => work(file),
            None => work(&File::open(&self.path).map_err(DataError::io(&self.path))?),
        }
    }

    /// Replaces `bytes` by `len` bytes of the file.
    ///
    /// # Panics
    /// When the range is not inside of the file: whoever indexes it has to check that.
    pub(crate) fn read_at(
        &self,
        offset: u64,
        len: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        let end = offset.checked_add(len as u64);
        assert!(end.is_some_and(|end| end <= self.len), "bytes {offset} + {len} of {}", self.len);
        bytes.resize(len, 0);
        self.with(|file| file.read_exact_at(bytes, offset).map_err(DataError::io(&self.path)))
    }

    /// The error of a member, or record, that cannot be used.
    pub(crate) fn broken(&self, member: &str, offset: u64, reason: impl Into<String>) -> DataError {
        let (file, member) = (self.path.clone(), member.to_owned());
        DataError::Member { file, member, offset, reason: reason.into() }
    }
}
