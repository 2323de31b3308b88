//! The weights of the Inception network that distances between image sets are measured with.

use super::checkpoint::TensorSet;
use crate::exit::Failure;
use crate::info::units::thousands;
use eval::EvalError;
use eval::inception::weights::{self, PUBLISHED_SHA256, Tensor, TensorMap};
use ring::digest::{Context, SHA256};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use torch_file::Dtype;

/// The tensor by which the network is recognised.
pub(super) const LANDMARK: &str = "Conv2d_1a_3x3.conv.weight";

/// What ends the names of counts that norms keep while they are trained, and nothing reads.
pub(super) const COUNT: &str = ".num_batches_tracked";

/// Writes the weights to `partial`, if they are those of the network. Returns what was found.
pub(super) fn convert(
    set: &TensorSet<'_>,
    input: &Path,
    partial: &Path,
) -> Result<String, Failure> {
    // Published figures are made with the published f32 weights, and rounded ones look the same.
    if let Some(tensor) = set.first_not(Dtype::F32) {
        let (name, got) = (tensor.name(), tensor.dtype().name());
        return Err(Failure::data(format!(
            "{}: {name} holds {got}, expected f32, as published",
            set.source()
        )));
    }
    let tensors: TensorMap = set
        .read()?
        .into_iter()
        .map(|(name, t)| (name, Tensor { shape: t.shape, data: t.data }))
        .collect();
    weights::check(&tensors, set.source()).map_err(|error| Failure::data(error.to_string()))?;
    let hash = sha256(input)?;
    weights::write(partial, &tensors, Some(&hash)).map_err(|error| match error {
        EvalError::Io { error, .. } => Failure::writing(partial, error),
        other => Failure::data(other.to_string()),
    })?;
    let count: usize = tensors.values().map(|tensor| tensor.data.len()).sum();
    let is_published = match hash.starts_with(PUBLISHED_SHA256) {
        true => "the published file".to_string(),
        false => format!("not the published file, whose SHA-256 starts with {PUBLISHED_SHA256}"),
    };
    let start = &hash[..8];
    Ok(format!(
        "found    {} tensors, {} parameters\nnetwork  Inception of FID\n\
         sha256   {start}…, {is_published}\n",
        tensors.len(),
        thousands(count as u64),
    ))
}

/// SHA-256 of a file, in hexadecimal.
fn sha256(path: &Path) -> Result<String, Failure> {
    let mut context = Context::new(&SHA256);
    let mut block = vec![0; 1 << 20];
    let mut read = || -> std::io::Result<()> {
        let mut file = File::open(path)?;
        loop {
            match file.read(&mut block)? {
                0 => return Ok(()),
                n => context.update(&block[..n]),
            }
        }
    };
    read().map_err(|error| Failure::reading(path, error))?;
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
