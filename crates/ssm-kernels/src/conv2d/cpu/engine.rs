//! What multiplies, and the terms in which it is asked to.

use crate::Mat;
use crate::conv2d::Activation;
use std::fmt::Debug;
use std::ops::Deref;

/// Channels of a slab, and columns of a panel.
pub(super) const PANEL: usize = 32;

/// Units that multiply the pixels of a strip with a panel of the weights.
///
/// A *strip* holds pixels slab by slab, 32 channels each, in the form that the units read. Pixels at
/// equal distances are a tile, over the ends of rows and images, so one place of a kernel after the
/// other is the same memory read from another start. A *step* is one place of the kernel and one slab.
pub(super) trait Engine: Copy + Sync {
    /// What strips and panels consist of. The default is zero.
    type Item: Copy + Debug + Default + Send + Sync;
    /// Memory of panels.
    type Panels: Clone + Debug + Deref<Target = [Self::Item]> + Send + Sync;
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
    fn panels(self, weights: Mat<'_, f32>) -> Self::Panels;

    /// Hands out a strip of this thread, of unspecified content.
    fn with_strip<R>(self, len: usize, work: impl FnOnce(&mut [Self::Item]) -> R) -> R;

    /// Fills a slab with the channels of successive pixels, at most 32, and with zeros beyond the last.
    fn split(self, pixels: Mat<'_, f32>, strip: &mut [Self::Item]);

    /// Adds the product of every tile with a panel to the output.
    ///
    /// # Panics
    /// When a tile reaches beyond the strip or the output.
    fn multiply(self, walk: &Walk<'_, Self::Item>, tiles: &[Tile], out: &mut [f32]);
}

/// Most pixels of a tile.
pub(super) const MOST_PIXELS: usize = 16;

/// Where sums go that nobody wants.
pub(super) const NOWHERE: usize = usize::MAX;

/// Pixels of a strip at equal distances, and where their sums go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// What the first pixel adds to the places of steps in the strip, in items.
    pub(super) at: usize,
    /// The places of the pixels' first sums in the output, in elements, or [`NOWHERE`].
    pub(super) outs: [usize; MOST_PIXELS],
    /// Whether all sums are wanted, at the distance of pixels of the output.
    pub(super) is_whole: bool,
}

/// Neighbouring pixels whose sums are wanted.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// The first one's place in the strip, in items.
    pub(super) at: usize,
    /// The place of its sums in the output, in elements.
    pub(super) out: usize,
    /// How many there are.
    pub(super) pixels: usize,
}

/// How the pixels of runs and tiles follow each other.
#[derive(Clone, Copy)]
pub(super) struct Strides {
    /// Items from a pixel of the strip to the next.
    pub(super) strip: usize,
    /// Elements from its sums to the next's.
    pub(super) out: usize,
}

/// Tiles of `size` pixels that cover runs, which come in the order of their places. Tiles run over
/// pixels between that are not wanted.
pub(super) fn cover(size: usize, strides: Strides, runs: impl Iterator<Item = Run>) -> Vec<Tile> {
    let mut tiles: Vec<Tile> = Vec::new();
    for Run { at, out, pixels } in runs {
        let mut done = 0;
        while done < pixels {
            let at = at + done * strides.strip;
            let start = tiles.last().map_or(size, |tile| (at - tile.at) / strides.strip);
            if start >= size {
                tiles.push(Tile { at, outs: [NOWHERE; MOST_PIXELS], is_whole: false });
            }
            let start = if start < size { start } else { 0 };
            let some = (size - start).min(pixels - done);
            let first = out + done * strides.out;
            if let Some(tile) = tiles.last_mut() {
                for (i, out) in tile.outs[start..start + some].iter_mut().enumerate() {
                    *out = first + i * strides.out;
                }
            }
            done += some;
        }
    }
    for tile in &mut tiles {
        let is_at = |(i, &out): (usize, &usize)| out == tile.outs[0] + i * strides.out;
        tile.is_whole = tile.outs[..size].iter().enumerate().all(is_at);
    }
    tiles
}

/// Where in a strip the steps of a product read for the first output.
pub(super) struct Moves {
    /// Items before the first step's place.
    pub(super) first: usize,
    /// Items from each step to the next, around the end of the numbers where that is before; the last
    /// is 0.
    pub(super) moves: Vec<usize>,
    /// Items before the last place.
    pub(super) reach: usize,
}

impl Moves {
    /// From the place of every step, in items.
    ///
    /// # Panics
    /// When there is none.
    pub(super) fn new(places: &[usize]) -> Self {
        let mut moves: Vec<usize> =
            places.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        moves.push(0);
        let reach = places.iter().copied().max().expect("a kernel has a place");
        Self { first: places[0], moves, reach }
    }
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// What stands in the output.
    Output,
    /// The same for all pixels.
    Bias(&'a [f32]),
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
    /// What the product is added to, as many columns.
    pub(super) start: Start<'a>,
    /// What becomes of the sums.
    pub(super) activation: Activation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_run_over_the_ends_of_rows() {
        // Three rows of three pixels, with one between and a gap before the last; four to a tile.
        let run = |at, out, pixels| Run { at, out, pixels };
        let runs = [run(0, 0, 3), run(8, 30, 3), run(40, 60, 3)];
        let tiles = cover(4, Strides { strip: 2, out: 10 }, runs.into_iter());
        let places: Vec<_> = tiles.iter().map(|tile| (tile.at, tile.outs[..4].to_vec())).collect();
        let none = NOWHERE;
        let want = [(0, [0, 10, 20, none]), (8, [30, 40, 50, none]), (40, [60, 70, 80, none])];
        assert_eq!(places, want.map(|(at, outs)| (at, outs.to_vec())));
        assert!(tiles.iter().all(|tile| !tile.is_whole));
        let tiles =
            cover(4, Strides { strip: 1, out: 10 }, [run(0, 0, 3), run(4, 30, 5)].into_iter());
        let places = tiles.iter().map(|tile| (tile.at, tile.is_whole, tile.outs[3]));
        assert_eq!(
            places.collect::<Vec<_>>(),
            [(0, false, NOWHERE), (4, true, 60), (8, false, NOWHERE)]
        );
        let whole =
            cover(4, Strides { strip: 1, out: 10 }, [run(0, 0, 3), run(3, 30, 5)].into_iter());
        assert!(whole.len() == 2 && whole.iter().all(|tile| tile.is_whole));
    }

    #[test]
    fn moves_go_back_where_planes_do() {
        let moves = Moves::new(&[5, 9, 2]);
        assert_eq!((moves.first, moves.reach), (5, 9));
        assert_eq!(moves.moves, [4, 7usize.wrapping_neg(), 0]);
    }
}
