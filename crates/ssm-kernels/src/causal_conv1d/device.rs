//! The form for devices.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{Args, Direction, DirectionGrads, Grads, Shape, check_backward, check_forward};
use crate::device::bindings::{
    DIS_CONV_BACKWARD_THREADS, DIS_CONV_BACKWARD_VECTOR, DIS_CONV_FORWARD_THREADS,
    DIS_CONV_FORWARD_VECTOR, DIS_CONV_WIDTH, DisConvBackward, DisConvForward,
};
use crate::device::{Activation, Device, Driver, Launch, OnDevice, Slice, SliceMut, blocks, entry};
use crate::device::{f32_bytes, in_vectors, int, partials};
use crate::space::ViewMut;
use crate::{KernelError, ScanOrder};

const OP: &str = "causal_conv1d";
const TAPS: usize = DIS_CONV_WIDTH as usize;
const WARP: usize = 32;
/// Tokens of a strip, about: three more are read for each. Value passes with few blocks have
/// short strips, so that more of a device is busy.
const FORWARD_STRIPS: [usize; 2] = [32, 16];
/// Strips of the gradient pass, whose lengths decide the order of its sums.
const BACKWARD_STRIP: usize = 64;

/// How a pass is divided: a warp takes 32 vectors of channels through a strip of tokens.
struct Plan {
    /// Whether vectors are more than one channel.
    vectors: bool,
    /// Channels of a warp.
    tile: usize,
    strip_tokens: usize,
    /// Strips of a block.
    block_strips: usize,
    /// Blocks along channels, tokens and images.
    grid: [usize; 3],
}

impl Plan {
    /// Strips of about `length` tokens, `most` of them in a block.
    fn new(shape: Shape, vector: Option<usize>, length: usize, most: usize) -> Self {
        let Shape { batch, seq_len, channels, .. } = shape;
        let strip_tokens = seq_len.div_ceil(((seq_len + length / 2) / length).max(1));
        let strips = seq_len.div_ceil(strip_tokens);
        let tile = WARP * vector.unwrap_or(1);
        let block_rows = strips.div_ceil(most);
        Self {
            vectors: vector.is_some(),
            tile,
            strip_tokens,
            block_strips: strips.div_ceil(block_rows),
            grid: [channels.div_ceil(tile), block_rows, batch],
        }
    }

    /// The value pass of some scan orders.
    fn forward(shape: Shape, vector: Option<usize>, orders: usize, processors: usize) -> Self {
        let most = DIS_CONV_FORWARD_THREADS as usize / (WARP * orders);
        let [long, short] = FORWARD_STRIPS.map(|length| Self::new(shape, vector, length, most));
        if long.grid.iter().product::<usize>() >= 4 * processors { long } else { short }
    }

    /// The gradient pass.
    fn backward(shape: Shape, vector: Option<usize>) -> Self {
        Self::new(shape, vector, BACKWARD_STRIP, DIS_CONV_BACKWARD_THREADS as usize / WARP)
    }

    fn check_grid(&self) -> Result<(), KernelError> {
        blocks(OP, "blocks along the tokens", self.grid[1])?;
        blocks(OP, "batch", self.grid[2]).map(|_| ())
    }
}

/// The parameters of both orders as kernels take them; the second pointers of one order are null.
struct Pointers {
    weight: [u64; 2],
    bias: [u64; 2],
    right_to_left: [i32; 2],
}

