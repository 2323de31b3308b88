//! A file that threads read at positions.

use crate::NpzError;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file with the length that it had when it was opened.
#[derive(Debug)]
pub struct SharedFile {
    path: PathBuf,
    len: u64,
    /// Absent where so many files belong together that they cannot all stay open.
    file: Option<File>,
}

impl SharedFile {
    /// Opens a file.
    ///
    /// # Errors
    /// The system's error, or what the path is when it is no file.
    pub fn open(path: &Path) -> Result<Self, NpzError> {
        let file = File::open(path).map_err(NpzError::io(path))?;
        let meta = file.metadata().map_err(NpzError::io(path))?;
        if !meta.is_file() {
            return Err(NpzError::Field {
                file: path.to_path_buf(),
                field: "kind".into(),
                expected: "a file".into(),
                got: if meta.is_dir() { "a folder" } else { "something else" }.into(),
            });
        }
        Ok(Self { path: path.to_path_buf(), len: meta.len(), file: Some(file) })
    }

    /// Closes the file; each read opens it again.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes when it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it had no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Does something with the open file.
    ///
    /// # Errors
    /// Those of `work`, and the system's when a closed file cannot be opened again.
    pub fn with<R, E: From<NpzError>>(
        &self,
        work: impl FnOnce(&File) -> Result<R, E>,
    ) -> Result<R, E> {
        match &self.file {
            Some(file) => work(file),
            None => work(&File::open(&self.path).map_err(NpzError::io(&self.path))?),
        }
    }

    /// The open file for a reader of its own.
    pub(crate) fn handle(&self) -> Result<File, NpzError> {
        self.with(|file| file.try_clone().map_err(NpzError::io(&self.path)))
    }

    /// Replaces `bytes` by `len` bytes of the file.
    ///
    /// # Errors
    /// The system's, also when the file has become shorter.
    ///
    /// # Panics
    /// When the range is not inside of the file: whoever indexes it has to check that.
    pub fn read_at(&self, offset: u64, len: usize, bytes: &mut Vec<u8>) -> Result<(), NpzError> {
        let end = offset.checked_add(len as u64);
        assert!(end.is_some_and(|end| end <= self.len), "bytes {offset} + {len} of {}", self.len);
        bytes.resize(len, 0);
        self.with(|file| file.read_exact_at(bytes, offset).map_err(NpzError::io(&self.path)))
    }

    /// The error of a member, or record, that cannot be used.
    pub fn broken(&self, member: &str, offset: u64, reason: impl Into<String>) -> NpzError {
        let (file, member) = (self.path.clone(), member.to_owned());
        NpzError::Member { file, member, offset, reason: reason.into() }
    }
}
