//! The form for devices, where labels must be rows of the table: nobody sees those that are not.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{
    Classes, Condition, ConditionBackward, ConditionGrads, ConditionOutput, Shape, Tokens,
    TokensGrads, check_condition, check_condition_backward, check_phases, check_tokens,
    check_tokens_backward,
};
use crate::KernelError;
use crate::device::bindings::{
    DIS_EMBED_BIAS_COLUMNS, DIS_EMBED_BIAS_SHARED, DIS_EMBED_POSITION_ELEMENTS,
    DIS_EMBED_POSITION_THREADS, DIS_EMBED_THREADS, DisEmbedBiasBackward, DisEmbedCondition,
    DisEmbedPhases, DisEmbedPositionBackward, DisEmbedTableBackward, DisEmbedTimeBackward,
    DisEmbedTokens,
};
use crate::device::{Activation, Device, Driver, Launch, OnDevice, Slice, SliceMut};
use crate::device::{entry, f32_bytes, image_walkers, int, walkers};
use crate::space::{View, ViewMut};

const OP: &str = "embed";
const THREADS: usize = DIS_EMBED_THREADS as usize;
/// Timesteps whose phases are reduced exactly.
const FARTHEST: f64 = (1u64 << 30) as f64;

/// Elements of a block that moves 16 bytes a thread.
const fn block_of<A>() -> usize {
    THREADS * (16 / size_of::<A>())
}

/// A launch without shared memory.
fn launch(kernel: &'static str, grid: [usize; 2], threads: u32) -> Launch {
    Launch { kernel, grid: [grid[0], grid[1], 1], threads: [threads, 1, 1], shared: 0 }
}

/// Addresses of the table and the labels, null without classes.
fn pointers<D: Driver>(classes: Option<&Classes<'_, f32, OnDevice<D>>>) -> (u64, u64) {
    classes.map_or((0, 0), |classes| (classes.table.address(), classes.labels.address()))
}

/// See [`reference::timestep_phases`](super::reference::timestep_phases).
///
/// # Errors
/// When the timesteps do not divide `phases` or are beyond 2^30, or the device fails.
pub fn timestep_phases<A: Activation, D: Driver>(
    device: &Device<A, D>,
    timesteps: &[f64],
    phases: SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    check_phases(timesteps.len(), phases.len())?;
    if let Some(beyond) = timesteps.iter().find(|t| t.is_nan() || t.abs() > FARTHEST) {
        let (what, supported) = ("size of a timestep", "up to 2^30 on a device");
        let got = beyond.abs() as usize;
        return Err(KernelError::Unsupported { op: OP, what, got, supported });
    }
    if phases.len() == 0 {
        return Ok(());
    }
    let (batch, width) = (timesteps.len(), phases.len() / timesteps.len());
    let [on_device] = device.workspace([size_of_val(timesteps)])?;
    // SAFETY: working memory of just this size.
    unsafe { device.put(timesteps, on_device) }?;
    let params = DisEmbedPhases {
        timesteps: on_device as _,
        phases: phases.address() as _,
        batch: int(OP, "batch", batch)?,
        width: int(OP, "width", width)?,
    };
    let blocks = (batch * width.div_ceil(2)).div_ceil(THREADS);
    let launch = launch(entry!(A, "embed_phases"), [blocks, 1], DIS_EMBED_THREADS);
    // SAFETY: `phases` has `batch` rows of `width` elements, and there are `batch` timesteps.
    unsafe { device.launch(launch, &params) }
}

/// See [`reference::condition`](super::reference::condition).
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn condition<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Condition<'_, A, f32, OnDevice<D>>,
    out: ConditionOutput<'_, A, OnDevice<D>>,
) -> Result<(), KernelError> {
    check_condition(args, &out)?;
    let len = out.sum.len();
    if len == 0 {
        return Ok(());
    }
    let (table, labels) = pointers(args.classes.as_ref());
    let params = DisEmbedCondition {
        time: args.time.address() as _,
        table: table as _,
        labels: labels as _,
        sum: out.sum.address() as _,
        condition: out.condition.address() as _,
        batch: int(OP, "batch", args.shape.batch)?,
        width: int(OP, "width", args.shape.width)?,
    };
    let grid = [walkers(len, block_of::<A>()), 1];
    let launch = launch(entry!(A, "embed_condition"), grid, DIS_EMBED_THREADS);
    // SAFETY: `check_condition` compared every operand with the shape, table and labels are null
    // together, and labels are rows of the table as `Classes` asks.
    unsafe { device.launch(launch, &params) }
}

