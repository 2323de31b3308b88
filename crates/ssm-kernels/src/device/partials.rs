//! The sum of partial results that blocks leave behind, in a fixed order.

use super::bindings::{DIS_REDUCE_JOBS, DisReducePartials};
use super::driver::{Driver, Launch};
use super::{Activation, Device};
use crate::KernelError;

/// `sums += ` the sum over the rows of partial results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Address of the first row, f32.
    pub(crate) parts: u64,
    /// Elements from a row to the next.
    pub(crate) stride: usize,
    /// Address of the sums, f32.
    pub(crate) sums: u64,
    /// Elements of a row, and sums.
    pub(crate) len: usize,
}

/// Adds `rows` rows of partial results for every job.
///
/// # Safety
/// The addresses of every job are valid on the device for its lengths, and no sum is another's.
#[allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]
pub(crate) unsafe fn add<A: Activation, D: Driver>(
    device: &Device<A, D>,
    rows: usize,
    jobs: &[Job],
) -> Result<(), KernelError> {
    const MOST: usize = DIS_REDUCE_JOBS as usize;
    // The strips that rows are divided into decide the order of the sum, so they follow from the
    // number of rows alone.
    let (strips, warps) = match rows {
        0..=16 => (1, 8),
        17..=256 => (8, 8),
        _ => (32, 32),
    };
    for jobs in jobs.chunks(MOST) {
        let pick = |f: &dyn Fn(&Job) -> u64| -> [u64; MOST] {
            std::array::from_fn(|i| jobs.get(i).map_or(0, f))
        };
        let params = DisReducePartials {
            partials: pick(&|job| job.parts).map(|a| a as _),
            sums: pick(&|job| job.sums).map(|a| a as _),
            row_stride: pick(&|job| job.stride as u64).map(|stride| stride as i64),
            len: pick(&|job| job.len as u64).map(|len| len as i64),
            rows: super::int("reduce_partials", "rows", rows)?,
            strips,
        };
        let longest = jobs.iter().map(|job| job.len).max().unwrap_or(0);
        if longest == 0 {
            continue;
        }
        let warps: u32 = warps;
        let launch = Launch {
            kernel: "reduce_partials",
            grid: [longest.div_ceil((32 * warps / strips as u32) as usize), jobs.len(), 1],
            threads: [32 * warps, 1, 1],
            shared: warps * 32 * 4,
        };
        // SAFETY: the caller's promise.
        unsafe { device.launch(launch, &params) }?;
    }
    Ok(())
}
