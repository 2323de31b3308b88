//! Memory of one pass through the network, allocated once and used again by every step.

use crate::config::Skip;
use crate::dis::Dis;
use crate::embed::{EmbedSaved, EmbedScratch};
use crate::error::ModelError;
use crate::final_layer::{FinalSaved, FinalScratch};
use crate::net::{ActBuf, Allocator, WideBuf};
use crate::ssm_block::{BlockSaved, BlockScratch};
use serde::{Deserialize, Serialize};
use ssm_kernels::{Backend, Buf, Host, KernelError, Ref, Storage};

/// What the gradient pass makes again instead of reading what the value pass kept: memory against
/// time. Results are the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recompute {
    /// Nothing.
    #[default]
    None,
    /// The scans of every block: their states are most of what is kept on a device.
    Scan,
    /// Every block from its input.
    Block,
}

/// Intermediates of a value pass, and working memory of both passes, for one batch size.
///
/// For training every block keeps what its gradient pass needs. For inference all blocks share one
/// set of buffers, and only the operands of skip connections and two hidden states stay.
#[derive(Debug)]
pub struct Activations<B: Backend> {
    pub(crate) batch: usize,
    /// Whether every block has hidden state and residual of its own: for training.
    pub(crate) keeps: bool,
    pub(crate) recompute: Recompute,
    /// `[B]`; empty where the network is unconditional.
    pub(crate) labels: Buf<B, u32>,
    /// `[blocks + 1, B]`, where the input has drop-path factors.
    pub(crate) drop_path: WideBuf<B>,
    pub(crate) embed: EmbedSaved<B>,
    /// One per block, or one for all.
    pub(crate) blocks: Vec<BlockSaved<B>>,
    /// Mixer outputs, `[B, L, D]` each: one per block, or the in-blocks' and two more.
    pub(crate) hidden: Vec<ActBuf<B>>,
    /// Residuals, `[B, L, D]` each: one per block, or two.
    pub(crate) residual: Vec<WideBuf<B>>,
    pub(crate) head: FinalSaved<B>,
    /// `[B, C_out, H, W]`.
    pub(crate) output: WideBuf<B>,
    pub(crate) scratch: BlockScratch<B>,
    pub(crate) backward: Option<BackwardScratch<B>>,
}

/// Gradients that travel from block to block.
#[derive(Debug)]
pub(crate) struct BackwardScratch<B: Backend> {
    pub(crate) embed: EmbedScratch<B>,
    pub(crate) head: FinalScratch<B>,
    /// `[B, L, D]`.
    pub(crate) hidden: ActBuf<B>,
    /// `[B, L, D]`.
    pub(crate) residual: WideBuf<B>,
    /// One `[B, L, D]` per in-block.
    pub(crate) skips: Vec<ActBuf<B>>,
    /// `[B, D]`.
    pub(crate) condition: ActBuf<B>,
}

impl<B: Backend> BackwardScratch<B> {
    fn new(new: &Allocator<'_, B>) -> Result<Self, KernelError> {
        let d = new.c.hidden_size;
        let n_skips = if new.c.skip == Skip::None { 0 } else { new.c.n_in_blocks() };
        Ok(Self {
            embed: EmbedScratch::default(),
            head: FinalScratch::new(new)?,
            hidden: new.tokens(d)?,
            residual: new.tokens(d)?,
            skips: (0..n_skips).map(|_| new.tokens(d)).collect::<Result<_, _>>()?,
            condition: new.images(d)?,
        })
    }
}

impl<B: Backend> Activations<B> {
    /// Memory for [`Dis::forward`] followed by [`Dis::backward`] on `batch` images.
    ///
    /// # Errors
    /// [`ModelError::Kernel`] when a device has not so much memory.
    pub fn for_training(dis: &Dis<B>, batch: usize) -> Result<Self, ModelError> {
        Self::for_training_with(dis, batch, Recompute::None)
    }

