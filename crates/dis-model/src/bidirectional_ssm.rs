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

use crate::config::DisConfig;
use crate::error::ModelError;
use crate::linear::Linear;
use crate::net::Net;
use crate::params::ParamLayout;
use ssm_kernels::{Backend, Buffer, Mat, MatMut, Real, ScanOrder, Scratch, Write};
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

/// What the gradient pass needs of one value pass. Shapes with `L` tokens of every image.
#[derive(Debug)]
pub(crate) struct SsmSaved<T> {
    /// `[B, L, 2E]`: `[x | z]`.
    xz: Buffer<T>,
    /// Per order `[B, L, E]`.
    u: [Buffer<T>; 2],
    /// Per order `[B, L, R + 2N]`: `[delta_r | B | C]`.
    x_dbl: [Buffer<T>; 2],
    /// `[B, L, E]`: sum of the scans before the gate.
    pre_gate: Buffer<T>,
    /// States on the way of both scans, as the backend keeps them.
    states: Buffer<T>,
}

impl<T: Real> SsmSaved<T> {
    /// Memory of one mixer; `scan_states` as the backend asks for, or 0 for inference.
    pub(crate) fn new(c: &DisConfig, batch: usize, scan_states: usize) -> Self {
        let activation = |n: usize| Buffer::zeros(batch * c.seq_len() * n);
        let e = c.d_inner();
        let pair = |n: usize| [activation(n), activation(n)];
        Self {
            xz: activation(2 * e),
            u: pair(e),
            x_dbl: pair(c.x_proj_width()),
            pre_gate: activation(e),
            states: Buffer::zeros(scan_states),
        }
    }
}

/// Working memory shared by all mixers.
#[derive(Debug)]
pub(crate) struct SsmScratch<T> {
    kernels: Scratch<T>,
    /// Per order `[B, L, E]`. A product of short sums: the gradient pass makes it again.
    delta_raw: [Buffer<T>; 2],
    /// `[B, L, E]`. The gradient pass makes it again.
    gated: Buffer<T>,
    grad_gated: Buffer<T>,
    grad_xz: Buffer<T>,
    grad_u: [Buffer<T>; 2],
    grad_delta: [Buffer<T>; 2],
    grad_x_dbl: [Buffer<T>; 2],
}

impl<T: Real> SsmScratch<T> {
    /// Memory of the value pass alone.
    pub(crate) fn for_inference(c: &DisConfig, batch: usize) -> Self {
        let activation = || Buffer::zeros(batch * c.seq_len() * c.d_inner());
        Self {
            kernels: Scratch::new(),
            delta_raw: [activation(), activation()],
            gated: activation(),
            grad_gated: Buffer::default(),
            grad_xz: Buffer::default(),
            grad_u: [Buffer::default(), Buffer::default()],
            grad_delta: [Buffer::default(), Buffer::default()],
            grad_x_dbl: [Buffer::default(), Buffer::default()],
        }
    }

    pub(crate) fn for_training(c: &DisConfig, batch: usize) -> Self {
        let activation = |n: usize| Buffer::zeros(batch * c.seq_len() * n);
        let e = c.d_inner();
        let pair = |n: usize| [activation(n), activation(n)];
        Self {
            kernels: Scratch::new(),
            delta_raw: pair(e),
            gated: activation(e),
            grad_gated: activation(e),
            grad_xz: activation(2 * e),
            grad_u: pair(e),
            grad_delta: pair(e),
            grad_x_dbl: pair(c.x_proj_width()),
        }
    }
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

