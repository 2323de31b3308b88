//! The form for devices.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{Args, Shape, check};
use crate::KernelError;
use crate::device::bindings::{
    DIS_GROUP_NORM_COLUMNS, DIS_GROUP_NORM_PARTS_SHARED, DIS_GROUP_NORM_STATISTICS_SHARED,
    DIS_GROUP_NORM_THREADS, DisGroupNormApply, DisGroupNormParts, DisGroupNormStatistics,
};
use crate::device::{Activation, Device, Driver, Launch, OnDevice, SliceMut};
use crate::device::{blocks, entry, f32_bytes, int};
use crate::space::ViewMut;

const OP: &str = "group_norm";
const THREADS: [u32; 3] = [DIS_GROUP_NORM_THREADS, 1, 1];
/// Fewest pixels of a part of an image, and most parts. The order of a sum depends on nothing else, so
/// an image has the same bits in every batch.
const PART_PIXELS: usize = 256;
const PARTS: usize = 1024;

/// Value pass; see [`reference::forward`](super::reference::forward).
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn forward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, A, f32, OnDevice<D>>,
    out: SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    check(args, out.len())?;
    let Shape { batch, pixels, channels, groups } = args.shape;
    if batch == 0 {
        return Ok(());
    }
    let pixels_per_part = pixels.div_ceil(PARTS).max(PART_PIXELS);
    let part_count = pixels.div_ceil(pixels_per_part);
    // Kernels count these in 32 bits.
    int(OP, "channels of all parts of an image", channels * part_count)?;
    let pixels_of_part = int(OP, "pixels of a part", pixels_per_part)?;
    let images = blocks(OP, "batch", batch)?;
    let statistics = f32_bytes(2 * batch * groups);
    let [parts, statistics] =
        device.workspace([f32_bytes(2 * batch * part_count * channels), statistics])?;

    let tiles = [channels.div_ceil(DIS_GROUP_NORM_COLUMNS as usize), part_count, images];
    let sum = DisGroupNormParts {
        x: args.x.address() as _,
        parts: parts as _,
        pixels: pixels as i64,
        pixels_per_part: pixels_of_part,
        channels: channels as i32,
    };
    let launch = |kernel, grid, shared| Launch { kernel, grid, threads: THREADS, shared };
    let of_parts = launch(entry!(A, "group_norm_parts"), tiles, DIS_GROUP_NORM_PARTS_SHARED);
    // SAFETY: `check` compared `x` with the shape, and there are two rows for every part.
    unsafe { device.launch(of_parts, &sum) }?;

    let join = DisGroupNormStatistics {
        parts: parts as _,
        statistics: statistics as _,
        pixels: pixels as i64,
        pixels_per_part: pixels_of_part,
        part_count: part_count as i32,
        channels: channels as i32,
        groups: groups as i32,
        eps: args.eps as f32,
        unused: 0,
    };
    let grid = [groups, images, 1];
    let of_groups = launch("group_norm_statistics", grid, DIS_GROUP_NORM_STATISTICS_SHARED);
    // SAFETY: the launch above wrote all parts, and there are two numbers for every group.
    unsafe { device.launch(of_groups, &join) }?;

    let apply = DisGroupNormApply {
        x: args.x.address() as _,
        statistics: statistics as _,
        weight: args.weight.address() as _,
        bias: args.bias.address() as _,
        out: out.address() as _,
        pixels: pixels as i64,
        pixels_per_part: pixels_of_part,
        channels: channels as i32,
        groups: groups as i32,
        silu: i32::from(args.silu),
    };
    // SAFETY: `check` compared all operands with the shape, and the launch above wrote the statistics.
    unsafe { device.launch(launch(entry!(A, "group_norm_apply"), tiles, 0), &apply) }
}
