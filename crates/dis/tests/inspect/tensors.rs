//! Safetensors files as maps that a test can cut, change and compare.

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// One tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, Tensor>;

impl Tensor {
    pub(crate) fn f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    pub(crate) fn f64(shape: &[usize], values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { dtype: Dtype::F64, shape: shape.to_vec(), bytes }
    }

    pub(crate) fn i64(shape: &[usize], values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { dtype: Dtype::I64, shape: shape.to_vec(), bytes }
    }

    pub(crate) fn values(&self) -> Vec<f64> {
        match self.dtype {
            Dtype::F64 => self.bytes.as_chunks().0.iter().map(|c| f64::from_le_bytes(*c)).collect(),
            Dtype::F32 => {
                self.bytes.as_chunks().0.iter().map(|c| f32::from_le_bytes(*c).into()).collect()
            }
            other => panic!("{other} in a test"),
        }
    }

    /// `max |self - reference| / max |reference|`.
    #[track_caller]
    pub(crate) fn relative_error(&self, reference: &Self) -> f64 {
        assert_eq!(self.shape, reference.shape);
        let (got, expected) = (self.values(), reference.values());
        let largest = expected.iter().fold(0.0_f64, |m, e| m.max(e.abs()));
        let error = got.iter().zip(&expected).map(|(g, e)| (g - e).abs()).fold(0.0, f64::max);
        assert!(got.iter().all(|g| g.is_finite()) && largest > 0.0);
        error / largest
    }
}

pub(crate) fn read(path: impl AsRef<Path>) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| {
            let (dtype, shape) = (view.dtype(), view.shape().to_vec());
            (name.to_string(), Tensor { dtype, shape, bytes: view.data().to_vec() })
        })
        .collect()
}

pub(crate) fn write(path: impl AsRef<Path>, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, t)| {
        (name.as_str(), TensorView::new(t.dtype, t.shape.clone(), &t.bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Those whose names start with `prefix`, without it.
pub(crate) fn under(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors
        .iter()
        .filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_string(), t.clone())))
        .collect()
}
