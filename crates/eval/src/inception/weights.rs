//! Weights with the published names: files, what fits, and numbers to test with.
//!
//! A set of tensors fits the network exactly, or all differences are one error: of another network,
//! or of a part of one, features would still be numbers.

mod file;
mod mismatch;
mod random;

pub use file::{MAX_HEADER_LEN, PUBLISHED_SHA256, WeightFile, read, write};
pub use mismatch::{Difference, DifferenceKind, Mismatch, check};
pub use random::random;

use super::layers::{CLASSES, Layer, POOL, stages};
use std::collections::BTreeMap;

/// One tensor of a weight file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Shape, see [`layout`].
    pub shape: Vec<usize>,
    /// Elements in row-major order.
    pub data: Vec<f32>,
}

/// Tensors by their published names.
pub type TensorMap = BTreeMap<String, Tensor>;

/// Name and shape of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// As published.
    pub name: String,
    /// `[out, in, rows, columns]` of a convolution, `[out]` of its norm, `[out, in]` and `[out]` of the
    /// linear map.
    pub shape: Vec<usize>,
}

/// The 472 tensors of the network: five for each of 94 convolutions, and the linear map.
///
/// The published files have counts `*.num_batches_tracked` besides, which nothing reads.
pub fn layout() -> Vec<Param> {
    let mut params = Vec::new();
    let mut add = |name: String, shape: Vec<usize>| params.push(Param { name, shape });
    for stage in stages() {
        for branch in stage.branches {
            for layer in branch.chain.into_iter().chain(branch.ends) {
                let Layer::Conv(name, kernel) = layer else { continue };
                let shape = vec![kernel.outputs, kernel.inputs, kernel.height, kernel.width];
                add(format!("{name}.conv.weight"), shape);
                for part in NORM {
                    add(format!("{name}.bn.{part}"), vec![kernel.outputs]);
                }
            }
        }
    }
    add("fc.weight".into(), vec![CLASSES, POOL]);
    add("fc.bias".into(), vec![CLASSES]);
    params
}

/// Tensors of a norm.
pub(super) const NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_published_one() {
        let params = layout();
        let count: usize = params.iter().map(|p| p.shape.iter().product::<usize>()).sum();
        assert_eq!((params.len(), count), (472, 23_885_392));
        let shape = |name: &str| params.iter().find(|p| p.name == name).map(|p| p.shape.clone());
        for (name, expected) in [
            ("Conv2d_1a_3x3.conv.weight", vec![32, 3, 3, 3]),
            ("Mixed_5d.branch5x5_2.conv.weight", vec![64, 48, 5, 5]),
            ("Mixed_6c.branch7x7dbl_4.conv.weight", vec![160, 160, 7, 1]),
            ("Mixed_6e.branch7x7_2.bn.running_var", vec![192]),
            ("Mixed_7c.branch3x3dbl_3b.conv.weight", vec![384, 384, 3, 1]),
        ] {
            assert_eq!(shape(name), Some(expected), "{name}");
        }
    }
}
