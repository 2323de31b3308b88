//! What the operands must look like.

use crate::KernelError;

/// Checks the number of columns.
pub(crate) fn check(columns: usize) -> Result<(), KernelError> {
    if columns > 0 {
        return Ok(());
    }
    let (op, what, supported) = ("softmax_rows", "columns", "1 or more");
    Err(KernelError::Unsupported { op, what, got: 0, supported })
}
