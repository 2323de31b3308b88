//! The threaded f32 form of what touches whole activations; what touches a few rows is the
//! definition.

use super::{
    DropPath, ResidualAdd, check_add, check_add_column_sums, check_drop_path, check_fill_rows,
    check_pair, check_residual_add,
};
use crate::space::Host;
use crate::{KernelError, Mat};
use rayon::prelude::*;

pub use super::reference::{silu, silu_backward};

/// Elements of one task.
const BLOCK: usize = 1 << 14;

/// Rows of one task of [`fill_rows`].
const ROWS: usize = 64;

/// Columns of one task of [`add_column_sums`].
const COLUMNS: usize = 128;

/// See [`reference::fill_rows`](super::reference::fill_rows).
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn fill_rows(row: &[f32], out: &mut [f32]) -> Result<(), KernelError> {
    check_fill_rows(row.len(), out.len())?;
    out.par_chunks_mut(ROWS * row.len()).for_each(|rows| {
        for out in rows.chunks_exact_mut(row.len()) {
            out.copy_from_slice(row);
        }
    });
    Ok(())
}

/// See [`reference::add_column_sums`](super::reference::add_column_sums).
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn add_column_sums(x: Mat<'_, f32>, sums: &mut [f32]) -> Result<(), KernelError> {
    check_add_column_sums::<f32, f32, Host>(&x, &sums)?;
    sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(block, sums)| {
        for row in 0..x.rows() {
            let row = &x.row(row)[block * COLUMNS..][..sums.len()];
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += x;
            }
        }
    });
    Ok(())
}

/// See [`reference::add`](super::reference::add).
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn add(a: &[f32], b: &[f32], out: &mut [f32]) -> Result<(), KernelError> {
    check_add(a.len(), b.len(), out.len())?;
    out.copy_from_slice(a);
    add_assign(out, b)
}

/// See [`reference::add_assign`](super::reference::add_assign).
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn add_assign(to: &mut [f32], from: &[f32]) -> Result<(), KernelError> {
    check_pair("add_assign", to.len(), "from", from.len())?;
    to.par_chunks_mut(BLOCK).zip(from.par_chunks(BLOCK)).for_each(|(to, from)| {
        for (to, &from) in to.iter_mut().zip(from) {
            *to += from;
        }
    });
    Ok(())
}

/// See [`reference::add_to_residual`](super::reference::add_to_residual).
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn add_to_residual(residual: &mut [f32], x: &[f32]) -> Result<(), KernelError> {
    check_pair("add_to_residual", residual.len(), "x", x.len())?;
    add_assign(residual, x)
}

/// See [`reference::residual_add`](super::reference::residual_add); tasks are images.
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn residual_add(args: &ResidualAdd<'_, f32>, out: &mut [f32]) -> Result<(), KernelError> {
    check_residual_add(args, out.len())?;
    let &ResidualAdd { batch, hidden, residual, drop_path } = args;
    let Some(residual) = residual else {
        out.copy_from_slice(hidden);
        return Ok(());
    };
    let image = (out.len() / batch).max(1);
    out.par_chunks_mut(image).enumerate().for_each(|(b, out)| {
        let keep = drop_path.map_or(1.0, |factors| factors[b]);
        let from = b * image..(b + 1) * image;
        for ((out, &r), &h) in out.iter_mut().zip(&residual[from.clone()]).zip(&hidden[from]) {
            *out = r + keep * h;
        }
    });
    Ok(())
}

/// See [`reference::apply_drop_path`](super::reference::apply_drop_path); tasks are images.
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn apply_drop_path(args: &DropPath<'_, f32>, out: &mut [f32]) -> Result<(), KernelError> {
    check_drop_path(args, out.len())?;
    let &DropPath { batch, x, drop_path } = args;
    let image = (out.len() / batch).max(1);
    out.par_chunks_mut(image).enumerate().for_each(|(b, out)| {
        let keep = drop_path.map_or(1.0, |factors| factors[b]);
        for (out, &x) in out.iter_mut().zip(&x[b * image..]) {
            *out = keep * x;
        }
    });
    Ok(())
}
