//! The small steps between the fused operators, and the plain copy.

use super::case::{Call, Case, Lab, label};
use super::costs::{BlockCosts, copy};
use super::shapes::BlockShape;
use ssm_kernels::device::{Activation, DeviceBuffer, Driver};
use ssm_kernels::{Backend, Storage};

/// From one half of a buffer to another buffer.
pub(super) fn device_copy<A: Activation, D: Driver>(lab: &Lab<A, D>, bytes: usize) -> Case {
    let len = bytes / size_of::<f32>();
    let shape = format!("{} MB", bytes / 1_000_000);
    lab.case("copy", shape, copy(bytes), move |lab| {
        let (device, from) = (lab.device.clone(), lab.wide(1, len, |x| x)?);
        let mut to: DeviceBuffer<f32, D> = device.zeros(len)?;
        Ok(Box::new(move || device.copy(from.view(), to.view_mut())) as Call)
    })
}

pub(super) fn cases<A: Activation, D: Driver>(lab: &Lab<A, D>, s: BlockShape) -> Vec<Case> {
    let costs = BlockCosts { shape: s, act: Lab::<A, D>::act_bytes() };
    let (shape, len) = (label(&s, s.width), s.outer_elements());
    vec![
        lab.case("fill_rows", &*shape, costs.elementwise(1.0), move |lab| {
            let (device, row) = (lab.device.clone(), lab.wide(1, s.width, |x| x)?);
            let mut out = lab.act_zeros(len)?;
            Ok(Box::new(move || device.fill_rows(row.view(), out.view_mut())) as Call)
        }),
        lab.case("add_column_sums", &*shape, costs.elementwise(1.0), move |lab| {
            let (device, x) = (lab.device.clone(), lab.act(1, len)?);
            let mut sums = lab.wide_zeros(s.width)?;
            Ok(Box::new(move || device.add_column_sums(x.mat(s.rows(), s.width), sums.view_mut()))
                as Call)
        }),
        lab.case("add", &*shape, costs.elementwise(3.0), move |lab| {
            let (device, a, b) = (lab.device.clone(), lab.act(1, len)?, lab.act(2, len)?);
            let mut out = lab.act_zeros(len)?;
            Ok(Box::new(move || device.add(a.view(), b.view(), out.view_mut())) as Call)
        }),
        lab.case("add_assign", &*shape, costs.elementwise(3.0), move |lab| {
            let (device, from) = (lab.device.clone(), lab.act_zeros(len)?);
            let mut to = lab.act(1, len)?;
            Ok(Box::new(move || device.add_assign(to.view_mut(), from.view())) as Call)
        }),
    ]
}
