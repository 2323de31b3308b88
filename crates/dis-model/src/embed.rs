//! Image, time and label to tokens.
//!
//! ```text
//! tokens = [label, time, patches] + position            (what the configuration has of them)
//! time   = W2 silu(W0 e + b0) + b2,    e the cosines and sines of the timestep
//! condition = silu(time + label)                         for modulated layers
//! ```
//!
//! # Source
//! DiS, arXiv 2402.05608, section 3.2.

use crate::config::DisConfig;
use crate::error::ModelError;
use crate::linear::Linear;
use crate::net::{ActBuf, ActMat, Allocator, Net, grad};
use crate::params::ParamLayout;
use ssm_kernels::embed::{
    Classes, Condition, ConditionBackward, ConditionGrads, ConditionOutput, Shape, Tokens,
    TokensGrads,
};
use ssm_kernels::patchify::{Inner, Shape as PatchShape};
use ssm_kernels::{
    Backend, Buf, KernelError, Mat, MatMut, Mut, Ref, Storage, View, ViewMut, Write,
};
use std::ops::Range;

/// Parameters of the embeddings.
#[derive(Clone, Debug)]
pub(crate) struct Embed {
    position: Range<usize>,
    patch_weight: Range<usize>,
    patch_bias: Range<usize>,
    time: [Linear; 2],
    label_table: Option<Range<usize>>,
}

/// What the gradient pass needs of one value pass.
#[derive(Debug)]
pub(crate) struct EmbedSaved<B: Backend> {
    /// `[B, L, C P P]`, zero in the leading tokens.
    patches: ActBuf<B>,
    /// `[B, D]`, cosines and sines.
    phases: ActBuf<B>,
    /// `[B, 4D]`, before SiLU.
    time_hidden: ActBuf<B>,
    /// `[B, 4D]`.
    time_silu: ActBuf<B>,
    /// `[B, D]`.
    pub(crate) time: ActBuf<B>,
    /// `[B, D]`, time plus label.
    sum: ActBuf<B>,
    /// `[B, D]`, SiLU of the above.
    pub(crate) condition: ActBuf<B>,
    /// `[B, L, D]`.
    pub(crate) tokens: ActBuf<B>,
}

impl<B: Backend> EmbedSaved<B> {
    pub(crate) fn new(new: &Allocator<'_, B>) -> Result<Self, KernelError> {
        let d = new.c.hidden_size;
        Ok(Self {
            patches: new.tokens(new.c.channels * new.c.patch_size.pow(2))?,
            phases: new.images(d)?,
            time_hidden: new.images(4 * d)?,
            time_silu: new.images(4 * d)?,
            time: new.images(d)?,
            sum: new.images(d)?,
            condition: new.images(d)?,
            tokens: new.tokens(d)?,
        })
    }
}

/// Working memory of the gradient pass, made when it is first asked for.
#[derive(Debug)]
pub(crate) struct EmbedScratch<B: Backend> {
    /// `[B, 4D]`.
    time_hidden: ActBuf<B>,
    /// `[B, L, C P P]`, where the gradient of the image is wanted.
    patches: ActBuf<B>,
}

impl<B: Backend> Default for EmbedScratch<B> {
    fn default() -> Self {
        Self { time_hidden: ActBuf::<B>::default(), patches: ActBuf::<B>::default() }
    }
}

/// Gradients that reach the embeddings, both used up as working memory.
pub(crate) struct EmbedGrads<'a, B: Backend> {
    /// `[B, L, D]`, gradient of the tokens.
    pub(crate) tokens: &'a ActBuf<B>,
    /// `[B, D]`. In: gradient of the condition. Out: of time.
    pub(crate) condition: &'a mut ActBuf<B>,
    /// The arena, added to.
    pub(crate) params: Mut<'a, B, B::Wide>,
    /// `[B, C, H, W]`, overwritten.
    pub(crate) x: Option<Mut<'a, B, B::Wide>>,
}

