//! DPM-Solver with evaluations inside a step for derivatives.

use super::leap::{DpmForm, Leap};
use super::multistep::check_order;
use super::sums::add_scaled;
use super::walk::Walk;
use super::{SampleRequest, Sampler};
use crate::{DiffusionError, Grid, NoiseLevel, NoiseSource, Prediction, Process, Real, Spacing};
use std::ops::Range;

/// As errors name it.
const SOLVER: &str = "DPM-Solver singlestep";

/// DPM-Solver-1, -2, -3 and their ++ forms. A step from `s` to `t` takes as many consecutive
/// evaluations of the grid as its order, at `s`, `s1`, `s2`, and forgets them. With the base step to any
/// level `u`, `base(u) = keep x_s + g_1(u) m` (DDIM), `m, m1, m2` the answers,
/// `r1 = (lambda_{s1} - lambda_s)/h`, `r2 = (lambda_{s2} - lambda_s)/h`:
///
/// | order | `x_{s1}` | `x_{s2}` | `x_t` |
/// |---|---|---|---|
/// | 1 | | | `base(t)` |
/// | 2 | `base(s1)` | | `base(t) + g_1(t) (m1 - m)/(2 r1)` |
/// | 3 | `base(s1)` | `base(s2) + g_2(s2) (m1 - m) r2/r1` | `base(t) + g_2(t) (m2 - m)/r2` |
///
/// `g_j(u) = a_u h_u phi_j(-h_u)` with `h_u = lambda_u - lambda_s` on predicted data, and
/// `-s_u h_u phi_j(h_u)` on predicted noise, where `phi` is that of [`super::DpmMultistep`].
///
/// Sources: arXiv 2206.00927 algorithms 1 and 2; 2211.01095 algorithm 1.
#[derive(Clone, Debug)]
pub struct DpmSinglestep<T> {
    walk: Walk,
    form: DpmForm,
    /// Evaluations of each step.
    steps: Vec<Range<usize>>,
    /// The step of the present evaluation.
    step: usize,
    x: Vec<T>,
    /// The state at `s`.
    begin: Vec<T>,
    /// `m`.
    first: Vec<T>,
    /// `m1` or `m2`.
    latest: Vec<T>,
}

impl<T: Real> DpmSinglestep<T> {
    /// Starts from `x` `[B, C, H, W]` at the first level of the grid, with steps of the given orders.
    /// [`singlestep_grid`] makes both.
    ///
    /// # Errors
    /// [`DiffusionError::SolverOrder`] for orders other than 1 to 3; [`DiffusionError::Combination`]
    /// when they do not sum up to the evaluations of the grid, when a step of order 2 or 3 begins with
    /// noise alone, ends with data alone or meets a level twice, or for noise form begun with noise
    /// alone.
    pub fn new(
        grid: Grid,
        form: DpmForm,
        orders: &[usize],
        x: Vec<T>,
    ) -> Result<Self, DiffusionError> {
        form.check_start(SOLVER, &grid)?;
        let steps = steps(&grid, orders)?;
        let scratch = vec![T::from_f64(0.0); x.len()];
        Ok(Self {
            walk: Walk::new(grid),
            form,
            steps,
            step: 0,
            x,
            begin: scratch.clone(),
            first: scratch.clone(),
            latest: scratch,
        })
    }
}

/// The evaluations of steps of the given orders.
fn steps(grid: &Grid, orders: &[usize]) -> Result<Vec<Range<usize>>, DiffusionError> {
    let evaluations = grid.nodes().len();
    let mut steps = Vec::new();
    let mut start = 0;
    for &order in orders {
        check_order(SOLVER, order)?;
        steps.push(start..start + order);
        start += order;
    }
    if start != evaluations {
        return Err(DiffusionError::Combination {
            what: format!("{SOLVER}: orders that sum up to {start} on {evaluations} evaluations"),
            help: "a step takes as many evaluations as its order".into(),
        });
    }
    let lambda = |i: usize| grid.level(i).lambda();
    let goes_on = |i: usize| lambda(i).is_finite() && lambda(i) < lambda(i + 1);
    let is_sound = |step: &Range<usize>| {
        step.len() == 1 || (step.clone().all(goes_on) && lambda(step.end).is_finite())
    };
    if let Some(step) = steps.iter().find(|step| !is_sound(step)) {
        return Err(DiffusionError::Combination {
            what: format!(
                "{SOLVER}: a step of order {} over evaluations {} to {} of {evaluations}",
                step.len(),
                step.start + 1,
                step.end
            ),
            help: "it needs levels that gain in ln(a/s) by finite amounts; from noise alone or to \
                   data alone, give it order 1"
                .into(),
        });
    }
    Ok(steps)
}

impl<T: Real> Sampler<T> for DpmSinglestep<T> {
    fn request(&self) -> Option<SampleRequest> {
        self.walk.request()
    }

    fn request_count(&self) -> usize {
        self.walk.len()
    }

