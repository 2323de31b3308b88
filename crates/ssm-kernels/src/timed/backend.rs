//! The operators with a clock around them.

use super::{Part, count};
use crate::backend::{Buf, Mut, Ref};
use crate::space::Element;
use crate::{
    Backend, KernelError, Mat, MatMut, Write, adamw_ema, add_rms_norm, causal_conv1d, elementwise,
    embed, layer_norm_modulate, patchify, segment_rms_norm, selective_scan,
};

/// `B`, with the wall time of every call added to a counter of the process; [`super::take`] reads them.
///
/// The small steps of [`elementwise`] and [`embed`] are not counted. Results are those of `B`. Calls from several threads at once add up, so a network is measured
/// while nothing else computes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timed<B>(B);

impl<B> Timed<B> {
    /// Counts the time of `backend`.
    pub fn of(backend: B) -> Self {
        Self(backend)
    }
}

impl<B: Backend> Backend for Timed<B> {
    type Act = B::Act;
    type Wide = B::Wide;
    type Memory = B::Memory;
    type Scratch = B::Scratch;

    fn zeros<T: Element>(&self, len: usize) -> Result<Buf<B, T>, KernelError> {
        self.0.zeros(len)
    }

    fn upload<T: Element>(&self, from: &[T], to: Mut<'_, B, T>) -> Result<(), KernelError> {
        self.0.upload(from, to)
    }

    fn download<T: Element>(&self, from: Ref<'_, B, T>, to: &mut [T]) -> Result<(), KernelError> {
        self.0.download(from, to)
    }

    fn fill_zero<T: Element>(&self, to: Mut<'_, B, T>) -> Result<(), KernelError> {
        self.0.fill_zero::<T>(to)
    }

    fn copy<T: Element>(&self, from: Ref<'_, B, T>, to: Mut<'_, B, T>) -> Result<(), KernelError> {
        self.0.copy::<T>(from, to)
    }

    fn run<R: Send>(&self, pass: impl FnOnce() -> R + Send) -> R {
        self.0.run(pass)
    }

    fn gemm(
        &self,
        out: MatMut<'_, B::Act, B::Memory>,
        write: Write,
        a: Mat<'_, B::Act, B::Memory>,
        b: Mat<'_, B::Act, B::Memory>,
    ) -> Result<(), KernelError> {
        count(Part::Products, || self.0.gemm(out, write, a, b))
    }

    fn gemm_wide(
        &self,
        out: MatMut<'_, B::Wide, B::Memory>,
        write: Write,
        a: Mat<'_, B::Act, B::Memory>,
        b: Mat<'_, B::Act, B::Memory>,
    ) -> Result<(), KernelError> {
        count(Part::Products, || self.0.gemm_wide(out, write, a, b))
    }

    fn selective_scan(
        &self,
        args: &selective_scan::Args<'_, B::Act, B::Wide, B::Memory>,
        out: selective_scan::Output<'_, B::Act, B::Wide, B::Memory>,
        scratch: &mut B::Scratch,
    ) -> Result<(), KernelError> {
        count(Part::Scan, || self.0.selective_scan(args, out, scratch))
    }

    fn selective_scan_states_len(&self, shape: selective_scan::Shape, directions: usize) -> usize {
        self.0.selective_scan_states_len(shape, directions)
    }

    fn selective_scan_backward(
        &self,
        args: &selective_scan::Args<'_, B::Act, B::Wide, B::Memory>,
        kept: selective_scan::Kept<'_, B::Act, B::Wide, B::Memory>,
        grad_gated: Ref<'_, B, B::Act>,
        grads: selective_scan::Grads<'_, B::Act, B::Wide, B::Memory>,
        scratch: &mut B::Scratch,
    ) -> Result<(), KernelError> {
        count(Part::Scan, || self.0.selective_scan_backward(args, kept, grad_gated, grads, scratch))
    }

