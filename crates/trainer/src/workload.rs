//! A network with weights, inputs and memory, one call away from a pass: what is measured.

use diffusion::{ImageLayout, LossBatch, NoiseSchedule, Objective, ObjectiveKind};
use dis_model::init::{InitOptions, init};
use dis_model::{Activations, Dis, DisConfig, Input, ModelError, Params, counts};
use ssm_kernels::adamw_ema::{Arenas, Average, Hyper};
use ssm_kernels::{Backend, Buffer, HostBackend};

/// One network, one batch, on backend `B`.
pub struct Workload<B: Backend> {
    dis: Dis<B>,
    batch: Batch,
    params: Vec<f32>,
    /// Memory of [`Workload::forward`], made by its first call.
    inference: Option<Activations<B>>,
    training: Option<Training<B>>,
}

/// Inputs that every call repeats.
struct Batch {
    images: usize,
    x: Vec<f32>,
    timesteps: Vec<f64>,
    labels: Option<Vec<u32>>,
}

/// Memory of a training step.
struct Training<B: Backend> {
    objective: Objective,
    activations: Activations<B>,
    grad_output: Vec<f32>,
    grads: Buffer<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
    ema: Vec<f32>,
}

impl Batch {
    fn new(c: &DisConfig, images: usize) -> Self {
        Self {
            images,
            x: (0..images * c.image_len()).map(|i| (i as f32 * 0.37).sin()).collect(),
            timesteps: (0..images).map(|b| ((b * 97 + 50) % 1000) as f64).collect(),
            labels: c.is_conditional().then(|| vec![0; images]),
        }
    }

    fn input(&self) -> Input<'_, f32> {
        let (timesteps, labels) = (self.timesteps.as_slice(), self.labels.as_deref());
        Input { x: &self.x, timesteps, labels, drop_path: None }
    }
}

impl<B: HostBackend<Elem = f32>> Training<B> {
    fn new(dis: &Dis<B>, images: usize, params: &[f32]) -> Result<Self, ModelError> {
        let c = dis.config();
        let kind = if c.learned_variance { ObjectiveKind::EpsHybrid } else { ObjectiveKind::V };
        let schedule = NoiseSchedule::linear(1000).expect("the usual number of timesteps");
        Ok(Self {
            objective: Objective::new(kind, &schedule),
            activations: Activations::for_training(dis, images)?,
            grad_output: vec![0.0; images * c.output_len()],
            grads: Buffer::zeros(params.len()),
            m: vec![0.0; params.len()],
            v: vec![0.0; params.len()],
            ema: params.to_vec(),
        })
    }
}

impl<B: HostBackend<Elem = f32>> Workload<B> {
    /// Initial weights and a repeatable batch of `images`, for value passes.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the configuration is invalid.
    pub fn for_inference(config: DisConfig, images: usize) -> Result<Self, ModelError> {
        let dis = Dis::new(config)?;
        let c = dis.config();
        let params = init(c, dis.layout(), &InitOptions::official(), 0);
        let batch = Batch::new(c, images);
        Ok(Self { dis, batch, params, inference: None, training: None })
    }

    /// The same with memory for training steps.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the configuration is invalid.
    pub fn for_training(config: DisConfig, images: usize) -> Result<Self, ModelError> {
        let workload = Self::for_inference(config, images)?;
        let training = Training::new(&workload.dis, images, &workload.params)?;
        Ok(Self { training: Some(training), ..workload })
    }

    /// The same weights and inputs on another backend, such as
    /// [`Timed<B>`](ssm_kernels::timed::Timed), with memory of its own.
    ///
    /// # Errors
    /// [`ModelError::Kernel`] when a device has not so much memory.
    pub fn on<C: HostBackend<Elem = f32>>(self) -> Result<Workload<C>, ModelError> {
        let Self { dis, batch, params, inference, training } = self;
        let trains = training.is_some();
        drop((inference, training));
        let dis = Dis::new(dis.config().clone())?;
        let training = trains.then(|| Training::new(&dis, batch.images, &params)).transpose()?;
        Ok(Workload { dis, batch, params, inference: None, training })
    }

    /// Sizes and switches of the network.
    pub fn config(&self) -> &DisConfig {
        self.dis.config()
    }

    /// Images of a batch.
    pub fn images(&self) -> usize {
        self.batch.images
    }

