//! What stands at the coarsest resolution, between encoder levels and latents.

use super::Loader;
use super::attention::Attention;
use super::resnet::Resnet;
use crate::workspace::Workspace;
use ssm_kernels::{ImageBackend, KernelError};

/// A residual block, attention where the network has it, and another residual block.
#[derive(Debug)]
pub(crate) struct MidBlock<B: ImageBackend> {
    first: Resnet<B>,
    attention: Option<Attention<B>>,
    second: Resnet<B>,
}

impl<B: ImageBackend> MidBlock<B> {
    /// The block `name`.
    pub(crate) fn load(
        loader: &mut Loader<'_, B>,
        name: &str,
        has_attention: bool,
    ) -> Result<Self, KernelError> {
        let attention = format!("{name}.attentions.0");
        Ok(Self {
            first: Resnet::load(loader, &format!("{name}.resnets.0"))?,
            attention: has_attention.then(|| Attention::load(loader, &attention)).transpose()?,
            second: Resnet::load(loader, &format!("{name}.resnets.1"))?,
        })
    }

    /// The block on the current activation.
    pub(crate) fn run(&self, backend: &B, work: &mut Workspace<B>) -> Result<(), KernelError> {
        self.first.run(backend, work)?;
        if let Some(attention) = &self.attention {
            attention.run(backend, work)?;
        }
        self.second.run(backend, work)
    }
}
