//! The loss of one micro-batch.

use diffusion::{LossCoefficients, Objective};
use ssm_kernels::device::diffusion::{self as device_diffusion, LossOutput};
use ssm_kernels::device::{Activation, Device, Driver, Slice};
use ssm_kernels::{KernelError, View};

/// The loss of one micro-batch.
pub(super) struct Loss<'a, D: Driver> {
    pub(super) objective: &'a Objective,
    /// `[micro]`, with the weights of the samples' losses.
    pub(super) timesteps: &'a [f64],
    pub(super) weights: &'a [f64],
    pub(super) gradient_factor: f64,
    /// `C` of the images.
    pub(super) channels: usize,
    /// `[micro, C_out, H, W]`.
    pub(super) output: Slice<'a, f32, D>,
    /// `[micro, C, H, W]`.
    pub(super) x0: Slice<'a, f32, D>,
    pub(super) noise: Slice<'a, f32, D>,
}

impl<D: Driver> Loss<'_, D> {
    /// Asks for the terms of every sample and the gradient of the output.
    pub(super) fn ask<A: Activation>(
        &self,
        device: &Device<A, D>,
        out: LossOutput<'_, D>,
    ) -> Result<(), KernelError> {
        let &Self { channels, output, x0, noise, .. } = self;
        let elements = x0.len() / self.timesteps.len();
        let (mut rows, mut squared_rows) = (Vec::new(), Vec::new());
        let pixels = elements / channels;
        for (&timestep, weight) in self.timesteps.iter().zip(self.weights) {
            let factor = weight * self.gradient_factor;
            match self.objective.coefficients(timestep, elements, pixels, factor) {
                LossCoefficients::Hybrid(c) => rows.push(device_diffusion::LossRow {
                    error_slope: c.error_slope,
                    mean_slope: c.mean_slope,
                    variance_slope: c.variance_slope,
                    half_range: c.half_range,
                    log_variance: c.log_variance,
                    precision: c.precision,
                    noise_per_data: c.noise_per_data,
                    is_first: c.is_first,
                }),
                LossCoefficients::SquaredError { target, slope, cosine_slope } => {
                    squared_rows.push(device_diffusion::SquaredErrorRow {
                        data: target.first as f32,
                        noise: target.second as f32,
                        slope: slope as f32,
                        cosine_slope: cosine_slope as f32,
                    });
                }
            }
        }
        if squared_rows.is_empty() {
            let args = device_diffusion::HybridLoss { rows: &rows, output, x0, noise };
            return device_diffusion::hybrid_loss(device, &args, out);
        }
        let rows = &squared_rows;
        let args = device_diffusion::SquaredErrorLoss { rows, channels, output, x0, noise };
        device_diffusion::squared_error_loss(device, &args, out)
    }
}
