//! The backends of this machine.

use crate::backend::Backend;
use crate::error::check_len;
use crate::memory::Buffer;
use crate::real::Real;
use crate::space::{Element, Host};
use crate::{
    InstructionSet, KernelError, Mat, MatMut, Precision, Scratch, Write, adamw_ema, add_rms_norm,
    causal_conv1d, elementwise, embed, gemm, layer_norm_modulate, patchify, segment_rms_norm,
    selective_scan,
};
use std::marker::PhantomData;

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

/// One format, in slices.
macro_rules! host_memory {
    ($elem:ty) => {
        type Act = $elem;
        type Wide = $elem;
        type Memory = Host;
        type Scratch = Scratch<$elem>;

        fn zeros<E: Element>(&self, len: usize) -> Result<Buffer<E>, KernelError> {
            Ok(Buffer::zeros(len))
        }

        fn upload<E: Element>(&self, from: &[E], to: &mut [E]) -> Result<(), KernelError> {
            self.copy(from, to)
        }

        fn download<E: Element>(&self, from: &[E], to: &mut [E]) -> Result<(), KernelError> {
            self.copy(from, to)
        }

        fn fill_zero<E: Element>(&self, to: &mut [E]) -> Result<(), KernelError> {
            to.fill(E::default());
            Ok(())
        }

        fn copy<E: Element>(&self, from: &[E], to: &mut [E]) -> Result<(), KernelError> {
            check_len("copy", "to", to.len(), &[from.len()])?;
            to.copy_from_slice(from);
            Ok(())
        }

        /// Runs a pass on a thread of the pool: handing the pool hundreds of operators one by one
        /// from outside would put its threads to sleep and wake them as often.
        fn run<R: Send>(&self, pass: impl FnOnce() -> R + Send) -> R {
            rayon::scope(|_| pass())
        }
    };
}

