//! The emulator: the kernels of this repository, built for this machine by its C++ compiler.
//!
//! Every thread of a block is a fiber, and device memory is a range of this process's addresses.
//! The fast build finds writes behind a buffer after the fact; the checked one watches every access
//! and reports races, accesses out of bounds and reads of what nobody wrote.
#![allow(unsafe_code, reason = "a library loaded at run time, and its memory")]

mod planted;

use super::bindings::DIS_ABI_VERSION;
use super::driver::{Driver, Format, Launch, Operand, Product};
use crate::{KernelError, Mat, MatMut, Write, gemm};
use half::bf16;
use libloading::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

type Launcher = unsafe extern "C" fn(
    *const c_char,
    *const u32,
    *const u32,
    u32,
    u64,
    c_int,
    *const c_void,
    usize,
    *mut c_char,
    usize,
) -> c_int;

/// The emulator as a device; `CHECKED` is the build that watches every access.
#[derive(Debug)]
pub struct Emulator<const CHECKED: bool> {
    library: Library,
    /// 0 runs threads and blocks in order, any other number in an order of its own.
    schedule: AtomicU64,
    /// Whether exponentials and reciprocals are off.
    approximate: AtomicBool,
    /// Buffers made, for their names.
    buffers: AtomicUsize,
}

/// The build without checks.
pub type Fast = Emulator<false>;
/// The build that watches every access.
pub type Checked = Emulator<true>;

impl<const CHECKED: bool> Emulator<CHECKED> {
    /// Loads the kernels. `DIS_EMULATED_KERNELS` names a folder with other builds of both libraries.
    ///
    /// # Errors
    /// When there is no such library, or it was built for another launch ABI.
    pub fn new() -> Result<Self, KernelError> {
        let folder = std::env::var("DIS_EMULATED_KERNELS");
        let folder = folder.as_deref().unwrap_or(env!("OUT_DIR"));
        let name = if CHECKED { "libkernels_checked.so" } else { "libkernels_fast.so" };
        let path = std::path::Path::new(folder).join(name);
        let failed = |message: String| KernelError::Device { op: "emulator".into(), message };
        // SAFETY: our own build, whose initialisers only enter kernels in a table.
        let library = unsafe { Library::new(&path) }
            .map_err(|error| failed(format!("cannot load {}: {error}", path.display())))?;
        let emulator =
            Self { library, schedule: 0.into(), approximate: false.into(), buffers: 0.into() };
        let abi: unsafe extern "C" fn() -> u32 = emulator.function(c"dis_emulator_abi");
        // SAFETY: the signature in runtime.cpp.
        let version = unsafe { abi() };
        if version != DIS_ABI_VERSION {
            return Err(failed(format!(
                "{} has launch ABI {version}, expected {DIS_ABI_VERSION}",
                path.display()
            )));
        }
        Ok(emulator)
    }

    /// Sets the order in which threads and blocks run: 0 one after the other, any other number in a
    /// random order of its own.
    pub fn set_schedule(&self, seed: u64) {
        self.schedule.store(seed, Ordering::Relaxed);
    }

    /// Makes exponentials and reciprocals as far off as a GPU's may be, or exact again.
    pub fn set_approximate(&self, on: bool) {
        self.approximate.store(on, Ordering::Relaxed);
    }

    fn function<F: Copy>(&self, name: &CStr) -> F {
        // SAFETY: the callers name functions of runtime.cpp with their signatures.
        let symbol = unsafe { self.library.get::<F>(name.to_bytes_with_nul()) };
        *symbol.unwrap_or_else(|error| panic!("{}: {error}", name.to_string_lossy()))
    }

    /// Tells the checker that the host wrote.
    fn written(&self, to: u64, bytes: usize) {
        let written: unsafe extern "C" fn(*mut c_void, usize) =
            self.function(c"dis_emulator_written");
        // SAFETY: the signature in runtime.cpp; it looks at no memory.
        unsafe { written(to as *mut c_void, bytes) };
    }
}

impl<const CHECKED: bool> Driver for Emulator<CHECKED> {
    const REUSES_WORKSPACE: bool = false;

    fn allocate(&self, bytes: usize) -> Result<u64, KernelError> {
        let allocate: unsafe extern "C" fn(usize, *const c_char) -> *mut c_void =
            self.function(c"dis_emulator_alloc");
        let name = format!("buffer {}", self.buffers.fetch_add(1, Ordering::Relaxed));
        let name = CString::new(name).expect("no zero byte");
        // SAFETY: the signature in runtime.cpp, and a name that outlives the call.
        let memory = unsafe { allocate(bytes, name.as_ptr()) };
        if memory.is_null() {
            let message = format!("no memory for {bytes} bytes");
            return Err(KernelError::Device { op: "allocate".into(), message });
        }
        Ok(memory as u64)
    }

    fn free(&self, address: u64) {
        let free: unsafe extern "C" fn(*mut c_void) = self.function(c"dis_emulator_free");
        // SAFETY: the signature in runtime.cpp; unknown addresses are ignored.
        unsafe { free(address as *mut c_void) };
    }

    unsafe fn upload(&self, from: *const u8, to: u64, bytes: usize) -> Result<(), KernelError> {
        // SAFETY: the caller's promise; device memory is memory of this process.
        unsafe { std::ptr::copy_nonoverlapping(from, to as *mut u8, bytes) };
        self.written(to, bytes);
        Ok(())
    }

