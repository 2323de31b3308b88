//! Laws of the solvers of the probability flow: order, any objective, any coordinates, f32.

mod common;

use common::exact::{chain, distance, flow_to, order};
use common::{Analytic, DATA_DEVIATION, Silence, Sines, Worst, linear_1000, mu, start};
use diffusion::{
    Churn, DiffusionError, EulerAncestral, FlowPath, Grid, LmsSampler, NoiseLevel, ObjectiveKind,
    OdeEnd, OdeMethod, OdeOptions, OdePath, OdeSampler, PndmSampler, Prediction, Process, Real,
    Sampler, Spacing,
};

const EDM: ObjectiveKind = ObjectiveKind::Edm { sigma_data: 0.5 };
const KARRAS: Spacing = Spacing::Karras { rho: 7.0 };

fn flow(path: FlowPath) -> Process {
    Process::Flow { path, time_scale: 1000.0 }
}

fn grid(process: &Process, spacing: Spacing, count: usize, needs_data: bool) -> Grid {
    let steps = count.to_string().parse().expect("a valid case");
    Grid::new(process, spacing, &steps, needs_data).expect("a valid case")
}

/// A start at the first level of a grid: as much of the goldens' start as there is noise.
fn start_at<T: Real>(grid: &Grid) -> Vec<T> {
    start::<f64>().iter().map(|x| T::from_f64(grid.level(0).s * x)).collect()
}

fn ode<T: Real>(
    process: &Process,
    grid: &Grid,
    (path, method, end): (OdePath, OdeMethod, OdeEnd),
) -> Box<dyn Sampler<T>> {
    let options = OdeOptions { path, method, end };
    Box::new(OdeSampler::new(process, grid, options, start_at(grid)).expect("a valid case"))
}

/// How far from the exact end a run without noise ends.
fn error(model: &Analytic, grid: &Grid, sampler: &mut dyn Sampler<f64>) -> f64 {
    let exact = flow_to(&start_at::<f64>(grid), grid.level(0), grid.end());
    distance(model.run(sampler, &mut Silence).last().expect("a valid case"), &exact)
}

/// Order of convergence from 20 to 160 steps of whatever solves a grid.
fn measured_order(
    model: &Analytic,
    grid: &dyn Fn(usize) -> Grid,
    sampler: &dyn Fn(&Grid) -> Box<dyn Sampler<f64>>,
) -> f64 {
    let error = |count| {
        let grid = grid(count);
        (count, error(model, &grid, sampler(&grid).as_mut()))
    };
    order(error(20), error(160))
}

#[test]
fn orders_in_sigma() {
    let process = Process::edm(0.5);
    let model = Analytic::on(EDM, process.clone());
    for (method, least) in
        [(OdeMethod::Euler, 0.9), (OdeMethod::Heun, 1.8), (OdeMethod::Midpoint, 1.8)]
    {
        let choices = (OdePath::Sigma, method, OdeEnd::Euler);
        let measured =
            measured_order(&model, &|count| grid(&process, KARRAS, count, true), &|grid| {
                ode(&process, grid, choices)
            });
        assert!(measured >= least, "{method:?}: {measured}");
    }
}

#[test]
fn orders_in_flow_time() {
    for path in [FlowPath::Linear, FlowPath::Gvp] {
        let process = flow(path);
        let model = Analytic::on(ObjectiveKind::Flow(path), process.clone());
        for (method, end, least) in [
            (OdeMethod::Euler, OdeEnd::Euler, 0.9),
            (OdeMethod::Heun, OdeEnd::Euler, 1.8),
            (OdeMethod::Heun, OdeEnd::Evaluated, 1.8),
            (OdeMethod::Midpoint, OdeEnd::Euler, 1.8),
        ] {
            let measured = measured_order(
                &model,
                &|count| grid(&process, Spacing::Uniform, count, false),
                &|grid| ode(&process, grid, (OdePath::Flow(path), method, end)),
            );
            assert!(measured >= least, "{path:?} {method:?} {end:?}: {measured}");
        }
    }
}

