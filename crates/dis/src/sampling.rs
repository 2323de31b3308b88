//! The loop between a sampler and a network: what previews and `dis sample` share.
//!
//! ```text
//! while the sampler requests:  network (conditional, and unconditional when guided)
//!                              -> guidance -> prediction -> sampler
//! ```

use crate::network::Network;
use anyhow::Result;
use diffusion::{
    DdimOptions, DdimSampler, DdpmOptions, DdpmSampler, DiffusionTable, Guidance, ImageLayout,
    NoiseSchedule, ObjectiveKind, PhiloxNoise, Prediction, Respacing, Sampler, SamplerKind,
    VarianceKind,
};

/// How images are made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What the network predicts.
    pub(crate) objective: ObjectiveKind,
    /// Noise schedule of training.
    pub(crate) noise_schedule: NoiseSchedule,
    /// Algorithm.
    pub(crate) sampler: SamplerKind,
    /// Evaluations of the network per image.
    pub(crate) respacing: Respacing,
    /// Share of fresh noise in DDIM.
    pub(crate) eta: f64,
    /// Whether predicted images are limited to [-1, 1].
    pub(crate) clip_x0: bool,
    /// Classifier-free guidance.
    pub(crate) guidance: Guidance,
    /// Seed of start noise, step noise and labels.
    pub(crate) seed: u64,
}

/// A network that draws.
pub(crate) struct Generator<'a> {
    network: &'a mut dyn Network,
    plan: &'a Plan,
    table: DiffusionTable,
    conditional: Vec<f32>,
    guided: Vec<f32>,
}

impl<'a> Generator<'a> {
    /// Prepares for batches of any size; equal sizes one after the other are cheapest.
    pub(crate) fn new(network: &'a mut dyn Network, plan: &'a Plan) -> Result<Self> {
        let table = DiffusionTable::new(&plan.noise_schedule, &plan.respacing)?;
        Ok(Self { network, plan, table, conditional: Vec::new(), guided: Vec::new() })
    }

    /// Evaluations per image.
    pub(crate) fn evaluations(&self) -> usize {
        self.table.len()
    }

    /// Images `[B, C, H, W]` from start noise `x`, image `i` being number `first_image + i` of the
    /// run. `labels` are given exactly when the network is conditional. `observe` sees the state
    /// after every evaluation.
    pub(crate) fn generate(
        &mut self,
        x: Vec<f32>,
        first_image: u64,
        labels: Option<&[u32]>,
        observe: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<Vec<f32>> {
        let c = self.network.config();
        let layout = ImageLayout { channels: c.channels, pixels: c.image_size * c.image_size };
        let objective = self.plan.objective;
        let images = x.len() / c.image_len();
        let mut noise = PhiloxNoise::new(self.plan.seed, first_image, c.image_len());
        let mut sampler = self.start(x)?;
        while let Some(request) = sampler.request() {
            let factor = request.input_factor as f32;
            let input: Vec<f32> = sampler.state().iter().map(|x| factor * x).collect();
            self.evaluate(&input, &vec![request.network_time; images], labels, layout)?;
            sampler.advance(Prediction::new(objective, layout, &self.guided), &mut noise);
            observe(request.index, sampler.state());
        }
        Ok(sampler.state().to_vec())
    }

    fn start(&self, x: Vec<f32>) -> Result<Box<dyn Sampler<f32>>> {
        let (table, clamp_x0) = (self.table.clone(), self.plan.clip_x0);
        Ok(match self.plan.sampler {
            SamplerKind::Ddpm => {
                let variance = VarianceKind::for_objective(self.plan.objective);
                let options = DdpmOptions { variance, clamp_x0 };
                Box::new(DdpmSampler::new(table, self.plan.objective, options, x)?)
            }
            SamplerKind::Ddim => {
                let options = DdimOptions { eta: self.plan.eta, clamp_x0 };
                Box::new(DdimSampler::new(table, options, x)?)
            }
        })
    }

    /// Writes the guided output of the network to `self.guided`.
    fn evaluate(
        &mut self,
        x: &[f32],
        timesteps: &[f64],
        labels: Option<&[u32]>,
        layout: ImageLayout,
    ) -> Result<()> {
        let guidance = self.plan.guidance;
        let output = self.network.evaluate(x, timesteps, labels)?;
        let Some(labels) = labels.filter(|_| guidance.is_active()) else {
            output.clone_into(&mut self.guided);
            return Ok(());
        };
        output.clone_into(&mut self.conditional);
        let null = vec![self.network.config().num_classes as u32; labels.len()];
        let uncond = self.network.evaluate(x, timesteps, Some(&null))?;
        let (cond, out) = (&self.conditional, &mut self.guided);
        out.resize(cond.len(), 0.0);
        guidance.combine(self.plan.objective, layout, cond, uncond, out);
        Ok(())
    }
}
