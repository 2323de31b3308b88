//! Who makes the steps of a run, and keeps what they change.

use crate::compute::Compute;
#[cfg(any(feature = "cuda", feature = "emulated"))]
use crate::device_step::DeviceStepper;
use crate::step::{RunState, StepConfig, StepError, StepReport, Stepper};
use data::Batch;
use diffusion::Objective;
use dis_model::{Dis, DisConfig, ParamLayout};
#[cfg(any(feature = "cuda", feature = "emulated"))]
use ssm_kernels::device::{Device, Driver, Format, bf16};
use ssm_kernels::{Cpu, InstructionSet};

/// A stepper with the state of its run.
pub trait Engine {
    /// Makes a step at learning rate `lr`, or asks the device for it; each average keeps its share
    /// `decays` of its old value.
    ///
    /// # Errors
    /// [`StepError`]; nothing was updated.
    fn step(&mut self, batch: &Batch, lr: f64, decays: &[f64]) -> Result<(), StepError>;

    /// What the steps since the last call measured, after all of them are made.
    ///
    /// # Errors
    /// [`StepError::NonFinite`] for a step that could not be made; the state is then not that of a run.
    fn reports(&mut self) -> Result<Vec<StepReport>, StepError>;

    /// Whether a report is there as soon as its step is asked for. Where it is not, asking for one
    /// waits for the device.
    fn reports_at_once(&self) -> bool;

    /// The state after all steps that were asked for.
    ///
    /// # Errors
    /// [`StepError::Model`] when the device fails.
    fn state(&mut self) -> Result<&RunState, StepError>;

    /// Steps that were asked for, those of earlier sittings included.
    fn steps(&self) -> u64;

    /// Sizes and switches of the network.
    fn config(&self) -> &DisConfig;

    /// Names and places of the parameters.
    fn layout(&self) -> &ParamLayout;

    /// What computes, for the checkpoint.
    fn name(&self) -> String;
}

/// The engine of a run.
///
/// # Errors
/// [`StepError::Model`] when the network cannot be built, or the device has not enough memory.
pub fn engine(
    compute: &Compute,
    model: DisConfig,
    objective: Objective,
    config: StepConfig,
    state: RunState,
) -> Result<Box<dyn Engine>, StepError> {
    match compute {
        Compute::Cpu => {
            let stepper = Stepper::new(Dis::<Cpu>::new(model)?, objective, config)?;
            Ok(Box::new(CpuEngine { stepper, state, report: None }))
        }
        #[cfg(feature = "cuda")]
        Compute::Cuda { gpu, format } => {
            let parts = (model, objective, config, state);
            on_device(gpu.clone(), *format, gpu.name().to_string(), parts)
        }
        #[cfg(feature = "emulated")]
        Compute::Emulated { emulator, format } => {
            let parts = (model, objective, config, state);
            on_device(emulator.clone(), *format, "emulator".to_string(), parts)
        }
    }
}

#[cfg(any(feature = "cuda", feature = "emulated"))]
fn on_device<D: Driver>(
    driver: std::sync::Arc<D>,
    format: Format,
    name: String,
    (model, objective, config, state): (DisConfig, Objective, StepConfig, RunState),
) -> Result<Box<dyn Engine>, StepError> {
    Ok(match format {
        Format::F32 => {
            let dis = Dis::on(Device::<f32, D>::new(driver), model)?;
            Box::new(DeviceStepper::new(dis, objective, config, state, format!("{name}, f32"))?)
        }
        Format::Bf16 => {
            let dis = Dis::on(Device::<bf16, D>::new(driver), model)?;
            Box::new(DeviceStepper::new(dis, objective, config, state, format!("{name}, bf16"))?)
        }
    })
}

/// The CPU, where everything is there at once.
struct CpuEngine {
    stepper: Stepper,
    state: RunState,
    report: Option<StepReport>,
}

impl Engine for CpuEngine {
    fn step(&mut self, batch: &Batch, lr: f64, decays: &[f64]) -> Result<(), StepError> {
        self.report = Some(self.stepper.step(&mut self.state, batch, lr, decays)?);
        Ok(())
    }

    fn reports(&mut self) -> Result<Vec<StepReport>, StepError> {
        Ok(self.report.take().into_iter().collect())
    }

    fn reports_at_once(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<&RunState, StepError> {
        Ok(&self.state)
    }

    fn steps(&self) -> u64 {
        self.state.step
    }

    fn config(&self) -> &DisConfig {
        self.stepper.dis().config()
    }

    fn layout(&self) -> &ParamLayout {
        self.stepper.layout()
    }

    fn name(&self) -> String {
        InstructionSet::current().name().to_string()
    }
}
