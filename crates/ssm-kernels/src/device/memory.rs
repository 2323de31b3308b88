//! Memory of a device, as operands see it.

use super::driver::Driver;
use crate::KernelError;
use crate::space::{Element, Memory, Storage, View, ViewMut};
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

/// Memory of devices that driver `D` drives.
pub struct OnDevice<D>(PhantomData<D>);

impl<D> Clone for OnDevice<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for OnDevice<D> {}

impl<D> Default for OnDevice<D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<D> Debug for OnDevice<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnDevice")
    }
}

impl<D: Driver> Memory for OnDevice<D> {
    type Ref<'a, T: Element> = Slice<'a, T, D>;
    type Mut<'a, T: Element> = SliceMut<'a, T, D>;
    type Buffer<T: Element> = DeviceBuffer<T, D>;
}

/// A range of device memory that is read.
pub struct Slice<'a, T, D> {
    address: u64,
    len: usize,
    marker: PhantomData<(&'a [T], D)>,
}

/// A range of device memory that is written.
pub struct SliceMut<'a, T, D> {
    address: u64,
    len: usize,
    marker: PhantomData<(&'a mut [T], D)>,
}

impl<T, D> Slice<'_, T, D> {
    pub(crate) fn address(&self) -> u64 {
        self.address
    }
}

impl<T, D> SliceMut<'_, T, D> {
    pub(crate) fn address(&self) -> u64 {
        self.address
    }
}

impl<T, D> Clone for Slice<'_, T, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, D> Copy for Slice<'_, T, D> {}

impl<T, D> Debug for Slice<'_, T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({:#x}, {} elements)", self.address, self.len)
    }
}

impl<T, D> Debug for SliceMut<'_, T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SliceMut({:#x}, {} elements)", self.address, self.len)
    }
}

/// Address of the element at which `range` begins.
#[track_caller]
fn part_address<T>(address: u64, len: usize, range: &Range<usize>) -> u64 {
    assert!(
        range.start <= range.end && range.end <= len,
        "elements {range:?} of an operand of {len}"
    );
    address + (range.start * size_of::<T>()) as u64
}

impl<T: Element, D: Driver> View<T, OnDevice<D>> for Slice<'_, T, D> {
    fn len(&self) -> usize {
        self.len
    }

    fn reborrow(&self) -> Slice<'_, T, D> {
        *self
    }

    fn part(self, range: Range<usize>) -> Self {
        let address = part_address::<T>(self.address, self.len, &range);
        Self { address, len: range.len(), marker: PhantomData }
    }
}

impl<T: Element, D: Driver> ViewMut<T, OnDevice<D>> for SliceMut<'_, T, D> {
    fn len(&self) -> usize {
        self.len
    }

    fn view(&self) -> Slice<'_, T, D> {
        Slice { address: self.address, len: self.len, marker: PhantomData }
    }

    fn reborrow(&mut self) -> SliceMut<'_, T, D> {
        SliceMut { address: self.address, len: self.len, marker: PhantomData }
    }

    fn part(self, range: Range<usize>) -> Self {
        let address = part_address::<T>(self.address, self.len, &range);
        Self { address, len: range.len(), marker: PhantomData }
    }

    fn parts<const N: usize>(self, ranges: [Range<usize>; N]) -> [Self; N] {
        for (i, range) in ranges.iter().enumerate() {
            let meets = |other: &Range<usize>| range.start < other.end && other.start < range.end;
            assert!(!ranges[..i].iter().any(meets), "ranges {ranges:?} overlap");
        }
        ranges.map(|range| {
            let address = part_address::<T>(self.address, self.len, &range);
            Self { address, len: range.len(), marker: PhantomData }
        })
    }
}

/// Device memory of its own; given back when dropped.
pub struct DeviceBuffer<T, D: Driver> {
    /// Absent where there are no elements.
    driver: Option<Arc<D>>,
    address: u64,
    len: usize,
    marker: PhantomData<T>,
}

impl<T: Element, D: Driver> DeviceBuffer<T, D> {
    /// `len` elements of unspecified content.
    pub(super) fn new(driver: &Arc<D>, len: usize) -> Result<Self, KernelError> {
        if len == 0 {
            return Ok(Self::default());
        }
        let address = driver.allocate(len * size_of::<T>())?;
        Ok(Self { driver: Some(driver.clone()), address, len, marker: PhantomData })
    }
}

impl<T, D: Driver> Default for DeviceBuffer<T, D> {
    fn default() -> Self {
        Self { driver: None, address: 0, len: 0, marker: PhantomData }
    }
}

impl<T, D: Driver> Drop for DeviceBuffer<T, D> {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.free(self.address);
        }
    }
}

impl<T, D: Driver> Debug for DeviceBuffer<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceBuffer({:#x}, {} elements)", self.address, self.len)
    }
}

impl<T: Element, D: Driver> Storage<T, OnDevice<D>> for DeviceBuffer<T, D> {
    fn view(&self) -> Slice<'_, T, D> {
        Slice { address: self.address, len: self.len, marker: PhantomData }
    }

    fn view_mut(&mut self) -> SliceMut<'_, T, D> {
        SliceMut { address: self.address, len: self.len, marker: PhantomData }
    }
}