    /// FLOPs of the matrix products of one value pass of the batch.
    pub fn gemm_flops(&self) -> f64 {
        counts::gemm_flops(self.config()) * self.images() as f64
    }

    /// Value pass as in sampling. Returns the output, `[B, C', H, W]`.
    ///
    /// # Errors
    /// Those of the network; none with the inputs made here.
    pub fn forward(&mut self) -> Result<&[f32], ModelError> {
        let Self { dis, batch, params, inference, .. } = self;
        let memory = match inference {
            Some(memory) => memory,
            None => inference.insert(Activations::for_inference(dis, batch.images)?),
        };
        dis.forward(Params::host(params), &batch.input(), memory)?;
        Ok(memory.output())
    }

    /// Value pass, loss, gradient pass and optimiser step. Returns the gradient.
    ///
    /// # Errors
    /// Those of the network; none with the inputs made here.
    ///
    /// # Panics
    /// When the workload was made for inference.
    pub fn train_step(&mut self) -> Result<&[f32], ModelError> {
        let Self { dis, batch, params, training, .. } = self;
        let t = training.as_mut().expect("a workload made by Workload::for_training");
        let input = batch.input();
        dis.forward(Params::host(params), &input, &mut t.activations)?;
        let c = dis.config();
        let layout = ImageLayout { channels: c.channels, pixels: c.image_size * c.image_size };
        let loss_batch = LossBatch {
            model_output: t.activations.output(),
            x0: &batch.x,
            noise: &batch.x,
            timesteps: &batch.timesteps,
            weights: None,
        };
        t.objective.loss(layout, loss_batch, 1.0 / batch.images as f64, &mut t.grad_output);
        t.grads.fill(0.0);
        let arena = Params::host(params);
        dis.backward(arena, &input, &mut t.activations, &t.grad_output, &mut t.grads, None)?;
        let arenas = Arenas::<f32> {
            params,
            grads: &t.grads,
            m: &mut t.m,
            v: &mut t.v,
            averages: &mut [Average::<f32> { decay: 0.9999, values: &mut t.ema }],
            compute_copy: None,
        };
        dis.backend().adamw_ema(&HYPER, arenas)?;
        Ok(&t.grads)
    }
}

/// A step so small that weights stay what they are while many are timed.
const HYPER: Hyper<'static> = Hyper {
    lr: 1e-6,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.0,
    step: 1,
    grad_factor: 1.0,
    no_decay: &[],
};

/// Median of the values; the mean of the middle two for an even number.
///
/// # Panics
/// When there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    (sorted[n / 2] + sorted[(n - 1) / 2]) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use dis_model::DisPreset;
    use parity::assert_close;
    use ssm_kernels::timed::{self, Part, Timed};
    use ssm_kernels::{Cpu, Reference};
    use std::time::Duration;

    fn tiny() -> DisConfig {
        let official = DisConfig::official(DisPreset::S, 8, 3, 2, 4);
        DisConfig { hidden_size: 32, depth: 2, ..official }
    }

    #[test]
    fn a_timed_backend_makes_the_same_bits_and_counts_every_part() {
        let mut plain = Workload::<Cpu>::for_training(tiny(), 2).unwrap();
        let mut timed =
            Workload::<Cpu>::for_training(tiny(), 2).unwrap().on::<Timed<Cpu>>().unwrap();
        timed::take();
        assert_eq!(plain.forward().unwrap(), timed.forward().unwrap());
        assert_eq!(timed::take().of(Part::Optimiser), Duration::ZERO);
        assert_eq!(plain.train_step().unwrap(), timed.train_step().unwrap());
        let times = timed::take();
        for part in Part::ALL {
            assert!(times.of(part) > Duration::ZERO, "{}: {times:?}", part.name());
        }
    }

    #[test]
    fn the_fast_backend_agrees_with_the_definition() {
        let mut fast = Workload::<Cpu>::for_training(tiny(), 2).unwrap();
        let mut slow = Workload::<Reference<f32>>::for_training(tiny(), 2).unwrap();
        // f32 sums in another order.
        assert_close("output", fast.forward().unwrap(), slow.forward().unwrap(), 1e-4);
        assert_close("gradient", fast.train_step().unwrap(), slow.train_step().unwrap(), 1e-4);
    }

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
