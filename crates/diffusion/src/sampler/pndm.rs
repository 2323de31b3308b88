//! Pseudo-numerical sampling.

use super::sums::{add_scaled, scale};
use super::{SampleRequest, Sampler};
use crate::{Grid, Mix, NoiseLevel, NoiseSource, Prediction, Real};
use std::collections::VecDeque;

/// Factors of the predicted noise of a step, the latest first, by how many there are.
const ADAMS_BASHFORTH: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

/// PNDM with linear multisteps only (PLMS): DDIM's step without noise, in the coordinates of the grid,
///
/// `x' = (a'/a) x + (s' - a' s/a) e`,
///
/// with `e` not the predicted noise `e_i` but, from the last of them,
/// `(3 e_i - e_{i-1})/2`, `(23, -16, 5)/12` and `(55, -59, 37, -9)/24`.
/// The first step is made with `e_0`, evaluated again where it led, and made again from its start with
/// the mean of the two: one evaluation more than the grid has.
///
/// A first level of noise alone says nothing by its noise: its step is `a' x0_hat + s' n_hat`, and the
/// doubled step is the next. A step to the end of the grid is never doubled.
///
/// Source: arXiv 2202.09778 section 3, the pseudo linear multistep method; the start-up is that of
/// diffusers' `skip_prk_steps`.
#[derive(Clone, Debug)]
pub struct PndmSampler<T> {
    grid: Grid,
    /// The step that is being made.
    i: usize,
    requests: usize,
    x: Vec<T>,
    /// Where the doubled step began, while it waits for its second evaluation.
    doubled_from: Option<Vec<T>>,
    /// Predicted noise of past steps, the latest first.
    history: VecDeque<Vec<T>>,
}

impl<T: Real> PndmSampler<T> {
    /// Starts from `x` `[B, C, H, W]` at the first level of the grid.
    pub fn new(grid: Grid, x: Vec<T>) -> Self {
        Self { grid, i: 0, requests: 0, x, doubled_from: None, history: VecDeque::with_capacity(4) }
    }

    /// The step that is made twice: the first from a level with data, unless it ends the run.
    fn doubled_step(&self) -> Option<usize> {
        let step = usize::from(self.grid.level(0).a == 0.0);
        (step + 1 < self.grid.nodes().len()).then_some(step)
    }

    /// `x' = (a'/a) x + (s' - a' s/a) sum_j factor_j e_{i-j}` of step `i`.
    fn step(&mut self, factors: &[f64]) {
        let NoiseLevel { a, s } = self.grid.level(self.i);
        let next = self.grid.level(self.i + 1);
        scale(&mut self.x, next.a / a);
        for (factor, e) in factors.iter().zip(&self.history) {
            add_scaled(&mut self.x, (next.s - next.a * s / a) * factor, e);
        }
    }
}

impl<T: Real> Sampler<T> for PndmSampler<T> {
    fn request(&self) -> Option<SampleRequest> {
        let ahead = usize::from(self.doubled_from.is_some());
        let node = self.grid.nodes().get(self.i + ahead)?;
        Some(SampleRequest::at(*node, self.requests))
    }

    fn request_count(&self) -> usize {
        self.grid.nodes().len() + usize::from(self.doubled_step().is_some())
    }

    fn state(&self) -> &[T] {
        &self.x
    }

    fn advance(&mut self, prediction: Prediction<'_, T>, _noise: &mut dyn NoiseSource<T>) {
        let request = self.request().expect("advance after the end of the run");
        self.requests += 1;
        let mut e = vec![T::from_f64(0.0); self.x.len()];
        let level = request.level;
        if level.a == 0.0 {
            let next = self.grid.level(self.i + 1);
            prediction.combine(level, Mix { first: next.a, second: next.s }, &self.x, &mut e);
            self.x = e;
            self.i += 1;
            return;
        }
        prediction.noise(level, &self.x, &mut e);

        // The doubled step again, with (e_0 + e)/2; this e is not kept.
        if let Some(start) = self.doubled_from.take() {
            self.x = start;
            self.history.push_front(e);
            self.step(&[0.5, 0.5]);
            self.history.pop_front();
            self.i += 1;
            return;
        }

        self.history.truncate(ADAMS_BASHFORTH.len() - 1);
        self.history.push_front(e);
        if self.doubled_step() == Some(self.i) {
            self.doubled_from = Some(self.x.clone());
            self.step(ADAMS_BASHFORTH[0]);
        } else {
            self.step(ADAMS_BASHFORTH[self.history.len() - 1]);
            self.i += 1;
        }
    }
}
