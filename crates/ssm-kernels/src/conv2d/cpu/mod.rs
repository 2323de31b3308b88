//! The fast f32 form: `rows` cuts the work into tasks, `phases` spares products of doubled images, and
//! an `Engine` multiplies, which is `tiles` where the CPU has AMX and `lanes` elsewhere.

mod engine;
mod lanes;
mod phases;
mod rows;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod weights;

use super::{Args, Kernel, Shape, check, check_weights};
use crate::{InstructionSet, KernelError};
use weights::Packed;

/// Weights of one layer, made for one instruction set.
#[derive(Clone, Debug)]
pub struct Weights {
    kernel: Kernel,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Lanes(lanes::Lanes, Packed<f32>),
    #[cfg(target_arch = "x86_64")]
    Tiles(Packed<crate::gemm::packed::Line>),
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
pub fn forward(args: &Args<'_, Weights, f32>, out: &mut [f32]) -> Result<(), KernelError> {
    let kernel = &args.weights.kernel;
    let (rows, columns) = check(kernel, args, out.len())?;
    let images = Images { kernel, shape: args.shape, x: args.x, rows, columns };
    let sum = Sum { bias: args.bias, add: args.add };
    match &args.weights.form {
        Form::Lanes(lanes, packed) => rows::forward(*lanes, &images, packed, &sum, out),
        #[cfg(target_arch = "x86_64")]
        Form::Tiles(packed) => rows::forward(tiles::Amx, &images, packed, &sum, out),
    }
    Ok(())
}

/// The input, and rows and columns of the output.
struct Images<'a> {
    kernel: &'a Kernel,
    shape: Shape,
    x: &'a [f32],
    rows: usize,
    columns: usize,
}

impl<'a> Images<'a> {
    /// Channels of a pixel as it is stored; none outside the image.
    #[inline]
    fn pixel(&self, b: usize, y: isize, x: isize) -> Option<&'a [f32]> {
        let y = usize::try_from(y).ok().filter(|&y| y < self.shape.height)?;
        let x = usize::try_from(x).ok().filter(|&x| x < self.shape.width)?;
        let pixel = (b * self.shape.height + y) * self.shape.width + x;
        Some(&self.x[pixel * self.kernel.inputs..][..self.kernel.inputs])
    }

    /// The first pixels of a row as it is stored; none outside the image.
    fn row(&self, b: usize, y: isize, pixels: usize) -> Option<&'a [f32]> {
        let y = usize::try_from(y).ok().filter(|&y| y < self.shape.height)?;
        let pixel = (b * self.shape.height + y) * self.shape.width;
        Some(&self.x[pixel * self.kernel.inputs..][..pixels * self.kernel.inputs])
    }

    /// The pixels under the kernel of one output, `[R, S, I]`.
    fn patch(&self, b: usize, y: usize, x: usize, patch: &mut [f32]) {
        let kernel = self.kernel;
        let stored = |at: usize, kernel_at: usize, before: usize| {
            let at = (at * kernel.stride + kernel_at) as isize - before as isize;
            if kernel.upsample2 { at.div_euclid(2) } else { at }
        };
        for (tap, to) in patch.chunks_exact_mut(kernel.inputs).enumerate() {
            let y = stored(y, tap / kernel.width, kernel.padding.top);
            let x = stored(x, tap % kernel.width, kernel.padding.left);
            match self.pixel(b, y, x) {
                Some(pixel) => to.copy_from_slice(pixel),
                None => to.fill(0.0),
            }
        }
    }
}

/// What the products are added to.
struct Sum<'a> {
    bias: &'a [f32],
    add: Option<&'a [f32]>,
}

impl Sum<'_> {
    /// Writes it to `out`, which is the part of the output from element `first`, a pixel's first.
    fn start(&self, first: usize, out: &mut [f32]) {
        let width = self.bias.len();
        match self.add {
            None => out.chunks_exact_mut(width).for_each(|out| out.copy_from_slice(self.bias)),
            Some(add) => {
                let pixels = out.chunks_exact_mut(width).zip(add[first..].chunks_exact(width));
                for (out, add) in pixels {
                    for ((out, add), bias) in out.iter_mut().zip(add).zip(self.bias) {
                        *out = add + bias;
                    }
                }
            }
        }
    }
}
