//! Runge-Kutta on the probability flow.

use super::sums::add_scaled;
use super::{OdePath, SampleRequest, Sampler};
use crate::{
    DiffusionError, FlowPath, Grid, Node, NoiseLevel, NoiseSource, Prediction, Process, Real,
};
use std::f64::consts::SQRT_2;

/// How a step finds its slope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OdeMethod {
    /// That at its start. One evaluation a step, order 1.
    Euler,
    /// The mean of those at its start and where Euler leads. Two evaluations a step, order 2.
    Heun,
    /// That in between, where a part of Euler's step leads. Two evaluations a step, order 2.
    ///
    /// In between is the geometric mean of `sigma` (the KDPM2 of diffusers, the DPM-2 of k-diffusion)
    /// or the mean of `t`. A step to `sigma = 0` is Euler's.
    Midpoint,
}

/// What Heun does in a last step to data without noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OdeEnd {
    /// Euler's step: no network is asked about data without noise. EDM, diffusers.
    Euler,
    /// A step like any other: the network of a flow knows `t = 1`. SiT.
    Evaluated,
}

/// The choices of an [`OdeSampler`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OdeOptions {
    /// The coordinates of its grid and state.
    pub path: OdePath,
    /// The method.
    pub method: OdeMethod,
    /// The last step of Heun.
    pub end: OdeEnd,
}

/// EDM's noise before each step: `sigma` grows to `sigma (1 + g)`.
///
/// `g = min(amount/N, sqrt(2) - 1)` where `s_min <= sigma <= s_max`, else 0, over `N` steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Churn {
    /// `S_churn`.
    pub amount: f64,
    /// `S_min`.
    pub s_min: f64,
    /// `S_max`; infinite for no limit.
    pub s_max: f64,
    /// `S_noise`, the deviation of the noise, usually 1 or slightly more.
    pub noise: f64,
}

/// One step: the evaluations it needs, and the noise that comes before it.
#[derive(Clone, Copy, Debug)]
struct Step {
    from: Node,
    inner: Option<Node>,
    to: NoiseLevel,
    /// Deviation of the noise that led to `from`.
    churn: f64,
}

/// Runge-Kutta on the probability flow, `h` the step along the path, `h_m` a part of it, `d` the slope:
///
/// `x' = x + h d(x)` (Euler), `x' = x + ½ h (d(x) + d(x + h d(x)))` (Heun),
/// `x' = x + h d(x + h_m d(x))` (midpoint).
/// With churn a step begins with `x + sqrt(sh² - sigma²) S_noise z`, at `sh = sigma (1 + g)`.
///
/// Heun and midpoint evaluate `2N - 1` times where the last step is Euler's. A path's time may begin
/// with noise alone.
///
/// Source: arXiv 2206.00364 algorithm 1 and, with churn, 2; in flow time arXiv 2401.08740.
#[derive(Clone, Debug)]
pub struct OdeSampler<T> {
    path: OdePath,
    method: OdeMethod,
    churn_noise: f64,
    steps: Vec<Step>,
    /// The step that is being made.
    i: usize,
    requests: usize,
    x: Vec<T>,
    /// Where the step began, while it waits for its inner evaluation.
    base: Option<Vec<T>>,
    /// The slopes at the start of the step and inside.
    d: [Vec<T>; 2],
    z: Vec<T>,
}

impl<T: Real> OdeSampler<T> {
    /// Starts from `x` `[B, C, H, W]` at the first level of the grid, which is in the coordinates of
    /// the path. `process` is that of the network.
    ///
    /// # Errors
    /// [`DiffusionError::Combination`] when `sigma` is infinite at the start, or [`OdeEnd::Evaluated`]
    /// is asked of a network or a path that end above `s = 0`.
    ///
    /// # Panics
    /// When the grid is in other coordinates.
    pub fn new(
        process: &Process,
        grid: &Grid,
        options: OdeOptions,
        x: Vec<T>,
    ) -> Result<Self, DiffusionError> {
        let OdeOptions { path, method, end } = options;
        path.check(grid)?;
        if end == OdeEnd::Evaluated && !(knows_data(process) && has_slope_at_data(path)) {
            return Err(DiffusionError::Combination {
                what: "a probability flow that is evaluated at data without noise".into(),
                help: "only networks of the paths \"linear\" and \"gvp\" know it, in the time of such \
                       a path; else end with a step of Euler's"
                    .into(),
            });
        }
        let scratch = vec![T::from_f64(0.0); x.len()];
        Ok(Self {
            path,
            method,
            churn_noise: 0.0,
            steps: steps(process, grid, options, None),
            i: 0,
            requests: 0,
            x,
            base: None,
            d: [scratch.clone(), scratch.clone()],
            z: scratch,
        })
    }

    /// The same with noise before each step. `noise` is drawn from at once: the first draw comes
    /// before the first evaluation. Draw `k` comes before step `k`.
    ///
    /// # Errors
    /// Those of [`OdeSampler::new`]; [`DiffusionError::Combination`] on a path other than
    /// [`OdePath::Sigma`]; [`DiffusionError::Strength`] when a number of the churn is negative or NaN.
    ///
    /// # Panics
    /// As [`OdeSampler::new`].
    pub fn churned(
        process: &Process,
        grid: &Grid,
        options: OdeOptions,
        churn: Churn,
        x: Vec<T>,
        noise: &mut dyn NoiseSource<T>,
    ) -> Result<Self, DiffusionError> {
        churn.check(options.path)?;
        let mut sampler = Self::new(process, grid, options, x)?;
        sampler.churn_noise = churn.noise;
        sampler.steps = steps(process, grid, options, Some(churn));
        sampler.add_churn(noise);
        Ok(sampler)
    }

