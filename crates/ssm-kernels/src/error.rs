//! What an operator refuses.

/// An operand that does not fit the others, or a device that fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// An operand has another number of elements than the shape asks for.
    #[error("{op}: {operand} has {got} elements, expected {expected} ({shape})")]
    Length {
        /// Operator.
        op: &'static str,
        /// Operand as named in the operator's documentation.
        operand: &'static str,
        /// Elements the shape asks for.
        expected: usize,
        /// Elements given.
        got: usize,
        /// The shape in words, with its numbers.
        shape: String,
    },
    /// A matrix operand has the wrong number of rows or columns, or overlapping rows.
    #[error("{op}: {operand} is {got}, expected {expected}")]
    Matrix {
        /// Operator.
        op: &'static str,
        /// Operand as named in the operator's documentation.
        operand: &'static str,
        /// Rows x columns expected.
        expected: String,
        /// Rows x columns given.
        got: String,
    },
    /// A size or option outside what the operator supports.
    #[error("{op}: {what} is {got}, supported: {supported}")]
    Unsupported {
        /// Operator.
        op: &'static str,
        /// The size or option.
        what: &'static str,
        /// Its value.
        got: usize,
        /// What would do.
        supported: &'static str,
    },
    /// A device that cannot do what is asked: out of memory, lost, or not there.
    #[error("{op}: {message}")]
    Device {
        /// What was asked.
        op: String,
        /// What the device says.
        message: String,
    },
}

/// Checks the number of elements of one operand.
pub(crate) fn check_len(
    op: &'static str,
    operand: &'static str,
    got: usize,
    shape: &[usize],
) -> Result<(), KernelError> {
    let expected = shape.iter().product();
    if got == expected {
        return Ok(());
    }
    Err(KernelError::Length { op, operand, expected, got, shape: format!("{shape:?}") })
}
