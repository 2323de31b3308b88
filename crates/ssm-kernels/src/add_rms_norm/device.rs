//! The form for devices.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{Args, BackwardArgs, Grads, Output, Shape, check_backward, check_forward};
use crate::KernelError;
use crate::device::bindings::{DisAddRmsNormBackward, DisAddRmsNormForward};
use crate::device::norm::{self, Rows};
use crate::device::{Activation, Device, Driver, Launch, OnDevice, Slice, entry};
use crate::device::{f32_bytes, int, partials};
use crate::space::ViewMut;

const OP: &str = "add_rms_norm";

/// Value pass.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn forward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, A, f32, OnDevice<D>>,
    out: Output<'_, A, f32, OnDevice<D>>,
) -> Result<(), KernelError> {
    check_forward(args, &out)?;
    let Shape { batch, seq_len, width } = args.shape;
    let (rows, of) = (batch * seq_len, Rows::new(OP, width)?);
    if rows == 0 {
        return Ok(());
    }
    let (hidden, weight) = (args.hidden.address(), args.weight.address());
    let residual = args.residual.as_ref().map_or(0, Slice::address);
    let (new_residual, normed) = (out.residual.address(), out.normed.address());
    let params = DisAddRmsNormForward {
        hidden: hidden as _,
        residual: residual as _,
        drop_path: args.drop_path.as_ref().map_or(0, Slice::address) as _,
        weight: weight as _,
        new_residual: new_residual as _,
        normed: normed as _,
        rstd: out.rstd.address() as _,
        rows: int(OP, "rows", rows)?,
        seq_len: int(OP, "seq_len", seq_len)?,
        width: int(OP, "width", width)?,
        row_warps: of.warps as i32,
        vectors: norm::vectors(width, &[hidden, residual, weight, new_residual, normed]),
        eps: args.eps as f32,
    };
    let launch = Launch {
        kernel: entry!(A, "add_rms_norm_fwd"),
        grid: [rows.div_ceil(of.block_rows), 1, 1],
        threads: norm::THREADS,
        shared: f32_bytes(norm::WARPS) as u32,
    };
    // SAFETY: `check_forward` compared every operand with the shape, optional ones are null where
    // absent, and `vectors` is set only where addresses and width are whole vectors.
    unsafe { device.launch(launch, &params) }
}

/// Gradient pass.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn backward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &BackwardArgs<'_, A, f32, OnDevice<D>>,
    grads: Grads<'_, A, f32, OnDevice<D>>,
) -> Result<(), KernelError> {
    check_backward(args, &grads)?;
    let Shape { batch, seq_len, width } = args.shape;
    let (rows, of) = (batch * seq_len, Rows::new(OP, width)?);
    if rows == 0 {
        return Ok(());
    }
    // As many blocks as are resident; each walks its share of the rows.
    let blocks = rows.div_ceil(of.block_rows).min(2 * device.driver().processors());
    let [weight_parts] = device.workspace([f32_bytes(blocks * width)])?;
    let (residual, weight) = (args.residual.address(), args.weight.address());
    let (grad_normed, grad_residual) = (args.grad_normed.address(), grads.residual.address());
    let grad_hidden = grads.hidden.address();
    let in_vectors = [residual, weight, grad_normed, grad_residual, grad_hidden];
    let params = DisAddRmsNormBackward {
        residual: residual as _,
        rstd: args.rstd.address() as _,
        weight: weight as _,
        drop_path: args.drop_path.as_ref().map_or(0, Slice::address) as _,
        grad_normed: grad_normed as _,
        grad_residual: grad_residual as _,
        grad_hidden: grad_hidden as _,
        weight_parts: weight_parts as _,
        rows: int(OP, "rows", rows)?,
        seq_len: int(OP, "seq_len", seq_len)?,
        width: int(OP, "width", width)?,
        row_warps: of.warps as i32,
        vectors: norm::vectors(width, &in_vectors),
        unused: 0,
    };
    let launch = Launch {
        kernel: entry!(A, "add_rms_norm_bwd"),
        grid: [blocks, 1, 1],
        threads: norm::THREADS,
        shared: f32_bytes(2 * norm::WARPS + of.block_rows * width) as u32,
    };
    // SAFETY: `check_backward` compared every operand with the shape, `drop_path` is null where
    // absent, there is a row of parts for every block, and `vectors` is set only where addresses
    // and width are whole vectors.
    unsafe { device.launch(launch, &params) }?;
    let sums = partials::Job {
        parts: weight_parts,
        stride: width,
        sums: grads.weight.address(),
        len: grads.weight.len(),
    };
    // SAFETY: every block wrote its row of `width` elements, and `check_backward` compared the
    // length of the sums.
    unsafe { partials::add(device, blocks, &[sums]) }
}
