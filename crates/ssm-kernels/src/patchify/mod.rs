//! Images to rows of patches and back: two permutations, each the gradient of the other.
//!
//! [`gather`](reference::gather) reads patches out of an image, token by token in row-major order
//! of the patch grid, after `extra` leading tokens that it fills with zeros;
//! [`scatter`](reference::scatter) writes tokens into an image and ignores the leading ones.
//!
//! | operand | shape | format | meaning |
//! |---|---|---|---|
//! | image | `[B, C, H, W]` | `W` | |
//! | tokens | `[B, extra + (H/P)(W/P), C P P]` | `T` | elements of a patch in the order of [`Inner`] |
//!
//! # Source
//! The official network reads patches channel first (the weight of a strided convolution) and
//! writes them channel last (arXiv 2402.05608, figure 2, "linear and reshape").

mod check;
pub mod cpu;
#[cfg(feature = "device")]
pub mod device;
pub mod reference;

pub(crate) use check::check;

/// Order of the elements of one patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// `(c, row, column)`.
    ChannelFirst,
    /// `(row, column, c)`.
    ChannelLast,
}

/// Sizes and layout of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images, `B`.
    pub batch: usize,
    /// Channels, `C`.
    pub channels: usize,
    /// Rows of pixels, a multiple of `patch`.
    pub height: usize,
    /// Columns of pixels, a multiple of `patch`.
    pub width: usize,
    /// Side of a patch, `P`.
    pub patch: usize,
    /// Leading tokens that are no patch.
    pub extra: usize,
    /// Order of the elements of one patch.
    pub inner: Inner,
}

impl Shape {
    /// Elements of the images.
    pub fn image_len(&self) -> usize {
        self.batch * self.channels * self.height * self.width
    }

    /// Patches of one image.
    pub fn patches(&self) -> usize {
        (self.height / self.patch) * (self.width / self.patch)
    }

    /// Elements of one token, `C P P`.
    pub fn token_len(&self) -> usize {
        self.channels * self.patch * self.patch
    }

    /// Elements of all tokens.
    pub fn tokens_len(&self) -> usize {
        self.batch * (self.extra + self.patches()) * self.token_len()
    }
}
