//! Where a run computes.

use crate::{Experiment, TrainError};
#[cfg(any(feature = "cuda", feature = "emulated"))]
use ssm_kernels::adamw_ema::device::MOST_AVERAGES;
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

impl Compute {
    /// Refuses an experiment that cannot be trained there.
    ///
    /// # Errors
    /// [`TrainError::Averages`] when it keeps more averages of the weights than a device can.
    pub fn check(&self, experiment: &Experiment) -> Result<(), TrainError> {
        let got = experiment.train.averages();
        match self.most_averages() {
            Some(most) if got > most => Err(TrainError::Averages { got, most }),
            _ => Ok(()),
        }
    }

    /// Averages of the weights that a step can keep; `None` for any number.
    fn most_averages(&self) -> Option<usize> {
        match self {
            Self::Cpu => None,
            #[cfg(any(feature = "cuda", feature = "emulated"))]
            _ => Some(MOST_AVERAGES),
        }
    }
}
