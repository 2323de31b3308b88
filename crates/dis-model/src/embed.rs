//! Image, time and label to tokens.
//!
//! ```text
//! tokens = [label, time, patches] + position            (what the configuration has of them)
//! time   = W2 silu(W0 e + b0) + b2,    e = [cos(t f) | sin(t f)],  f_i = 10000^(-i / floor(D/2))
//! condition = silu(time + label)                         for modulated layers
//! ```
//!
//! # Source
//! DiS, arXiv 2402.05608, section 3.2. The phase of the timestep embedding is computed in f64 and
//! rounded once; the official code computes it in f32 and is off by up to 7e-5.

use crate::config::{Conditioning, DisConfig};
use crate::error::ModelError;
use crate::linear::{Linear, add_column_sums};
use crate::net::Net;
use crate::params::ParamLayout;
use ssm_kernels::patchify::{Inner, Shape as PatchShape};
use ssm_kernels::{Backend, Buffer, Mat, MatMut, Real, Scratch, Write};
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
#[derive(Debug, Default)]
pub(crate) struct EmbedSaved<T> {
    /// `[B, L, C P P]`, zero in the leading tokens.
    patches: Buffer<T>,
    /// `[B, D]`, cosines and sines.
    phases: Buffer<T>,
    /// `[B, 4D]`, before SiLU.
    time_hidden: Buffer<T>,
    /// `[B, 4D]`.
    time_silu: Buffer<T>,
    /// `[B, D]`.
    pub(crate) time: Buffer<T>,
    /// `[B, D]`, time plus label.
    sum: Buffer<T>,
    /// `[B, D]`, SiLU of the above.
    pub(crate) condition: Buffer<T>,
    /// `[B, L, D]`.
    pub(crate) tokens: Buffer<T>,
    /// Working memory of the gradient pass.
    scratch: Scratch<T>,
}

impl<T: Real> EmbedSaved<T> {
    pub(crate) fn new(c: &DisConfig, batch: usize) -> Self {
        let zeros = |n: usize| Buffer::zeros(batch * n);
        let (d, l) = (c.hidden_size, c.seq_len());
        Self {
            patches: zeros(l * c.channels * c.patch_size.pow(2)),
            phases: zeros(d),
            time_hidden: zeros(4 * d),
            time_silu: zeros(4 * d),
            time: zeros(d),
            sum: zeros(d),
            condition: zeros(d),
            tokens: zeros(l * d),
            scratch: Scratch::new(),
        }
    }
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

/// `[cos(t f) | sin(t f)]` of one timestep, a trailing zero where the width is odd.
pub(crate) fn timestep_phases<T: Real>(timestep: f64, out: &mut [T]) {
    let half = out.len() / 2;
    out.fill(T::ZERO);
    for i in 0..half {
        let phase = timestep * (-(10_000f64.ln()) * i as f64 / half as f64).exp();
        out[i] = T::from_f64(phase.cos());
        out[half + i] = T::from_f64(phase.sin());
    }
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

    /// Fills `saved.tokens`, `saved.time` and `saved.condition`.
    pub(crate) fn forward<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        x: &[B::Elem],
        timesteps: &[f64],
        labels: Option<&[u32]>,
        saved: &mut EmbedSaved<B::Elem>,
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let (batch, d) = (timesteps.len(), c.hidden_size);
        for (phases, &t) in saved.phases.chunks_exact_mut(d).zip(timesteps) {
            timestep_phases(t, phases);
        }
        let phases = Mat::new(&saved.phases, batch, d);
        self.time[0].forward::<B>(params, phases, &mut saved.time_hidden)?;
        for (y, &x) in saved.time_silu.iter_mut().zip(saved.time_hidden.iter()) {
            *y = x.silu();
        }
        let hidden = Mat::new(&saved.time_silu, batch, 4 * d);
        self.time[1].forward::<B>(params, hidden, &mut saved.time)?;

        saved.sum.copy_from_slice(&saved.time);
        if let (Some(table), Some(labels)) = (&self.label_table, labels) {
            let table = &params[table.clone()];
            for (sum, &label) in saved.sum.chunks_exact_mut(d).zip(labels) {
                for (sum, &e) in sum.iter_mut().zip(&table[label as usize * d..][..d]) {
                    *sum += e;
                }
            }
        }
        for (y, &x) in saved.condition.iter_mut().zip(saved.sum.iter()) {
            *y = x.silu();
        }
        self.assemble_tokens::<B>(net, x, labels, saved)
    }

    /// Projects the patches and puts label, time and position in place.
    fn assemble_tokens<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        x: &[B::Elem],
        labels: Option<&[u32]>,
        saved: &mut EmbedSaved<B::Elem>,
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let (d, l, extra) = (c.hidden_size, c.seq_len(), c.extra_tokens());
        let shape = input_patches(c, saved.time.len() / d);
        B::patch_gather(&shape, x, &mut saved.patches)?;
        let weight = Mat::new(&params[self.patch_weight.clone()], d, shape.token_len());
        let patches = Mat::new(&saved.patches, shape.batch * l, shape.token_len());
        let tokens = MatMut::new(&mut saved.tokens, shape.batch * l, d);
        B::gemm(tokens, Write::Overwrite, patches, weight.t())?;

