//! The form for devices.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{Kept, SEGMENTS, Shape, check_backward, check_forward};
use crate::KernelError;
use crate::device::bindings::{
    DIS_SEGMENT_RMS_NORM_LANES, DIS_SEGMENT_RMS_NORM_THREADS, DisSegmentRmsNormBackward,
    DisSegmentRmsNormForward,
};
use crate::device::{Activation, Device, Driver, Launch, OnDevice, SliceMut, entry, int};
use crate::space::ViewMut;

const OP: &str = "segment_rms_norm";

/// Value pass; see [`reference::forward`](super::reference::forward).
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn forward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    shape: &Shape,
    eps: f64,
    x: SliceMut<'_, A, D>,
    rstd: SliceMut<'_, f32, D>,
) -> Result<(), KernelError> {
    check_forward(shape, x.len(), rstd.len())?;
    if shape.rows == 0 {
        return Ok(());
    }
    let params = DisSegmentRmsNormForward {
        x: x.address() as _,
        rstd: rstd.address() as _,
        rows: int(OP, "rows", shape.rows)?,
        widths: widths(shape)?,
        eps: eps as f32,
        unused: 0,
    };
    // SAFETY: `check_forward` compared both operands with the shape.
    unsafe { device.launch(launch(entry!(A, "segment_rms_norm_fwd"), shape), &params) }
}

/// Gradient pass; see [`reference::backward`](super::reference::backward).
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn backward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    shape: &Shape,
    kept: &Kept<'_, A, f32, OnDevice<D>>,
    grad: SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    check_backward(shape, kept, grad.len())?;
    if shape.rows == 0 {
        return Ok(());
    }
    let params = DisSegmentRmsNormBackward {
        normed: kept.normed.address() as _,
        rstd: kept.rstd.address() as _,
        grad: grad.address() as _,
        rows: int(OP, "rows", shape.rows)?,
        widths: widths(shape)?,
    };
    // SAFETY: `check_backward` compared all operands with the shape.
    unsafe { device.launch(launch(entry!(A, "segment_rms_norm_bwd"), shape), &params) }
}

/// The widths, whose sum the kernels count in 32 bits too.
fn widths(shape: &Shape) -> Result<[i32; SEGMENTS], KernelError> {
    int(OP, "elements of a row", shape.row_len())?;
    Ok(shape.widths.map(|width| width as i32))
}

/// A few lanes a segment.
fn launch(kernel: &'static str, shape: &Shape) -> Launch {
    let block = (DIS_SEGMENT_RMS_NORM_THREADS / DIS_SEGMENT_RMS_NORM_LANES) as usize;
    Launch {
        kernel,
        grid: [(shape.rows * SEGMENTS).div_ceil(block), 1, 1],
        threads: [DIS_SEGMENT_RMS_NORM_THREADS, 1, 1],
        shared: 0,
    }
}
