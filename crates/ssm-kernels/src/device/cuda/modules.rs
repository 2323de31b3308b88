//! The kernels, as they were built ahead of time for every architecture.

use super::error::{failed, in_words};
use crate::KernelError;
use crate::device::bindings::DIS_ABI_VERSION;
use cudarc::driver::sys::{CUdevice_attribute, CUfunction, CUfunction_attribute, CUmodule};
use cudarc::driver::{CudaContext, result};
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

// `FATBINS`: the name of every kernel file, and its code.
include!(concat!(env!("OUT_DIR"), "/fatbins.rs"));

/// Every kernel file, loaded.
pub(super) struct Modules {
    modules: Vec<Module>,
    /// Kernels that were asked for.
    functions: Mutex<HashMap<&'static str, Function>>,
    /// Bytes of shared memory that a block may ask for.
    most_shared: i32,
}

struct Module {
    handle: CUmodule,
    context: Arc<CudaContext>,
}

#[derive(Clone, Copy)]
struct Function(CUfunction);

// SAFETY: a handle of the driver, which any thread may use that has made its context current; every
// call of this crate does so first.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Send for Module {}
// SAFETY: as above; looking a function up does not change the module.
unsafe impl Sync for Module {}

impl Modules {
    /// Loads all files; the context is that of the calling thread.
    pub(super) fn load(context: &Arc<CudaContext>) -> Result<Self, KernelError> {
        let attribute = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        let most_shared = context.attribute(attribute).map_err(|error| failed("cuda", error))?;
        let modules = FATBINS
            .iter()
            .map(|(name, code)| Module::load(context, name, code))
            .collect::<Result<_, _>>()?;
        Ok(Self { modules, functions: Mutex::default(), most_shared })
    }

    /// A kernel by name.
    pub(super) fn function(&self, name: &'static str) -> Result<CUfunction, KernelError> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(name) {
            return Ok(function.0);
        }
        let entry = CString::new(name).expect("a name without zero bytes");
        let found = self.modules.iter().find_map(|module| {
            // SAFETY: a module that is loaded.
            unsafe { result::module::get_function(module.handle, entry.clone()) }.ok()
        });
        let function = found.ok_or_else(|| KernelError::Device {
            op: name.into(),
            message: "no such kernel in this build; run `cargo xtask kernels build`".into(),
        })?;
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: a function that was just found.
        unsafe { result::function::set_function_attribute(function, attribute, self.most_shared) }
            .map_err(|error| failed(name, error))?;
        functions.insert(name, Function(function));
        Ok(function)
    }
}

impl Module {
    fn load(context: &Arc<CudaContext>, name: &str, code: &[u8]) -> Result<Self, KernelError> {
        let refused = |message: String| KernelError::Device { op: name.into(), message };
        // SAFETY: a fat binary that nvcc wrote, complete in `code`.
        let handle = unsafe { result::module::load_data(code.as_ptr().cast()) }
            .map_err(|error| refused(format!("cannot load the kernels: {}", in_words(error))))?;
        let module = Self { handle, context: context.clone() };
        let version = module.abi_version().map_err(|error| failed(name, error))?;
        if version != DIS_ABI_VERSION {
            return Err(refused(format!(
                "the kernels have launch ABI {version}, expected {DIS_ABI_VERSION}; run `cargo \
                 xtask kernels build`"
            )));
        }
        Ok(module)
    }

    fn abi_version(&self) -> Result<u32, result::DriverError> {
        let name = CString::new("dis_abi_version").expect("a name without zero bytes");
        // SAFETY: a module that is loaded.
        let (address, _) = unsafe { result::module::get_global(self.handle, name) }?;
        let mut version = [0u32];
        // SAFETY: the variable is a u32 (kernels/include/device.cuh).
        unsafe { result::memcpy_dtoh_sync(&mut version, address) }?;
        Ok(version[0])
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: loaded once, unloaded once. The error of a lost device has nobody to hear it.
            let _lost = unsafe { result::module::unload(self.handle) };
        }
    }
}