        let position = &params[self.position.clone()];
        let bias = &params[self.patch_bias.clone()];
        for (b, image) in saved.tokens.chunks_exact_mut(l * d).enumerate() {
            let (lead, patches) = image.split_at_mut(extra * d);
            for token in patches.chunks_exact_mut(d) {
                for (x, &bias) in token.iter_mut().zip(bias) {
                    *x += bias;
                }
            }
            if c.conditioning == Conditioning::Token {
                let (label, time) = lead.split_at_mut((extra - 1) * d);
                time.copy_from_slice(&saved.time[b * d..][..d]);
                if let (Some(table), Some(labels)) = (&self.label_table, labels) {
                    label.copy_from_slice(&params[table.clone()][labels[b] as usize * d..][..d]);
                }
            }
            for (x, &p) in image.iter_mut().zip(position) {
                *x += p;
            }
        }
        Ok(())
    }

    /// Adds the gradients of all embedding parameters.
    ///
    /// `grad_tokens` is the gradient of `saved.tokens`, `grad_condition` that of `saved.condition`;
    /// both are used up as working memory.
    #[allow(clippy::too_many_arguments, reason = "an embedding has this many inputs")]
    pub(crate) fn backward<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        labels: Option<&[u32]>,
        saved: &mut EmbedSaved<B::Elem>,
        grad_tokens: &mut [B::Elem],
        grad_condition: &mut [B::Elem],
        grads: &mut [B::Elem],
        grad_x: Option<&mut [B::Elem]>,
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let (d, l, extra) = (c.hidden_size, c.seq_len(), c.extra_tokens());
        let batch = saved.time.len() / d;
        let by_image = Mat::new(grad_tokens, batch, l * d);
        add_column_sums(by_image, &mut grads[self.position.clone()]);
        for image in grad_tokens.chunks_exact(l * d) {
            let patches = Mat::new(&image[extra * d..], l - extra, d);
            add_column_sums(patches, &mut grads[self.patch_bias.clone()]);
        }
        // Patches of leading tokens are zero rows, so they add nothing to the weight.
        let shape = input_patches(c, batch);
        let grad_weight = MatMut::new(&mut grads[self.patch_weight.clone()], d, shape.token_len());
        let patches = Mat::new(&saved.patches, batch * l, shape.token_len());
        let by_token = Mat::new(grad_tokens, batch * l, d);
        B::gemm(grad_weight, Write::Accumulate, by_token.t(), patches)?;

        // From here `grad_condition` is the gradient of time plus label.
        for (grad, &sum) in grad_condition.iter_mut().zip(saved.sum.iter()) {
            *grad *= sum.silu_slope();
        }
        if let (Some(table), Some(labels)) = (&self.label_table, labels) {
            let table = &mut grads[table.clone()];
            for (b, &label) in labels.iter().enumerate() {
                let row = &mut table[label as usize * d..][..d];
                for (row, &g) in row.iter_mut().zip(&grad_condition[b * d..][..d]) {
                    *row += g;
                }
                if extra == 2 {
                    for (row, &g) in row.iter_mut().zip(&grad_tokens[b * l * d..][..d]) {
                        *row += g;
                    }
                }
            }
        }
        if extra > 0 {
            for (b, grad_time) in grad_condition.chunks_exact_mut(d).enumerate() {
                let token = &grad_tokens[(b * l + extra - 1) * d..][..d];
                for (grad, &g) in grad_time.iter_mut().zip(token) {
                    *grad += g;
                }
            }
        }
        self.backward_time::<B>(params, saved, grad_condition, grads)?;

        if let Some(grad_x) = grad_x {
            let weight = Mat::new(&params[self.patch_weight.clone()], d, shape.token_len());
            let grad_patches = saved.scratch.take(shape.tokens_len());
            let out = MatMut::new(grad_patches, batch * l, shape.token_len());
            B::gemm(out, Write::Overwrite, by_token, weight)?;
            B::patch_scatter(&shape, grad_patches, grad_x)?;
        }
        Ok(())
    }

    /// Gradient pass of the two layers of the time network.
    fn backward_time<B: Backend>(
        &self,
        params: &[B::Elem],
        saved: &mut EmbedSaved<B::Elem>,
        grad_time: &[B::Elem],
        grads: &mut [B::Elem],
    ) -> Result<(), ModelError> {
        let d = self.time[1].outputs();
        let batch = saved.time.len() / d;
        let grad_time = Mat::new(grad_time, batch, d);
        let hidden = Mat::new(&saved.time_silu, batch, 4 * d);
        self.time[1].backward_params::<B>(hidden, grad_time, grads)?;
        let grad_hidden = saved.scratch.take(batch * 4 * d);
        let out = MatMut::new(grad_hidden, batch, 4 * d);
        self.time[1].backward_input::<B>(params, grad_time, Write::Overwrite, out)?;
        for (grad, &x) in grad_hidden.iter_mut().zip(saved.time_hidden.iter()) {
            *grad *= x.silu_slope();
        }
        let grad_hidden = Mat::new(grad_hidden, batch, 4 * d);
        let phases = Mat::new(&saved.phases, batch, d);
        self.time[0].backward_params::<B>(phases, grad_hidden, grads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_cosines_then_sines_then_a_zero_for_odd_widths() {
        let mut e = [f64::NAN; 9];
        timestep_phases(7.0, &mut e);
        for i in 0..4 {
            let phase = 7.0 * 10_000f64.powf(-(i as f64) / 4.0);
            assert!((e[i] - phase.cos()).abs() < 1e-13 && (e[4 + i] - phase.sin()).abs() < 1e-13);
        }
        assert_eq!(e[8], 0.0);
    }
}
