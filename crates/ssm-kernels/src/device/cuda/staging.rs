//! Copies to the GPU that do not wait for it.
//!
//! From ordinary memory the driver copies only after everything that was asked before. From pinned
//! memory the copy takes its place in the queue, so what the host has is first copied there.

use super::error::failed;
use crate::KernelError;
use cudarc::driver::{CudaEvent, CudaStream, result};
use std::sync::Arc;

/// Copies that may be on their way at once: those of a few passes, so that the host may be ahead.
const SLOTS: usize = 24;

/// Bytes of a slot at most: pinned memory is memory that the system cannot use otherwise.
const PIECE: usize = 8 << 20;

/// Pinned buffers that take turns.
pub(super) struct Staging {
    slots: Vec<Slot>,
    next: usize,
}

struct Slot {
    memory: *mut u8,
    bytes: usize,
    /// Reached when the last copy out of this slot is done.
    done: CudaEvent,
}

// SAFETY: the slot owns its memory, which nothing else points to.
unsafe impl Send for Slot {}

impl Staging {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), next: 0 }
    }

    /// Copies `from` to `to`, in the order of the stream.
    ///
    /// # Safety
    /// `to` is valid for that many bytes, and the stream's context is current.
    pub(super) unsafe fn upload(
        &mut self,
        stream: &Arc<CudaStream>,
        from: &[u8],
        to: u64,
    ) -> Result<(), KernelError> {
        for (i, piece) in from.chunks(PIECE).enumerate() {
            // SAFETY: the caller's promise, for a part of the range.
            unsafe { self.upload_piece(stream, piece, to + (i * PIECE) as u64) }?;
        }
        Ok(())
    }

    /// # Safety
    /// As [`Staging::upload`].
    unsafe fn upload_piece(
        &mut self,
        stream: &Arc<CudaStream>,
        from: &[u8],
        to: u64,
    ) -> Result<(), KernelError> {
        let failed = |error| failed("upload", error);
        let place = self.next % SLOTS;
        self.next += 1;
        if place == self.slots.len() {
            self.slots.push(Slot::new(stream, from.len()).map_err(failed)?);
        }
        self.slots[place].done.synchronize().map_err(failed)?;
        if self.slots[place].bytes < from.len() {
            self.slots[place] = Slot::new(stream, from.len()).map_err(failed)?;
        }
        let slot = &self.slots[place];
        // SAFETY: the slot is that long, and no copy out of it is on its way.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), slot.memory, from.len()) };
        // SAFETY: as above; nothing writes to it before `done`.
        let pinned = unsafe { std::slice::from_raw_parts(slot.memory, from.len()) };
        // SAFETY: the caller's promise; the slot lives until the copy is done.
        unsafe { result::memcpy_htod_async(to, pinned, stream.cu_stream()) }.map_err(failed)?;
        slot.done.record(stream).map_err(failed)
    }
}

impl Slot {
    fn new(stream: &Arc<CudaStream>, bytes: usize) -> Result<Self, result::DriverError> {
        let done = stream.context().new_event(None)?;
        done.record(stream)?;
        // SAFETY: pinned memory of its own.
        let memory = unsafe { result::malloc_host(bytes, 0) }?;
        Ok(Self { memory: memory.cast(), bytes, done })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // A copy may still read the memory. Errors of a lost device have nobody to hear them.
        let _lost = self.done.synchronize();
        // SAFETY: allocated once, freed once, and no copy reads it any more.
        let _lost = unsafe { result::free_host(self.memory.cast()) };
    }
}
