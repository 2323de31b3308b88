//! The loop between a sampler and a network: what previews and `dis sample` share.
//!
//! ```text
//! while the sampler requests:  network, and where guidance acts the weaker one or the network without
//!                              its label  -> guidance -> prediction -> sampler
//! ```

use crate::device::OpenDevice;
use crate::exit::Failure;
use crate::network::Network;
use anyhow::Result;
use diffusion::{
    Guidance, ImageLayout, ObjectiveKind, PhiloxNoise, Prediction, Process, SampleRequest,
    SamplerPlan, draw_start_noise,
};
use dis_model::DisConfig;

/// Images that pass through the network together, where nothing is said.
const CPU_BATCH: usize = 16;
/// The same on a GPU, which is idle with fewer.
const GPU_BATCH: usize = 128;

/// Images that pass through the network together, where nothing is said.
pub(crate) fn usual_batch(device: &OpenDevice) -> usize {
    if device.is_cpu() { CPU_BATCH } else { GPU_BATCH }
}

/// Labels of images: some classes in turn, so that each has as many images as the others, up to one.
#[derive(Clone, Debug)]
pub(crate) struct Labels(Option<Vec<u32>>);

impl Labels {
    /// Every class of a network; no labels where it is unconditional.
    pub(crate) fn all(config: &DisConfig) -> Self {
        Self((config.num_classes > 0).then(|| (0..config.num_classes as u32).collect()))
    }

    /// Some classes of a conditional network.
    pub(crate) fn of_classes(classes: Vec<u32>) -> Self {
        Self(Some(classes))
    }

    /// Labels of images `first .. first + n`.
    pub(crate) fn of(&self, first: u64, n: u64) -> Option<Vec<u32>> {
        let classes = self.0.as_ref()?;
        Some((first..first + n).map(|i| classes[(i % classes.len() as u64) as usize]).collect())
    }
}

/// How images are made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What the network predicts.
    pub(crate) objective: ObjectiveKind,
    /// The process it was trained on.
    pub(crate) process: Process,
    /// Algorithm and steps.
    pub(crate) sampler: SamplerPlan,
    /// Whether predicted images are limited to [-1, 1].
    pub(crate) clip_x0: bool,
    /// How far to go from the weaker output.
    pub(crate) guidance: Guidance,
    /// Seed of start noise, step noise and labels.
    pub(crate) seed: u64,
}

/// A network that draws.
pub(crate) struct Generator<'a> {
    network: &'a mut dyn Network,
    /// A weaker network to be guided by, in place of the unconditional output.
    weak: Option<&'a mut (dyn Network + 'static)>,
    plan: &'a Plan,
    evaluations: usize,
    conditional: Vec<f32>,
    guided: Vec<f32>,
}

impl<'a> Generator<'a> {
    /// Prepares for batches of any size; equal sizes one after the other are cheapest.
    pub(crate) fn new(
        network: &'a mut dyn Network,
        weak: Option<&'a mut (dyn Network + 'static)>,
        plan: &'a Plan,
    ) -> Result<Self> {
        let evaluations = plan.sampler.evaluations(plan.objective, &plan.process)?;
        Ok(Self { network, weak, plan, evaluations, conditional: Vec::new(), guided: Vec::new() })
    }

    /// Evaluations per image, guided ones counted once.
    pub(crate) fn evaluations(&self) -> usize {
        self.evaluations
    }

    /// Start noise of images `first .. first + n`, from the seed of the plan.
    pub(crate) fn start_noise(&self, first: u64, n: u64) -> Vec<f32> {
        let len = self.network.config().image_len();
        let mut x = vec![0.0; n as usize * len];
        draw_start_noise(self.plan.seed, first, len, &mut x);
        x
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
        let (plan, c) = (self.plan, self.network.config());
        let layout = ImageLayout { channels: c.channels, pixels: c.image_size * c.image_size };
        let mut noise = PhiloxNoise::new(plan.seed, first_image, c.image_len());
        let mut sampler = plan.sampler.start(plan.objective, &plan.process, x, &mut noise)?;
        while let Some(request) = sampler.request() {
            let factor = request.input_factor as f32;
            let input: Vec<f32> = sampler.state().iter().map(|x| factor * x).collect();
            self.evaluate(&input, request, labels, layout)?;
            let prediction = Prediction::new(plan.objective, layout, &self.guided);
            sampler.advance(prediction.clamping_x0(plan.clip_x0), &mut noise);
            observe(request.index, sampler.state());
        }
        let drawn = sampler.state().to_vec();
        if !drawn.iter().all(|x| x.is_finite()) {
            let what =
                "the images are not finite: the sampler diverged, or the weights are damaged";
            let help = "try other steps or --spacing, a smaller --guidance, or --sampler ddim";
            return Err(Failure::data(what).help(help).into());
        }
        Ok(drawn)
    }

    /// Writes the guided output of the network to `self.guided`.
    fn evaluate(
        &mut self,
        x: &[f32],
        request: SampleRequest,
        labels: Option<&[u32]>,
        layout: ImageLayout,
    ) -> Result<()> {
        let guidance = self.plan.guidance;
        let times = vec![request.network_time; layout.image_count(x.len())];
        let progress = request.index as f64 / (self.evaluations - 1).max(1) as f64;
        let scale = guidance.scale_at(request.level, progress);
        let output = self.network.evaluate(x, &times, labels)?;
        output.clone_into(&mut self.guided);
        if scale == 1.0 {
            return Ok(());
        }
        let weak = match (&mut self.weak, labels) {
            (Some(weak), labels) => {
                let labels = labels.filter(|_| weak.config().is_conditional());
                weak.evaluate(x, &times, labels)?
            }
            (None, Some(labels)) => {
                let null = vec![self.network.config().num_classes as u32; labels.len()];
                self.network.evaluate(x, &times, Some(&null))?
            }
            (None, None) => return Ok(()),
        };
        self.conditional.clone_from(&self.guided);
        let (objective, outputs) = (self.plan.objective, [self.conditional.as_slice(), weak]);
        guidance.combine(scale, objective, layout, outputs, &mut self.guided);
        Ok(())
    }
}
