//! The reverse stochastic equation along a flow.

use super::sums::add_scaled;
use super::{DiffusionForm, OdePath, SampleRequest, Sampler};
use crate::{
    DiffusionError, FlowPath, Grid, Mix, Node, NoiseLevel, NoiseSource, Prediction, Process, Real,
};

/// How a step finds its drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdeMethod {
    /// That at its start, noise last. One evaluation a step.
    EulerMaruyama,
    /// SiT's: noise first, then the mean of the drifts there and where they lead. Two evaluations.
    Heun,
}

/// What the step from the last evaluation of the grid to its end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastStep {
    /// The drift alone: `x + h (u + w score)`.
    Mean,
    /// The predicted data, `x/a + (s²/a) score`.
    Tweedie,
    /// The velocity alone: `x + h u`.
    Euler,
    /// A step like those before it, with noise.
    None,
}

/// The choices of a [`FlowSde`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowSdeOptions {
    /// The path whose time is followed: the coordinates of grid and state.
    pub path: FlowPath,
    /// The shape of `w`.
    pub form: DiffusionForm,
    /// The factor of the shape.
    pub norm: f64,
    /// The method.
    pub method: SdeMethod,
    /// The last step.
    pub last_step: LastStep,
}

/// One step: the evaluations it needs, and its noise.
#[derive(Clone, Copy, Debug)]
struct Step {
    from: Node,
    inner: Option<Node>,
    to: NoiseLevel,
    kind: LastStep,
    /// `sqrt(2 w h)`.
    deviation: f64,
}

/// The reverse stochastic equation along a flow path, `u` the velocity, `t` from noise to data:
///
/// `dx = f dt + sqrt(2 w(t)) dW`, `f = u + w score = a' x0_hat + (s' - w/s) n_hat`.
///
/// Euler and Maruyama: `x' = x + h f(x, t) + sqrt(2 w h) z`. SiT's stochastic Heun:
/// `y = x + sqrt(2 w h) z`, `x' = y + ½ h (f(y, t) + f(y + h f(y, t), t'))`; a step to `s = 0` has only
/// the first drift. Draw `k` is that of step `k`.
///
/// Any prediction serves, as `x0_hat` and `n_hat` are all that velocity and score are made of.
///
/// Source: arXiv 2401.08740 section 2; steps and last steps as `transport` of SiT 947f95b (MIT).
#[derive(Clone, Debug)]
pub struct FlowSde<T> {
    options: FlowSdeOptions,
    steps: Vec<Step>,
    /// The step that is being made.
    i: usize,
    requests: usize,
    x: Vec<T>,
    /// Where the step began, while it waits for its inner evaluation.
    base: Option<Vec<T>>,
    /// The drifts at the start of the step and at its end.
    drift: [Vec<T>; 2],
    z: Vec<T>,
}

impl<T: Real> FlowSde<T> {
    /// Starts from `x` `[B, C, H, W]` at the first level of the grid, which is on the path. `process`
    /// is that of the network. `noise` is drawn from at once by [`SdeMethod::Heun`], whose first draw
    /// comes before the first evaluation.
    ///
    /// # Errors
    /// [`DiffusionError::Strength`] when the norm is negative or not finite;
    /// [`DiffusionError::Combination`] when `w` is infinite at a level of the grid, as that of
    /// [`DiffusionForm::Sbdm`] is for noise alone.
    ///
    /// # Panics
    /// When the grid is in other coordinates.
    pub fn new(
        process: &Process,
        grid: &Grid,
        options: FlowSdeOptions,
        x: Vec<T>,
        noise: &mut dyn NoiseSource<T>,
    ) -> Result<Self, DiffusionError> {
        OdePath::Flow(options.path).check(grid)?;
        DiffusionError::check_strength("norm of the diffusion", options.norm)?;
        if !grid.nodes().iter().all(|node| options.w(node.level).is_finite()) {
            return Err(DiffusionError::Combination {
                what: "the diffusion form Sbdm from a level without data, where it is infinite"
                    .into(),
                help: "start at t = 0.001, or take another form".into(),
            });
        }
        let scratch = vec![T::from_f64(0.0); x.len()];
        let mut sampler = Self {
            options,
            steps: steps(process, grid, options),
            i: 0,
            requests: 0,
            x,
            base: None,
            drift: [scratch.clone(), scratch.clone()],
            z: scratch,
        };
        if options.method == SdeMethod::Heun {
            sampler.add_noise(noise);
        }
        Ok(sampler)
    }

