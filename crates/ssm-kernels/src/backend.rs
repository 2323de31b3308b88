//! One implementation of every operator.

use crate::real::Real;
use crate::{
    InstructionSet, KernelError, Mat, MatMut, Precision, Scratch, Write, adamw_ema, add_rms_norm,
    causal_conv1d, gemm, layer_norm_modulate, patchify, selective_scan,
};
use std::fmt::Debug;
use std::marker::PhantomData;

/// Who computes. The operands of each operator are documented in its module.
///
/// All functions return [`KernelError`] when an operand does not fit the shape.
pub trait Backend: Copy + Default + Debug + Send + Sync + 'static {
    /// Element type of activations and parameters.
    type Elem: Real;

    /// `out = a b`, or `out += a b`; see [`gemm`].
    fn gemm(
        out: MatMut<'_, Self::Elem>,
        write: Write,
        a: Mat<'_, Self::Elem>,
        b: Mat<'_, Self::Elem>,
    ) -> Result<(), KernelError>;

    /// Value pass of [`selective_scan`].
    fn selective_scan(
        args: &selective_scan::Args<'_, Self::Elem>,
        out: selective_scan::Output<'_, Self::Elem>,
        scratch: &mut Scratch<Self::Elem>,
    ) -> Result<(), KernelError>;

    /// Elements of [`selective_scan::Kept::states`] for a number of scan orders.
    fn selective_scan_states_len(shape: selective_scan::Shape, directions: usize) -> usize;

    /// Gradient pass of [`selective_scan`]; `kept` as written by the value pass, `grad_gated`
    /// the gradient of its gated output.
    fn selective_scan_backward(
        args: &selective_scan::Args<'_, Self::Elem>,
        kept: selective_scan::Kept<'_, Self::Elem>,
        grad_gated: &[Self::Elem],
        grads: selective_scan::Grads<'_, Self::Elem>,
        scratch: &mut Scratch<Self::Elem>,
    ) -> Result<(), KernelError>;

    /// Value pass of [`causal_conv1d`]: one output per scan order.
    fn causal_conv1d(
        args: &causal_conv1d::Args<'_, Self::Elem>,
        outs: &mut [&mut [Self::Elem]],
    ) -> Result<(), KernelError>;

    /// Gradient pass of [`causal_conv1d`]: one output gradient per scan order.
    fn causal_conv1d_backward(
        args: &causal_conv1d::Args<'_, Self::Elem>,
        grad_outs: &[&[Self::Elem]],
        grads: causal_conv1d::Grads<'_, Self::Elem>,
        scratch: &mut Scratch<Self::Elem>,
    ) -> Result<(), KernelError>;

    /// Value pass of [`add_rms_norm`].
    fn add_rms_norm(
        args: &add_rms_norm::Args<'_, Self::Elem>,
        out: add_rms_norm::Output<'_, Self::Elem>,
    ) -> Result<(), KernelError>;

    /// Gradient pass of [`add_rms_norm`].
    fn add_rms_norm_backward(
        args: &add_rms_norm::BackwardArgs<'_, Self::Elem>,
        grads: add_rms_norm::Grads<'_, Self::Elem>,
        scratch: &mut Scratch<Self::Elem>,
    ) -> Result<(), KernelError>;

    /// Value pass of [`layer_norm_modulate`].
    fn layer_norm_modulate(
        args: &layer_norm_modulate::Args<'_, Self::Elem>,
        out: layer_norm_modulate::Output<'_, Self::Elem>,
    ) -> Result<(), KernelError>;

    /// Gradient pass of [`layer_norm_modulate`]; `stats` as written by the value pass.
    fn layer_norm_modulate_backward(
        args: &layer_norm_modulate::Args<'_, Self::Elem>,
        stats: &[Self::Elem],
        grad_out: &[Self::Elem],
        grads: layer_norm_modulate::Grads<'_, Self::Elem>,
        scratch: &mut Scratch<Self::Elem>,
    ) -> Result<(), KernelError>;

    /// Image to tokens; see [`patchify`].
    fn patch_gather(
        shape: &patchify::Shape,
        image: &[Self::Elem],
        tokens: &mut [Self::Elem],
    ) -> Result<(), KernelError>;

    /// Tokens to image; see [`patchify`].
    fn patch_scatter(
        shape: &patchify::Shape,
        tokens: &[Self::Elem],
        image: &mut [Self::Elem],
    ) -> Result<(), KernelError>;

    /// One optimiser step; see [`adamw_ema`].
    fn adamw_ema(
        hyper: &adamw_ema::Hyper<'_>,
        arenas: adamw_ema::Arenas<'_, Self::Elem>,
    ) -> Result<(), KernelError>;
}

/// The definitions: plain loops, one thread, any [`Real`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference<T>(PhantomData<T>);

/// The fast f32 path of this machine's CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