/// Layout of the image as input patches.
fn input_patches(c: &DisConfig, batch: usize) -> PatchShape {
    PatchShape {
        batch,
        channels: c.channels,
        height: c.image_size,
        width: c.image_size,
        patch: c.patch_size,
        extra: c.extra_tokens(),
        inner: Inner::ChannelFirst,
    }
}

fn token_shape(c: &DisConfig, batch: usize) -> Shape {
    Shape { batch, seq_len: c.seq_len(), width: c.hidden_size, extra: c.extra_tokens() }
}

impl Embed {
    pub(crate) fn new(c: &DisConfig, layout: &ParamLayout) -> Self {
        let d = c.hidden_size;
        Self {
            position: layout.range("pos_embed"),
            patch_weight: layout.range("patch_embed.proj.weight"),
            patch_bias: layout.range("patch_embed.proj.bias"),
            time: [
                Linear::new(layout, "time_embed.0", 4 * d, d),
                Linear::new(layout, "time_embed.2", d, 4 * d),
            ],
            label_table: layout.get("label_emb.embedding_table.weight").map(|p| p.range.clone()),
        }
    }

    /// Fills `saved.tokens`, `saved.time` and `saved.condition`; `labels` are `[B]`, or none.
    pub(crate) fn forward<B: Backend>(
        &self,
        net: &Net<'_, B>,
        x: Ref<'_, B, B::Wide>,
        timesteps: &[f64],
        labels: &Buf<B, u32>,
        saved: &mut EmbedSaved<B>,
    ) -> Result<(), ModelError> {
        let (batch, d) = (net.batch, net.c.hidden_size);
        net.backend.timestep_phases(timesteps, saved.phases.view_mut())?;
        let phases = saved.phases.mat(batch, d);
        self.time[0].forward(net, phases, saved.time_hidden.view_mut())?;
        net.backend.silu(saved.time_hidden.view(), saved.time_silu.view_mut())?;
        let hidden = saved.time_silu.mat(batch, 4 * d);
        self.time[1].forward(net, hidden, saved.time.view_mut())?;
        let args = Condition {
            shape: token_shape(net.c, batch),
            time: saved.time.view(),
            classes: self.classes(net, labels),
        };
        let out =
            ConditionOutput { sum: saved.sum.view_mut(), condition: saved.condition.view_mut() };
        net.backend.embed_condition(&args, out)?;
        self.assemble_tokens(net, x, labels, saved)
    }

    /// Projects the patches and puts label, time and position in place.
    fn assemble_tokens<B: Backend>(
        &self,
        net: &Net<'_, B>,
        x: Ref<'_, B, B::Wide>,
        labels: &Buf<B, u32>,
        saved: &mut EmbedSaved<B>,
    ) -> Result<(), ModelError> {
        let shape = input_patches(net.c, net.batch);
        net.backend.patch_gather(&shape, x, saved.patches.view_mut())?;
        let patches = saved.patches.mat(net.rows(), shape.token_len());
        let tokens = saved.tokens.mat_mut(net.rows(), net.c.hidden_size);
        net.backend.gemm(tokens, Write::Overwrite, patches, self.projection(net).t())?;
        let args = Tokens {
            shape: token_shape(net.c, net.batch),
            bias: net.param(&self.patch_bias),
            position: net.param(&self.position),
            time: saved.time.view(),
            classes: self.classes(net, labels),
        };
        net.backend.embed_tokens(&args, saved.tokens.view_mut())?;
        Ok(())
    }