/// Every solver without noise, on a grid in whatever coordinates.
fn solvers<T: Real>(process: &Process, grid: &Grid) -> Vec<(String, Grid, Box<dyn Sampler<T>>)> {
    let lms = |order| {
        let sampler =
            LmsSampler::new(grid.clone(), order, start_at::<T>(grid)).expect("a valid case");
        (format!("lms{order}"), grid.clone(), Box::new(sampler) as Box<dyn Sampler<T>>)
    };
    let ancestral =
        EulerAncestral::new(grid.clone(), 0.0, start_at::<T>(grid)).expect("a valid case");
    let pndm = PndmSampler::new(grid.clone(), start_at::<T>(grid));
    let mut solvers = vec![lms(1), lms(2), lms(3), lms(4)];
    solvers.push(("ancestral, eta 0".into(), grid.clone(), Box::new(ancestral)));
    solvers.push(("pndm".into(), grid.clone(), Box::new(pndm)));
    for method in [OdeMethod::Euler, OdeMethod::Heun, OdeMethod::Midpoint] {
        let paths = [
            (OdePath::Sigma, grid.in_sigma()),
            (OdePath::Flow(FlowPath::Linear), grid.on_path(FlowPath::Linear)),
            (OdePath::Flow(FlowPath::Gvp), grid.on_path(FlowPath::Gvp)),
        ];
        for (path, grid) in paths {
            if path != OdePath::Sigma || grid.level(0).s.is_finite() {
                let sampler = ode(process, &grid, (path, method, OdeEnd::Euler));
                solvers.push((format!("{method:?} on {path:?}"), grid, sampler));
            }
        }
    }
    solvers
}

/// A network that predicts perfectly leads to the exact end whatever it was trained to say, whatever the
/// solver, and in any coordinates; from noise alone where its process begins there.
#[test]
fn any_objective_reaches_the_exact_end_with_any_solver() {
    let discrete = || Process::Discrete(linear_1000());
    let cases = [
        (ObjectiveKind::Eps, discrete(), Spacing::LogSnr, true),
        (ObjectiveKind::EpsHybrid, discrete(), Spacing::LogSnr, true),
        (ObjectiveKind::X0, discrete(), Spacing::LogSnr, true),
        (ObjectiveKind::V, discrete(), Spacing::LogSnr, true),
        (EDM, Process::edm(0.5), KARRAS, true),
        (ObjectiveKind::Flow(FlowPath::Linear), flow(FlowPath::Linear), Spacing::Uniform, true),
        (ObjectiveKind::Flow(FlowPath::Linear), flow(FlowPath::Linear), Spacing::Uniform, false),
        (ObjectiveKind::Flow(FlowPath::Gvp), flow(FlowPath::Gvp), Spacing::Uniform, false),
        (ObjectiveKind::Flow(FlowPath::Vp), flow(FlowPath::Vp), Spacing::Uniform, false),
    ];
    for (objective, process, spacing, needs_data) in cases {
        let model = Analytic::on(objective, process.clone());
        let [coarse, fine] = [40, 320]
            .map(|count| solvers::<f64>(&process, &grid(&process, spacing, count, needs_data)));
        for ((name, coarse_grid, mut coarse), (_, fine_grid, mut fine)) in
            coarse.into_iter().zip(fine)
        {
            let errors = [
                error(&model, &coarse_grid, coarse.as_mut()),
                error(&model, &fine_grid, fine.as_mut()),
            ];
            let what = format!("{objective:?} from {:?}, {name}", coarse_grid.level(0));
            // A network of timesteps is never told of less noise than its first timestep has, where
            // the midpoint of the step to data lies.
            let floor = if objective.is_discrete() { 3e-4 } else { 0.0 };
            let falls = errors[1] < 0.25 * errors[0] || errors[1] < floor;
            assert!(errors[1] < 0.01 && falls, "{what}: {errors:?}");
        }
    }
}

/// The same run in f32, on a network that answers in f64. Bar: PLMS takes differences of terms 26 times the
/// state in its step from `t = .001`, each rounded to 1e-7 of itself; 7.4e-6 was measured.
#[test]
fn single_precision() {
    let cases = [
        (ObjectiveKind::Eps, Process::Discrete(linear_1000()), Spacing::LogSnr),
        (EDM, Process::edm(0.5), KARRAS),
        (ObjectiveKind::Flow(FlowPath::Linear), flow(FlowPath::Linear), Spacing::Uniform),
    ];
    let mut worst = Worst::of("solvers in f32");
    for (objective, process, spacing) in cases {
        let model = Analytic::on(objective, process.clone());
        let grid = grid(&process, spacing, 40, true);
        let doubles = solvers::<f64>(&process, &grid);
        for ((name, _, mut single), (_, _, mut double)) in
            solvers::<f32>(&process, &grid).into_iter().zip(doubles)
        {
            let got = model.run(single.as_mut(), &mut Silence).pop().unwrap();
            let want = model.run(double.as_mut(), &mut Silence).pop().unwrap();
            worst.compare(&format!("{objective:?} {name}"), &got, &want, 2e-5, 1.0);
        }
    }
}

