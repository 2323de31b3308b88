//! Linear maps and the elementwise steps between the fused operators.

use crate::error::ModelError;
use crate::params::ParamLayout;
use rayon::prelude::*;
use ssm_kernels::{Backend, Mat, MatMut, Real, Write};
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

    /// Rows of `W`.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// `W` as a matrix.
    pub(crate) fn weight<'a, T>(&self, params: &'a [T]) -> Mat<'a, T> {
        Mat::new(&params[self.weight.clone()], self.outputs, self.inputs)
    }

    /// `out = x W^T + b`; `x` is `rows x inputs`, `out` `[rows, outputs]`.
    pub(crate) fn forward<B: Backend>(
        &self,
        params: &[B::Elem],
        x: Mat<'_, B::Elem>,
        out: &mut [B::Elem],
    ) -> Result<(), ModelError> {
        let rows = x.rows();
        let write = match &self.bias {
            Some(bias) => {
                fill_rows(out, &params[bias.clone()]);
                Write::Accumulate
            }
            None => Write::Overwrite,
        };
        B::gemm(MatMut::new(out, rows, self.outputs), write, x, self.weight(params).t())?;
        Ok(())
    }

    /// Adds the gradients of `W` and `b`.
    pub(crate) fn backward_params<B: Backend>(
        &self,
        x: Mat<'_, B::Elem>,
        grad_out: Mat<'_, B::Elem>,
        grads: &mut [B::Elem],
    ) -> Result<(), ModelError> {
        if let Some(bias) = &self.bias {
            add_column_sums(grad_out, &mut grads[bias.clone()]);
        }
        let grad_weight = MatMut::new(&mut grads[self.weight.clone()], self.outputs, self.inputs);
        B::gemm(grad_weight, Write::Accumulate, grad_out.t(), x)?;
        Ok(())
    }

    /// `grad_x = grad_out W`.
    pub(crate) fn backward_input<B: Backend>(
        &self,
        params: &[B::Elem],
        grad_out: Mat<'_, B::Elem>,
        write: Write,
        grad_x: MatMut<'_, B::Elem>,
    ) -> Result<(), ModelError> {
        B::gemm(grad_x, write, grad_out, self.weight(params))?;
        Ok(())
    }
}

/// Copies `row` into every row of `out`.
pub(crate) fn fill_rows<T: Real>(out: &mut [T], row: &[T]) {
    out.par_chunks_mut(64 * row.len()).for_each(|rows| {
        for out in rows.chunks_exact_mut(row.len()) {
            out.copy_from_slice(row);
        }
    });
}

/// Adds the sum over the rows of `x` to `sums`, rows in order inside blocks of columns.
pub(crate) fn add_column_sums<T: Real>(x: Mat<'_, T>, sums: &mut [T]) {
    const COLUMNS: usize = 128;
    sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(block, sums)| {
        for row in 0..x.rows() {
            let row = &x.row(row)[block * COLUMNS..][..sums.len()];
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += x;
            }
        }
    });
}

/// `to += from`.
pub(crate) fn add_assign<T: Real>(to: &mut [T], from: &[T]) {
    const BLOCK: usize = 1 << 14;
    to.par_chunks_mut(BLOCK).zip(from.par_chunks(BLOCK)).for_each(|(to, from)| {
        for (to, &from) in to.iter_mut().zip(from) {
            *to += from;
        }
    });
}

/// `out = a + b`.
pub(crate) fn add<T: Real>(a: &[T], b: &[T], out: &mut [T]) {
    out.copy_from_slice(a);
    add_assign(out, b);
}

/// `out[b] = residual[b] + drop_path[b] hidden[b]`, whole images at a time.
pub(crate) fn residual_add<T: Real>(
    batch: usize,
    hidden: &[T],
    residual: Option<&[T]>,
    drop_path: Option<&[T]>,
    out: &mut [T],
) {
    let Some(residual) = residual else {
        out.copy_from_slice(hidden);
        return;
    };
    let image = hidden.len() / batch;
    out.par_chunks_mut(image).enumerate().for_each(|(b, out)| {
        let keep = drop_path.map_or(T::ONE, |s| s[b]);
        let from = b * image..(b + 1) * image;
        for ((out, &r), &h) in out.iter_mut().zip(&residual[from.clone()]).zip(&hidden[from]) {
            *out = r + keep * h;
        }
    });
}

/// `out[b] = drop_path[b] x[b]`, whole images at a time.
pub(crate) fn apply_drop_path<T: Real>(
    batch: usize,
    x: &[T],
    drop_path: Option<&[T]>,
    out: &mut [T],
) {
    let image = x.len() / batch;
    out.par_chunks_mut(image).enumerate().for_each(|(b, out)| {
        let keep = drop_path.map_or(T::ONE, |s| s[b]);
        for (out, &x) in out.iter_mut().zip(&x[b * image..]) {
            *out = keep * x;
        }
    });
}
