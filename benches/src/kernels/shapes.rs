//! The sizes at which kernels are timed. They are fixed, so that records can be compared.

/// States of a channel.
pub const STATES: usize = 16;
/// Taps of a convolution.
pub const TAPS: usize = 4;
/// Tokens between two kept states of a scan.
pub const TILE: usize = 16;

/// Tokens of a batch inside a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockShape {
    /// Network and, where it has several, image size.
    pub name: &'static str,
    /// Images, `B`.
    pub batch: usize,
    /// Tokens, `L`.
    pub seq_len: usize,
    /// Width, `D`.
    pub width: usize,
}

const fn shape(name: &'static str, batch: usize, seq_len: usize, width: usize) -> BlockShape {
    BlockShape { name, batch, seq_len, width }
}

/// Training: the paper's width of S, the official code's, and H on latents of 256 and 512 pixels.
pub const TRAINING: [BlockShape; 4] = [
    shape("S/2", 128, 257, 384),
    shape("S/2-368", 128, 257, 368),
    shape("H/2 256px", 32, 258, 1536),
    shape("H/2 512px", 32, 1026, 1536),
];

/// Sampling few images.
pub const SAMPLING: [BlockShape; 3] =
    [shape("S/2", 1, 257, 384), shape("S/2", 4, 257, 384), shape("S/2", 8, 257, 384)];

/// Parameters of the optimiser's arenas: about DiS-S and half of DiS-H.
pub const PARAMETERS: [usize; 2] = [33_000_000, 500_000_000];

/// Images of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Images, `B`.
    pub batch: usize,
    /// Channels, `C`.
    pub channels: usize,
    /// Height and width, `H = W`.
    pub side: usize,
}

/// CIFAR-10 and latents of 512 pixels.
pub const IMAGES: [ImageShape; 3] = [
    ImageShape { batch: 128, channels: 3, side: 32 },
    ImageShape { batch: 32, channels: 4, side: 64 },
    // So many that the memory is the limit, not the launch.
    ImageShape { batch: 16_384, channels: 3, side: 32 },
];

/// Images inside a convolutional network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// Images, `B`.
    pub batch: usize,
    /// Height and width, `H = W`.
    pub side: usize,
    /// Channels in front of a convolution, `I`.
    pub inputs: usize,
    /// Channels behind it, `O`.
    pub outputs: usize,
}

const fn layer(batch: usize, side: usize, inputs: usize, outputs: usize) -> LayerShape {
    LayerShape { batch, side, inputs, outputs }
}

/// The autoencoder of Stable Diffusion on images of 256 pixels, whose attention is over those of the third
/// layer; what its encoder begins with, and its decoder ends with.
pub const LAYERS: [LayerShape; 6] = [
    layer(8, 256, 128, 128),
    layer(8, 128, 256, 256),
    layer(8, 32, 512, 512),
    layer(1, 32, 512, 512),
    layer(8, 256, 3, 128),
    layer(8, 256, 128, 3),
];

/// A branch of a block of Inception: a convolution from some channels of the pixels to some of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchShape {
    /// Images, `B`.
    pub batch: usize,
    /// Height and width, `H = W`.
    pub side: usize,
    /// Channels of the block's pixels.
    pub channels: usize,
    /// Of them, those in front of the convolution, `I`.
    pub inputs: usize,
    /// And those behind it, `O`.
    pub outputs: usize,
    /// Rows and columns of the convolution.
    pub kernel: [usize; 2],
}

/// The blocks of each size of image in Inception-v3, which images are measured with.
pub const BRANCHES: [BranchShape; 3] = [
    BranchShape { batch: 64, side: 35, channels: 288, inputs: 96, outputs: 96, kernel: [3, 3] },
    BranchShape { batch: 64, side: 17, channels: 768, inputs: 192, outputs: 192, kernel: [1, 7] },
    BranchShape { batch: 64, side: 8, channels: 2048, inputs: 384, outputs: 384, kernel: [3, 1] },
];

impl BranchShape {
    /// Pixels of all images.
    pub fn pixels(&self) -> usize {
        self.batch * self.side * self.side
    }
}

impl LayerShape {
    /// Pixels of all images.
    pub fn pixels(&self) -> usize {
        self.batch * self.side * self.side
    }
}

impl ImageShape {
    /// Elements of all images.
    pub fn elements(&self) -> usize {
        self.batch * self.channels * self.side * self.side
    }
}

impl BlockShape {
    /// Channels inside the mixer, `E`.
    pub fn inner(&self) -> usize {
        2 * self.width
    }

    /// Rank of the step size, `R`.
    pub fn rank(&self) -> usize {
        self.width.div_ceil(16)
    }

    /// Tokens of all images.
    pub fn rows(&self) -> usize {
        self.batch * self.seq_len
    }

    /// Elements of an activation inside the mixer.
    pub fn elements(&self) -> usize {
        self.rows() * self.inner()
    }

    /// Elements of an activation outside.
    pub fn outer_elements(&self) -> usize {
        self.rows() * self.width
    }

    /// The linear maps of a block.
    pub fn products(&self) -> [ProductShape; 5] {
        let (d, e, r) = (self.width, self.inner(), self.rank());
        let x_dbl = r + 2 * STATES;
        let rows = self.rows();
        let of = |name, times, inputs, outputs, strides| ProductShape {
            name,
            times,
            rows,
            inputs,
            outputs,
            strides,
        };
        [
            of("in_proj", 1, d, 2 * e, [d, d]),
            of("x_proj", 2, e, x_dbl, [e, e]),
            of("delta_proj", 2, r, e, [x_dbl, r]),
            of("out_proj", 1, e, d, [e, e]),
            // Two products of half its weight each; only in blocks with a skip connection.
            of("skip_linear", 0, d, d, [d, 2 * d]),
        ]
    }
}

/// `Y = X W^T` of a block, with `X` and `W` columns of wider rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductShape {
    /// As the network names it.
    pub name: &'static str,
    /// How often a value pass of a block makes it.
    pub times: usize,
    /// Rows of `X`.
    pub rows: usize,
    /// Columns of `X`.
    pub inputs: usize,
    /// Columns of `Y`.
    pub outputs: usize,
    /// Lengths of the rows of `X` and `W`.
    pub strides: [usize; 2],
}