/// Forwards every operator to the functions of one name in each operator's module.
macro_rules! operators {
    ($elem:ty, $module:ident) => {
        fn gemm_wide(
            &self,
            out: MatMut<'_, $elem>,
            write: Write,
            a: Mat<'_, $elem>,
            b: Mat<'_, $elem>,
        ) -> Result<(), KernelError> {
            self.gemm(out, write, a, b)
        }

        fn selective_scan(
            &self,
            args: &selective_scan::Args<'_, $elem>,
            out: selective_scan::Output<'_, $elem>,
            scratch: &mut Scratch<$elem>,
        ) -> Result<(), KernelError> {
            selective_scan::$module::forward(args, out, scratch)
        }

        fn selective_scan_states_len(
            &self,
            shape: selective_scan::Shape,
            directions: usize,
        ) -> usize {
            selective_scan::$module::states_len(shape, directions)
        }

        fn selective_scan_backward(
            &self,
            args: &selective_scan::Args<'_, $elem>,
            kept: selective_scan::Kept<'_, $elem>,
            grad_gated: &[$elem],
            grads: selective_scan::Grads<'_, $elem>,
            scratch: &mut Scratch<$elem>,
        ) -> Result<(), KernelError> {
            selective_scan::$module::backward(args, kept, grad_gated, grads, scratch)
        }

        fn causal_conv1d(
            &self,
            args: &causal_conv1d::Args<'_, $elem>,
            outs: &mut [&mut [$elem]],
        ) -> Result<(), KernelError> {
            causal_conv1d::$module::forward(args, outs)
        }

        fn causal_conv1d_backward(
            &self,
            args: &causal_conv1d::Args<'_, $elem>,
            grad_outs: &[&[$elem]],
            grads: causal_conv1d::Grads<'_, $elem>,
            scratch: &mut Scratch<$elem>,
        ) -> Result<(), KernelError> {
            causal_conv1d::$module::backward(args, grad_outs, grads, scratch)
        }

        fn add_rms_norm(
            &self,
            args: &add_rms_norm::Args<'_, $elem>,
            out: add_rms_norm::Output<'_, $elem>,
        ) -> Result<(), KernelError> {
            add_rms_norm::$module::forward(args, out)
        }

        fn add_rms_norm_backward(
            &self,
            args: &add_rms_norm::BackwardArgs<'_, $elem>,
            grads: add_rms_norm::Grads<'_, $elem>,
            scratch: &mut Scratch<$elem>,
        ) -> Result<(), KernelError> {
            add_rms_norm::$module::backward(args, grads, scratch)
        }

        fn segment_rms_norm(
            &self,
            shape: &segment_rms_norm::Shape,
            eps: f64,
            x: &mut [$elem],
            rstd: &mut [$elem],
        ) -> Result<(), KernelError> {
            segment_rms_norm::$module::forward(shape, eps, x, rstd)
        }

        fn segment_rms_norm_backward(
            &self,
            shape: &segment_rms_norm::Shape,
            kept: &segment_rms_norm::Kept<'_, $elem>,
            grad: &mut [$elem],
        ) -> Result<(), KernelError> {
            segment_rms_norm::$module::backward(shape, kept, grad)
        }

        fn layer_norm_modulate(
            &self,
            args: &layer_norm_modulate::Args<'_, $elem>,
            out: layer_norm_modulate::Output<'_, $elem>,
        ) -> Result<(), KernelError> {
            layer_norm_modulate::$module::forward(args, out)
        }

        fn layer_norm_modulate_backward(
            &self,
            args: &layer_norm_modulate::Args<'_, $elem>,
            stats: &[$elem],
            grad_out: &[$elem],
            grads: layer_norm_modulate::Grads<'_, $elem>,
            scratch: &mut Scratch<$elem>,
        ) -> Result<(), KernelError> {
            layer_norm_modulate::$module::backward(args, stats, grad_out, grads, scratch)
        }

        fn layer_norm_modulate_wide(
            &self,
            args: &layer_norm_modulate::Args<'_, $elem>,
            out: layer_norm_modulate::Output<'_, $elem>,
        ) -> Result<(), KernelError> {
            layer_norm_modulate::$module::forward(args, out)
        }

        fn layer_norm_modulate_wide_backward(
            &self,
            args: &layer_norm_modulate::Args<'_, $elem>,
            stats: &[$elem],
            grad_out: &[$elem],
            grads: layer_norm_modulate::Grads<'_, $elem>,
            scratch: &mut Scratch<$elem>,
        ) -> Result<(), KernelError> {
            layer_norm_modulate::$module::backward(args, stats, grad_out, grads, scratch)
        }

        fn patch_gather(
            &self,
            shape: &patchify::Shape,
            image: &[$elem],
            tokens: &mut [$elem],
        ) -> Result<(), KernelError> {
            patchify::$module::gather(shape, image, tokens)
        }

        fn patch_scatter(
            &self,
            shape: &patchify::Shape,
            tokens: &[$elem],
            image: &mut [$elem],
        ) -> Result<(), KernelError> {
            patchify::$module::scatter(shape, tokens, image)
        }

        fn adamw_ema(
            &self,
            hyper: &adamw_ema::Hyper<'_>,
            arenas: adamw_ema::Arenas<'_, $elem>,
        ) -> Result<(), KernelError> {
            adamw_ema::$module::step(hyper, arenas)
        }

        fn fill_rows(&self, row: &[$elem], out: &mut [$elem]) -> Result<(), KernelError> {
            elementwise::$module::fill_rows(row, out)
        }

        fn add_column_sums(
            &self,
            x: Mat<'_, $elem>,
            sums: &mut [$elem],
        ) -> Result<(), KernelError> {
            elementwise::$module::add_column_sums(x, sums)
        }

        fn add(&self, a: &[$elem], b: &[$elem], out: &mut [$elem]) -> Result<(), KernelError> {
            elementwise::$module::add(a, b, out)
        }

        fn add_assign(&self, to: &mut [$elem], from: &[$elem]) -> Result<(), KernelError> {
            elementwise::$module::add_assign(to, from)
        }

        fn add_to_residual(&self, residual: &mut [$elem], x: &[$elem]) -> Result<(), KernelError> {
            elementwise::$module::add_to_residual(residual, x)
        }

        fn residual_add(
            &self,
            args: &elementwise::ResidualAdd<'_, $elem>,
            out: &mut [$elem],
        ) -> Result<(), KernelError> {
            elementwise::$module::residual_add(args, out)
        }

        fn apply_drop_path(
            &self,
            args: &elementwise::DropPath<'_, $elem>,
            out: &mut [$elem],
        ) -> Result<(), KernelError> {
            elementwise::$module::apply_drop_path(args, out)
        }

        fn silu(&self, x: &[$elem], out: &mut [$elem]) -> Result<(), KernelError> {
            elementwise::$module::silu(x, out)
        }

        fn silu_backward(&self, x: &[$elem], grad: &mut [$elem]) -> Result<(), KernelError> {
            elementwise::$module::silu_backward(x, grad)
        }

        fn timestep_phases(
            &self,
            timesteps: &[f64],
            phases: &mut [$elem],
        ) -> Result<(), KernelError> {
            embed::$module::timestep_phases(timesteps, phases)
        }

        fn embed_condition(
            &self,
            args: &embed::Condition<'_, $elem>,
            out: embed::ConditionOutput<'_, $elem>,
        ) -> Result<(), KernelError> {
            embed::$module::condition(args, out)
        }

        fn embed_condition_backward(
            &self,
            args: &embed::ConditionBackward<'_, $elem>,
            grads: embed::ConditionGrads<'_, $elem>,
        ) -> Result<(), KernelError> {
            embed::$module::condition_backward(args, grads)
        }

        fn embed_tokens(
            &self,
            args: &embed::Tokens<'_, $elem>,
            tokens: &mut [$elem],
        ) -> Result<(), KernelError> {
            embed::$module::tokens(args, tokens)
        }

        fn embed_tokens_backward(
            &self,
            shape: &embed::Shape,
            grad_tokens: &[$elem],
            grads: embed::TokensGrads<'_, $elem>,
        ) -> Result<(), KernelError> {
            embed::$module::tokens_backward(shape, grad_tokens, grads)
        }
    };
}

impl<T: Real> Backend for Reference<T> {
    host_memory!(T);
    operators!(T, reference);

    fn gemm(
        &self,
        mut out: MatMut<'_, T>,
        write: Write,
        a: Mat<'_, T>,
        b: Mat<'_, T>,
    ) -> Result<(), KernelError> {
        gemm::reference(&mut out, write, a, b)
    }
}

impl Backend for CpuBf16 {
    host_memory!(f32);
    operators!(f32, cpu);

    fn gemm(
        &self,
        mut out: MatMut<'_, f32>,
        write: Write,
        a: Mat<'_, f32>,
        b: Mat<'_, f32>,
    ) -> Result<(), KernelError> {
        gemm::cpu_on(InstructionSet::current(), Precision::Bf16, &mut out, write, a, b)
    }
}

impl Backend for Cpu {
    host_memory!(f32);
    operators!(f32, cpu);

    fn gemm(
        &self,
        mut out: MatMut<'_, f32>,
        write: Write,
        a: Mat<'_, f32>,
        b: Mat<'_, f32>,
    ) -> Result<(), KernelError> {
        gemm::cpu(&mut out, write, a, b)
    }
}