    fn causal_conv1d(
        &self,
        args: &causal_conv1d::Args<'_, B::Act, B::Wide, B::Memory>,
        outs: &mut [Mut<'_, B, B::Act>],
    ) -> Result<(), KernelError> {
        count(Part::Convolution, || self.0.causal_conv1d(args, outs))
    }

    fn causal_conv1d_backward(
        &self,
        args: &causal_conv1d::Args<'_, B::Act, B::Wide, B::Memory>,
        grad_outs: &[Ref<'_, B, B::Act>],
        grads: causal_conv1d::Grads<'_, B::Act, B::Wide, B::Memory>,
        scratch: &mut B::Scratch,
    ) -> Result<(), KernelError> {
        count(Part::Convolution, || self.0.causal_conv1d_backward(args, grad_outs, grads, scratch))
    }

    fn add_rms_norm(
        &self,
        args: &add_rms_norm::Args<'_, B::Act, B::Wide, B::Memory>,
        out: add_rms_norm::Output<'_, B::Act, B::Wide, B::Memory>,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || self.0.add_rms_norm(args, out))
    }

    fn add_rms_norm_backward(
        &self,
        args: &add_rms_norm::BackwardArgs<'_, B::Act, B::Wide, B::Memory>,
        grads: add_rms_norm::Grads<'_, B::Act, B::Wide, B::Memory>,
        scratch: &mut B::Scratch,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || self.0.add_rms_norm_backward(args, grads, scratch))
    }

    fn segment_rms_norm(
        &self,
        shape: &segment_rms_norm::Shape,
        eps: f64,
        x: Mut<'_, B, B::Act>,
        rstd: Mut<'_, B, B::Wide>,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || self.0.segment_rms_norm(shape, eps, x, rstd))
    }

    fn segment_rms_norm_backward(
        &self,
        shape: &segment_rms_norm::Shape,
        kept: &segment_rms_norm::Kept<'_, B::Act, B::Wide, B::Memory>,
        grad: Mut<'_, B, B::Act>,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || self.0.segment_rms_norm_backward(shape, kept, grad))
    }

    fn layer_norm_modulate(
        &self,
        args: &layer_norm_modulate::Args<'_, B::Act, B::Act, B::Memory>,
        out: layer_norm_modulate::Output<'_, B::Act, B::Wide, B::Memory>,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || self.0.layer_norm_modulate(args, out))
    }

    fn layer_norm_modulate_backward(
        &self,
        args: &layer_norm_modulate::Args<'_, B::Act, B::Act, B::Memory>,
        stats: Ref<'_, B, B::Wide>,
        grad_out: Ref<'_, B, B::Act>,
        grads: layer_norm_modulate::Grads<'_, B::Act, B::Memory>,
        scratch: &mut B::Scratch,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || {
            self.0.layer_norm_modulate_backward(args, stats, grad_out, grads, scratch)
        })
    }

    fn layer_norm_modulate_wide(
        &self,
        args: &layer_norm_modulate::Args<'_, B::Wide, B::Act, B::Memory>,
        out: layer_norm_modulate::Output<'_, B::Act, B::Wide, B::Memory>,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || self.0.layer_norm_modulate_wide(args, out))
    }

