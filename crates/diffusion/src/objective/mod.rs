//! What a network is trained to say, how wrong it is, and the gradient of that.

mod check;
mod decoder;
mod eps_hybrid;
mod kind;
mod squared_error;

pub use decoder::{DecoderTerm, decoder_term};
pub use eps_hybrid::HybridCoefficients;
pub use kind::{HybridLoss, ObjectiveKind};

use crate::{
    DiffusionError, DiffusionTable, ImageLayout, LossHistory, Mix, NoiseLevel, NoiseSchedule,
    Process, Real, TableRow, TimestepDensity, Weighting,
};
use kind::HybridWeights;
use philox::{Draws, Purpose};

/// A training objective: which timesteps, which network input, which loss.
///
/// A timestep is a time of the [`Process`]: for the objectives of a noise schedule a whole number in
/// `0..T`, for a flow `t` in 0 to 1, for EDM `sigma`. Images are `[B, C, H, W]` as [`ImageLayout`] says.
#[derive(Clone, Debug)]
pub struct Objective {
    kind: ObjectiveKind,
    process: Process,
    /// Of every timestep, where there are timesteps.
    table: Option<DiffusionTable>,
    options: ObjectiveOptions,
}

/// The choices of an objective beside what is predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectiveOptions {
    /// The two terms of [`ObjectiveKind::EpsHybrid`]; without effect elsewhere.
    pub hybrid_loss: HybridLoss,
    /// Which times are trained how often.
    pub density: TimestepDensity,
    /// How much each counts.
    pub weighting: Weighting,
    /// Factor of the direction term `1 - cos(out, target)`, 0 for none; for velocities.
    pub cosine_direction: f64,
}

impl Default for ObjectiveOptions {
    /// Times alike, the plain loss of the objective.
    fn default() -> Self {
        Self {
            hybrid_loss: HybridLoss::Mse,
            density: TimestepDensity::Uniform,
            weighting: Weighting::None,
            cosine_direction: 0.0,
        }
    }
}

/// What the loss of a batch is computed from.
#[derive(Clone, Copy, Debug)]
pub struct LossBatch<'a, T> {
    /// The network's output `[B, output_channels, H, W]`.
    pub model_output: &'a [T],
    /// The data `[B, C, H, W]`.
    pub x0: &'a [T],
    /// The noise that [`Objective::corrupt`] mixed in `[B, C, H, W]`.
    pub noise: &'a [T],
    /// The timesteps `[B]`.
    pub timesteps: &'a [f64],
    /// Factors of the samples' losses beside those of the objective, `[B]`: importance weights, the
    /// inverse of a learned variance. `None` for 1.
    pub weights: Option<&'a [f64]>,
}

/// What a loss takes from the timestep of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossCoefficients {
    /// Of [`ObjectiveKind::EpsHybrid`].
    Hybrid(HybridCoefficients),
    /// Of a squared error.
    SquaredError {
        /// Factors of data and noise in what the network should say.
        target: Mix,
        /// Of the error, in the gradient.
        slope: f64,
        /// Of the derivative of `1 - cos` of a pixel, in the gradient; 0 without that term.
        cosine_slope: f64,
    },
}

/// The loss of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossTerms {
    /// What is minimised, all weights included.
    pub loss: f64,
    /// Mean squared error of the prediction, per element.
    pub mse: f64,
    /// Variational bound of this timestep in bits per element; `None` without a learned variance.
    pub vb: Option<f64>,
    /// Mean over the pixels of `1 - cos(out, target)`; `None` without that term.
    pub cosine: Option<f64>,
}

impl Objective {
    /// The objective on every timestep of a noise schedule, with its plain loss.
    ///
    /// # Panics
    /// For [`ObjectiveKind::Flow`] and [`ObjectiveKind::Edm`], which have a process of their own.
    pub fn new(kind: ObjectiveKind, noise_schedule: &NoiseSchedule) -> Self {
        let (process, options) = (Process::Discrete(noise_schedule.clone()), Default::default());
        Self::on(kind, process, options).expect("an objective of a noise schedule")
    }

    /// The objective on a process.
    ///
    /// # Errors
    /// [`DiffusionError::Combination`] for what does not go together.
    pub fn on(
        kind: ObjectiveKind,
        process: Process,
        options: ObjectiveOptions,
    ) -> Result<Self, DiffusionError> {
        check::check(kind, &process, &options)?;
        let table = match &process {
            Process::Discrete(schedule) => Some(DiffusionTable::full(schedule)),
            Process::Flow { .. } | Process::Edm { .. } => None,
        };
        Ok(Self { kind, process, table, options })
    }

    /// The same with another weighting of the two terms of [`ObjectiveKind::EpsHybrid`].
    pub fn with_hybrid_loss(mut self, hybrid_loss: HybridLoss) -> Self {
        self.options.hybrid_loss = hybrid_loss;
        self
    }

