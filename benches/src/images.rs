//! The convolutions and norms of the autoencoder of Stable Diffusion, for one image of 256 x 256, and
//! convolutions of Inception, for eight of 299 x 299.

use crate::random;
use ssm_kernels::conv2d::{self, Activation, Kernel, Padding, Shape};
use ssm_kernels::{Buffer, Cpu, ImageBackend, KernelError, Scratch, Storage, group_norm};

/// A convolution with operands and result.
pub struct Conv {
    /// Channels in and out, size of the kernel, side of the output, and how it gets there.
    pub name: &'static str,
    /// The same case of the peer.
    pub peer: &'static str,
    kernel: Kernel,
    shape: Shape,
    activation: Activation,
    x: Buffer<f32>,
    weights: conv2d::cpu::Weights,
    bias: Buffer<f32>,
    out: Buffer<f32>,
    scratch: Scratch<f32>,
}

impl Conv {
    /// All cases.
    ///
    /// # Errors
    /// Never: the weights are whole.
    pub fn all() -> Result<Vec<Self>, KernelError> {
        let mut all = Self::of_autoencoder()?;
        all.extend(Self::of_inception()?);
        Ok(all)
    }

    /// Every kind of layer of the autoencoder: those of each size, first and last ones, a change of
    /// channels, halving and doubling.
    fn of_autoencoder() -> Result<Vec<Self>, KernelError> {
        let [same, half, double] = [Kernel::same, halving, doubling];
        let rows: [(_, _, Kernel, usize); 14] = [
            ("128-128 3x3 @256", "conv/128-128-3-256/forward", same(128, 128, 3), 256),
            ("256-256 3x3 @256", "conv/256-256-3-256/forward", same(256, 256, 3), 256),
            ("256-256 3x3 @128", "conv/256-256-3-128/forward", same(256, 256, 3), 128),
            ("512-512 3x3 @128", "conv/512-512-3-128/forward", same(512, 512, 3), 128),
            ("512-512 3x3 @64", "conv/512-512-3-64/forward", same(512, 512, 3), 64),
            ("512-512 3x3 @32", "conv/512-512-3-32/forward", same(512, 512, 3), 32),
            ("3-128 3x3 @256", "conv/3-128-3-256/forward", same(3, 128, 3), 256),
            ("128-3 3x3 @256", "conv/128-3-3-256/forward", same(128, 3, 3), 256),
            ("4-512 3x3 @32", "conv/4-512-3-32/forward", same(4, 512, 3), 32),
            ("512-8 3x3 @32", "conv/512-8-3-32/forward", same(512, 8, 3), 32),
            ("256-128 1x1 @256", "conv/256-128-1-256/forward", same(256, 128, 1), 256),
            ("128-128 3x3 halved @128", "conv/128-128-3-256-half/forward", half(128, 128, 3), 256),
            (
                "256-256 3x3 doubled @256",
                "conv/256-256-3-128-double/forward",
                double(256, 256, 3),
                128,
            ),
            (
                "512-512 3x3 doubled @128",
                "conv/512-512-3-64-double/forward",
                double(512, 512, 3),
                64,
            ),
        ];
        rows.into_iter()
            .map(|(name, peer, kernel, side)| {
                Self::new([name, peer], kernel, shape(1, side), Activation::None)
            })
            .collect()
    }

    /// Layers of Inception with ReLU: the first, the largest, and the kinds of its branches.
    fn of_inception() -> Result<Vec<Self>, KernelError> {
        let rows = [
            (
                "3-32 3x3 halved @149 x8",
                "inception-conv/3-32-3x3-299-half/forward",
                [3, 32, 3, 3, 2],
                0,
                299,
            ),
            (
                "80-192 3x3 @71 x8",
                "inception-conv/80-192-3x3-73-valid/forward",
                [80, 192, 3, 3, 1],
                0,
                73,
            ),
            (
                "288-64 1x1 @35 x8",
                "inception-conv/288-64-1x1-35-same/forward",
                [288, 64, 1, 1, 1],
                0,
                35,
            ),
            (
                "48-64 5x5 @35 x8",
                "inception-conv/48-64-5x5-35-same/forward",
                [48, 64, 5, 5, 1],
                1,
                35,
            ),
            (
                "288-384 3x3 halved @17 x8",
                "inception-conv/288-384-3x3-35-half/forward",
                [288, 384, 3, 3, 2],
                0,
                35,
            ),
            (
                "768-192 1x1 @17 x8",
                "inception-conv/768-192-1x1-17-same/forward",
                [768, 192, 1, 1, 1],
                0,
                17,
            ),
            (
                "192-192 1x7 @17 x8",
                "inception-conv/192-192-1x7-17-same/forward",
                [192, 192, 1, 7, 1],
                1,
                17,
            ),
            (
                "192-192 7x1 @17 x8",
                "inception-conv/192-192-7x1-17-same/forward",
                [192, 192, 7, 1, 1],
                1,
                17,
            ),
            (
                "448-384 3x3 @8 x8",
                "inception-conv/448-384-3x3-8-same/forward",
                [448, 384, 3, 3, 1],
                1,
                8,
            ),
        ];
        rows.into_iter()
            .map(|(name, peer, [inputs, outputs, height, width, stride], pads, side)| {
                let [top, bottom] = [pads * (height / 2); 2];
                let [left, right] = [pads * (width / 2); 2];
                let padding = Padding { top, bottom, left, right };
                let kernel =
                    Kernel { inputs, outputs, height, width, stride, padding, upsample2: false };
                Self::new([name, peer], kernel, shape(8, side), Activation::Relu)
            })
            .collect()
    }