/// LMS of one prediction, the ancestral step without noise, and Euler's in sigma and along a straight line
/// are one and the same step.
#[test]
fn first_order_is_the_same_everywhere() {
    let process = Process::Discrete(linear_1000());
    let model = Analytic::on(ObjectiveKind::V, process.clone());
    let grid = grid(&process, Spacing::LogSnr, 10, true);
    let mut ends = solvers::<f64>(&process, &grid)
        .into_iter()
        .filter(|(name, ..)| {
            ["lms1", "ancestral, eta 0", "Euler on Sigma", "Euler on Flow(Linear)"]
                .contains(&name.as_str())
        })
        .map(|(name, _, mut sampler)| {
            let end = model.run(sampler.as_mut(), &mut Silence).pop().unwrap();
            (name, end)
        });
    let (_, want) = ends.next().unwrap();
    let mut worst = Worst::of("first order");
    let mut others = 0;
    for (name, end) in ends {
        worst.compare(&name, &end, &want, 1e-12, 1.0);
        others += 1;
    }
    assert_eq!(others, 3);
}

/// With noise a run of a perfect network ends in the data's distribution, as far as its steps are small.
#[test]
fn chains_of_stochastic_solvers_in_sigma() {
    let process = Process::edm(0.5);
    let model = Analytic::on(EDM, process.clone());
    let errors = |count: usize, ancestral: bool| {
        let grid = grid(&process, KARRAS, count, true);
        let (mean, deviation) = chain(&model, grid.level(0), count, |x, noise| {
            if ancestral {
                return Box::new(EulerAncestral::new(grid.clone(), 1.0, x).unwrap());
            }
            let churn = Churn { amount: 30.0, s_min: 0.01, s_max: 50.0, noise: 1.0 };
            let (path, method, end) = (OdePath::Sigma, OdeMethod::Heun, OdeEnd::Euler);
            let options = OdeOptions { path, method, end };
            let run = OdeSampler::churned(&process, &grid, options, churn, x, noise);
            Box::new(run.unwrap())
        });
        let means: Vec<f64> = (0..8).map(mu).collect();
        [distance(&mean, &means), (deviation - DATA_DEVIATION).abs()]
    };
    for ancestral in [true, false] {
        let (coarse, fine) = (errors(40, ancestral), errors(320, ancestral));
        assert!(fine[0] < 1e-12 && fine[1] < 0.015, "ancestral {ancestral}: {fine:?}");
        assert!(fine[1] < 0.25 * coarse[1], "ancestral {ancestral}: {coarse:?}, {fine:?}");
    }
}

/// Noise that ancestral sampling draws in other coordinates is the same noise.
#[test]
fn ancestral_steps_in_any_coordinates() {
    let process = Process::Discrete(linear_1000());
    let model = Analytic::on(ObjectiveKind::Eps, process.clone());
    let grid = grid(&process, Spacing::LogSnr, 20, true);
    let [want, sigma, linear] = [grid.clone(), grid.in_sigma(), grid.on_path(FlowPath::Linear)]
        .map(|grid| {
            let mut sampler =
                EulerAncestral::new(grid.clone(), 0.7, start_at::<f64>(&grid)).unwrap();
            model.run(&mut sampler, &mut Sines).pop().unwrap()
        });
    let mut worst = Worst::of("ancestral in any coordinates");
    worst.compare("sigma", &sigma, &want, 1e-12, 1.0);
    worst.compare("linear", &linear, &want, 1e-12, 1.0);
}

/// From noise alone with as much noise as fits, the first step keeps nothing of its start.
#[test]
fn ancestral_steps_from_noise_alone() {
    let process = flow(FlowPath::Linear);
    let grid = grid(&process, Spacing::Uniform, 10, false);
    assert_eq!(grid.level(0), NoiseLevel { a: 0.0, s: 1.0 });
    let model = Analytic::on(ObjectiveKind::Flow(FlowPath::Linear), process);
    let mut sampler = EulerAncestral::new(grid, 1.0, start::<f64>()).unwrap();
    let first = model.run(&mut sampler, &mut Sines).swap_remove(0);
    // At t = .1: the mean of the data, and draw 0.
    let want: Vec<f64> = (0..8).map(|i| 0.1 * mu(i) + 0.9 * common::noise(0, i)).collect();
    Worst::of("ancestral from noise").compare("state", &first, &want, 1e-12, 1.0);
}

