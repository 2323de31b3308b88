//! Shapes that tests and benches run.

use super::Shape;

const fn shape(batch: usize, seq_len: usize, channels: usize, states: usize) -> Shape {
    Shape { batch, seq_len, channels, states }
}

/// Sequences below, at and above the tiles, and of the real models; channels of one lane, of whole
/// and of partial vectors, of more than one task; one state, some, the real models' sixteen, more
/// than a vector.
pub const SHAPES: [Shape; 23] = [
    shape(1, 1, 16, 16),
    shape(3, 1, 24, 8),
    shape(3, 2, 24, 16),
    shape(1, 3, 96, 16),
    shape(1, 4, 1, 3),
    shape(3, 15, 24, 16),
    shape(1, 16, 96, 8),
    shape(3, 16, 16, 1),
    shape(3, 17, 24, 16),
    shape(1, 17, 46, 5),
    shape(1, 63, 16, 16),
    shape(3, 64, 24, 8),
    shape(3, 65, 24, 16),
    shape(1, 65, 24, 1),
    shape(1, 66, 736, 16),
    shape(3, 66, 96, 16),
    shape(3, 66, 24, 18),
    shape(1, 257, 96, 16),
    shape(3, 257, 24, 8),
    shape(1, 258, 736, 16),
    shape(3, 258, 24, 16),
    shape(1, 1026, 24, 16),
    shape(3, 1026, 16, 8),
];
