//! What convolutional networks over images are made of.

use super::case::{Call, Case, Lab};
use super::costs;
use super::shapes::LayerShape;
use ssm_kernels::device::{Activation, Driver};
use ssm_kernels::{ImageBackend, KernelError, Storage, conv2d, group_norm};

/// Groups of a norm, unless there are fewer channels.
const GROUPS: usize = 32;

fn convolution<A: Activation, D: Driver>(
    lab: &Lab<A, D>,
    layer: LayerShape,
) -> Result<Call, KernelError> {
    let device = lab.device.clone();
    let LayerShape { batch, side, inputs, outputs } = layer;
    let kernel = conv2d::Kernel::same(inputs, outputs, 3);
    let weights = device.conv2d_weights(&kernel, &crate::random(1, kernel.weight_len()))?;
    let (x, bias) = (lab.act(2, layer.pixels() * inputs)?, lab.wide(3, outputs, |x| x)?);
    let mut out = lab.act_zeros(layer.pixels() * outputs)?;
    Ok(Box::new(move || {
        let shape = conv2d::Shape { batch, height: side, width: side };
        let (x, bias) = (x.mat(layer.pixels(), inputs), bias.view());
        let activation = conv2d::Activation::None;
        let args = conv2d::Args { shape, x, weights: &weights, bias, add: None, activation };
        device.conv2d(&args, out.mat_mut(layer.pixels(), outputs), &mut ())
    }))
}

fn norm<A: Activation, D: Driver>(lab: &Lab<A, D>, layer: LayerShape) -> Result<Call, KernelError> {
    let device = lab.device.clone();
    let LayerShape { batch, side, inputs: channels, .. } = layer;
    let shape = group_norm::Shape { batch, pixels: side * side, channels, groups: GROUPS };
    let x = lab.act(1, layer.pixels() * channels)?;
    let [weight, bias] = [lab.wide(2, channels, |x| x)?, lab.wide(3, channels, |x| x)?];
    let mut out = lab.act_zeros(layer.pixels() * channels)?;
    Ok(Box::new(move || {
        let (weight, bias) = (weight.view(), bias.view());
        let args = group_norm::Args { shape, x: x.view(), weight, bias, eps: 1e-6, silu: true };
        device.group_norm(&args, out.view_mut(), &mut ())
    }))
}

/// The scores of one image's attention.
fn softmax<A: Activation, D: Driver>(lab: &Lab<A, D>, pixels: usize) -> Result<Call, KernelError> {
    let device = lab.device.clone();
    let mut scores = lab.act(1, pixels * pixels)?;
    Ok(Box::new(move || device.softmax_rows(scores.mat_mut(pixels, pixels), 0.044)))
}

pub(super) fn cases<A: Activation, D: Driver>(lab: &Lab<A, D>, layer: LayerShape) -> Vec<Case> {
    let LayerShape { batch, side, inputs, outputs } = layer;
    let act = Lab::<A, D>::act_bytes();
    let images = format!("{batch}x{side}x{side}x{inputs}");
    let convolved = format!("{images} to {outputs}");
    let cost = costs::conv2d(layer.pixels(), [inputs, outputs], 9, act);
    let mut cases = vec![lab.case("conv2d", convolved, cost, move |lab| convolution(lab, layer))];
    if inputs == outputs {
        let cost = costs::group_norm(layer.pixels() * inputs, act);
        cases.push(lab.case("group_norm", images, cost, move |lab| norm(lab, layer)));
    }
    if side <= 32 && batch == 1 {
        let pixels = layer.pixels();
        let cost = costs::softmax_rows(pixels * pixels, act);
        let rows = format!("{pixels}x{pixels}");
        cases.push(lab.case("softmax_rows", rows, cost, move |lab| softmax(lab, pixels)));
    }
    cases
}
