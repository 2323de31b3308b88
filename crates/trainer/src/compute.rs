//! Where a run computes.

#[cfg(any(feature = "cuda", feature = "emulated"))]
use ssm_kernels::device::Format;
#[cfg(feature = "cuda")]
use ssm_kernels::device::cuda::Cuda;
#[cfg(feature = "emulated")]
use ssm_kernels::device::emulated::Fast;
#[cfg(any(feature = "cuda", feature = "emulated"))]
use std::sync::Arc;

/// Where a run computes, and in which format its activations are.
#[derive(Clone, Debug)]
pub enum Compute {
    /// This machine's CPU, in f32.
    Cpu,
    /// A GPU.
    #[cfg(feature = "cuda")]
    Cuda {
        /// The GPU.
        gpu: Arc<Cuda>,
        /// Of activations; parameters and what lasts are f32.
        format: Format,
    },
    /// The emulator, which is slow and exists for tests.
    #[cfg(feature = "emulated")]
    Emulated {
        /// The emulator.
        emulator: Arc<Fast>,
        /// Of activations; parameters and what lasts are f32.
        format: Format,
    },
}
