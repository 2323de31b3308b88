//! Rows and columns that tests run.

/// One element, columns below, at and above a vector, rows of an attention over 32 x 32 pixels.
pub const SHAPES: [(usize, usize); 9] =
    [(1, 1), (3, 1), (1, 7), (5, 16), (3, 17), (17, 33), (64, 65), (33, 257), (19, 1024)];
