//! The network as a table: which convolutions and pools there are, and what reads what.
//!
//! A stage is one map of features. Its branches all read the map before; each is a chain of layers, and
//! the outputs of their ends stand side by side in the order listed.

use ssm_kernels::conv2d::{Kernel, Padding};
use ssm_kernels::pool2d::{Kind, Window};

/// Rows and columns of an input image.
pub const SIDE: usize = 299;

/// Length of the last features, which are the mean of the last map.
pub const POOL: usize = 2048;

/// Outputs of the linear map behind them.
pub const CLASSES: usize = 1008;

/// The stage whose first channels are the spatial features.
pub(super) const SPATIAL_STAGE: &str = "Mixed_6d";

/// How many: the first channels of `branch1x1`, which is where the stage begins.
pub(super) const SPATIAL_CHANNELS: usize = 7;

/// Length of the spatial features, `17 x 17` pixels of 7 channels.
pub const SPATIAL: usize = 17 * 17 * SPATIAL_CHANNELS;

/// One layer.
#[derive(Clone, Debug)]
pub(super) enum Layer {
    /// Convolution, norm and ReLU, with the names of its weights.
    Conv(String, Kernel),
    /// Pooling of so many channels.
    Pool(Window, usize),
}

impl Layer {
    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Conv(_, kernel) => kernel.outputs,
            Self::Pool(_, channels) => *channels,
        }
    }

    /// Rows and columns of the output for an input of so many.
    ///
    /// # Panics
    /// When the input is smaller than the window, which no map of this network is.
    pub(super) fn out_side(&self, side: usize) -> usize {
        let out = match self {
            Self::Conv(_, kernel) => kernel.out_size(side, side),
            Self::Pool(window, _) => window.out_size(side, side),
        };
        let (rows, columns) = out.unwrap_or_else(|| panic!("{self:?} on {side}x{side} pixels"));
        assert_eq!(rows, columns, "{self:?} keeps maps square");
        rows
    }
}

/// Layers one after the other, and those that all read the last of them.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) chain: Vec<Layer>,
    pub(super) ends: Vec<Layer>,
}

/// One map of features.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) inputs: usize,
    pub(super) branches: Vec<Branch>,
}

impl Stage {
    fn new(name: &'static str, inputs: usize) -> Self {
        Self { name, inputs, branches: Vec::new() }
    }

    /// Adds a chain of layers.
    fn branch<const N: usize>(self, parts: [Part; N]) -> Self {
        self.fork(parts, [])
    }

    /// Adds a chain of layers, behind whose last one stand several; with none, the last one is the end.
    fn fork<const N: usize, const M: usize>(mut self, parts: [Part; N], ends: [Part; M]) -> Self {
        let mut channels = self.inputs;
        let mut chain = Vec::new();
        for part in parts {
            let layer = self.layer(part, channels);
            channels = layer.outputs();
            chain.push(layer);
        }
        let ends = match M {
            0 => chain.pop().into_iter().collect(),
            _ => ends.map(|part| self.layer(part, channels)).into(),
        };
        self.branches.push(Branch { chain, ends });
        self
    }

