//! Working memory of operators.

use super::driver::Driver;
use super::memory::DeviceBuffer;
use crate::KernelError;
use crate::space::{Storage, View};
use std::sync::Arc;

/// Addresses are multiples of this many bytes.
const ALIGNMENT: usize = 256;

impl crate::space::Element for u8 {}

/// Memory that operators use one after the other. It only grows: in a steady state no operator
/// allocates.
#[derive(Debug)]
pub(super) struct Workspace<D: Driver> {
    buffers: Vec<DeviceBuffer<u8, D>>,
}

impl<D: Driver> Workspace<D> {
    pub(super) fn new() -> Self {
        Self { buffers: Vec::new() }
    }

    /// Ranges of the given bytes for one operator; those of the last operator are given up.
    pub(super) fn take<const N: usize>(
        &mut self,
        driver: &Arc<D>,
        bytes: [usize; N],
    ) -> Result<[u64; N], KernelError> {
        if !D::REUSES_WORKSPACE {
            self.buffers.clear();
            for bytes in bytes {
                self.buffers.push(DeviceBuffer::new(driver, bytes)?);
            }
            return Ok(std::array::from_fn(|i| self.buffers[i].view().address()));
        }
        let total: usize = bytes.iter().map(|bytes| bytes.next_multiple_of(ALIGNMENT)).sum();
        if self.buffers.first().is_none_or(|buffer| View::len(&buffer.view()) < total) {
            self.buffers.clear();
            self.buffers.push(DeviceBuffer::new(driver, total)?);
        }
        let mut next = self.buffers[0].view().address();
        Ok(bytes.map(|bytes| {
            let address = next;
            next += bytes.next_multiple_of(ALIGNMENT) as u64;
            address
        }))
    }
}
