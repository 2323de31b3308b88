//! The form for devices, which leaves the sum there.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use crate::KernelError;
use crate::device::bindings::{
    DIS_SUM_SQUARES_BLOCKS, DIS_SUM_SQUARES_SHARED, DIS_SUM_SQUARES_THREADS, DisSumSquares,
    DisSumSquaresTotal,
};
use crate::device::{Device, Driver, Launch, Slice, SliceMut};
use crate::error::check_len;
use crate::space::{View, ViewMut};

const BLOCKS: usize = DIS_SUM_SQUARES_BLOCKS as usize;

/// `out = sum x^2`: `x` of any length, `out` `[1]`. The order of the sum depends on the length alone.
///
/// # Errors
/// When `out` is not one element, or the device fails.
pub fn sum_squares<A, D: Driver>(
    device: &Device<A, D>,
    x: Slice<'_, f32, D>,
    out: SliceMut<'_, f64, D>,
) -> Result<(), KernelError> {
    check_len("sum_squares", "out", out.len(), &[1])?;
    let [partials] = device.workspace([BLOCKS * size_of::<f64>()])?;
    let launch = |kernel, blocks| Launch {
        kernel,
        grid: [blocks, 1, 1],
        threads: [DIS_SUM_SQUARES_THREADS, 1, 1],
        shared: DIS_SUM_SQUARES_SHARED,
    };
    let params =
        DisSumSquares { x: x.address() as _, partials: partials as _, len: x.len() as i64 };
    // SAFETY: `x` has `len` elements, and there is a partial sum for every block.
    unsafe { device.launch(launch("sum_squares", BLOCKS), &params) }?;
    let params = DisSumSquaresTotal { partials: partials as _, sum: out.address() as _ };
    // SAFETY: the launch above wrote every partial sum, and `out` was checked to be one element.
    unsafe { device.launch(launch("sum_squares_total", 1), &params) }
}
