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

mod buffers;

pub(crate) use buffers::{BlockSaved, BlockScratch};

use crate::bidirectional_ssm::{BidirectionalSsm, SsmScratch};
use crate::config::{Conditioning, DisConfig};
use crate::error::ModelError;
use crate::linear::Linear;
use crate::net::{ActBuf, ActMat, Net, WideBuf, grad};
use crate::params::ParamLayout;
use ssm_kernels::elementwise::{DropPath, ResidualAdd};
use ssm_kernels::{Backend, Mat, MatMut, Mut, Ref, Storage, View, ViewMut, Write};
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

/// Inputs of one block, each `[B, L, D]` unless a shape is given.
pub(crate) struct BlockInput<'a, B: Backend> {
    /// Hidden state handed on by the block before.
    pub(crate) hidden: &'a ActBuf<B>,
    /// Output of the in-block this out-block is connected to.
    pub(crate) skip: Option<&'a ActBuf<B>>,
    /// Residual of the block before; absent in front of the first.
    pub(crate) residual: Option<&'a WideBuf<B>>,
    /// `[B]`.
    pub(crate) drop_path: Option<Ref<'a, B, B::Wide>>,
    /// `[B, D]`, SiLU of time plus label.
    pub(crate) condition: &'a ActBuf<B>,
}

impl<B: Backend> BlockInput<'_, B> {
    /// Factors of the addition to the residual; the first block has none, and no addition either.
    fn applied_drop_path(&self) -> Option<Ref<'_, B, B::Wide>> {
        self.residual.and(self.drop_path.as_ref()).map(View::reborrow)
    }
}

