//! The matrix products of a block.

use super::case::{Call, Case, Lab};
use super::costs::{Cost, product, weight_gradient};
use super::shapes::{BlockShape, ProductShape};
use crate::Pass;
use ssm_kernels::device::{Activation, Device, DeviceBuffer, Driver};
use ssm_kernels::{Backend, KernelError, Storage, Write};

struct Product<A: Activation, D: Driver> {
    device: Device<A, D>,
    shape: ProductShape,
    x: DeviceBuffer<A, D>,
    w: DeviceBuffer<A, D>,
    y: DeviceBuffer<A, D>,
    /// Where a gradient of `X` goes.
    dx: DeviceBuffer<A, D>,
    dw: DeviceBuffer<f32, D>,
}

impl<A: Activation, D: Driver> Product<A, D> {
    fn new(lab: &Lab<A, D>, shape: ProductShape) -> Result<Self, KernelError> {
        let [x_row, w_row] = shape.strides;
        let (x, w) = (shape.rows * x_row, shape.outputs * w_row);
        Ok(Self {
            x: lab.act(1, x)?,
            w: lab.act(2, w)?,
            y: lab.act(3, shape.rows * shape.outputs)?,
            dx: lab.act_zeros(x)?,
            dw: lab.wide_zeros(w)?,
            device: lab.device.clone(),
            shape,
        })
    }

    fn run(&mut self, pass: Pass) -> Result<(), KernelError> {
        let ProductShape { rows, inputs, outputs, .. } = self.shape;
        let x = self.x.columns(rows, 0..inputs);
        let w = self.w.columns(outputs, 0..inputs);
        match pass {
            Pass::Value => {
                let y = self.y.mat_mut(rows, outputs);
                self.device.gemm(y, Write::Overwrite, x, w.t())
            }
            Pass::InputGradient => {
                let dx = self.dx.columns_mut(rows, 0..inputs);
                self.device.gemm(dx, Write::Overwrite, self.y.mat(rows, outputs), w)
            }
            Pass::WeightGradient => {
                let dw = self.dw.columns_mut(outputs, 0..inputs);
                self.device.gemm_wide(dw, Write::Accumulate, self.y.mat(rows, outputs).t(), x)
            }
        }
    }
}

fn cost(shape: &ProductShape, pass: Pass, act: usize) -> Cost {
    match pass {
        Pass::Value | Pass::InputGradient => product(shape.rows, shape.inputs, shape.outputs, act),
        Pass::WeightGradient => weight_gradient(shape, act),
    }
}

fn case<A: Activation, D: Driver>(
    lab: &Lab<A, D>,
    name: &'static str,
    shape: ProductShape,
    pass: Pass,
) -> Case {
    let ProductShape { rows, inputs, outputs, .. } = shape;
    let sizes = format!("{name} {rows}x{inputs}x{outputs}");
    let cost = cost(&shape, pass, Lab::<A, D>::act_bytes());
    lab.case(format!("{} {}", shape.name, pass.name()), sizes, cost, move |lab| {
        let mut product = Product::new(lab, shape)?;
        Ok(Box::new(move || product.run(pass)) as Call)
    })
}

/// All passes of every linear map.
pub(super) fn cases<A: Activation, D: Driver>(lab: &Lab<A, D>, s: BlockShape) -> Vec<Case> {
    let products = s.products().into_iter();
    products.flat_map(|p| Pass::ALL.map(|pass| case(lab, s.name, p, pass))).collect()
}

/// A large product: the ceiling of all others.
pub fn square<A: Activation, D: Driver>(lab: &Lab<A, D>, size: usize) -> Case {
    let (rows, inputs, outputs) = (size, size, size);
    let strides = [size, size];
    let shape = ProductShape { name: "product", times: 0, rows, inputs, outputs, strides };
    case(lab, "square", shape, Pass::Value)
}
