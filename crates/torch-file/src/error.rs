//! What can be wrong with a file of `torch.save`.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Why a file or a tensor of it cannot be read.
///
/// Every message is complete in itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorchFileError {
    /// The operating system refused the file.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// A part of the file is not what it has to be.
    #[error("{}: {field} is {got}, expected {expected}", file.display())]
    Field {
        /// The file.
        file: PathBuf,
        /// A member of the archive, an entry of a dict, a storage.
        field: String,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// The instructions of a pickle make no sense, or are more than is believed.
    #[error("{}: {pickle} is no torch pickle: at byte {offset}, {reason}", file.display())]
    Pickle {
        /// The file.
        file: PathBuf,
        /// Which of its pickles.
        pickle: String,
        /// How far it was read, from the start of the file or of its member of the archive.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl TorchFileError {
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |error| Self::Io { path: path.to_path_buf(), error }
    }

    pub(crate) fn field(
        file: &Path,
        field: impl Into<String>,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        let (field, got, expected) = (field.into(), got.into(), expected.into());
        Self::Field { file: file.to_path_buf(), field, expected, got }
    }
}

/// The first line of a text, without control characters, cut to what fits a message. Whatever comes
/// from a file is said through this.
pub(crate) fn brief(text: impl Display) -> String {
    let text = text.to_string();
    let line = text.lines().next().unwrap_or_default();
    let printable = |c: &char| !c.is_control();
    match line.char_indices().nth(120) {
        Some((end, _)) => line[..end].chars().filter(printable).chain(['…']).collect(),
        None => line.chars().filter(printable).collect(),
    }
}
