//! DPM-Solver with earlier answers for derivatives.

use super::leap::{DpmForm, Leap};
use super::multistep::{Answers, FinalOrder, MultistepPlan};
use super::sums::add_scaled;
use super::walk::Walk;
use super::{SampleRequest, Sampler};
use crate::{DiffusionError, Grid, NoiseSource, Prediction, Real};

/// The formula of second order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondOrder {
    /// The answer in the middle of the step, for the whole step.
    Midpoint,
    /// The answer along the step, integrated.
    Heun,
}

/// Which of its many forms [`DpmMultistep`] has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DpmOptions {
    /// The answer that is interpolated: DPM-Solver or DPM-Solver++.
    pub form: DpmForm,
    /// 1 (DDIM) to 3.
    pub order: usize,
    /// The formula of steps of order 2, the second step of a solver of order 3 included.
    pub second_order: SecondOrder,
    /// Share of the reverse SDE, 0 (none) or more; 1 is SDE-DPM-Solver++. In data form only.
    pub eta: f64,
    /// Orders of the last steps.
    pub final_order: FinalOrder,
}

/// DPM-Solver and DPM-Solver++ with one evaluation a step. With `m` the predicted data, `A = a'` and
/// `g_j = A H phi_j(-H)`, `H = (1 + eta)(lambda' - lambda)`,
///
/// | order | `x'` less `(s'/s) e^{-eta h} x + g_1 m_i + s' sqrt(1 - e^{-2 eta h}) z` |
/// |---|---|
/// | 1 | 0 |
/// | 2, midpoint | `½ g_1 d0` |
/// | 2, Heun | `g_2 d0` |
/// | 3 | `g_2 D1 + g_3 D2` |
///
/// `phi_1(z) = (e^z - 1)/z`, `phi_{j+1} = (phi_j - 1/j!)/z`; `d0 = (m_i - m_{i-1})/r0`,
/// `d1 = (m_{i-1} - m_{i-2})/r1`, `D2 = (d0 - d1)/(r0 + r1)`, `D1 = d0 + r0 D2`, where `r0` and `r1` are
/// the lengths of the last two steps per length of this one. On predicted noise `e` the same with
/// `(a'/a) x`, `A = -s'`, `phi_j(h)`, and no `z`.
///
/// The third order takes half of the curvature that a parabola through its answers has, as the
/// published solvers do, so its error falls with the second power of the step and a small factor.
///
/// | solver | options |
/// |---|---|
/// | DPM-Solver++(2M), k-diffusion `dpmpp_2m` | data, 2, midpoint |
/// | SDE-DPM-Solver++(2M), `dpmpp_2m_sde` | data, 2, midpoint, `eta` 1 |
/// | `dpmpp_3m_sde` | data, 3, Heun, `eta` 1 |
/// | DPM-Solver multistep | noise, 1 to 3, midpoint |
///
/// Sources: arXiv 2206.00927; 2211.01095 algorithm 2 and section 5; k-diffusion for `eta`.
#[derive(Clone, Debug)]
pub struct DpmMultistep<T> {
    walk: Walk,
    plan: MultistepPlan,
    options: DpmOptions,
    x: Vec<T>,
    answers: Answers<T>,
    z: Vec<T>,
}

impl<T: Real> DpmMultistep<T> {
    /// Starts from `x` `[B, C, H, W]` at the first level of the grid.
    ///
    /// # Errors
    /// [`DiffusionError::SolverOrder`]; [`DiffusionError::SolverEta`] for an `eta` below 0;
    /// [`DiffusionError::Combination`] for noise form with `eta`, or begun with noise alone.
    pub fn new(grid: Grid, options: DpmOptions, x: Vec<T>) -> Result<Self, DiffusionError> {
        let DpmOptions { form, order, eta, final_order, .. } = options;
        let plan = MultistepPlan::new(SOLVER, &grid, order, final_order)?;
        if !(eta.is_finite() && eta >= 0.0) {
            return Err(DiffusionError::SolverEta { solver: SOLVER, eta });
        }
        if form == DpmForm::Noise && eta > 0.0 {
            return Err(DiffusionError::Combination {
                what: format!("{SOLVER} on predicted noise with eta {eta}"),
                help: "noise is added in data form only".into(),
            });
        }
        form.check_start(SOLVER, &grid)?;
        let answers = Answers::new(order, x.len());
        let z = vec![T::from_f64(0.0); x.len()];
        Ok(Self { walk: Walk::new(grid), plan, options, x, answers, z })
    }

    /// Weights of the answers in step `i`, newest first.
    fn weights(&self, i: usize, leap: &Leap) -> [f64; 3] {
        let mut gains = leap.gains;
        if self.plan.order(i) == 2 && self.options.second_order == SecondOrder::Midpoint {
            gains[1] = 0.5 * gains[0];
        }
        let [m, d1, d2] = self.plan.polynomial(i);
        std::array::from_fn(|j| gains[0] * m[j] + gains[1] * d1[j] + gains[2] * d2[j])
    }
}

/// As errors name it.
const SOLVER: &str = "DPM-Solver";

impl<T: Real> Sampler<T> for DpmMultistep<T> {
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
        let (from, to) = (self.walk.level(i), self.walk.level(i + 1));
        let DpmOptions { form, eta, .. } = self.options;

        // m_i.
        form.read(prediction, from, &self.x, self.answers.renew());

        // x' = keep x + the integral of the polynomial through m_i, m_{i-1}, ...
        let leap = match form {
            DpmForm::Data => Leap::stochastic(from, to, eta),
            DpmForm::Noise => Leap::new(form, from, to),
        };
        let weights = self.weights(i, &leap);
        self.answers.step(&mut self.x, leap.keep, &weights[..self.plan.order(i)]);

        // + s' sqrt(1 - e^{-2 eta h}) z; none where s' = 0.
        if leap.deviation > 0.0 {
            noise.fill(i as u32, &mut self.z);
            add_scaled(&mut self.x, leap.deviation, &self.z);
        }
    }
}
