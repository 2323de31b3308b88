//! The head: last residual addition, two norms, modulation, projection to pixels.
//!
//! ```text
//! r   = r + drop_path h,   y = RMSNorm_f(r),   x^ = LayerNorm(y)
//! m   = x^ (1 + factor) + shift,   [shift | factor] = W silu(time + label) + b     (conditional)
//! out = unpatchify(m W_o^T + b_o), leading tokens dropped
//! ```
//!
//! # Source
//! The official code normalises twice, first the root mean square, then mean and variance; the paper
//! (arXiv 2402.05608, section 3.2) names only the second.

use crate::config::DisConfig;
use crate::error::ModelError;
use crate::linear::Linear;
use crate::net::Net;
use crate::params::ParamLayout;
use crate::ssm_block::rms_shape;
use ssm_kernels::patchify::{Inner, Shape as PatchShape};
use ssm_kernels::{Backend, Buffer, Mat, MatMut, Real, Scratch, Write};
use ssm_kernels::{add_rms_norm as rms, layer_norm_modulate as modulate};
use std::ops::Range;

/// Parameters of the head.
#[derive(Clone, Debug)]
pub(crate) struct FinalLayer {
    norm: Range<usize>,
    modulation: Option<Linear>,
    linear: Linear,
}

/// What the gradient pass needs of one value pass.
#[derive(Debug)]
pub(crate) struct FinalSaved<T> {
    /// `[B, L, D]`.
    residual: Buffer<T>,
    /// `[B, L]`.
    rstd: Buffer<T>,
    /// `[B, L, D]`.
    normed: Buffer<T>,
    /// `[B, 2D]`.
    modulation: Buffer<T>,
    /// `[B, L, 2]`.
    stats: Buffer<T>,
    /// `[B, L, D]`.
    modulated: Buffer<T>,
    /// `[B, L, P P C_out]`.
    pub(crate) tokens: Buffer<T>,
}

impl<T: Real> FinalSaved<T> {
    pub(crate) fn new(c: &DisConfig, batch: usize) -> Self {
        let zeros = |n: usize| Buffer::zeros(batch * n);
        let (l, d) = (c.seq_len(), c.hidden_size);
        Self {
            residual: zeros(l * d),
            rstd: zeros(l),
            normed: zeros(l * d),
            modulation: zeros(2 * d),
            stats: zeros(2 * l),
            modulated: zeros(l * d),
            tokens: zeros(l * c.output_channels() * c.patch_size.pow(2)),
        }
    }
}

/// Working memory of the gradient pass.
#[derive(Debug)]
pub(crate) struct FinalScratch<T> {
    kernels: Scratch<T>,
    grad_tokens: Buffer<T>,
    grad_modulated: Buffer<T>,
    grad_normed: Buffer<T>,
    grad_modulation: Buffer<T>,
}

impl<T: Real> FinalScratch<T> {
    pub(crate) fn new(c: &DisConfig, batch: usize) -> Self {
        let zeros = |n: usize| Buffer::zeros(batch * n);
        let (l, d) = (c.seq_len(), c.hidden_size);
        Self {
            kernels: Scratch::new(),
            grad_tokens: zeros(l * c.output_channels() * c.patch_size.pow(2)),
            grad_modulated: zeros(l * d),
            grad_normed: zeros(l * d),
            grad_modulation: zeros(2 * d),
        }
    }
}

/// Inputs of the head.
#[derive(Clone, Copy)]
pub(crate) struct FinalInput<'a, T> {
    pub(crate) batch: usize,
    /// `[B, L, D]`, output of the last block.
    pub(crate) hidden: &'a [T],
    /// `[B, L, D]`, residual of the last block.
    pub(crate) residual: &'a [T],
    /// `[B]`.
    pub(crate) drop_path: Option<&'a [T]>,
    /// `[B, D]`, SiLU of time plus label.
    pub(crate) condition: &'a [T],
}

/// Gradients the head hands on.
pub(crate) struct FinalGrads<'a, T> {
    /// `[B, L, D]`, overwritten: gradient of the last block's output.
    pub(crate) hidden: &'a mut [T],
    /// `[B, L, D]`, overwritten: gradient of the last block's residual.
    pub(crate) residual: &'a mut [T],
    /// `[B, D]`, added to.
    pub(crate) condition: &'a mut [T],
    /// The arena, added to.
    pub(crate) params: &'a mut [T],
}

/// Layout of the output tokens as an image.
fn output_patches(c: &DisConfig, batch: usize) -> PatchShape {
    PatchShape {
        batch,
        channels: c.output_channels(),
        height: c.image_size,
        width: c.image_size,
        patch: c.patch_size,
        extra: c.extra_tokens(),
        inner: Inner::ChannelLast,
    }
}

