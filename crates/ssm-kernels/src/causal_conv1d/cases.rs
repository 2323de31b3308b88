//! Shapes that tests and benches run.

use super::Shape;

const fn shape(batch: usize, seq_len: usize, channels: usize, width: usize) -> Shape {
    Shape { batch, seq_len, channels, width }
}

/// Sequences shorter than the taps, around the vector and tile sizes, and of the real models;
/// channels of one lane, of whole and of partial vectors, of more than one task; other widths.
pub const SHAPES: [Shape; 21] = [
    shape(1, 1, 1, 4),
    shape(3, 1, 24, 4),
    shape(3, 2, 16, 4),
    shape(1, 3, 24, 4),
    shape(3, 15, 46, 4),
    shape(1, 16, 96, 4),
    shape(3, 17, 24, 4),
    shape(1, 63, 16, 4),
    shape(3, 64, 46, 4),
    shape(1, 65, 736, 4),
    shape(3, 66, 24, 4),
    shape(1, 257, 96, 4),
    shape(3, 258, 736, 4),
    shape(1, 1026, 46, 4),
    shape(3, 17, 46, 1),
    shape(3, 1, 24, 3),
    shape(3, 17, 24, 3),
    shape(1, 2, 46, 7),
    shape(3, 65, 24, 7),
    shape(1, 16, 46, 8),
    shape(3, 17, 24, 9),
];