/// Gradients that one block takes and hands on.
pub(crate) struct BlockGrads<'a, B: Backend> {
    /// In: gradient of the block's output. Out: gradient of `hidden`.
    pub(crate) hidden: &'a mut ActBuf<B>,
    /// In: gradient of the new residual. Out: of the old one.
    pub(crate) residual: &'a mut WideBuf<B>,
    /// Overwritten with the gradient of `skip`.
    pub(crate) skip: Option<&'a mut ActBuf<B>>,
    /// `[B, D]`, added to.
    pub(crate) condition: &'a mut ActBuf<B>,
    /// The arena, added to.
    pub(crate) params: Mut<'a, B, B::Wide>,
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
        net: &Net<'_, B>,
        input: &BlockInput<'_, B>,
        saved: &mut BlockSaved<B>,
        scratch: &mut SsmScratch<B>,
        keep: bool,
        residual: &mut WideBuf<B>,
        out: &mut ActBuf<B>,
    ) -> Result<(), ModelError> {
        let Net { backend, c, batch, .. } = *net;
        let BlockSaved { joined, stats, modulation, normed, ssm } = saved;
        let hidden = match input.skip {
            Some(skip) => {
                self.join(net, input.hidden, skip, joined)?;
                &*joined
            }
            None => input.hidden,
        };
        let (hidden, old_residual) = (hidden.view(), input.residual.map(Storage::view));
        let drop_path = input.applied_drop_path();
        match &self.norm {
            Norm::Rms { weight } => backend.add_rms_norm(
                &rms::Args {
                    shape: rms_shape(c, batch),
                    hidden,
                    residual: old_residual,
                    drop_path,
                    weight: net.param(weight),
                    eps: c.norm_eps,
                },
                rms::Output {
                    residual: residual.view_mut(),
                    normed: normed.view_mut(),
                    rstd: stats.view_mut(),
                },
            )?,
            Norm::Modulated { linear } => {
                let args = ResidualAdd { batch, hidden, residual: old_residual, drop_path };
                backend.residual_add(&args, residual.view_mut())?;
                let condition = input.condition.mat(batch, c.hidden_size);
                linear.forward(net, condition, modulation.view_mut())?;
                let args = modulate_args(net, residual, modulation);
                let out = modulate::Output { out: normed.view_mut(), stats: stats.view_mut() };
                backend.layer_norm_modulate_wide(&args, out)?;
            }
        }
        self.mixer.forward(net, normed, ssm, scratch, keep, out)
    }

    /// Walks the block backwards; `residual` is the one the value pass wrote.
    pub(crate) fn backward<B: Backend>(
        &self,
        net: &Net<'_, B>,
        input: &BlockInput<'_, B>,
        residual: &WideBuf<B>,
        saved: &BlockSaved<B>,
        scratch: &mut BlockScratch<B>,
        mut grads: BlockGrads<'_, B>,
    ) -> Result<(), ModelError> {
        self.mixer.backward(
            net,
            &saved.normed,
            &saved.ssm,
            grads.hidden,
            &mut grads.params,
            &mut scratch.ssm,
            &mut scratch.grad_normed,
        )?;
        let Some((shallow, grad_shallow)) = input.skip.zip(grads.skip.take()) else {
            return self.backward_norm(net, input, residual, saved, scratch, grads);
        };
        // The norm's part goes through the skip connection before it is the gradient of `hidden`.
        let mut joined = std::mem::take(&mut scratch.grad_joined);
        let BlockGrads {
            hidden: grad_deep, residual: grad_residual, condition, mut params, ..
        } = grads;
        let through_norm = BlockGrads {
            hidden: &mut joined,
            residual: grad_residual,
            skip: None,
            condition,
            params: params.reborrow(),
        };
        self.backward_norm(net, input, residual, saved, scratch, through_norm)?;
        let (deep, shallow) = ((input.hidden, grad_deep), (shallow, grad_shallow));
        self.split(net, &joined, deep, shallow, &mut params)?;
        scratch.grad_joined = joined;
        Ok(())
    }

    /// Gradient pass of norm and residual addition: from `scratch.grad_normed` to `grads.hidden`,
    /// the gradient of what was added.
    fn backward_norm<B: Backend>(
        &self,
        net: &Net<'_, B>,
        input: &BlockInput<'_, B>,
        residual: &WideBuf<B>,
        saved: &BlockSaved<B>,
        scratch: &mut BlockScratch<B>,
        mut grads: BlockGrads<'_, B>,
    ) -> Result<(), ModelError> {
        match &self.norm {
            Norm::Rms { weight } => net.backend.add_rms_norm_backward(
                &rms::BackwardArgs {
                    shape: rms_shape(net.c, net.batch),
                    residual: residual.view(),
                    rstd: saved.stats.view(),
                    weight: net.param(weight),
                    drop_path: input.applied_drop_path(),
                    grad_normed: scratch.grad_normed.view(),
                },
                rms::Grads {
                    residual: grads.residual.view_mut(),
                    hidden: grads.hidden.view_mut(),
                    weight: grad::<B>(&mut grads.params, weight),
                },
                &mut scratch.kernels,
            )?,
            Norm::Modulated { linear } => {
                self.backward_modulated(net, linear, input, residual, saved, scratch, grads)?;
            }
        }
        Ok(())
    }

    /// [`SsmBlock::backward_norm`] where `linear` modulates the norm.
    fn backward_modulated<B: Backend>(
        &self,
        net: &Net<'_, B>,
        linear: &Linear,
        input: &BlockInput<'_, B>,
        residual: &WideBuf<B>,
        saved: &BlockSaved<B>,
        scratch: &mut BlockScratch<B>,
        mut grads: BlockGrads<'_, B>,
    ) -> Result<(), ModelError> {
        let Net { backend, c, batch, .. } = *net;
        let BlockScratch { kernels, grad_normed, grad_modulation, .. } = scratch;
        let args = modulate_args(net, residual, &saved.modulation);
        // `grads.hidden` holds the norm's part until the residual has taken it in.
        let parts = modulate::Grads {
            x: grads.hidden.view_mut(),
            modulation: Some(grad_modulation.view_mut()),
        };
        let (stats, grad_out) = (saved.stats.view(), grad_normed.view());
        backend.layer_norm_modulate_wide_backward(&args, stats, grad_out, parts, kernels)?;
        backend.add_to_residual(grads.residual.view_mut(), grads.hidden.view())?;
        let drop_path = input.applied_drop_path();
        let args = DropPath { batch, x: grads.residual.view(), drop_path };
        backend.apply_drop_path(&args, grads.hidden.view_mut())?;
        let grad = grad_modulation.mat(batch, 2 * c.hidden_size);
        let condition = input.condition.mat(batch, c.hidden_size);
        linear.backward_params(net, condition, grad, &mut grads.params)?;
        let grad_condition = grads.condition.mat_mut(batch, c.hidden_size);
        linear.backward_input(net, grad, Write::Accumulate, grad_condition)
    }

    /// Value pass of the skip connection.
    fn join<B: Backend>(
        &self,
        net: &Net<'_, B>,
        deep: &ActBuf<B>,
        shallow: &ActBuf<B>,
        out: &mut ActBuf<B>,
    ) -> Result<(), ModelError> {
        let Some(skip) = &self.skip else {
            net.backend.add(deep.view(), shallow.view(), out.view_mut())?;
            return Ok(());
        };
        let (d, rows) = (net.c.hidden_size, net.rows());
        net.backend.fill_rows(net.param(&skip.bias), out.view_mut())?;
        for (first, x) in [(0, deep), (d, shallow)] {
            let (out, weight) = (out.mat_mut(rows, d), skip.weight(net, first));
            net.backend.gemm(out, Write::Accumulate, x.mat(rows, d), weight.t())?;
        }
        Ok(())
    }

    /// Gradient pass of the skip connection; `deep` and `shallow` are operands with their gradients.
    fn split<B: Backend>(
        &self,
        net: &Net<'_, B>,
        grad_joined: &ActBuf<B>,
        deep: (&ActBuf<B>, &mut ActBuf<B>),
        shallow: (&ActBuf<B>, &mut ActBuf<B>),
        grads: &mut Mut<'_, B, B::Wide>,
    ) -> Result<(), ModelError> {
        let backend = net.backend;
        let Some(skip) = &self.skip else {
            backend.copy(grad_joined.view(), deep.1.view_mut())?;
            backend.copy(grad_joined.view(), shallow.1.view_mut())?;
            return Ok(());
        };
        let (d, rows) = (net.c.hidden_size, net.rows());
        let grad_joined = grad_joined.mat(rows, d);
        backend.add_column_sums(grad_joined, grad::<B>(grads, &skip.bias))?;
        for (first, (x, grad_x)) in [(0, deep), (d, shallow)] {
            let weight = grad::<B>(grads, &skip.weight);
            let weight = MatMut::columns_of(weight, d, 2 * d, first..first + d);
            backend.gemm_wide(weight, Write::Accumulate, grad_joined.t(), x.mat(rows, d))?;
            let grad_x = grad_x.mat_mut(rows, d);
            backend.gemm(grad_x, Write::Overwrite, grad_joined, skip.weight(net, first))?;
        }
        Ok(())
    }
}

impl SkipLinear {
    /// The half of the weight that starts at column `first`, `D x D`.
    fn weight<'a, B: Backend>(&self, net: &'a Net<'_, B>, first: usize) -> ActMat<'a, B> {
        let d = net.c.hidden_size;
        Mat::columns_of(net.weight(&self.weight), d, 2 * d, first..first + d)
    }
}

pub(crate) fn rms_shape(c: &DisConfig, batch: usize) -> rms::Shape {
    rms::Shape { batch, seq_len: c.seq_len(), width: c.hidden_size }
}

fn modulate_args<'a, B: Backend>(
    net: &Net<'_, B>,
    x: &'a WideBuf<B>,
    modulation: &'a ActBuf<B>,
) -> modulate::Args<'a, B::Wide, B::Act, B::Memory> {
    let Net { c, batch, .. } = *net;
    modulate::Args {
        shape: modulate::Shape { batch, seq_len: c.seq_len(), width: c.hidden_size },
        x: x.view(),
        modulation: Some(modulation.view()),
        halves: modulate::Halves::FactorFirst,
        eps: c.final_eps,
    }
}