impl FinalLayer {
    pub(crate) fn new(c: &DisConfig, layout: &ParamLayout) -> Self {
        let d = c.hidden_size;
        let name = "final_layer.adaLN_modulation.1";
        Self {
            norm: layout.range("norm_f.weight"),
            modulation: c.has_final_adaln().then(|| Linear::new(layout, name, 2 * d, d)),
            linear: Linear::new(
                layout,
                "final_layer.linear",
                c.output_channels() * c.patch_size.pow(2),
                d,
            ),
        }
    }

    /// Writes the image `[B, C_out, H, W]`.
    pub(crate) fn forward<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        input: &FinalInput<'_, B::Elem>,
        saved: &mut FinalSaved<B::Elem>,
        out: &mut [B::Elem],
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let (batch, d) = (input.batch, c.hidden_size);
        let FinalSaved { residual, rstd, normed, modulation, stats, modulated, tokens } = saved;
        B::add_rms_norm(
            &rms::Args {
                shape: rms_shape(c, batch),
                hidden: input.hidden,
                residual: Some(input.residual),
                drop_path: input.drop_path,
                weight: &params[self.norm.clone()],
                eps: c.norm_eps,
            },
            rms::Output { residual, normed, rstd },
        )?;
        if let Some(linear) = &self.modulation {
            linear.forward::<B>(params, Mat::new(input.condition, batch, d), modulation)?;
        }
        let args = self.modulate_args(c, batch, normed, modulation);
        B::layer_norm_modulate(&args, modulate::Output { out: modulated, stats })?;
        let rows = batch * c.seq_len();
        self.linear.forward::<B>(params, Mat::new(modulated, rows, d), tokens)?;
        B::patch_scatter(&output_patches(c, batch), tokens, out)?;
        Ok(())
    }

    /// Walks the head backwards from the gradient of the image.
    pub(crate) fn backward<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        input: &FinalInput<'_, B::Elem>,
        saved: &FinalSaved<B::Elem>,
        grad_out: &[B::Elem],
        scratch: &mut FinalScratch<B::Elem>,
        grads: FinalGrads<'_, B::Elem>,
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let (batch, d) = (input.batch, c.hidden_size);
        let rows = batch * c.seq_len();
        let FinalScratch { kernels, grad_tokens, grad_modulated, grad_normed, grad_modulation } =
            scratch;
        let shape = output_patches(c, batch);
        B::patch_gather(&shape, grad_out, grad_tokens)?;
        let grad_tokens = Mat::new(grad_tokens, rows, shape.token_len());
        let x = Mat::new(&saved.modulated, rows, d);
        self.linear.backward_params::<B>(x, grad_tokens, grads.params)?;
        let grad_x = MatMut::new(grad_modulated, rows, d);
        self.linear.backward_input::<B>(params, grad_tokens, Write::Overwrite, grad_x)?;

        let args = self.modulate_args(c, batch, &saved.normed, &saved.modulation);
        let modulation = self.modulation.is_some().then_some(&mut **grad_modulation);
        let parts = modulate::Grads { x: grad_normed, modulation };
        B::layer_norm_modulate_backward(&args, &saved.stats, grad_modulated, parts, kernels)?;
        if let Some(linear) = &self.modulation {
            let grad = Mat::new(grad_modulation, batch, 2 * d);
            linear.backward_params::<B>(Mat::new(input.condition, batch, d), grad, grads.params)?;
            let condition = MatMut::new(grads.condition, batch, d);
            linear.backward_input::<B>(params, grad, Write::Accumulate, condition)?;
        }
        // Nothing reaches the last residual but through the norm.
        grads.residual.fill(<B::Elem as Real>::ZERO);
        B::add_rms_norm_backward(
            &rms::BackwardArgs {
                shape: rms_shape(c, batch),
                residual: &saved.residual,
                rstd: &saved.rstd,
                weight: &params[self.norm.clone()],
                drop_path: input.drop_path,
                grad_normed,
            },
            rms::Grads {
                residual: grads.residual,
                hidden: grads.hidden,
                weight: &mut grads.params[self.norm.clone()],
            },
            kernels,
        )?;
        Ok(())
    }

    fn modulate_args<'a, T>(
        &self,
        c: &DisConfig,
        batch: usize,
        x: &'a [T],
        modulation: &'a [T],
    ) -> modulate::Args<'a, T> {
        modulate::Args {
            shape: modulate::Shape { batch, seq_len: c.seq_len(), width: c.hidden_size },
            x,
            modulation: self.modulation.is_some().then_some(modulation),
            halves: modulate::Halves::ShiftFirst,
            eps: c.final_eps,
        }
    }
}
