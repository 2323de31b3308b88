//! The form for devices.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{Args, Kind, check};
use crate::device::bindings::{DIS_POOL2D_THREADS, DisPool2d};
use crate::device::{Activation, Device, Driver, Launch, OnDevice, entry, image_walkers, int};
use crate::{KernelError, MatMut};

const OP: &str = "pool2d";
/// Rows of outputs of a thread, where there are [`MANY_ROWS`]: fewer have a thread each, or too few
/// threads would pool whole images.
const ROWS: usize = 4;
const MANY_ROWS: usize = 1024;

/// Value pass; see [`reference::forward`](super::reference::forward). Sums are made in f32 and rounded
/// once. The largest of values that are not all numbers is not a number.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn forward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, A, OnDevice<D>>,
    out: MatMut<'_, A, OnDevice<D>>,
) -> Result<(), KernelError> {
    let (out_height, out_width) = check(args, &out)?;
    if out.rows == 0 {
        return Ok(());
    }
    let (shape, window) = (&args.shape, &args.window);
    // The largest coordinates.
    int(OP, "rows of the padded image", shape.height + 2 * window.padding)?;
    int(OP, "columns of the padded image", shape.width + 2 * window.padding)?;
    let row_elements = out_width * args.channels;
    if row_elements >= 1 << 30 {
        let (what, supported) = ("elements of a row of the output", "fewer than 2^30 on a device");
        return Err(KernelError::Unsupported { op: OP, what, got: row_elements, supported });
    }
    let rows = shape.batch * out_height;
    let params = DisPool2d {
        x: args.x.data.address() as _,
        out: out.data.address() as _,
        height: shape.height as i32,
        width: shape.width as i32,
        channels: args.channels as i32,
        x_stride: int(OP, "elements from a pixel of x to the next", args.x.row_stride)?,
        out_stride: int(OP, "elements from a pixel of the output to the next", out.row_stride)?,
        side: window.side as i32,
        stride: int(OP, "stride", window.stride)?,
        pad: window.padding as i32,
        average: i32::from(window.kind == Kind::Average),
        out_height: out_height as i32,
        out_width: out_width as i32,
        rows: int(OP, "rows of all outputs", rows)?,
    };
    let vectors = (row_elements * size_of::<A>()).div_ceil(16);
    let thread_rows = if rows < MANY_ROWS { 1 } else { ROWS };
    let launch = Launch {
        kernel: entry!(A, "pool2d"),
        grid: [
            vectors.div_ceil(DIS_POOL2D_THREADS as usize),
            image_walkers(rows.div_ceil(thread_rows)),
            1,
        ],
        threads: [DIS_POOL2D_THREADS, 1, 1],
        shared: 0,
    };
    // SAFETY: `check` compared `x` and the output with the shape, and every window with the image.
    unsafe { device.launch(launch, &params) }
}