impl Pointers {
    fn new<D: Driver>(directions: &[Direction<'_, f32, OnDevice<D>>]) -> Self {
        let right_to_left = |d: &Direction<'_, f32, _>| d.order == ScanOrder::RightToLeft;
        Self {
            weight: pair(directions, |d| d.weight.address()),
            bias: pair(directions, |d| d.bias.address()),
            right_to_left: [0, 1].map(|i| directions.get(i).is_some_and(right_to_left).into()),
        }
    }
}

/// Addresses of one or two scan orders; null where there is none.
fn pair<T>(of: &[T], address: impl Fn(&T) -> u64) -> [u64; 2] {
    [0, 1].map(|i| of.get(i).map_or(0, &address))
}

fn check_width(shape: Shape) -> Result<(), KernelError> {
    if shape.width == TAPS {
        return Ok(());
    }
    let supported = "4 on a device; others on the CPU";
    Err(KernelError::Unsupported { op: OP, what: "width", got: shape.width, supported })
}

fn is_empty(shape: Shape) -> bool {
    [shape.batch, shape.seq_len, shape.channels].contains(&0)
}

/// Value pass.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn forward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, A, f32, OnDevice<D>>,
    outs: &mut [SliceMut<'_, A, D>],
) -> Result<(), KernelError> {
    check_forward(args, outs)?;
    check_width(args.shape)?;
    if is_empty(args.shape) {
        return Ok(());
    }
    let (shape, orders) = (args.shape, args.directions.len());
    let operands = Pointers::new(args.directions);
    let (x, outs) = (args.x.data.address(), pair(outs, SliceMut::address));
    let addresses = [[x, 0], operands.weight, operands.bias, outs];
    let elements = DIS_CONV_FORWARD_VECTOR as usize / size_of::<A>();
    let sizes = [shape.channels, args.x.row_stride];
    let vector = in_vectors(elements, &sizes, addresses.as_flattened()).then_some(elements);
    let plan = Plan::forward(shape, vector, orders, device.driver().processors());
    plan.check_grid()?;
    let params = DisConvForward {
        x: x as _,
        weight: operands.weight.map(|a| a as _),
        bias: operands.bias.map(|a| a as _),
        out: outs.map(|a| a as _),
        x_stride: args.x.row_stride as i64,
        seq_len: int(OP, "seq_len", shape.seq_len)?,
        channels: int(OP, "channels", shape.channels)?,
        strip_tokens: int(OP, "seq_len", plan.strip_tokens)?,
        vectors: plan.vectors.into(),
        right_to_left: operands.right_to_left,
    };
    let launch = Launch {
        kernel: entry!(A, "causal_conv1d_fwd"),
        grid: plan.grid,
        threads: [WARP as u32, plan.block_strips as u32, orders as u32],
        shared: 0,
    };
    // SAFETY: `check_forward` compared every operand of each order with the shape, rows of `x` are
    // contiguous and inside its view, and `vectors` is set only where addresses and sizes are whole
    // vectors.
    unsafe { device.launch(launch, &params) }
}

/// Gradient pass.
///
/// # Errors
/// When an operand does not fit the shape, or the device fails.
pub fn backward<A: Activation, D: Driver>(
    device: &Device<A, D>,
    args: &Args<'_, A, f32, OnDevice<D>>,
    grad_outs: &[Slice<'_, A, D>],
    grads: Grads<'_, A, f32, OnDevice<D>>,
) -> Result<(), KernelError> {
    check_backward(args, grad_outs, &grads)?;
    check_width(args.shape)?;
    if is_empty(args.shape) {
        return Ok(());
    }
    let (shape, orders) = (args.shape, args.directions.len());
    let operands = Pointers::new(args.directions);
    let (x, grad_x) = (args.x.data.address(), grads.x.data.address());
    let grad_outs = pair(grad_outs, Slice::address);
    let addresses = [[x, grad_x], operands.weight, operands.bias, grad_outs];
    let elements = DIS_CONV_BACKWARD_VECTOR as usize / size_of::<A>();
    let sizes = [shape.channels, args.x.row_stride, grads.x.row_stride];
    let vector = in_vectors(elements, &sizes, addresses.as_flattened()).then_some(elements);
    let plan = Plan::backward(shape, vector);
    plan.check_grid()?;

    // Rows of [weight | bias], one for each block along tokens and images.
    let (rows, parameters) = (plan.grid[1] * plan.grid[2], shape.channels * (TAPS + 1));
    let parts_len = |order| if order < orders { rows * parameters } else { 0 };
    let parts = device.workspace([0, 1].map(|order| f32_bytes(parts_len(order))))?;
    let params = DisConvBackward {
        x: x as _,
        weight: operands.weight.map(|a| a as _),
        bias: operands.bias.map(|a| a as _),
        grad_out: grad_outs.map(|a| a as _),
        grad_x: grad_x as _,
        parameter_parts: parts.map(|a| a as _),
        x_stride: args.x.row_stride as i64,
        grad_x_stride: grads.x.row_stride as i64,
        seq_len: int(OP, "seq_len", shape.seq_len)?,
        channels: int(OP, "channels", shape.channels)?,
        strip_tokens: int(OP, "seq_len", plan.strip_tokens)?,
        vectors: plan.vectors.into(),
        right_to_left: operands.right_to_left,
        directions: orders as i32,
        unused: 0,
    };
    let launch = Launch {
        kernel: entry!(A, "causal_conv1d_bwd"),
        grid: plan.grid,
        threads: [WARP as u32, plan.block_strips as u32, 1],
        shared: f32_bytes(plan.block_strips * orders * plan.tile * (TAPS + 1)) as u32,
    };
    // SAFETY: `check_backward` compared every operand of each order with the shape, rows of `x` and
    // `grads.x` are contiguous and inside their views, there is a row of parts for every block
    // along tokens and images, and `vectors` is set only where addresses and sizes are whole
    // vectors.
    unsafe { device.launch(launch, &params) }?;

    let jobs = parameter_jobs(shape.channels, parts, grads.directions);
    // SAFETY: every block wrote its row of `parameters` elements, and `check_backward` compared
    // the lengths of the sums.
    unsafe { partials::add(device, rows, &jobs) }
}

/// The sums of the rows `[weight | bias]` of each scan order.
fn parameter_jobs<D: Driver>(
    channels: usize,
    parts: [u64; 2],
    grads: &[DirectionGrads<'_, f32, OnDevice<D>>],
) -> Vec<partials::Job> {
    let stride = channels * (TAPS + 1);
    let of_order = |(grads, parts): (&DirectionGrads<'_, f32, OnDevice<D>>, u64)| {
        let of_bias = parts + f32_bytes(channels * TAPS) as u64;
        [(parts, &grads.weight), (of_bias, &grads.bias)].map(|(parts, sums)| partials::Job {
            parts,
            stride,
            sums: sums.address(),
            len: sums.len(),
        })
    };
    grads.iter().zip(parts).flat_map(of_order).collect()
}
