//! Devices: the kernels of `kernels/*.cu`, launched through a [`Driver`].
//!
//! A driver runs on a GPU (`cuda`) or in the emulator, which builds the same sources for this machine
//! (`emulated`). Everything above it is one code: each operator's `device.rs` checks the operands as the
//! host backends do, fills the parameter struct of its kernels, and launches them.

#[rustfmt::skip]
pub(crate) mod bindings;
mod backend;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod diffusion;
mod driver;
#[cfg(feature = "emulated")]
pub mod emulated;
mod image_backend;
mod memory;
pub(crate) mod norm;
pub(crate) mod partials;
mod workspace;

pub use driver::{Driver, Format, Launch, Operand, Product, Second};
pub use half::bf16;
pub use memory::{DeviceBuffer, OnDevice, Slice, SliceMut};

use crate::KernelError;
use crate::space::Element;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use workspace::Workspace;

impl Element for bf16 {}

/// Formats of activations that kernels are built for.
pub trait Activation: Element {
    /// The format of products.
    const FORMAT: Format;

    /// The nearest number of this format.
    fn from_f32(x: f32) -> Self;
}

impl Activation for f32 {
    const FORMAT: Format = Format::F32;

    fn from_f32(x: f32) -> Self {
        x
    }
}

impl Activation for bf16 {
    const FORMAT: Format = Format::Bf16;

    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
}

/// The operators on a device, with activations in `A` and everything else in f32.
pub struct Device<A, D: Driver> {
    driver: Arc<D>,
    workspace: Arc<Mutex<Workspace<D>>>,
    marker: PhantomData<A>,
}

impl<A, D: Driver> Device<A, D> {
    /// The backend of a device.
    pub fn new(driver: Arc<D>) -> Self {
        let workspace = Arc::new(Mutex::new(Workspace::new()));
        Self { driver, workspace, marker: PhantomData }
    }

    /// The device.
    pub fn driver(&self) -> &Arc<D> {
        &self.driver
    }

    /// Working memory in `N` parts of the given bytes, until the next call.
    ///
    /// One call an operator: the memory is the same for all of them, and the queue's order keeps
    /// them apart.
    pub(crate) fn workspace<const N: usize>(
        &self,
        bytes: [usize; N],
    ) -> Result<[u64; N], KernelError> {
        let mut workspace = self.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        workspace.take(&self.driver, bytes)
    }

    /// Copies a few numbers of this machine into working memory.
    ///
    /// # Safety
    /// `to` is valid on the device for all of them.
    #[allow(unsafe_code, reason = "an address that only the caller can vouch for")]
    pub(crate) unsafe fn put<T: Copy>(&self, from: &[T], to: u64) -> Result<(), KernelError> {
        // SAFETY: the caller's promise; a slice is valid for its size.
        unsafe { self.driver.upload(from.as_ptr().cast(), to, size_of_val(from)) }
    }

    /// Launches a kernel.
    ///
    /// # Safety
    /// As [`Driver::launch`].
    #[allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]
    pub(crate) unsafe fn launch<P: Copy>(
        &self,
        launch: Launch,
        params: &P,
    ) -> Result<(), KernelError> {
        // SAFETY: the caller's promise.
        unsafe { self.driver.launch(launch, std::ptr::from_ref(params).cast(), size_of::<P>()) }
    }
}

impl<A: Activation, D: Driver> Device<A, D> {
    /// `len` elements of unspecified content.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn empty<T: Element>(&self, len: usize) -> Result<DeviceBuffer<T, D>, KernelError> {
        DeviceBuffer::new(&self.driver, len)
    }
}

impl<A, D: Driver> Clone for Device<A, D> {
    fn clone(&self) -> Self {
        Self { driver: self.driver.clone(), workspace: self.workspace.clone(), marker: PhantomData }
    }
}

impl<A, D: Driver> Debug for Device<A, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(&self.driver).finish()
    }
}

/// Name of a kernel's entry for activations in `$A`.
macro_rules! entry {
    ($A:ty, $name:literal) => {
        match <$A as $crate::device::Activation>::FORMAT {
            $crate::device::Format::F32 => concat!($name, "_f32"),
            $crate::device::Format::Bf16 => concat!($name, "_bf16"),
        }
    };
}
pub(crate) use entry;

/// A size as a kernel takes it.
pub(crate) fn int(op: &'static str, what: &'static str, value: usize) -> Result<i32, KernelError> {
    let supported = "up to 2147483647";
    i32::try_from(value).map_err(|_| KernelError::Unsupported { op, what, got: value, supported })
}

/// Blocks along the second and third axis of a grid.
pub(crate) fn blocks(
    op: &'static str,
    what: &'static str,
    value: usize,
) -> Result<usize, KernelError> {
    const MOST: usize = 65_535;
    if value <= MOST {
        return Ok(value);
    }
    Err(KernelError::Unsupported { op, what, got: value, supported: "up to 65535 on a device" })
}

/// Blocks along the first axis for `len` elements, `each` a block. Kernels walk on where these are
/// fewer.
pub(crate) fn walkers(len: usize, each: usize) -> usize {
    len.div_ceil(each).min(i32::MAX as usize)
}

/// Rows of blocks for the images of a batch, along the second axis. Kernels walk on where these are
/// fewer.
pub(crate) fn image_walkers(batch: usize) -> usize {
    batch.min(65_535)
}

/// Bytes of `len` elements of f32.
pub(crate) fn f32_bytes(len: usize) -> usize {
    len * size_of::<f32>()
}

/// Whether rows of `sizes` elements at `addresses` may move in vectors of some elements, which are
/// 16 bytes at most.
pub(crate) fn in_vectors(elements: usize, sizes: &[usize], addresses: &[u64]) -> bool {
    sizes.iter().all(|size| size.is_multiple_of(elements))
        && addresses.iter().all(|address| address.is_multiple_of(16))
}

#[cfg(test)]
mod tests {
    use super::in_vectors;

    #[test]
    fn vectors_need_whole_sizes_and_addresses() {
        assert!(in_vectors(4, &[8, 12], &[0, 32, 256]));
        assert!(!in_vectors(4, &[8, 14], &[0, 32, 256]), "a row that ends inside a vector");
        assert!(!in_vectors(4, &[8, 12], &[0, 40]), "an address inside 16 bytes");
    }
}