    fn conv<'a, T>(&self, params: &'a [T]) -> conv::Direction<'a, T> {
        conv::Direction {
            order: self.order,
            weight: &params[self.conv_weight.clone()],
            bias: &params[self.conv_bias.clone()],
        }
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
        net: Net<'_, B::Elem>,
        input: &[B::Elem],
        saved: &mut SsmSaved<B::Elem>,
        scratch: &mut SsmScratch<B::Elem>,
        keep: bool,
        out: &mut [B::Elem],
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let (d, e) = (c.hidden_size, c.d_inner());
        let rows = input.len() / d;
        self.in_proj.forward::<B>(params, Mat::new(input, rows, d), &mut saved.xz)?;
        let [first, second] = &mut saved.u;
        let directions = [self.orders[0].conv(params), self.orders[1].conv(params)];
        let args = self.conv_args::<B::Elem>(c, &directions, &saved.xz, rows);
        B::causal_conv1d(&args, &mut [first, second])?;
        for (i, order) in self.orders.iter().enumerate() {
            let u = Mat::new(&saved.u[i], rows, e);
            order.x_proj.forward::<B>(params, u, &mut saved.x_dbl[i])?;
        }
        self.project_delta::<B>(net, &saved.x_dbl, &mut scratch.delta_raw)?;
        let SsmSaved { xz, u, x_dbl, pre_gate, states } = saved;
        let SsmScratch { kernels, delta_raw, gated, .. } = scratch;
        let directions = self.scan_directions(net, u, x_dbl, delta_raw);
        let args = scan_args(c, &directions, xz, rows);
        let kept = keep.then_some(scan::KeptMut { pre_gate, states });
        B::selective_scan(&args, scan::Output { gated, kept }, kernels)?;
        self.out_proj.forward::<B>(params, Mat::new(gated, rows, e), out)
    }

    /// `grad_input` from `grad_out`, both `[B, L, D]`; adds the gradients of the parameters.
    pub(crate) fn backward<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        input: &[B::Elem],
        saved: &SsmSaved<B::Elem>,
        grad_out: &[B::Elem],
        grads: &mut [B::Elem],
        scratch: &mut SsmScratch<B::Elem>,
        grad_input: &mut [B::Elem],
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let (d, e) = (c.hidden_size, c.d_inner());
        let rows = input.len() / d;
        let grad_out = Mat::new(grad_out, rows, d);
        let grad_gated = MatMut::new(&mut scratch.grad_gated, rows, e);
        self.out_proj.backward_input::<B>(params, grad_out, Write::Overwrite, grad_gated)?;
        self.project_delta::<B>(net, &saved.x_dbl, &mut scratch.delta_raw)?;
        self.backward_scan::<B>(net, saved, grads, scratch, rows)?;
        self.out_proj.backward_params::<B>(Mat::new(&scratch.gated, rows, e), grad_out, grads)?;
        for i in 0..2 {
            self.backward_projections::<B>(net, saved, grads, scratch, rows, i)?;
        }
        self.backward_conv::<B>(net, saved, grads, scratch, rows)?;
        let grad_xz = Mat::new(&scratch.grad_xz, rows, 2 * e);
        self.in_proj.backward_params::<B>(Mat::new(input, rows, d), grad_xz, grads)?;
        let grad_input = MatMut::new(grad_input, rows, d);
        self.in_proj.backward_input::<B>(params, grad_xz, Write::Overwrite, grad_input)
    }

    /// `delta_raw` of both orders.
    fn project_delta<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        x_dbl: &[Buffer<B::Elem>; 2],
        delta_raw: &mut [Buffer<B::Elem>; 2],
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let (e, r, width) = (c.d_inner(), c.delta_rank(), c.x_proj_width());
        for ((order, x_dbl), delta_raw) in self.orders.iter().zip(x_dbl).zip(delta_raw) {
            let rows = x_dbl.len() / width;
            let delta_r = Mat::columns(x_dbl, rows, width, 0, r);
            let weight = Mat::new(&params[order.delta_weight.clone()], e, r);
            B::gemm(MatMut::new(delta_raw, rows, e), Write::Overwrite, delta_r, weight.t())?;
        }
        Ok(())
    }

    /// Gradients of `z`, `u`, `delta_raw`, `B`, `C` and the scan's own parameters.
    fn backward_scan<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        saved: &SsmSaved<B::Elem>,
        grads: &mut [B::Elem],
        scratch: &mut SsmScratch<B::Elem>,
        rows: usize,
    ) -> Result<(), ModelError> {
        let c = net.c;
        let (e, r, n) = (c.d_inner(), c.delta_rank(), c.d_state);
        let own = |o: &Order| [o.a_log.clone(), o.d_skip.clone(), o.delta_bias.clone()];
        let [a0, d0, b0] = own(&self.orders[0]);
        let [a1, d1, b1] = own(&self.orders[1]);
        let parameters = grads
            .get_disjoint_mut([a0, d0, b0, a1, d1, b1])
            .unwrap_or_else(|_| unreachable!("parameters of a layout do not overlap"));
        let [a0, d0, b0, a1, d1, b1] = parameters;
        let SsmScratch {
            kernels,
            delta_raw,
            gated,
            grad_gated,
            grad_xz,
            grad_u,
            grad_delta,
            grad_x_dbl,
        } = scratch;
        let [u0, u1] = grad_u;
        let [delta0, delta1] = grad_delta;
        let [x_dbl0, x_dbl1] = grad_x_dbl;
        let mut directions = [(u0, delta0, x_dbl0, a0, d0, b0), (u1, delta1, x_dbl1, a1, d1, b1)]
            .map(|(u, delta_raw, x_dbl, a_log, d_skip, delta_bias)| scan::DirectionGrads {
                u,
                delta_raw,
                bc: MatMut::columns(x_dbl, rows, c.x_proj_width(), r, 2 * n),
                a_log,
                d_skip,
                delta_bias,
            });
        let z = MatMut::columns(grad_xz, rows, 2 * e, e, e);
        let grads = scan::Grads { directions: &mut directions, z, gated };
        let operands = self.scan_directions(net, &saved.u, &saved.x_dbl, delta_raw);
        let args = scan_args(c, &operands, &saved.xz, rows);
        let kept = scan::Kept { pre_gate: &saved.pre_gate, states: &saved.states };
        B::selective_scan_backward(&args, kept, grad_gated, grads, kernels)?;
        Ok(())
    }

    /// Gradients of the projections of one order; adds their part to the gradient of `u`.
    fn backward_projections<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        saved: &SsmSaved<B::Elem>,
        grads: &mut [B::Elem],
        scratch: &mut SsmScratch<B::Elem>,
        rows: usize,
        i: usize,
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let (e, r, width) = (c.d_inner(), c.delta_rank(), c.x_proj_width());
        let order = &self.orders[i];
        let grad_delta = Mat::new(&scratch.grad_delta[i], rows, e);
        let delta_r = Mat::columns(&saved.x_dbl[i], rows, width, 0, r);
        let grad_weight = MatMut::new(&mut grads[order.delta_weight.clone()], e, r);
        B::gemm(grad_weight, Write::Accumulate, grad_delta.t(), delta_r)?;
        let weight = Mat::new(&params[order.delta_weight.clone()], e, r);
        let grad_delta_r = MatMut::columns(&mut scratch.grad_x_dbl[i], rows, width, 0, r);
        B::gemm(grad_delta_r, Write::Overwrite, grad_delta, weight)?;

        let grad_x_dbl = Mat::new(&scratch.grad_x_dbl[i], rows, width);
        order.x_proj.backward_params::<B>(Mat::new(&saved.u[i], rows, e), grad_x_dbl, grads)?;
        let grad_u = MatMut::new(&mut scratch.grad_u[i], rows, e);
        order.x_proj.backward_input::<B>(params, grad_x_dbl, Write::Accumulate, grad_u)
    }

    /// Gradients of the convolutions and of `x`.
    fn backward_conv<B: Backend>(
        &self,
        net: Net<'_, B::Elem>,
        saved: &SsmSaved<B::Elem>,
        grads: &mut [B::Elem],
        scratch: &mut SsmScratch<B::Elem>,
        rows: usize,
    ) -> Result<(), ModelError> {
        let Net { c, params } = net;
        let e = c.d_inner();
        let own = |o: &Order| [o.conv_weight.clone(), o.conv_bias.clone()];
        let [w0, b0] = own(&self.orders[0]);
        let [w1, b1] = own(&self.orders[1]);
        let parameters = grads
            .get_disjoint_mut([w0, b0, w1, b1])
            .unwrap_or_else(|_| unreachable!("parameters of a layout do not overlap"));
        let [w0, b0, w1, b1] = parameters;
        let mut directions =
            [(w0, b0), (w1, b1)].map(|(weight, bias)| conv::DirectionGrads { weight, bias });
        let x = MatMut::columns(&mut scratch.grad_xz, rows, 2 * e, 0, e);
        let grads = conv::Grads { x, directions: &mut directions };
        let operands = [self.orders[0].conv(params), self.orders[1].conv(params)];
        let args = self.conv_args::<B::Elem>(c, &operands, &saved.xz, rows);
        let grad_outs = [&*scratch.grad_u[0], &*scratch.grad_u[1]];
        B::causal_conv1d_backward(&args, &grad_outs, grads, &mut scratch.kernels)?;
        Ok(())
    }

    fn conv_args<'a, T: Real>(
        &self,
        c: &DisConfig,
        directions: &'a [conv::Direction<'a, T>],
        xz: &'a [T],
        rows: usize,
    ) -> conv::Args<'a, T> {
        let e = c.d_inner();
        let shape = conv::Shape {
            batch: rows / c.seq_len(),
            seq_len: c.seq_len(),
            channels: e,
            width: c.d_conv,
        };
        conv::Args { shape, x: Mat::columns(xz, rows, 2 * e, 0, e), directions }
    }

    fn scan_directions<'a, T: Real>(
        &self,
        net: Net<'a, T>,
        u: &'a [Buffer<T>; 2],
        x_dbl: &'a [Buffer<T>; 2],
        delta_raw: &'a [Buffer<T>; 2],
    ) -> [scan::Direction<'a, T>; 2] {
        let Net { c, params } = net;
        let (width, r, n) = (c.x_proj_width(), c.delta_rank(), c.d_state);
        [0, 1].map(|i| {
            let order = &self.orders[i];
            scan::Direction {
                order: order.order,
                u: &u[i],
                delta_raw: &delta_raw[i],
                bc: Mat::columns(&x_dbl[i], x_dbl[i].len() / width, width, r, 2 * n),
                a_log: &params[order.a_log.clone()],
                d_skip: &params[order.d_skip.clone()],
                delta_bias: &params[order.delta_bias.clone()],
            }
        })
    }
}

/// Sizes of both scans.
pub(crate) fn scan_shape(c: &DisConfig, batch: usize) -> scan::Shape {
    scan::Shape { batch, seq_len: c.seq_len(), channels: c.d_inner(), states: c.d_state }
}

fn scan_args<'a, T: Real>(
    c: &DisConfig,
    directions: &'a [scan::Direction<'a, T>],
    xz: &'a [T],
    rows: usize,
) -> scan::Args<'a, T> {
    let e = c.d_inner();
    scan::Args {
        shape: scan_shape(c, rows / c.seq_len()),
        directions,
        z: Mat::columns(xz, rows, 2 * e, e, e),
        direction_sum: T::from_f64(c.direction_sum),
    }
}
