//! The mixer of a block: a gated state-space layer that reads the tokens in both orders.
//!
//! ```text
//! [x | z]         = n W_in^T
//! per order:  u   = silu(conv(x)),   [delta_r | B | C] = u W_x^T,   delta_raw = delta_r W_dt^T
//! y               = direction_sum (scan(left to right) + scan(right to left)) silu(z)
//! out             = y W_out^T
//! ```
//!
//! `W_in`, `z` and `W_out` are shared by the orders; convolution, projections, decay and direct path
//! have one copy each. The bias of `W_dt` is added inside the scan.
//!
//! With `normalize_ssm_inputs` each of `delta_r`, `B` and `C` of each token and order is replaced by
//! `v (mean(v^2) + norm_eps)^(-1/2)` before it is used. There is no learned factor, so parameters,
//! their names and their number are those of the official network, and its weights stay readable.
//!
//! # Source
//! DiS, arXiv 2402.05608, section 3.1; the "v2" mixer of Vision Mamba, arXiv 2401.09417, whose
//! released code halves the sum (`direction_sum = 0.5`). The norms are an option of ours, against
//! scans that overflow, in the form without weights of Falcon Mamba's code (arXiv 2410.05355).

mod buffers;
mod norms;

use buffers::ScanKept;
pub(crate) use buffers::{SsmSaved, SsmScratch};
use norms::{normalize, normalize_backward};

use crate::config::DisConfig;
use crate::error::ModelError;
use crate::linear::Linear;
use crate::net::{ActBuf, ActMat, Lent, Net, grad};
use crate::params::ParamLayout;
use ssm_kernels::{Backend, Mat, MatMut, Mut, Real, ScanOrder, Storage, ViewMut, Write};
use ssm_kernels::{causal_conv1d as conv, selective_scan as scan};
use std::ops::Range;

/// Parameters of one scan order.
#[derive(Clone, Debug)]
struct Order {
    order: ScanOrder,
    conv_weight: Range<usize>,
    conv_bias: Range<usize>,
    x_proj: Linear,
    delta_weight: Range<usize>,
    delta_bias: Range<usize>,
    a_log: Range<usize>,
    d_skip: Range<usize>,
}

/// Parameters of one mixer.
#[derive(Clone, Debug)]
pub(crate) struct BidirectionalSsm {
    in_proj: Linear,
    orders: [Order; 2],
    out_proj: Linear,
}

impl Order {
    fn new(c: &DisConfig, layout: &ParamLayout, mixer: &str, order: ScanOrder) -> Self {
        let copy = match order {
            ScanOrder::LeftToRight => "",
            ScanOrder::RightToLeft => "_b",
        };
        let range = |name: String| layout.range(&format!("{mixer}.{name}"));
        Self {
            order,
            conv_weight: range(format!("conv1d{copy}.weight")),
            conv_bias: range(format!("conv1d{copy}.bias")),
            x_proj: Linear::new(
                layout,
                &format!("{mixer}.x_proj{copy}"),
                c.x_proj_width(),
                c.d_inner(),
            ),
            delta_weight: range(format!("dt_proj{copy}.weight")),
            delta_bias: range(format!("dt_proj{copy}.bias")),
            a_log: range(format!("A{copy}_log")),
            d_skip: range(format!("D{copy}")),
        }
    }

    fn conv<'a, B: Backend>(&self, net: &'a Net<'_, B>) -> conv::Direction<'a, B::Wide, B::Memory> {
        conv::Direction {
            order: self.order,
            weight: net.param(&self.conv_weight),
            bias: net.param(&self.conv_bias),
        }
    }

    /// The map from `delta_r` to `delta_raw`, `E x R`.
    fn delta_weight<'a, B: Backend>(&self, net: &'a Net<'_, B>) -> ActMat<'a, B> {
        Mat::of(net.weight(&self.delta_weight), net.c.d_inner(), net.c.delta_rank())
    }
}

impl BidirectionalSsm {
    /// The parameters `<name>.…` of the layout.
    pub(crate) fn new(c: &DisConfig, layout: &ParamLayout, name: &str) -> Self {
        let (d, e) = (c.hidden_size, c.d_inner());
        let order = |order| Order::new(c, layout, name, order);
        Self {
            in_proj: Linear::new(layout, &format!("{name}.in_proj"), 2 * e, d),
            orders: [order(ScanOrder::LeftToRight), order(ScanOrder::RightToLeft)],
            out_proj: Linear::new(layout, &format!("{name}.out_proj"), d, e),
        }
    }

