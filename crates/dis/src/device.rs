//! Where a command computes: `--device`, and `--precision` with it.

use crate::autoencoder::{Autoencoder, AutoencoderFile};
use crate::doctor::available_memory;
use crate::exit::Failure;
use crate::info::plan::Place;
use crate::network::{Loaded, Network, Rounds};
use crate::precision::PrecisionArg;
use anyhow::Result;
use dis_model::{DisConfig, ModelError};
use eval::FeatureNetwork;
use eval::inception::weights::TensorMap;
use eval::inception::{InceptionFeatures, Protocol};
use ssm_kernels::{Backend, Cpu, CpuBf16, InstructionSet};
use std::fmt;
use std::str::FromStr;
use trainer::Compute;

#[cfg(feature = "cuda")]
use crate::exit::code;
#[cfg(any(feature = "cuda", feature = "emulated"))]
use half::bf16;
#[cfg(feature = "emulated")]
use ssm_kernels::device::emulated::Fast;
#[cfg(any(feature = "cuda", feature = "emulated"))]
use ssm_kernels::device::{Device, Driver, Format};
#[cfg(feature = "cuda")]
use ssm_kernels::{KernelError, device::cuda::Cuda};
#[cfg(any(feature = "cuda", feature = "emulated"))]
use std::sync::Arc;

/// A device, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceArg {
    /// This machine's processor.
    Cpu,
    /// The NVIDIA GPU of that number.
    Cuda(u16),
    /// The kernels of a GPU on this machine, for tests.
    #[cfg(feature = "emulated")]
    Emulated,
}

impl FromStr for DeviceArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected cpu, cuda or cuda:N, where N counts GPUs from 0";
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            #[cfg(feature = "emulated")]
            "emulated" => Ok(Self::Emulated),
            _ => {
                let number = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
                number.map(Self::Cuda).ok_or(EXPECTED)
            }
        }
    }
}

impl fmt::Display for DeviceArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            #[cfg(feature = "emulated")]
            Self::Emulated => f.write_str("emulated"),
        }
    }
}

/// Where to compute, and with how many digits.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ComputeArgs {
    /// Where to compute: cpu, cuda (an NVIDIA GPU) or cuda:1 (the second one)
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceArg,
    /// Numbers of matrix products, and on a GPU of all activations [default: f32, on a GPU bf16]
    #[arg(long, value_enum)]
    precision: Option<PrecisionArg>,
}

impl ComputeArgs {
    /// The device.
    pub(crate) fn device(self) -> DeviceArg {
        self.device
    }

    /// The format that is asked for, or the usual one of the device.
    pub(crate) fn precision(self) -> PrecisionArg {
        let usual =
            if self.device == DeviceArg::Cpu { PrecisionArg::F32 } else { PrecisionArg::Bf16 };
        self.precision.unwrap_or(usual)
    }

    /// Refuses bf16 on the CPU for what is f32 there always.
    pub(crate) fn require_f32_on_cpu(self, what: &str) -> Result<(), Failure> {
        if self.device != DeviceArg::Cpu {
            return Ok(());
        }
        self.precision().require_f32(what)
    }

    /// Opens the device for features of images, which are f32 wherever they are made: published figures
    /// are, and bf16 would move them.
    pub(crate) fn open_for_features(self) -> Result<OpenDevice, Failure> {
        if let Some(precision) = self.precision {
            precision.require_f32("features of images")?;
        }
        Self { precision: Some(PrecisionArg::F32), ..self }.open()
    }

    /// Opens the device. Where it cannot be, this fails: nothing else takes its place.
    pub(crate) fn open(self) -> Result<OpenDevice, Failure> {
        let (device, precision) = (self.device, self.precision());
        let compute = match device {
            DeviceArg::Cpu => {
                precision.warn_without_units();
                Compute::Cpu
            }
            DeviceArg::Cuda(ordinal) => open_gpu(ordinal, precision)?,
            #[cfg(feature = "emulated")]
            DeviceArg::Emulated => {
                let emulator = Fast::new().map_err(|e| Failure::usage(e.to_string()))?;
                Compute::Emulated { emulator: Arc::new(emulator), format: precision.format() }
            }
        };
        Ok(OpenDevice { device, precision, compute })
    }
}

