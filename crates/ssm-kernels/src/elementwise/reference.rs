//! The definition.

use super::{
    DropPath, ResidualAdd, check_add, check_add_column_sums, check_drop_path, check_fill_rows,
    check_pair, check_residual_add,
};
use crate::space::Host;
use crate::{KernelError, Mat, Real};

/// Copies `row` into every row of `out`.
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn fill_rows<T: Real>(row: &[T], out: &mut [T]) -> Result<(), KernelError> {
    check_fill_rows(row.len(), out.len())?;
    for out in out.chunks_exact_mut(row.len()) {
        out.copy_from_slice(row);
    }
    Ok(())
}

/// Adds the sum over the rows of `x` to `sums`, row after row.
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn add_column_sums<T: Real>(x: Mat<'_, T>, sums: &mut [T]) -> Result<(), KernelError> {
    check_add_column_sums::<T, T, Host>(&x, &sums)?;
    for row in 0..x.rows() {
        for (sum, &x) in sums.iter_mut().zip(x.row(row)) {
            *sum += x;
        }
    }
    Ok(())
}

/// `out = a + b`.
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn add<T: Real>(a: &[T], b: &[T], out: &mut [T]) -> Result<(), KernelError> {
    check_add(a.len(), b.len(), out.len())?;
    for (out, (&a, &b)) in out.iter_mut().zip(a.iter().zip(b)) {
        *out = a + b;
    }
    Ok(())
}

/// `to += from`.
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn add_assign<T: Real>(to: &mut [T], from: &[T]) -> Result<(), KernelError> {
    check_pair("add_assign", to.len(), "from", from.len())?;
    for (to, &from) in to.iter_mut().zip(from) {
        *to += from;
    }
    Ok(())
}

/// `residual += x`, which is [`add_assign`] where there is one format.
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn add_to_residual<T: Real>(residual: &mut [T], x: &[T]) -> Result<(), KernelError> {
    check_pair("add_to_residual", residual.len(), "x", x.len())?;
    add_assign(residual, x)
}

/// `out[b] = residual[b] + drop_path[b] hidden[b]`.
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn residual_add<T: Real>(args: &ResidualAdd<'_, T>, out: &mut [T]) -> Result<(), KernelError> {
    check_residual_add(args, out.len())?;
    let image = out.len() / args.batch;
    for (i, (out, &hidden)) in out.iter_mut().zip(args.hidden).enumerate() {
        *out = match args.residual {
            Some(residual) => residual[i] + factor(args.drop_path, i / image) * hidden,
            None => hidden,
        };
    }
    Ok(())
}

/// `out[b] = drop_path[b] x[b]`.
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn apply_drop_path<T: Real>(args: &DropPath<'_, T>, out: &mut [T]) -> Result<(), KernelError> {
    check_drop_path(args, out.len())?;
    let image = out.len() / args.batch;
    for (i, (out, &x)) in out.iter_mut().zip(args.x).enumerate() {
        *out = factor(args.drop_path, i / image) * x;
    }
    Ok(())
}

/// `out = x sigmoid(x)`.
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn silu<T: Real>(x: &[T], out: &mut [T]) -> Result<(), KernelError> {
    check_pair("silu", x.len(), "out", out.len())?;
    for (out, &x) in out.iter_mut().zip(x) {
        *out = x.silu();
    }
    Ok(())
}

/// `grad *= silu'(x)`.
///
/// # Errors
/// [`KernelError`] when the operands do not fit each other.
pub fn silu_backward<T: Real>(x: &[T], grad: &mut [T]) -> Result<(), KernelError> {
    check_pair("silu_backward", x.len(), "grad", grad.len())?;
    for (grad, &x) in grad.iter_mut().zip(x) {
        *grad *= x.silu_slope();
    }
    Ok(())
}

fn factor<T: Real>(drop_path: Option<&[T]>, image: usize) -> T {
    drop_path.map_or(T::ONE, |factors| factors[image])
}
