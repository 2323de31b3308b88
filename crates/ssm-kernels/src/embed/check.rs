//! What the operands must look like.

use super::{
    Classes, Condition, ConditionBackward, ConditionGrads, ConditionOutput, Shape, Tokens,
    TokensGrads,
};
use crate::KernelError;
use crate::error::check_len;
use crate::space::{Element, Memory, View, ViewMut};

const OP: &str = "embed";

pub(crate) fn check_phases(timesteps: usize, phases: usize) -> Result<(), KernelError> {
    check_len(OP, "phases", phases, &[timesteps, phases / timesteps.max(1)])
}

pub(crate) fn check_condition<T: Element, W: Element, M: Memory>(
    args: &Condition<'_, T, W, M>,
    out: &ConditionOutput<'_, T, M>,
) -> Result<(), KernelError> {
    let s = &args.shape;
    check_shape(s)?;
    check_len(OP, "time", args.time.len(), &[s.batch, s.width])?;
    check_classes(s, args.classes.as_ref())?;
    check_len(OP, "sum", out.sum.len(), &[s.batch, s.width])?;
    check_len(OP, "condition", out.condition.len(), &[s.batch, s.width])
}

pub(crate) fn check_tokens<T: Element, W: Element, M: Memory>(
    args: &Tokens<'_, T, W, M>,
    tokens: usize,
) -> Result<(), KernelError> {
    let s = &args.shape;
    check_shape(s)?;
    check_len(OP, "bias", args.bias.len(), &[s.width])?;
    check_len(OP, "position", args.position.len(), &[s.seq_len, s.width])?;
    check_len(OP, "time", args.time.len(), &[s.batch, s.width])?;
    check_classes(s, args.classes.as_ref())?;
    check_label_token(s, args.classes.is_some())?;
    check_len(OP, "tokens", tokens, &[s.batch, s.seq_len, s.width])
}

pub(crate) fn check_tokens_backward<W: Element, M: Memory>(
    shape: &Shape,
    grad_tokens: usize,
    grads: &TokensGrads<'_, W, M>,
) -> Result<(), KernelError> {
    let s = shape;
    check_shape(s)?;
    check_len(OP, "grad_tokens", grad_tokens, &[s.batch, s.seq_len, s.width])?;
    check_len(OP, "grads.position", grads.position.len(), &[s.seq_len, s.width])?;
    check_len(OP, "grads.bias", grads.bias.len(), &[s.width])
}

pub(crate) fn check_condition_backward<T: Element, W: Element, M: Memory>(
    args: &ConditionBackward<'_, T, M>,
    grads: &ConditionGrads<'_, T, W, M>,
) -> Result<(), KernelError> {
    let s = &args.shape;
    check_shape(s)?;
    check_len(OP, "sum", args.sum.len(), &[s.batch, s.width])?;
    check_len(OP, "grad_tokens", args.grad_tokens.len(), &[s.batch, s.seq_len, s.width])?;
    let labels = if grads.table.is_some() { s.batch } else { 0 };
    check_len(OP, "labels", args.labels.as_ref().map_or(0, View::len), &[labels])?;
    check_label_token(s, grads.table.is_some())?;
    if let Some(table) = &grads.table {
        check_table(s, "grads.table", table.len())?;
    }
    check_len(OP, "grads.condition", grads.condition.len(), &[s.batch, s.width])
}

fn check_shape(s: &Shape) -> Result<(), KernelError> {
    if s.width == 0 {
        return unsupported("width", 0, "1 or more");
    }
    if s.extra > s.seq_len.min(2) {
        return unsupported("extra", s.extra, "0, 1 or 2 tokens of the sequence");
    }
    Ok(())
}

fn check_classes<W: Element, M: Memory>(
    s: &Shape,
    classes: Option<&Classes<'_, W, M>>,
) -> Result<(), KernelError> {
    let Some(classes) = classes else {
        return Ok(());
    };
    check_table(s, "table", classes.table.len())?;
    check_len(OP, "labels", classes.labels.len(), &[s.batch])
}

fn check_table(s: &Shape, operand: &'static str, got: usize) -> Result<(), KernelError> {
    check_len(OP, operand, got, &[got / s.width, s.width])
}

/// A label can only be a token where there are classes.
fn check_label_token(s: &Shape, has_classes: bool) -> Result<(), KernelError> {
    if s.extra == 2 && !has_classes {
        return unsupported("extra", s.extra, "0 or 1 without classes");
    }
    Ok(())
}

fn unsupported(what: &'static str, got: usize, supported: &'static str) -> Result<(), KernelError> {
    Err(KernelError::Unsupported { op: OP, what, got, supported })
}