    /// What the network predicts.
    pub fn kind(&self) -> ObjectiveKind {
        self.kind
    }

    /// The process it is trained on.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its other choices.
    pub fn options(&self) -> ObjectiveOptions {
        self.options
    }

    /// Timesteps of samples at the given global positions.
    ///
    /// A function of `(seed, position)` alone: batch split, rank and restarts do not matter.
    ///
    /// # Panics
    /// With [`TimestepDensity::LossAware`]: see [`LossHistory::draw_timestep`].
    pub fn draw_timesteps(&self, seed: u64, positions: &[u64]) -> Vec<f64> {
        positions.iter().map(|&position| self.draw_timestep(seed, position)).collect()
    }

    fn draw_timestep(&self, seed: u64, position: u64) -> f64 {
        let draws = Draws::new(seed, Purpose::Timestep, position);
        let density = self.options.density;
        match &self.process {
            Process::Discrete(schedule) if density == TimestepDensity::Uniform => {
                draws.below(0, schedule.timesteps() as u64) as f64
            }
            Process::Discrete(schedule) => {
                let last = (schedule.timesteps() - 1) as f64;
                density.draw(&self.process, &draws).round().clamp(0.0, last)
            }
            Process::Flow { .. } | Process::Edm { .. } => density.draw(&self.process, &draws),
        }
    }

    /// An empty history of losses for [`TimestepDensity::LossAware`], where the density is that.
    pub fn loss_history(&self) -> Option<LossHistory> {
        let table = self.table.as_ref()?;
        (self.options.density == TimestepDensity::LossAware).then(|| LossHistory::new(table.len()))
    }

    /// The time the network is told for a timestep.
    pub fn network_time(&self, timestep: f64) -> f64 {
        self.process.network_time(timestep)
    }

    /// The noise level of a timestep.
    ///
    /// # Panics
    /// When an objective of a noise schedule has no such timestep.
    pub fn level(&self, timestep: f64) -> NoiseLevel {
        match &self.table {
            Some(_) => self.row(timestep).level(),
            None => self.process.level(timestep),
        }
    }

    /// Factors of data and noise in what the network is shown: the level, at the scale it wants.
    pub fn input_level(&self, timestep: f64) -> NoiseLevel {
        let (level, factor) = (self.level(timestep), self.process.input_factor(timestep));
        NoiseLevel { a: factor * level.a, s: factor * level.s }
    }

    /// Writes the network's input `x_t = a x0 + s eps` at [`Objective::input_level`], one timestep per
    /// sample.
    ///
    /// `x0`, `noise` and `x_t` are `[B, C, H, W]`, `timesteps` is `[B]`.
    ///
    /// # Panics
    /// When the lengths disagree or a timestep does not exist.
    pub fn corrupt<T: Real>(&self, x0: &[T], noise: &[T], timesteps: &[f64], x_t: &mut [T]) {
        assert_eq!((x0.len(), noise.len()), (x_t.len(), x_t.len()), "lengths of x0, noise, x_t");
        assert!(
            !timesteps.is_empty() && x0.len().is_multiple_of(timesteps.len()),
            "{} elements are not divisible into {} samples",
            x0.len(),
            timesteps.len()
        );
        let sample_len = x0.len() / timesteps.len();
        let samples = x0.chunks_exact(sample_len).zip(noise.chunks_exact(sample_len));
        for (((x0, noise), x_t), &timestep) in
            samples.zip(x_t.chunks_exact_mut(sample_len)).zip(timesteps)
        {
            self.input_level(timestep).corrupt(x0, noise, x_t);
        }
    }

    /// The loss of every sample, and the gradient of their mean with respect to the model output.
    ///
    /// `total = gradient_factor · sum of losses`; `grad_output` = d `total` / d `model_output`, of the
    /// same shape, written over. With `gradient_factor = 1/(global batch)` the gradients of parts of
    /// a batch add up to the gradient of the whole batch's mean, over ranks and accumulation alike.
    ///
    /// The noisy image is not needed: it is `x0` and `noise` at the timestep.
    ///
    /// # Panics
    /// When the lengths disagree or a timestep does not exist.
    pub fn loss<T: Real>(
        &self,
        layout: ImageLayout,
        batch: LossBatch<'_, T>,
        gradient_factor: f64,
        grad_output: &mut [T],
    ) -> Vec<LossTerms> {
        let image_len = layout.image_len();
        let output_len = layout.output_len(self.kind.output_channels(layout.channels));
        batch.check(image_len, output_len, grad_output.len());
        let outputs = batch.model_output.chunks_exact(output_len);
        let images = batch.x0.chunks_exact(image_len).zip(batch.noise.chunks_exact(image_len));
        outputs
            .zip(images)
            .zip(grad_output.chunks_exact_mut(output_len))
            .enumerate()
            .map(|(i, ((output, (x0, noise)), grad))| {
                let sample = Sample { layout, output, x0, noise };
                let weight = batch.weights.map_or(1.0, |weights| weights[i]);
                self.sample_loss(sample, batch.timesteps[i], weight, gradient_factor, grad)
            })
            .collect()
    }