    /// `out` from `input`, both `[B, L, D]`.
    pub(crate) fn forward<B: Backend>(
        &self,
        net: &Net<'_, B>,
        input: &ActBuf<B>,
        saved: &mut SsmSaved<B>,
        scratch: &mut SsmScratch<B>,
        keep: bool,
        out: &mut ActBuf<B>,
    ) -> Result<(), ModelError> {
        let (rows, e) = (net.rows(), net.c.d_inner());
        self.in_proj.forward(net, input.mat(rows, net.c.hidden_size), saved.xz.view_mut())?;
        let directions = self.conv_directions(net);
        let args = conv_args(net, &directions, &saved.xz);
        let [first, second] = &mut saved.u;
        net.backend.causal_conv1d(&args, &mut [first.view_mut(), second.view_mut()])?;
        let u = [0, 1].map(|i| saved.u[i].mat(rows, e));
        let weights = [0, 1].map(|i| self.orders[i].x_proj.weight(net).t());
        let outs = saved.x_dbl.each_mut().map(|out| out.mat_mut(rows, net.c.x_proj_width()));
        net.backend.gemm_pair(outs, Write::Overwrite, u, weights)?;
        normalize(net, saved)?;
        self.project_delta(net, &saved.x_dbl, &mut scratch.delta_raw)?;
        let mut kept = saved.scan.take();
        let scanned = self.scan(net, saved, kept.as_mut().filter(|_| keep), scratch);
        saved.scan = kept;
        scanned?;
        self.out_proj.forward(net, scratch.gated.mat(rows, e), out.view_mut())
    }

    /// Value pass of both scans, from `scratch.delta_raw` to `scratch.gated`.
    fn scan<B: Backend>(
        &self,
        net: &Net<'_, B>,
        saved: &SsmSaved<B>,
        kept: Option<&mut ScanKept<B>>,
        scratch: &mut SsmScratch<B>,
    ) -> Result<(), ModelError> {
        let SsmScratch { kernels, delta_raw, gated, .. } = scratch;
        let directions = self.scan_directions(net, &saved.u, &saved.x_dbl, delta_raw);
        let args = scan_args(net, &directions, &saved.xz);
        let kept = kept.map(|kept| scan::KeptMut {
            pre_gate: kept.pre_gate.view_mut(),
            states: kept.states.view_mut(),
        });
        let output = scan::Output { gated: gated.view_mut(), kept };
        net.backend.selective_scan(&args, output, kernels)?;
        Ok(())
    }

    /// `grad_input` from `grad_out`, both `[B, L, D]`; adds the gradients of the parameters.
    pub(crate) fn backward<B: Backend>(
        &self,
        net: &Net<'_, B>,
        input: &ActBuf<B>,
        saved: &SsmSaved<B>,
        grad_out: &ActBuf<B>,
        grads: &mut Mut<'_, B, B::Wide>,
        scratch: &mut SsmScratch<B>,
        grad_input: &mut ActBuf<B>,
    ) -> Result<(), ModelError> {
        let (rows, d, e) = (net.rows(), net.c.hidden_size, net.c.d_inner());
        let grad_out = grad_out.mat(rows, d);
        let grad_gated = scratch.grad_gated.mat_mut(rows, e);
        self.out_proj.backward_input(net, grad_out, Write::Overwrite, grad_gated)?;
        self.project_delta(net, &saved.x_dbl, &mut scratch.delta_raw)?;
        let mut rebuilt = scratch.scan.take();
        let scanned = match &mut rebuilt {
            Some(kept) => self.scan(net, saved, Some(kept), scratch),
            None => Ok(()),
        };
        let kept = rebuilt.as_ref().or(saved.scan.as_ref());
        let result = scanned.and_then(|()| match kept {
            Some(kept) => self.backward_scan(net, saved, kept, grads, scratch),
            None => Err(ModelError::input("activations", "for inference", "for training")),
        });
        scratch.scan = rebuilt;
        result?;
        self.out_proj.backward_params(net, scratch.gated.mat(rows, e), grad_out, grads)?;
        self.backward_projections(net, saved, grads, scratch)?;
        self.backward_conv(net, saved, grads, scratch)?;
        let grad_xz = scratch.grad_xz.mat(rows, 2 * e);
        self.in_proj.backward_params(net, input.mat(rows, d), grad_xz, grads)?;
        self.in_proj.backward_input(net, grad_xz, Write::Overwrite, grad_input.mat_mut(rows, d))
    }