/// PLMS told any noise: each state from its formula. A network's own answers change too little to tell
/// factors from one another.
#[test]
fn factors_of_plms() {
    let process = Process::Discrete(linear_1000());
    let grid = grid(&process, Spacing::LogSnr, 6, true);
    let e = |k: usize| (0..8).map(|i| common::noise(k, i)).collect::<Vec<f64>>();
    // Which evaluations, by number, make the step of evaluation k. Number 1 makes step 0 again.
    let steps: [(usize, &[(usize, f64)]); 7] = [
        (0, &[(0, 1.0)]),
        (0, &[(0, 0.5), (1, 0.5)]),
        (1, &[(2, 1.5), (0, -0.5)]),
        (2, &[(3, 23.0 / 12.0), (2, -16.0 / 12.0), (0, 5.0 / 12.0)]),
        (3, &[(4, 55.0 / 24.0), (3, -59.0 / 24.0), (2, 37.0 / 24.0), (0, -9.0 / 24.0)]),
        (4, &[(5, 55.0 / 24.0), (4, -59.0 / 24.0), (3, 37.0 / 24.0), (2, -9.0 / 24.0)]),
        (5, &[(6, 55.0 / 24.0), (5, -59.0 / 24.0), (4, 37.0 / 24.0), (3, -9.0 / 24.0)]),
    ];
    let mut sampler = PndmSampler::new(grid.clone(), start_at::<f64>(&grid));
    let mut states = vec![start_at::<f64>(&grid); 7];
    let mut worst = Worst::of("factors of plms");
    for (k, (step, factors)) in steps.into_iter().enumerate() {
        let output = e(k);
        let prediction = Prediction::new(ObjectiveKind::Eps, common::LAYOUT, &output);
        sampler.advance(prediction, &mut Silence);
        let (from, to) = (grid.level(step), grid.level(step + 1));
        let want: Vec<f64> = (0..8)
            .map(|i| {
                let n: f64 = factors.iter().map(|&(k, factor)| factor * e(k)[i]).sum();
                to.a * (states[step][i] - from.s * n) / from.a + to.s * n
            })
            .collect();
        // Digits are lost where data is a hundredth of the noise.
        worst.compare(&format!("after evaluation {k}"), sampler.state(), &want, 1e-11, 1.0);
        states[step + 1] = want;
    }
    assert!(sampler.request().is_none());
}

/// A grid of one step, from data or noise, is left in one step; of two, the second may be doubled.
#[test]
fn short_runs_of_plms() {
    let process = flow(FlowPath::Linear);
    let model = Analytic::on(ObjectiveKind::Flow(FlowPath::Linear), process.clone());
    for (count, needs_data, requests) in
        [(1, true, 1), (1, false, 1), (2, true, 3), (2, false, 2), (3, false, 4)]
    {
        let grid = grid(&process, Spacing::Uniform, count, needs_data);
        let mut sampler = PndmSampler::new(grid.clone(), start_at::<f64>(&grid));
        assert_eq!(sampler.request_count(), requests, "{count}");
        let mut times = Vec::new();
        while let Some(request) = sampler.request() {
            assert_eq!(request.index, times.len());
            times.push(request.network_time);
            let output = model.output(request, sampler.state());
            let prediction = Prediction::new(model.objective, model.layout, &output);
            sampler.advance(prediction, &mut Silence);
        }
        assert_eq!(times.len(), requests, "{count}");
        assert!(sampler.state().iter().all(|x| x.is_finite()));
        // What is shown where noise alone would be an answer: the mean of the data.
        if count == 1 && !needs_data {
            let means: Vec<f64> = (0..8).map(mu).collect();
            assert!(distance(sampler.state(), &means) < 1e-12);
        }
    }
}

/// The network is shown and told the same, whatever the coordinates of the state.
#[test]
fn grids_in_other_coordinates() {
    for process in [Process::edm(0.5), Process::Discrete(linear_1000()), flow(FlowPath::Gvp)] {
        let grid = grid(&process, Spacing::LogSnr, 7, true);
        let others = [
            grid.in_sigma(),
            grid.on_path(FlowPath::Linear),
            grid.on_path(FlowPath::Gvp),
            grid.on_path(FlowPath::Vp),
        ];
        let mut worst = Worst::of("grids in other coordinates");
        for (k, other) in others.iter().enumerate() {
            assert_eq!(other.nodes().len(), grid.nodes().len());
            assert_eq!(other.end(), NoiseLevel::DATA);
            for (node, own) in other.nodes().iter().zip(grid.nodes()) {
                assert_eq!(node.network_time, own.network_time);
                let on_coordinates = match k {
                    0 => node.level.a,
                    1 => node.level.a + node.level.s,
                    _ => node.level.a.hypot(node.level.s),
                };
                let got = [
                    on_coordinates,
                    node.level.noise_per_data() / own.level.noise_per_data(),
                    // An image of one unit of data in both.
                    node.input_factor * node.level.a / (own.input_factor * own.level.a),
                ];
                // t is near 1 where vp has little noise: its last digit is 1e-12 of the noise.
                worst.compare("node", &got, &[1.0; 3], 1e-11, 0.0);
            }
        }
    }
    let from_noise = grid(&flow(FlowPath::Gvp), Spacing::Uniform, 4, false);
    assert_eq!(from_noise.level(0), NoiseLevel { a: 0.0, s: 1.0 });
    assert_eq!(from_noise.on_path(FlowPath::Linear).level(0), NoiseLevel { a: 0.0, s: 1.0 });
    assert_eq!(from_noise.in_sigma().level(0).s, f64::INFINITY);
}

