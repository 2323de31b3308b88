//! The form for devices.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{Inner, Shape, check};
use crate::KernelError;
use crate::device::bindings::{
    DIS_PATCHIFY_THREADS, DIS_PATCHIFY_VECTOR, DisPatchGather, DisPatchScatter,
};
use crate::device::{Activation, Device, Driver, Launch, Slice, SliceMut};
use crate::device::{entry, image_walkers, int, walkers};
use crate::space::{View, ViewMut};

const OP: &str = "patchify";
/// Elements of one image that a block moves.
const BLOCK: usize = (DIS_PATCHIFY_THREADS * DIS_PATCHIFY_VECTOR) as usize;
/// Kernels count the elements of one image in 32 bits, with room for a block beyond the end.
const MOST: usize = 1 << 30;

/// Image to tokens; see [`reference::gather`](super::reference::gather).
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn gather<A: Activation, D: Driver>(
    device: &Device<A, D>,
    shape: &Shape,
    image: Slice<'_, f32, D>,
    tokens: SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    check(shape, image.len(), tokens.len())?;
    check_size(shape)?;
    if tokens.len() == 0 {
        return Ok(());
    }
    let params = DisPatchGather {
        image: image.address() as _,
        tokens: tokens.address() as _,
        batch: int(OP, "batch", shape.batch)?,
        channels: int(OP, "channels", shape.channels)?,
        height: int(OP, "height", shape.height)?,
        width: int(OP, "width", shape.width)?,
        patch: int(OP, "patch", shape.patch)?,
        extra: int(OP, "extra", shape.extra)?,
        channel_last: i32::from(shape.inner == Inner::ChannelLast),
        unused: 0,
    };
    let launch = launch(device, entry!(A, "patchify_gather"), shape.batch, tokens.len());
    // SAFETY: `check` compared both operands with the shape, whose images fit the kernel's counting.
    unsafe { device.launch(launch, &params) }
}

/// Tokens to image; see [`reference::scatter`](super::reference::scatter).
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn scatter<A: Activation, D: Driver>(
    device: &Device<A, D>,
    shape: &Shape,
    tokens: Slice<'_, A, D>,
    image: SliceMut<'_, f32, D>,
) -> Result<(), KernelError> {
    check(shape, image.len(), tokens.len())?;
    check_size(shape)?;
    if image.len() == 0 {
        return Ok(());
    }
    let params = DisPatchScatter {
        tokens: tokens.address() as _,
        image: image.address() as _,
        batch: int(OP, "batch", shape.batch)?,
        channels: int(OP, "channels", shape.channels)?,
        height: int(OP, "height", shape.height)?,
        width: int(OP, "width", shape.width)?,
        patch: int(OP, "patch", shape.patch)?,
        extra: int(OP, "extra", shape.extra)?,
        channel_last: i32::from(shape.inner == Inner::ChannelLast),
        unused: 0,
    };
    let launch = launch(device, entry!(A, "patchify_scatter"), shape.batch, image.len());
    // SAFETY: `check` compared both operands with the shape, whose images fit the kernel's counting.
    unsafe { device.launch(launch, &params) }
}

/// Tokens of one image hold its pixels and more.
fn check_size(shape: &Shape) -> Result<(), KernelError> {
    let got = shape.tokens_len() / shape.batch.max(1);
    if got < MOST {
        return Ok(());
    }
    let (what, supported) = ("elements of one image", "fewer than 2^30 on a device");
    Err(KernelError::Unsupported { op: OP, what, got, supported })
}

/// A thread keeps where its elements come from and walks the images: few rows of blocks do, but
/// enough to fill the device.
fn launch<A, D: Driver>(
    device: &Device<A, D>,
    kernel: &'static str,
    batch: usize,
    written: usize,
) -> Launch {
    let blocks = walkers(written / batch, BLOCK);
    let rows = (16 * device.driver().processors()).div_ceil(blocks);
    Launch {
        kernel,
        grid: [blocks, image_walkers(batch).min(rows), 1],
        threads: [DIS_PATCHIFY_THREADS, 1, 1],
        shared: 0,
    }
}
