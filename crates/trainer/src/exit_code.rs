//! How a process ends for each error.

use crate::checkpoint::CheckpointError;
use crate::{ConfigError, EventError, MetricsError, RunDirError, StepError, TrainError};
use data::DataError;
use data::latents::LatentError;
use diffusion::DiffusionError;
use dis_model::ModelError;
use ssm_kernels::KernelError;

/// Exit codes of the program.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// Usage or configuration.
    pub const CONFIG: u8 = 2;
    /// Bad data: files that are missing or not what they should be.
    pub const DATA: u8 = 65;
    /// A bug.
    pub const BUG: u8 = 70;
    /// The run directory is in use.
    pub const IN_USE: u8 = 73;
    /// The operating system refused a file.
    pub const IO: u8 = 74;
    /// Saved after a signal; the same command goes on.
    pub const SAVED: u8 = 75;
    /// Halted on a loss or gradient that is not finite.
    pub const NON_FINITE: u8 = 76;
}

/// An error that knows how the process ends.
pub trait ExitCode {
    /// The code, one of [`exit`].
    fn exit_code(&self) -> u8;
}

impl ExitCode for ConfigError {
    fn exit_code(&self) -> u8 {
        exit::CONFIG
    }
}

impl ExitCode for DiffusionError {
    fn exit_code(&self) -> u8 {
        exit::CONFIG
    }
}

impl ExitCode for MetricsError {
    fn exit_code(&self) -> u8 {
        exit::IO
    }
}

impl ExitCode for EventError {
    fn exit_code(&self) -> u8 {
        exit::IO
    }
}

impl ExitCode for KernelError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Device { .. } => exit::IO,
            // A size of the network that this backend does not have.
            Self::Unsupported { .. } => exit::CONFIG,
            Self::Length { .. } | Self::Matrix { .. } => exit::BUG,
        }
    }
}

impl ExitCode for ModelError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config { .. } | Self::Input { .. } => exit::CONFIG,
            Self::Weights(_) | Self::WeightFile { .. } => exit::DATA,
            Self::Kernel(error) => error.exit_code(),
        }
    }
}

impl ExitCode for DataError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config { .. } => exit::CONFIG,
            Self::Io { error, .. } if error.kind() != std::io::ErrorKind::NotFound => exit::IO,
            Self::Sample { cause, .. } => cause.exit_code(),
            Self::Latents(error) => error.exit_code(),
            Self::Panicked { .. } | Self::WorkersGone { .. } => exit::BUG,
            _ => exit::DATA,
        }
    }
}

impl ExitCode for LatentError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::InUse { .. } => exit::IN_USE,
            Self::Space { .. } => exit::IO,
            Self::Differs { .. } | Self::NotMirrored { .. } => exit::CONFIG,
            _ => exit::DATA,
        }
    }
}

impl ExitCode for CheckpointError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. } | Self::Space { .. } => exit::IO,
            Self::Foreign(error) => error.exit_code(),
            Self::Damaged { .. }
            | Self::NewerFormat { .. }
            | Self::Layout(_)
            | Self::NoneUsable { .. }
            | Self::NoAverage { .. }
            | Self::NoWeights { .. } => exit::DATA,
        }
    }
}

impl ExitCode for RunDirError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. } => exit::IO,
            Self::InUse { .. } => exit::IN_USE,
            Self::Config(error) => error.exit_code(),
            Self::NotARun { .. } | Self::OtherExperiment { .. } => exit::CONFIG,
        }
    }
}

impl ExitCode for StepError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::NonFinite(_) => exit::NON_FINITE,
            Self::Model(error) => error.exit_code(),
        }
    }
}

impl ExitCode for TrainError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Step(error) => error.exit_code(),
            Self::Model(error) => error.exit_code(),
            Self::Diffusion(error) => error.exit_code(),
            Self::Data(error) => error.exit_code(),
            Self::Checkpoint(error) => error.exit_code(),
            Self::Metrics(error) => error.exit_code(),
            Self::DataShape { .. } | Self::Averages { .. } | Self::Feedback { .. } => exit::CONFIG,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Experiment;
    use std::io;
    use std::path::PathBuf;

    fn io_error(kind: io::ErrorKind) -> DataError {
        DataError::Io { path: PathBuf::new(), error: kind.into() }
    }

    #[test]
    fn errors_end_the_process_with_the_code_of_their_cause() {
        let path = PathBuf::new;
        let source = || io::Error::from(io::ErrorKind::StorageFull);
        let config = Experiment::parse("", "x", &[]).unwrap_err();
        assert_eq!(config.exit_code(), 2);
        assert_eq!(RunDirError::Config(config).exit_code(), 2);
        assert_eq!(RunDirError::InUse { path: path(), holder: None }.exit_code(), 73);
        assert_eq!(RunDirError::Io { path: path(), source: source() }.exit_code(), 74);
        let space = CheckpointError::Space { path: path(), needed: 2, available: 1 };
        assert_eq!(TrainError::from(space).exit_code(), 74);
        let none = CheckpointError::NoneUsable { dir: path(), rejected: Vec::new() };
        assert_eq!(TrainError::from(none).exit_code(), 65);
        let metrics = MetricsError { path: path(), source: source() };
        assert_eq!(TrainError::from(metrics).exit_code(), 74);
        assert_eq!(io_error(io::ErrorKind::NotFound).exit_code(), 65);
        assert_eq!(io_error(io::ErrorKind::PermissionDenied).exit_code(), 74);
        let sample = DataError::Sample {
            dataset: "d".into(),
            position: 0,
            index: 0,
            cause: Box::new(io_error(io::ErrorKind::PermissionDenied)),
        };
        assert_eq!(TrainError::from(sample).exit_code(), 74);
        let full = LatentError::Space { path: path(), needed: 2, available: 1 };
        assert_eq!(DataError::from(full).exit_code(), 74);
        assert_eq!(LatentError::NotMirrored { folder: path() }.exit_code(), 2);
        let non_finite = crate::NonFinite {
            step: 1,
            loss: f64::NAN,
            grad_norm: 1.0,
            positions: Vec::new(),
            params: Vec::new(),
        };
        assert_eq!(TrainError::from(StepError::from(Box::new(non_finite))).exit_code(), 76);
    }
}