/// As [`Cpu`], with the operands of matrix products rounded to bf16 where the CPU has units for
/// that, see [`gemm::has_units`]. For inference: the network's output is then off by some 3e-3 of its
/// largest value, and gradients by more.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuBf16;

/// Forwards every operator to the functions of one name in each operator's module.
macro_rules! operators {
    ($elem:ty, $module:ident) => {
        fn selective_scan(
            args: &selective_scan::Args<'_, $elem>,
            out: selective_scan::Output<'_, $elem>,
            scratch: &mut Scratch<$elem>,
        ) -> Result<(), KernelError> {
            selective_scan::$module::forward(args, out, scratch)
        }

        fn selective_scan_states_len(shape: selective_scan::Shape, directions: usize) -> usize {
            selective_scan::$module::states_len(shape, directions)
        }

        fn selective_scan_backward(
            args: &selective_scan::Args<'_, $elem>,
            kept: selective_scan::Kept<'_, $elem>,
            grad_gated: &[$elem],
            grads: selective_scan::Grads<'_, $elem>,
            scratch: &mut Scratch<$elem>,
        ) -> Result<(), KernelError> {
            selective_scan::$module::backward(args, kept, grad_gated, grads, scratch)
        }

        fn causal_conv1d(
            args: &causal_conv1d::Args<'_, $elem>,
            outs: &mut [&mut [$elem]],
        ) -> Result<(), KernelError> {
            causal_conv1d::$module::forward(args, outs)
        }

        fn causal_conv1d_backward(
            args: &causal_conv1d::Args<'_, $elem>,
            grad_outs: &[&[$elem]],
            grads: causal_conv1d::Grads<'_, $elem>,
            scratch: &mut Scratch<$elem>,
        ) -> Result<(), KernelError> {
            causal_conv1d::$module::backward(args, grad_outs, grads, scratch)
        }

        fn add_rms_norm(
            args: &add_rms_norm::Args<'_, $elem>,
            out: add_rms_norm::Output<'_, $elem>,
        ) -> Result<(), KernelError> {
            add_rms_norm::$module::forward(args, out)
        }

        fn add_rms_norm_backward(
            args: &add_rms_norm::BackwardArgs<'_, $elem>,
            grads: add_rms_norm::Grads<'_, $elem>,
            scratch: &mut Scratch<$elem>,
        ) -> Result<(), KernelError> {
            add_rms_norm::$module::backward(args, grads, scratch)
        }

        fn layer_norm_modulate(
            args: &layer_norm_modulate::Args<'_, $elem>,
            out: layer_norm_modulate::Output<'_, $elem>,
        ) -> Result<(), KernelError> {
            layer_norm_modulate::$module::forward(args, out)
        }

        fn layer_norm_modulate_backward(
            args: &layer_norm_modulate::Args<'_, $elem>,
            stats: &[$elem],
            grad_out: &[$elem],
            grads: layer_norm_modulate::Grads<'_, $elem>,
            scratch: &mut Scratch<$elem>,
        ) -> Result<(), KernelError> {
            layer_norm_modulate::$module::backward(args, stats, grad_out, grads, scratch)
        }

        fn patch_gather(
            shape: &patchify::Shape,
            image: &[$elem],
            tokens: &mut [$elem],
        ) -> Result<(), KernelError> {
            patchify::$module::gather(shape, image, tokens)
        }

        fn patch_scatter(
            shape: &patchify::Shape,
            tokens: &[$elem],
            image: &mut [$elem],
        ) -> Result<(), KernelError> {
            patchify::$module::scatter(shape, tokens, image)
        }

        fn adamw_ema(
            hyper: &adamw_ema::Hyper<'_>,
            arenas: adamw_ema::Arenas<'_, $elem>,
        ) -> Result<(), KernelError> {
            adamw_ema::$module::step(hyper, arenas)
        }
    };
}

impl<T: Real> Backend for Reference<T> {
    type Elem = T;

    fn gemm(
        mut out: MatMut<'_, T>,
        write: Write,
        a: Mat<'_, T>,
        b: Mat<'_, T>,
    ) -> Result<(), KernelError> {
        gemm::reference(&mut out, write, a, b)
    }

    operators!(T, reference);
}

impl Backend for CpuBf16 {
    type Elem = f32;

    fn gemm(
        mut out: MatMut<'_, f32>,
        write: Write,
        a: Mat<'_, f32>,
        b: Mat<'_, f32>,
    ) -> Result<(), KernelError> {
        gemm::cpu_on(InstructionSet::current(), Precision::Bf16, &mut out, write, a, b)
    }

    operators!(f32, cpu);
}

impl Backend for Cpu {
    type Elem = f32;

    fn gemm(
        mut out: MatMut<'_, f32>,
        write: Write,
        a: Mat<'_, f32>,
        b: Mat<'_, f32>,
    ) -> Result<(), KernelError> {
        gemm::cpu(&mut out, write, a, b)
    }

    operators!(f32, cpu);
}
