//! Memory of one pass through the network, allocated once and used again by every step.

use crate::bidirectional_ssm::scan_shape;
use crate::config::{DisConfig, Skip};
use crate::dis::Dis;
use crate::embed::EmbedSaved;
use crate::final_layer::{FinalSaved, FinalScratch};
use crate::ssm_block::{BlockSaved, BlockScratch};
use ssm_kernels::{Backend, Buffer, Real};

/// Intermediates of a value pass, and working memory of both passes, for one batch size.
///
/// For training every block keeps what its gradient pass needs. For inference all blocks share one
/// set of buffers, and only the operands of skip connections and two hidden states stay.
#[derive(Debug)]
pub struct Activations<T> {
    pub(crate) batch: usize,
    pub(crate) keeps: bool,
    pub(crate) embed: EmbedSaved<T>,
    /// One per block, or one for all.
    pub(crate) blocks: Vec<BlockSaved<T>>,
    /// Mixer outputs, `[B, L, D]` each: one per block, or the in-blocks' and two more.
    pub(crate) hidden: Vec<Buffer<T>>,
    /// Residuals, `[B, L, D]` each: one per block, or two.
    pub(crate) residual: Vec<Buffer<T>>,
    pub(crate) head: FinalSaved<T>,
    /// `[B, C_out, H, W]`.
    pub(crate) output: Buffer<T>,
    pub(crate) scratch: BlockScratch<T>,
    pub(crate) backward: Option<BackwardScratch<T>>,
}

/// Gradients that travel from block to block.
#[derive(Debug)]
pub(crate) struct BackwardScratch<T> {
    pub(crate) head: FinalScratch<T>,
    /// `[B, L, D]`.
    pub(crate) hidden: Buffer<T>,
    /// `[B, L, D]`.
    pub(crate) residual: Buffer<T>,
    /// One `[B, L, D]` per in-block.
    pub(crate) skips: Vec<Buffer<T>>,
    /// `[B, D]`.
    pub(crate) condition: Buffer<T>,
}

impl<T: Real> Activations<T> {
    /// Memory for [`Dis::forward`] followed by [`Dis::backward`] on `batch` images.
    pub fn for_training<B: Backend<Elem = T>>(dis: &Dis<B>, batch: usize) -> Self {
        let c = dis.config();
        let activation = || Buffer::zeros(batch * c.seq_len() * c.hidden_size);
        let n_skips = if c.skip == Skip::None { 0 } else { c.n_in_blocks() };
        let backward = BackwardScratch {
            head: FinalScratch::new(c, batch),
            hidden: activation(),
            residual: activation(),
            skips: (0..n_skips).map(|_| activation()).collect(),
            condition: Buffer::zeros(batch * c.hidden_size),
        };
        let n = c.n_blocks();
        let scratch = BlockScratch::for_training(c, batch);
        let scan_states = B::selective_scan_states_len(scan_shape(c, batch), 2);
        Self::new(c, batch, [n, n, n], scan_states, scratch, Some(backward))
    }

    /// Memory for [`Dis::forward`] alone on `batch` images.
    pub fn for_inference<B: Backend<Elem = T>>(dis: &Dis<B>, batch: usize) -> Self {
        let c = dis.config();
        let sizes = [1, c.n_in_blocks() + 2, 2];
        Self::new(c, batch, sizes, 0, BlockScratch::for_inference(c, batch), None)
    }

    fn new(
        c: &DisConfig,
        batch: usize,
        [blocks, hidden, residual]: [usize; 3],
        scan_states: usize,
        scratch: BlockScratch<T>,
        backward: Option<BackwardScratch<T>>,
    ) -> Self {
        let activation = |_| Buffer::zeros(batch * c.seq_len() * c.hidden_size);
        // Shared buffers serve blocks with and without a skip.
        let joins = |i| c.skip != Skip::None && (backward.is_none() || i > c.n_in_blocks());
        Self {
            batch,
            keeps: backward.is_some(),
            embed: EmbedSaved::new(c, batch),
            blocks: (0..blocks).map(|i| BlockSaved::new(c, batch, joins(i), scan_states)).collect(),
            hidden: (0..hidden).map(activation).collect(),
            residual: (0..residual).map(activation).collect(),
            head: FinalSaved::new(c, batch),
            output: Buffer::zeros(batch * c.output_len()),
            scratch,
            backward,
        }
    }

    /// Images.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The network's output, `[B, C_out, H, W]`.
    pub fn output(&self) -> &[T] {
        &self.output
    }

    /// Output of the mixer of one block, `[B, L, D]`; kept for every block when training.
    pub fn block_output(&self, block: usize) -> &[T] {
        &self.hidden[block]
    }

    /// Residual after the addition of one block, `[B, L, D]`; kept for every block when training.
    pub fn block_residual(&self, block: usize) -> &[T] {
        &self.residual[block]
    }

    /// Output of the last linear map before unpatchify, `[B, L, P P C_out]`.
    pub fn head_tokens(&self) -> &[T] {
        &self.head.tokens
    }

    /// Output of the time network, `[B, D]`.
    pub fn time_embedding(&self) -> &[T] {
        &self.embed.time
    }

    /// Place of a block's buffers.
    pub(crate) fn saved_slot(&self, block: usize) -> usize {
        if self.keeps { block } else { 0 }
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
