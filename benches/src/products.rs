//! The matrix products of the blocks of DiS-S/2, width 384, as the network makes them.

use crate::{BATCH, random};
use ssm_kernels::{Backend, Buffer, Cpu, KernelError, Mat, MatMut, Write};

/// Tokens of a batch: 256 patches and the time token of each image.
pub const ROWS: usize = BATCH * 257;

/// Which of a linear map's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// `Y = X W^T`.
    Value,
    /// `dX = dY W`.
    InputGradient,
    /// `dW += dY^T X`.
    WeightGradient,
}

impl Pass {
    /// All three, which a training step makes.
    pub const ALL: [Self; 3] = [Self::Value, Self::InputGradient, Self::WeightGradient];

    /// Short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "Y",
            Self::InputGradient => "dX",
            Self::WeightGradient => "dW",
        }
    }
}

/// A linear map of [`ROWS`] tokens, with operands and results.
pub struct Product {
    /// As the network names it.
    pub name: &'static str,
    /// How often a value pass makes it.
    pub times: usize,
    inputs: usize,
    outputs: usize,
    /// Lengths of the rows that `X` and `W` are columns of.
    strides: [usize; 2],
    x: Buffer<f32>,
    w: Buffer<f32>,
    y: Buffer<f32>,
    dx: Buffer<f32>,
    dw: Buffer<f32>,
}

impl Product {
    /// Every product of a block: 25 blocks, two scan orders, and in 12 of them a skip connection of
    /// two products.
    pub fn all() -> Vec<Self> {
        vec![
            Self::new("in_proj", 25, 384, 1536, [384, 384]),
            Self::new("x_proj", 50, 768, 56, [768, 768]),
            Self::new("delta_proj", 50, 24, 768, [56, 24]),
            Self::new("out_proj", 25, 768, 384, [768, 768]),
            Self::new("skip_linear", 24, 384, 384, [384, 768]),
        ]
    }

    fn new(
        name: &'static str,
        times: usize,
        inputs: usize,
        outputs: usize,
        strides: [usize; 2],
    ) -> Self {
        let [x, w] = [ROWS * strides[0], outputs * strides[1]];
        Self {
            name,
            times,
            inputs,
            outputs,
            strides,
            x: random(1, x),
            w: random(2, w),
            y: random(3, ROWS * outputs),
            dx: Buffer::zeros(x),
            dw: Buffer::zeros(w),
        }
    }

    /// FLOPs of one product, whichever pass.
    pub fn flops(&self) -> f64 {
        (2 * ROWS * self.inputs * self.outputs) as f64
    }

    /// Rows, sum and columns of the product.
    pub fn shape(&self, pass: Pass) -> String {
        let (inputs, outputs) = (self.inputs, self.outputs);
        match pass {
            Pass::Value => format!("{ROWS}x{inputs}x{outputs}"),
            Pass::InputGradient => format!("{ROWS}x{outputs}x{inputs}"),
            Pass::WeightGradient => format!("{outputs}x{ROWS}x{inputs}"),
        }
    }

    /// Makes it once.
    ///
    /// # Errors
    /// None with the operands made here.
    pub fn run(&mut self, pass: Pass) -> Result<(), KernelError> {
        let (inputs, outputs, [x_row, w_row]) = (self.inputs, self.outputs, self.strides);
        let x = Mat::columns(&self.x, ROWS, x_row, 0, inputs);
        let w = Mat::columns(&self.w, outputs, w_row, 0, inputs);
        match pass {
            Pass::Value => {
                let y = MatMut::new(&mut self.y, ROWS, outputs);
                Cpu.gemm(y, Write::Overwrite, x, w.t())
            }
            Pass::InputGradient => {
                let dy = Mat::new(&self.y, ROWS, outputs);
                let dx = MatMut::columns(&mut self.dx, ROWS, x_row, 0, inputs);
                Cpu.gemm(dx, Write::Overwrite, dy, w)
            }
            Pass::WeightGradient => {
                let dy = Mat::new(&self.y, ROWS, outputs);
                let dw = MatMut::columns(&mut self.dw, outputs, w_row, 0, inputs);
                Cpu.gemm(dw, Write::Accumulate, dy.t(), x)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s384;
    use dis_model::counts;

    #[test]
    fn together_they_are_the_products_of_the_network() {
        let mut products = Product::all();
        let blocks: f64 = products.iter().map(|p| p.times as f64 * p.flops()).sum();
        // The network counts its convolutions, embeddings and head besides.
        let share = blocks / (BATCH as f64 * counts::gemm_flops(&s384(32, 0)));
        assert!((0.97..1.0).contains(&share), "{share}");
        for product in &mut products {
            for pass in Pass::ALL {
                product.run(pass).unwrap();
            }
        }
    }
}
