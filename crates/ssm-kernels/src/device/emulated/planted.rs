//! The kernels of `kernels/planted`, which have a mistake on purpose.

use super::Checked;
use crate::device::{Device, Driver, Launch};
use crate::space::Storage;
use crate::{Backend, KernelError};
use std::sync::Arc;

/// The parameters of all of them.
#[repr(C)]
struct Planted {
    input: u64,
    out: u64,
    len: i64,
}

/// Threads of a block, and elements of its tile.
const TILE: usize = 64;

impl Checked {
    /// Runs one of the kernels with a mistake on 209 elements in two blocks.
    ///
    /// # Errors
    /// What the checker says: where nothing is wrong, the test of the checker fails.
    pub fn run_planted(self: &Arc<Self>, kernel: &'static str) -> Result<(), KernelError> {
        let device = Device::<f32, _>::new(self.clone());
        // Each block has a whole tile and another, of which the last is not full.
        let len = 3 * TILE + 17;
        let input: Vec<f32> = (0..len).map(|i| i as f32).collect();
        let (mut from, mut out) = (device.empty(len)?, device.empty::<f32>(len)?);
        device.upload(&input, from.view_mut())?;
        device.fill_zero(out.view_mut())?;
        let params = Planted {
            input: from.view().address(),
            out: out.view_mut().address(),
            len: len as i64,
        };
        let launch = Launch {
            kernel,
            grid: [2, 1, 1],
            threads: [TILE as u32, 1, 1],
            shared: (size_of::<f32>() * TILE) as u32,
        };
        // SAFETY: both buffers have `len` elements, and what the mistakes reach beyond them is less
        // than a red zone, which belongs to the emulator.
        unsafe { self.launch(launch, std::ptr::from_ref(&params).cast(), size_of::<Planted>()) }
    }
}
