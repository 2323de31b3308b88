//! The form for devices.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{
    Args, Direction, DirectionGrads, Grads, Kept, Output, Shape, check_backward, check_forward,
};
use crate::device::bindings::{
    DIS_SCAN_BACKWARD_CHANNELS, DIS_SCAN_BACKWARD_SHARED, DIS_SCAN_FORWARD_CHANNELS,
    DIS_SCAN_SPLIT_CHANNELS, DIS_SCAN_SPLIT_SHARED, DIS_SCAN_STATES, DIS_SCAN_TILE,
    DisScanBackward, DisScanBackwardBc, DisScanForward, DisScanSplit,
};
use crate::device::{Activation, Device, Driver, Launch, OnDevice, Slice, blocks, entry};
use crate::device::{f32_bytes, int, partials};
use crate::space::ViewMut;
use crate::{KernelError, ScanOrder};
use std::ffi::c_void;

const OP: &str = "selective_scan";
const STATES: usize = DIS_SCAN_STATES as usize;
const TILE: usize = DIS_SCAN_TILE as usize;
/// Most parts of a split sequence: each finds its first state from all before it.
const MOST_PARTS: usize = 16;
/// Columns of `[B | C]`.
const COLUMNS: usize = 2 * STATES;

/// How the value pass is divided among the processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// A thread a channel, both orders one after the other: for many images.
    Whole,
    /// Four threads a channel, the sequence in that many parts, all side by side: for few.
    Split {
        /// Parts of the sequence, 1 to 16.
        parts: usize,
    },
}

impl Plan {
    /// The faster one for a device with so many processors.
    pub fn for_shape(shape: Shape, processors: usize) -> Self {
        let channel_blocks = shape.channels.div_ceil(DIS_SCAN_FORWARD_CHANNELS as usize);
        // Below two blocks a processor most of its units wait.
        if shape.batch * channel_blocks >= 2 * processors {
            return Self::Whole;
        }
        let blocks = shape.channels.div_ceil(DIS_SCAN_SPLIT_CHANNELS as usize) * shape.batch * 2;
        let most = shape.seq_len.div_ceil(TILE).clamp(1, MOST_PARTS);
        Self::Split { parts: (4 * processors).div_ceil(blocks.max(1)).clamp(1, most) }
    }
}

/// Elements of [`Kept::states`].
pub fn states_len(shape: Shape, directions: usize) -> usize {
    directions * shape.batch * tiles(shape).saturating_sub(1) * STATES * shape.channels
}

fn tiles(shape: Shape) -> usize {
    shape.seq_len.div_ceil(TILE)
}

/// Value pass.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn forward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    plan: Plan,
    args: &Args<'_, A, f32, OnDevice<D>>,
    out: Output<'_, A, f32, OnDevice<D>>,
) -> Result<(), KernelError> {
    check_forward(args, &out, states_len(args.shape, args.directions.len()))?;
    check_states(args.shape)?;
    let Shape { batch, seq_len, channels, .. } = args.shape;
    if batch * seq_len * channels == 0 {
        return Ok(());
    }
    match plan {
        Plan::Whole => forward_whole(device, args, out),
        Plan::Split { parts } => forward_split(device, args, out, parts),
    }
}

fn check_states(shape: Shape) -> Result<(), KernelError> {
    if shape.states == STATES {
        return Ok(());
    }
    let supported = "16 on a device; others on the CPU";
    Err(KernelError::Unsupported { op: OP, what: "states", got: shape.states, supported })
}

/// A number of each order; 0 for the second of one.
fn pair<X>(orders: &[X], number: impl Fn(&X) -> u64) -> [u64; 2] {
    [0, 1].map(|i| orders.get(i).map_or(0, &number))
}

/// The operands of both orders as kernels take them; the second pointers of one order are null.
struct Pointers {
    u: [*const c_void; 2],
    delta_raw: [*const c_void; 2],
    bc: [*const c_void; 2],
    a_log: [*const f32; 2],
    d_skip: [*const f32; 2],
    delta_bias: [*const f32; 2],
    bc_stride: i64,
    right_to_left: [i32; 2],
}

