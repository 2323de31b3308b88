//! What the network refuses.

use ssm_kernels::KernelError;

/// A configuration, input or weight file that does not describe a DiS network.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A configuration value out of range or contradicting another.
    #[error("model.{field} is {got}, expected {expected}")]
    Config {
        /// Key of the configuration.
        field: &'static str,
        /// Value given.
        got: String,
        /// What would do.
        expected: String,
    },
    /// An input of the network with the wrong number of elements or a value out of range.
    #[error("input {operand}: {got}, expected {expected}")]
    Input {
        /// Input as named in the documentation.
        operand: &'static str,
        /// What was given.
        got: String,
        /// What was expected.
        expected: String,
    },
    /// Weights that are not those of the expected network.
    #[error("{0}")]
    Weights(Box<crate::weights::Mismatch>),
    /// A weight file that cannot be read as a set of tensors.
    #[error("{source_name}: {reason}")]
    WeightFile {
        /// File or set the tensors came from.
        source_name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An operator refused an operand.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl ModelError {
    pub(crate) fn config(
        field: &'static str,
        got: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Config { field, got: got.to_string(), expected: expected.into() }
    }

    pub(crate) fn input(
        operand: &'static str,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Input { operand, got: got.into(), expected: expected.into() }
    }
}
