//! Operators of networks over images.

use crate::backend::{Backend, Mut};
use crate::{
    Cpu, KernelError, MatMut, Real, Reference, Scratch, conv2d, group_norm, pool2d, softmax_rows,
};
use std::fmt::Debug;

/// A [`Backend`] that also has what convolutional networks over images need. Activations are
/// channels-last, `[B, H, W, C]`, so that pixels are tokens: attention and products of single pixels
/// are [`Backend::gemm`]. The networks are frozen, so there are value passes alone.
pub trait ImageBackend: Backend {
    /// Weights of one convolution in the form that this backend reads.
    type Conv2dWeights: Debug + Send + Sync;

    /// Prepares the weights of one convolution, once for all calls: `weight` is `[O, I, R, S]`, rows
    /// and columns of the kernel last.
    fn conv2d_weights(
        &self,
        kernel: &conv2d::Kernel,
        weight: &[f32],
    ) -> Result<Self::Conv2dWeights, KernelError>;

    /// Value pass of [`conv2d`]; `out` is `[B H' W', O]`.
    fn conv2d(
        &self,
        args: &conv2d::Args<'_, Self::Conv2dWeights, Self::Act, Self::Wide, Self::Memory>,
        out: MatMut<'_, Self::Act, Self::Memory>,
        scratch: &mut Self::Scratch,
    ) -> Result<(), KernelError>;

    /// Value pass of [`pool2d`]; `out` is `[B H' W', C]`.
    fn pool2d(
        &self,
        args: &pool2d::Args<'_, Self::Act, Self::Memory>,
        out: MatMut<'_, Self::Act, Self::Memory>,
    ) -> Result<(), KernelError>;

    /// Value pass of [`group_norm`]; `out` is as the input.
    fn group_norm(
        &self,
        args: &group_norm::Args<'_, Self::Act, Self::Wide, Self::Memory>,
        out: Mut<'_, Self, Self::Act>,
        scratch: &mut Self::Scratch,
    ) -> Result<(), KernelError>;

    /// Value pass of [`softmax_rows`], in place.
    fn softmax_rows(
        &self,
        rows: MatMut<'_, Self::Act, Self::Memory>,
        factor: f64,
    ) -> Result<(), KernelError>;
}

impl<T: Real> ImageBackend for Reference<T> {
    type Conv2dWeights = conv2d::reference::Weights<T>;

    fn conv2d_weights(
        &self,
        kernel: &conv2d::Kernel,
        weight: &[f32],
    ) -> Result<Self::Conv2dWeights, KernelError> {
        let weight: Vec<T> = weight.iter().map(|&w| T::from_f64(f64::from(w))).collect();
        conv2d::reference::Weights::new(kernel, &weight)
    }

    fn conv2d(
        &self,
        args: &conv2d::Args<'_, Self::Conv2dWeights, T>,
        out: MatMut<'_, T>,
        _scratch: &mut Scratch<T>,
    ) -> Result<(), KernelError> {
        conv2d::reference::forward(args, out)
    }

    fn pool2d(&self, args: &pool2d::Args<'_, T>, out: MatMut<'_, T>) -> Result<(), KernelError> {
        pool2d::reference::forward(args, out)
    }

    fn group_norm(
        &self,
        args: &group_norm::Args<'_, T>,
        out: &mut [T],
        _scratch: &mut Scratch<T>,
    ) -> Result<(), KernelError> {
        group_norm::reference::forward(args, out)
    }

    fn softmax_rows(&self, rows: MatMut<'_, T>, factor: f64) -> Result<(), KernelError> {
        softmax_rows::reference::forward(rows, factor)
    }
}

impl ImageBackend for Cpu {
    type Conv2dWeights = conv2d::cpu::Weights;

    fn conv2d_weights(
        &self,
        kernel: &conv2d::Kernel,
        weight: &[f32],
    ) -> Result<Self::Conv2dWeights, KernelError> {
        conv2d::cpu::Weights::new(kernel, weight)
    }

    fn conv2d(
        &self,
        args: &conv2d::Args<'_, Self::Conv2dWeights, f32>,
        out: MatMut<'_, f32>,
        _scratch: &mut Scratch<f32>,
    ) -> Result<(), KernelError> {
        conv2d::cpu::forward(args, out)
    }

    fn pool2d(
        &self,
        args: &pool2d::Args<'_, f32>,
        out: MatMut<'_, f32>,
    ) -> Result<(), KernelError> {
        pool2d::cpu::forward(args, out)
    }

    fn group_norm(
        &self,
        args: &group_norm::Args<'_, f32>,
        out: &mut [f32],
        scratch: &mut Scratch<f32>,
    ) -> Result<(), KernelError> {
        group_norm::cpu::forward(args, out, scratch)
    }

    fn softmax_rows(&self, rows: MatMut<'_, f32>, factor: f64) -> Result<(), KernelError> {
        softmax_rows::cpu::forward(rows, factor)
    }
}
