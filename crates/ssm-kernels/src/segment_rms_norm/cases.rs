//! Shapes that tests run.

use super::Shape;

const fn shape(rows: usize, rank: usize, states: usize) -> Shape {
    Shape { rows, widths: [rank, states, states] }
}

/// Step size, B and C of networks 16, 46, 384 and 768 wide, in rows below, above and far above those
/// of one task; segments above a vector and of no multiple of one.
pub const SHAPES: [Shape; 15] = [
    shape(1, 1, 16),
    shape(65, 1, 16),
    shape(257, 1, 16),
    shape(1, 3, 16),
    shape(65, 3, 16),
    shape(257, 3, 16),
    shape(1, 24, 16),
    shape(65, 24, 16),
    shape(257, 24, 16),
    shape(1, 48, 16),
    shape(65, 48, 16),
    shape(257, 48, 16),
    shape(64, 96, 64),
    shape(63, 2, 5),
    Shape { rows: 17, widths: [7, 33, 1] },
];
