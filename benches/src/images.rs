//! The convolutions and norms of the autoencoder of Stable Diffusion, for images of 256 x 256.

use crate::random;
use ssm_kernels::conv2d::{self, Kernel, Padding};
use ssm_kernels::{Buffer, Cpu, ImageBackend, KernelError, Scratch, group_norm};

/// A convolution of one image, with operands and result.
pub struct Conv {
    /// Channels in and out, size of the kernel, side of the output, and how it gets there.
    pub name: &'static str,
    /// The same case of the peer.
    pub peer: &'static str,
    kernel: Kernel,
    side: usize,
    x: Buffer<f32>,
    weights: conv2d::cpu::Weights,
    bias: Buffer<f32>,
    out: Buffer<f32>,
    scratch: Scratch<f32>,
}

impl Conv {
    /// Every kind of layer: those of each size, first and last ones, a change of channels, halving
    /// and doubling.
    ///
    /// # Errors
    /// Never: the weights are whole.
    pub fn all() -> Result<Vec<Self>, KernelError> {
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
            .map(|(name, peer, kernel, side)| Self::new(name, peer, kernel, side))
            .collect()
    }

    fn new(
        name: &'static str,
        peer: &'static str,
        kernel: Kernel,
        side: usize,
    ) -> Result<Self, KernelError> {
        let (rows, columns) = kernel.out_size(side, side).unwrap_or_default();
        Ok(Self {
            name,
            peer,
            kernel,
            side,
            x: random(1, side * side * kernel.inputs),
            weights: Cpu.conv2d_weights(&kernel, &random(2, kernel.weight_len()))?,
            bias: random(3, kernel.outputs),
            out: Buffer::zeros(rows * columns * kernel.outputs),
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
        let args = conv2d::Args::<_, f32> {
            shape: conv2d::Shape { batch: 1, height: self.side, width: self.side },
            x: &self.x,
            weights: &self.weights,
            bias: &self.bias,
            add: None,
        };
        Cpu.conv2d(&args, &mut self.out, &mut self.scratch)
    }
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
