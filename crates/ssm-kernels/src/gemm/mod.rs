//! The one door to matrix products.
//!
//! Transposed operands, halves of wider matrices and accumulation are strides and a flag, so no
//! copy stands around a product.
//!
//! Operands have the format `T` of activations. So has the result, or, where it is the gradient of a
//! weight, the wide `W`. On a host:
//!
//! | where | f32 | bf16 operands, f32 sums |
//! |---|---|---|
//! | AMX | own tiles: three bf16 parts of each operand, six products of parts | own tiles |
//! | AVX-512 BF16 of AMD | the `gemm` crate | own dot products |
//! | elsewhere | the `gemm` crate | as f32 |
//!
//! With AVX-512, f32 products of at most 64 rows or columns have a kernel of their own everywhere.
//!
//! An f32 has 24 significant bits, a bf16 has 8: an f32 is exactly the sum of three bf16. The
//! products left out weigh at most 2^-24 of the whole, so the result is that of f32 arithmetic,
//! from units with sixteen times its rate. An infinite operand gives NaN there, and parts below
//! the normal range count as 0.

#[cfg(target_arch = "x86_64")]
pub(crate) mod packed;
mod skinny;

use crate::InstructionSet;
use crate::error::KernelError;
use crate::matrix::{Mat, MatMut, check_mat};
use crate::real::Real;
use crate::space::{Element, Memory};

/// What happens to the old content of a product's destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is not read.
    Overwrite,
    /// The product is added to it.
    Accumulate,
}

/// Number format of a product's operands. Sums are f32 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// All 24 bits.
    F32,
    /// Rounded to the nearest bf16: a relative error of 2^-9 in each operand.
    Bf16,
}

impl Precision {
    /// Least rows and columns of a destination that is computed from bf16 parts. With fewer, packing
    /// takes longer than the product itself, and it is computed in f32.
    pub fn least_size(self) -> usize {
        match self {
            Self::F32 => 65,
            Self::Bf16 => 16,
        }
    }
}

/// Checks `out [m, n] = a [m, k] * b [k, n]`.
pub(crate) fn check<T: Element, O: Element, M: Memory>(
    out: &MatMut<'_, O, M>,
    a: &Mat<'_, T, M>,
    b: &Mat<'_, T, M>,
) -> Result<(), KernelError> {
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

/// Threaded f32 product with the instruction set in use.
///
/// # Errors
/// As [`cpu_on`].
pub fn cpu(
    out: &mut MatMut<'_, f32>,
    write: Write,
    a: Mat<'_, f32>,
    b: Mat<'_, f32>,
) -> Result<(), KernelError> {
    cpu_on(InstructionSet::current(), Precision::F32, out, write, a, b)
}

/// Threaded product with one instruction set of [`InstructionSet::available`].
///
/// The order of every sum depends on the shapes alone, and none is split across threads, so equal
/// calls give equal bits.
///
/// # Errors
/// [`KernelError::Matrix`] when the shapes do not form a product.
///
/// # Panics
/// When the CPU lacks `set`.
pub fn cpu_on(
    set: InstructionSet,
    precision: Precision,
    out: &mut MatMut<'_, f32>,
    write: Write,
    a: Mat<'_, f32>,
    b: Mat<'_, f32>,
) -> Result<(), KernelError> {
    check(out, &a, &b)?;
    if out.rows == 0 || out.cols == 0 {
        return Ok(());
    }
    #[cfg(target_arch = "x86_64")]
    if packed::run(set, precision, out, write, a, b) {
        return Ok(());
    }
    if !skinny::run(set, out, write, a, b) {
        library(out, write, a, b);
    }
    Ok(())
}

/// Whether products with operands of `precision` have units of their own in `set` on this CPU;
/// otherwise [`cpu_on`] computes them in f32.
pub fn has_units(set: InstructionSet, precision: Precision) -> bool {
    match precision {
        Precision::F32 => true,
        #[cfg(target_arch = "x86_64")]
        Precision::Bf16 => packed::Engine::of(set, precision).is_some(),
        #[cfg(not(target_arch = "x86_64"))]
        Precision::Bf16 => false,
    }
}

/// The `gemm` crate, whose AVX-512 path is on in this workspace.
#[allow(unsafe_code, reason = "gemm takes pointers and strides")]
fn library(out: &mut MatMut<'_, f32>, write: Write, a: Mat<'_, f32>, b: Mat<'_, f32>) {
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
}