    fn layer(&self, part: Part, inputs: usize) -> Layer {
        match part {
            Part::Pool(window) => Layer::Pool(window, inputs),
            Part::Conv { name, outputs, size: [height, width], stride, padding } => {
                let [(top, left), (bottom, right)] = [(padding[0], padding[1]); 2];
                let padding = Padding { top, bottom, left, right };
                let kernel =
                    Kernel { inputs, outputs, height, width, stride, padding, upsample2: false };
                let name = match name {
                    "" => self.name.into(),
                    name => format!("{}.{name}", self.name),
                };
                Layer::Conv(name, kernel)
            }
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.branches.iter().flat_map(|branch| &branch.ends).map(Layer::outputs).sum()
    }

    /// Rows and columns of the output for an input of so many.
    pub(super) fn out_side(&self, side: usize) -> usize {
        let branch = &self.branches[0];
        branch.chain.iter().chain(&branch.ends[..1]).fold(side, |side, layer| layer.out_side(side))
    }
}

/// A layer before it is known what it reads.
#[derive(Clone, Copy)]
enum Part {
    Conv {
        name: &'static str,
        outputs: usize,
        size: [usize; 2],
        stride: usize,
        padding: [usize; 2],
    },
    Pool(Window),
}

/// A convolution that keeps the size.
fn conv(name: &'static str, outputs: usize, size: [usize; 2]) -> Part {
    Part::Conv { name, outputs, size, stride: 1, padding: size.map(|size| size / 2) }
}

/// A convolution without padding.
fn valid(name: &'static str, outputs: usize, side: usize, stride: usize) -> Part {
    Part::Conv { name, outputs, size: [side, side], stride, padding: [0, 0] }
}

/// A convolution of single pixels.
fn one(name: &'static str, outputs: usize) -> Part {
    conv(name, outputs, [1, 1])
}

/// Pooling over three by three pixels that keeps the size.
fn pool_same(kind: Kind) -> Part {
    Part::Pool(Window { kind, side: 3, stride: 1, padding: 1 })
}

/// Pooling over three by three pixels that halves the size.
fn pool_half() -> Part {
    Part::Pool(Window { kind: Kind::Max, side: 3, stride: 2, padding: 0 })
}

/// All stages in their order.
pub(super) fn stages() -> Vec<Stage> {
    let stem = |name, inputs, part| Stage::new(name, inputs).branch([part]);
    vec![
        stem("Conv2d_1a_3x3", 3, valid("", 32, 3, 2)),
        stem("Conv2d_2a_3x3", 32, valid("", 32, 3, 1)),
        stem("Conv2d_2b_3x3", 32, conv("", 64, [3, 3])),
        stem("MaxPool_1", 64, pool_half()),
        stem("Conv2d_3b_1x1", 64, one("", 80)),
        stem("Conv2d_4a_3x3", 80, valid("", 192, 3, 1)),
        stem("MaxPool_2", 192, pool_half()),
        mixed_5("Mixed_5b", 192, 32),
        mixed_5("Mixed_5c", 256, 64),
        mixed_5("Mixed_5d", 288, 64),
        mixed_6a(),
        mixed_6("Mixed_6b", 128),
        mixed_6("Mixed_6c", 160),
        mixed_6("Mixed_6d", 160),
        mixed_6("Mixed_6e", 192),
        mixed_7a(),
        mixed_7("Mixed_7b", 1280, Kind::Average),
        // The graph of 2015 pools the largest here and averages in the stage before.
        mixed_7("Mixed_7c", POOL, Kind::Max),
    ]
}

fn mixed_5(name: &'static str, inputs: usize, pooled: usize) -> Stage {
    Stage::new(name, inputs)
        .branch([one("branch1x1", 64)])
        .branch([one("branch5x5_1", 48), conv("branch5x5_2", 64, [5, 5])])
        .branch([
            one("branch3x3dbl_1", 64),
            conv("branch3x3dbl_2", 96, [3, 3]),
            conv("branch3x3dbl_3", 96, [3, 3]),
        ])
        .branch([pool_same(Kind::Average), one("branch_pool", pooled)])
}

fn mixed_6a() -> Stage {
    Stage::new("Mixed_6a", 288)
        .branch([valid("branch3x3", 384, 3, 2)])
        .branch([
            one("branch3x3dbl_1", 64),
            conv("branch3x3dbl_2", 96, [3, 3]),
            valid("branch3x3dbl_3", 96, 3, 2),
        ])
        .branch([pool_half()])
}

/// `inner` are the channels between the long kernels.
fn mixed_6(name: &'static str, inner: usize) -> Stage {
    Stage::new(name, 768)
        .branch([one("branch1x1", 192)])
        .branch([
            one("branch7x7_1", inner),
            conv("branch7x7_2", inner, [1, 7]),
            conv("branch7x7_3", 192, [7, 1]),
        ])
        .branch([
            one("branch7x7dbl_1", inner),
            conv("branch7x7dbl_2", inner, [7, 1]),
            conv("branch7x7dbl_3", inner, [1, 7]),
            conv("branch7x7dbl_4", inner, [7, 1]),
            conv("branch7x7dbl_5", 192, [1, 7]),
        ])
        .branch([pool_same(Kind::Average), one("branch_pool", 192)])
}

fn mixed_7a() -> Stage {
    Stage::new("Mixed_7a", 768)
        .branch([one("branch3x3_1", 192), valid("branch3x3_2", 320, 3, 2)])
        .branch([
            one("branch7x7x3_1", 192),
            conv("branch7x7x3_2", 192, [1, 7]),
            conv("branch7x7x3_3", 192, [7, 1]),
            valid("branch7x7x3_4", 192, 3, 2),
        ])
        .branch([pool_half()])
}

fn mixed_7(name: &'static str, inputs: usize, kind: Kind) -> Stage {
    Stage::new(name, inputs)
        .branch([one("branch1x1", 320)])
        .fork(
            [one("branch3x3_1", 384)],
            [conv("branch3x3_2a", 384, [1, 3]), conv("branch3x3_2b", 384, [3, 1])],
        )
        .fork(
            [one("branch3x3dbl_1", 448), conv("branch3x3dbl_2", 384, [3, 3])],
            [conv("branch3x3dbl_3a", 384, [1, 3]), conv("branch3x3dbl_3b", 384, [3, 1])],
        )
        .branch([pool_same(kind), one("branch_pool", 192)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Channels and sides as section 6 of arXiv 1512.00567 and the published graph have them.
    #[test]
    fn every_stage_has_its_size() {
        let expected = [
            (32, 149),
            (32, 147),
            (64, 147),
            (64, 73),
            (80, 73),
            (192, 71),
            (192, 35),
            (256, 35),
            (288, 35),
            (288, 35),
            (768, 17),
            (768, 17),
            (768, 17),
            (768, 17),
            (768, 17),
            (1280, 8),
            (2048, 8),
            (2048, 8),
        ];
        let (mut channels, mut side) = (3, SIDE);
        for (stage, expected) in stages().iter().zip(expected) {
            assert_eq!(stage.inputs, channels, "{}", stage.name);
            for branch in &stage.branches {
                let chain = branch.chain.iter().fold(side, |side, layer| layer.out_side(side));
                for end in &branch.ends {
                    assert_eq!(end.out_side(chain), stage.out_side(side), "{}", stage.name);
                }
            }
            (channels, side) = (stage.outputs(), stage.out_side(side));
            assert_eq!((channels, side), expected, "{}", stage.name);
        }
    }
}
