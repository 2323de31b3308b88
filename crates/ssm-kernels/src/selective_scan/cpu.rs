//! The fast path: sixteen channels per vector, states in registers, tasks over images and channels.
#![allow(unsafe_code, reason = "tasks own channel blocks of shared token rows")]

mod backward;
mod forward;
mod plan;
mod recur;

use super::{Args, Grads, Kept, Output, Shape, check_backward, check_forward};
use crate::{InstructionSet, KernelError, Scratch};

/// Elements of [`Kept::states`]: the states after every eighth token, `N / 8` times an activation
/// for each scan order.
pub fn states_len(shape: Shape, directions: usize) -> usize {
    plan::states_len(shape, directions)
}

/// Value pass with the instruction set in use.
///
/// # Errors
/// When an operand does not fit the shape.
pub fn forward(
    args: &Args<'_, f32>,
    out: Output<'_, f32>,
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    forward_on(InstructionSet::current(), args, out, scratch)
}

/// Value pass with one instruction set of [`InstructionSet::available`].
///
/// # Errors
/// When an operand does not fit the shape.
pub fn forward_on(
    set: InstructionSet,
    args: &Args<'_, f32>,
    out: Output<'_, f32>,
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    check_forward(args, &out, states_len(args.shape, args.directions.len()))?;
    forward::run(set, args, out, scratch);
    Ok(())
}

/// Gradient pass with the instruction set in use.
///
/// # Errors
/// When an operand does not fit the shape.
pub fn backward(
    args: &Args<'_, f32>,
    kept: Kept<'_, f32>,
    grad_gated: &[f32],
    grads: Grads<'_, f32>,
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    backward_on(InstructionSet::current(), args, kept, grad_gated, grads, scratch)
}

/// Gradient pass with one instruction set of [`InstructionSet::available`].
///
/// # Errors
/// When an operand does not fit the shape.
pub fn backward_on(
    set: InstructionSet,
    args: &Args<'_, f32>,
    kept: Kept<'_, f32>,
    grad_gated: &[f32],
    grads: Grads<'_, f32>,
    scratch: &mut Scratch<f32>,
) -> Result<(), KernelError> {
    let states_len = states_len(args.shape, args.directions.len());
    check_backward(args, kept, grad_gated, &grads, states_len)?;
    backward::run(set, args, kept, grad_gated, grads, scratch);
    Ok(())
}
