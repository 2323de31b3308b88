//! The one door to matrix products.
//!
//! On the CPU the `gemm` crate, whose AVX-512 path is on in this workspace; figures in
//! `benches/record`. Transposed operands, halves of wider matrices and accumulation are strides
//! and a flag, so no copy stands around a product.

use crate::error::KernelError;
use crate::matrix::{Mat, MatMut, check_mat};
use crate::real::Real;

/// What happens to the old content of a product's destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is not read.
    Overwrite,
    /// The product is added to it.
    Accumulate,
}

/// Checks `out [m, n] = a [m, k] * b [k, n]`.
fn check<T>(out: &MatMut<'_, T>, a: &Mat<'_, T>, b: &Mat<'_, T>) -> Result<(), KernelError> {
    check_mat("gemm", "b", (b.rows, b.cols), (a.cols, b.cols))?;
    check_mat("gemm", "out", (out.rows, out.cols), (a.rows, b.cols))
}

/// The definition: three loops, sums in the element type from the first term to the last.
///
/// # Errors
/// [`KernelError::Matrix`] when the shapes do not form a product.
pub fn reference<T: Real>(
    out: &mut MatMut<'_, T>,
    write: Write,
    a: Mat<'_, T>,
    b: Mat<'_, T>,
) -> Result<(), KernelError> {
    check(out, &a, &b)?;
    for r in 0..a.rows {
        for c in 0..b.cols {
            let product = (0..a.cols)
                .map(|k| {
                    a.data[r * a.row_stride + k * a.col_stride]
                        * b.data[k * b.row_stride + c * b.col_stride]
                })
                .sum::<T>();
            let old = match write {
                Write::Overwrite => T::ZERO,
                Write::Accumulate => out.data[r * out.row_stride + c],
            };
            out.data[r * out.row_stride + c] = old + product;
        }
    }
    Ok(())
}

/// Threaded f32 product on the CPU.
///
/// The work split depends on the shapes and the size of the thread pool alone, and no sum is
/// split across threads, so equal calls give equal bits.
///
/// # Errors
/// [`KernelError::Matrix`] when the shapes do not form a product.
#[allow(unsafe_code, reason = "gemm takes pointers and strides")]
pub fn cpu(
    out: &mut MatMut<'_, f32>,
    write: Write,
    a: Mat<'_, f32>,
    b: Mat<'_, f32>,
) -> Result<(), KernelError> {
    check(out, &a, &b)?;
    if out.rows == 0 || out.cols == 0 {
        return Ok(());
    }
    // In this crate `alpha` scales the old destination and `beta` the product.
    // SAFETY: every view was checked against its slice when it was made (`Mat`, `MatMut`), the
    // shapes agree (`check`), and `out` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            out.rows,
            out.cols,
            a.cols,
            out.data.as_mut_ptr(),
            1,
            out.row_stride as isize,
            write == Write::Accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
    Ok(())
}