    fn sample_loss<T: Real>(
        &self,
        sample: Sample<'_, T>,
        timestep: f64,
        weight: f64,
        gradient_factor: f64,
        grad: &mut [T],
    ) -> LossTerms {
        let factor = weight * gradient_factor;
        match self.coefficients(timestep, sample.x0.len(), sample.layout.pixels, factor) {
            LossCoefficients::Hybrid(coefficients) => {
                let (mse, vb) = eps_hybrid::loss(coefficients, sample, grad);
                self.terms(timestep, weight, mse, vb)
            }
            LossCoefficients::SquaredError { target, slope, cosine_slope } => {
                let mse = squared_error::mse(target, sample, slope, grad);
                let cosine = if cosine_slope == 0.0 {
                    0.0
                } else {
                    squared_error::cosine(target, sample, cosine_slope, grad)
                };
                self.terms(timestep, weight, mse, cosine)
            }
        }
    }

    /// What the loss of a sample of `elements` elements in `pixels` pixels takes from its timestep, also
    /// for devices that compute it themselves. `gradient_factor` holds the weight of the sample.
    ///
    /// # Panics
    /// When the timestep does not exist.
    pub fn coefficients(
        &self,
        timestep: f64,
        elements: usize,
        pixels: usize,
        gradient_factor: f64,
    ) -> LossCoefficients {
        if self.kind == ObjectiveKind::EpsHybrid {
            let (row, weights) = (self.row(timestep), self.hybrid_weights(timestep));
            let hybrid = eps_hybrid::coefficients(row, weights, elements, gradient_factor);
            return LossCoefficients::Hybrid(hybrid);
        }
        LossCoefficients::SquaredError {
            target: self.kind.prediction().target(self.level(timestep)),
            slope: 2.0 * gradient_factor * self.weight(timestep) / elements as f64,
            cosine_slope: self.options.cosine_direction * gradient_factor / pixels as f64,
        }
    }

    /// The loss of a sample from its parts: the mean squared error, and the variational bound where
    /// the variance is learned, else the mean of `1 - cos`. `weight` is that of [`LossBatch`].
    pub fn terms(&self, timestep: f64, weight: f64, mse: f64, second: f64) -> LossTerms {
        if self.kind == ObjectiveKind::EpsHybrid {
            let weights = self.hybrid_weights(timestep);
            let loss = weight * (weights.mse * mse + weights.vb * second);
            return LossTerms { loss, mse, vb: Some(second), cosine: None };
        }
        let direction = self.options.cosine_direction;
        let loss = weight * (self.weight(timestep) * mse + direction * second);
        let cosine = (direction != 0.0).then_some(second);
        LossTerms { loss, mse, vb: None, cosine }
    }

    fn weight(&self, timestep: f64) -> f64 {
        match self.options.weighting {
            Weighting::None => 1.0,
            weighting => weighting.at(self.kind.prediction(), &self.process, timestep),
        }
    }

    fn hybrid_weights(&self, timestep: f64) -> HybridWeights {
        let timesteps = self.table.as_ref().map_or(0, DiffusionTable::len);
        let mut weights = self.options.hybrid_loss.weights(timesteps);
        weights.mse *= self.weight(timestep);
        weights
    }

    fn row(&self, timestep: f64) -> &TableRow {
        let table = self.table.as_ref().expect("an objective of a noise schedule");
        let count = table.len();
        assert!(
            timestep >= 0.0 && timestep < count as f64 && timestep.fract() == 0.0,
            "timestep {timestep} is no whole number in 0..{count}"
        );
        &table[timestep as usize]
    }
}

/// One sample of a [`LossBatch`].
#[derive(Clone, Copy)]
struct Sample<'a, T> {
    layout: ImageLayout,
    output: &'a [T],
    x0: &'a [T],
    noise: &'a [T],
}

impl<T> LossBatch<'_, T> {
    fn check(&self, image_len: usize, output_len: usize, grad_len: usize) {
        let count = self.timesteps.len();
        let weights = self.weights.map_or(count, <[f64]>::len);
        let lengths = [self.x0.len(), self.noise.len(), self.model_output.len(), grad_len];
        let expected = [image_len, image_len, output_len, output_len].map(|len| len * count);
        assert!(image_len > 0, "an image of no elements has no loss");
        assert_eq!(weights, count, "loss of {count} samples: number of weights");
        assert_eq!(
            lengths, expected,
            "loss of {count} samples: lengths of x0, noise, model_output, grad_output"
        );
    }
}