impl Pointers {
    fn new<A: Activation, D: Driver>(
        directions: &[Direction<'_, A, f32, OnDevice<D>>],
    ) -> Result<Self, KernelError> {
        let bc_stride = directions[0].bc.row_stride;
        if let Some(other) = directions.iter().find(|d| d.bc.row_stride != bc_stride) {
            let (what, supported) = ("row stride of bc", "the same for both orders");
            let got = other.bc.row_stride;
            return Err(KernelError::Unsupported { op: OP, what, got, supported });
        }
        Ok(Self {
            u: pair(directions, |d| d.u.address()).map(|a| a as _),
            delta_raw: pair(directions, |d| d.delta_raw.address()).map(|a| a as _),
            bc: pair(directions, |d| d.bc.data.address()).map(|a| a as _),
            a_log: pair(directions, |d| d.a_log.address()).map(|a| a as _),
            d_skip: pair(directions, |d| d.d_skip.address()).map(|a| a as _),
            delta_bias: pair(directions, |d| d.delta_bias.address()).map(|a| a as _),
            bc_stride: bc_stride as i64,
            right_to_left: pair(directions, |d| (d.order == ScanOrder::RightToLeft).into())
                .map(|right_to_left| right_to_left as i32),
        })
    }
}

fn forward_whole<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, A, f32, OnDevice<D>>,
    out: Output<'_, A, f32, OnDevice<D>>,
) -> Result<(), KernelError> {
    let Shape { batch, seq_len, channels, .. } = args.shape;
    let operands = Pointers::new(args.directions)?;
    let parked = match args.directions.len() {
        1 => 0,
        _ => device.workspace([f32_bytes(batch * seq_len * channels)])?[0],
    };
    let kept = out.kept.as_ref();
    let params = DisScanForward {
        u: operands.u,
        delta_raw: operands.delta_raw,
        bc: operands.bc,
        a_log: operands.a_log,
        d_skip: operands.d_skip,
        delta_bias: operands.delta_bias,
        z: args.z.data.address() as _,
        parked: parked as _,
        pre_gate: kept.map_or(0, |kept| kept.pre_gate.address()) as _,
        gated: out.gated.address() as _,
        states: kept.map_or(0, |kept| kept.states.address()) as _,
        bc_stride: operands.bc_stride,
        z_stride: args.z.row_stride as i64,
        seq_len: int(OP, "seq_len", seq_len)?,
        channels: int(OP, "channels", channels)?,
        orders: args.directions.len() as i32,
        right_to_left: operands.right_to_left,
        direction_sum: args.direction_sum,
    };
    let launch = Launch {
        kernel: entry!(A, "selective_scan_fwd"),
        grid: [
            channels.div_ceil(DIS_SCAN_FORWARD_CHANNELS as usize),
            blocks(OP, "batch", batch)?,
            1,
        ],
        threads: [DIS_SCAN_FORWARD_CHANNELS, 1, 1],
        shared: f32_bytes(TILE * COLUMNS) as u32,
    };
    // SAFETY: `check_forward` compared every operand with the shape; `parked` has an element for each
    // of `gated`, and the optional pointers are null together or as long as `check_forward` asks.
    unsafe { device.launch(launch, &params) }
}

