//! One block: long skip, residual, norm, mixer.
//!
//! ```text
//! h = W_s [h | skip] + b_s            out-blocks; or h + skip, or h, as configured
//! r = r + drop_path h                 first block: r = h
//! n = RMSNorm(r)                      or LayerNorm(r) (1 + factor) + shift, as configured
//! h = mixer(n)
//! ```
//!
//! The block hands on `h` and `r`. Both operands of a skip are mixer outputs, not residuals.
//!
//! # Source
//! DiS, arXiv 2402.05608, section 3.1 and figure 2; the concatenation is never built, it is two
//! products into one output.

use crate::bidirectional_ssm::{BidirectionalSsm, SsmSaved, SsmScratch};
use crate::config::{Conditioning, DisConfig};
use crate::error::ModelError;
use crate::linear::{
    Linear, add, add_assign, add_column_sums, apply_drop_path, fill_rows, residual_add,
};
use crate::net::Net;
use crate::params::ParamLayout;
use ssm_kernels::{Backend, Buffer, Mat, MatMut, Real, Scratch, Write};
use ssm_kernels::{add_rms_norm as rms, layer_norm_modulate as modulate};
use std::ops::Range;

/// Norm in front of the mixer.
#[derive(Clone, Debug)]
enum Norm {
    Rms { weight: Range<usize> },
    Modulated { linear: Linear },
}

/// Linear map of a skip connection.
#[derive(Clone, Debug)]
struct SkipLinear {
    weight: Range<usize>,
    bias: Range<usize>,
}

/// Parameters of one block.
#[derive(Clone, Debug)]
pub(crate) struct SsmBlock {
    skip: Option<SkipLinear>,
    norm: Norm,
    mixer: BidirectionalSsm,
}

/// What the gradient pass needs of one value pass, beside hidden states and residuals.
#[derive(Debug)]
pub(crate) struct BlockSaved<T> {
    /// `[B, L, D]`, output of the skip connection; empty where there is none.
    joined: Buffer<T>,
    /// `[B, L]` reciprocal root mean squares, or `[B, L, 2]` means and reciprocal deviations.
    stats: Buffer<T>,
    /// `[B, 2D]`; empty without modulation.
    modulation: Buffer<T>,
    /// `[B, L, D]`.
    normed: Buffer<T>,
    ssm: SsmSaved<T>,
}

impl<T: Real> BlockSaved<T> {
    pub(crate) fn new(c: &DisConfig, batch: usize, has_skip: bool, scan_states: usize) -> Self {
        let zeros = |n: usize| Buffer::zeros(batch * n);
        let (l, d) = (c.seq_len(), c.hidden_size);
        let modulated = c.conditioning == Conditioning::Adaln;
        Self {
            joined: zeros(if has_skip { l * d } else { 0 }),
            stats: zeros(if modulated { 2 * l } else { l }),
            modulation: zeros(if modulated { 2 * d } else { 0 }),
            normed: zeros(l * d),
            ssm: SsmSaved::new(c, batch, scan_states),
        }
    }
}

/// Working memory of the gradient pass of all blocks.
#[derive(Debug)]
pub(crate) struct BlockScratch<T> {
    pub(crate) ssm: SsmScratch<T>,
    kernels: Scratch<T>,
    /// `[B, L, D]`.
    grad_normed: Buffer<T>,
    /// `[B, L, D]`.
    grad_joined: Buffer<T>,
    /// `[B, 2D]`.
    grad_modulation: Buffer<T>,
}

impl<T: Real> BlockScratch<T> {
    pub(crate) fn for_inference(c: &DisConfig, batch: usize) -> Self {
        Self {
            ssm: SsmScratch::for_inference(c, batch),
            kernels: Scratch::new(),
            grad_normed: Buffer::default(),
            grad_joined: Buffer::default(),
            grad_modulation: Buffer::default(),
        }
    }

    pub(crate) fn for_training(c: &DisConfig, batch: usize) -> Self {
        let activation = || Buffer::zeros(batch * c.seq_len() * c.hidden_size);
        Self {
            ssm: SsmScratch::for_training(c, batch),
            kernels: Scratch::new(),
            grad_normed: activation(),
            grad_joined: activation(),
            grad_modulation: Buffer::zeros(batch * 2 * c.hidden_size),
        }
    }
}

/// Inputs of one block, each `[B, L, D]` unless a shape is given.
#[derive(Clone, Copy)]
pub(crate) struct BlockInput<'a, T> {
    pub(crate) batch: usize,
    /// Hidden state handed on by the block before.
    pub(crate) hidden: &'a [T],
    /// Output of the in-block this out-block is connected to.
    pub(crate) skip: Option<&'a [T]>,
    /// Residual of the block before; absent in front of the first.
    pub(crate) residual: Option<&'a [T]>,
    /// `[B]`.
    pub(crate) drop_path: Option<&'a [T]>,
    /// `[B, D]`, SiLU of time plus label.
    pub(crate) condition: &'a [T],
}

