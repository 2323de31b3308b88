//! Time by the GPU's own clock, and what that clock is.

use super::Cuda;
use super::error::failed;
use crate::KernelError;
use crate::device::Driver;
use cudarc::driver::sys::{CUdevice_attribute, CUevent_flags, cuDriverGetVersion};
use cudarc::driver::{CudaEvent, result};

/// Calls before the first that is timed.
const WARM_UP: usize = 3;

/// What a time is compared with; the driver's own numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// Highest clock of the processors, in Hz.
    pub clock: f64,
    /// Clock of the memory, in Hz.
    pub memory_clock: f64,
    /// Bytes of the cache that all processors share.
    pub cache: usize,
    /// The CUDA release that the driver was made for, as `(13, 0)`.
    pub release: (i32, i32),
}

impl Cuda {
    /// Clocks, cache and release.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn facts(&self) -> Result<Facts, KernelError> {
        let attribute = |attribute| {
            self.context.attribute(attribute).map_err(|error| failed("facts of the GPU", error))
        };
        let hertz = |kilohertz: i32| 1e3 * f64::from(kilohertz);
        Ok(Facts {
            clock: hertz(attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?),
            memory_clock: hertz(attribute(
                CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE,
            )?),
            cache: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)? as usize,
            release: release()?,
        })
    }

    /// Seconds of each of `calls` calls of `work`, which asks the GPU for something and does not
    /// wait. Some calls more come first.
    ///
    /// Where the host asks more slowly than the GPU computes, this is the host's time.
    ///
    /// # Errors
    /// Those of `work`, and when the GPU fails.
    pub fn time(
        &self,
        calls: usize,
        work: impl FnMut() -> Result<(), KernelError>,
    ) -> Result<Vec<f64>, KernelError> {
        self.time_after(calls, || Ok(()), work)
    }

    /// [`Cuda::time`] of `work` with `before` ahead of every call, whose time does not count. While
    /// the GPU is busy with it the host gets ahead, so that the time of `work` is the GPU's.
    ///
    /// # Errors
    /// Those of `before` and `work`, and when the GPU fails.
    pub fn time_after(
        &self,
        calls: usize,
        mut before: impl FnMut() -> Result<(), KernelError>,
        mut work: impl FnMut() -> Result<(), KernelError>,
    ) -> Result<Vec<f64>, KernelError> {
        for _ in 0..WARM_UP {
            before()?;
            work()?;
        }
        self.synchronize()?;
        let mut spans = Vec::with_capacity(calls);
        for _ in 0..calls {
            let span = [self.event()?, self.event()?];
            before()?;
            self.mark(&span[0])?;
            work()?;
            self.mark(&span[1])?;
            spans.push(span);
        }
        self.synchronize()?;
        let seconds = |[start, end]: &[CudaEvent; 2]| {
            let milliseconds = start.elapsed_ms(end).map_err(|error| failed("time", error))?;
            Ok(1e-3 * f64::from(milliseconds))
        };
        spans.iter().map(seconds).collect()
    }

    fn event(&self) -> Result<CudaEvent, KernelError> {
        let event = self.context.new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        event.map_err(|error| failed("time", error))
    }

    fn mark(&self, event: &CudaEvent) -> Result<(), KernelError> {
        event.record(&self.stream).map_err(|error| failed("time", error))
    }
}

fn release() -> Result<(i32, i32), KernelError> {
    let mut version = 0;
    // SAFETY: writes one number; the driver is open.
    let status = unsafe { cuDriverGetVersion(&raw mut version) };
    status.result().map_err(|error: result::DriverError| failed("release of the driver", error))?;
    Ok((version / 1000, version % 1000 / 10))
}
