//! What the autoencoder refuses.

use ssm_kernels::KernelError;
use std::path::Path;

/// A configuration, weight file or input that is not one of an autoencoder this crate computes.
#[derive(Debug, thiserror::Error)]
pub enum VaeError {
    /// A value of a configuration that is out of range, of the wrong type, or not computed here.
    #[error("{source_name}: {field} is {got}, expected {expected}")]
    Config {
        /// File or set of tensors the configuration came from.
        source_name: String,
        /// Key as diffusers spells it.
        field: String,
        /// Value found, as JSON.
        got: String,
        /// What would do.
        expected: String,
    },
    /// A file or folder that cannot be read, or is not what it should be.
    #[error("{source_name}: {reason}")]
    File {
        /// The file, folder or set of tensors.
        source_name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights that are not those of the expected network.
    #[error("{0}")]
    Weights(Box<crate::weights::Mismatch>),
    /// Images, latents or options that do not fit the network.
    #[error("{operand}: {got}, expected {expected}")]
    Input {
        /// Input as named in the documentation.
        operand: &'static str,
        /// What was given.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// An operator refused an operand.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl VaeError {
    pub(crate) fn config(
        source_name: &str,
        field: impl Into<String>,
        got: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        let (field, expected) = (field.into(), expected.into());
        Self::Config { source_name: source_name.into(), field, got: got.to_string(), expected }
    }

    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { source_name: path.display().to_string(), reason: reason.into() }
    }

    pub(crate) fn input(
        operand: &'static str,
        got: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Input { operand, got: got.to_string(), expected: expected.into() }
    }
}
