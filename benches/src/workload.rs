//! A network with weights, inputs and memory, one call away from a pass.

use anyhow::Result;
use diffusion::{ImageLayout, LossBatch, NoiseSchedule, Objective, ObjectiveKind};
use dis_model::init::{InitOptions, init};
use dis_model::{Activations, Dis, DisConfig, Input, counts};
use ssm_kernels::adamw_ema::{Arenas, Average, Hyper};
use ssm_kernels::{Backend, Cpu};

/// One network, one batch.
pub struct Workload {
    dis: Dis<Cpu>,
    batch: usize,
    params: Vec<f32>,
    x: Vec<f32>,
    timesteps: Vec<f64>,
    labels: Option<Vec<u32>>,
    inference: Activations<f32>,
    training: Option<Training>,
}

/// Memory of a training step.
struct Training {
    objective: Objective,
    activations: Activations<f32>,
    grad_output: Vec<f32>,
    grads: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
    ema: Vec<f32>,
}

impl Workload {
    /// Initial weights and a repeatable batch; memory for training only where it is wanted.
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub fn new(config: DisConfig, batch: usize, training: bool) -> Result<Self> {
        let dis = Dis::<Cpu>::new(config)?;
        let c = dis.config().clone();
        let params = init(&c, dis.layout(), &InitOptions::official(), 0);
        let wave = |n: usize| (0..n).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<f32>>();
        let objective =
            if c.learned_variance { ObjectiveKind::EpsHybrid } else { ObjectiveKind::V };
        let training = training.then(|| -> Result<Training> {
            Ok(Training {
                objective: Objective::new(objective, &NoiseSchedule::linear(1000)?),
                activations: Activations::for_training(&dis, batch),
                grad_output: vec![0.0; batch * c.output_len()],
                grads: vec![0.0; params.len()],
                m: vec![0.0; params.len()],
                v: vec![0.0; params.len()],
                ema: params.clone(),
            })
        });
        Ok(Self {
            batch,
            x: wave(batch * c.image_len()),
            timesteps: (0..batch).map(|b| ((b * 97 + 50) % 1000) as f64).collect(),
            labels: c.is_conditional().then(|| vec![0; batch]),
            inference: Activations::for_inference(&dis, batch),
            training: training.transpose()?,
            params,
            dis,
        })
    }

    /// Images of a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// FLOPs of the matrix products of one value pass of the batch.
    pub fn gemm_flops(&self) -> f64 {
        counts::gemm_flops(self.dis.config()) * self.batch as f64
    }

    /// Value pass as in sampling.
    ///
    /// # Errors
    /// Those of the network; none with the inputs made here.
    pub fn forward(&mut self) -> Result<()> {
        let input = Input {
            x: &self.x,
            timesteps: &self.timesteps,
            labels: self.labels.as_deref(),
            drop_path: None,
        };
        Ok(self.dis.forward(&self.params, &input, &mut self.inference)?)
    }

    /// Value pass, loss, gradient pass and optimiser step.
    ///
    /// # Errors
    /// When the workload was made without training.
    pub fn train_step(&mut self) -> Result<()> {
        let Some(t) = &mut self.training else { anyhow::bail!("made for inference") };
        let input = Input {
            x: &self.x,
            timesteps: &self.timesteps,
            labels: self.labels.as_deref(),
            drop_path: None,
        };
        self.dis.forward(&self.params, &input, &mut t.activations)?;
        let c = self.dis.config();
        let layout = ImageLayout { channels: c.channels, pixels: c.image_size * c.image_size };
        let batch = LossBatch {
            model_output: t.activations.output(),
            x0: &self.x,
            noise: &self.x,
            timesteps: &self.timesteps,
        };
        t.objective.loss(layout, batch, 1.0 / self.batch as f64, &mut t.grad_output);
        t.grads.fill(0.0);
        let (activations, grad_output) = (&mut t.activations, &t.grad_output);
        self.dis.backward(&self.params, &input, activations, grad_output, &mut t.grads, None)?;
        let hyper = Hyper {
            lr: 1e-6,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            step: 1,
            grad_factor: 1.0,
            no_decay: &[],
        };
        let arenas = Arenas {
            params: &mut self.params,
            grads: &t.grads,
            m: &mut t.m,
            v: &mut t.v,
            averages: &mut [Average { decay: 0.9999, values: &mut t.ema }],
        };
        Ok(Cpu::adamw_ema(&hyper, arenas)?)
    }
}
