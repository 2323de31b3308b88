//! What the launches of both norms share: how a block's warps share rows out.

use super::bindings::{DIS_NORM_MAX_WIDTH, DIS_NORM_THREADS, DIS_NORM_VECTOR, DIS_NORM_WARP_WIDTH};
use super::in_vectors;
use crate::KernelError;

/// Threads of a block.
pub(crate) const THREADS: [u32; 3] = [DIS_NORM_THREADS, 1, 1];
/// Warps of a block.
pub(crate) const WARPS: usize = DIS_NORM_THREADS as usize / 32;

/// How rows of one width are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Warps of one row.
    pub(crate) warps: usize,
    /// Rows that a block has at a time.
    pub(crate) block_rows: usize,
}

impl Rows {
    /// The fewest warps that hold a row, which has at least one element.
    pub(crate) fn new(op: &'static str, width: usize) -> Result<Self, KernelError> {
        if width > DIS_NORM_MAX_WIDTH as usize {
            let supported = "up to 4096 on a device";
            return Err(KernelError::Unsupported { op, what: "width", got: width, supported });
        }
        let warps = width.div_ceil(DIS_NORM_WARP_WIDTH as usize).next_power_of_two();
        Ok(Self { warps, block_rows: WARPS / warps })
    }
}

/// The field `vectors` of a launch: whether operands at these addresses move in vectors.
pub(crate) fn vectors(width: usize, addresses: &[u64]) -> i32 {
    in_vectors(DIS_NORM_VECTOR as usize, &[width], addresses).into()
}
