//! Convergence to the exact end, starts at noise alone, and pairs of solvers that are one.

use crate::common::{Analytic, LAYOUT, Silence, Sines, Worst, mu, start};
use crate::solver::{
    Solver, deterministic, discrete, ends, eps_model, exact, grid_to_last_timestep, largest_error,
    stochastic,
};
use diffusion::{
    DdimSampler, DiffusionTable, DpmForm, DpmOptions, DpmSdeMethod, FinalOrder, FlowPath, Grid,
    Node, NoiseLevel, ObjectiveKind, Prediction, Process, Respacing, SecondOrder, Spacing,
};

/// Errors at the end of runs on the grid that is even in `lambda`, and the orders they fall with.
fn convergence(
    counts: [usize; 4],
    solver: impl Fn(usize) -> (Solver, Grid),
) -> ([f64; 4], [f64; 3]) {
    let [high, low] = ends(&discrete());
    let end = exact(&start(), high, low);
    let errors = counts.map(|count| {
        let (solver, grid) = solver(count);
        let last = solver.run(&eps_model(), &grid, start::<f64>(), &mut Silence).pop();
        largest_error(&last.expect("requests"), &end)
    });
    let orders = std::array::from_fn(|k| {
        (errors[k] / errors[k + 1]).ln() / (counts[k + 1] as f64 / counts[k] as f64).ln()
    });
    (errors, orders)
}

/// The bar is nine tenths of the order, because 20 steps are not yet infinitely many.
fn assert_order(name: &str, (errors, orders): ([f64; 4], [f64; 3]), order: usize) {
    let bar = 0.9 * order as f64;
    assert!(orders.iter().all(|order| *order >= bar), "{name}: {orders:.2?}, errors {errors:?}");
}

#[test]
fn orders_of_convergence() {
    let grid = |count| grid_to_last_timestep(Spacing::LogSnr, count);
    for (solver, order) in deterministic() {
        let measured = convergence([20, 40, 80, 160], |count| (solver.clone(), grid(count)));
        assert_order(&format!("{solver:?}"), measured, order);
    }
    // Steps of one order only: thirds of a step are evaluations of the same grid.
    for form in [DpmForm::Data, DpmForm::Noise] {
        for order in 1..=3 {
            let solver = |count| Solver::Singlestep(form, vec![order; count / order]);
            // At first the errors of order 3 change their sign.
            let counts = [24, 48, 96, 192].map(|count| if order == 3 { 4 * count } else { count });
            let measured = convergence(counts, |count| (solver(count), grid(count)));
            assert_order(&format!("singlestep {form:?} {order}"), measured, order);
        }
    }
}

/// Flows begin with noise alone: an infinite first step, then one answer fewer to interpolate.
#[test]
fn from_noise_alone_to_data_alone() {
    let process = Process::Flow { path: FlowPath::Linear, time_scale: 1000.0 };
    let model = Analytic::on(ObjectiveKind::Flow(FlowPath::Linear), process.clone());
    let grid = |count: usize| {
        let steps: Respacing = count.to_string().parse().expect("a number");
        Grid::new(&process, Spacing::Uniform, &steps, false).expect("a grid")
    };
    let end = exact(&start(), grid(1).level(0), NoiseLevel::DATA);
    let predicts_noise = |solver: &Solver| match solver {
        Solver::Multistep(options) => options.form == DpmForm::Noise,
        Solver::Deis(..) => true,
        _ => false,
    };
    let mut solvers = deterministic();
    solvers.retain(|(solver, _)| !predicts_noise(solver));
    assert_eq!(solvers.len(), 12);
    let last = |solver: &Solver, count: usize| {
        let states = solver.run(&model, &grid(count), start::<f64>(), &mut Silence);
        assert!(states.iter().flatten().all(|x| x.is_finite()), "{solver:?}: {count} steps");
        states.into_iter().last().expect("requests")
    };
    for (solver, _) in &solvers {
        // One step from noise alone to data alone is the predicted data: its mean.
        let means: Vec<f64> = (0..start::<f64>().len()).map(mu).collect();
        assert!(largest_error(&last(solver, 1), &means) < 1e-15, "{solver:?}");
        let errors = [2, 20, 80, 320].map(|count| largest_error(&last(solver, count), &end));
        assert!(errors.is_sorted_by(|coarse, fine| fine < coarse), "{solver:?}: {errors:?}");
        assert!(errors[3] < 0.005, "{solver:?}: {errors:?}");
    }
    // Pairs between a single first and a single last step.
    let pairs = |count: usize| {
        let orders = [vec![1], vec![2; (count - 2) / 2], vec![1]].concat();
        Solver::Singlestep(DpmForm::Data, orders)
    };
    let errors = [4, 10, 40, 160].map(|count| largest_error(&last(&pairs(count), count), &end));
    assert!(errors.is_sorted_by(|coarse, fine| fine < coarse), "{errors:?}");
    assert!(errors[3] < 0.005, "{errors:?}");
}