    /// `delta_raw` of both orders.
    fn project_delta<B: Backend>(
        &self,
        net: &Net<'_, B>,
        x_dbl: &[ActBuf<B>; 2],
        delta_raw: &mut [ActBuf<B>; 2],
    ) -> Result<(), ModelError> {
        let (rows, e, r) = (net.rows(), net.c.d_inner(), net.c.delta_rank());
        let delta_r = x_dbl.each_ref().map(|x_dbl| x_dbl.columns(rows, 0..r));
        let weights = self.orders.each_ref().map(|order| order.delta_weight(net).t());
        let outs = delta_raw.each_mut().map(|delta_raw| delta_raw.mat_mut(rows, e));
        net.backend.gemm_pair(outs, Write::Overwrite, delta_r, weights)?;
        Ok(())
    }

    /// Gradients of `z`, `u`, `delta_raw`, `B`, `C` and the scan's own parameters.
    fn backward_scan<B: Backend>(
        &self,
        net: &Net<'_, B>,
        saved: &SsmSaved<B>,
        kept: &ScanKept<B>,
        grads: &mut Mut<'_, B, B::Wide>,
        scratch: &mut SsmScratch<B>,
    ) -> Result<(), ModelError> {
        let own = |o: &Order| [o.a_log.clone(), o.d_skip.clone(), o.delta_bias.clone()];
        let [a0, d0, b0] = own(&self.orders[0]);
        let [a1, d1, b1] = own(&self.orders[1]);
        let [a0, d0, b0, a1, d1, b1] = grads.reborrow().parts([a0, d0, b0, a1, d1, b1]);
        let SsmScratch {
            kernels,
            delta_raw,
            gated,
            scan: _,
            grad_gated,
            grad_xz,
            grad_u: [u0, u1],
            grad_delta: [delta0, delta1],
            grad_x_dbl: [x_dbl0, x_dbl1],
        } = scratch;
        let operands = [(u0, delta0, x_dbl0, a0, d0, b0), (u1, delta1, x_dbl1, a1, d1, b1)];
        let mut directions =
            Lent::new(operands.map(|(u, delta_raw, x_dbl, a_log, d_skip, delta_bias)| {
                scan::DirectionGrads {
                    u: u.view_mut(),
                    delta_raw: delta_raw.view_mut(),
                    bc: x_dbl.columns_mut(net.rows(), bc_columns(net.c)),
                    a_log,
                    d_skip,
                    delta_bias,
                }
            }));
        let z = grad_xz.columns_mut(net.rows(), z_columns(net.c));
        let grads = scan::Grads { directions: &mut *directions, z, gated: gated.view_mut() };
        let operands = self.scan_directions(net, &saved.u, &saved.x_dbl, delta_raw);
        let args = scan_args(net, &operands, &saved.xz);
        let kept = scan::Kept { pre_gate: kept.pre_gate.view(), states: kept.states.view() };
        net.backend.selective_scan_backward(&args, kept, grad_gated.view(), grads, kernels)?;
        Ok(())
    }

    /// Gradients of the projections of both orders; adds their part to the gradients of `u`.
    fn backward_projections<B: Backend>(
        &self,
        net: &Net<'_, B>,
        saved: &SsmSaved<B>,
        grads: &mut Mut<'_, B, B::Wide>,
        scratch: &mut SsmScratch<B>,
    ) -> Result<(), ModelError> {
        let (rows, e, r) = (net.rows(), net.c.d_inner(), net.c.delta_rank());
        let SsmScratch { grad_u, grad_delta, grad_x_dbl, .. } = scratch;
        let grad_delta = grad_delta.each_ref().map(|grad| grad.mat(rows, e));
        for (i, order) in self.orders.iter().enumerate() {
            let delta_r = saved.x_dbl[i].columns(rows, 0..r);
            let weight = MatMut::of(grad::<B>(grads, &order.delta_weight), e, r);
            net.backend.gemm_wide(weight, Write::Accumulate, grad_delta[i].t(), delta_r)?;
        }
        let weights = self.orders.each_ref().map(|order| order.delta_weight(net));
        let grad_delta_r = grad_x_dbl.each_mut().map(|grad| grad.columns_mut(rows, 0..r));
        net.backend.gemm_pair(grad_delta_r, Write::Overwrite, grad_delta, weights)?;
        normalize_backward(net, saved, grad_x_dbl)?;

        let grad_x_dbl = grad_x_dbl.each_ref().map(|grad| grad.mat(rows, net.c.x_proj_width()));
        for (i, order) in self.orders.iter().enumerate() {
            let u = saved.u[i].mat(rows, e);
            order.x_proj.backward_params(net, u, grad_x_dbl[i], grads)?;
        }
        let weights = self.orders.each_ref().map(|order| order.x_proj.weight(net));
        let grad_u = grad_u.each_mut().map(|grad| grad.mat_mut(rows, e));
        net.backend.gemm_pair(grad_u, Write::Accumulate, grad_x_dbl, weights)?;
        Ok(())
    }

