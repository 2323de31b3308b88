//! The two forms of a file: an archive, and what torch wrote before version 1.6.

pub(crate) mod archive;
pub(crate) mod legacy;

use crate::error::TorchFileError;
use crate::input::Fault;
use crate::values::{Id, Values};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Longest description of tensors; that of the largest network is 2 MB.
pub(crate) const MAX_PICKLE: u64 = 256 << 20;

/// Bytes of a file that tensors lie in.
#[derive(Debug)]
pub(crate) struct Storage {
    /// For messages.
    pub(crate) name: String,
    pub(crate) start: u64,
    pub(crate) len: u64,
    /// What the archive says; files without an archive say nothing.
    pub(crate) crc32: Option<u32>,
    /// Whether the checksum was found to hold.
    pub(crate) is_verified: AtomicBool,
}

/// What either form holds.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) values: Values,
    pub(crate) root: Id,
    pub(crate) storages: Vec<Storage>,
    /// Index of a storage by its key.
    pub(crate) by_key: BTreeMap<String, usize>,
    /// What stands before a key in messages.
    pub(crate) folder: String,
}

/// The error of a pickle.
pub(crate) fn stopped(path: &Path, pickle: &str, offset: u64, fault: Fault) -> TorchFileError {
    match fault {
        Fault::Io(error) => TorchFileError::Io { path: path.to_path_buf(), error },
        Fault::Nonsense(reason) => TorchFileError::Pickle {
            file: path.to_path_buf(),
            pickle: pickle.to_string(),
            offset,
            reason,
        },
    }
}
