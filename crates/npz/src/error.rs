//! What can be wrong with an archive or an array.

use std::path::{Path, PathBuf};

/// Why a file could not be read or written.
///
/// Every message is complete in itself: it contains what the system or an inner error said, so
/// there is no chain of sources to print as well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpzError {
    /// The operating system refused a file.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// A path is not what it has to be.
    #[error("{}: {field} is {got}, expected {expected}", file.display())]
    Field {
        /// The path.
        file: PathBuf,
        /// What was looked at.
        field: String,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A member of an archive, or an array, that cannot be used.
    #[error("{}: {member}, at byte {offset}: {reason}", file.display())]
    Member {
        /// The archive or array file.
        file: PathBuf,
        /// Name of the member.
        member: String,
        /// Where in the file it starts.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// An archive lacks an array.
    #[error("{}: found no array {expected}, only {found}", file.display())]
    Missing {
        /// The archive.
        file: PathBuf,
        /// The names that were looked for.
        expected: String,
        /// What the archive has.
        found: String,
    },
}

impl NpzError {
    /// For `map_err` on operations of files.
    pub(crate) fn io<E: Into<std::io::Error>>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_path_buf();
        move |error| Self::Io { path, error: error.into() }
    }
}
