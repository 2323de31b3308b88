//! Residual blocks.

use super::{Conv, Loader, Norm};
use crate::workspace::Workspace;
use ssm_kernels::{ImageBackend, KernelError};

/// `y = conv2(silu(norm2(conv1(silu(norm1(x)))))) + shortcut(x)`.
///
/// The convolutions are 3x3; `shortcut` is a 1x1 convolution where the number of channels changes,
/// and nothing elsewhere.
#[derive(Debug)]
pub(crate) struct Resnet<B: ImageBackend> {
    norm1: Norm<B>,
    conv1: Conv<B>,
    norm2: Norm<B>,
    conv2: Conv<B>,
    shortcut: Option<Conv<B>>,
}

impl<B: ImageBackend> Resnet<B> {
    /// The block `name`, with a shortcut where there are weights for one.
    pub(crate) fn load(loader: &mut Loader<'_, B>, name: &str) -> Result<Self, KernelError> {
        let shortcut = format!("{name}.conv_shortcut");
        let has_shortcut = loader.tensors.contains_key(&format!("{shortcut}.weight"));
        Ok(Self {
            norm1: Norm::silu(loader, &format!("{name}.norm1"))?,
            conv1: Conv::same(loader, &format!("{name}.conv1"))?,
            norm2: Norm::silu(loader, &format!("{name}.norm2"))?,
            conv2: Conv::same(loader, &format!("{name}.conv2"))?,
            shortcut: has_shortcut.then(|| Conv::same(loader, &shortcut)).transpose()?,
        })
    }

    /// The block on the current activation.
    pub(crate) fn run(&self, backend: &B, work: &mut Workspace<B>) -> Result<(), KernelError> {
        let Workspace { x, normed, next, scratch, size, .. } = work;
        let (input, output) = (*size, self.conv1.out_size(*size));
        self.norm1.forward(backend, input, x, normed, scratch)?;
        self.conv1.forward(backend, input, normed, None, next, scratch)?;
        self.norm2.forward(backend, output, next, normed, scratch)?;
        // The hidden activation is used up, so its place is free; behind a shortcut, that of `x` is.
        if let Some(shortcut) = &self.shortcut {
            shortcut.forward(backend, input, x, None, next, scratch)?;
            let add = Some(&*next);
            self.conv2.forward(backend, output, normed, add, x, scratch)?;
        } else {
            let add = Some(&*x);
            self.conv2.forward(backend, output, normed, add, next, scratch)?;
            work.swap_next();
        }
        work.size = output;
        Ok(())
    }
}
