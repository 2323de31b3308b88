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
use crate::net::{ActBuf, Allocator, Net, WideBuf, grad};
use crate::params::ParamLayout;
use crate::ssm_block::rms_shape;
use ssm_kernels::patchify::{Inner, Shape as PatchShape};
use ssm_kernels::{Backend, KernelError, Mut, Ref, Storage, View, Write};
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
pub(crate) struct FinalSaved<B: Backend> {
    /// `[B, L, D]`.
    residual: WideBuf<B>,
    /// `[B, L]`.
    rstd: WideBuf<B>,
    /// `[B, L, D]`.
    normed: ActBuf<B>,
    /// `[B, 2D]`.
    modulation: ActBuf<B>,
    /// `[B, L, 2]`.
    stats: WideBuf<B>,
    /// `[B, L, D]`.
    modulated: ActBuf<B>,
    /// `[B, L, P P C_out]`.
    pub(crate) tokens: ActBuf<B>,
}

impl<B: Backend> FinalSaved<B> {
    pub(crate) fn new(new: &Allocator<'_, B>) -> Result<Self, KernelError> {
        let d = new.c.hidden_size;
        Ok(Self {
            residual: new.tokens(d)?,
            rstd: new.tokens(1)?,
            normed: new.tokens(d)?,
            modulation: new.images(2 * d)?,
            stats: new.tokens(2)?,
            modulated: new.tokens(d)?,
            tokens: new.tokens(new.c.output_channels() * new.c.patch_size.pow(2))?,
        })
    }
}

/// Working memory of the gradient pass.
#[derive(Debug)]
pub(crate) struct FinalScratch<B: Backend> {
    kernels: B::Scratch,
    grad_tokens: ActBuf<B>,
    grad_modulated: ActBuf<B>,
    grad_normed: ActBuf<B>,
    grad_modulation: ActBuf<B>,
}

impl<B: Backend> FinalScratch<B> {
    pub(crate) fn new(new: &Allocator<'_, B>) -> Result<Self, KernelError> {
        let d = new.c.hidden_size;
        Ok(Self {
            kernels: B::Scratch::default(),
            grad_tokens: new.tokens(new.c.output_channels() * new.c.patch_size.pow(2))?,
            grad_modulated: new.tokens(d)?,
            grad_normed: new.tokens(d)?,
            grad_modulation: new.images(2 * d)?,
        })
    }
}

/// Inputs of the head.
pub(crate) struct FinalInput<'a, B: Backend> {
    /// `[B, L, D]`, output of the last block.
    pub(crate) hidden: &'a ActBuf<B>,
    /// `[B, L, D]`, residual of the last block.
    pub(crate) residual: &'a WideBuf<B>,
    /// `[B]`.
    pub(crate) drop_path: Option<Ref<'a, B, B::Wide>>,
    /// `[B, D]`, SiLU of time plus label.
    pub(crate) condition: &'a ActBuf<B>,
}