    /// Gradients of the convolutions and of `x`.
    fn backward_conv<B: Backend>(
        &self,
        net: &Net<'_, B>,
        saved: &SsmSaved<B>,
        grads: &mut Mut<'_, B, B::Wide>,
        scratch: &mut SsmScratch<B>,
    ) -> Result<(), ModelError> {
        let own = |o: &Order| [o.conv_weight.clone(), o.conv_bias.clone()];
        let [w0, b0] = own(&self.orders[0]);
        let [w1, b1] = own(&self.orders[1]);
        let [w0, b0, w1, b1] = grads.reborrow().parts([w0, b0, w1, b1]);
        let mut directions = Lent::new(
            [(w0, b0), (w1, b1)].map(|(weight, bias)| conv::DirectionGrads { weight, bias }),
        );
        let x = scratch.grad_xz.columns_mut(net.rows(), 0..net.c.d_inner());
        let grads = conv::Grads { x, directions: &mut *directions };
        let operands = self.conv_directions(net);
        let args = conv_args(net, &operands, &saved.xz);
        let grad_outs = [scratch.grad_u[0].view(), scratch.grad_u[1].view()];
        net.backend.causal_conv1d_backward(&args, &grad_outs, grads, &mut scratch.kernels)?;
        Ok(())
    }

    fn conv_directions<'a, B: Backend>(
        &self,
        net: &'a Net<'_, B>,
    ) -> [conv::Direction<'a, B::Wide, B::Memory>; 2] {
        [self.orders[0].conv(net), self.orders[1].conv(net)]
    }

    fn scan_directions<'a, B: Backend>(
        &self,
        net: &'a Net<'_, B>,
        u: &'a [ActBuf<B>; 2],
        x_dbl: &'a [ActBuf<B>; 2],
        delta_raw: &'a [ActBuf<B>; 2],
    ) -> [scan::Direction<'a, B::Act, B::Wide, B::Memory>; 2] {
        [0, 1].map(|i| {
            let order = &self.orders[i];
            scan::Direction {
                order: order.order,
                u: u[i].view(),
                delta_raw: delta_raw[i].view(),
                bc: x_dbl[i].columns(net.rows(), bc_columns(net.c)),
                a_log: net.param(&order.a_log),
                d_skip: net.param(&order.d_skip),
                delta_bias: net.param(&order.delta_bias),
            }
        })
    }
}

/// Place of `[B | C]` in a row of `x_dbl`.
fn bc_columns(c: &DisConfig) -> Range<usize> {
    c.delta_rank()..c.x_proj_width()
}

/// Place of `z` in a row of `xz`.
fn z_columns(c: &DisConfig) -> Range<usize> {
    c.d_inner()..2 * c.d_inner()
}

/// Sizes of both scans.
pub(crate) fn scan_shape(c: &DisConfig, batch: usize) -> scan::Shape {
    scan::Shape { batch, seq_len: c.seq_len(), channels: c.d_inner(), states: c.d_state }
}

fn scan_args<'a, B: Backend>(
    net: &Net<'_, B>,
    directions: &'a [scan::Direction<'a, B::Act, B::Wide, B::Memory>],
    xz: &'a ActBuf<B>,
) -> scan::Args<'a, B::Act, B::Wide, B::Memory> {
    scan::Args {
        shape: scan_shape(net.c, net.batch),
        directions,
        z: xz.columns(net.rows(), z_columns(net.c)),
        direction_sum: B::Wide::from_f64(net.c.direction_sum),
    }
}

fn conv_args<'a, B: Backend>(
    net: &Net<'_, B>,
    directions: &'a [conv::Direction<'a, B::Wide, B::Memory>],
    xz: &'a ActBuf<B>,
) -> conv::Args<'a, B::Act, B::Wide, B::Memory> {
    let Net { c, batch, .. } = *net;
    let (seq_len, channels, width) = (c.seq_len(), c.d_inner(), c.d_conv);
    conv::Args {
        shape: conv::Shape { batch, seq_len, channels, width },
        x: xz.columns(net.rows(), 0..channels),
        directions,
    }
}
