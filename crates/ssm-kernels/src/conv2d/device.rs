//! The form for devices: rows of patches of some output rows, times the weights.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{Args, Kernel, Padding, check, check_weights};
use crate::device::bindings::{
    DIS_CONV2D_COLUMNS, DIS_CONV2D_THREADS, DIS_CONV2D_VECTOR, DisConv2dFinish, DisConv2dGather,
};
use crate::device::{Activation, Device, DeviceBuffer, Driver, Format, OnDevice, Slice};
use crate::device::{Launch, Operand, Product, entry, f32_bytes, image_walkers, int};
use crate::space::{Storage, View, ViewMut};
use crate::{Backend, KernelError, MatMut};
use std::ops::Range;

const OP: &str = "conv2d";
const THREADS: [u32; 3] = [DIS_CONV2D_THREADS, 1, 1];
/// Bytes of working memory. What is gathered is then still in the cache when the product reads it: an
/// A100 has one of 40 MB, an H100 one of 50 MB.
const STRIP: usize = 32 << 20;
/// Rows of a thread that gathers patches.
const ROWS: usize = 4;
/// Fewest pixels of a block that adds biases.
const PART_PIXELS: usize = 256;

/// Weights as a matrix `[R S I, O]` on a device, with rows of zeros behind up to a whole vector.
#[derive(Debug)]
pub struct Weights<A: Activation, D: Driver> {
    kernel: Kernel,
    matrix: DeviceBuffer<A, D>,
}

impl<A: Activation, D: Driver> Weights<A, D> {
    /// Weights of one layer from `[O, I, R, S]`, rounded to `A`.
    ///
    /// # Errors
    /// When a size is 0, `weight` has another length, or the device fails.
    pub fn new(
        device: &Device<A, D>,
        kernel: &Kernel,
        weight: &[f32],
    ) -> Result<Self, KernelError> {
        check_weights(kernel, weight.len())?;
        let &Kernel { inputs, outputs, height, width, .. } = kernel;
        let taps = height * width;
        let mut rows = vec![A::default(); patch_len(kernel) * outputs];
        for (k, row) in rows.chunks_exact_mut(outputs).take(taps * inputs).enumerate() {
            let (tap, input) = (k / inputs, k % inputs);
            for (o, to) in row.iter_mut().enumerate() {
                *to = A::from_f32(weight[(o * inputs + input) * taps + tap]);
            }
        }
        let mut matrix = device.empty(rows.len())?;
        device.upload(&rows, matrix.view_mut())?;
        Ok(Self { kernel: *kernel, matrix })
    }
}

/// Elements of a row of patches: whole vectors.
fn patch_len(kernel: &Kernel) -> usize {
    (kernel.height * kernel.width * kernel.inputs).next_multiple_of(DIS_CONV2D_VECTOR as usize)
}

/// Whether the input is its own rows of patches.
fn is_pointwise(kernel: &Kernel) -> bool {
    let Kernel { height, width, stride, padding, upsample2, .. } = *kernel;
    (height, width, stride, padding, upsample2) == (1, 1, 1, Padding::default(), false)
}

/// How a call is divided into strips of output rows, which are counted through all images.
struct Plan {
    /// Rows of the output of an image, pixels of a row.
    height: usize,
    width: usize,
    /// Elements of the rows that are multiplied.
    depth: usize,
    strip_rows: usize,
    /// Bytes for each row of a strip: of patches, unless the input stands for them, and of sums,
    /// unless they are put where the results go.
    patch_bytes: usize,
    sum_bytes: usize,
}

impl Plan {
    fn new<A: Activation>(
        kernel: &Kernel,
        (height, width): (usize, usize),
        batch: usize,
        strip: usize,
    ) -> Self {
        let pointwise = is_pointwise(kernel);
        let depth = if pointwise { kernel.inputs } else { patch_len(kernel) };
        let patch_bytes = if pointwise { 0 } else { width * depth * size_of::<A>() };
        let sum_bytes = match A::FORMAT {
            Format::F32 => 0,
            Format::Bf16 => f32_bytes(width * kernel.outputs),
        };
        let rows = batch * height;
        let fitting = strip.checked_div(patch_bytes + sum_bytes).unwrap_or(rows);
        let strip_rows = fitting.clamp(1, rows.max(1));
        Self { height, width, depth, strip_rows, patch_bytes, sum_bytes }
    }
}