    fn layer_norm_modulate_wide_backward(
        &self,
        args: &layer_norm_modulate::Args<'_, B::Wide, B::Act, B::Memory>,
        stats: Ref<'_, B, B::Wide>,
        grad_out: Ref<'_, B, B::Act>,
        grads: layer_norm_modulate::Grads<'_, B::Act, B::Memory>,
        scratch: &mut B::Scratch,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || {
            self.0.layer_norm_modulate_wide_backward(args, stats, grad_out, grads, scratch)
        })
    }

    fn patch_gather(
        &self,
        shape: &patchify::Shape,
        image: Ref<'_, B, B::Wide>,
        tokens: Mut<'_, B, B::Act>,
    ) -> Result<(), KernelError> {
        count(Part::Patches, || self.0.patch_gather(shape, image, tokens))
    }

    fn patch_scatter(
        &self,
        shape: &patchify::Shape,
        tokens: Ref<'_, B, B::Act>,
        image: Mut<'_, B, B::Wide>,
    ) -> Result<(), KernelError> {
        count(Part::Patches, || self.0.patch_scatter(shape, tokens, image))
    }

    fn adamw_ema(
        &self,
        hyper: &adamw_ema::Hyper<'_>,
        arenas: adamw_ema::Arenas<'_, B::Wide, B::Act, B::Memory>,
    ) -> Result<(), KernelError> {
        count(Part::Optimiser, || self.0.adamw_ema(hyper, arenas))
    }

    fn fill_rows(
        &self,
        row: Ref<'_, B, B::Wide>,
        out: Mut<'_, B, B::Act>,
    ) -> Result<(), KernelError> {
        self.0.fill_rows(row, out)
    }

    fn add_column_sums(
        &self,
        x: Mat<'_, B::Act, B::Memory>,
        sums: Mut<'_, B, B::Wide>,
    ) -> Result<(), KernelError> {
        self.0.add_column_sums(x, sums)
    }

    fn add(
        &self,
        a: Ref<'_, B, B::Act>,
        b: Ref<'_, B, B::Act>,
        out: Mut<'_, B, B::Act>,
    ) -> Result<(), KernelError> {
        self.0.add(a, b, out)
    }

    fn add_assign(
        &self,
        to: Mut<'_, B, B::Act>,
        from: Ref<'_, B, B::Act>,
    ) -> Result<(), KernelError> {
        self.0.add_assign(to, from)
    }

    fn add_to_residual(
        &self,
        residual: Mut<'_, B, B::Wide>,
        x: Ref<'_, B, B::Act>,
    ) -> Result<(), KernelError> {
        self.0.add_to_residual(residual, x)
    }

    fn residual_add(
        &self,
        args: &elementwise::ResidualAdd<'_, B::Act, B::Wide, B::Memory>,
        out: Mut<'_, B, B::Wide>,
    ) -> Result<(), KernelError> {
        self.0.residual_add(args, out)
    }

    fn apply_drop_path(
        &self,
        args: &elementwise::DropPath<'_, B::Wide, B::Memory>,
        out: Mut<'_, B, B::Act>,
    ) -> Result<(), KernelError> {
        self.0.apply_drop_path(args, out)
    }

    fn silu(&self, x: Ref<'_, B, B::Act>, out: Mut<'_, B, B::Act>) -> Result<(), KernelError> {
        self.0.silu(x, out)
    }

    fn silu_backward(
        &self,
        x: Ref<'_, B, B::Act>,
        grad: Mut<'_, B, B::Act>,
    ) -> Result<(), KernelError> {
        self.0.silu_backward(x, grad)
    }

    fn timestep_phases(
        &self,
        timesteps: &[f64],
        phases: Mut<'_, B, B::Act>,
    ) -> Result<(), KernelError> {
        self.0.timestep_phases(timesteps, phases)
    }

    fn embed_condition(
        &self,
        args: &embed::Condition<'_, B::Act, B::Wide, B::Memory>,
        out: embed::ConditionOutput<'_, B::Act, B::Memory>,
    ) -> Result<(), KernelError> {
        self.0.embed_condition(args, out)
    }

    fn embed_condition_backward(
        &self,
        args: &embed::ConditionBackward<'_, B::Act, B::Memory>,
        grads: embed::ConditionGrads<'_, B::Act, B::Wide, B::Memory>,
    ) -> Result<(), KernelError> {
        self.0.embed_condition_backward(args, grads)
    }

    fn embed_tokens(
        &self,
        args: &embed::Tokens<'_, B::Act, B::Wide, B::Memory>,
        tokens: Mut<'_, B, B::Act>,
    ) -> Result<(), KernelError> {
        self.0.embed_tokens(args, tokens)
    }

    fn embed_tokens_backward(
        &self,
        shape: &embed::Shape,
        grad_tokens: Ref<'_, B, B::Act>,
        grads: embed::TokensGrads<'_, B::Wide, B::Memory>,
    ) -> Result<(), KernelError> {
        self.0.embed_tokens_backward(shape, grad_tokens, grads)
    }
}
