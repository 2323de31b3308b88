//! The selective scan of both orders, laid out as in a block: the gate is half of a wider row, `B` and
//! `C` stand behind the rank of the step size.

use super::case::{Call, Case, Lab, label};
use super::costs::BlockCosts;
use super::shapes::{BlockShape, STATES};
use ssm_kernels::device::{Activation, Device, DeviceBuffer, Driver, OnDevice};
use ssm_kernels::selective_scan::device::{Plan, forward};
use ssm_kernels::selective_scan::{
    Args, Direction, DirectionGrads, Grads, Kept, KeptMut, Output, Shape,
};
use ssm_kernels::{Backend, KernelError, ScanOrder, Storage};
use std::ops::Range;

const ORDERS: [ScanOrder; 2] = [ScanOrder::LeftToRight, ScanOrder::RightToLeft];

struct Scan<A: Activation, D: Driver> {
    device: Device<A, D>,
    shape: BlockShape,
    orders: [Order<A, D>; 2],
    /// `[B, L, 2E]`.
    xz: DeviceBuffer<A, D>,
    gated: DeviceBuffer<A, D>,
    kept: Option<KeptStates<A, D>>,
    grads: Option<Gradients<A, D>>,
}

/// Operands of one order, or their gradients.
struct Order<A: Activation, D: Driver> {
    u: DeviceBuffer<A, D>,
    delta_raw: DeviceBuffer<A, D>,
    /// `[B, L, R + 2N]`.
    x_dbl: DeviceBuffer<A, D>,
    a_log: DeviceBuffer<f32, D>,
    d_skip: DeviceBuffer<f32, D>,
    delta_bias: DeviceBuffer<f32, D>,
}

struct KeptStates<A: Activation, D: Driver> {
    pre_gate: DeviceBuffer<A, D>,
    states: DeviceBuffer<f32, D>,
}

struct Gradients<A: Activation, D: Driver> {
    grad_gated: DeviceBuffer<A, D>,
    orders: [Order<A, D>; 2],
    xz: DeviceBuffer<A, D>,
}

fn shape_of(s: &BlockShape) -> Shape {
    Shape { batch: s.batch, seq_len: s.seq_len, channels: s.inner(), states: STATES }
}

fn bc_columns(s: &BlockShape) -> Range<usize> {
    s.rank()..s.rank() + 2 * STATES
}

fn z_columns(s: &BlockShape) -> Range<usize> {
    s.inner()..2 * s.inner()
}

impl<A: Activation, D: Driver> Order<A, D> {
    fn operands(lab: &Lab<A, D>, s: &BlockShape, seed: u64) -> Result<Self, KernelError> {
        let rates: Vec<f32> = (1..=STATES).map(|rate| (rate as f32).ln()).collect();
        Ok(Self {
            u: lab.act(seed, s.elements())?,
            delta_raw: lab.act(seed + 1, s.elements())?,
            x_dbl: lab.act(seed + 2, s.rows() * bc_columns(s).end)?,
            a_log: lab.repeat(&rates, s.inner() * STATES)?,
            d_skip: lab.wide(seed + 3, s.inner(), |x| x)?,
            delta_bias: lab.wide(seed + 4, s.inner(), |_| -4.0)?,
        })
    }

    fn gradients(lab: &Lab<A, D>, s: &BlockShape) -> Result<Self, KernelError> {
        Ok(Self {
            u: lab.act_zeros(s.elements())?,
            delta_raw: lab.act_zeros(s.elements())?,
            x_dbl: lab.act_zeros(s.rows() * bc_columns(s).end)?,
            a_log: lab.wide_zeros(s.inner() * STATES)?,
            d_skip: lab.wide_zeros(s.inner())?,
            delta_bias: lab.wide_zeros(s.inner())?,
        })
    }
}

impl<A: Activation, D: Driver> Scan<A, D> {
    fn new(lab: &Lab<A, D>, shape: BlockShape) -> Result<Self, KernelError> {
        let s = &shape;
        Ok(Self {
            orders: [Order::operands(lab, s, 1)?, Order::operands(lab, s, 11)?],
            xz: lab.act(21, 2 * s.elements())?,
            gated: lab.act_zeros(s.elements())?,
            kept: None,
            grads: None,
            device: lab.device.clone(),
            shape,
        })
    }

    fn keeping(lab: &Lab<A, D>, shape: BlockShape) -> Result<Self, KernelError> {
        let scan = Self::new(lab, shape)?;
        let states = scan.device.selective_scan_states_len(shape_of(&shape), ORDERS.len());
        let pre_gate = lab.act_zeros(shape.elements())?;
        let kept = Some(KeptStates { pre_gate, states: lab.wide_zeros(states)? });
        Ok(Self { kept, ..scan })
    }

    fn training(lab: &Lab<A, D>, shape: BlockShape) -> Result<Self, KernelError> {
        let mut scan = Self::keeping(lab, shape)?;
        scan.forward(None)?;
        let orders = [Order::gradients(lab, &shape)?, Order::gradients(lab, &shape)?];
        let grad_gated = lab.act(31, shape.elements())?;
        let xz = lab.act_zeros(2 * shape.elements())?;
        Ok(Self { grads: Some(Gradients { grad_gated, orders, xz }), ..scan })
    }