/// Gradients that one block takes and hands on.
pub(crate) struct BlockGrads<'a, T> {
    /// In: gradient of the block's output. Out: gradient of `hidden`.
    pub(crate) hidden: &'a mut [T],
    /// In: gradient of the new residual. Out: of the old one.
    pub(crate) residual: &'a mut [T],
    /// Overwritten with the gradient of `skip`.
    pub(crate) skip: Option<&'a mut [T]>,
    /// `[B, D]`, added to.
    pub(crate) condition: &'a mut [T],
    /// The arena, added to.
    pub(crate) params: &'a mut [T],
}

impl SsmBlock {
    /// The parameters `<name>.…` of the layout.
    pub(crate) fn new(c: &DisConfig, layout: &ParamLayout, name: &str) -> Self {
        let d = c.hidden_size;
        let skip = layout.get(&format!("{name}.skip_linear.weight")).map(|weight| SkipLinear {
            weight: weight.range.clone(),
            bias: layout.range(&format!("{name}.skip_linear.bias")),
        });
        let norm = match c.conditioning {
            Conditioning::Token => {
                Norm::Rms { weight: layout.range(&format!("{name}.norm.weight")) }
            }
            Conditioning::Adaln => {
                let name = format!("{name}.adaLN_modulation.1");
                Norm::Modulated { linear: Linear::new(layout, &name, 2 * d, d) }
            }
        };
        Self { skip, norm, mixer: BidirectionalSsm::new(c, layout, &format!("{name}.mixer")) }
    }