fn forward_split<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, A, f32, OnDevice<D>>,
    out: Output<'_, A, f32, OnDevice<D>>,
    parts: usize,
) -> Result<(), KernelError> {
    let Shape { batch, seq_len, channels, .. } = args.shape;
    let (orders, rows) = (args.directions.len(), batch * seq_len);
    // Parts are whole tiles, so that states are kept where the gradient pass wants them.
    let part_len = tiles(args.shape).div_ceil(parts.max(1)) * TILE;
    let parts = seq_len.div_ceil(part_len);
    let operands = Pointers::new(args.directions)?;
    let sets = orders * batch * (parts - 1) * channels;
    let [ends, delta_sums, y] = device.workspace([
        f32_bytes(sets * STATES),
        f32_bytes(sets),
        f32_bytes(orders * rows * channels),
    ])?;
    let kept = out.kept.as_ref();
    let params = DisScanSplit {
        u: operands.u,
        delta_raw: operands.delta_raw,
        bc: operands.bc,
        a_log: operands.a_log,
        d_skip: operands.d_skip,
        delta_bias: operands.delta_bias,
        z: args.z.data.address() as _,
        ends: ends as _,
        delta_sums: delta_sums as _,
        y: y as _,
        pre_gate: kept.map_or(0, |kept| kept.pre_gate.address()) as _,
        gated: out.gated.address() as _,
        states: kept.map_or(0, |kept| kept.states.address()) as _,
        bc_stride: operands.bc_stride,
        z_stride: args.z.row_stride as i64,
        seq_len: int(OP, "seq_len", seq_len)?,
        channels: int(OP, "channels", channels)?,
        orders: orders as i32,
        batch: int(OP, "batch", batch)?,
        parts: parts as i32,
        part_len: part_len as i32,
        right_to_left: operands.right_to_left,
        direction_sum: args.direction_sum,
        unused: 0,
    };
    let walk = |kernel, parts| Launch {
        kernel,
        grid: [channels.div_ceil(DIS_SCAN_SPLIT_CHANNELS as usize), batch, orders * parts],
        threads: [4 * DIS_SCAN_SPLIT_CHANNELS, 1, 1],
        shared: DIS_SCAN_SPLIT_SHARED,
    };
    blocks(OP, "batch", batch)?;
    if parts > 1 {
        let launch = walk(entry!(A, "selective_scan_split_ends"), parts - 1);
        // SAFETY: `check_forward` compared every operand with the shape, and the working memory has
        // the sizes that the parameter struct's description asks for.
        unsafe { device.launch(launch, &params) }?;
    }
    // SAFETY: as above.
    unsafe { device.launch(walk(entry!(A, "selective_scan_split"), parts), &params) }?;
    let gate = Launch {
        kernel: entry!(A, "selective_scan_gate"),
        grid: [channels.div_ceil(256), rows.min(65_535), 1],
        threads: [256, 1, 1],
        shared: 0,
    };
    // SAFETY: as above.
    unsafe { device.launch(gate, &params) }
}

/// Gradient pass.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn backward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, A, f32, OnDevice<D>>,
    kept: Kept<'_, A, f32, OnDevice<D>>,
    grad_gated: Slice<'_, A, D>,
    grads: Grads<'_, A, f32, OnDevice<D>>,
) -> Result<(), KernelError> {
    let orders = args.directions.len();
    check_backward(args, kept, grad_gated, &grads, states_len(args.shape, orders))?;
    check_states(args.shape)?;
    let Shape { batch, seq_len, channels, .. } = args.shape;
    let rows = batch * seq_len;
    if rows * channels == 0 {
        return Ok(());
    }
    let channel_blocks = channels.div_ceil(DIS_SCAN_BACKWARD_CHANNELS as usize);
    let parameters = channels * (STATES + 2);
    let [bc_parts, parameter_parts] = device.workspace([
        f32_bytes(orders * rows * channel_blocks * COLUMNS),
        f32_bytes(orders * batch * parameters),
    ])?;
    let parts_of = |i: usize| parameter_parts + f32_bytes(i * batch * parameters) as u64;

    let params = backward_params(args, kept, grad_gated, &grads, bc_parts, [0, 1].map(parts_of))?;
    let launch = Launch {
        kernel: entry!(A, "selective_scan_bwd"),
        grid: [channel_blocks, blocks(OP, "batch", batch)?, orders],
        threads: [4 * DIS_SCAN_BACKWARD_CHANNELS, 1, 1],
        shared: DIS_SCAN_BACKWARD_SHARED,
    };
    // SAFETY: `check_backward` compared every operand with the shape, and the working memory has the
    // sizes that the parameter struct's description asks for.
    unsafe { device.launch(launch, &params) }?;

    add_bc(device, &grads.directions[..orders], bc_parts, rows, channel_blocks)?;
    let jobs = grads.directions.iter().enumerate().flat_map(|(i, grads)| {
        let DirectionGrads { a_log, d_skip, delta_bias, .. } = grads;
        let first = channels * STATES;
        [(0, a_log), (first, d_skip), (first + channels, delta_bias)].map(|(from, sums)| {
            partials::Job {
                parts: parts_of(i) + f32_bytes(from) as u64,
                stride: parameters,
                sums: sums.address(),
                len: sums.len(),
            }
        })
    });
    // SAFETY: the gradient pass wrote `batch` rows of `parameters` elements for each order, and the
    // lengths of the sums were checked.
    unsafe { partials::add(device, batch, &jobs.collect::<Vec<_>>()) }
}