/// Rows of a matrix.
#[derive(Clone, Copy)]
struct Rows {
    address: u64,
    /// Elements from a row to the next.
    stride: usize,
}

impl Rows {
    /// Those from `first` on of operand `data`.
    fn of<A: Activation, D: Driver>(data: Slice<'_, A, D>, stride: usize, first: usize) -> Self {
        Self { address: data.part(first * stride..data.len()).address(), stride }
    }
}

/// Value pass; see [`reference::forward`](super::reference::forward). The product, bias and `add` are
/// summed in f32, and what the activation makes of them is rounded once.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn forward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, Weights<A, D>, A, f32, OnDevice<D>>,
    out: MatMut<'_, A, OnDevice<D>>,
) -> Result<(), KernelError> {
    forward_in_strips(device, STRIP, args, out)
}

/// [`forward`] with so many bytes of working memory, or what one output row needs.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn forward_in_strips<A: Activation, D: Driver>(
    device: &Device<A, D>,
    strip: usize,
    args: &Args<'_, Weights<A, D>, A, f32, OnDevice<D>>,
    out: MatMut<'_, A, OnDevice<D>>,
) -> Result<(), KernelError> {
    let kernel = &args.weights.kernel;
    let size = check(kernel, args, &out)?;
    if out.rows == 0 {
        return Ok(());
    }
    let plan = Plan::new::<A>(kernel, size, args.shape.batch, strip);
    let bytes = [plan.strip_rows * plan.patch_bytes, plan.strip_rows * plan.sum_bytes];
    let [patches, sums] = device.workspace(bytes)?;
    let rows = args.shape.batch * plan.height;
    for first in (0..rows).step_by(plan.strip_rows) {
        let strip = first..rows.min(first + plan.strip_rows);
        let pixels = strip.start * plan.width..strip.end * plan.width;
        let a = if plan.patch_bytes > 0 {
            gather(device, args, &plan, strip, patches)?;
            Rows { address: patches, stride: plan.depth }
        } else {
            Rows::of(args.x.data, args.x.row_stride, pixels.start)
        };
        let result = Rows::of(out.data.view(), out.row_stride, pixels.start);
        let sums = match plan.sum_bytes {
            0 => result,
            _ => Rows { address: sums, stride: kernel.outputs },
        };
        multiply(device, args.weights, plan.depth, pixels.len(), [a, sums])?;
        finish(device, args, pixels, sums, result)?;
    }
    Ok(())
}

/// Puts the patches of a strip of output rows to `patches`.
fn gather<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, Weights<A, D>, A, f32, OnDevice<D>>,
    plan: &Plan,
    strip: Range<usize>,
    patches: u64,
) -> Result<(), KernelError> {
    let (kernel, shape) = (&args.weights.kernel, &args.shape);
    let growth = if kernel.upsample2 { 2 } else { 1 };
    let Padding { top, bottom, left, right } = kernel.padding;
    // The largest coordinates.
    int(OP, "rows of the padded image", growth * shape.height + top + bottom)?;
    int(OP, "columns of the padded image", growth * shape.width + left + right)?;
    let row_elements = plan.width * plan.depth;
    if row_elements >= 1 << 30 {
        let (what, supported) = ("elements of a row of patches", "fewer than 2^30 on a device");
        return Err(KernelError::Unsupported { op: OP, what, got: row_elements, supported });
    }
    int(OP, "rows of all outputs", shape.batch * plan.height)?;
    let params = DisConv2dGather {
        x: args.x.data.address() as _,
        patches: patches as _,
        height: shape.height as i32,
        width: shape.width as i32,
        channels: int(OP, "input channels", kernel.inputs)?,
        x_stride: int(OP, "elements from a pixel of x to the next", args.x.row_stride)?,
        kernel_height: kernel.height as i32,
        kernel_width: kernel.width as i32,
        stride: int(OP, "stride", kernel.stride)?,
        pad_top: top as i32,
        pad_left: left as i32,
        doubled: i32::from(kernel.upsample2),
        out_height: plan.height as i32,
        out_width: plan.width as i32,
        row_len: plan.depth as i32,
        rows: strip.len() as i32,
        first_row: strip.start as i32,
        unused: 0,
    };
    let vectors = row_elements * size_of::<A>() / 16;
    let launch = Launch {
        kernel: entry!(A, "conv2d_gather"),
        grid: [
            vectors.div_ceil(DIS_CONV2D_THREADS as usize),
            image_walkers(strip.len().div_ceil(ROWS)),
            1,
        ],
        threads: THREADS,
        shared: 0,
    };
    // SAFETY: `check` compared `x` with the shape, and the working memory holds `strip_rows` rows.
    unsafe { device.launch(launch, &params) }
}

