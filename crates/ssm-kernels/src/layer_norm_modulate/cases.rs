//! Shapes that tests and benches run.

use super::Shape;

const fn shape(batch: usize, seq_len: usize, width: usize) -> Shape {
    Shape { batch, seq_len, width }
}

/// Rows below, at and above the rows of one task, tasks that span images, and sequences of the
/// real models; widths of one lane, of whole and of partial vectors.
pub const SHAPES: [Shape; 16] = [
    shape(1, 1, 1),
    shape(3, 1, 24),
    shape(3, 2, 16),
    shape(1, 3, 46),
    shape(3, 15, 24),
    shape(1, 16, 96),
    shape(3, 17, 46),
    shape(1, 63, 16),
    shape(3, 64, 24),
    shape(1, 65, 736),
    shape(3, 66, 46),
    shape(1, 257, 96),
    shape(3, 257, 384),
    shape(3, 258, 24),
    shape(1, 1026, 46),
    shape(1, 33, 1),
];
