//! What multiplies, and the terms in which it is asked to.

use crate::Mat;
use std::fmt::Debug;

/// Channels of a slab, and columns of a panel.
pub(super) const PANEL: usize = 32;

/// Units that multiply the pixels of a strip with a panel of the weights.
///
/// A *strip* holds pixels slab by slab, 32 channels each, in the form that the units read. Pixels at
/// equal distances are a tile, so one place of a kernel after the other is the same memory read
/// from another start. A *step* is one place of the kernel and one slab.
pub(super) trait Engine: Copy + Sync {
    /// What strips and panels consist of. The default is zero.
    type Item: Copy + Debug + Default + Send + Sync;
    /// Pixels of a tile.
    const TILE: usize;
    /// Items of one slab of a pixel.
    const PIXEL: usize;
    /// Items of one step of a panel.
    const STEP: usize;
    /// Most steps of one product. Fixed, since the cut of a sum decides its bits.
    const CHUNK: usize;
    /// Items of the strip of one task.
    const STRIP: usize;

    /// The panels of weights `[32 steps, O]`, `[panel, step]`, and one step of zeros.
    fn panels(self, weights: Mat<'_, f32>) -> Vec<Self::Item>;

    /// Hands out a strip of this thread, of unspecified content.
    fn with_strip<R>(self, len: usize, work: impl FnOnce(&mut [Self::Item]) -> R) -> R;

    /// Fills a slab of successive pixels of `channels` each, from channel `first`, with zeros beyond
    /// the last.
    fn split(self, pixels: &[f32], channels: usize, first: usize, strip: &mut [Self::Item]);

    /// Adds the product of every tile with a panel to the output.
    ///
    /// # Panics
    /// When a tile reaches beyond the strip or the output.
    fn multiply(self, walk: &Walk<'_, Self::Item>, tiles: &[Tile], out: &mut [f32]);
}

/// Pixels of a strip, and where their sums go.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// The first pixel's place in the strip, in items.
    pub(super) at: usize,
    /// The first sum's place in the output, in elements.
    pub(super) out: usize,
    /// Sums that are wanted: the first so many pixels.
    pub(super) wanted: usize,
}

/// Where in a strip the steps of a product read, from where the first one does.
pub(super) struct Moves {
    /// Items from each step to the next; the last is 0.
    pub(super) moves: Vec<usize>,
    /// Items from the first step to the last.
    pub(super) reach: usize,
}

impl Moves {
    /// From the place of every step, in items.
    ///
    /// # Panics
    /// When the first is not 0, or one is before the one before.
    pub(super) fn new(places: &[usize]) -> Self {
        assert!(places.first() == Some(&0) && places.is_sorted(), "places of steps: {places:?}");
        let mut moves: Vec<usize> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
        moves.push(0);
        Self { moves, reach: places[places.len() - 1] }
    }
}

/// What tiles are multiplied with, and how operands and output are read.
pub(super) struct Walk<'a, I> {
    /// Pixels.
    pub(super) strip: &'a [I],
    /// Items from a pixel of a tile to the next.
    pub(super) pixel_stride: usize,
    /// Where the steps read.
    pub(super) moves: &'a Moves,
    /// A panel of the weights, and one step more.
    pub(super) panel: &'a [I],
    /// Elements from a pixel's sums to the next's.
    pub(super) out_stride: usize,
    /// Columns that are wanted, at most 32.
    pub(super) columns: usize,
}
