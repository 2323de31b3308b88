//! Reading and writing safetensors files.

use super::names::normalised;
use super::{Tensor, TensorMap, check};
use crate::config::VaeConfig;
use crate::error::VaeError;
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize_to_file};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Longest header that is read, in bytes. Stable Diffusion's is 26 KB.
pub const MAX_HEADER_LEN: u64 = 16 << 20;

/// Reads all tensors of a file as f32, from f32, f16 or bf16, with today's names.
///
/// # Errors
/// [`VaeError::File`] when the file cannot be read, is not a safetensors file, has a tensor of
/// another type, or one tensor in both spellings.
pub fn read_safetensors(path: &Path) -> Result<TensorMap, VaeError> {
    let fail = |reason: String| VaeError::file(path, reason);
    let bytes = read_bytes(path).map_err(fail)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| fail(format!("not a safetensors file: {e}")))?;
    let mut tensors = TensorMap::new();
    for (name, view) in file.iter() {
        let data = to_f32(view.dtype(), view.data()).ok_or_else(|| {
            fail(format!("{name} is {}, expected F32, F16 or BF16", view.dtype()))
        })?;
        let (new, shape) = normalised(name, view.shape().to_vec());
        if tensors.insert(new, Tensor { shape, data }).is_some() {
            return Err(fail(format!("has {name} a second time, in another spelling")));
        }
    }
    Ok(tensors)
}

/// The whole file, unless its first bytes rule out that it is one of these.
fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |e: io::Error| format!("cannot be read: {e}");
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    (&file).take(8).read_to_end(&mut bytes).map_err(failed)?;
    let Ok(header_len) = <[u8; 8]>::try_from(bytes.as_slice()).map(u64::from_le_bytes) else {
        return Err(format!("not a safetensors file: {} bytes in all", bytes.len()));
    };
    if header_len > MAX_HEADER_LEN {
        return Err(format!(
            "not a safetensors file: a header of {header_len} bytes, at most {MAX_HEADER_LEN}"
        ));
    }
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Elements as f32, or nothing when they are of another type.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|&element| convert(element)).collect()
    }
    Some(match dtype {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        _ => return None,
    })
}

/// Writes a network as diffusers does: `config.json` and `diffusion_pytorch_model.safetensors`, f32.
/// The folder is made where there is none; equal input gives equal bytes.
///
/// # Errors
/// [`VaeError::Weights`] when `tensors` are not those of `config`, [`VaeError::File`] when the folder
/// or a file cannot be written.
pub fn write_folder(
    folder: &Path,
    config: &VaeConfig,
    tensors: &TensorMap,
) -> Result<(), VaeError> {
    check(config, tensors, "the weights to be written")?;
    let failed = |path: &Path, e: &dyn std::fmt::Display| {
        VaeError::file(path, format!("cannot be written: {e}"))
    };
    fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
    let path = folder.join("config.json");
    fs::write(&path, config.to_json()).map_err(|e| failed(&path, &e))?;
    let path = folder.join("diffusion_pytorch_model.safetensors");
    let bytes: Vec<(&String, &Tensor, Vec<u8>)> = tensors
        .iter()
        .map(|(name, t)| (name, t, t.data.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, tensor, bytes)| {
        Ok((*name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    let views = views.map_err(|e| failed(&path, &e))?;
    serialize_to_file(views, None, &path).map_err(|e| failed(&path, &e))
}
