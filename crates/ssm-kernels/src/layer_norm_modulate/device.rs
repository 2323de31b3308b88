//! The form for devices.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{Args, Grads, Halves, Output, Shape, check_backward, check_forward};
use crate::device::bindings::{
    DIS_NORM_THREADS, DisLayerNormBackward, DisLayerNormBackwardModulation, DisLayerNormForward,
};
use crate::device::norm::{self, Rows};
use crate::device::{Activation, Device, Driver, Format, Launch, OnDevice, Slice, SliceMut};
use crate::device::{blocks, entry, f32_bytes, int};
use crate::{Backend, KernelError};

const OP: &str = "layer_norm_modulate";

/// Name of a kernel's entry for `x` in format `X` and all else in `A`.
fn entry_of<X: Activation, A: Activation>(
    [f32, bf16, x32_bf16]: [&'static str; 3],
) -> Result<&'static str, KernelError> {
    match (X::FORMAT, A::FORMAT) {
        (Format::F32, Format::F32) => Ok(f32),
        (Format::Bf16, Format::Bf16) => Ok(bf16),
        (Format::F32, Format::Bf16) => Ok(x32_bf16),
        (Format::Bf16, Format::F32) => {
            let (what, got) = ("bits of x", 8 * size_of::<X>());
            let supported = "32, or as many as the output has";
            Err(KernelError::Unsupported { op: OP, what, got, supported })
        }
    }
}

/// Value pass.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn forward<X: Activation, A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, X, A, OnDevice<D>>,
    out: Output<'_, A, f32, OnDevice<D>>,
) -> Result<(), KernelError> {
    check_forward(args, &out)?;
    let Shape { batch, seq_len, width } = args.shape;
    let (rows, of) = (batch * seq_len, Rows::new(OP, width)?);
    let kernel = entry_of::<X, A>([
        "layer_norm_modulate_fwd_f32",
        "layer_norm_modulate_fwd_bf16",
        "layer_norm_modulate_fwd_x32_bf16",
    ])?;
    if rows == 0 {
        return Ok(());
    }
    let modulation = args.modulation.as_ref().map_or(0, Slice::address);
    let (x, to) = (args.x.address(), out.out.address());
    let params = DisLayerNormForward {
        x: x as _,
        modulation: modulation as _,
        out: to as _,
        stats: out.stats.address() as _,
        rows: int(OP, "rows", rows)?,
        seq_len: int(OP, "seq_len", seq_len)?,
        width: int(OP, "width", width)?,
        row_warps: of.warps as i32,
        vectors: norm::vectors(width, &[x, modulation, to]),
        factor_first: (args.halves == Halves::FactorFirst).into(),
        eps: args.eps as f32,
        unused: 0,
    };
    let launch = Launch {
        kernel,
        grid: [rows.div_ceil(of.block_rows), 1, 1],
        threads: norm::THREADS,
        shared: f32_bytes(2 * norm::WARPS) as u32,
    };
    // SAFETY: `check_forward` compared every operand with the shape, the modulation is null where
    // absent, and `vectors` is set only where addresses and width are whole vectors.
    unsafe { device.launch(launch, &params) }
}

/// Tokens of a strip: whole rounds of a block's rows, at least two where there are so many, and so
/// that there are about four blocks for each that is resident.
fn strip_tokens(shape: Shape, of: Rows, processors: usize) -> usize {
    let most = shape.seq_len.div_ceil(2 * of.block_rows).max(1);
    let strips = (8 * processors).div_ceil(shape.batch).clamp(1, most);
    shape.seq_len.div_ceil(strips).next_multiple_of(of.block_rows)
}

/// Gradient pass; `stats` as written by [`forward`].
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn backward<X: Activation, A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, X, A, OnDevice<D>>,
    stats: Slice<'_, f32, D>,
    grad_out: Slice<'_, A, D>,
    grads: Grads<'_, A, OnDevice<D>>,
) -> Result<(), KernelError> {
    check_backward::<X, A, f32, OnDevice<D>>(args, stats, grad_out, &grads)?;
    let Shape { batch, seq_len, width } = args.shape;
    let of = Rows::new(OP, width)?;
    let kernel = entry_of::<X, A>([
        "layer_norm_modulate_bwd_f32",
        "layer_norm_modulate_bwd_bf16",
        "layer_norm_modulate_bwd_x32_bf16",
    ])?;
    if batch * seq_len == 0 {
        // A sum of no tokens.
        return grads.modulation.map_or(Ok(()), |modulation| device.fill_zero(modulation));
    }
    let strip_tokens = strip_tokens(args.shape, of, device.driver().processors());
    let strips = seq_len.div_ceil(strip_tokens);
    let modulated = args.modulation.is_some();
    let parts_len = if modulated { batch * strips * 2 * width } else { 0 };
    let [modulation_parts] = device.workspace([f32_bytes(parts_len)])?;
    let modulation = args.modulation.as_ref().map_or(0, Slice::address);
    let (x, grad_x) = (args.x.address(), grads.x.address());
    let params = DisLayerNormBackward {
        x: x as _,
        modulation: modulation as _,
        stats: stats.address() as _,
        grad_out: grad_out.address() as _,
        grad_x: grad_x as _,
        modulation_parts: modulation_parts as _,
        seq_len: int(OP, "seq_len", seq_len)?,
        width: int(OP, "width", width)?,
        strip_tokens: int(OP, "seq_len", strip_tokens)?,
        row_warps: of.warps as i32,
        vectors: norm::vectors(width, &[x, modulation, grad_out.address(), grad_x]),
        factor_first: (args.halves == Halves::FactorFirst).into(),
    };
    let launch = Launch {
        kernel,
        grid: [strips, blocks(OP, "batch", batch)?, 1],
        threads: norm::THREADS,
        shared: f32_bytes(4 * norm::WARPS + of.block_rows * 2 * width) as u32,
    };
    // SAFETY: `check_backward` compared every operand with the shape, the modulation is null where
    // absent and then has no parts, otherwise there is a row of parts for every strip, and
    // `vectors` is set only where addresses and width are whole vectors.
    unsafe { device.launch(launch, &params) }?;
    match grads.modulation {
        Some(grad) => add_strips(device, args.shape, strips, modulation_parts, &grad),
        None => Ok(()),
    }
}

/// Adds the strips of every image.
fn add_strips<A: Activation, D: Driver>(
    device: &Device<A, D>,
    shape: Shape,
    strips: usize,
    modulation_parts: u64,
    grad_modulation: &SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    let params = DisLayerNormBackwardModulation {
        modulation_parts: modulation_parts as _,
        grad_modulation: grad_modulation.address() as _,
        width: int(OP, "width", shape.width)?,
        strips: int(OP, "strips", strips)?,
    };
    let launch = Launch {
        kernel: entry!(A, "layer_norm_modulate_bwd_modulation"),
        grid: [(2 * shape.width).div_ceil(DIS_NORM_THREADS as usize), shape.batch, 1],
        threads: norm::THREADS,
        shared: 0,
    };
    // SAFETY: the gradient pass wrote `strips` rows of both halves for every image, and
    // `check_backward` compared the length of the sums.
    unsafe { device.launch(launch, &params) }
}
