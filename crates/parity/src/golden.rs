//! Safetensors files of reference numbers.

use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::Path;

/// The tensors of one golden file, widened to f64.
pub struct Golden {
    path: String,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Golden {
    /// Reads every tensor of the file (f32, f64, i64, i32 or u8).
    ///
    /// # Panics
    /// When the file cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let fail = |e: &dyn std::fmt::Display| -> ! { panic!("golden {}: {e}", path.display()) };
        let bytes = std::fs::read(path).unwrap_or_else(|e| fail(&e));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| fail(&e));
        let tensors = file
            .iter()
            .map(|(name, view)| {
                (name.to_string(), (view.shape().to_vec(), widen(view.dtype(), view.data())))
            })
            .collect();
        Self { path: path.display().to_string(), tensors }
    }

    /// Elements of a tensor, row-major.
    ///
    /// # Panics
    /// When the file has no tensor of that name.
    pub fn get(&self, name: &str) -> &[f64] {
        &self.entry(name).1
    }

    /// Shape of a tensor.
    ///
    /// # Panics
    /// When the file has no tensor of that name.
    pub fn shape(&self, name: &str) -> &[usize] {
        &self.entry(name).0
    }

    /// Elements of a tensor rounded to f32.
    ///
    /// # Panics
    /// When the file has no tensor of that name.
    pub fn f32(&self, name: &str) -> Vec<f32> {
        crate::to_f32(self.get(name))
    }

    /// Whether the file has a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    fn entry(&self, name: &str) -> &(Vec<usize>, Vec<f64>) {
        self.tensors.get(name).unwrap_or_else(|| panic!("{}: no tensor {name}", self.path))
    }
}

fn widen(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    fn each<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        let (elements, rest) = bytes.as_chunks::<N>();
        assert!(rest.is_empty(), "tensor bytes are not a whole number of elements");
        elements.iter().map(|&e| read(e)).collect()
    }
    match dtype {
        Dtype::F32 => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        Dtype::I32 => each(bytes, |b| f64::from(i32::from_le_bytes(b))),
        Dtype::U8 => each(bytes, |[b]| f64::from(b)),
        other => panic!("golden tensors of {other:?} are not read"),
    }
}
