//! NVIDIA GPUs.
//!
//! The CUDA libraries are opened when a GPU is, so that a program built with this works without them
//! on the CPU. One stream; memory comes from the device's pool, which keeps what is freed.
#![allow(unsafe_code, reason = "calls of the CUDA driver")]

mod blas;
mod error;
mod modules;
mod staging;
mod timing;

use super::driver::{Driver, Launch, Product};
use crate::KernelError;
use blas::Blas;
use cudarc::driver::sys::{CUdevice_attribute, CUmemPool_attribute};
use cudarc::driver::{CudaContext, CudaStream, result};
use error::{failed, in_words};
use modules::Modules;
use staging::Staging;
use std::ffi::c_void;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};
pub use timing::Facts;

/// Least compute capability that the kernels are built for.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

/// One GPU.
pub struct Cuda {
    // Fields are dropped in this order: what lives in the context before the context.
    blas: Mutex<Blas>,
    staging: Mutex<Staging>,
    modules: Modules,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
    name: String,
    capability: (i32, i32),
    processors: usize,
}

impl Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cuda({}, {})", self.context.ordinal(), self.name)
    }
}

impl Cuda {
    /// Opens the GPU of that ordinal and loads every kernel.
    ///
    /// # Errors
    /// When there is no driver, no such GPU, one that the kernels are not built for, or kernels of
    /// another launch ABI.
    pub fn open(ordinal: usize) -> Result<Self, KernelError> {
        let refused = |message: String| KernelError::Device { op: "cuda".into(), message };
        // SAFETY: opens and closes libraries, whose initialisers are the driver's own.
        if !unsafe { cudarc::driver::sys::is_culib_present() } {
            let message = "no NVIDIA driver: libcuda.so.1 was not found; install the driver, or add \
                           the folder of libcuda.so.1 to LD_LIBRARY_PATH";
            return Err(refused(message.into()));
        }
        // SAFETY: as above.
        if !unsafe { cudarc::cublas::sys::is_culib_present() } {
            let message = "no cuBLAS: libcublas.so.13 was not found; install CUDA 13, or add the \
                           folder of libcublas.so.13 to LD_LIBRARY_PATH";
            return Err(refused(message.into()));
        }
        let opened = CudaContext::new(ordinal).map_err(|error| failed("cuda", error));
        let context = opened.map_err(|error| {
            let count = CudaContext::device_count().unwrap_or(0);
            refused(format!("cannot open GPU {ordinal} of {count}: {error}"))
        })?;
        let of_context = |error| failed("cuda", error);
        let name = context.name().map_err(of_context)?;
        let capability = context.compute_capability().map_err(of_context)?;
        if capability < LEAST_CAPABILITY {
            let ((major, minor), (need, _)) = (capability, LEAST_CAPABILITY);
            return Err(refused(format!(
                "{name} has compute capability {major}.{minor}; the kernels need {need}.0 or more"
            )));
        }
        let processors = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let processors = context.attribute(processors).map_err(of_context)? as usize;
        keep_freed_memory(&context).map_err(of_context)?;
        let stream = context.new_stream().map_err(of_context)?;
        let modules = Modules::load(&context)?;
        let blas = Mutex::new(Blas::new(&stream)?);
        let staging = Mutex::new(Staging::new());
        Ok(Self { blas, staging, modules, stream, context, name, capability, processors })
    }

    /// Name of the GPU.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its compute capability.
    pub fn capability(&self) -> (i32, i32) {
        self.capability
    }

    /// Free and total bytes of its memory.
    ///
    /// # Errors
    /// When the driver fails.
    pub fn memory(&self) -> Result<(usize, usize), KernelError> {
        self.context.mem_get_info().map_err(|error| failed("memory of the GPU", error))
    }

    /// The stream that everything runs on.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Makes the context that of the calling thread.
    fn enter(&self, op: &str) -> Result<(), KernelError> {
        self.context.bind_to_thread().map_err(|error| failed(op, error))
    }

