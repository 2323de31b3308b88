//! Number format of matrix products.

use crate::doctor::processor;
use crate::exit::Failure;
#[cfg(any(feature = "cuda", feature = "emulated"))]
use ssm_kernels::device::Format;
use ssm_kernels::{InstructionSet, Precision, gemm};

/// Numbers of the matrix products of a value pass; on a GPU of activations and their gradients as
/// well. Sums, parameters and whatever lasts are f32 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PrecisionArg {
    /// All 24 bits.
    F32,
    /// 8 bits, faster where the processor has units for it; outputs are off by some 0.3 % of the
    /// largest.
    Bf16,
}

impl PrecisionArg {
    /// Name as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// The same for the kernels of a device.
    #[cfg(any(feature = "cuda", feature = "emulated"))]
    pub(crate) fn format(self) -> Format {
        match self {
            Self::F32 => Format::F32,
            Self::Bf16 => Format::Bf16,
        }
    }

    /// Says so where the processor computes in f32 all the same.
    pub(crate) fn warn_without_units(self) {
        let set = InstructionSet::current();
        if self == Self::Bf16 && !gemm::has_units(set, Precision::Bf16) {
            let (cpu, set) = (processor(), set.name());
            tracing::warn!("--precision bf16: {cpu} has no units for it with {set}; f32 is used");
        }
    }

    /// Refuses bf16 for what is f32 always.
    pub(crate) fn require_f32(self, what: &str) -> Result<(), Failure> {
        match self {
            Self::F32 => Ok(()),
            Self::Bf16 => Err(Failure::usage(format!("--precision bf16: {what} is f32 only"))),
        }
    }
}
