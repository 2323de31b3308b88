//! One convolution with its bias.

use super::Loader;
use crate::workspace::{Size, Workspace};
use ssm_kernels::conv2d::{Activation, Args, Kernel, Shape};
use ssm_kernels::{Buf, ImageBackend, KernelError, Mat, MatMut, Storage, View, ViewMut};

/// A convolution of [`ssm_kernels::conv2d`].
#[derive(Debug)]
pub(crate) struct Conv<B: ImageBackend> {
    kernel: Kernel,
    weights: B::Conv2dWeights,
    bias: Buf<B, B::Wide>,
}

impl<B: ImageBackend> Conv<B> {
    /// The square convolution `name` that keeps the size.
    pub(crate) fn same(loader: &mut Loader<'_, B>, name: &str) -> Result<Self, KernelError> {
        Self::adapted(loader, name, |kernel| kernel)
    }

    /// The square convolution `name`; `adapt` says what distinguishes it from one that keeps the size.
    pub(super) fn adapted(
        loader: &mut Loader<'_, B>,
        name: &str,
        adapt: impl FnOnce(Kernel) -> Kernel,
    ) -> Result<Self, KernelError> {
        let weight = loader.take(&format!("{name}.weight"));
        let bias = loader.take(&format!("{name}.bias"));
        // Linear maps of attention are convolutions of single pixels.
        let side = weight.shape.get(2).copied().unwrap_or(1);
        let kernel = adapt(Kernel::same(weight.shape[1], weight.shape[0], side));
        Self::new(loader, kernel, &weight.data, &bias.data)
    }

    /// A convolution of given weights.
    pub(super) fn new(
        loader: &mut Loader<'_, B>,
        kernel: Kernel,
        weight: &[f32],
        bias: &[f32],
    ) -> Result<Self, KernelError> {
        let weights = loader.backend.conv2d_weights(&kernel, weight)?;
        Ok(Self { kernel, weights, bias: loader.vector(bias)? })
    }

    /// Size of the result for an input of `size`.
    ///
    /// # Panics
    /// When the input is smaller than the kernel, which no checked image is.
    pub(super) fn out_size(&self, size: Size) -> Size {
        let Size { batch, height, width, .. } = size;
        let Some((height, width)) = self.kernel.out_size(height, width) else {
            panic!("an image of {height}x{width} under {:?}", self.kernel);
        };
        Size { batch, height, width, channels: self.kernel.outputs }
    }

    /// `out = conv(x) + add`; `x` and `out` may have more elements than `size` asks for.
    pub(super) fn forward(
        &self,
        backend: &B,
        size: Size,
        x: &Buf<B, B::Act>,
        add: Option<&Buf<B, B::Act>>,
        out: &mut Buf<B, B::Act>,
        scratch: &mut B::Scratch,
    ) -> Result<(), KernelError> {
        let Size { batch, height, width, channels } = size;
        let (input, output) = (size.len(), self.out_size(size).len());
        let outputs = self.kernel.outputs;
        let args = Args {
            shape: Shape { batch, height, width },
            x: Mat::of(x.view().part(0..input), batch * height * width, channels),
            weights: &self.weights,
            bias: self.bias.view(),
            add: add.map(|add| add.view().part(0..output)),
            activation: Activation::None,
        };
        let out = MatMut::of(out.view_mut().part(0..output), output / outputs, outputs);
        backend.conv2d(&args, out, scratch)
    }

    /// The convolution of the current activation.
    pub(crate) fn run(&self, backend: &B, work: &mut Workspace<B>) -> Result<(), KernelError> {
        let Workspace { x, next, scratch, size, .. } = work;
        self.forward(backend, *size, x, None, next, scratch)?;
        work.size = self.out_size(*size);
        work.swap_next();
        Ok(())
    }
}
