//! Weights in safetensors files.

use super::{Tensor, TensorMap, check};
use crate::EvalError;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors, serialize_to_file};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longest header that is read, in bytes. The network's has about 60 KB.
pub const MAX_HEADER_LEN: u64 = 16 << 20;

/// What ends the names of the counts that norms keep while they are trained.
const COUNT: &str = ".num_batches_tracked";

/// How the SHA-256 of the published file of torch starts, from which all published figures come; its
/// name ends so.
pub const PUBLISHED_SHA256: &str = "6726825d";

/// Key of the metadata that says which file of torch the weights come from.
const SOURCE: &str = "source_sha256";

/// The weights in a file, and which file it was.
#[derive(Clone, Debug)]
pub struct WeightFile {
    /// All tensors of [`layout`](super::layout).
    pub tensors: TensorMap,
    /// BLAKE3 of the whole file, as hexadecimal digits: features of other weights are not comparable.
    pub blake3: String,
    /// SHA-256 of the file of torch that they were converted from, where the file says so.
    pub source_sha256: Option<String>,
}

impl WeightFile {
    /// Whether the file says that it was made of the published one. Distances of other weights are no
    /// FID.
    pub fn is_published(&self) -> bool {
        self.source_sha256.as_ref().is_some_and(|hash| hash.starts_with(PUBLISHED_SHA256))
    }
}

/// Reads the weights of the network, which are the 472 tensors of [`layout`](super::layout) as f32.
/// Counts `*.num_batches_tracked` are left out, whatever their type.
///
/// Narrower formats are refused: published figures are made with the published f32 weights.
///
/// # Errors
/// [`EvalError::Io`] when the file cannot be read, [`EvalError::Field`] when it is not a safetensors
/// file or a tensor is not f32, [`EvalError::Weights`] when the tensors are not those of the network.
pub fn read(path: &Path) -> Result<WeightFile, EvalError> {
    let field = |field: &str, expected: &str, got: String| EvalError::Field {
        file: path.into(),
        field: field.into(),
        expected: expected.into(),
        got,
    };
    let bytes = read_bytes(path)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| field("its content", "a safetensors file", format!("not readable: {e}")))?;
    let mut tensors = TensorMap::new();
    for (name, view) in file.iter().filter(|(name, _)| !name.ends_with(COUNT)) {
        if view.dtype() != Dtype::F32 {
            return Err(field(&format!("the type of {name}"), "F32", view.dtype().to_string()));
        }
        let data = view.data().as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect();
        tensors.insert(name.into(), Tensor { shape: view.shape().to_vec(), data });
    }
    check(&tensors, &path.display().to_string())?;
    let (_, header) = SafeTensors::read_metadata(&bytes)
        .map_err(|e| field("its header", "that of a safetensors file", e.to_string()))?;
    let source_sha256 = header.metadata().as_ref().and_then(|all| all.get(SOURCE)).cloned();
    Ok(WeightFile { tensors, blake3: blake3::hash(&bytes).to_hex().to_string(), source_sha256 })
}

/// The whole file, unless its first bytes rule out that it is one of these.
fn read_bytes(path: &Path) -> Result<Vec<u8>, EvalError> {
    let failed = |error: io::Error| EvalError::Io { path: path.into(), error };
    let refused = |got: String| EvalError::Field {
        file: path.into(),
        field: "the length of its header".into(),
        expected: format!("8 bytes that say at most {MAX_HEADER_LEN}"),
        got,
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    (&file).take(8).read_to_end(&mut bytes).map_err(failed)?;
    let Ok(header_len) = <[u8; 8]>::try_from(bytes.as_slice()).map(u64::from_le_bytes) else {
        return Err(refused(format!("{} bytes", bytes.len())));
    };
    if header_len > MAX_HEADER_LEN {
        return Err(refused(header_len.to_string()));
    }
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Writes the weights of the network as [`read`] reads them, with the SHA-256 of the file that they
/// come from, where there is one; equal input gives equal bytes.
///
/// # Errors
/// [`EvalError::Weights`] when `tensors` are not those of the network, [`EvalError::Io`] when the file
/// cannot be written.
pub fn write(
    path: &Path,
    tensors: &TensorMap,
    source_sha256: Option<&str>,
) -> Result<(), EvalError> {
    check(tensors, "the set of tensors to be written")?;
    let failed = |error: SafeTensorError| {
        let error = match error {
            SafeTensorError::IoError(error) => error,
            other => io::Error::other(other.to_string()),
        };
        EvalError::Io { path: path.into(), error }
    };
    let bytes: Vec<(&String, &Tensor, Vec<u8>)> = tensors
        .iter()
        .map(|(name, t)| (name, t, t.data.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, tensor, bytes)| {
        Ok((*name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>, SafeTensorError>>().map_err(failed)?;
    let metadata =
        source_sha256.map(|hash| HashMap::from([(SOURCE.to_string(), hash.to_string())]));
    serialize_to_file(views, metadata, path).map_err(failed)
}
