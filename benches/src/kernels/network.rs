//! Whole networks.

use super::case::Call;
use data::Batch;
use diffusion::{NoiseSchedule, Objective, ObjectiveKind};
use dis_model::init::{InitOptions, init};
use dis_model::{Activations, Dis, DisConfig, Input, ModelError, ParamLayout, Params, Recompute};
use ssm_kernels::device::{Activation, Device, Driver};
use ssm_kernels::{Backend, KernelError, Storage};
use trainer::{Compute, RunState, StepConfig, StepError, engine};

/// A network and its batch.
#[derive(Clone, Debug)]
pub struct Network {
    /// Sizes and switches.
    pub config: DisConfig,
    /// Images.
    pub batch: usize,
}

impl Network {
    fn images(&self) -> Vec<f32> {
        (0..self.batch * self.config.image_len()).map(|i| (i as f32 * 0.37).sin()).collect()
    }

    fn params(&self) -> Vec<f32> {
        init(&self.config, &ParamLayout::new(&self.config), &InitOptions::official(), 0)
    }
}

fn of_model(error: ModelError) -> KernelError {
    match error {
        ModelError::Kernel(error) => error,
        error => KernelError::Device { op: "network".into(), message: error.to_string() },
    }
}

fn of_step(error: StepError) -> KernelError {
    KernelError::Device { op: "training step".into(), message: error.to_string() }
}

/// A value pass, as in sampling.
///
/// # Errors
/// When the network cannot be built, or the device has not so much memory.
pub fn forward_call<A: Activation, D: Driver>(
    device: Device<A, D>,
    network: &Network,
) -> Result<Call, KernelError> {
    let (images, params, batch) = (network.images(), network.params(), network.batch);
    let dis = Dis::on(device, network.config.clone()).map_err(of_model)?;
    let mut activations = Activations::for_inference(&dis, batch).map_err(of_model)?;
    let device = dis.backend();
    let mut full = device.empty::<f32>(params.len())?;
    device.upload(&params, full.view_mut())?;
    let mut compute = device.empty::<A>(params.len())?;
    let rounded: Vec<A> = params.iter().map(|&x| A::from_f32(x)).collect();
    device.upload(&rounded, compute.view_mut())?;
    let mut x = device.empty::<f32>(images.len())?;
    device.upload(&images, x.view_mut())?;
    let timesteps: Vec<f64> = (0..batch).map(|b| ((b * 97 + 50) % 1000) as f64).collect();
    let labels = dis.config().is_conditional().then(|| vec![0; batch]);
    Ok(Box::new(move || {
        let params = Params { full: full.view(), compute: compute.view() };
        let labels = labels.as_deref();
        let input = Input { x: x.view(), timesteps: &timesteps, labels, drop_path: None };
        dis.forward(params, &input, &mut activations).map_err(of_model)
    }))
}

/// A training step: noising, value pass, loss, gradient pass, clipping, optimiser, average.
///
/// # Errors
/// When the network cannot be built, or the device has not so much memory.
pub fn training_call(compute: &Compute, network: &Network) -> Result<Call, KernelError> {
    let kind =
        if network.config.learned_variance { ObjectiveKind::EpsHybrid } else { ObjectiveKind::V };
    let schedule = NoiseSchedule::linear(1000).expect("the usual number of timesteps");
    let state = RunState::new(network.params(), 1);
    let (objective, config) = (Objective::new(kind, &schedule), step_config(network.batch));
    let mut engine =
        engine(compute, network.config.clone(), objective, config, state).map_err(of_step)?;
    let positions: Vec<u64> = (0..network.batch as u64).collect();
    let batch = Batch {
        images: network.images(),
        labels: vec![0; network.batch],
        indices: positions.clone(),
        positions,
    };
    Ok(Box::new(move || {
        engine.step(&batch, 1e-6, &[0.9999]).map_err(of_step)?;
        if engine.reports_at_once() {
            engine.reports().map_err(of_step)?;
        }
        Ok(())
    }))
}

/// As the official recipe, in one micro-batch.
fn step_config(batch: usize) -> StepConfig {
    StepConfig {
        seed: 0,
        micro_batch: batch,
        recompute: Recompute::None,
        label_dropout: 0.1,
        drop_path: 0.1,
        beta1: 0.9,
        beta2: 0.999,
        adam_eps: 1e-8,
        weight_decay: 0.0,
        grad_clip: 1.0,
    }
}
