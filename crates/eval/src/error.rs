//! What can be wrong with an evaluation.

use crate::fingerprint::Difference;
use std::path::PathBuf;

/// Why a metric could not be computed or a file not be used.
///
/// Every message is complete in itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The operating system refused a file.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// A field of a file has a value that it may not have.
    #[error("{}: {field} is {got}, expected {expected}", file.display())]
    Field {
        /// The file.
        file: PathBuf,
        /// What was read: an array, a tensor, an entry of the header.
        field: String,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// An argument has a value that it may not have.
    #[error("{what} is {got}, expected {expected}")]
    Input {
        /// The argument.
        what: String,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A feature or statistic that is NaN or infinite.
    #[error("{what}: element {column} of row {row} is {value}, expected a finite number")]
    NotFinite {
        /// Which features.
        what: String,
        /// Row, from 0.
        row: u64,
        /// Column, from 0.
        column: usize,
        /// What stands there.
        value: f64,
    },
    /// Features of two sets that were made differently.
    #[error(
        "the features were made differently, so their distance means nothing\n{}\nhelp: \
         make both with one protocol and one set of weights; --force compares them all the same",
        differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    )]
    Mismatch {
        /// Every field that differs.
        differences: Vec<Difference>,
    },
    /// An archive or array file of NumPy that is damaged or not what was expected.
    #[error(transparent)]
    Npz(#[from] npz::NpzError),
    /// Tensors that are not the weights of the network.
    #[error("{0}")]
    Weights(Box<crate::inception::weights::Mismatch>),
    /// A kernel refused its operands, or a device lacks memory.
    #[error(transparent)]
    Kernel(#[from] ssm_kernels::KernelError),
}

impl EvalError {
    /// An argument `what` that is `got` where `expected` was needed.
    pub fn input(what: impl Into<String>, got: impl ToString, expected: impl Into<String>) -> Self {
        Self::Input { what: what.into(), expected: expected.into(), got: got.to_string() }
    }

    /// The same error, when `rows` rows came before those that were looked at.
    pub(crate) fn after_rows(mut self, rows: u64) -> Self {
        if let Self::NotFinite { row, .. } = &mut self {
            *row += rows;
        }
        self
    }
}
