//! GPUs, or why there is none.

use crate::device::DeviceArg;
use crate::exit::Failure;

#[cfg(feature = "cuda")]
use crate::{device::in_words, exit::code, info::units::bytes};
#[cfg(feature = "cuda")]
use ssm_kernels::{KernelError, device::cuda::Cuda};

/// What this build can compute on.
#[cfg(feature = "cuda")]
pub(super) const KIND_OF_BUILD: &str = "CPU and CUDA";
#[cfg(not(feature = "cuda"))]
pub(super) const KIND_OF_BUILD: &str = "CPU only";

/// A line for every GPU, or for the one that has to work.
#[cfg(not(feature = "cuda"))]
pub(super) fn look(wanted: Option<DeviceArg>) -> Result<Vec<String>, Failure> {
    if let Some(device @ DeviceArg::Cuda(_)) = wanted {
        return Err(crate::device::without_cuda(device));
    }
    Ok(vec!["this build does not use them".into(), crate::device::HOW_TO_BUILD.into()])
}

/// A line for every GPU, or for the one that has to work.
#[cfg(feature = "cuda")]
pub(super) fn look(wanted: Option<DeviceArg>) -> Result<Vec<String>, Failure> {
    if let Some(DeviceArg::Cuda(ordinal)) = wanted {
        let gpu = Cuda::open(ordinal.into());
        let refused = |error| format!("--device cuda:{ordinal}: {}", in_words(&error));
        let gpu = gpu.map_err(|error| Failure::new(code::IO, refused(error)))?;
        return Ok(vec![line(ordinal, &gpu)]);
    }
    let mut lines = Vec::new();
    for ordinal in 0..MOST_GPUS {
        match Cuda::open(ordinal.into()) {
            Ok(gpu) => lines.push(line(ordinal, &gpu)),
            Err(error) if ordinal > 0 && is_beyond_the_last(ordinal, &error) => break,
            Err(error) => {
                lines.push(format!("cuda:{ordinal}: {}", in_words(&error)));
                if is_about_all(&error) {
                    break;
                }
            }
        }
    }
    Ok(lines)
}

/// More than any machine has.
#[cfg(feature = "cuda")]
const MOST_GPUS: u16 = 64;

/// What a GPU is, and what is free there; kernels are loaded when it is opened.
#[cfg(feature = "cuda")]
fn line(ordinal: u16, gpu: &Cuda) -> String {
    let (major, minor) = gpu.capability();
    let memory = match gpu.memory() {
        Ok((free, total)) => format!("{} of {} free", bytes(free as u64), bytes(total as u64)),
        Err(error) => error.to_string(),
    };
    let name = gpu.name();
    format!("cuda:{ordinal} {name}, compute capability {major}.{minor}, {memory}, kernels load")
}

/// Whether the driver counts no more GPUs than those before.
#[cfg(feature = "cuda")]
fn is_beyond_the_last(ordinal: u16, error: &KernelError) -> bool {
    error.to_string().contains(&format!("cannot open GPU {ordinal} of {ordinal}:"))
}

/// Whether other GPUs would say the same: a library is missing, or the driver finds no GPU.
#[cfg(feature = "cuda")]
fn is_about_all(error: &KernelError) -> bool {
    let text = error.to_string();
    ["no NVIDIA driver", "no cuBLAS", "GPU 0 of 0:"].iter().any(|words| text.contains(words))
}
