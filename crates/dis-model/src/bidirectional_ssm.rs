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
//! # Source
//! DiS, arXiv 2402.05608, section 3.1; the "v2" mixer of Vision Mamba, arXiv 2401.09417, whose
//! released code halves the sum (`direction_sum = 0.5`).

mod buffers;

use buffers::ScanKept;
pub(crate) use buffers::{SsmSaved, SsmScratch};

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
        for (i, order) in self.orders.iter().enumerate() {
            order.x_proj.forward(net, saved.u[i].mat(rows, e), saved.x_dbl[i].view_mut())?;
        }
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
        for i in 0..2 {
            self.backward_projections(net, saved, grads, scratch, i)?;
        }
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
        for ((order, x_dbl), delta_raw) in self.orders.iter().zip(x_dbl).zip(delta_raw) {
            let delta_r = x_dbl.columns(net.rows(), 0..net.c.delta_rank());
            let out = delta_raw.mat_mut(net.rows(), net.c.d_inner());
            net.backend.gemm(out, Write::Overwrite, delta_r, order.delta_weight(net).t())?;
        }
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

    /// Gradients of the projections of one order; adds their part to the gradient of `u`.
    fn backward_projections<B: Backend>(
        &self,
        net: &Net<'_, B>,
        saved: &SsmSaved<B>,
        grads: &mut Mut<'_, B, B::Wide>,
        scratch: &mut SsmScratch<B>,
        i: usize,
    ) -> Result<(), ModelError> {
        let (rows, e, r) = (net.rows(), net.c.d_inner(), net.c.delta_rank());
        let order = &self.orders[i];
        let grad_delta = scratch.grad_delta[i].mat(rows, e);
        let delta_r = saved.x_dbl[i].columns(rows, 0..r);
        let weight = MatMut::of(grad::<B>(grads, &order.delta_weight), e, r);
        net.backend.gemm_wide(weight, Write::Accumulate, grad_delta.t(), delta_r)?;
        let grad_delta_r = scratch.grad_x_dbl[i].columns_mut(rows, 0..r);
        let weight = order.delta_weight(net);
        net.backend.gemm(grad_delta_r, Write::Overwrite, grad_delta, weight)?;

        let grad_x_dbl = scratch.grad_x_dbl[i].mat(rows, net.c.x_proj_width());
        order.x_proj.backward_params(net, saved.u[i].mat(rows, e), grad_x_dbl, grads)?;
        let grad_u = scratch.grad_u[i].mat_mut(rows, e);
        order.x_proj.backward_input(net, grad_x_dbl, Write::Accumulate, grad_u)
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
