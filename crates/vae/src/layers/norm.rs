//! Group norm, alone or with SiLU.

use super::Loader;
use crate::workspace::{Size, Workspace};
use ssm_kernels::group_norm::{Args, Shape};
use ssm_kernels::{Buf, ImageBackend, KernelError, Storage, View, ViewMut};

/// Of every norm of the network; `resnet_eps` and the like of diffusers.
const EPS: f64 = 1e-6;

/// A norm of [`ssm_kernels::group_norm`].
#[derive(Debug)]
pub(crate) struct Norm<B: ImageBackend> {
    groups: usize,
    silu: bool,
    weight: Buf<B, B::Wide>,
    bias: Buf<B, B::Wide>,
}

impl<B: ImageBackend> Norm<B> {
    /// The norm `name`, followed by nothing.
    pub(super) fn plain(loader: &mut Loader<'_, B>, name: &str) -> Result<Self, KernelError> {
        let [weight, bias] = ["weight", "bias"].map(|part| loader.take(&format!("{name}.{part}")));
        let (weight, bias) = (loader.vector(&weight.data)?, loader.vector(&bias.data)?);
        Ok(Self { groups: loader.groups, silu: false, weight, bias })
    }

    /// The norm `name`, followed by SiLU.
    pub(crate) fn silu(loader: &mut Loader<'_, B>, name: &str) -> Result<Self, KernelError> {
        Ok(Self { silu: true, ..Self::plain(loader, name)? })
    }

    /// `out = norm(x)`; both may have more elements than `size` asks for.
    pub(super) fn forward(
        &self,
        backend: &B,
        size: Size,
        x: &Buf<B, B::Act>,
        out: &mut Buf<B, B::Act>,
        scratch: &mut B::Scratch,
    ) -> Result<(), KernelError> {
        let Size { batch, channels, .. } = size;
        let args = Args {
            shape: Shape { batch, pixels: size.pixels(), channels, groups: self.groups },
            x: x.view().part(0..size.len()),
            weight: self.weight.view(),
            bias: self.bias.view(),
            eps: EPS,
            silu: self.silu,
        };
        backend.group_norm(&args, out.view_mut().part(0..size.len()), scratch)
    }

    /// The norm of the current activation.
    pub(crate) fn run(&self, backend: &B, work: &mut Workspace<B>) -> Result<(), KernelError> {
        let Workspace { x, next, scratch, size, .. } = work;
        self.forward(backend, *size, x, next, scratch)?;
        work.swap_next();
        Ok(())
    }
}
