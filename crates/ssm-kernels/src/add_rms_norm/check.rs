//! What the operands must look like.

use super::{Args, BackwardArgs, Grads, Output, Shape};
use crate::KernelError;
use crate::error::check_len;
use crate::space::{Element, Memory, View, ViewMut};

const OP: &str = "add_rms_norm";

pub(crate) fn check_forward<T: Element, W: Element, M: Memory>(
    args: &Args<'_, T, W, M>,
    out: &Output<'_, T, W, M>,
) -> Result<(), KernelError> {
    let s = &args.shape;
    check_shape(s)?;
    let activation = [s.batch, s.seq_len, s.width];
    check_len(OP, "hidden", args.hidden.len(), &activation)?;
    if let Some(residual) = args.residual {
        check_len(OP, "residual", residual.len(), &activation)?;
    }
    if let Some(drop_path) = args.drop_path {
        check_len(OP, "drop_path", drop_path.len(), &[s.batch])?;
    }
    check_len(OP, "weight", args.weight.len(), &[s.width])?;
    check_len(OP, "out.residual", out.residual.len(), &activation)?;
    check_len(OP, "out.normed", out.normed.len(), &activation)?;
    check_len(OP, "out.rstd", out.rstd.len(), &[s.batch, s.seq_len])
}

pub(crate) fn check_backward<T: Element, W: Element, M: Memory>(
    args: &BackwardArgs<'_, T, W, M>,
    grads: &Grads<'_, T, W, M>,
) -> Result<(), KernelError> {
    let s = &args.shape;
    check_shape(s)?;
    let activation = [s.batch, s.seq_len, s.width];
    check_len(OP, "residual", args.residual.len(), &activation)?;
    check_len(OP, "rstd", args.rstd.len(), &[s.batch, s.seq_len])?;
    check_len(OP, "weight", args.weight.len(), &[s.width])?;
    if let Some(drop_path) = args.drop_path {
        check_len(OP, "drop_path", drop_path.len(), &[s.batch])?;
    }
    check_len(OP, "grad_normed", args.grad_normed.len(), &activation)?;
    check_len(OP, "grads.residual", grads.residual.len(), &activation)?;
    check_len(OP, "grads.hidden", grads.hidden.len(), &activation)?;
    check_len(OP, "grads.weight", grads.weight.len(), &[s.width])
}

fn check_shape(shape: &Shape) -> Result<(), KernelError> {
    if shape.width == 0 {
        return Err(KernelError::Unsupported {
            op: OP,
            what: "width",
            got: 0,
            supported: "1 or more",
        });
    }
    Ok(())
}
