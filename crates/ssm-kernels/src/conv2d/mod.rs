//! Convolution of images, of any small kernel, with stride, padding, doubling of the input and a sum.
//!
//! ```text
//! out[b, y, x, o] = activation(bias[o] + add[b, y, x, o]
//!                 + sum over r, s, i of weight[o, i, r, s] in[b, S y + r - top, S x + s - left, i])
//! ```
//!
//! `in` is 0 outside the image. It is the input as it stands, or with `upsample2` as if every pixel
//! were doubled in both directions: `in[y, x] = input[y / 2, x / 2]`.
//!
//! | operand | shape | format | meaning |
//! |---|---|---|---|
//! | `x` | `[B H W, I]`, rows of any stride | `T` | input, channels last |
//! | `weights` | of `[O, I, R, S]` | the backend's own | made once by [`ImageBackend::conv2d_weights`](crate::ImageBackend::conv2d_weights) |
//! | `bias` | `[O]` | `W` | |
//! | `add` | `[B, H', W', O]`, optional | `T` | added to the result: a residual connection |
//! | output | `[B H' W', O]`, rows of any stride | `T` | its size is [`Kernel::out_size`] |
//!
//! Input and output are matrices of pixels, so that branches of a network read some channels of wider
//! pixels and write where their results stand side by side.
//! The weights are those of a frozen network, so there is no gradient pass.
//!
//! # Source
//! What the autoencoder of Stable Diffusion (arXiv 2112.10752) and Inception-v3 (arXiv 1512.00567)
//! need. The encoder of the former pads below and at the right alone where it halves the image;
//! its decoder doubles by nearest neighbour before it convolves.

pub mod cases;
mod check;
pub mod cpu;
#[cfg(feature = "device")]
pub mod device;
pub mod reference;

use crate::space::{Element, Host, Memory};
use crate::{Mat, Real};
pub(crate) use check::{check, check_weights};

/// Rows and columns of zeros around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns at the left.
    pub left: usize,
    /// Columns at the right.
    pub right: usize,
}

/// What one layer is, whatever the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Channels of the input, `I`.
    pub inputs: usize,
    /// Channels of the output, `O`.
    pub outputs: usize,
    /// Rows of the kernel, `R`.
    pub height: usize,
    /// Columns of the kernel, `S`.
    pub width: usize,
    /// Pixels of the input from one output to the next, in both directions.
    pub stride: usize,
    /// Zeros around the input, counted after its doubling.
    pub padding: Padding,
    /// Whether the input is read as if every pixel were doubled in both directions.
    pub upsample2: bool,
}

impl Kernel {
    /// An odd square kernel whose output is as large as its input.
    pub fn same(inputs: usize, outputs: usize, side: usize) -> Self {
        let [top, bottom, left, right] = [side / 2; 4];
        let padding = Padding { top, bottom, left, right };
        let (height, width, stride, upsample2) = (side, side, 1, false);
        Self { inputs, outputs, height, width, stride, padding, upsample2 }
    }

    /// Elements of the weight.
    pub fn weight_len(&self) -> usize {
        self.outputs * self.inputs * self.height * self.width
    }

    /// Rows and columns of the output for an input of `height` x `width`; none where the kernel is
    /// larger than the padded input.
    pub fn out_size(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let growth = if self.upsample2 { 2 } else { 1 };
        let along = |input: usize, before: usize, after: usize, kernel: usize| {
            Some((growth * input + before + after).checked_sub(kernel)? / self.stride + 1)
        };
        let Padding { top, bottom, left, right } = self.padding;
        Some((along(height, top, bottom, self.height)?, along(width, left, right, self.width)?))
    }
}

/// The images of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images, `B`.
    pub batch: usize,
    /// Rows of the input as it is stored, `H`.
    pub height: usize,
    /// Columns of the input as it is stored, `W`.
    pub width: usize,
}

/// What becomes of a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Itself.
    #[default]
    None,
    /// 0 where it is negative.
    Relu,
}

impl Activation {
    /// Of one sum; NaN stays.
    #[inline(always)]
    pub(crate) fn of<T: Real>(self, sum: T) -> T {
        match self {
            Self::Relu if sum < T::ZERO => T::ZERO,
            _ => sum,
        }
    }
}

/// Operands; `C` are the weights of a backend.
#[derive(Debug)]
pub struct Args<'a, C, T: Element, W: Element = T, M: Memory = Host> {
    /// The images.
    pub shape: Shape,
    /// `[B H W, I]`.
    pub x: Mat<'a, T, M>,
    /// Weights of the layer, which say what it is.
    pub weights: &'a C,
    /// `[O]`.
    pub bias: M::Ref<'a, W>,
    /// `[B, H', W', O]`.
    pub add: Option<M::Ref<'a, T>>,
    /// What becomes of the sums.
    pub activation: Activation,
}