#[cfg(feature = "cuda")]
fn open_gpu(ordinal: u16, precision: PrecisionArg) -> Result<Compute, Failure> {
    let gpu = Cuda::open(ordinal.into()).map_err(|error| {
        Failure::new(code::IO, format!("--device cuda:{ordinal}: {}", in_words(&error)))
            .help("`dis doctor` lists the GPUs of this machine; --device cpu does without")
    })?;
    Ok(Compute::Cuda { gpu: Arc::new(gpu), format: precision.format() })
}

/// What the driver says.
#[cfg(feature = "cuda")]
pub(crate) fn in_words(error: &KernelError) -> String {
    match error {
        KernelError::Device { message, .. } => message.clone(),
        other => other.to_string(),
    }
}

#[cfg(not(feature = "cuda"))]
fn open_gpu(ordinal: u16, _precision: PrecisionArg) -> Result<Compute, Failure> {
    Err(without_cuda(DeviceArg::Cuda(ordinal)))
}

/// What is said where a GPU is asked for in vain.
#[cfg(not(feature = "cuda"))]
pub(crate) fn without_cuda(device: DeviceArg) -> Failure {
    let message = format!("--device {device}: this build computes on the CPU alone");
    Failure::usage(message).help(HOW_TO_BUILD)
}

/// How to get a program that computes on GPUs.
#[cfg(not(feature = "cuda"))]
pub(crate) const HOW_TO_BUILD: &str = "build with `cargo build --release --features cuda`, or use \
                                       `cargo xtask train --device cuda`, which does";

/// A device that is open, and the format to compute in.
#[derive(Clone, Debug)]
pub(crate) struct OpenDevice {
    device: DeviceArg,
    precision: PrecisionArg,
    compute: Compute,
}

/// Something to do on whatever backend there is.
pub(crate) trait Job {
    /// What comes of it.
    type Output;

    /// Does it.
    fn on<B>(self, backend: B) -> Result<Self::Output>
    where
        B: Backend<Wide = f32>,
        B::Act: Rounds<f32>;
}

impl OpenDevice {
    /// The device for the trainer.
    pub(crate) fn compute(&self) -> &Compute {
        &self.compute
    }

    /// What decides how much memory is needed there.
    pub(crate) fn place(&self) -> Place {
        match self.compute {
            Compute::Cpu => Place::Cpu,
            #[cfg(any(feature = "cuda", feature = "emulated"))]
            _ => Place::Device(self.precision),
        }
    }

    /// The format.
    pub(crate) fn precision(&self) -> PrecisionArg {
        self.precision
    }

    /// Whether it is the CPU.
    pub(crate) fn is_cpu(&self) -> bool {
        matches!(self.compute, Compute::Cpu)
    }

    /// What computes, in words, without the format.
    pub(crate) fn describe(&self) -> String {
        match &self.compute {
            Compute::Cpu => {
                let threads = rayon::current_num_threads();
                format!("{}, {}, {threads} threads", self.device, InstructionSet::current().name())
            }
            #[cfg(feature = "cuda")]
            Compute::Cuda { gpu, .. } => format!("{}, {}", self.device, gpu.name()),
            #[cfg(feature = "emulated")]
            Compute::Emulated { .. } => "emulated".into(),
        }
    }

    /// Device and format for the records of a run, where processor and threads stand elsewhere.
    pub(crate) fn record(&self) -> String {
        match &self.compute {
            Compute::Cpu => "cpu".into(),
            #[cfg(any(feature = "cuda", feature = "emulated"))]
            _ => format!("{}, {}", self.describe(), self.precision.name()),
        }
    }

    /// Bytes that are free where it computes, as far as that is known.
    pub(crate) fn free_memory(&self) -> Option<u64> {
        match &self.compute {
            Compute::Cpu => available_memory(),
            #[cfg(feature = "cuda")]
            Compute::Cuda { gpu, .. } => gpu.memory().ok().map(|(free, _)| free as u64),
            #[cfg(feature = "emulated")]
            Compute::Emulated { .. } => available_memory(),
        }
    }

    /// Waits for all that was asked of a device.
    pub(crate) fn synchronize(&self) -> Result<(), ModelError> {
        match &self.compute {
            Compute::Cpu => {}
            #[cfg(feature = "cuda")]
            Compute::Cuda { gpu, .. } => gpu.synchronize()?,
            #[cfg(feature = "emulated")]
            Compute::Emulated { emulator, .. } => emulator.synchronize()?,
        }
        Ok(())
    }

    /// A network that computes there, for value passes.
    pub(crate) fn network(&self, config: DisConfig, weights: &[f32]) -> Result<Box<dyn Network>> {
        self.run(Load { config, weights })
    }

