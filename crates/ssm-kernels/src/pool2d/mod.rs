//! Largest values or averages of small windows of images.
//!
//! ```text
//! largest[b, y, x, c] = max of in[b, y', x', c]
//! average[b, y, x, c] = sum of in[b, y', x', c] / how many there are
//! for y' = S y - P .. S y - P + N and x' = S x - P .. S x - P + N, those inside the image alone
//! ```
//!
//! with the side `N`, the stride `S` and the padding `P` of the window.
//!
//! | operand | shape | format | meaning |
//! |---|---|---|---|
//! | `x` | `[B H W, C]`, rows of any stride | `T` | images, channels last |
//! | output | `[B H' W', C]`, rows of any stride | `T` | its size is [`Window::out_size`] |
//!
//! The mean of a whole image is a window as large as the image. Of values among which one is NaN the
//! largest is unspecified, the average is NaN. Networks that pool are frozen, so there is no gradient
//! pass.
//!
//! # Source
//! Inception-v3 (arXiv 1512.00567). Its averages are those of TensorFlow with `SAME`, which leave
//! the padding out of the sum and of the count.

pub mod cases;
mod check;
pub mod cpu;
#[cfg(feature = "device")]
pub mod device;
pub mod reference;

use crate::Mat;
use crate::conv2d::Shape;
use crate::space::{Element, Host, Memory};
pub(crate) use check::check;
use std::ops::Range;

/// What is made of the values under a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The largest.
    Max,
    /// Their mean.
    Average,
}

/// A square window that moves over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// What is made of its values.
    pub kind: Kind,
    /// Pixels of a side, `N`.
    pub side: usize,
    /// Pixels from one window to the next, `S`.
    pub stride: usize,
    /// Pixels by which the first window starts before the image, and the last may end behind it, `P`;
    /// less than `side`, so that every window meets the image.
    pub padding: usize,
}

impl Window {
    /// Rows and columns of the output for an input of `height` x `width`; none where the window is
    /// larger than the padded image.
    pub fn out_size(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let along =
            |size: usize| Some((size + 2 * self.padding).checked_sub(self.side)? / self.stride + 1);
        Some((along(height)?, along(width)?))
    }

    /// Rows of an image of `size` rows under the window of row `at` of the output, or columns.
    fn inside(&self, at: usize, size: usize) -> Range<usize> {
        let first = at * self.stride;
        first.saturating_sub(self.padding)..(first + self.side - self.padding).min(size)
    }
}

/// Operands.
#[derive(Debug)]
pub struct Args<'a, T: Element, M: Memory = Host> {
    /// The images.
    pub shape: Shape,
    /// Channels, `C`.
    pub channels: usize,
    /// `[B H W, C]`.
    pub x: Mat<'a, T, M>,
    /// What is pooled.
    pub window: Window,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_at_the_image() {
        let window = Window { kind: Kind::Max, side: 3, stride: 2, padding: 1 };
        assert_eq!(window.out_size(5, 4), Some((3, 2)));
        assert_eq!([0, 1, 2].map(|at| window.inside(at, 5)), [0..2, 1..4, 3..5]);
        assert_eq!(Window { side: 7, ..window }.out_size(4, 5), None);
    }
}