/// Gradients the head hands on.
pub(crate) struct FinalGrads<'a, B: Backend> {
    /// `[B, L, D]`, overwritten: gradient of the last block's output.
    pub(crate) hidden: &'a mut ActBuf<B>,
    /// `[B, L, D]`, overwritten: gradient of the last block's residual.
    pub(crate) residual: &'a mut WideBuf<B>,
    /// `[B, D]`, added to.
    pub(crate) condition: &'a mut ActBuf<B>,
    /// The arena, added to.
    pub(crate) params: Mut<'a, B, B::Wide>,
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
        net: &Net<'_, B>,
        input: &FinalInput<'_, B>,
        saved: &mut FinalSaved<B>,
        out: Mut<'_, B, B::Wide>,
    ) -> Result<(), ModelError> {
        let Net { backend, c, batch, .. } = *net;
        let FinalSaved { residual, rstd, normed, modulation, stats, modulated, tokens } = saved;
        backend.add_rms_norm(
            &rms::Args {
                shape: rms_shape(c, batch),
                hidden: input.hidden.view(),
                residual: Some(input.residual.view()),
                drop_path: input.drop_path.as_ref().map(View::reborrow),
                weight: net.param(&self.norm),
                eps: c.norm_eps,
            },
            rms::Output {
                residual: residual.view_mut(),
                normed: normed.view_mut(),
                rstd: rstd.view_mut(),
            },
        )?;
        if let Some(linear) = &self.modulation {
            let condition = input.condition.mat(batch, c.hidden_size);
            linear.forward(net, condition, modulation.view_mut())?;
        }
        let args = self.modulate_args(net, normed, modulation);
        let out_and_stats = modulate::Output { out: modulated.view_mut(), stats: stats.view_mut() };
        backend.layer_norm_modulate(&args, out_and_stats)?;
        let x = modulated.mat(net.rows(), c.hidden_size);
        self.linear.forward(net, x, tokens.view_mut())?;
        backend.patch_scatter(&output_patches(c, batch), tokens.view(), out)?;
        Ok(())
    }

    /// Walks the head backwards from the gradient of the image.
    pub(crate) fn backward<B: Backend>(
        &self,
        net: &Net<'_, B>,
        input: &FinalInput<'_, B>,
        saved: &FinalSaved<B>,
        grad_out: Ref<'_, B, B::Wide>,
        scratch: &mut FinalScratch<B>,
        mut grads: FinalGrads<'_, B>,
    ) -> Result<(), ModelError> {
        let Net { backend, c, batch, .. } = *net;
        let d = c.hidden_size;
        let shape = output_patches(c, batch);
        backend.patch_gather(&shape, grad_out, scratch.grad_tokens.view_mut())?;
        let grad_tokens = scratch.grad_tokens.mat(net.rows(), shape.token_len());
        let x = saved.modulated.mat(net.rows(), d);
        self.linear.backward_params(net, x, grad_tokens, &mut grads.params)?;
        let grad_x = scratch.grad_modulated.mat_mut(net.rows(), d);
        self.linear.backward_input(net, grad_tokens, Write::Overwrite, grad_x)?;
        self.backward_modulation(net, input, saved, scratch, &mut grads)?;
        // Nothing reaches the last residual but through the norm.
        backend.fill_zero(grads.residual.view_mut())?;
        backend.add_rms_norm_backward(
            &rms::BackwardArgs {
                shape: rms_shape(c, batch),
                residual: saved.residual.view(),
                rstd: saved.rstd.view(),
                weight: net.param(&self.norm),
                drop_path: input.drop_path.as_ref().map(View::reborrow),
                grad_normed: scratch.grad_normed.view(),
            },
            rms::Grads {
                residual: grads.residual.view_mut(),
                hidden: grads.hidden.view_mut(),
                weight: grad::<B>(&mut grads.params, &self.norm),
            },
            &mut scratch.kernels,
        )?;
        Ok(())
    }

    /// Gradient pass of the second norm and its modulation, to `scratch.grad_normed`.
    fn backward_modulation<B: Backend>(
        &self,
        net: &Net<'_, B>,
        input: &FinalInput<'_, B>,
        saved: &FinalSaved<B>,
        scratch: &mut FinalScratch<B>,
        grads: &mut FinalGrads<'_, B>,
    ) -> Result<(), ModelError> {
        let FinalScratch { kernels, grad_modulated, grad_normed, grad_modulation, .. } = scratch;
        let args = self.modulate_args(net, &saved.normed, &saved.modulation);
        let parts = modulate::Grads {
            x: grad_normed.view_mut(),
            modulation: self.modulation.as_ref().map(|_| grad_modulation.view_mut()),
        };
        let (stats, grad_out) = (saved.stats.view(), grad_modulated.view());
        net.backend.layer_norm_modulate_backward(&args, stats, grad_out, parts, kernels)?;
        if let Some(linear) = &self.modulation {
            let d = net.c.hidden_size;
            let grad = grad_modulation.mat(net.batch, 2 * d);
            let condition = input.condition.mat(net.batch, d);
            linear.backward_params(net, condition, grad, &mut grads.params)?;
            let condition = grads.condition.mat_mut(net.batch, d);
            linear.backward_input(net, grad, Write::Accumulate, condition)?;
        }
        Ok(())
    }

    fn modulate_args<'a, B: Backend>(
        &self,
        net: &Net<'_, B>,
        x: &'a ActBuf<B>,
        modulation: &'a ActBuf<B>,
    ) -> modulate::Args<'a, B::Act, B::Act, B::Memory> {
        let Net { c, batch, .. } = *net;
        modulate::Args {
            shape: modulate::Shape { batch, seq_len: c.seq_len(), width: c.hidden_size },
            x: x.view(),
            modulation: self.modulation.as_ref().map(|_| modulation.view()),
            halves: modulate::Halves::ShiftFirst,
            eps: c.final_eps,
        }
    }
}
