//! What the network is made of that images are measured with.

use super::case::{Call, Case, Lab};
use super::costs;
use super::shapes::BranchShape;
use ssm_kernels::conv2d::{self, Kernel, Padding, Shape};
use ssm_kernels::device::{Activation, Driver};
use ssm_kernels::pool2d::{self, Kind, Window};
use ssm_kernels::{ImageBackend, KernelError, Storage};

/// The last channels of the pixels, behind a convolution of the first.
fn branch<A: Activation, D: Driver>(
    lab: &Lab<A, D>,
    branch: BranchShape,
) -> Result<Call, KernelError> {
    let device = lab.device.clone();
    let BranchShape { batch, side, channels, inputs, outputs, kernel: [height, width] } = branch;
    let padding =
        Padding { top: height / 2, bottom: height / 2, left: width / 2, right: width / 2 };
    let kernel = Kernel { height, width, padding, ..Kernel::same(inputs, outputs, 1) };
    let weights = device.conv2d_weights(&kernel, &crate::random(1, kernel.weight_len()))?;
    let pixels = branch.pixels();
    let (from, bias) = (lab.act(2, pixels * channels)?, lab.wide(3, outputs, |x| x)?);
    let mut to = lab.act_zeros(pixels * channels)?;
    Ok(Box::new(move || {
        let args = conv2d::Args {
            shape: Shape { batch, height: side, width: side },
            x: from.columns(pixels, 0..inputs),
            weights: &weights,
            bias: bias.view(),
            add: None,
            activation: conv2d::Activation::Relu,
        };
        device.conv2d(&args, to.columns_mut(pixels, channels - outputs..channels), &mut ())
    }))
}

/// All channels of the pixels.
fn pooling<A: Activation, D: Driver>(
    lab: &Lab<A, D>,
    branch: BranchShape,
    window: Window,
    out_pixels: usize,
) -> Result<Call, KernelError> {
    let device = lab.device.clone();
    let BranchShape { batch, side, channels, .. } = branch;
    let (pixels, shape) = (branch.pixels(), Shape { batch, height: side, width: side });
    let x = lab.act(1, pixels * channels)?;
    let mut out = lab.act_zeros(out_pixels * channels)?;
    Ok(Box::new(move || {
        let args = pool2d::Args { shape, channels, x: x.mat(pixels, channels), window };
        device.pool2d(&args, out.mat_mut(out_pixels, channels))
    }))
}

pub(super) fn cases<A: Activation, D: Driver>(lab: &Lab<A, D>, shape: BranchShape) -> Vec<Case> {
    let BranchShape { batch, side, channels, inputs, outputs, kernel: [height, width] } = shape;
    let act = Lab::<A, D>::act_bytes();
    let images = format!("{batch}x{side}x{side}x{channels}");
    let convolved = format!("{images} {height}x{width} {inputs} to {outputs}");
    let cost = costs::conv2d(shape.pixels(), [inputs, outputs], height * width, act);
    let mut cases = vec![lab.case("conv2d", convolved, cost, move |lab| branch(lab, shape))];
    let windows = [
        ("average", Window { kind: Kind::Average, side: 3, stride: 1, padding: 1 }),
        ("largest", Window { kind: Kind::Max, side: 3, stride: 2, padding: 0 }),
        ("mean", Window { kind: Kind::Average, side, stride: 1, padding: 0 }),
    ];
    for (name, window) in windows {
        let Some((rows, columns)) = window.out_size(side, side) else { continue };
        let out_pixels = batch * rows * columns;
        let cost = costs::pool2d(shape.pixels() * channels, out_pixels * channels, act);
        cases.push(lab.case("pool2d", format!("{images} {name}"), cost, move |lab| {
            pooling(lab, shape, window, out_pixels)
        }));
    }
    cases
}
