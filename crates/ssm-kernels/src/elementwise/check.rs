//! What the operands must look like.

use super::{DropPath, ResidualAdd};
use crate::error::check_len;
use crate::space::{Element, Memory, View, ViewMut};
use crate::{KernelError, Mat};

/// Refuses rows that do not divide `out`.
pub(crate) fn check_fill_rows(row: usize, out: usize) -> Result<(), KernelError> {
    if row == 0 {
        return Err(unsupported("fill_rows", "row", 0, "1 or more elements"));
    }
    check_len("fill_rows", "out", out, &[out / row, row])
}

pub(crate) fn check_add_column_sums<T: Element, W: Element, M: Memory>(
    x: &Mat<'_, T, M>,
    sums: &M::Mut<'_, W>,
) -> Result<(), KernelError> {
    let op = "add_column_sums";
    if x.col_stride != 1 {
        return Err(unsupported(op, "column stride of x", x.col_stride, "1: contiguous rows"));
    }
    check_len(op, "sums", sums.len(), &[x.cols])
}

pub(crate) fn check_add(a: usize, b: usize, out: usize) -> Result<(), KernelError> {
    check_len("add", "b", b, &[a])?;
    check_len("add", "out", out, &[a])
}

/// Refuses two operands, the second named, that are not equally long.
pub(crate) fn check_pair(
    op: &'static str,
    first: usize,
    operand: &'static str,
    second: usize,
) -> Result<(), KernelError> {
    check_len(op, operand, second, &[first])
}

pub(crate) fn check_residual_add<T: Element, W: Element, M: Memory>(
    args: &ResidualAdd<'_, T, W, M>,
    out: usize,
) -> Result<(), KernelError> {
    let op = "residual_add";
    let hidden = args.hidden.len();
    check_images(op, args.batch, "hidden", hidden)?;
    if let Some(residual) = args.residual {
        check_len(op, "residual", residual.len(), &[hidden])?;
    }
    if let Some(drop_path) = args.drop_path {
        check_len(op, "drop_path", drop_path.len(), &[args.batch])?;
    }
    check_len(op, "out", out, &[hidden])
}

pub(crate) fn check_drop_path<W: Element, M: Memory>(
    args: &DropPath<'_, W, M>,
    out: usize,
) -> Result<(), KernelError> {
    let op = "apply_drop_path";
    check_images(op, args.batch, "x", args.x.len())?;
    if let Some(drop_path) = args.drop_path {
        check_len(op, "drop_path", drop_path.len(), &[args.batch])?;
    }
    check_len(op, "out", out, &[args.x.len()])
}

fn check_images(
    op: &'static str,
    batch: usize,
    operand: &'static str,
    got: usize,
) -> Result<(), KernelError> {
    if batch == 0 {
        return Err(unsupported(op, "batch", 0, "1 or more images"));
    }
    check_len(op, operand, got, &[batch, got / batch])
}

fn unsupported(
    op: &'static str,
    what: &'static str,
    got: usize,
    supported: &'static str,
) -> KernelError {
    KernelError::Unsupported { op, what, got, supported }
}
