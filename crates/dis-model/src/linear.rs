//! Linear maps.

use crate::error::ModelError;
use crate::net::{ActMat, ActMatMut, Net, grad};
use crate::params::ParamLayout;
use ssm_kernels::{Backend, Mat, MatMut, Mut, ViewMut, Write};
use std::ops::Range;

/// `y = x W^T + b`, `W [outputs, inputs]`.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    weight: Range<usize>,
    bias: Option<Range<usize>>,
    outputs: usize,
    inputs: usize,
}

impl Linear {
    /// The parameters `<name>.weight` and, where the layout has it, `<name>.bias`.
    pub(crate) fn new(layout: &ParamLayout, name: &str, outputs: usize, inputs: usize) -> Self {
        let bias = layout.get(&format!("{name}.bias")).map(|p| p.range.clone());
        Self { weight: layout.range(&format!("{name}.weight")), bias, outputs, inputs }
    }

    /// `W` as a matrix.
    pub(crate) fn weight<'a, B: Backend>(&self, net: &'a Net<'_, B>) -> ActMat<'a, B> {
        Mat::of(net.weight(&self.weight), self.outputs, self.inputs)
    }

    /// `out = x W^T + b`; `x` is `rows x inputs`, `out` `[rows, outputs]`.
    pub(crate) fn forward<B: Backend>(
        &self,
        net: &Net<'_, B>,
        x: ActMat<'_, B>,
        mut out: Mut<'_, B, B::Act>,
    ) -> Result<(), ModelError> {
        let write = match &self.bias {
            Some(bias) => {
                net.backend.fill_rows(net.param(bias), out.reborrow())?;
                Write::Accumulate
            }
            None => Write::Overwrite,
        };
        let out = MatMut::of(out, x.rows(), self.outputs);
        net.backend.gemm(out, write, x, self.weight(net).t())?;
        Ok(())
    }

    /// Adds the gradients of `W` and `b`.
    pub(crate) fn backward_params<B: Backend>(
        &self,
        net: &Net<'_, B>,
        x: ActMat<'_, B>,
        grad_out: ActMat<'_, B>,
        grads: &mut Mut<'_, B, B::Wide>,
    ) -> Result<(), ModelError> {
        if let Some(bias) = &self.bias {
            net.backend.add_column_sums(grad_out, grad::<B>(grads, bias))?;
        }
        let weight = MatMut::of(grad::<B>(grads, &self.weight), self.outputs, self.inputs);
        net.backend.gemm_wide(weight, Write::Accumulate, grad_out.t(), x)?;
        Ok(())
    }

    /// `grad_x = grad_out W`.
    pub(crate) fn backward_input<B: Backend>(
        &self,
        net: &Net<'_, B>,
        grad_out: ActMat<'_, B>,
        write: Write,
        grad_x: ActMatMut<'_, B>,
    ) -> Result<(), ModelError> {
        net.backend.gemm(grad_x, write, grad_out, self.weight(net))?;
        Ok(())
    }
}