    unsafe fn download(&self, from: u64, to: *mut u8, bytes: usize) -> Result<(), KernelError> {
        // SAFETY: the caller's promise; device memory is memory of this process.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to, bytes) };
        Ok(())
    }

    unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<(), KernelError> {
        // SAFETY: the caller's promise.
        unsafe { self.upload(from as *const u8, to, bytes) }
    }

    unsafe fn zero(&self, to: u64, bytes: usize) -> Result<(), KernelError> {
        // SAFETY: the caller's promise; device memory is memory of this process.
        unsafe { std::ptr::write_bytes(to as *mut u8, 0, bytes) };
        self.written(to, bytes);
        Ok(())
    }

    unsafe fn launch(
        &self,
        launch: Launch,
        params: *const c_void,
        params_len: usize,
    ) -> Result<(), KernelError> {
        let run: Launcher = self.function(c"dis_emulator_launch");
        let name = CString::new(launch.kernel).expect("no zero byte");
        let grid = launch.grid.map(|blocks| u32::try_from(blocks).unwrap_or(u32::MAX));
        let mut message = [0 as c_char; 512];
        // SAFETY: the signature in runtime.cpp; the parameters are the caller's promise.
        let failed = unsafe {
            run(
                name.as_ptr(),
                grid.as_ptr(),
                launch.threads.as_ptr(),
                launch.shared,
                self.schedule.load(Ordering::Relaxed),
                self.approximate.load(Ordering::Relaxed).into(),
                params,
                params_len,
                message.as_mut_ptr(),
                message.len(),
            )
        };
        if failed == 0 {
            return Ok(());
        }
        // SAFETY: the emulator ends the text with a zero inside the array.
        let message = unsafe { CStr::from_ptr(message.as_ptr()) };
        let message = message.to_string_lossy().into_owned();
        Err(KernelError::Device { op: launch.kernel.into(), message })
    }

    unsafe fn gemm(&self, product: &Product) -> Result<(), KernelError> {
        // SAFETY: the caller's promise.
        product.each().try_for_each(|product| unsafe { self.multiply(&product) })
    }

    fn synchronize(&self) -> Result<(), KernelError> {
        Ok(())
    }

    fn processors(&self) -> usize {
        4
    }
}

impl<const CHECKED: bool> Emulator<CHECKED> {
    /// One product.
    ///
    /// # Safety
    /// As [`Driver::gemm`].
    unsafe fn multiply(&self, product: &Product) -> Result<(), KernelError> {
        let &Product { rows, cols, terms, out_stride, .. } = product;
        let (a_shape, b_shape) = ((rows, terms), (terms, cols));
        // SAFETY: the caller's promise.
        let a = unsafe { read(product.a, product.format, a_shape) };
        // SAFETY: the caller's promise.
        let b = unsafe { read(product.b, product.format, b_shape) };
        let mut sums = vec![0.0f32; rows * cols];
        gemm::cpu(
            &mut MatMut::new(&mut sums, rows, cols),
            Write::Overwrite,
            Mat::new(&a, rows, terms),
            Mat::new(&b, terms, cols),
        )?;
        for row in 0..rows {
            for (col, &sum) in sums[row * cols..][..cols].iter().enumerate() {
                let at = row * out_stride + col;
                // SAFETY: the caller's promise.
                unsafe { write(product, at, sum) };
            }
            let bytes = bytes_of(product.out_format);
            self.written(product.out + (row * out_stride * bytes) as u64, cols * bytes);
        }
        Ok(())
    }
}

fn bytes_of(format: Format) -> usize {
    match format {
        Format::F32 => size_of::<f32>(),
        Format::Bf16 => size_of::<bf16>(),
    }
}

/// An operand as contiguous rows of f32.
///
/// # Safety
/// The operand is valid for its shape.
unsafe fn read(operand: Operand, format: Format, (rows, cols): (usize, usize)) -> Vec<f32> {
    let at = |row: usize, col: usize| match operand.transposed {
        false => row * operand.stride + col,
        true => col * operand.stride + row,
    };
    let element = |at: usize| match format {
        Format::F32 => {
            let from = (operand.address as *const f32).wrapping_add(at);
            // SAFETY: the caller's promise.
            unsafe { from.read() }
        }
        Format::Bf16 => {
            let from = (operand.address as *const bf16).wrapping_add(at);
            // SAFETY: the caller's promise.
            unsafe { from.read() }.to_f32()
        }
    };
    (0..rows * cols).map(|i| element(at(i / cols, i % cols))).collect()
}

/// Puts one sum where it belongs.
///
/// # Safety
/// `at` is an element of the result.
unsafe fn write(product: &Product, at: usize, sum: f32) {
    match product.out_format {
        Format::F32 => {
            let to = (product.out as *mut f32).wrapping_add(at);
            // SAFETY: the caller's promise.
            let old = if product.accumulate { unsafe { to.read() } } else { 0.0 };
            // SAFETY: the caller's promise.
            unsafe { to.write(old + sum) };
        }
        Format::Bf16 => {
            let to = (product.out as *mut bf16).wrapping_add(at);
            // SAFETY: the caller's promise.
            let old = if product.accumulate { unsafe { to.read() }.to_f32() } else { 0.0 };
            // SAFETY: the caller's promise.
            unsafe { to.write(bf16::from_f32(old + sum)) };
        }
    }
}
