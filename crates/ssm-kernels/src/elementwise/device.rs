//! The form for devices.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{
    DropPath, ResidualAdd, check_add, check_add_column_sums, check_drop_path, check_fill_rows,
    check_pair, check_residual_add,
};
use crate::device::bindings::{
    DIS_COLUMN_SUMS_COLUMNS, DIS_COLUMN_SUMS_SHARED, DIS_ELEMENTWISE_THREADS, DIS_ELEMENTWISE_TILE,
    DisAccumulate, DisAdd, DisColumnSums, DisDropPath, DisFillRows, DisNarrow, DisResidualAdd,
    DisSilu, DisSiluBackward, DisWiden,
};
use crate::device::{Activation, Device, Driver, Launch, OnDevice, Slice, SliceMut};
use crate::device::{entry, f32_bytes, image_walkers, int, partials, walkers};
use crate::space::{View, ViewMut};
use crate::{KernelError, Mat};

const THREADS: [u32; 3] = [DIS_ELEMENTWISE_THREADS, 1, 1];
const TILE: usize = DIS_ELEMENTWISE_TILE as usize;
/// Column sums: fewest rows of a part, and most parts. The order of a sum depends on nothing else.
const PART_ROWS: usize = 128;
const PARTS: usize = 256;

/// `len` elements, a tile of them a block.
fn flat(kernel: &'static str, len: usize) -> Launch {
    Launch { kernel, grid: [walkers(len, TILE), 1, 1], threads: THREADS, shared: 0 }
}

/// `batch` images of `image_len` elements, a tile of one a block.
fn by_image(kernel: &'static str, batch: usize, image_len: usize) -> Launch {
    let grid = [walkers(image_len, TILE), image_walkers(batch), 1];
    Launch { kernel, grid, threads: THREADS, shared: 0 }
}

/// Images that differ in their factor: all are one where there is none.
fn images(batch: usize, has_factors: bool) -> usize {
    if has_factors { batch } else { 1 }
}

/// See [`reference::fill_rows`](super::reference::fill_rows).
///
/// # Errors
/// When the operands do not fit each other, or the device fails.
pub fn fill_rows<A: Activation, D: Driver>(
    device: &Device<A, D>,
    row: Slice<'_, f32, D>,
    out: SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    let (columns, len) = (row.len(), out.len());
    check_fill_rows(columns, len)?;
    if columns >= 1 << 30 {
        let (op, what, supported) = ("fill_rows", "row", "fewer than 2^30 elements on a device");
        return Err(KernelError::Unsupported { op, what, got: columns, supported });
    }
    if len == 0 {
        return Ok(());
    }
    let params = DisFillRows {
        row: row.address() as _,
        out: out.address() as _,
        rows: (len / columns) as i64,
        columns: columns as i32,
        unused: 0,
    };
    // SAFETY: `out` was checked to be whole rows of `columns` elements.
    unsafe { device.launch(flat(entry!(A, "fill_rows"), len), &params) }
}

/// See [`reference::add_column_sums`](super::reference::add_column_sums). Rows are added in parts
/// that depend on their number alone.
///
/// # Errors
/// When the operands do not fit each other, or the device fails.
pub fn add_column_sums<A: Activation, D: Driver>(
    device: &Device<A, D>,
    x: Mat<'_, A, OnDevice<D>>,
    sums: SliceMut<'_, f32, D>,
) -> Result<(), KernelError> {
    let op = "add_column_sums";
    check_add_column_sums::<A, f32, OnDevice<D>>(&x, &sums)?;
    let Mat { rows, cols, .. } = x;
    if rows * cols == 0 {
        return Ok(());
    }
    let rows_per_part = rows.div_ceil(PARTS).max(PART_ROWS);
    let parts = rows.div_ceil(rows_per_part);
    let [partial_sums] = device.workspace([f32_bytes(parts * cols)])?;
    let params = DisColumnSums {
        x: x.data.address() as _,
        partials: partial_sums as _,
        stride: x.row_stride as i64,
        rows: rows as i64,
        rows_per_part: int(op, "rows of a part", rows_per_part)?,
        columns: int(op, "columns", cols)?,
    };
    let launch = Launch {
        kernel: entry!(A, "column_sums"),
        grid: [cols.div_ceil(DIS_COLUMN_SUMS_COLUMNS as usize), parts, 1],
        threads: THREADS,
        shared: DIS_COLUMN_SUMS_SHARED,
    };
    // SAFETY: a view was checked against its buffer when it was made, its rows are contiguous, and
    // there is a row of `cols` sums for every part.
    unsafe { device.launch(launch, &params) }?;
    let job =
        partials::Job { parts: partial_sums, stride: cols, sums: sums.address(), len: sums.len() };
    // SAFETY: the launch above wrote `parts` rows of `cols` elements, and `sums` was checked to have
    // as many.
    unsafe { partials::add(device, parts, &[job]) }
}