    /// Writes the new residual and the mixer's output, both `[B, L, D]`.
    pub(crate) fn forward<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        input: &BlockInput<'_, B::Elem>,
        saved: &mut BlockSaved<B::Elem>,
        scratch: &mut SsmScratch<B::Elem>,
        keep: bool,
        residual: &mut [B::Elem],
        out: &mut [B::Elem],
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let BlockSaved { joined, stats, modulation, normed, ssm } = saved;
        let hidden = match input.skip {
            Some(skip) => {
                self.join::<B>(net, input.hidden, skip, joined)?;
                &**joined
            }
            None => input.hidden,
        };
        match &self.norm {
            Norm::Rms { weight } => B::add_rms_norm(
                &rms::Args {
                    shape: rms_shape(c, input.batch),
                    hidden,
                    residual: input.residual,
                    drop_path: input.drop_path,
                    weight: &params[weight.clone()],
                    eps: c.norm_eps,
                },
                rms::Output { residual, normed, rstd: stats },
            )?,
            Norm::Modulated { linear } => {
                residual_add(input.batch, hidden, input.residual, input.drop_path, residual);
                let condition = Mat::new(input.condition, input.batch, c.hidden_size);
                linear.forward::<B>(params, condition, modulation)?;
                let args = modulate_args(c, input.batch, residual, modulation);
                B::layer_norm_modulate(&args, modulate::Output { out: normed, stats })?;
            }
        }
        self.mixer.forward::<B>(net, normed, ssm, scratch, keep, out)
    }

    /// Walks the block backwards; `residual` is the one the value pass wrote.
    pub(crate) fn backward<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        input: &BlockInput<'_, B::Elem>,
        residual: &[B::Elem],
        saved: &BlockSaved<B::Elem>,
        scratch: &mut BlockScratch<B::Elem>,
        mut grads: BlockGrads<'_, B::Elem>,
    ) -> Result<(), ModelError> {
        self.mixer.backward::<B>(
            net,
            &saved.normed,
            &saved.ssm,
            grads.hidden,
            grads.params,
            &mut scratch.ssm,
            &mut scratch.grad_normed,
        )?;
        let mut joined = std::mem::take(&mut scratch.grad_joined);
        let (target, skip) = match (input.skip, grads.skip.take()) {
            (Some(shallow), Some(grad)) => (&mut *joined, Some((shallow, grad))),
            _ => (&mut *grads.hidden, None),
        };
        self.backward_norm::<B>(
            net,
            input,
            residual,
            saved,
            scratch,
            target,
            grads.residual,
            grads.condition,
            grads.params,
        )?;
        if let Some((shallow, grad_shallow)) = skip {
            let deep = (input.hidden, grads.hidden);
            let shallow = (shallow, grad_shallow);
            self.split::<B>(net, &joined, deep, shallow, grads.params)?;
        }
        scratch.grad_joined = joined;
        Ok(())
    }

    /// Gradient pass of norm and residual addition: from `scratch.grad_normed` to `grad_hidden`.
    #[allow(clippy::too_many_arguments, reason = "as backward")]
    fn backward_norm<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        input: &BlockInput<'_, B::Elem>,
        residual: &[B::Elem],
        saved: &BlockSaved<B::Elem>,
        scratch: &mut BlockScratch<B::Elem>,
        grad_hidden: &mut [B::Elem],
        grad_residual: &mut [B::Elem],
        grad_condition: &mut [B::Elem],
        grads: &mut [B::Elem],
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let BlockScratch { kernels, grad_normed, grad_modulation, .. } = scratch;
        let (batch, d) = (input.batch, c.hidden_size);
        // The first block has no residual, and then no drop-path either.
        let drop_path = input.drop_path.filter(|_| input.residual.is_some());
        match &self.norm {
            Norm::Rms { weight } => B::add_rms_norm_backward(
                &rms::BackwardArgs {
                    shape: rms_shape(c, batch),
                    residual,
                    rstd: &saved.stats,
                    weight: &params[weight.clone()],
                    drop_path,
                    grad_normed,
                },
                rms::Grads {
                    residual: grad_residual,
                    hidden: grad_hidden,
                    weight: &mut grads[weight.clone()],
                },
                kernels,
            )?,
            Norm::Modulated { linear } => {
                let args = modulate_args(c, batch, residual, &saved.modulation);
                // `grad_hidden` holds the norm's part until the residual has taken it in.
                let parts = modulate::Grads { x: grad_hidden, modulation: Some(grad_modulation) };
                B::layer_norm_modulate_backward(&args, &saved.stats, grad_normed, parts, kernels)?;
                add_assign(grad_residual, grad_hidden);
                apply_drop_path(batch, grad_residual, drop_path, grad_hidden);
                let grad = Mat::new(grad_modulation, batch, 2 * d);
                let condition = Mat::new(input.condition, batch, d);
                linear.backward_params::<B>(condition, grad, grads)?;
                let grad_condition = MatMut::new(grad_condition, batch, d);
                linear.backward_input::<B>(params, grad, Write::Accumulate, grad_condition)?;
            }
        }
        Ok(())
    }

    /// Value pass of the skip connection.
    fn join<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        deep: &[B::Elem],
        shallow: &[B::Elem],
        out: &mut [B::Elem],
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let Some(skip) = &self.skip else {
            add(deep, shallow, out);
            return Ok(());
        };
        let (d, rows) = (c.hidden_size, deep.len() / c.hidden_size);
        fill_rows(out, &params[skip.bias.clone()]);
        for (first, x) in [(0, deep), (d, shallow)] {
            let weight = Mat::columns(&params[skip.weight.clone()], d, 2 * d, first, d);
            let out = MatMut::new(out, rows, d);
            B::gemm(out, Write::Accumulate, Mat::new(x, rows, d), weight.t())?;
        }
        Ok(())
    }

    /// Gradient pass of the skip connection; `deep` and `shallow` are operands with their gradients.
    fn split<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        grad: &[B::Elem],
        deep: (&[B::Elem], &mut [B::Elem]),
        shallow: (&[B::Elem], &mut [B::Elem]),
        grads: &mut [B::Elem],
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let Some(skip) = &self.skip else {
            deep.1.copy_from_slice(grad);
            shallow.1.copy_from_slice(grad);
            return Ok(());
        };
        let (d, rows) = (c.hidden_size, grad.len() / c.hidden_size);
        let grad = Mat::new(grad, rows, d);
        add_column_sums(grad, &mut grads[skip.bias.clone()]);
        for (first, (x, grad_x)) in [(0, deep), (d, shallow)] {
            let grad_weight = MatMut::columns(&mut grads[skip.weight.clone()], d, 2 * d, first, d);
            B::gemm(grad_weight, Write::Accumulate, grad.t(), Mat::new(x, rows, d))?;
            let weight = Mat::columns(&params[skip.weight.clone()], d, 2 * d, first, d);
            B::gemm(MatMut::new(grad_x, rows, d), Write::Overwrite, grad, weight)?;
        }
        Ok(())
    }
}

pub(crate) fn rms_shape(c: &DisConfig, batch: usize) -> rms::Shape {
    rms::Shape { batch, seq_len: c.seq_len(), width: c.hidden_size }
}

fn modulate_args<'a, T>(
    c: &DisConfig,
    batch: usize,
    x: &'a [T],
    modulation: &'a [T],
) -> modulate::Args<'a, T> {
    modulate::Args {
        shape: modulate::Shape { batch, seq_len: c.seq_len(), width: c.hidden_size },
        x,
        modulation: Some(modulation),
        halves: modulate::Halves::FactorFirst,
        eps: c.final_eps,
    }
}
