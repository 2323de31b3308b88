//! Two evaluations a step, with new noise.

use super::ancestral::{AncestralStep, ancestral_step};
use super::leap::{DpmForm, Leap};
use super::sums::add_scaled;
use super::walk::Walk;
use super::{SampleRequest, Sampler};
use crate::{DiffusionError, Grid, Node, NoiseLevel, NoiseSource, Prediction, Process, Real};

/// Where the two evaluations of a step stand, and where noise is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpmSdeMethod {
    /// DPM-Solver++(2S) to `down`, the middle one at `sqrt(sigma down)`, then noise: k-diffusion's
    /// `dpmpp_2s_ancestral`.
    TwoStageAncestral,
    /// DPM-Solver++(2S) of the SDE with `r = ½`: the middle one at `sqrt(sigma sigma')`, reached by an
    /// ancestral step of its own, then noise again: k-diffusion's `dpmpp_sde`.
    Sde,
}

/// Stochastic DPM-Solver++ with two evaluations a step. With `sigma = s/a` and
/// `(down, up) = ancestral_step(sigma, sigma', eta)`, in coordinates of `a = 1`, `D` the predicted data:
///
/// `x' = (down/sigma) x + (1 - down/sigma) D(x_m) + up z`, `x_m` at `sigma_m`:
///
/// | method | `sigma_m` | `x_m` |
/// |---|---|---|
/// | 2S ancestral | `sqrt(sigma down)` | `(sigma_m/sigma) x + (1 - sigma_m/sigma) D(x)` |
/// | SDE | `sqrt(sigma sigma')` | `(down_m/sigma) x + (1 - down_m/sigma) D(x) + up_m z` |
///
/// `down_m` and `up_m` are those of the ancestral step from `sigma` to `sigma_m`.
/// Where `down` is 0, and from noise alone, one evaluation makes the step: `D(x)` instead of `D(x_m)`.
/// Draws are numbered as they are made; there is none at the end of a run to data.
///
/// Sources: arXiv 2211.01095 algorithm 1, with noise as in k-diffusion.
#[derive(Clone, Debug)]
pub struct DpmSde<T> {
    walk: Walk,
    /// What is made of each evaluation.
    stages: Vec<Stage>,
    /// Number of the next draw.
    draw_index: u32,
    x: Vec<T>,
    /// The state that the step began with.
    begin: Vec<T>,
    x0: Vec<T>,
    z: Vec<T>,
}

/// What is made of an evaluation: a deterministic part from the begin of the step, then noise.
#[derive(Clone, Copy, Debug)]
struct Stage {
    /// Whether the step begins at this evaluation.
    begins: bool,
    /// Where the step began.
    from: NoiseLevel,
    /// Where its deterministic part ends.
    down: NoiseLevel,
    /// Standard deviation of the noise to add.
    up: f64,
}

impl<T: Real> DpmSde<T> {
    /// Starts from `x` `[B, C, H, W]` at the first level of the grid. `process` is what the network was
    /// trained on, for the evaluations in between. `eta` is the share of noise, usually 1.
    ///
    /// # Errors
    /// [`DiffusionError::SolverEta`] for an `eta` below 0.
    pub fn new(
        process: &Process,
        grid: &Grid,
        method: DpmSdeMethod,
        eta: f64,
        x: Vec<T>,
    ) -> Result<Self, DiffusionError> {
        if !(eta.is_finite() && eta >= 0.0) {
            return Err(DiffusionError::SolverEta { solver: "DPM-Solver SDE", eta });
        }
        let mut evaluations = Vec::new();
        for (i, &node) in grid.nodes().iter().enumerate() {
            evaluations.extend(stages(process, node, grid.level(i + 1), method, eta));
        }
        let (nodes, stages) = evaluations.into_iter().unzip();
        let scratch = vec![T::from_f64(0.0); x.len()];
        Ok(Self {
            walk: Walk::new(Grid::of_nodes(nodes, grid.end())),
            stages,
            draw_index: 0,
            x,
            begin: scratch.clone(),
            x0: scratch.clone(),
            z: scratch,
        })
    }
}

/// The evaluations of the step from `node` to `to`, one or two.
fn stages(
    process: &Process,
    node: Node,
    to: NoiseLevel,
    method: DpmSdeMethod,
    eta: f64,
) -> Vec<(Node, Stage)> {
    let from = node.level;
    let (sigma, sigma_next) = (from.noise_per_data(), to.noise_per_data());
    let stage = |begins: bool, to: NoiseLevel, step: AncestralStep| {
        let down = NoiseLevel { a: to.a, s: to.a * step.down };
        Stage { begins, from, down, up: to.a * step.up }
    };
    let whole = ancestral_step(sigma, sigma_next, eta);
    let ends_at_data = match method {
        DpmSdeMethod::TwoStageAncestral => whole.down == 0.0,
        DpmSdeMethod::Sde => sigma_next == 0.0,
    };
    if ends_at_data || sigma.is_infinite() {
        return vec![(node, stage(true, to, whole))];
    }
    let (sigma_m, eta_m) = match method {
        DpmSdeMethod::TwoStageAncestral => ((sigma * whole.down).sqrt(), 0.0),
        DpmSdeMethod::Sde => ((sigma * sigma_next).sqrt(), eta),
    };
    let middle = process.node_at(process.time(NoiseLevel { a: 1.0, s: sigma_m }));
    let to_middle = ancestral_step(sigma, middle.level.noise_per_data(), eta_m);
    vec![(node, stage(true, middle.level, to_middle)), (middle, stage(false, to, whole))]
}

impl<T: Real> Sampler<T> for DpmSde<T> {
    fn request(&self) -> Option<SampleRequest> {
        self.walk.request()
    }

    fn request_count(&self) -> usize {
        self.walk.len()
    }

    fn state(&self) -> &[T] {
        &self.x
    }

    fn advance(&mut self, prediction: Prediction<'_, T>, noise: &mut dyn NoiseSource<T>) {
        let i = self.walk.take();
        let stage = self.stages[i];

        // D(x) or D(x_m).
        prediction.x0(self.walk.level(i), &self.x, &mut self.x0);
        if stage.begins {
            self.begin.copy_from_slice(&self.x);
        }

        // From the begin of the step down.
        let leap = Leap::new(DpmForm::Data, stage.from, stage.down);
        let (keep, gain) = (T::from_f64(leap.keep), T::from_f64(leap.gains[0]));
        for ((x, &begin), &x0) in self.x.iter_mut().zip(&self.begin).zip(&self.x0) {
            *x = keep * begin + gain * x0;
        }

        // + up z.
        if stage.up > 0.0 {
            noise.fill(self.draw_index, &mut self.z);
            add_scaled(&mut self.x, stage.up, &self.z);
            self.draw_index += 1;
        }
    }
}
