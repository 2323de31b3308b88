//! Windows, images and channels that tests run.

use super::{Kind, Window};
use crate::conv2d::Shape;

const fn max(side: usize, stride: usize, padding: usize) -> Window {
    Window { kind: Kind::Max, side, stride, padding }
}

const fn average(side: usize, stride: usize, padding: usize) -> Window {
    Window { kind: Kind::Average, side, stride, padding }
}

const fn shape(batch: usize, height: usize, width: usize) -> Shape {
    Shape { batch, height, width }
}

/// One pixel, rows and columns alone, images of odd sizes; channels of part of a vector, of one and
/// of more than pass together; every kind of window of Inception, windows that only touch the image,
/// and a whole image.
pub const CASES: [(Window, Shape, usize); 14] = [
    (max(1, 1, 0), shape(1, 1, 1), 1),
    (average(1, 1, 0), shape(3, 1, 1), 5),
    (average(3, 1, 1), shape(3, 1, 1), 17),
    (max(3, 1, 1), shape(1, 1, 7), 16),
    (average(3, 1, 1), shape(3, 7, 1), 33),
    (max(3, 2, 0), shape(1, 33, 17), 64),
    (max(3, 2, 0), shape(3, 8, 6), 100),
    (max(3, 1, 1), shape(3, 5, 3), 65),
    (average(3, 1, 1), shape(3, 5, 8), 65),
    (average(3, 2, 1), shape(1, 9, 6), 36),
    (max(2, 2, 1), shape(1, 4, 5), 130),
    (average(4, 3, 3), shape(3, 2, 7), 31),
    (average(8, 8, 0), shape(3, 8, 8), 129),
    (max(5, 5, 0), shape(3, 5, 5), 20),
];
