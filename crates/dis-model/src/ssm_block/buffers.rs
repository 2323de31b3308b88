//! Memory of the blocks.

use crate::activations::Recompute;
use crate::bidirectional_ssm::{SsmSaved, SsmScratch};
use crate::config::Conditioning;
use crate::net::{ActBuf, Allocator, WideBuf};
use ssm_kernels::{Backend, KernelError};

/// What the gradient pass needs of one value pass, beside hidden states and residuals.
#[derive(Debug)]
pub(crate) struct BlockSaved<B: Backend> {
    /// `[B, L, D]`, output of the skip connection; empty where there is none.
    pub(super) joined: ActBuf<B>,
    /// `[B, L]` reciprocal root mean squares, or `[B, L, 2]` means and reciprocal deviations.
    pub(super) stats: WideBuf<B>,
    /// `[B, 2D]`; empty without modulation.
    pub(super) modulation: ActBuf<B>,
    /// `[B, L, D]`.
    pub(super) normed: ActBuf<B>,
    pub(super) ssm: SsmSaved<B>,
}

impl<B: Backend> BlockSaved<B> {
    pub(crate) fn new(
        new: &Allocator<'_, B>,
        has_skip: bool,
        keeps_scan: bool,
    ) -> Result<Self, KernelError> {
        let d = new.c.hidden_size;
        let modulated = new.c.conditioning == Conditioning::Adaln;
        Ok(Self {
            joined: new.tokens(if has_skip { d } else { 0 })?,
            stats: new.tokens(if modulated { 2 } else { 1 })?,
            modulation: new.images(if modulated { 2 * d } else { 0 })?,
            normed: new.tokens(d)?,
            ssm: SsmSaved::new(new, keeps_scan)?,
        })
    }
}

/// Working memory of the gradient pass of all blocks.
#[derive(Debug)]
pub(crate) struct BlockScratch<B: Backend> {
    pub(crate) ssm: SsmScratch<B>,
    pub(super) kernels: B::Scratch,
    /// `[B, L, D]`.
    pub(super) grad_normed: ActBuf<B>,
    /// `[B, L, D]`.
    pub(super) grad_joined: ActBuf<B>,
    /// `[B, 2D]`.
    pub(super) grad_modulation: ActBuf<B>,
}

impl<B: Backend> BlockScratch<B> {
    pub(crate) fn for_inference(new: &Allocator<'_, B>) -> Result<Self, KernelError> {
        Ok(Self {
            ssm: SsmScratch::for_inference(new)?,
            kernels: B::Scratch::default(),
            grad_normed: ActBuf::<B>::default(),
            grad_joined: ActBuf::<B>::default(),
            grad_modulation: ActBuf::<B>::default(),
        })
    }

    pub(crate) fn for_training(
        new: &Allocator<'_, B>,
        recompute: Recompute,
    ) -> Result<Self, KernelError> {
        let d = new.c.hidden_size;
        Ok(Self {
            ssm: SsmScratch::for_training(new, recompute)?,
            kernels: B::Scratch::default(),
            grad_normed: new.tokens(d)?,
            grad_joined: new.tokens(d)?,
            grad_modulation: new.images(2 * d)?,
        })
    }
}
