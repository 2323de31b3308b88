//! Shapes that tests run.

use super::Shape;

const fn shape(batch: usize, pixels: usize, channels: usize, groups: usize) -> Shape {
    Shape { batch, pixels, channels, groups }
}

/// One element, groups of one channel and of all, widths that are no multiple of a vector, pixels
/// below, at and above those of one block, and the sizes of an autoencoder.
pub const SHAPES: [Shape; 14] = [
    shape(1, 1, 1, 1),
    shape(3, 1, 32, 32),
    shape(3, 7, 5, 1),
    shape(1, 15, 36, 4),
    shape(3, 63, 96, 32),
    shape(1, 64, 64, 32),
    shape(3, 65, 128, 32),
    shape(1, 561, 128, 32),
    shape(3, 561, 36, 36),
    shape(1, 1024, 512, 32),
    shape(1, 4099, 33, 3),
    shape(3, 130, 48, 2),
    shape(1, 257, 320, 32),
    shape(2, 4096, 32, 32),
];
