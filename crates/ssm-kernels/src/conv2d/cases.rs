//! Layers and images that tests and benches run.

use super::{Kernel, Padding, Shape};

const fn shape(batch: usize, height: usize, width: usize) -> Shape {
    Shape { batch, height, width }
}

const fn kernel(inputs: usize, outputs: usize, [height, width]: [usize; 2]) -> Kernel {
    let padding =
        Padding { top: height / 2, bottom: height / 2, left: width / 2, right: width / 2 };
    Kernel { inputs, outputs, height, width, stride: 1, padding, upsample2: false }
}

const fn halving(inputs: usize, outputs: usize, side: usize, padding: Padding) -> Kernel {
    Kernel { stride: 2, padding, ..kernel(inputs, outputs, [side, side]) }
}

const fn doubling(inputs: usize, outputs: usize, side: usize) -> Kernel {
    Kernel { upsample2: true, ..kernel(inputs, outputs, [side, side]) }
}

/// No zeros around the image.
const NONE: Padding = Padding { top: 0, bottom: 0, left: 0, right: 0 };
/// The encoder of an autoencoder that halves the image.
const BELOW: Padding = Padding { top: 0, bottom: 1, left: 0, right: 1 };

/// One pixel, rows and columns alone, images of odd sizes and above one task; channels of images,
/// of latents, of part of a vector and of many; every kind of layer of the autoencoder and of
/// Inception.
pub const CASES: [(Kernel, Shape); 29] = [
    (kernel(1, 1, [1, 1]), shape(1, 1, 1)),
    (kernel(3, 5, [3, 3]), shape(3, 1, 1)),
    (kernel(3, 128, [3, 3]), shape(1, 5, 3)),
    (kernel(128, 3, [3, 3]), shape(1, 33, 17)),
    (kernel(4, 36, [3, 3]), shape(3, 1, 7)),
    (kernel(36, 8, [3, 3]), shape(1, 5, 3)),
    (kernel(5, 33, [1, 1]), shape(3, 5, 3)),
    (kernel(64, 96, [1, 1]), shape(3, 33, 17)),
    (kernel(32, 64, [3, 3]), shape(3, 33, 17)),
    (kernel(96, 36, [3, 3]), shape(1, 1, 7)),
    (kernel(128, 64, [3, 3]), shape(1, 17, 33)),
    (kernel(160, 32, [3, 3]), shape(1, 9, 16)),
    (kernel(36, 100, [3, 3]), shape(1, 16, 64)),
    (kernel(32, 36, [1, 7]), shape(3, 5, 13)),
    (kernel(36, 32, [7, 1]), shape(1, 13, 5)),
    (kernel(64, 65, [5, 5]), shape(1, 11, 20)),
    (halving(64, 64, 3, BELOW), shape(1, 34, 18)),
    (halving(32, 40, 3, BELOW), shape(3, 9, 7)),
    (halving(3, 32, 3, NONE), shape(1, 33, 35)),
    (halving(48, 64, 3, NONE), shape(1, 17, 70)),
    (doubling(32, 32, 3), shape(3, 5, 3)),
    (doubling(64, 70, 3), shape(1, 17, 33)),
    (doubling(4, 8, 3), shape(1, 3, 1)),
    (Kernel { stride: 2, ..doubling(36, 33, 5) }, shape(1, 7, 9)),
    (Kernel { stride: 3, ..doubling(36, 33, 5) }, shape(3, 7, 9)),
    (Kernel { stride: 3, ..kernel(40, 16, [3, 7]) }, shape(5, 8, 8)),
    (kernel(40, 33, [1, 3]), shape(5, 8, 8)),
    (kernel(32, 31, [3, 1]), shape(9, 4, 8)),
    (kernel(33, 32, [1, 7]), shape(2, 3, 17)),
];