fn refuse(process: &Process, grid: &Grid, options: OdeOptions) -> DiffusionError {
    OdeSampler::<f64>::new(process, grid, options, start()).expect_err("a wrong case")
}

#[test]
fn wrong_options_are_refused() {
    let (process, path) = (flow(FlowPath::Linear), OdePath::Flow(FlowPath::Linear));
    let even = |needs_data| grid(&process, Spacing::Uniform, 5, needs_data);
    for order in [0, 5] {
        let error = LmsSampler::new(even(true), order, start::<f32>()).unwrap_err();
        assert_eq!(error, DiffusionError::SolverOrder { solver: "LMS", order, most: 4 });
    }
    for eta in [-0.1, f64::INFINITY, f64::NAN] {
        let error = EulerAncestral::new(even(true), eta, start::<f32>()).unwrap_err();
        assert!(error.to_string().contains("Euler ancestral: eta is"), "{error}");
    }

    let options = OdeOptions { path, method: OdeMethod::Heun, end: OdeEnd::Euler };
    let in_sigma = OdeOptions { path: OdePath::Sigma, ..options };
    let error = refuse(&process, &even(false).in_sigma(), in_sigma);
    assert!(error.to_string().contains("t = 0.001"), "{error}");

    // Networks that do not know data without noise, and paths whose slope there is infinite.
    let evaluated = OdeOptions { end: OdeEnd::Evaluated, ..options };
    let discrete = Process::Discrete(linear_1000());
    let vp = OdePath::Flow(FlowPath::Vp);
    for (process, path, grid) in [
        (&discrete, path, even(true)),
        (&Process::edm(0.5), path, even(true)),
        (&process, OdePath::Sigma, even(true).in_sigma()),
        (&process, vp, even(true).on_path(FlowPath::Vp)),
    ] {
        let error = refuse(process, &grid, OdeOptions { path, ..evaluated });
        assert!(error.to_string().contains("end with a step of Euler's"), "{error}");
    }

    let churn = Churn { amount: 1.0, s_min: 0.0, s_max: f64::INFINITY, noise: 1.0 };
    let churned = |grid: Grid, options, churn| {
        let x = start::<f64>();
        OdeSampler::churned(&process, &grid, options, churn, x, &mut Sines).unwrap_err()
    };
    let error = churned(even(true), options, churn);
    assert!(error.to_string().contains("churn on the path Flow(Linear)"), "{error}");
    for wrong in [
        Churn { amount: -1.0, ..churn },
        Churn { amount: f64::NAN, ..churn },
        Churn { s_min: -1.0, ..churn },
        Churn { s_max: f64::NAN, ..churn },
        Churn { noise: f64::INFINITY, ..churn },
    ] {
        let error = churned(even(true).in_sigma(), in_sigma, wrong);
        assert!(matches!(error, DiffusionError::Strength { .. }), "{error}");
    }
}

#[test]
#[should_panic(expected = "which is not on the path Sigma")]
fn a_grid_in_other_coordinates() {
    let process = flow(FlowPath::Linear);
    let grid = grid(&process, Spacing::Uniform, 5, true);
    ode::<f64>(&process, &grid, (OdePath::Sigma, OdeMethod::Euler, OdeEnd::Euler));
}

#[test]
#[should_panic(expected = "advance after the end of the run")]
fn advance_after_the_end() {
    let process = flow(FlowPath::Linear);
    let grid = grid(&process, Spacing::Uniform, 1, true);
    let choices = (OdePath::Flow(FlowPath::Linear), OdeMethod::Euler, OdeEnd::Euler);
    let mut sampler = ode::<f64>(&process, &grid, choices);
    let output = vec![0.0; 8];
    let kind = ObjectiveKind::Flow(FlowPath::Linear);
    for _ in 0..2 {
        sampler.advance(Prediction::new(kind, common::LAYOUT, &output), &mut Silence);
    }
}