/// Formulas hold in any coordinates: the same states up to their factors.
#[test]
fn coordinates_change_nothing() {
    let in_sigma = |grid: &Grid| {
        let level = |level: NoiseLevel| NoiseLevel { a: 1.0, s: level.noise_per_data() };
        let node = |node: &Node| Node {
            level: level(node.level),
            input_factor: node.level.a * node.input_factor,
            ..*node
        };
        Grid::of_nodes(grid.nodes().iter().map(node).collect(), level(grid.end()))
    };
    let mut worst = Worst::of("sigma against variance-preserving coordinates");
    for solver in all() {
        let grid = grid_to_last_timestep(Spacing::LogSnr, 20);
        let want = solver.run(&eps_model(), &grid, start::<f64>(), &mut Sines);
        let a = |level: NoiseLevel| level.a;
        let scaled = start::<f64>().into_iter().map(|x| x / a(grid.level(0))).collect();
        let got = solver.run(&eps_model(), &in_sigma(&grid), scaled, &mut Sines);
        let got: Vec<f64> =
            got.last().expect("requests").iter().map(|x| x * a(grid.end())).collect();
        let want = want.last().expect("requests");
        worst.compare(&format!("{solver:?}"), &got, want, 1e-12, 1.0);
    }
}

/// Every solver, those with noise included.
fn all() -> Vec<Solver> {
    deterministic().into_iter().map(|(solver, _)| solver).chain(stochastic()).collect()
}

/// What the network was trained to say changes nothing, nor does f32 but for its roundings: one of the
/// state a step, 20 steps.
#[test]
fn objectives_and_elements() {
    let mut objectives = Worst::of("x0 and v against eps");
    let mut single = Worst::of("f32 against f64");
    let pairs = |form| Solver::Singlestep(form, vec![2; 10]);
    let threes = |form| Solver::Singlestep(form, [vec![3; 6], vec![2]].concat());
    let singlestep = [DpmForm::Data, DpmForm::Noise].map(|form| [pairs(form), threes(form)]);
    for solver in all().into_iter().chain(singlestep.into_iter().flatten()) {
        let grid = grid_to_last_timestep(Spacing::LogSnr, 20);
        let want = solver.run(&eps_model(), &grid, start::<f64>(), &mut Sines);
        for objective in [ObjectiveKind::X0, ObjectiveKind::V] {
            let model = Analytic::on(objective, discrete());
            let got = solver.run(&model, &grid, start::<f64>(), &mut Sines);
            for (got, want) in got.iter().zip(&want) {
                objectives.compare(&format!("{solver:?} {objective:?}"), got, want, 1e-12, 1.0);
            }
            let got = solver.run(&model, &grid, start::<f32>(), &mut Sines);
            for (got, want) in got.iter().zip(&want) {
                single.compare(&format!("{solver:?} {objective:?}"), got, want, 5e-6, 1.0);
            }
        }
    }
}

#[test]
#[should_panic(expected = "only while it has a request")]
fn after_the_last_request() {
    let grid = grid_to_last_timestep(Spacing::LogSnr, 2);
    let solver = Solver::Multistep(Solver::multistep(DpmForm::Data, 2));
    let mut sampler = solver.start(&discrete(), grid, start::<f64>()).expect("a valid case");
    let output = start::<f64>();
    for _ in 0..3 {
        let prediction = Prediction::new(ObjectiveKind::Eps, LAYOUT, &output);
        sampler.advance(prediction, &mut Silence);
    }
}

/// Two solvers on one grid.
fn compare(worst: &mut Worst, grid: &Grid, [first, second]: [Solver; 2], bar: f64) {
    let run = |solver: &Solver| {
        let states = solver.run(&eps_model(), grid, start::<f64>(), &mut Sines);
        states.into_iter().last().expect("requests")
    };
    worst.compare(&format!("{first:?} = {second:?}"), &run(&first), &run(&second), bar, 1.0);
}

#[test]
fn solvers_that_are_one() {
    let mut worst = Worst::of("solvers that are one");
    let multistep = |form, order, second_order| {
        Solver::Multistep(DpmOptions { second_order, ..Solver::multistep(form, order) })
    };
    let heun = SecondOrder::Heun;
    let grid = grid_to_last_timestep(Spacing::LogSnr, 20);
    for order in [1, 2] {
        let pair = [Solver::Deis(order, FinalOrder::Kept), multistep(DpmForm::Noise, order, heun)];
        compare(&mut worst, &grid, pair, 1e-12);
    }
    let forms = [DpmForm::Data, DpmForm::Noise].map(|form| multistep(form, 1, heun));
    compare(&mut worst, &grid, forms, 1e-12);
    let twos = [DpmSdeMethod::TwoStageAncestral, DpmSdeMethod::Sde];
    compare(&mut worst, &grid, twos.map(|method| Solver::Sde(method, 0.0)), 1e-12);

    // Order 1 is DDIM.
    let steps: Respacing = "50".parse().expect("a number");
    let Process::Discrete(schedule) = discrete() else { unreachable!("made so") };
    let table = DiffusionTable::new(&schedule, &steps).expect("a table");
    let grid = Grid::new(&discrete(), Spacing::Uniform, &steps, false).expect("a grid");
    let mut ddim = DdimSampler::new(table, 0.0, start::<f64>()).expect("a valid case");
    let want = eps_model().run(&mut ddim, &mut Silence).pop().expect("requests");
    for form in [DpmForm::Data, DpmForm::Noise] {
        let solver = multistep(form, 1, heun);
        let got = solver.run(&eps_model(), &grid, start::<f64>(), &mut Silence).pop();
        worst.compare("DDIM", &got.expect("requests"), &want, 1e-12, 1.0);
    }
}