    fn out_of_memory(&self, bytes: usize, error: &str) -> KernelError {
        let gb = |bytes: usize| bytes as f64 / 1e9;
        let (free, total) = self.context.mem_get_info().unwrap_or((0, 0));
        let message = format!(
            "{:.2} GB more on {} ({:.2} GB of {:.2} GB are free): {error}; a smaller micro-batch, or \
             recomputing (train.recompute), needs less",
            gb(bytes),
            self.name,
            gb(free),
            gb(total)
        );
        KernelError::Device { op: "allocate".into(), message }
    }
}

/// Without this the pool gives all its memory back whenever the host waits, and maps it again after.
fn keep_freed_memory(context: &CudaContext) -> Result<(), result::DriverError> {
    let mut threshold = u64::MAX;
    // SAFETY: the device of a context that is open.
    let pool = unsafe { result::device::get_default_mem_pool(context.cu_device()) }?;
    let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the value of this attribute is a u64.
    unsafe { result::mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast()) }
}

impl Driver for Cuda {
    const REUSES_WORKSPACE: bool = true;

    fn allocate(&self, bytes: usize) -> Result<u64, KernelError> {
        self.enter("allocate")?;
        // SAFETY: a stream of this context; the memory is used on that stream alone.
        let memory = unsafe { result::malloc_async(self.stream.cu_stream(), bytes) };
        memory.map_err(|error| self.out_of_memory(bytes, &in_words(error)))
    }

    fn free(&self, address: u64) {
        if self.enter("free").is_ok() {
            // SAFETY: `allocate` returned the address, and its buffer is being dropped. The error of
            // a device that was lost has nobody left to hear it.
            let _lost = unsafe { result::free_async(address, self.stream.cu_stream()) };
        }
    }

    unsafe fn upload(&self, from: *const u8, to: u64, bytes: usize) -> Result<(), KernelError> {
        self.enter("upload")?;
        // SAFETY: the caller's promise.
        let from = unsafe { std::slice::from_raw_parts(from, bytes) };
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller's promise.
        unsafe { staging.upload(&self.stream, from, to) }
    }

    unsafe fn download(&self, from: u64, to: *mut u8, bytes: usize) -> Result<(), KernelError> {
        self.enter("download")?;
        // SAFETY: the caller's promise.
        let to = unsafe { std::slice::from_raw_parts_mut(to, bytes) };
        // SAFETY: the caller's promise; `to` outlives the copy, which is waited for below.
        unsafe { result::memcpy_dtoh_async(to, from, self.stream.cu_stream()) }
            .map_err(|error| failed("download", error))?;
        self.stream.synchronize().map_err(|error| failed("download", error))
    }

    unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<(), KernelError> {
        self.enter("copy")?;
        // SAFETY: the caller's promise.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream.cu_stream()) }
            .map_err(|error| failed("copy", error))
    }

    unsafe fn zero(&self, to: u64, bytes: usize) -> Result<(), KernelError> {
        if bytes == 0 {
            return Ok(());
        }
        self.enter("zero")?;
        // SAFETY: the caller's promise.
        unsafe { result::memset_d8_async(to, 0, bytes, self.stream.cu_stream()) }
            .map_err(|error| failed("zero", error))
    }

    unsafe fn launch(
        &self,
        launch: Launch,
        params: *const c_void,
        _params_len: usize,
    ) -> Result<(), KernelError> {
        self.enter(launch.kernel)?;
        let function = self.modules.function(launch.kernel)?;
        let [x, y, z] = launch.grid.map(|blocks| u32::try_from(blocks).unwrap_or(u32::MAX));
        let [tx, ty, tz] = launch.threads;
        // SAFETY: the caller's promise; a kernel of ours takes one parameter, the struct itself, which
        // the driver copies before it returns.
        unsafe {
            result::launch_kernel(
                function,
                (x, y, z),
                (tx, ty, tz),
                launch.shared,
                self.stream.cu_stream(),
                &mut [params.cast_mut()],
            )
        }
        .map_err(|error| failed(launch.kernel, error))
    }

    unsafe fn gemm(&self, product: &Product) -> Result<(), KernelError> {
        self.enter("gemm")?;
        let blas = self.blas.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller's promise.
        unsafe { blas.gemm(product) }
    }

    fn synchronize(&self) -> Result<(), KernelError> {
        self.enter("synchronize")?;
        self.stream.synchronize().map_err(|error| failed("synchronize", error))
    }

    fn processors(&self) -> usize {
        self.processors
    }
}
