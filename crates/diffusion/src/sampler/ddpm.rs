//! Ancestral sampling.

use super::descent::Descent;
use super::{SampleRequest, Sampler};
use crate::{
    DiffusionError, DiffusionTable, NoiseSource, ObjectiveKind, Prediction, Real, TableRow,
    VarianceKind,
};

/// DDPM, algorithm 2: from the last entry of the grid to the first,
///
/// `x_{t-1} = c1 x0_hat + c2 x_t + exp(½ log var) z`, without noise at `t = 0`.
///
/// Source: arXiv 2006.11239 equations 6 and 7; respaced and with learned range arXiv 2102.09672.
#[derive(Clone, Debug)]
pub struct DdpmSampler<T> {
    descent: Descent,
    variance: VarianceKind,
    x: Vec<T>,
    x0: Vec<T>,
    deviation: Vec<T>,
    z: Vec<T>,
}

impl<T: Real> DdpmSampler<T> {
    /// Starts from noise `x` `[B, C, H, W]` for a network trained with `objective`.
    ///
    /// # Errors
    /// [`DiffusionError::NoLearnedVariance`] when the objective does not train the variance asked for.
    pub fn new(
        table: DiffusionTable,
        objective: ObjectiveKind,
        variance: VarianceKind,
        x: Vec<T>,
    ) -> Result<Self, DiffusionError> {
        if variance == VarianceKind::LearnedRange && !objective.learns_variance() {
            return Err(DiffusionError::NoLearnedVariance);
        }
        let scratch = vec![T::from_f64(0.0); x.len()];
        let descent = Descent::new(table);
        Ok(Self {
            descent,
            variance,
            x,
            x0: scratch.clone(),
            deviation: scratch.clone(),
            z: scratch,
        })
    }

    /// Starts at entry `t` of the grid instead of the last: `x` is an image noised to that entry.
    ///
    /// # Panics
    /// When the grid has no entry `t`.
    #[must_use]
    pub fn starting_at(mut self, t: usize) -> Self {
        self.descent = self.descent.starting_at(t);
        self
    }
}

impl<T: Real> Sampler<T> for DdpmSampler<T> {
    fn request(&self) -> Option<SampleRequest> {
        self.descent.request()
    }

    fn request_count(&self) -> usize {
        self.descent.len()
    }

    fn state(&self) -> &[T] {
        &self.x
    }

    fn advance(&mut self, prediction: Prediction<'_, T>, noise: &mut dyn NoiseSource<T>) {
        let (row, draw_index) = self.descent.take();

        // x0_hat.
        prediction.x0(row.level(), &self.x, &mut self.x0);

        // The posterior mean mu = c1 x0_hat + c2 x_t.
        let c1 = T::from_f64(row.posterior_mean_x0);
        let c2 = T::from_f64(row.posterior_mean_x_t);
        for (x, &x0) in self.x.iter_mut().zip(&self.x0) {
            *x = c1 * x0 + c2 * *x;
        }

        // x_{t-1} = mu + exp(½ log var) z.
        if !row.is_first() {
            standard_deviation(self.variance, &row, prediction, &mut self.deviation);
            noise.fill(draw_index, &mut self.z);
            for ((x, &deviation), &z) in self.x.iter_mut().zip(&self.deviation).zip(&self.z) {
                *x = *x + deviation * z;
            }
        }
    }
}

/// Writes `exp(½ log var)` of every element of the images.
fn standard_deviation<T: Real>(
    variance: VarianceKind,
    row: &TableRow,
    prediction: Prediction<'_, T>,
    out: &mut [T],
) {
    let deviation = |v: f64| T::from_f64((0.5 * variance.log_variance(row, v)).exp());
    if variance != VarianceKind::LearnedRange {
        out.fill(deviation(0.0));
        return;
    }
    let outputs = prediction.variance_outputs().expect("checked when the sampler was made");
    for (out, v) in out.iter_mut().zip(outputs.flatten()) {
        *out = deviation(v.to_f64());
    }
}