    /// Value pass, divided as asked or as the library would.
    fn forward(&mut self, plan: Option<Plan>) -> Result<(), KernelError> {
        let s = &self.shape;
        let directions = directions(s, &self.orders);
        let z = self.xz.columns(s.rows(), z_columns(s));
        let args = Args { shape: shape_of(s), directions: &directions, z, direction_sum: 1.0 };
        let kept = self.kept.as_mut().map(|kept| KeptMut::<A, f32, OnDevice<D>> {
            pre_gate: kept.pre_gate.view_mut(),
            states: kept.states.view_mut(),
        });
        let out = Output { gated: self.gated.view_mut(), kept };
        match plan {
            Some(plan) => forward(&self.device, plan, &args, out),
            None => self.device.selective_scan(&args, out, &mut ()),
        }
    }

    fn backward(&mut self) -> Result<(), KernelError> {
        let s = &self.shape;
        let directions = directions(s, &self.orders);
        let z = self.xz.columns(s.rows(), z_columns(s));
        let args = Args { shape: shape_of(s), directions: &directions, z, direction_sum: 1.0 };
        let (Some(kept), Some(grads)) = (&self.kept, &mut self.grads) else {
            unreachable!("made by Scan::training")
        };
        let kept = Kept { pre_gate: kept.pre_gate.view(), states: kept.states.view() };
        let mut orders =
            grads.orders.each_mut().map(|order| DirectionGrads::<A, f32, OnDevice<D>> {
                u: order.u.view_mut(),
                delta_raw: order.delta_raw.view_mut(),
                bc: order.x_dbl.columns_mut(s.rows(), bc_columns(s)),
                a_log: order.a_log.view_mut(),
                d_skip: order.d_skip.view_mut(),
                delta_bias: order.delta_bias.view_mut(),
            });
        let z = grads.xz.columns_mut(s.rows(), z_columns(s));
        let all = Grads { directions: &mut orders, z, gated: self.gated.view_mut() };
        self.device.selective_scan_backward(&args, kept, grads.grad_gated.view(), all, &mut ())
    }
}

fn directions<'a, A: Activation, D: Driver>(
    s: &BlockShape,
    orders: &'a [Order<A, D>; 2],
) -> [Direction<'a, A, f32, OnDevice<D>>; 2] {
    [0, 1].map(|i| Direction {
        order: ORDERS[i],
        u: orders[i].u.view(),
        delta_raw: orders[i].delta_raw.view(),
        bc: orders[i].x_dbl.columns(s.rows(), bc_columns(s)),
        a_log: orders[i].a_log.view(),
        d_skip: orders[i].d_skip.view(),
        delta_bias: orders[i].delta_bias.view(),
    })
}

/// Both passes, the value pass with and without what the gradient pass needs.
pub(super) fn training<A: Activation, D: Driver>(lab: &Lab<A, D>, s: BlockShape) -> Vec<Case> {
    let costs = BlockCosts { shape: s, act: Lab::<A, D>::act_bytes() };
    let shape = label(&s, s.inner());
    vec![
        lab.case("selective_scan", &*shape, costs.scan_forward(), move |lab| {
            let mut scan = Scan::new(lab, s)?;
            Ok(Box::new(move || scan.forward(None)) as Call)
        }),
        lab.case("selective_scan, kept", &*shape, costs.scan_forward_kept(), move |lab| {
            let mut scan = Scan::keeping(lab, s)?;
            Ok(Box::new(move || scan.forward(None)) as Call)
        }),
        lab.case("selective_scan backward", &*shape, costs.scan_backward(), move |lab| {
            let mut scan = Scan::training(lab, s)?;
            Ok(Box::new(move || scan.backward()) as Call)
        }),
    ]
}

/// The value pass divided in every way; the way of the library is marked.
pub(super) fn plans<A: Activation, D: Driver>(lab: &Lab<A, D>, s: BlockShape) -> Vec<Case> {
    let costs = BlockCosts { shape: s, act: Lab::<A, D>::act_bytes() };
    let chosen = Plan::for_shape(shape_of(&s), lab.device.driver().processors());
    let splits = [1, 2, 4, 8, 16].map(|parts| Plan::Split { parts });
    let mut plans = vec![Plan::Whole];
    plans.extend(splits);
    if !plans.contains(&chosen) {
        plans.push(chosen);
    }
    let case = |plan| {
        let how = match plan {
            Plan::Whole => "whole".to_string(),
            Plan::Split { parts } => format!("split in {parts}"),
        };
        let mark = if plan == chosen { " (chosen)" } else { "" };
        let operator = format!("selective_scan, {how}{mark}");
        lab.case(operator, label(&s, s.inner()), costs.scan_forward(), move |lab| {
            let mut scan = Scan::new(lab, s)?;
            Ok(Box::new(move || scan.forward(Some(plan))) as Call)
        })
    };
    plans.into_iter().map(case).collect()
}