/// See [`reference::add`](super::reference::add).
///
/// # Errors
/// When the operands do not fit each other, or the device fails.
pub fn add<A: Activation, D: Driver>(
    device: &Device<A, D>,
    a: Slice<'_, A, D>,
    b: Slice<'_, A, D>,
    out: SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    check_add(a.len(), b.len(), out.len())?;
    launch_add(device, a, b, &out)
}

/// See [`reference::add_assign`](super::reference::add_assign).
///
/// # Errors
/// When the operands do not fit each other, or the device fails.
pub fn add_assign<A: Activation, D: Driver>(
    device: &Device<A, D>,
    to: SliceMut<'_, A, D>,
    from: Slice<'_, A, D>,
) -> Result<(), KernelError> {
    check_pair("add_assign", to.len(), "from", from.len())?;
    launch_add(device, to.view(), from, &to)
}

/// `out = a + b` for operands of one length; `out` may be `a` or `b`.
fn launch_add<A: Activation, D: Driver>(
    device: &Device<A, D>,
    a: Slice<'_, A, D>,
    b: Slice<'_, A, D>,
    out: &SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    let len = out.len();
    if len == 0 {
        return Ok(());
    }
    let params = DisAdd {
        a: a.address() as _,
        b: b.address() as _,
        out: out.address() as _,
        len: len as i64,
    };
    // SAFETY: the callers compared all lengths; a thread reads its elements before it writes them.
    unsafe { device.launch(flat(entry!(A, "add"), len), &params) }
}

/// See [`reference::add_to_residual`](super::reference::add_to_residual).
///
/// # Errors
/// When the operands do not fit each other, or the device fails.
pub fn add_to_residual<A: Activation, D: Driver>(
    device: &Device<A, D>,
    residual: SliceMut<'_, f32, D>,
    x: Slice<'_, A, D>,
) -> Result<(), KernelError> {
    let len = residual.len();
    check_pair("add_to_residual", len, "x", x.len())?;
    if len == 0 {
        return Ok(());
    }
    let params =
        DisAccumulate { from: x.address() as _, to: residual.address() as _, len: len as i64 };
    // SAFETY: both operands were checked to have `len` elements.
    unsafe { device.launch(flat(entry!(A, "accumulate"), len), &params) }
}

/// See [`reference::residual_add`](super::reference::residual_add).
///
/// # Errors
/// When the operands do not fit each other, or the device fails.
pub fn residual_add<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &ResidualAdd<'_, A, f32, OnDevice<D>>,
    out: SliceMut<'_, f32, D>,
) -> Result<(), KernelError> {
    check_residual_add(args, out.len())?;
    let Some(residual) = args.residual else {
        return widen(device, args.hidden, out);
    };
    if out.len() == 0 {
        return Ok(());
    }
    let batch = images(args.batch, args.drop_path.is_some());
    let image_len = out.len() / batch;
    let params = DisResidualAdd {
        hidden: args.hidden.address() as _,
        residual: residual.address() as _,
        drop_path: args.drop_path.as_ref().map_or(0, Slice::address) as _,
        out: out.address() as _,
        image_len: image_len as i64,
        batch: int("residual_add", "batch", batch)?,
        unused: 0,
    };
    let launch = by_image(entry!(A, "residual_add"), batch, image_len);
    // SAFETY: `check_residual_add` compared every operand with the batch, and `drop_path` is null
    // where absent.
    unsafe { device.launch(launch, &params) }
}

