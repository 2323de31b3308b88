//! What the driver says, in words.

use crate::KernelError;
use cudarc::driver::result::DriverError;

/// The driver's own description of an error, with its name.
pub(super) fn in_words(error: DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, DriverError>| {
        text.map_or_else(|_| "unknown error".into(), |text| text.to_string_lossy().into_owned())
    };
    format!("{} ({})", text(error.error_string()), text(error.error_name()))
}

/// An error of `op`, or of what was asked before it: a GPU reports late.
pub(super) fn failed(op: &str, error: DriverError) -> KernelError {
    let message = format!("the GPU reports, for this or earlier work: {}", in_words(error));
    KernelError::Device { op: op.into(), message }
}