    /// Adds the gradients of all embedding parameters.
    pub(crate) fn backward<B: Backend>(
        &self,
        net: &Net<'_, B>,
        labels: &Buf<B, u32>,
        saved: &EmbedSaved<B>,
        scratch: &mut EmbedScratch<B>,
        grads: EmbedGrads<'_, B>,
    ) -> Result<(), ModelError> {
        let EmbedGrads { tokens, condition, mut params, x } = grads;
        let shape = token_shape(net.c, net.batch);
        let ranges = [self.position.clone(), self.patch_bias.clone()];
        let [position, bias] = params.reborrow().parts(ranges);
        let sums = TokensGrads { position, bias };
        net.backend.embed_tokens_backward(&shape, tokens.view(), sums)?;
        // Patches of leading tokens are zero rows, so they add nothing to the weight.
        let patch_len = input_patches(net.c, net.batch).token_len();
        let weight = grad::<B>(&mut params, &self.patch_weight);
        let weight = MatMut::of(weight, net.c.hidden_size, patch_len);
        let by_token = tokens.mat(net.rows(), net.c.hidden_size);
        let patches = saved.patches.mat(net.rows(), patch_len);
        net.backend.gemm_wide(weight, Write::Accumulate, by_token.t(), patches)?;

        let table = self.label_table.as_ref();
        let args = ConditionBackward {
            shape,
            sum: saved.sum.view(),
            grad_tokens: tokens.view(),
            labels: table.map(|_| labels.view()),
        };
        let table = table.map(|table| grad::<B>(&mut params, table));
        let sums = ConditionGrads { condition: condition.view_mut(), table };
        net.backend.embed_condition_backward(&args, sums)?;
        self.backward_time(net, saved, scratch, condition, &mut params)?;
        match x {
            Some(x) => self.backward_image(net, by_token, scratch, x),
            None => Ok(()),
        }
    }

    /// Gradient pass of the two layers of the time network.
    fn backward_time<B: Backend>(
        &self,
        net: &Net<'_, B>,
        saved: &EmbedSaved<B>,
        scratch: &mut EmbedScratch<B>,
        grad_time: &ActBuf<B>,
        grads: &mut Mut<'_, B, B::Wide>,
    ) -> Result<(), ModelError> {
        let (batch, d) = (net.batch, net.c.hidden_size);
        let grad_time = grad_time.mat(batch, d);
        let hidden = saved.time_silu.mat(batch, 4 * d);
        self.time[1].backward_params(net, hidden, grad_time, grads)?;
        let grad_hidden = &mut scratch.time_hidden;
        make::<B>(net, grad_hidden, batch * 4 * d)?;
        let out = grad_hidden.mat_mut(batch, 4 * d);
        self.time[1].backward_input(net, grad_time, Write::Overwrite, out)?;
        net.backend.silu_backward(saved.time_hidden.view(), grad_hidden.view_mut())?;
        let phases = saved.phases.mat(batch, d);
        self.time[0].backward_params(net, phases, grad_hidden.mat(batch, 4 * d), grads)
    }

    /// Gradient of the image.
    fn backward_image<B: Backend>(
        &self,
        net: &Net<'_, B>,
        grad_tokens: ActMat<'_, B>,
        scratch: &mut EmbedScratch<B>,
        grad_x: Mut<'_, B, B::Wide>,
    ) -> Result<(), ModelError> {
        let shape = input_patches(net.c, net.batch);
        let grad_patches = &mut scratch.patches;
        make::<B>(net, grad_patches, shape.tokens_len())?;
        let out = grad_patches.mat_mut(net.rows(), shape.token_len());
        net.backend.gemm(out, Write::Overwrite, grad_tokens, self.projection(net))?;
        net.backend.patch_scatter(&shape, grad_patches.view(), grad_x)?;
        Ok(())
    }

    /// The weight of the patches, `D x C P P`.
    fn projection<'a, B: Backend>(&self, net: &'a Net<'_, B>) -> ActMat<'a, B> {
        let patch_len = input_patches(net.c, net.batch).token_len();
        Mat::of(net.weight(&self.patch_weight), net.c.hidden_size, patch_len)
    }

    fn classes<'a, B: Backend>(
        &self,
        net: &'a Net<'_, B>,
        labels: &'a Buf<B, u32>,
    ) -> Option<Classes<'a, B::Wide, B::Memory>> {
        let table = self.label_table.as_ref()?;
        Some(Classes { table: net.param(table), labels: labels.view() })
    }
}

/// Makes a buffer of working memory that is not there yet.
fn make<B: Backend>(
    net: &Net<'_, B>,
    buffer: &mut ActBuf<B>,
    len: usize,
) -> Result<(), ModelError> {
    if buffer.view().len() != len {
        *buffer = net.backend.zeros(len)?;
    }
    Ok(())
}
