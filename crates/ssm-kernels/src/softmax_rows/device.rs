//! The form for devices.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::check;
use crate::device::bindings::{DIS_SOFTMAX_ROWS_SHARED, DIS_SOFTMAX_ROWS_THREADS, DisSoftmaxRows};
use crate::device::{Activation, Device, Driver, Launch, OnDevice, entry, int};
use crate::{KernelError, MatMut};

const OP: &str = "softmax_rows";
const WARP: usize = 32;

/// In place; see [`reference::forward`](super::reference::forward).
///
/// # Errors
/// When there are no columns, or the device fails.
pub fn forward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    rows: MatMut<'_, A, OnDevice<D>>,
    factor: f64,
) -> Result<(), KernelError> {
    check(rows.cols)?;
    if rows.rows == 0 {
        return Ok(());
    }
    int(OP, "rows", rows.rows)?;
    let params = DisSoftmaxRows {
        x: rows.data.address() as _,
        stride: rows.row_stride as i64,
        len: int(OP, "columns", rows.cols)?,
        factor: factor as f32,
    };
    // Short rows have fewer threads, so that few are left without work.
    let vectors = (rows.cols * size_of::<A>()).div_ceil(16);
    let threads = vectors.next_multiple_of(WARP).min(DIS_SOFTMAX_ROWS_THREADS as usize);
    let launch = Launch {
        kernel: entry!(A, "softmax_rows"),
        grid: [rows.rows, 1, 1],
        threads: [threads as u32, 1, 1],
        shared: DIS_SOFTMAX_ROWS_SHARED,
    };
    // SAFETY: the view was checked against its buffer when it was made, and its rows do not overlap.
    unsafe { device.launch(launch, &params) }
}