    /// Adds the noise of step `i`.
    fn add_noise(&mut self, noise: &mut dyn NoiseSource<T>) {
        if let Some(step) = self.steps.get(self.i).filter(|step| step.deviation > 0.0) {
            noise.fill(self.i as u32, &mut self.z);
            add_scaled(&mut self.x, step.deviation, &self.z);
        }
    }
}

impl<T: Real> Sampler<T> for FlowSde<T> {
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
        let Step { from, inner, to, kind, .. } = self.steps[self.i];
        let h = self.options.path.time(to) - self.options.path.time(from.level);

        let drift = &mut self.drift[usize::from(self.base.is_some())];
        prediction.combine(level, self.options.drift(level, kind), &self.x, drift);
        match (self.base.take(), inner) {
            (None, None) if kind == LastStep::Tweedie => self.x.clone_from(drift),
            // x + h f, the whole step.
            (None, None) => add_scaled(&mut self.x, h, drift),
            // x + h f, where the step is evaluated again.
            (None, Some(_)) => {
                self.base = Some(self.x.clone());
                add_scaled(&mut self.x, h, drift);
                return;
            }
            // x + ½ h (f + f').
            (Some(base), _) => {
                self.x = base;
                for drift in &self.drift {
                    add_scaled(&mut self.x, 0.5 * h, drift);
                }
            }
        }

        // Noise ends a step of Euler and Maruyama, and begins the next one of Heun.
        if self.options.method == SdeMethod::EulerMaruyama {
            self.add_noise(noise);
        }
        self.i += 1;
        if self.options.method == SdeMethod::Heun {
            self.add_noise(noise);
        }
    }
}

impl FlowSdeOptions {
    /// `w` at a level.
    fn w(self, level: NoiseLevel) -> f64 {
        self.norm * self.form.at(self.path, self.path.time(level))
    }

    /// Weights of (`x0`, `n`) in what a step takes from the prediction at a level: the drift, the
    /// velocity, or the data itself.
    fn drift(self, level: NoiseLevel, kind: LastStep) -> Mix {
        let Mix { first, second } = OdePath::Flow(self.path).slope(level);
        match kind {
            LastStep::Mean | LastStep::None => {
                Mix { first, second: second - self.w(level) / level.s }
            }
            LastStep::Euler => Mix { first, second },
            LastStep::Tweedie => Mix { first: 1.0, second: 0.0 },
        }
    }
}

/// The steps from each node of a grid to the next level.
fn steps(process: &Process, grid: &Grid, options: FlowSdeOptions) -> Vec<Step> {
    let last = grid.nodes().len() - 1;
    let step = |(i, &from): (usize, &Node)| {
        let kind = if i == last { options.last_step } else { LastStep::None };
        let to = grid.level(i + 1);
        let is_heun = options.method == SdeMethod::Heun && kind == LastStep::None && to.s > 0.0;
        let next = || grid.nodes().get(i + 1).copied().unwrap_or_else(|| process.node(to));
        let h = options.path.time(to) - options.path.time(from.level);
        let is_noisy = kind == LastStep::None;
        let deviation = if is_noisy { (2.0 * options.w(from.level) * h).sqrt() } else { 0.0 };
        Step { from, inner: is_heun.then(next), to, kind, deviation }
    };
    grid.nodes().iter().enumerate().map(step).collect()
}
