//! A convolution of a doubled image as convolutions of the image itself.
//!
//! Neighbouring places of the kernel that meet the same pixel, because it is doubled, are one place
//! whose weight is the sum of theirs. Which meet is the same for every second output: for a kernel
//! of 3 x 3 there are four kinds of outputs, each with a kernel of 2 x 2, and 16 products where
//! there were 36. Without doubling there is one kind, and nothing is summed.

use crate::conv2d::Kernel;

/// Rows or columns of one kind of outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// The first such row of the output.
    pub(super) first: usize,
    /// Rows of the output from one to the next.
    pub(super) out_step: usize,
    /// Rows of the stored input from one to the next.
    pub(super) in_step: usize,
    /// Rows of the input that are read, from that of the first row of the output.
    pub(super) taps: Vec<Tap>,
}

/// One row or column that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tap {
    /// Its place in the stored input.
    pub(super) at: isize,
    /// Places of the kernel that meet there.
    pub(super) places: Vec<usize>,
}

impl Axis {
    /// All kinds of rows: for a kernel of `places` rows after `before` rows of zeros.
    fn all(places: usize, before: usize, stride: usize, upsample2: bool) -> Vec<Self> {
        let growth = if upsample2 { 2 } else { 1 };
        // With an even stride every output starts at the first of two equal rows.
        let out_step = if stride.is_multiple_of(growth) { 1 } else { growth };
        let kind = |first: usize| {
            let mut taps: Vec<Tap> = Vec::new();
            for place in 0..places {
                let at = (stride * first + place) as isize - before as isize;
                let at = at.div_euclid(growth as isize);
                match taps.last_mut() {
                    Some(tap) if tap.at == at => tap.places.push(place),
                    _ => taps.push(Tap { at, places: vec![place] }),
                }
            }
            Self { first, out_step, in_step: stride * out_step / growth, taps }
        };
        (0..out_step).map(kind).collect()
    }

    /// Rows of this kind among `rows` of the output.
    pub(super) fn count(&self, rows: usize) -> usize {
        rows.saturating_sub(self.first).div_ceil(self.out_step)
    }
}

/// All kinds of outputs of a layer, each by its rows and columns.
pub(super) fn phases(kernel: &Kernel) -> Vec<[Axis; 2]> {
    let Kernel { stride, padding, upsample2, .. } = *kernel;
    let rows = Axis::all(kernel.height, padding.top, stride, upsample2);
    let columns = Axis::all(kernel.width, padding.left, stride, upsample2);
    let pairs = rows.iter().flat_map(|rows| columns.iter().map(|c| [rows.clone(), c.clone()]));
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(at: isize, places: &[usize]) -> Tap {
        Tap { at, places: places.to_vec() }
    }

    #[test]
    fn a_doubled_image_has_two_kinds_of_rows() {
        let axes = Axis::all(3, 1, 1, true);
        let axis = |first, taps| Axis { first, out_step: 2, in_step: 1, taps };
        let even = axis(0, vec![tap(-1, &[0]), tap(0, &[1, 2])]);
        let odd = axis(1, vec![tap(0, &[0, 1]), tap(1, &[2])]);
        assert_eq!(axes, [even, odd]);
        assert_eq!([axes[0].count(5), axes[1].count(5)], [3, 2]);
    }

    #[test]
    fn without_doubling_every_place_is_a_tap() {
        let axes = Axis::all(2, 1, 3, false);
        let taps = vec![tap(-1, &[0]), tap(0, &[1])];
        assert_eq!(axes, [Axis { first: 0, out_step: 1, in_step: 3, taps }]);
        assert_eq!(axes[0].count(4), 4);
    }
}
