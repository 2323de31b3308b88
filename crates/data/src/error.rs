//! What can be wrong with data.

use npz::NpzError;
use std::path::{Path, PathBuf};

/// Why data could not be opened or loaded.
///
/// Every message is complete in itself: it contains what the system or an inner error said, so there
/// is no chain of sources to print as well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused a file or folder.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// A folder does not hold what the data set consists of.
    #[error("{}: found no {expected}\nhelp: {help}", folder.display())]
    Missing {
        /// The folder that was searched.
        folder: PathBuf,
        /// The names that were looked for.
        expected: &'static str,
        /// What to do about it.
        help: &'static str,
    },
    /// A field of a file has a value that it may not have.
    #[error("{}: {field} is {got}, expected {expected}", file.display())]
    Field {
        /// The file or folder.
        file: PathBuf,
        /// What was read, with the record where there are several.
        field: String,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// An image file that cannot be decoded, or would be too large when decoded.
    #[error("{}: {reason}", file.display())]
    Image {
        /// The image file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A member of an archive, or a record of an array file, that cannot be read or decoded.
    #[error("{}: {member}, at byte {offset}: {reason}", file.display())]
    Member {
        /// The archive or array file.
        file: PathBuf,
        /// Name of the member, or number of the record.
        member: String,
        /// Where in the file it starts.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// An argument of a data set or loader is out of range.
    #[error("{field} is {got}, expected {expected}")]
    Config {
        /// The argument.
        field: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A sample of a batch could not be loaded.
    #[error("sample {index} of {dataset}, at position {position}: {cause}")]
    Sample {
        /// Name of the data set.
        dataset: String,
        /// Global sample index since the start of the run.
        position: u64,
        /// Index in the data set.
        index: u64,
        /// What went wrong with it.
        cause: Box<DataError>,
    },
    /// A data set panicked while a worker was loading a batch: a bug in the data set.
    #[error("{dataset} panicked while loading the batch at position {position}: {message}")]
    Panicked {
        /// Name of the data set.
        dataset: String,
        /// First position of the batch.
        position: u64,
        /// The panic's message.
        message: String,
    },
    /// A latent cache cannot be made or used.
    #[error(transparent)]
    Latents(#[from] crate::latents::LatentError),
    /// An archive is not what a data set needs.
    #[error(transparent)]
    Archive(NpzError),
    /// The threads of a loader are gone.
    #[error("no worker is left to load the batch at position {position}")]
    WorkersGone {
        /// First position of the batch.
        position: u64,
    },
}

impl From<NpzError> for DataError {
    /// The variant of the same name.
    fn from(error: NpzError) -> Self {
        match error {
            NpzError::Io { path, error } => Self::Io { path, error },
            NpzError::Field { file, field, expected, got } => {
                Self::Field { file, field, expected, got }
            }
            NpzError::Member { file, member, offset, reason } => {
                Self::Member { file, member, offset, reason }
            }
            other => Self::Archive(other),
        }
    }
}

impl DataError {
    /// For `map_err` on operations of `std::fs`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| Self::Io { path, error }
    }

    /// Refuses an argument unless it is in a range.
    pub(crate) fn check_range(
        field: &'static str,
        got: u64,
        allowed: std::ops::RangeInclusive<u64>,
    ) -> Result<(), Self> {
        if allowed.contains(&got) {
            return Ok(());
        }
        let expected = format!("{} to {}", allowed.start(), allowed.end());
        Err(Self::Config { field, expected, got: got.to_string() })
    }
}
