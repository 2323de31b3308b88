//! What the operands must look like.

use super::{Args, Grads, Output};
use crate::KernelError;
use crate::error::check_len;
use crate::space::{Element, Memory, View, ViewMut};

const OP: &str = "layer_norm_modulate";

pub(crate) fn check_forward<X: Element, T: Element, W: Element, M: Memory>(
    args: &Args<'_, X, T, M>,
    out: &Output<'_, T, W, M>,
) -> Result<(), KernelError> {
    check_args(args)?;
    let s = &args.shape;
    check_len(OP, "out", out.out.len(), &[s.batch, s.seq_len, s.width])?;
    check_len(OP, "stats", out.stats.len(), &[s.batch, s.seq_len, 2])
}

pub(crate) fn check_backward<X: Element, T: Element, W: Element, M: Memory>(
    args: &Args<'_, X, T, M>,
    stats: M::Ref<'_, W>,
    grad_out: M::Ref<'_, T>,
    grads: &Grads<'_, T, M>,
) -> Result<(), KernelError> {
    check_args(args)?;
    let s = &args.shape;
    check_len(OP, "stats", stats.len(), &[s.batch, s.seq_len, 2])?;
    check_len(OP, "grad_out", grad_out.len(), &[s.batch, s.seq_len, s.width])?;
    check_len(OP, "grads.x", grads.x.len(), &[s.batch, s.seq_len, s.width])?;
    let expected = if args.modulation.is_some() { [s.batch, 2 * s.width] } else { [0, 0] };
    let got = grads.modulation.as_ref().map_or(0, ViewMut::len);
    check_len(OP, "grads.modulation", got, &expected)
}

fn check_args<X: Element, T: Element, M: Memory>(
    args: &Args<'_, X, T, M>,
) -> Result<(), KernelError> {
    let s = &args.shape;
    if s.width == 0 {
        return Err(KernelError::Unsupported {
            op: OP,
            what: "width",
            got: 0,
            supported: "1 or more",
        });
    }
    check_len(OP, "x", args.x.len(), &[s.batch, s.seq_len, s.width])?;
    match args.modulation {
        None => Ok(()),
        Some(modulation) => check_len(OP, "modulation", modulation.len(), &[s.batch, 2 * s.width]),
    }
}