/// See [`reference::apply_drop_path`](super::reference::apply_drop_path).
///
/// # Errors
/// When the operands do not fit each other, or the device fails.
pub fn apply_drop_path<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &DropPath<'_, f32, OnDevice<D>>,
    out: SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    check_drop_path(args, out.len())?;
    if out.len() == 0 {
        return Ok(());
    }
    let batch = images(args.batch, args.drop_path.is_some());
    let image_len = out.len() / batch;
    let params = DisDropPath {
        x: args.x.address() as _,
        drop_path: args.drop_path.as_ref().map_or(0, Slice::address) as _,
        out: out.address() as _,
        image_len: image_len as i64,
        batch: int("apply_drop_path", "batch", batch)?,
        unused: 0,
    };
    // SAFETY: `check_drop_path` compared every operand with the batch, and `drop_path` is null where
    // absent.
    unsafe { device.launch(by_image(entry!(A, "drop_path"), batch, image_len), &params) }
}

/// See [`reference::silu`](super::reference::silu).
///
/// # Errors
/// When the operands do not fit each other, or the device fails.
pub fn silu<A: Activation, D: Driver>(
    device: &Device<A, D>,
    x: Slice<'_, A, D>,
    out: SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    let len = x.len();
    check_pair("silu", len, "out", out.len())?;
    if len == 0 {
        return Ok(());
    }
    let params = DisSilu { x: x.address() as _, out: out.address() as _, len: len as i64 };
    // SAFETY: both operands were checked to have `len` elements.
    unsafe { device.launch(flat(entry!(A, "silu"), len), &params) }
}

/// See [`reference::silu_backward`](super::reference::silu_backward).
///
/// # Errors
/// When the operands do not fit each other, or the device fails.
pub fn silu_backward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    x: Slice<'_, A, D>,
    grad: SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    let len = x.len();
    check_pair("silu_backward", len, "grad", grad.len())?;
    if len == 0 {
        return Ok(());
    }
    let params =
        DisSiluBackward { x: x.address() as _, grad: grad.address() as _, len: len as i64 };
    // SAFETY: both operands were checked to have `len` elements.
    unsafe { device.launch(flat(entry!(A, "silu_backward"), len), &params) }
}

/// `to = from`, rounded to the format of activations.
///
/// # Errors
/// When the operands do not fit each other, or the device fails.
pub fn narrow<A: Activation, D: Driver>(
    device: &Device<A, D>,
    from: Slice<'_, f32, D>,
    to: SliceMut<'_, A, D>,
) -> Result<(), KernelError> {
    let len = from.len();
    check_pair("narrow", len, "to", to.len())?;
    if len == 0 {
        return Ok(());
    }
    let params = DisNarrow { from: from.address() as _, to: to.address() as _, len: len as i64 };
    // SAFETY: both operands were checked to have `len` elements.
    unsafe { device.launch(flat(entry!(A, "narrow"), len), &params) }
}

/// `to = from`, exactly.
///
/// # Errors
/// When the operands do not fit each other, or the device fails.
pub fn widen<A: Activation, D: Driver>(
    device: &Device<A, D>,
    from: Slice<'_, A, D>,
    to: SliceMut<'_, f32, D>,
) -> Result<(), KernelError> {
    let len = from.len();
    check_pair("widen", len, "to", to.len())?;
    if len == 0 {
        return Ok(());
    }
    let params = DisWiden { from: from.address() as _, to: to.address() as _, len: len as i64 };
    // SAFETY: both operands were checked to have `len` elements.
    unsafe { device.launch(flat(entry!(A, "widen"), len), &params) }
}