/// See [`reference::tokens`](super::reference::tokens).
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn tokens<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Tokens<'_, A, f32, OnDevice<D>>,
    tokens: SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    check_tokens(args, tokens.len())?;
    let Shape { batch, seq_len, width, extra } = args.shape;
    if tokens.len() == 0 {
        return Ok(());
    }
    let (table, labels) = pointers(args.classes.as_ref());
    let params = DisEmbedTokens {
        tokens: tokens.address() as _,
        bias: args.bias.address() as _,
        position: args.position.address() as _,
        time: args.time.address() as _,
        table: table as _,
        labels: labels as _,
        batch: int(OP, "batch", batch)?,
        seq_len: int(OP, "seq_len", seq_len)?,
        width: int(OP, "width", width)?,
        extra: extra as i32,
    };
    let blocks = walkers(seq_len * width, block_of::<A>());
    // A thread keeps its position and walks the images: few rows of blocks, but enough to fill the
    // device.
    let rows = (16 * device.driver().processors()).div_ceil(blocks);
    let grid = [blocks, image_walkers(batch).min(rows)];
    let launch = launch(entry!(A, "embed_tokens"), grid, DIS_EMBED_THREADS);
    // SAFETY: `check_tokens` compared every operand with the shape, table and labels are null
    // together and given where a label is a token, and labels are rows of the table as `Classes`
    // asks.
    unsafe { device.launch(launch, &params) }
}

/// See [`reference::tokens_backward`](super::reference::tokens_backward). The gradient of the bias
/// adds up that of the positions.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn tokens_backward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    shape: &Shape,
    grad_tokens: Slice<'_, A, D>,
    grads: TokensGrads<'_, f32, OnDevice<D>>,
) -> Result<(), KernelError> {
    check_tokens_backward(shape, grad_tokens.len(), &grads)?;
    let &Shape { batch, seq_len, width, extra } = shape;
    let len = seq_len * width;
    if grad_tokens.len() == 0 {
        return Ok(());
    }
    let [token_sums] = device.workspace([f32_bytes(len)])?;
    let params = DisEmbedPositionBackward {
        grad_tokens: grad_tokens.address() as _,
        grad_position: grads.position.address() as _,
        token_sums: token_sums as _,
        batch: int(OP, "batch", batch)?,
        seq_len: int(OP, "seq_len", seq_len)?,
        width: int(OP, "width", width)?,
        unused: 0,
    };
    let grid = [len.div_ceil(DIS_EMBED_POSITION_ELEMENTS as usize), 1];
    let position = launch(entry!(A, "embed_position_bwd"), grid, DIS_EMBED_POSITION_THREADS);
    // SAFETY: `check_tokens_backward` compared every operand with the shape, and there is a sum for
    // every element of the position.
    unsafe { device.launch(position, &params) }?;
    let params = DisEmbedBiasBackward {
        token_sums: token_sums as _,
        grad_bias: grads.bias.address() as _,
        seq_len: params.seq_len,
        width: params.width,
        extra: extra as i32,
        unused: 0,
    };
    let bias = Launch {
        kernel: "embed_bias_bwd",
        grid: [width.div_ceil(DIS_EMBED_BIAS_COLUMNS as usize), 1, 1],
        threads: [DIS_EMBED_THREADS, 1, 1],
        shared: DIS_EMBED_BIAS_SHARED,
    };
    // SAFETY: the launch above wrote every sum, and `check_tokens_backward` compared the bias with
    // the shape.
    unsafe { device.launch(bias, &params) }
}

/// See [`reference::condition_backward`](super::reference::condition_backward). A row of the table
/// gets the sum of what its images would add.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn condition_backward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &ConditionBackward<'_, A, OnDevice<D>>,
    grads: ConditionGrads<'_, A, f32, OnDevice<D>>,
) -> Result<(), KernelError> {
    check_condition_backward(args, &grads)?;
    let Shape { batch, seq_len, width, extra } = args.shape;
    if batch == 0 {
        return Ok(());
    }
    let (batch_int, seq_len) = (int(OP, "batch", batch)?, int(OP, "seq_len", seq_len)?);
    let width_int = int(OP, "width", width)?;
    if let (Some(table), Some(labels)) = (&grads.table, &args.labels) {
        let params = DisEmbedTableBackward {
            grad_condition: grads.condition.address() as _,
            sum: args.sum.address() as _,
            grad_tokens: args.grad_tokens.address() as _,
            labels: labels.address() as _,
            grad_table: table.address() as _,
            batch: batch_int,
            seq_len,
            width: width_int,
            extra: extra as i32,
        };
        let grid = [width.div_ceil(THREADS), image_walkers(batch)];
        let launch = launch(entry!(A, "embed_table_bwd"), grid, DIS_EMBED_THREADS);
        // SAFETY: `check_condition_backward` compared every operand with the shape, and labels are
        // rows of the table as `Classes` asks.
        unsafe { device.launch(launch, &params) }?;
    }
    // Only now: this overwrites what the table's gradient reads.
    let params = DisEmbedTimeBackward {
        grad_condition: grads.condition.address() as _,
        sum: args.sum.address() as _,
        grad_tokens: args.grad_tokens.address() as _,
        batch: batch_int,
        seq_len,
        width: width_int,
        extra: extra as i32,
    };
    let grid = [walkers(batch * width, block_of::<A>()), 1];
    let launch = launch(entry!(A, "embed_time_bwd"), grid, DIS_EMBED_THREADS);
    // SAFETY: `check_condition_backward` compared every operand with the shape.
    unsafe { device.launch(launch, &params) }
}
