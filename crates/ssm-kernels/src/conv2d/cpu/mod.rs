//! The fast f32 form: `rows` cuts the work into tasks, which fill a `strip` each, `phases` spares products
//! of doubled images, and an `Engine` multiplies, which is `tiles` where the CPU has AMX and `lanes` elsewhere.

mod engine;
mod lanes;
mod phases;
mod rows;
mod strip;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod weights;

use super::{Activation, Args, Kernel, Shape, check, check_weights};
use crate::simd::LANES;
use crate::{InstructionSet, KernelError, Mat, MatMut};
use std::ops::Range;
use weights::Packed;

/// Weights of one layer, made for one instruction set.
#[derive(Clone, Debug)]
pub struct Weights {
    kernel: Kernel,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Lanes(lanes::Lanes, Packed<crate::Buffer<f32>>),
    #[cfg(target_arch = "x86_64")]
    Tiles(Packed<Vec<crate::gemm::packed::Line>>),
}

impl Weights {
    /// Weights of one layer from `[O, I, R, S]`, for the instruction set in use.
    ///
    /// # Errors
    /// [`KernelError`] when a size is 0 or `weight` has another length.
    pub fn new(kernel: &Kernel, weight: &[f32]) -> Result<Self, KernelError> {
        Self::new_on(InstructionSet::current(), kernel, weight)
    }

    /// As [`Weights::new`], for one instruction set of [`InstructionSet::available`].
    ///
    /// # Errors
    /// As [`Weights::new`].
    pub fn new_on(
        set: InstructionSet,
        kernel: &Kernel,
        weight: &[f32],
    ) -> Result<Self, KernelError> {
        check_weights(kernel, weight.len())?;
        let form = match set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Amx => Form::Tiles(Packed::new(tiles::Amx, kernel, weight)),
            _ => Form::Lanes(lanes::Lanes(set), Packed::new(lanes::Lanes(set), kernel, weight)),
        };
        Ok(Self { kernel: *kernel, form })
    }
}

/// Value pass, with the instruction set of the weights; see
/// [`reference::forward`](super::reference::forward).
///
/// The order of every sum depends on the layer alone: an image gives the same bits in every batch and
/// with any number of threads.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn forward(args: &Args<'_, Weights, f32>, mut out: MatMut<'_, f32>) -> Result<(), KernelError> {
    let kernel = &args.weights.kernel;
    let (rows, columns) = check(kernel, args, &out)?;
    let images = Images { kernel, shape: args.shape, x: args.x, rows, columns };
    let sum = Sum { bias: args.bias, add: args.add, activation: args.activation };
    match &args.weights.form {
        Form::Lanes(lanes, packed) => rows::forward(*lanes, &images, packed, &sum, &mut out),
        #[cfg(target_arch = "x86_64")]
        Form::Tiles(packed) => rows::forward(tiles::Amx, &images, packed, &sum, &mut out),
    }
    Ok(())
}

/// The input, and rows and columns of the output.
struct Images<'a> {
    kernel: &'a Kernel,
    shape: Shape,
    x: Mat<'a, f32>,
    rows: usize,
    columns: usize,
}

impl Images<'_> {
    /// The row of `x` that is the first pixel of a row of an image; none outside the image.
    fn row(&self, b: usize, y: isize) -> Option<usize> {
        let y = usize::try_from(y).ok().filter(|&y| y < self.shape.height)?;
        Some((b * self.shape.height + y) * self.shape.width)
    }

    /// The pixels under the kernel of some outputs of one row, `[x, R, S, I]`.
    fn patches(&self, b: usize, y: usize, x: Range<usize>, patches: &mut Vec<f32>) {
        let &Kernel { inputs, height, width, stride, padding, upsample2, .. } = self.kernel;
        patches.resize(x.len() * height * width * inputs, 0.0);
        let growth = if upsample2 { 2 } else { 1 };
        let [rows, columns] = [growth * self.shape.height, growth * self.shape.width];
        for (i, x) in x.enumerate() {
            // Places of the kernel that meet the image.
            let first = padding.left.saturating_sub(x * stride);
            let last = (columns + padding.left).saturating_sub(x * stride).min(width);
            for r in 0..height {
                let to = &mut patches[(i * height + r) * width * inputs..];
                let y = (y * stride + r).wrapping_sub(padding.top);
                if y >= rows || first >= last {
                    to[..width * inputs].fill(0.0);
                    continue;
                }
                let row = (b * self.shape.height + y / growth) * self.shape.width;
                let x = x * stride + first - padding.left;
                if growth == 1 && self.x.row_stride == inputs && (first, last) == (0, width) {
                    copy(&self.x.data[(row + x) * inputs..], width * inputs, to);
                    continue;
                }
                let to = &mut to[..width * inputs];
                to[..first * inputs].fill(0.0);
                to[last * inputs..].fill(0.0);
                for (s, to) in to.chunks_exact_mut(inputs).enumerate().take(last).skip(first) {
                    to.copy_from_slice(self.x.row(row + (x + s - first) / growth));
                }
            }
        }
    }
}

/// Copies `len` elements, and perhaps some more into what is written next: a copy whose length is
/// known takes few instructions.
fn copy(from: &[f32], len: usize, to: &mut [f32]) {
    match (from.first_chunk::<LANES>(), to.first_chunk_mut::<LANES>()) {
        (Some(from), Some(to)) if len <= LANES => *to = *from,
        _ => to[..len].copy_from_slice(&from[..len]),
    }
}

/// What the products are added to, and what becomes of the sums.
struct Sum<'a> {
    bias: &'a [f32],
    add: Option<&'a [f32]>,
    activation: Activation,
}