    /// An autoencoder that computes there; on the CPU in f32 always.
    pub(crate) fn autoencoder(&self, file: AutoencoderFile) -> Result<Box<dyn Autoencoder>> {
        match &self.compute {
            Compute::Cpu => file.on(Cpu),
            #[cfg(feature = "cuda")]
            Compute::Cuda { gpu, format } => autoencoder_on_device(file, gpu, *format),
            #[cfg(feature = "emulated")]
            Compute::Emulated { emulator, format } => {
                autoencoder_on_device(file, emulator, *format)
            }
        }
    }

    /// The network of FID, in f32 wherever it computes.
    pub(crate) fn inception(
        &self,
        protocol: Protocol,
        tensors: TensorMap,
    ) -> Result<Box<dyn FeatureNetwork>> {
        Ok(match &self.compute {
            Compute::Cpu => Box::new(InceptionFeatures::new(Cpu, protocol, tensors)?),
            #[cfg(feature = "cuda")]
            Compute::Cuda { gpu, .. } => {
                let backend = Device::<f32, Cuda>::new(gpu.clone());
                Box::new(InceptionFeatures::new(backend, protocol, tensors)?)
            }
            #[cfg(feature = "emulated")]
            Compute::Emulated { emulator, .. } => {
                let backend = Device::<f32, Fast>::new(emulator.clone());
                Box::new(InceptionFeatures::new(backend, protocol, tensors)?)
            }
        })
    }

    /// Does `job` there.
    pub(crate) fn run<J: Job>(&self, job: J) -> Result<J::Output> {
        match &self.compute {
            Compute::Cpu => match self.precision {
                PrecisionArg::F32 => job.on(Cpu),
                PrecisionArg::Bf16 => job.on(CpuBf16),
            },
            #[cfg(feature = "cuda")]
            Compute::Cuda { gpu, format } => on_device(job, gpu, *format),
            #[cfg(feature = "emulated")]
            Compute::Emulated { emulator, format } => on_device(job, emulator, *format),
        }
    }
}

#[cfg(any(feature = "cuda", feature = "emulated"))]
fn on_device<J: Job, D: Driver>(job: J, driver: &Arc<D>, format: Format) -> Result<J::Output> {
    match format {
        Format::F32 => job.on(Device::<f32, D>::new(driver.clone())),
        Format::Bf16 => job.on(Device::<bf16, D>::new(driver.clone())),
    }
}

#[cfg(any(feature = "cuda", feature = "emulated"))]
fn autoencoder_on_device<D: Driver>(
    file: AutoencoderFile,
    driver: &Arc<D>,
    format: Format,
) -> Result<Box<dyn Autoencoder>> {
    match format {
        Format::F32 => file.on(Device::<f32, D>::new(driver.clone())),
        Format::Bf16 => file.on(Device::<bf16, D>::new(driver.clone())),
    }
}

/// Makes a network.
struct Load<'a> {
    config: DisConfig,
    weights: &'a [f32],
}

impl Job for Load<'_> {
    type Output = Box<dyn Network>;

    fn on<B>(self, backend: B) -> Result<Box<dyn Network>>
    where
        B: Backend<Wide = f32>,
        B::Act: Rounds<f32>,
    {
        Ok(Box::new(Loaded::for_inference(backend, self.config, self.weights)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for (text, device) in [
            ("cpu", Some(DeviceArg::Cpu)),
            ("cuda", Some(DeviceArg::Cuda(0))),
            ("cuda:1", Some(DeviceArg::Cuda(1))),
            ("cuda:", None),
            ("cuda:-1", None),
            ("cuda1", None),
            ("gpu", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), device, "{text}");
        }
        assert_eq!(DeviceArg::Cuda(3).to_string().parse(), Ok(DeviceArg::Cuda(3)));
    }

    #[test]
    fn bf16_is_the_usual_format_of_a_gpu_alone() {
        let args = |device, precision| ComputeArgs { device, precision };
        assert_eq!(args(DeviceArg::Cpu, None).precision(), PrecisionArg::F32);
        assert_eq!(args(DeviceArg::Cuda(0), None).precision(), PrecisionArg::Bf16);
        let exact = args(DeviceArg::Cuda(0), Some(PrecisionArg::F32));
        assert_eq!(exact.precision(), PrecisionArg::F32);
        assert!(args(DeviceArg::Cpu, Some(PrecisionArg::Bf16)).require_f32_on_cpu("x").is_err());
        assert!(args(DeviceArg::Cuda(0), None).require_f32_on_cpu("x").is_ok());
    }
}
