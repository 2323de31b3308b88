//! Noising and the losses, in f32.

use super::case::{Call, Case, Lab};
use super::costs::{hybrid_loss, q_sample, squared_error_loss};
use super::shapes::ImageShape;
use ssm_kernels::device::diffusion::{
    self as device_diffusion, Draw, HybridLoss, LossOutput, LossRow, QSample, QSampleOutput,
    SquaredErrorLoss, SquaredErrorRow,
};
use ssm_kernels::device::{Activation, DeviceBuffer, Driver};
use ssm_kernels::{Backend, KernelError, Storage};

/// A timestep in the middle of the usual schedule, roughly.
const ROW: LossRow = LossRow {
    error_slope: 1e-3,
    mean_slope: 1e-6,
    variance_slope: 1e-6,
    half_range: 0.01,
    log_variance: -4.6,
    precision: 0.1,
    noise_per_data: 2.0,
    is_first: false,
};

/// A velocity.
const SQUARED_ROW: SquaredErrorRow =
    SquaredErrorRow { data: -1.0, noise: 1.0, slope: 1e-5, cosine_slope: 0.0 };

fn noising<A: Activation, D: Driver>(
    lab: &Lab<A, D>,
    shape: ImageShape,
) -> Result<Call, KernelError> {
    let device = lab.device.clone();
    let (batch, len) = (shape.batch, shape.elements());
    let x0 = lab.wide(1, len, |x| x)?;
    let (mut x_t, mut noise) = (lab.wide_zeros(len)?, lab.wide_zeros(len)?);
    let positions: Vec<u64> = (0..batch as u64).collect();
    let levels = vec![[0.8, 0.6]; batch];
    Ok(Box::new(move || {
        let draw = Draw { seed: 0, purpose: 1, sub: 0, positions: &positions };
        let args = QSample { draw, levels: &levels, x0: x0.view() };
        let out = QSampleOutput { x_t: x_t.view_mut(), noise: noise.view_mut() };
        device_diffusion::q_sample(&device, &args, out)
    }))
}

fn hybrid<A: Activation, D: Driver>(
    lab: &Lab<A, D>,
    shape: ImageShape,
) -> Result<Call, KernelError> {
    let device = lab.device.clone();
    let (batch, len) = (shape.batch, shape.elements());
    let (x0, noise) = (lab.wide(1, len, |x| 0.3 * x)?, lab.wide(2, len, |x| x)?);
    let output = lab.wide(3, 2 * len, |x| x)?;
    let mut grad_output = lab.wide_zeros(2 * len)?;
    let mut terms: DeviceBuffer<f64, D> = device.zeros(2 * batch)?;
    let rows = vec![ROW; batch];
    Ok(Box::new(move || {
        let (x0, noise) = (x0.view(), noise.view());
        let args = HybridLoss { rows: &rows, output: output.view(), x0, noise };
        let out = LossOutput { grad_output: grad_output.view_mut(), terms: terms.view_mut() };
        device_diffusion::hybrid_loss(&device, &args, out)
    }))
}

fn squared_error<A: Activation, D: Driver>(
    lab: &Lab<A, D>,
    shape: ImageShape,
    row: SquaredErrorRow,
) -> Result<Call, KernelError> {
    let device = lab.device.clone();
    let (batch, channels, len) = (shape.batch, shape.channels, shape.elements());
    let (x0, noise) = (lab.wide(1, len, |x| 0.3 * x)?, lab.wide(2, len, |x| x)?);
    let output = lab.wide(3, len, |x| x)?;
    let mut grad_output = lab.wide_zeros(len)?;
    let mut terms: DeviceBuffer<f64, D> = device.zeros(2 * batch)?;
    let rows = vec![row; batch];
    Ok(Box::new(move || {
        let (output, x0, noise) = (output.view(), x0.view(), noise.view());
        let args = SquaredErrorLoss { rows: &rows, channels, output, x0, noise };
        let out = LossOutput { grad_output: grad_output.view_mut(), terms: terms.view_mut() };
        device_diffusion::squared_error_loss(&device, &args, out)
    }))
}

pub(super) fn cases<A: Activation, D: Driver>(lab: &Lab<A, D>, shape: ImageShape) -> Vec<Case> {
    let ImageShape { batch, channels, side } = shape;
    let (label, len) = (format!("{batch}x{channels}x{side}x{side}"), shape.elements());
    let mut cases = vec![
        lab.case("q_sample", &*label, q_sample(len), move |lab| noising(lab, shape)),
        lab.case("hybrid_loss", &*label, hybrid_loss(len), move |lab| hybrid(lab, shape)),
    ];
    for (operator, cosine_slope) in
        [("squared_error_loss", 0.0), ("squared_error_cosine_loss", 1e-5)]
    {
        let row = SquaredErrorRow { cosine_slope, ..SQUARED_ROW };
        let cost = squared_error_loss(len);
        cases.push(lab.case(operator, &*label, cost, move |lab| squared_error(lab, shape, row)));
    }
    cases
}