    /// As [`Activations::for_training`], with less memory and more time.
    ///
    /// # Errors
    /// [`ModelError::Kernel`] when a device has not so much memory.
    pub fn for_training_with(
        dis: &Dis<B>,
        batch: usize,
        recompute: Recompute,
    ) -> Result<Self, ModelError> {
        let new = Allocator { backend: dis.backend(), c: dis.config(), batch };
        let n = new.c.n_blocks();
        let blocks = if recompute == Recompute::Block { 1 } else { n };
        let scratch = BlockScratch::for_training(&new, recompute)?;
        let backward = BackwardScratch::new(&new)?;
        Ok(Self::new(&new, [blocks, n, n], recompute, scratch, Some(backward))?)
    }

    /// Memory for [`Dis::forward`] alone on `batch` images.
    ///
    /// # Errors
    /// [`ModelError::Kernel`] when a device has not so much memory.
    pub fn for_inference(dis: &Dis<B>, batch: usize) -> Result<Self, ModelError> {
        let new = Allocator { backend: dis.backend(), c: dis.config(), batch };
        let sizes = [1, new.c.n_in_blocks() + 2, 2];
        let scratch = BlockScratch::for_inference(&new)?;
        Ok(Self::new(&new, sizes, Recompute::None, scratch, None)?)
    }

    fn new(
        new: &Allocator<'_, B>,
        [blocks, hidden, residual]: [usize; 3],
        recompute: Recompute,
        scratch: BlockScratch<B>,
        backward: Option<BackwardScratch<B>>,
    ) -> Result<Self, KernelError> {
        let c = new.c;
        // Shared buffers serve blocks with and without a skip.
        let joins = |i| c.skip != Skip::None && (blocks == 1 || i > c.n_in_blocks());
        let keeps_scan = backward.is_some() && recompute != Recompute::Scan;
        let block = |i| BlockSaved::new(new, joins(i), keeps_scan);
        let blocks = (0..blocks).map(block).collect::<Result<_, _>>()?;
        Ok(Self {
            batch: new.batch,
            keeps: backward.is_some(),
            recompute,
            labels: new.images(usize::from(c.is_conditional()))?,
            drop_path: new.images(c.n_blocks() + 1)?,
            embed: EmbedSaved::new(new)?,
            blocks,
            hidden: (0..hidden).map(|_| new.tokens(c.hidden_size)).collect::<Result<_, _>>()?,
            residual: (0..residual).map(|_| new.tokens(c.hidden_size)).collect::<Result<_, _>>()?,
            head: FinalSaved::new(new)?,
            output: new.images(c.output_len())?,
            scratch,
            backward,
        })
    }

    /// Images.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The network's output where it is, `[B, C_out, H, W]`.
    pub fn output_view(&self) -> Ref<'_, B, B::Wide> {
        self.output.view()
    }

    /// Place of a block's buffers.
    pub(crate) fn saved_slot(&self, block: usize) -> usize {
        if self.blocks.len() == 1 { 0 } else { block }
    }

    /// Place of a block's hidden state: in-blocks keep theirs, the others take turns.
    pub(crate) fn hidden_slot(&self, block: usize, n_in_blocks: usize) -> usize {
        if self.keeps || block < n_in_blocks { block } else { n_in_blocks + (block % 2) }
    }

    /// Place of a block's residual.
    pub(crate) fn residual_slot(&self, block: usize) -> usize {
        if self.keeps { block } else { block % 2 }
    }
}

impl<B: Backend<Memory = Host>> Activations<B> {
    /// The network's output, `[B, C_out, H, W]`.
    pub fn output(&self) -> &[B::Wide] {
        &self.output
    }

    /// Output of the mixer of one block, `[B, L, D]`; kept for every block when training.
    pub fn block_output(&self, block: usize) -> &[B::Act] {
        &self.hidden[block]
    }

    /// Residual after the addition of one block, `[B, L, D]`; kept for every block when training.
    pub fn block_residual(&self, block: usize) -> &[B::Wide] {
        &self.residual[block]
    }

    /// Output of the last linear map before unpatchify, `[B, L, P P C_out]`.
    pub fn head_tokens(&self) -> &[B::Act] {
        &self.head.tokens
    }

    /// Output of the time network, `[B, D]`.
    pub fn time_embedding(&self) -> &[B::Act] {
        &self.embed.time
    }
}
