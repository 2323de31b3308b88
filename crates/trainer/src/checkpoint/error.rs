//! What can be wrong with a checkpoint.

use super::load::Rejected;
use dis_model::ModelError;
use dis_model::weights::Mismatch;
use std::io;
use std::path::{Path, PathBuf};

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused a file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The disk would be full. Nothing was written.
    #[error(
        "{}: a checkpoint needs {needed} bytes, {available} are free\n\
         help: free some, or keep fewer with train.keep_checkpoints",
        path.display()
    )]
    Space {
        /// The folder of the checkpoints.
        path: PathBuf,
        /// Bytes of the checkpoint and a fifth.
        needed: u64,
        /// Bytes that can be written.
        available: u64,
    },
    /// A file is not what was written.
    #[error("{}: {field} is {got}, expected {expected}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What about it.
        field: String,
        /// As recorded.
        expected: String,
        /// As found.
        got: String,
    },
    /// A later version of this program wrote it.
    #[error(
        "{}: checkpoint format {got} is newer than {known}, the newest that this program reads\n\
         help: use the program that wrote it, or a later one",
        path.display()
    )]
    NewerFormat {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        got: u32,
        /// Ours.
        known: u32,
    },
    /// The tensors are those of another network.
    #[error("{0}")]
    Layout(Box<Mismatch>),
    /// A weight file of another program is not one of a network.
    #[error(transparent)]
    Foreign(#[from] ModelError),
    /// There are checkpoints, but none that can be believed. Starting over would remove them.
    #[error(
        "{}: none of {} checkpoints can be used\n{}\n\
         help: move the folder away to start over, or copy a good checkpoint into it",
        dir.display(),
        rejected.len(),
        rejected.iter().map(|r| format!("  {r}")).collect::<Vec<_>>().join("\n")
    )]
    NoneUsable {
        /// The folder of the checkpoints.
        dir: PathBuf,
        /// Each of them, newest first, with the reason.
        rejected: Vec<Rejected>,
    },
    /// An average is asked of a checkpoint that has others.
    #[error("{}: no ema-{name} in it; there are {}", path.display(), there.join(", "))]
    NoAverage {
        /// The checkpoint.
        path: PathBuf,
        /// The name of the average.
        name: String,
        /// Names of the weight files that are there.
        there: Vec<String>,
    },
    /// Weights are asked of something that has none.
    #[error("{}: {what}", path.display())]
    NoWeights {
        /// What was given.
        path: PathBuf,
        /// What was looked for.
        what: String,
    },
}

impl CheckpointError {
    /// For `map_err` on operations of the file system.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// The same while reading, where the system tells a short file or one that is no tensor file.
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::InvalidData => Self::Damaged {
                file: path,
                field: "content".into(),
                expected: "a file of f32 tensors".into(),
                got: source.to_string(),
            },
            io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound => Self::Damaged {
                file: path,
                field: "file".into(),
                expected: "whole".into(),
                got: match source.kind() {
                    io::ErrorKind::NotFound => "missing".into(),
                    _ => "cut short".into(),
                },
            },
            _ => Self::Io { path, source },
        }
    }
}
