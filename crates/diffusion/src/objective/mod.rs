//! What a network is trained to say, how wrong it is, and the gradient of that.

mod decoder;
mod eps_hybrid;
mod kind;
mod squared_error;

pub use decoder::{DecoderTerm, decoder_term};
pub use eps_hybrid::HybridCoefficients;
pub use kind::{HybridLoss, ObjectiveKind};

use crate::{DiffusionTable, ImageLayout, Mix, NoiseLevel, NoiseSchedule, Real, TableRow};
use philox::{Draws, Purpose};

/// A training objective: which timesteps, which network input, which loss.
///
/// A timestep is an f64: for the objectives of a noise schedule a whole number in `0..T`, so that
/// continuous times fit the same interface. Images are `[B, C, H, W]` as [`ImageLayout`] says.
#[derive(Clone, Debug)]
pub struct Objective {
    kind: ObjectiveKind,
    hybrid_loss: HybridLoss,
    table: DiffusionTable,
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
    },
}

/// The loss of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossTerms {
    /// What is minimised.
    pub loss: f64,
    /// Mean squared error of the prediction, per element.
    pub mse: f64,
    /// Variational bound of this timestep in bits per element; `None` without a learned variance.
    pub vb: Option<f64>,
}

impl Objective {
    /// The objective on every timestep of a noise schedule; hybrid losses are [`HybridLoss::Mse`].
    pub fn new(kind: ObjectiveKind, noise_schedule: &NoiseSchedule) -> Self {
        let table = DiffusionTable::full(noise_schedule);
        Self { kind, hybrid_loss: HybridLoss::Mse, table }
    }

    /// The same with another weighting of the two terms of [`ObjectiveKind::EpsHybrid`].
    pub fn with_hybrid_loss(self, hybrid_loss: HybridLoss) -> Self {
        Self { hybrid_loss, ..self }
    }

    /// What the network predicts.
    pub fn kind(&self) -> ObjectiveKind {
        self.kind
    }

    /// Timesteps of samples at the given global positions, uniform in `0..T`.
    ///
    /// A function of `(seed, position)` alone: batch split, rank and restarts do not matter.
    pub fn draw_timesteps(&self, seed: u64, positions: &[u64]) -> Vec<f64> {
        let count = self.table.len() as u64;
        let draw = |&position: &u64| Draws::new(seed, Purpose::Timestep, position).below(0, count);
        positions.iter().map(|position| draw(position) as f64).collect()
    }

    /// The time the network is told for a timestep.
    pub fn network_time(&self, timestep: f64) -> f64 {
        self.row(timestep).timestep as f64
    }

    /// The noise level of a timestep.
    pub fn level(&self, timestep: f64) -> NoiseLevel {
        self.row(timestep).level()
    }

    /// Writes the network's input `x_t = sqrt(ab) x0 + sqrt(1 - ab) eps`, one timestep per sample.
    ///
    /// `x0`, `noise` and `x_t` are `[B, C, H, W]`, `timesteps` is `[B]`.
    ///
    /// # Panics
    /// When the lengths disagree or a timestep is not in `0..T`.
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
            self.level(timestep).corrupt(x0, noise, x_t);
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
    /// When the lengths disagree or a timestep is not in `0..T`.
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
            .zip(batch.timesteps)
            .zip(grad_output.chunks_exact_mut(output_len))
            .map(|(((output, (x0, noise)), &timestep), grad)| {
                let sample = Sample { layout, output, x0, noise };
                self.sample_loss(sample, timestep, gradient_factor, grad)
            })
            .collect()
    }

    fn sample_loss<T: Real>(
        &self,
        sample: Sample<'_, T>,
        timestep: f64,
        gradient_factor: f64,
        grad: &mut [T],
    ) -> LossTerms {
        let row = self.row(timestep);
        if self.kind == ObjectiveKind::EpsHybrid {
            let weights = self.hybrid_loss.weights(self.table.len());
            return eps_hybrid::loss(row, weights, sample, gradient_factor, grad);
        }
        let target = self.kind.prediction().target(row.level());
        let mse = squared_error::loss(target, sample, gradient_factor, grad);
        LossTerms { loss: mse, mse, vb: None }
    }

    /// What the loss of a sample of `elements` elements takes from its timestep, for devices that
    /// compute it themselves.
    ///
    /// # Panics
    /// When the timestep is not in `0..T`.
    pub fn coefficients(
        &self,
        timestep: f64,
        elements: usize,
        gradient_factor: f64,
    ) -> LossCoefficients {
        let row = self.row(timestep);
        if self.kind == ObjectiveKind::EpsHybrid {
            let weights = self.hybrid_loss.weights(self.table.len());
            let hybrid = eps_hybrid::coefficients(row, weights, elements, gradient_factor);
            return LossCoefficients::Hybrid(hybrid);
        }
        LossCoefficients::SquaredError {
            target: self.kind.prediction().target(row.level()),
            slope: 2.0 * gradient_factor / elements as f64,
        }
    }

    /// The loss of a sample from its parts; `vb` counts where the variance is learned.
    pub fn terms(&self, mse: f64, vb: f64) -> LossTerms {
        if self.kind == ObjectiveKind::EpsHybrid {
            return eps_hybrid::terms(self.hybrid_loss.weights(self.table.len()), mse, vb);
        }
        LossTerms { loss: mse, mse, vb: None }
    }

    fn row(&self, timestep: f64) -> &TableRow {
        let count = self.table.len();
        assert!(
            timestep >= 0.0 && timestep < count as f64 && timestep.fract() == 0.0,
            "timestep {timestep} is no whole number in 0..{count}"
        );
        &self.table[timestep as usize]
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
        let lengths = [self.x0.len(), self.noise.len(), self.model_output.len(), grad_len];
        let expected = [image_len, image_len, output_len, output_len].map(|len| len * count);
        assert!(image_len > 0, "an image of no elements has no loss");
        assert_eq!(
            lengths, expected,
            "loss of {count} samples: lengths of x0, noise, model_output, grad_output"
        );
    }
}
