//! The parts that encoder and decoder are made of.
//!
//! A pass has one current activation, [`Workspace::x`], channels last; every layer reads it and
//! leaves its result there.

mod attention;
mod conv;
mod level;
mod mid_block;
mod norm;
mod resnet;

pub(crate) use attention::score_rows;
pub(crate) use conv::Conv;
pub(crate) use level::{Level, Resample};
pub(crate) use mid_block::MidBlock;
pub(crate) use norm::Norm;

use crate::weights::{Tensor, TensorMap};
use ssm_kernels::{Buf, ImageBackend, KernelError, Real, Storage};

/// Tensors on their way into layers; each leaves when it is used, so that there are no two copies of
/// all weights.
pub(crate) struct Loader<'a, B> {
    backend: &'a B,
    tensors: TensorMap,
    groups: usize,
}

impl<'a, B: ImageBackend> Loader<'a, B> {
    /// `tensors` are all those of the network, in its shapes; `groups` are those of its norms.
    pub(crate) fn new(backend: &'a B, tensors: TensorMap, groups: usize) -> Self {
        Self { backend, tensors, groups }
    }

    fn take(&mut self, name: &str) -> Tensor {
        let tensor = self.tensors.remove(name);
        tensor.unwrap_or_else(|| panic!("{name} was not checked, or is used twice"))
    }

    /// A vector in the wide format.
    fn vector(&mut self, values: &[f32]) -> Result<Buf<B, B::Wide>, KernelError> {
        let wide: Vec<B::Wide> = values.iter().map(|&x| B::Wide::from_f64(f64::from(x))).collect();
        let mut buffer = self.backend.zeros(wide.len())?;
        self.backend.upload(&wide, buffer.view_mut())?;
        Ok(buffer)
    }
}
