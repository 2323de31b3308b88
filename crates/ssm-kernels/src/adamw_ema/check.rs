//! What the operands must look like.

use super::{Arenas, Hyper};
use crate::KernelError;
use crate::error::check_len;
use crate::space::{Element, Memory, View, ViewMut};

const OP: &str = "adamw_ema";

pub(crate) fn check<W: Element, T: Element, M: Memory>(
    hyper: &Hyper<'_>,
    arenas: &Arenas<'_, W, T, M>,
) -> Result<(), KernelError> {
    let unsupported =
        |what, got, supported| Err(KernelError::Unsupported { op: OP, what, got, supported });
    if hyper.step == 0 {
        return unsupported("step", 0, "1 or more");
    }
    let len = arenas.params.len();
    check_len(OP, "grads", arenas.grads.len(), &[len])?;
    check_len(OP, "m", arenas.m.len(), &[len])?;
    check_len(OP, "v", arenas.v.len(), &[len])?;
    for average in arenas.averages.iter() {
        check_len(OP, "average", average.values.len(), &[len])?;
    }
    if let Some(copy) = &arenas.compute_copy {
        check_len(OP, "compute_copy", copy.len(), &[len])?;
    }
    let mut end = 0;
    for range in hyper.no_decay {
        if range.start < end || range.end < range.start {
            return unsupported("start of a no_decay range", range.start, "sorted and disjoint");
        }
        if range.end > len {
            return unsupported("end of a no_decay range", range.end, "inside the arena");
        }
        end = range.end;
    }
    Ok(())
}