/// `sums = a weights` for `pixels` rows of `a`, in f32.
fn multiply<A: Activation, D: Driver>(
    device: &Device<A, D>,
    weights: &Weights<A, D>,
    depth: usize,
    pixels: usize,
    [a, sums]: [Rows; 2],
) -> Result<(), KernelError> {
    let outputs = weights.kernel.outputs;
    let b = weights.matrix.view().address();
    let product = Product {
        rows: pixels,
        cols: outputs,
        terms: depth,
        a: Operand { address: a.address, stride: a.stride, transposed: false },
        b: Operand { address: b, stride: outputs, transposed: false },
        out: sums.address,
        out_stride: sums.stride,
        out_format: Format::F32,
        format: A::FORMAT,
        accumulate: false,
        second: None,
    };
    // SAFETY: there are `depth` rows of weights or more, and the callers' `a` and `sums` have `pixels`
    // rows, of a strip of patches or of operands that were compared with the shape.
    unsafe { device.driver().gemm(&product) }
}

/// `out = activation(sums + bias + add)` for a strip.
fn finish<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, Weights<A, D>, A, f32, OnDevice<D>>,
    pixels: Range<usize>,
    sums: Rows,
    out: Rows,
) -> Result<(), KernelError> {
    let outputs = args.weights.kernel.outputs;
    let add = args.add.map_or(0, |add| Rows::of(add, outputs, pixels.start).address);
    let pixels_per_part = pixels.len().div_ceil(65_535).max(PART_PIXELS);
    let params = DisConv2dFinish {
        sums: sums.address as _,
        bias: args.bias.address() as _,
        add: add as _,
        out: out.address as _,
        pixels: pixels.len() as i64,
        pixels_per_part: int(OP, "pixels of a part", pixels_per_part)?,
        channels: int(OP, "output channels", outputs)?,
        sums_stride: int(OP, "elements from a pixel of the sums to the next", sums.stride)?,
        out_stride: int(OP, "elements from a pixel of the output to the next", out.stride)?,
        relu: i32::from(args.activation == super::Activation::Relu),
        unused: 0,
    };
    let columns = outputs.div_ceil(DIS_CONV2D_COLUMNS as usize);
    let launch = Launch {
        kernel: entry!(A, "conv2d_finish"),
        grid: [columns, pixels.len().div_ceil(pixels_per_part), 1],
        threads: THREADS,
        shared: 0,
    };
    // SAFETY: `check` compared `bias`, `add` and `out` with the shape; a thread reads its sums before
    // it writes its results, which may stand there.
    unsafe { device.launch(launch, &params) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::bf16;

    /// Layers of the autoencoder at 512 x 512, and what their strips take.
    #[test]
    fn strips_fit_into_the_cache() {
        for (inputs, outputs, side) in [(128, 128, 512), (512, 512, 64), (256, 256, 256)] {
            let kernel = Kernel::same(inputs, outputs, 3);
            let plan = Plan::new::<bf16>(&kernel, (side, side), 1, STRIP);
            let bytes = plan.strip_rows * (plan.patch_bytes + plan.sum_bytes);
            assert!(bytes <= STRIP && bytes > STRIP / 2, "{bytes} bytes for {kernel:?}");
        }
        // One row is more than a strip.
        let wide = Plan::new::<f32>(&Kernel::same(512, 512, 3), (2, 4096), 1, STRIP);
        assert!(wide.patch_bytes > STRIP && wide.strip_rows == 1);
        // Nothing is gathered, and sums are results.
        let whole = Plan::new::<f32>(&Kernel::same(512, 512, 1), (4096, 4096), 3, STRIP);
        assert_eq!((whole.strip_rows, whole.patch_bytes, whole.sum_bytes), (3 * 4096, 0, 0));
    }
}