    fn state(&self) -> &[T] {
        &self.x
    }

    fn advance(&mut self, prediction: Prediction<'_, T>, _noise: &mut dyn NoiseSource<T>) {
        let i = self.walk.take();
        let step = self.steps[self.step].clone();
        let (s, here) = (self.walk.level(step.start), self.walk.level(i));

        // m at s, then m1 at s1 and m2 at s2.
        if i == step.start {
            self.form.read(prediction, here, &self.x, &mut self.first);
            self.begin.copy_from_slice(&self.x);
        } else {
            self.form.read(prediction, here, &self.x, &mut self.latest);
        }

        // The base step from s to u: s1, s2 or t.
        let u = self.walk.level(i + 1);
        let Leap { keep, gains: [g1, g2, _], .. } = Leap::new(self.form, s, u);
        self.x.copy_from_slice(&self.begin);
        for x in &mut self.x {
            *x = T::from_f64(keep) * *x;
        }
        add_scaled(&mut self.x, g1, &self.first);

        // + weight (m1 - m) or (m2 - m).
        let from_s = |level: NoiseLevel| level.lambda() - s.lambda();
        let weight = match (i - step.start, step.len()) {
            (0, _) => 0.0,
            (_, 2) => g1 * from_s(u) / (2.0 * from_s(here)),
            // From m1 to x_{s2}, and from m2 to x_t: r2/r1 and 1/r2.
            _ => g2 * from_s(u) / from_s(here),
        };
        if i > step.start {
            add_scaled(&mut self.x, weight, &self.latest);
            add_scaled(&mut self.x, -weight, &self.first);
        }

        if i + 1 == step.end {
            self.step += 1;
        }
    }
}

/// The grid of `evaluations` from level `high` to `low` and the orders of the steps on it, up to `order`.
///
/// Order 2: twos, and a one where the number is odd. Order 3: threes, then `2, 1`, `1` or `2`. The ends
/// of the steps are spaced evenly in `lambda` for [`Spacing::LogSnr`]; for the others they are every
/// so many levels of `evaluations + 1` as the orders say. Inside a step the levels are spaced likewise.
///
/// Both levels hold data and noise; the run ends at `low`.
///
/// Source: DPM-Solver-fast of arXiv 2206.00927, as in dpm-solver.
///
/// # Errors
/// [`DiffusionError::SolverOrder`] for an order other than 1 to 3; [`DiffusionError::Combination`] for no
/// evaluations.
pub fn singlestep_grid(
    process: &Process,
    spacing: Spacing,
    [high, low]: [NoiseLevel; 2],
    evaluations: usize,
    order: usize,
) -> Result<(Grid, Vec<usize>), DiffusionError> {
    check_order(SOLVER, order)?;
    if evaluations == 0 {
        return Err(DiffusionError::Combination {
            what: format!("{SOLVER}: no evaluations"),
            help: "give a number of at least 1; 20 is usual".into(),
        });
    }
    let orders = orders(evaluations, order);
    let ends: Vec<NoiseLevel> = if spacing == Spacing::LogSnr {
        spacing.levels(process, high, low, orders.len() + 1)
    } else {
        let fine = spacing.levels(process, high, low, evaluations + 1);
        let after = orders.iter().scan(0, |sum, order| {
            *sum += order;
            Some(fine[*sum])
        });
        std::iter::once(fine[0]).chain(after).collect()
    };
    let mut nodes = Vec::new();
    for (ends, &order) in ends.windows(2).zip(&orders) {
        let inside = spacing.levels(process, ends[0], ends[1], order + 1);
        nodes.extend(inside[..order].iter().map(|&level| process.node(level)));
    }
    Ok((Grid::of_nodes(nodes, low), orders))
}

/// Orders up to `order` that sum up to `evaluations`.
fn orders(evaluations: usize, order: usize) -> Vec<usize> {
    let (whole, rest) = (evaluations / order, evaluations % order);
    let (whole, tail): (usize, &[usize]) = match (order, rest) {
        (3, 0) => (whole - 1, &[2, 1]),
        (_, 0) => (whole, &[]),
        (_, 1) => (whole, &[1]),
        _ => (whole, &[2]),
    };
    std::iter::repeat_n(order, whole).chain(tail.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::orders;

    #[test]
    fn orders_of_every_remainder() {
        assert_eq!(orders(3, 1), [1, 1, 1]);
        assert_eq!(orders(1, 2), [1]);
        assert_eq!(orders(6, 2), [2, 2, 2]);
        assert_eq!(orders(7, 2), [2, 2, 2, 1]);
        assert_eq!(orders(1, 3), [1]);
        assert_eq!(orders(2, 3), [2]);
        assert_eq!(orders(3, 3), [2, 1]);
        assert_eq!(orders(9, 3), [3, 3, 2, 1]);
        assert_eq!(orders(10, 3), [3, 3, 3, 1]);
        assert_eq!(orders(11, 3), [3, 3, 3, 2]);
    }
}
