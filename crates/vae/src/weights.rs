//! Weights with the names of diffusers: files, what their shapes say, and numbers to start from.
//!
//! Nothing is filled in and nothing is left over: a set of tensors fits a network exactly, or the
//! whole list of differences is the error.

mod file;
mod infer;
mod mismatch;
mod names;
mod random;

pub use file::{MAX_HEADER_LEN, read_safetensors, write_folder};
pub use infer::infer_config;
pub use mismatch::{Difference, DifferenceKind, Mismatch, check};
pub use random::random;

use crate::config::VaeConfig;
use crate::error::VaeError;
use crate::files::VaeFiles;
use std::collections::BTreeMap;
use std::path::Path;

/// One tensor of a weight file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Shape, see [`crate::Param`].
    pub shape: Vec<usize>,
    /// Elements in row-major order.
    pub data: Vec<f32>,
}

/// Tensors by the names of diffusers.
pub type TensorMap = BTreeMap<String, Tensor>;

/// Configuration and weights of a file or folder, see [`VaeFiles::find`].
///
/// Without a `config.json` the configuration is that of [`infer_config`]. With one, it has to fit.
///
/// # Errors
/// Those of [`VaeFiles::find`], [`VaeConfig::read_json`], [`read_safetensors`], [`infer_config`] and
/// [`check`].
pub fn read(path: &Path) -> Result<(VaeConfig, TensorMap), VaeError> {
    let files = VaeFiles::find(path)?;
    let source_name = files.weights.display().to_string();
    let given = files.config.map(|path| VaeConfig::read_json(&path)).transpose()?;
    let tensors = read_safetensors(&files.weights)?;
    let config = given.map_or_else(|| infer_config(&tensors, &source_name), Ok)?;
    check(&config, &tensors, &source_name)?;
    Ok((config, tensors))
}
