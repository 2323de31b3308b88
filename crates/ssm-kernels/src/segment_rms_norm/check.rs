//! What the operands must look like.

use super::{Kept, SEGMENTS, Shape};
use crate::KernelError;
use crate::error::check_len;
use crate::space::{Element, Memory, View};

const OP: &str = "segment_rms_norm";

pub(crate) fn check_forward(shape: &Shape, x: usize, rstd: usize) -> Result<(), KernelError> {
    check_shape(shape)?;
    check_len(OP, "x", x, &[shape.rows, shape.row_len()])?;
    check_len(OP, "rstd", rstd, &[shape.rows, SEGMENTS])
}

pub(crate) fn check_backward<T: Element, W: Element, M: Memory>(
    shape: &Shape,
    kept: &Kept<'_, T, W, M>,
    grad: usize,
) -> Result<(), KernelError> {
    check_shape(shape)?;
    let all = [shape.rows, shape.row_len()];
    check_len(OP, "normed", kept.normed.len(), &all)?;
    check_len(OP, "rstd", kept.rstd.len(), &[shape.rows, SEGMENTS])?;
    check_len(OP, "grad", grad, &all)
}

fn check_shape(shape: &Shape) -> Result<(), KernelError> {
    if shape.widths.contains(&0) {
        return Err(KernelError::Unsupported {
            op: OP,
            what: "width of a segment",
            got: 0,
            supported: "1 or more",
        });
    }
    Ok(())
}
