//! Any of the samplers, for elements of either type.

use crate::common::{Analytic, DATA_DEVIATION, linear_1000, mu};
use diffusion::{
    Deis, DiffusionError, DpmForm, DpmMultistep, DpmOptions, DpmSde, DpmSdeMethod, DpmSinglestep,
    FinalOrder, Grid, NoiseLevel, NoiseSource, ObjectiveKind, Process, Real, Sampler, SecondOrder,
    Spacing, UniPc, UniPcB, singlestep_grid,
};

/// A sampler and its options.
#[derive(Clone, Debug)]
pub(crate) enum Solver {
    Multistep(DpmOptions),
    /// The form and the orders.
    Singlestep(DpmForm, Vec<usize>),
    UniPc(usize, UniPcB),
    Deis(usize, FinalOrder),
    /// The method and `eta`.
    Sde(DpmSdeMethod, f64),
}

impl Solver {
    /// DPM-Solver multistep: midpoint, deterministic, the final orders kept.
    pub(crate) fn multistep(form: DpmForm, order: usize) -> DpmOptions {
        let (second_order, final_order) = (SecondOrder::Midpoint, FinalOrder::Kept);
        DpmOptions { form, order, second_order, eta: 0.0, final_order }
    }

    /// Starts a run.
    pub(crate) fn start<T: Real>(
        &self,
        process: &Process,
        grid: Grid,
        x: Vec<T>,
    ) -> Result<Box<dyn Sampler<T>>, DiffusionError> {
        Ok(match self {
            Self::Multistep(options) => Box::new(DpmMultistep::new(grid, *options, x)?),
            Self::Singlestep(form, orders) => Box::new(DpmSinglestep::new(grid, *form, orders, x)?),
            Self::UniPc(order, b) => Box::new(UniPc::new(grid, *order, *b, x)?),
            Self::Deis(order, last) => Box::new(Deis::new(grid, *order, *last, x)?),
            Self::Sde(method, eta) => Box::new(DpmSde::new(process, &grid, *method, *eta, x)?),
        })
    }

    /// The states after every request of a run.
    pub(crate) fn run<T: Real>(
        &self,
        model: &Analytic,
        grid: &Grid,
        x: Vec<T>,
        noise: &mut dyn NoiseSource<T>,
    ) -> Vec<Vec<T>> {
        let mut sampler = self.start(&model.process, grid.clone(), x).expect("a valid case");
        let count = sampler.request_count();
        let states = model.run(sampler.as_mut(), noise);
        assert_eq!(states.len(), count, "{self:?}: requests");
        states
    }
}

/// Every sampler without noise, with the order it is expected to have: DPM-Solver multistep of order 3
/// takes half of the curvature, and has 2.
pub(crate) fn deterministic() -> Vec<(Solver, usize)> {
    use DpmForm::{Data, Noise};
    let mut solvers = Vec::new();
    for form in [Data, Noise] {
        for order in 1..=3 {
            solvers.push((Solver::Multistep(Solver::multistep(form, order)), order.min(2)));
        }
        let options = Solver::multistep(form, 2);
        let heun = DpmOptions { second_order: SecondOrder::Heun, ..options };
        solvers.push((Solver::Multistep(heun), 2));
    }
    for order in 1..=3 {
        solvers.push((Solver::Deis(order, FinalOrder::Kept), order));
        for b in [UniPcB::Bh1, UniPcB::Bh2] {
            // The corrector is of one order more, except where that would be the fourth: its steps at
            // the start are of less.
            solvers.push((Solver::UniPc(order, b), (order + 1).min(3)));
        }
    }
    for method in [DpmSdeMethod::TwoStageAncestral, DpmSdeMethod::Sde] {
        solvers.push((Solver::Sde(method, 0.0), 2));
    }
    solvers
}

/// Every sampler with noise.
pub(crate) fn stochastic() -> Vec<Solver> {
    let data = |order| DpmOptions { eta: 1.0, ..Solver::multistep(DpmForm::Data, order) };
    let heun = DpmOptions { second_order: SecondOrder::Heun, ..data(3) };
    let methods = [DpmSdeMethod::TwoStageAncestral, DpmSdeMethod::Sde];
    [data(1), data(2), heun]
        .map(Solver::Multistep)
        .into_iter()
        .chain(methods.map(|method| Solver::Sde(method, 1.0)))
        .collect()
}

/// The linear schedule as a process.
pub(crate) fn discrete() -> Process {
    Process::Discrete(linear_1000())
}

/// Its first and its last level.
pub(crate) fn ends(process: &Process) -> [NoiseLevel; 2] {
    [process.level(999.0), process.level(0.0)]
}

/// `count` evaluations of that process that end at its last timestep.
pub(crate) fn grid_to_last_timestep(spacing: Spacing, count: usize) -> Grid {
    let process = discrete();
    let [high, low] = ends(&process);
    let levels = spacing.levels(&process, high, low, count + 1);
    Grid::of_nodes(levels[..count].iter().map(|&level| process.node(level)).collect(), low)
}

/// The singlestep solver with its grid of `count` evaluations of that process.
pub(crate) fn singlestep(
    form: DpmForm,
    order: usize,
    spacing: Spacing,
    count: usize,
) -> (Solver, Grid) {
    let process = discrete();
    let ends = ends(&process);
    let (grid, orders) = singlestep_grid(&process, spacing, ends, count, order).expect("a grid");
    (Solver::Singlestep(form, orders), grid)
}

/// The model that predicts noise, trained on that process.
pub(crate) fn eps_model() -> Analytic {
    Analytic::on(ObjectiveKind::Eps, discrete())
}

/// Where the probability flow brings `x` from one level to another.
pub(crate) fn exact(x: &[f64], from: NoiseLevel, to: NoiseLevel) -> Vec<f64> {
    let deviation = |level: NoiseLevel| (level.a * DATA_DEVIATION).hypot(level.s);
    let ratio = deviation(to) / deviation(from);
    x.iter().enumerate().map(|(i, x)| to.a * mu(i) + ratio * (x - from.a * mu(i))).collect()
}

/// The largest difference.
pub(crate) fn largest_error<T: Real>(got: &[T], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(got, want)| (got.to_f64() - want).abs()).fold(0.0, f64::max)
}