    /// Adds the noise that comes before step `i`.
    fn add_churn(&mut self, noise: &mut dyn NoiseSource<T>) {
        if let Some(step) = self.steps.get(self.i).filter(|step| step.churn > 0.0) {
            noise.fill(self.i as u32, &mut self.z);
            add_scaled(&mut self.x, step.churn * self.churn_noise, &self.z);
        }
    }
}

impl<T: Real> Sampler<T> for OdeSampler<T> {
    fn request(&self) -> Option<SampleRequest> {
        let step = self.steps.get(self.i)?;
        let node = if self.base.is_some() { step.inner? } else { step.from };
        Some(SampleRequest::at(node, self.requests))
    }

    fn request_count(&self) -> usize {
        self.steps.iter().map(|step| 1 + usize::from(step.inner.is_some())).sum()
    }

    fn state(&self) -> &[T] {
        &self.x
    }

    fn advance(&mut self, prediction: Prediction<'_, T>, noise: &mut dyn NoiseSource<T>) {
        let level = self.request().expect("advance after the end of the run").level;
        self.requests += 1;
        let Step { from, inner, to, .. } = self.steps[self.i];
        let along = |level| self.path.coordinate(level) - self.path.coordinate(from.level);
        let h = along(to);

        let d = &mut self.d[usize::from(self.base.is_some())];
        prediction.combine(level, self.path.slope(level), &self.x, d);
        match (self.base.take(), inner) {
            // x + h d, the whole step.
            (None, None) => add_scaled(&mut self.x, h, &self.d[0]),
            // x + h d or x + h_m d, where the step is evaluated again.
            (None, Some(inner)) => {
                self.base = Some(self.x.clone());
                add_scaled(&mut self.x, along(inner.level), &self.d[0]);
                return;
            }
            // x + ½ h (d + d') or x + h d'.
            (Some(base), _) => {
                self.x = base;
                if self.method == OdeMethod::Heun {
                    add_scaled(&mut self.x, 0.5 * h, &self.d[0]);
                    add_scaled(&mut self.x, 0.5 * h, &self.d[1]);
                } else {
                    add_scaled(&mut self.x, h, &self.d[1]);
                }
            }
        }
        self.i += 1;
        self.add_churn(noise);
    }
}

/// Whether a network of the process can be asked about data without noise.
fn knows_data(process: &Process) -> bool {
    matches!(process, Process::Flow { path: FlowPath::Linear | FlowPath::Gvp, .. })
}

/// Whether the slope along the path is finite at data without noise, for such a network.
fn has_slope_at_data(path: OdePath) -> bool {
    matches!(path, OdePath::Flow(FlowPath::Linear | FlowPath::Gvp))
}

/// The steps from each node of a grid to the next level.
fn steps(process: &Process, grid: &Grid, options: OdeOptions, churn: Option<Churn>) -> Vec<Step> {
    let OdeOptions { path, method, end } = options;
    let count = grid.nodes().len();
    let step = |(i, &node): (usize, &Node)| {
        let g = churn.map_or(0.0, |churn| churn.growth(node.level.noise_per_data(), count));
        let sh = node.level.s * (1.0 + g);
        let grown = NoiseLevel { s: sh, ..node.level };
        let from = if g > 0.0 { process.node(grown) } else { node };
        let to = grid.level(i + 1);
        let inner = match method {
            OdeMethod::Euler => None,
            OdeMethod::Heun => grid
                .nodes()
                .get(i + 1)
                .copied()
                .or_else(|| (to.s > 0.0 || end == OdeEnd::Evaluated).then(|| process.node(to))),
            OdeMethod::Midpoint => path.halfway(grown, to).map(|level| process.node(level)),
        };
        Step { from, inner, to, churn: (sh * sh - node.level.s * node.level.s).sqrt() }
    };
    grid.nodes().iter().enumerate().map(step).collect()
}

impl Churn {
    /// `g` at `sigma` in a run of `count` steps.
    fn growth(self, sigma: f64, count: usize) -> f64 {
        let churns = (self.s_min..=self.s_max).contains(&sigma);
        if churns { (self.amount / count as f64).min(SQRT_2 - 1.0) } else { 0.0 }
    }

    fn check(self, path: OdePath) -> Result<(), DiffusionError> {
        if path != OdePath::Sigma {
            return Err(DiffusionError::Combination {
                what: format!("churn on the path {path:?}"),
                help: "churn is made for sigma; on a flow use its stochastic sampler".into(),
            });
        }
        let Self { amount, s_min, s_max, noise } = self;
        let finite = [("churn amount", amount), ("churn s_min", s_min), ("churn noise", noise)];
        for (name, value) in finite {
            DiffusionError::check_strength(name, value)?;
        }
        if s_max >= 0.0 {
            Ok(())
        } else {
            Err(DiffusionError::Strength { name: "churn s_max", value: s_max })
        }
    }
}
