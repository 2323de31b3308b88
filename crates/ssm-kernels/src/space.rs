//! Where operands live: in the memory of this machine, or of a device.
//!
//! An operand is a read-only range ([`View`]), a writable range ([`ViewMut`]) or memory of its own
//! ([`Storage`]). On the host these are `&[T]`, `&mut [T]` and [`Buffer<T>`]; nothing here looks at
//! an element, so a device may have anything that knows where a range begins and ends.

use crate::memory::Buffer;
use crate::{Mat, MatMut};
use std::fmt::Debug;
use std::ops::Range;

/// A number format of operands. The default is zero, and zero is all bits zero.
pub trait Element: Copy + Default + Debug + Send + Sync + 'static {}

impl Element for f32 {}
impl Element for f64 {}
impl Element for u32 {}

/// Where operands live.
pub trait Memory: Copy + Debug + Default + Send + Sync + 'static {
    /// A range that is read.
    type Ref<'a, T: Element>: View<T, Self>;
    /// A range that is written, and that nothing else reaches meanwhile.
    type Mut<'a, T: Element>: ViewMut<T, Self>;
    /// Memory of its own. The default has no elements.
    type Buffer<T: Element>: Storage<T, Self>;
}

/// A range of memory `M` that is read.
///
/// Methods panic where a range reaches beyond the operand.
#[allow(clippy::len_without_is_empty, reason = "an operand's length is compared with a shape")]
pub trait View<T: Element, M: Memory>: Copy + Debug + Send + Sync {
    /// Elements.
    fn len(&self) -> usize;

    /// The same elements for a shorter time.
    fn reborrow(&self) -> M::Ref<'_, T>;

    /// The elements of `range`.
    #[must_use]
    fn part(self, range: Range<usize>) -> Self;
}

/// A range of memory `M` that is written.
///
/// Methods panic where a range reaches beyond the operand.
#[allow(clippy::len_without_is_empty, reason = "an operand's length is compared with a shape")]
pub trait ViewMut<T: Element, M: Memory>: Debug + Send + Sized {
    /// Elements.
    fn len(&self) -> usize;

    /// The same elements for reading.
    fn view(&self) -> M::Ref<'_, T>;

    /// The same elements for a shorter time.
    fn reborrow(&mut self) -> M::Mut<'_, T>;

    /// The elements of `range`.
    #[must_use]
    fn part(self, range: Range<usize>) -> Self;

    /// Ranges that do not overlap; panics where they do.
    fn parts<const N: usize>(self, ranges: [Range<usize>; N]) -> [Self; N];
}

/// Memory of its own in `M`.
pub trait Storage<T: Element, M: Memory>: Debug + Default + Send + Sync {
    /// All elements.
    fn view(&self) -> M::Ref<'_, T>;

    /// All elements.
    fn view_mut(&mut self) -> M::Mut<'_, T>;

    /// All elements as a row-major matrix.
    ///
    /// # Panics
    /// When there are not `rows * cols` elements.
    #[track_caller]
    fn mat(&self, rows: usize, cols: usize) -> Mat<'_, T, M> {
        Mat::of(self.view(), rows, cols)
    }

    /// All elements as a row-major matrix.
    ///
    /// # Panics
    /// When there are not `rows * cols` elements.
    #[track_caller]
    fn mat_mut(&mut self, rows: usize, cols: usize) -> MatMut<'_, T, M> {
        MatMut::of(self.view_mut(), rows, cols)
    }

    /// Some columns of a row-major matrix of `rows` rows.
    ///
    /// # Panics
    /// When the rows do not divide the elements, or a row has not that many.
    #[track_caller]
    fn columns(&self, rows: usize, columns: Range<usize>) -> Mat<'_, T, M> {
        let stride = self.view().len() / rows.max(1);
        Mat::columns_of(self.view(), rows, stride, columns)
    }

    /// Some columns of a row-major matrix of `rows` rows.
    ///
    /// # Panics
    /// When the rows do not divide the elements, or a row has not that many.
    #[track_caller]
    fn columns_mut(&mut self, rows: usize, columns: Range<usize>) -> MatMut<'_, T, M> {
        let stride = self.view().len() / rows.max(1);
        MatMut::columns_of(self.view_mut(), rows, stride, columns)
    }
}

/// The memory of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host;

impl Memory for Host {
    type Ref<'a, T: Element> = &'a [T];
    type Mut<'a, T: Element> = &'a mut [T];
    type Buffer<T: Element> = Buffer<T>;
}

impl<T: Element> View<T, Host> for &[T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }

    fn reborrow(&self) -> &[T] {
        self
    }

    fn part(self, range: Range<usize>) -> Self {
        &self[range]
    }
}

impl<T: Element> ViewMut<T, Host> for &mut [T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }

    fn view(&self) -> &[T] {
        self
    }

    fn reborrow(&mut self) -> &mut [T] {
        self
    }

    fn part(self, range: Range<usize>) -> Self {
        &mut self[range]
    }

    fn parts<const N: usize>(self, ranges: [Range<usize>; N]) -> [Self; N] {
        self.get_disjoint_mut(ranges).expect("ranges inside the operand that do not overlap")
    }
}

impl<T: Element> Storage<T, Host> for Buffer<T> {
    fn view(&self) -> &[T] {
        self
    }

    fn view_mut(&mut self) -> &mut [T] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_ranges_in_their_order() {
        let mut values = [0u32, 1, 2, 3, 4, 5];
        let [late, early, none] = ViewMut::<u32, Host>::parts(&mut values[..], [4..6, 1..2, 3..3]);
        assert_eq!((&*late, &*early, &*none), (&[4, 5][..], &[1][..], &[][..]));
    }

    #[test]
    #[should_panic(expected = "do not overlap")]
    fn overlapping_parts_are_refused() {
        let mut values = [0u32; 6];
        ViewMut::<u32, Host>::parts(&mut values[..], [0..4, 3..6]);
    }

    #[test]
    fn columns_of_a_buffer_are_those_of_its_rows() {
        let mut buffer = Buffer::<u32>::zeros(12);
        for (i, x) in buffer.iter_mut().enumerate() {
            *x = i as u32;
        }
        assert_eq!(buffer.columns(3, 2..4).row(2), [10, 11]);
        buffer.columns_mut(3, 2..4).row_mut(1).fill(0);
        assert_eq!(buffer[4..8], [4, 5, 0, 0]);
    }
}
