//! What the operands must look like.

use super::Args;
use crate::KernelError;
use crate::error::check_len;
use crate::space::{Element, Memory, View};

const OP: &str = "group_norm";

pub(crate) fn check<T: Element, W: Element, M: Memory>(
    args: &Args<'_, T, W, M>,
    out: usize,
) -> Result<(), KernelError> {
    let s = &args.shape;
    let unsupported =
        |what, got, supported| Err(KernelError::Unsupported { op: OP, what, got, supported });
    if s.groups == 0 {
        return unsupported("groups", 0, "1 or more");
    }
    if s.channels == 0 || !s.channels.is_multiple_of(s.groups) {
        return unsupported("channels", s.channels, "multiples of the groups, from 1");
    }
    if s.pixels == 0 {
        return unsupported("pixels", 0, "1 or more");
    }
    check_len(OP, "x", args.x.len(), &[s.batch, s.pixels, s.channels])?;
    check_len(OP, "weight", args.weight.len(), &[s.channels])?;
    check_len(OP, "bias", args.bias.len(), &[s.channels])?;
    check_len(OP, "out", out, &[s.batch, s.pixels, s.channels])
}
