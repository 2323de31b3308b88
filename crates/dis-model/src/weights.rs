//! Weights with official names: files, what their shapes say, and the way into an arena.
//!
//! ```text
//! file -> read_safetensors -> TensorMap -> infer_config -> ParamLayout
//!                                 |                             |
//!                                 +--------- to_arena ----------+-> arena -> write_safetensors
//! ```
//!
//! Nothing is filled in and nothing is left over: a set of tensors fits a network exactly, or the
//! whole list of differences is the error.

mod file;
mod infer;
mod mismatch;

pub use file::{MAX_HEADER_LEN, MAX_TENSORS, read_safetensors, write_safetensors};
pub use infer::{cross_check, infer_config};
pub use mismatch::{Difference, DifferenceKind, Mismatch};

use crate::error::ModelError;
use crate::params::ParamLayout;
use mismatch::{compare, hint};
use std::collections::BTreeMap;

/// One tensor of a weight file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Official shape.
    pub shape: Vec<usize>,
    /// Elements in row-major order.
    pub data: Vec<f32>,
}

/// Tensors by official name.
pub type TensorMap = BTreeMap<String, Tensor>;

/// The arena that holds `tensors`; `source` names them in errors.
///
/// # Errors
/// [`ModelError::Weights`] with every missing, unexpected, misshapen and non-finite tensor.
pub fn to_arena(
    layout: &ParamLayout,
    tensors: &TensorMap,
    source: &str,
) -> Result<Vec<f32>, ModelError> {
    let differences = compare(layout, tensors);
    if !differences.is_empty() {
        let hint = hint(layout, tensors);
        let source_name = source.to_string();
        return Err(ModelError::Weights(Box::new(Mismatch { source_name, differences, hint })));
    }
    let mut arena = Vec::with_capacity(layout.len());
    for param in layout.iter() {
        arena.extend_from_slice(&tensors[&param.name].data);
    }
    Ok(arena)
}
