//! What a device must be able to do.
#![allow(unsafe_code, reason = "addresses that only the caller can vouch for")]

use crate::KernelError;
use std::ffi::c_void;
use std::fmt::Debug;

/// A device with one queue: everything happens in the order in which it was asked for, and
/// addresses freed meanwhile stay valid for what was asked before.
///
/// Errors of earlier work may be reported by any later call.
pub trait Driver: Debug + Send + Sync + Sized + 'static {
    /// Whether working memory may hold what the last operator left there. Where accesses are
    /// watched, it comes new for every operator, so that reading what nobody wrote is seen.
    const REUSES_WORKSPACE: bool;

    /// `bytes` of memory of unspecified content, at a multiple of 256.
    fn allocate(&self, bytes: usize) -> Result<u64, KernelError>;

    /// Gives memory back; an address that [`Driver::allocate`] returned, once.
    fn free(&self, address: u64);

    /// Copies from this machine. `from` has been read when this returns.
    ///
    /// # Safety
    /// `from` and `to` are valid for `bytes`, `to` on this device.
    unsafe fn upload(&self, from: *const u8, to: u64, bytes: usize) -> Result<(), KernelError>;

    /// Copies to this machine after all that was asked before. `to` has been written when this
    /// returns.
    ///
    /// # Safety
    /// `from` and `to` are valid for `bytes`, `from` on this device.
    unsafe fn download(&self, from: u64, to: *mut u8, bytes: usize) -> Result<(), KernelError>;

    /// Copies inside the device.
    ///
    /// # Safety
    /// Both ranges are valid on this device, and do not overlap.
    unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<(), KernelError>;

    /// Clears all bits.
    ///
    /// # Safety
    /// The range is valid on this device.
    unsafe fn zero(&self, to: u64, bytes: usize) -> Result<(), KernelError>;

    /// Runs a kernel.
    ///
    /// # Safety
    /// `params` is the parameter struct of that kernel, `params_len` bytes long, and every address
    /// in it is valid on this device for what the kernel does with such parameters.
    unsafe fn launch(
        &self,
        launch: Launch,
        params: *const c_void,
        params_len: usize,
    ) -> Result<(), KernelError>;

    /// A matrix product, or two.
    ///
    /// # Safety
    /// All addresses of `product` are valid on this device for its sizes and strides.
    unsafe fn gemm(&self, product: &Product) -> Result<(), KernelError>;

    /// Waits for all that was asked.
    fn synchronize(&self) -> Result<(), KernelError>;

    /// Processors that run blocks at the same time.
    fn processors(&self) -> usize;
}

/// Which kernel, and how many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Blocks.
    pub grid: [usize; 3],
    /// Threads of a block along each axis.
    pub threads: [u32; 3],
    /// Bytes of dynamic shared memory of a block.
    pub shared: u32,
}

/// Number formats of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 32 bits.
    F32,
    /// 16 bits.
    Bf16,
}

/// `out = a b` or `out += a b`: `out` is `rows x cols`, sums have `terms` terms, sums are f32.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Rows of `out`.
    pub rows: usize,
    /// Columns of `out`.
    pub cols: usize,
    /// Columns of `a`.
    pub terms: usize,
    /// Left operand.
    pub a: Operand,
    /// Right operand.
    pub b: Operand,
    /// Address of the result, whose rows are contiguous.
    pub out: u64,
    /// Elements from a row of the result to the next.
    pub out_stride: usize,
    /// Format of the result.
    pub out_format: Format,
    /// Format of both operands.
    pub format: Format,
    /// Whether the product is added to the result.
    pub accumulate: bool,
    /// Another product with the same sizes, strides and formats.
    pub second: Option<Second>,
}

/// Where the matrices of a second product stand.
#[derive(Clone, Copy, Debug)]
pub struct Second {
    /// Address of the left operand.
    pub a: u64,
    /// Address of the right operand.
    pub b: u64,
    /// Address of the result.
    pub out: u64,
}

impl Product {
    /// The products one by one.
    pub fn each(self) -> impl Iterator<Item = Self> {
        let first = Self { second: None, ..self };
        let second = self.second.map(|second| Self {
            a: Operand { address: second.a, ..self.a },
            b: Operand { address: second.b, ..self.b },
            out: second.out,
            ..first
        });
        std::iter::once(first).chain(second)
    }
}

/// A matrix in device memory: row-major, or, when transposed, column-major.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// Address of the first element.
    pub address: u64,
    /// Elements from a row to the next, of a column when transposed.
    pub stride: usize,
    /// Whether columns are contiguous, not rows.
    pub transposed: bool,
}