    fn new(
        [name, peer]: [&'static str; 2],
        kernel: Kernel,
        shape: Shape,
        activation: Activation,
    ) -> Result<Self, KernelError> {
        let Shape { batch, height, width } = shape;
        let (rows, columns) = kernel.out_size(height, width).unwrap_or_default();
        Ok(Self {
            name,
            peer,
            kernel,
            shape,
            activation,
            x: random(1, batch * height * width * kernel.inputs),
            weights: Cpu.conv2d_weights(&kernel, &random(2, kernel.weight_len()))?,
            bias: random(3, kernel.outputs),
            out: Buffer::zeros(batch * rows * columns * kernel.outputs),
            scratch: Scratch::new(),
        })
    }

    /// FLOPs of the formula, whatever is really computed.
    pub fn flops(&self) -> f64 {
        (2 * self.out.len() * self.kernel.weight_len() / self.kernel.outputs) as f64
    }

    /// The value pass.
    ///
    /// # Errors
    /// Never: the operands fit.
    pub fn run(&mut self) -> Result<(), KernelError> {
        let Kernel { inputs, outputs, .. } = self.kernel;
        let Shape { batch, height, width } = self.shape;
        let args = conv2d::Args::<_, f32> {
            shape: self.shape,
            x: self.x.mat(batch * height * width, inputs),
            weights: &self.weights,
            bias: &self.bias,
            add: None,
            activation: self.activation,
        };
        let pixels = self.out.len() / outputs;
        Cpu.conv2d(&args, self.out.mat_mut(pixels, outputs), &mut self.scratch)
    }
}

/// Square images.
fn shape(batch: usize, side: usize) -> Shape {
    Shape { batch, height: side, width: side }
}

/// As the encoder halves an image: zeros below and at the right alone.
fn halving(inputs: usize, outputs: usize, side: usize) -> Kernel {
    let padding = Padding { top: 0, bottom: 1, left: 0, right: 1 };
    Kernel { stride: 2, padding, ..Kernel::same(inputs, outputs, side) }
}

/// As the decoder doubles one.
fn doubling(inputs: usize, outputs: usize, side: usize) -> Kernel {
    Kernel { upsample2: true, ..Kernel::same(inputs, outputs, side) }
}

/// A group norm of one image with SiLU, with operands and result.
pub struct Norm {
    /// Channels and side of the image.
    pub name: &'static str,
    /// The same case of the peer.
    pub peer: &'static str,
    shape: group_norm::Shape,
    x: Buffer<f32>,
    weight: Buffer<f32>,
    bias: Buffer<f32>,
    out: Buffer<f32>,
    scratch: Scratch<f32>,
}

impl Norm {
    /// The largest images and the most channels.
    pub fn all() -> Vec<Self> {
        vec![
            Self::new("norm, SiLU 128 @256", "norm/128-256/forward", 128, 256),
            Self::new("norm, SiLU 256 @128", "norm/256-128/forward", 256, 128),
            Self::new("norm, SiLU 512 @64", "norm/512-64/forward", 512, 64),
        ]
    }

    fn new(name: &'static str, peer: &'static str, channels: usize, side: usize) -> Self {
        let len = side * side * channels;
        Self {
            name,
            peer,
            shape: group_norm::Shape { batch: 1, pixels: side * side, channels, groups: 32 },
            x: random(1, len),
            weight: random(2, channels),
            bias: random(3, channels),
            out: Buffer::zeros(len),
            scratch: Scratch::new(),
        }
    }

    /// Bytes of the image.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.x)
    }

    /// The value pass.
    ///
    /// # Errors
    /// Never: the operands fit.
    pub fn run(&mut self) -> Result<(), KernelError> {
        let args = group_norm::Args::<f32> {
            shape: self.shape,
            x: &self.x,
            weight: &self.weight,
            bias: &self.bias,
            eps: 1e-6,
            silu: true,
        };
        Cpu.group_norm(&args, &mut self.out, &mut self.scratch)
    }
}
