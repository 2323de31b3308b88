//! What the operands must look like.

use super::{Args, Grads};
use crate::KernelError;
use crate::error::check_len;
use crate::matrix::check_mat;
use crate::space::{Element, Memory, View, ViewMut};

const OP: &str = "causal_conv1d";

pub(crate) fn check_forward<T: Element, W: Element, M: Memory>(
    args: &Args<'_, T, W, M>,
    outs: &[M::Mut<'_, T>],
) -> Result<(), KernelError> {
    check_args(args)?;
    check_len(OP, "outs", outs.len(), &[args.directions.len()])?;
    outs.iter().try_for_each(|out| check_activation(args, "out", out.len()))
}

pub(crate) fn check_backward<T: Element, W: Element, M: Memory>(
    args: &Args<'_, T, W, M>,
    grad_outs: &[M::Ref<'_, T>],
    grads: &Grads<'_, T, W, M>,
) -> Result<(), KernelError> {
    check_args(args)?;
    check_len(OP, "grad_outs", grad_outs.len(), &[args.directions.len()])?;
    grad_outs.iter().try_for_each(|grad| check_activation(args, "grad_out", grad.len()))?;
    let s = &args.shape;
    check_mat(OP, "grads.x", (grads.x.rows, grads.x.cols), (s.batch * s.seq_len, s.channels))?;
    check_len(OP, "grads.directions", grads.directions.len(), &[args.directions.len()])?;
    grads.directions.iter().try_for_each(|grads| {
        check_len(OP, "grads.weight", grads.weight.len(), &[s.channels, s.width])?;
        check_len(OP, "grads.bias", grads.bias.len(), &[s.channels])
    })
}

fn check_args<T: Element, W: Element, M: Memory>(
    args: &Args<'_, T, W, M>,
) -> Result<(), KernelError> {
    let s = &args.shape;
    let unsupported =
        |what, got, supported| Err(KernelError::Unsupported { op: OP, what, got, supported });
    if s.width == 0 {
        return unsupported("width", 0, "1 or more taps");
    }
    if !(1..=2).contains(&args.directions.len()) {
        return unsupported("number of directions", args.directions.len(), "1 or 2");
    }
    check_mat(OP, "x", (args.x.rows, args.x.cols), (s.batch * s.seq_len, s.channels))?;
    if args.x.col_stride != 1 {
        return unsupported("column stride of x", args.x.col_stride, "1: contiguous rows");
    }
    args.directions.iter().try_for_each(|direction| {
        check_len(OP, "weight", direction.weight.len(), &[s.channels, s.width])?;
        check_len(OP, "bias", direction.bias.len(), &[s.channels])
    })
}

fn check_activation<T: Element, W: Element, M: Memory>(
    args: &Args<'_, T, W, M>,
    operand: &'static str,
    got: usize,
) -> Result<(), KernelError> {
    let s = &args.shape;
    check_len(OP, operand, got, &[s.batch, s.seq_len, s.channels])
}
