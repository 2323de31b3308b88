//! Do the operands fit the shape?

use super::{Args, Direction, DirectionGrads, Grads, Kept, Output, Shape};
use crate::KernelError;
use crate::error::check_len;
use crate::matrix::check_mat;
use crate::space::{Element, Memory, View, ViewMut};

const OP: &str = "selective_scan";

/// Refuses operands of the value pass that do not fit `args.shape`.
pub(crate) fn check_forward<T: Element, W: Element, M: Memory>(
    args: &Args<'_, T, W, M>,
    out: &Output<'_, T, W, M>,
    states_len: usize,
) -> Result<(), KernelError> {
    let activation = check_args(args)?;
    check_len(OP, "gated", out.gated.len(), &activation)?;
    let Some(kept) = &out.kept else {
        return Ok(());
    };
    check_len(OP, "pre_gate", kept.pre_gate.len(), &activation)?;
    check_len(OP, "states", kept.states.len(), &[states_len])
}

/// Refuses operands of the gradient pass that do not fit `args.shape`.
pub(crate) fn check_backward<T: Element, W: Element, M: Memory>(
    args: &Args<'_, T, W, M>,
    kept: Kept<'_, T, W, M>,
    grad_gated: M::Ref<'_, T>,
    grads: &Grads<'_, T, W, M>,
    states_len: usize,
) -> Result<(), KernelError> {
    let activation = check_args(args)?;
    check_len(OP, "pre_gate", kept.pre_gate.len(), &activation)?;
    check_len(OP, "states", kept.states.len(), &[states_len])?;
    check_len(OP, "grad_gated", grad_gated.len(), &activation)?;
    check_len(OP, "grads.directions", grads.directions.len(), &[args.directions.len()])?;
    for grads in grads.directions.iter() {
        check_direction_grads(args.shape, grads)?;
    }
    let Shape { batch, seq_len, channels, .. } = args.shape;
    check_mat(OP, "grads.z", (grads.z.rows, grads.z.cols), (batch * seq_len, channels))?;
    check_len(OP, "gated", grads.gated.len(), &activation)
}

/// Checks what both passes read and returns the shape of an activation.
fn check_args<T: Element, W: Element, M: Memory>(
    args: &Args<'_, T, W, M>,
) -> Result<[usize; 3], KernelError> {
    let Shape { batch, seq_len, channels, states } = args.shape;
    let unsupported =
        |what, got, supported| KernelError::Unsupported { op: OP, what, got, supported };
    if states == 0 {
        return Err(unsupported("states", states, "1 or more"));
    }
    if !matches!(args.directions.len(), 1 | 2) {
        return Err(unsupported("number of directions", args.directions.len(), "1 or 2"));
    }
    for direction in args.directions {
        check_direction(args.shape, direction)?;
        if direction.bc.col_stride != 1 {
            return Err(unsupported("column stride of bc", direction.bc.col_stride, "1"));
        }
    }
    check_mat(OP, "z", (args.z.rows, args.z.cols), (batch * seq_len, channels))?;
    if args.z.col_stride != 1 {
        return Err(unsupported("column stride of z", args.z.col_stride, "1"));
    }
    Ok([batch, seq_len, channels])
}

fn check_direction<T: Element, W: Element, M: Memory>(
    shape: Shape,
    direction: &Direction<'_, T, W, M>,
) -> Result<(), KernelError> {
    let Shape { batch, seq_len, channels, states } = shape;
    let bc = (direction.bc.rows, direction.bc.cols);
    check_len(OP, "u", direction.u.len(), &[batch, seq_len, channels])?;
    check_len(OP, "delta_raw", direction.delta_raw.len(), &[batch, seq_len, channels])?;
    check_mat(OP, "bc", bc, (batch * seq_len, 2 * states))?;
    check_len(OP, "a_log", direction.a_log.len(), &[channels, states])?;
    check_len(OP, "d_skip", direction.d_skip.len(), &[channels])?;
    check_len(OP, "delta_bias", direction.delta_bias.len(), &[channels])
}

fn check_direction_grads<T: Element, W: Element, M: Memory>(
    shape: Shape,
    grads: &DirectionGrads<'_, T, W, M>,
) -> Result<(), KernelError> {
    let Shape { batch, seq_len, channels, states } = shape;
    let bc = (grads.bc.rows, grads.bc.cols);
    check_len(OP, "grads.u", grads.u.len(), &[batch, seq_len, channels])?;
    check_len(OP, "grads.delta_raw", grads.delta_raw.len(), &[batch, seq_len, channels])?;
    check_mat(OP, "grads.bc", bc, (batch * seq_len, 2 * states))?;
    check_len(OP, "grads.a_log", grads.a_log.len(), &[channels, states])?;
    check_len(OP, "grads.d_skip", grads.d_skip.len(), &[channels])?;
    check_len(OP, "grads.delta_bias", grads.delta_bias.len(), &[channels])
}