fn backward_params<A: Activation, D: Driver>(
    args: &Args<'_, A, f32, OnDevice<D>>,
    kept: Kept<'_, A, f32, OnDevice<D>>,
    grad_gated: Slice<'_, A, D>,
    grads: &Grads<'_, A, f32, OnDevice<D>>,
    bc_parts: u64,
    parameter_parts: [u64; 2],
) -> Result<DisScanBackward, KernelError> {
    let Shape { batch, seq_len, channels, .. } = args.shape;
    let operands = Pointers::new(args.directions)?;
    let directions = &*grads.directions;
    Ok(DisScanBackward {
        u: operands.u,
        delta_raw: operands.delta_raw,
        bc: operands.bc,
        a_log: operands.a_log,
        d_skip: operands.d_skip,
        delta_bias: operands.delta_bias,
        z: args.z.data.address() as _,
        pre_gate: kept.pre_gate.address() as _,
        states: kept.states.address() as _,
        grad_gated: grad_gated.address() as _,
        grad_u: pair(directions, |g| g.u.address()).map(|a| a as _),
        grad_delta_raw: pair(directions, |g| g.delta_raw.address()).map(|a| a as _),
        grad_z: grads.z.data.address() as _,
        gated: grads.gated.address() as _,
        bc_parts: bc_parts as _,
        parameter_parts: parameter_parts.map(|a| a as _),
        bc_stride: operands.bc_stride,
        z_stride: args.z.row_stride as i64,
        grad_z_stride: grads.z.row_stride as i64,
        seq_len: int(OP, "seq_len", seq_len)?,
        channels: int(OP, "channels", channels)?,
        batch: int(OP, "batch", batch)?,
        right_to_left: operands.right_to_left,
        direction_sum: args.direction_sum,
    })
}

/// Adds the parts of the gradients of `[B | C]`.
fn add_bc<A: Activation, D: Driver>(
    device: &Device<A, D>,
    grads: &[DirectionGrads<'_, A, f32, OnDevice<D>>],
    bc_parts: u64,
    rows: usize,
    parts: usize,
) -> Result<(), KernelError> {
    let stride = grads[0].bc.row_stride;
    if let Some(other) = grads.iter().find(|g| g.bc.row_stride != stride) {
        let (what, supported) = ("row stride of grads.bc", "the same for both orders");
        let got = other.bc.row_stride;
        return Err(KernelError::Unsupported { op: OP, what, got, supported });
    }
    let params = DisScanBackwardBc {
        bc_parts: bc_parts as _,
        grad_bc: pair(grads, |g| g.bc.data.address()).map(|a| a as _),
        grad_bc_stride: stride as i64,
        rows: rows as i64,
        parts: parts as i32,
        unused: 0,
    };
    let launch = Launch {
        kernel: entry!(A, "selective_scan_bwd_bc"),
        grid: [rows.div_ceil(8), grads.len(), 1],
        threads: [256, 1, 1],
        shared: 0,
    };
    // SAFETY: the gradient pass wrote every part, and `grads.bc` has `rows` rows of all columns.
    unsafe { device.launch(launch, &params) }
}
