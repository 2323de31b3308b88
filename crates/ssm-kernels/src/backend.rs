//! One implementation of every operator.

use crate::real::Real;
use crate::space::{Element, Host, Memory};
use crate::{
    KernelError, Mat, MatMut, Write, adamw_ema, add_rms_norm, causal_conv1d, elementwise, embed,
    layer_norm_modulate, patchify, segment_rms_norm, selective_scan,
};
use std::fmt::Debug;

/// A range of `T` that backend `B` reads.
pub type Ref<'a, B, T> = <<B as Backend>::Memory as Memory>::Ref<'a, T>;
/// A range of `T` that backend `B` writes.
pub type Mut<'a, B, T> = <<B as Backend>::Memory as Memory>::Mut<'a, T>;
/// Memory of `T` of backend `B`.
pub type Buf<B, T> = <<B as Backend>::Memory as Memory>::Buffer<T>;

/// Who computes, where the operands live, and in which formats: `Act` for activations and their
/// gradients, `Wide` for what sums and lasts, which is parameters, their gradients, the residual
/// stream, statistics and the states of scans. The operands of each operator are documented in its
/// module, where the formats are called `T` and `W`.
///
/// All functions return [`KernelError`] when an operand does not fit the shape. A device may still
/// be computing when they return; [`Backend::download`] waits for what it reads.
pub trait Backend: Clone + Debug + Send + Sync + 'static {
    /// Format of activations, and of the operands of matrix products.
    type Act: Element;
    /// Format of parameters, residual stream, statistics and parameter gradients.
    type Wide: Real;
    /// Where operands live.
    type Memory: Memory;
    /// Working memory of operators, kept between calls.
    type Scratch: Debug + Default + Send;

    /// `len` zeros.
    fn zeros<T: Element>(&self, len: usize) -> Result<Buf<Self, T>, KernelError>;

    /// Copies from this machine; the lengths are equal.
    fn upload<T: Element>(&self, from: &[T], to: Mut<'_, Self, T>) -> Result<(), KernelError>;

    /// Copies to this machine, after all that was asked before; the lengths are equal.
    fn download<T: Element>(&self, from: Ref<'_, Self, T>, to: &mut [T])
    -> Result<(), KernelError>;

    /// Zeros everywhere.
    fn fill_zero<T: Element>(&self, to: Mut<'_, Self, T>) -> Result<(), KernelError>;

    /// `to = from`; the lengths are equal.
    fn copy<T: Element>(
        &self,
        from: Ref<'_, Self, T>,
        to: Mut<'_, Self, T>,
    ) -> Result<(), KernelError>;

    /// Runs a pass through a network, which is hundreds of operators, where they are best called.
    fn run<R: Send>(&self, pass: impl FnOnce() -> R + Send) -> R;

    /// `out = a b`, or `out += a b`; see [`gemm`](crate::gemm).
    fn gemm(
        &self,
        out: MatMut<'_, Self::Act, Self::Memory>,
        write: Write,
        a: Mat<'_, Self::Act, Self::Memory>,
        b: Mat<'_, Self::Act, Self::Memory>,
    ) -> Result<(), KernelError>;

    /// Two products of the same shape, of the two scan orders: one call of [`Backend::gemm`] for each,
    /// or for both together.
    fn gemm_pair(
        &self,
        outs: [MatMut<'_, Self::Act, Self::Memory>; 2],
        write: Write,
        a: [Mat<'_, Self::Act, Self::Memory>; 2],
        b: [Mat<'_, Self::Act, Self::Memory>; 2],
    ) -> Result<(), KernelError> {
        let [first, second] = outs;
        self.gemm(first, write, a[0], b[0])?;
        self.gemm(second, write, a[1], b[1])
    }

    /// [`Backend::gemm`] into the wide format: gradients of weights.
    fn gemm_wide(
        &self,
        out: MatMut<'_, Self::Wide, Self::Memory>,
        write: Write,
        a: Mat<'_, Self::Act, Self::Memory>,
        b: Mat<'_, Self::Act, Self::Memory>,
    ) -> Result<(), KernelError>;

    /// Value pass of [`selective_scan`].
    fn selective_scan(
        &self,
        args: &selective_scan::Args<'_, Self::Act, Self::Wide, Self::Memory>,
        out: selective_scan::Output<'_, Self::Act, Self::Wide, Self::Memory>,
        scratch: &mut Self::Scratch,
    ) -> Result<(), KernelError>;

    /// Elements of [`selective_scan::Kept::states`] for a number of scan orders.
    fn selective_scan_states_len(&self, shape: selective_scan::Shape, directions: usize) -> usize;

    /// Gradient pass of [`selective_scan`]; `kept` as written by the value pass, `grad_gated`
    /// the gradient of its gated output.
    fn selective_scan_backward(
        &self,
        args: &selective_scan::Args<'_, Self::Act, Self::Wide, Self::Memory>,
        kept: selective_scan::Kept<'_, Self::Act, Self::Wide, Self::Memory>,
        grad_gated: Ref<'_, Self, Self::Act>,
        grads: selective_scan::Grads<'_, Self::Act, Self::Wide, Self::Memory>,
        scratch: &mut Self::Scratch,
    ) -> Result<(), KernelError>;

    /// Value pass of [`causal_conv1d`]: one output per scan order.
    fn causal_conv1d(
        &self,
        args: &causal_conv1d::Args<'_, Self::Act, Self::Wide, Self::Memory>,
        outs: &mut [Mut<'_, Self, Self::Act>],
    ) -> Result<(), KernelError>;

    /// Gradient pass of [`causal_conv1d`]: one output gradient per scan order.
    fn causal_conv1d_backward(
        &self,
        args: &causal_conv1d::Args<'_, Self::Act, Self::Wide, Self::Memory>,
        grad_outs: &[Ref<'_, Self, Self::Act>],
        grads: causal_conv1d::Grads<'_, Self::Act, Self::Wide, Self::Memory>,
        scratch: &mut Self::Scratch,
    ) -> Result<(), KernelError>;

    /// Value pass of [`add_rms_norm`].
    fn add_rms_norm(
        &self,
        args: &add_rms_norm::Args<'_, Self::Act, Self::Wide, Self::Memory>,
        out: add_rms_norm::Output<'_, Self::Act, Self::Wide, Self::Memory>,
    ) -> Result<(), KernelError>;

    /// Gradient pass of [`add_rms_norm`].
    fn add_rms_norm_backward(
        &self,
        args: &add_rms_norm::BackwardArgs<'_, Self::Act, Self::Wide, Self::Memory>,
        grads: add_rms_norm::Grads<'_, Self::Act, Self::Wide, Self::Memory>,
        scratch: &mut Self::Scratch,
    ) -> Result<(), KernelError>;

    /// Value pass of [`segment_rms_norm`], in place.
    fn segment_rms_norm(
        &self,
        shape: &segment_rms_norm::Shape,
        eps: f64,
        x: Mut<'_, Self, Self::Act>,
        rstd: Mut<'_, Self, Self::Wide>,
    ) -> Result<(), KernelError>;

    /// Gradient pass of [`segment_rms_norm`], in place.
    fn segment_rms_norm_backward(
        &self,
        shape: &segment_rms_norm::Shape,
        kept: &segment_rms_norm::Kept<'_, Self::Act, Self::Wide, Self::Memory>,
        grad: Mut<'_, Self, Self::Act>,
    ) -> Result<(), KernelError>;

    /// Value pass of [`layer_norm_modulate`] of an activation.
    fn layer_norm_modulate(
        &self,
        args: &layer_norm_modulate::Args<'_, Self::Act, Self::Act, Self::Memory>,
        out: layer_norm_modulate::Output<'_, Self::Act, Self::Wide, Self::Memory>,
    ) -> Result<(), KernelError>;

    /// Gradient pass of [`Backend::layer_norm_modulate`]; `stats` as written by the value pass.
    fn layer_norm_modulate_backward(
        &self,
        args: &layer_norm_modulate::Args<'_, Self::Act, Self::Act, Self::Memory>,
        stats: Ref<'_, Self, Self::Wide>,
        grad_out: Ref<'_, Self, Self::Act>,
        grads: layer_norm_modulate::Grads<'_, Self::Act, Self::Memory>,
        scratch: &mut Self::Scratch,
    ) -> Result<(), KernelError>;

    /// Value pass of [`layer_norm_modulate`] of the residual stream.
    fn layer_norm_modulate_wide(
        &self,
        args: &layer_norm_modulate::Args<'_, Self::Wide, Self::Act, Self::Memory>,
        out: layer_norm_modulate::Output<'_, Self::Act, Self::Wide, Self::Memory>,
    ) -> Result<(), KernelError>;

    /// Gradient pass of [`Backend::layer_norm_modulate_wide`].
    fn layer_norm_modulate_wide_backward(
        &self,
        args: &layer_norm_modulate::Args<'_, Self::Wide, Self::Act, Self::Memory>,
        stats: Ref<'_, Self, Self::Wide>,
        grad_out: Ref<'_, Self, Self::Act>,
        grads: layer_norm_modulate::Grads<'_, Self::Act, Self::Memory>,
        scratch: &mut Self::Scratch,
    ) -> Result<(), KernelError>;

    /// Image to tokens; see [`patchify`].
    fn patch_gather(
        &self,
        shape: &patchify::Shape,
        image: Ref<'_, Self, Self::Wide>,
        tokens: Mut<'_, Self, Self::Act>,
    ) -> Result<(), KernelError>;

    /// Tokens to image; see [`patchify`].
    fn patch_scatter(
        &self,
        shape: &patchify::Shape,
        tokens: Ref<'_, Self, Self::Act>,
        image: Mut<'_, Self, Self::Wide>,
    ) -> Result<(), KernelError>;

    /// One optimiser step; see [`adamw_ema`].
    fn adamw_ema(
        &self,
        hyper: &adamw_ema::Hyper<'_>,
        arenas: adamw_ema::Arenas<'_, Self::Wide, Self::Act, Self::Memory>,
    ) -> Result<(), KernelError>;

    /// Every row of `out` a copy of `row`; see [`elementwise`].
    fn fill_rows(
        &self,
        row: Ref<'_, Self, Self::Wide>,
        out: Mut<'_, Self, Self::Act>,
    ) -> Result<(), KernelError>;

    /// Sum over the rows of `x`, added to `sums`; see [`elementwise`].
    fn add_column_sums(
        &self,
        x: Mat<'_, Self::Act, Self::Memory>,
        sums: Mut<'_, Self, Self::Wide>,
    ) -> Result<(), KernelError>;

    /// `out = a + b`; see [`elementwise`].
    fn add(
        &self,
        a: Ref<'_, Self, Self::Act>,
        b: Ref<'_, Self, Self::Act>,
        out: Mut<'_, Self, Self::Act>,
    ) -> Result<(), KernelError>;

    /// `to += from`; see [`elementwise`].
    fn add_assign(
        &self,
        to: Mut<'_, Self, Self::Act>,
        from: Ref<'_, Self, Self::Act>,
    ) -> Result<(), KernelError>;

    /// `residual += x`; see [`elementwise`].
    fn add_to_residual(
        &self,
        residual: Mut<'_, Self, Self::Wide>,
        x: Ref<'_, Self, Self::Act>,
    ) -> Result<(), KernelError>;

    /// `out = residual + drop_path hidden`; see [`elementwise`].
    fn residual_add(
        &self,
        args: &elementwise::ResidualAdd<'_, Self::Act, Self::Wide, Self::Memory>,
        out: Mut<'_, Self, Self::Wide>,
    ) -> Result<(), KernelError>;

    /// `out = drop_path x`; see [`elementwise`].
    fn apply_drop_path(
        &self,
        args: &elementwise::DropPath<'_, Self::Wide, Self::Memory>,
        out: Mut<'_, Self, Self::Act>,
    ) -> Result<(), KernelError>;

    /// `out = silu(x)`; see [`elementwise`].
    fn silu(
        &self,
        x: Ref<'_, Self, Self::Act>,
        out: Mut<'_, Self, Self::Act>,
    ) -> Result<(), KernelError>;

    /// `grad *= silu'(x)`; see [`elementwise`].
    fn silu_backward(
        &self,
        x: Ref<'_, Self, Self::Act>,
        grad: Mut<'_, Self, Self::Act>,
    ) -> Result<(), KernelError>;

    /// Cosines and sines of timesteps, which are on this machine; see [`embed`].
    fn timestep_phases(
        &self,
        timesteps: &[f64],
        phases: Mut<'_, Self, Self::Act>,
    ) -> Result<(), KernelError>;

    /// Time and label as one vector per image; see [`embed`].
    fn embed_condition(
        &self,
        args: &embed::Condition<'_, Self::Act, Self::Wide, Self::Memory>,
        out: embed::ConditionOutput<'_, Self::Act, Self::Memory>,
    ) -> Result<(), KernelError>;

    /// Gradient pass of [`Backend::embed_condition`], and of time and label as tokens.
    fn embed_condition_backward(
        &self,
        args: &embed::ConditionBackward<'_, Self::Act, Self::Memory>,
        grads: embed::ConditionGrads<'_, Self::Act, Self::Wide, Self::Memory>,
    ) -> Result<(), KernelError>;

    /// Completes tokens that hold the projected patches; see [`embed`].
    fn embed_tokens(
        &self,
        args: &embed::Tokens<'_, Self::Act, Self::Wide, Self::Memory>,
        tokens: Mut<'_, Self, Self::Act>,
    ) -> Result<(), KernelError>;

    /// Gradient pass of [`Backend::embed_tokens`]: position and bias.
    fn embed_tokens_backward(
        &self,
        shape: &embed::Shape,
        grad_tokens: Ref<'_, Self, Self::Act>,
        grads: embed::TokensGrads<'_, Self::Wide, Self::Memory>,
    ) -> Result<(), KernelError>;
}

/// A backend whose operands are slices of one format, and that needs nothing to be made.
pub trait HostBackend:
    Backend<Act = <Self as HostBackend>::Elem, Wide = <Self as HostBackend>::Elem, Memory = Host>
    + Default
{
    /// The format.
    type Elem: Real;
}

impl<T: Real, B: Backend<Act = T, Wide = T, Memory = Host> + Default> HostBackend for B {
    type Elem = T;
}
