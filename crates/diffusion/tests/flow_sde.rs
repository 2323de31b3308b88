//! The reverse stochastic equation of a flow: its steps by hand, and where its chains end.

mod common;

use common::exact::{chain, distance};
use common::{
    Analytic, DATA_DEVIATION, LAYOUT, Silence, Sines, Worst, linear_1000, mu, noise, start,
};
use diffusion::{
    DiffusionError, DiffusionForm, FlowPath, FlowSde, FlowSdeOptions, Grid, LastStep, NoiseLevel,
    ObjectiveKind, OdeEnd, OdeMethod, OdeOptions, OdePath, OdeSampler, Prediction, Process,
    Sampler, SdeMethod, Spacing,
};

const OPTIONS: FlowSdeOptions = FlowSdeOptions {
    path: FlowPath::Linear,
    form: DiffusionForm::Sigma,
    norm: 1.0,
    method: SdeMethod::EulerMaruyama,
    last_step: LastStep::Mean,
};

fn flow(path: FlowPath) -> (Process, Analytic) {
    let process = Process::Flow { path, time_scale: 1000.0 };
    (process.clone(), Analytic::on(ObjectiveKind::Flow(path), process))
}

fn grid(process: &Process, times: &[f64], end: f64) -> Grid {
    Grid::of_nodes(times.iter().map(|&t| process.node_at(t)).collect(), process.level(end))
}

/// The velocity and the score of the analytic model.
fn velocity_and_score(path: FlowPath, t: f64, x: &[f64]) -> Vec<(f64, f64)> {
    let point = path.at(t);
    let NoiseLevel { a, s } = point.level;
    let variance = (a * DATA_DEVIATION).powi(2) + s * s;
    let of = |(i, x): (usize, &f64)| {
        let r = x - a * mu(i);
        let x0 = mu(i) + a * DATA_DEVIATION.powi(2) * r / variance;
        (point.a_slope * x0 + point.s_slope * s * r / variance, -r / variance)
    };
    x.iter().enumerate().map(of).collect()
}

/// `u + w score` with `w` twice the sine form.
fn drift(path: FlowPath, t: f64, x: &[f64]) -> Vec<f64> {
    let w = w(t);
    velocity_and_score(path, t, x).into_iter().map(|(u, score)| u + w * score).collect()
}

fn w(t: f64) -> f64 {
    2.0 * (std::f64::consts::PI * t).sin().powi(2)
}

fn plus(x: &[f64], factor: f64, y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x + factor * y).collect()
}

fn draw(k: usize) -> Vec<f64> {
    (0..8).map(|i| noise(k, i)).collect()
}

/// Two steps with noise and each kind of last step, from their formulas.
#[test]
fn steps_by_hand() {
    let (times, end) = ([0.2, 0.5, 0.9], 1.0);
    for path in [FlowPath::Linear, FlowPath::Gvp] {
        let (process, model) = flow(path);
        for method in [SdeMethod::EulerMaruyama, SdeMethod::Heun] {
            let step = |x: &[f64], k: usize, t: f64, next: f64| {
                let h = next - t;
                let noisy = |x: &[f64]| plus(x, (2.0 * w(t) * h).sqrt(), &draw(k));
                if method == SdeMethod::EulerMaruyama {
                    return noisy(&plus(x, h, &drift(path, t, x)));
                }
                let y = noisy(x);
                let f = drift(path, t, &y);
                let f_next = drift(path, next, &plus(&y, h, &f));
                plus(&plus(&y, 0.5 * h, &f), 0.5 * h, &f_next)
            };
            let x = step(&step(&start::<f64>(), 0, 0.2, 0.5), 1, 0.5, 0.9);
            let (u, score): (Vec<f64>, Vec<f64>) =
                velocity_and_score(path, 0.9, &x).into_iter().unzip();
            let NoiseLevel { a, s } = path.at(0.9).level;
            let per_a: Vec<f64> = x.iter().map(|x| x / a).collect();
            let noisy = |x: &[f64]| plus(x, (2.0 * w(0.9) * 0.1).sqrt(), &draw(2));
            let mut worst = Worst::of("steps by hand");
            for (last_step, want) in [
                (LastStep::Mean, plus(&plus(&x, 0.1, &u), 0.1 * w(0.9), &score)),
                (LastStep::Tweedie, plus(&per_a, s * s / a, &score)),
                (LastStep::Euler, plus(&x, 0.1, &u)),
                // Both methods: to data there is only the drift at the start of the step.
                (
                    LastStep::None,
                    if method == SdeMethod::Heun {
                        let y = noisy(&x);
                        plus(&y, 0.1, &drift(path, 0.9, &y))
                    } else {
                        noisy(&plus(&x, 0.1, &drift(path, 0.9, &x)))
                    },
                ),
            ] {
                let form = DiffusionForm::IncreasingDecreasing;
                let options = FlowSdeOptions { path, form, norm: 2.0, method, last_step };
                let grid = grid(&process, &times, end);
                let mut sampler =
                    FlowSde::new(&process, &grid, options, start::<f64>(), &mut Sines).unwrap();
                let requests = if method == SdeMethod::Heun { 5 } else { 3 };
                assert_eq!(sampler.request_count(), requests);
                let states = model.run(&mut sampler, &mut Sines);
                assert_eq!(states.len(), requests);
                let what = format!("{path:?} {method:?} {last_step:?}");
                worst.compare(&what, states.last().unwrap(), &want, 1e-12, 1.0);
            }

            // A run that stops before the data: its last step is Heun's too.
            let options = FlowSdeOptions {
                path,
                form: DiffusionForm::IncreasingDecreasing,
                norm: 2.0,
                method,
                last_step: LastStep::None,
            };
            let grid = grid(&process, &times[..2], 0.9);
            let mut sampler =
                FlowSde::new(&process, &grid, options, start::<f64>(), &mut Sines).unwrap();
            let end = model.run(&mut sampler, &mut Sines).pop().unwrap();
            worst.compare("stopping early", &end, &x, 1e-12, 1.0);
        }
    }
}

/// Distances of mean and deviation from the data's after a run of `count` steps from noise.
fn errors(path: FlowPath, form: DiffusionForm, method: SdeMethod, count: usize) -> [f64; 2] {
    let (process, model) = flow(path);
    let steps = count.to_string().parse().expect("a valid case");
    let needs_data = form == DiffusionForm::Sbdm;
    let grid = Grid::new(&process, Spacing::Uniform, &steps, needs_data).expect("a valid case");
    let options = FlowSdeOptions { path, form, method, ..OPTIONS };
    let (mean, deviation) = chain(&model, grid.level(0), count, |x, noise| {
        Box::new(FlowSde::new(&process, &grid, options, x, noise).expect("a valid case"))
    });
    let means: Vec<f64> = (0..8).map(mu).collect();
    [distance(&mean, &means), (deviation - DATA_DEVIATION).abs()]
}

/// However much noise: as the steps get small a run ends in the data's distribution.
#[test]
fn chains_approach_the_data() {
    let forms = [
        DiffusionForm::Constant,
        DiffusionForm::Sbdm,
        DiffusionForm::Sigma,
        DiffusionForm::Linear,
        DiffusionForm::Decreasing,
        DiffusionForm::IncreasingDecreasing,
    ];
    for path in [FlowPath::Linear, FlowPath::Gvp, FlowPath::Vp] {
        for form in forms {
            for method in [SdeMethod::EulerMaruyama, SdeMethod::Heun] {
                let coarse = errors(path, form, method, 100);
                let fine = errors(path, form, method, 400);
                let what = format!("{path:?} {form:?} {method:?}: {coarse:?}, {fine:?}");
                assert!(fine[0] < 5e-4 && fine[1] < 8e-3, "{what}");
                // Order 1, a quarter; what is small already may be of another order.
                let falls = |k: usize| fine[k] < 0.32 * coarse[k] + 1.5e-4;
                assert!(falls(0) && falls(1), "{what}");
            }
        }
    }
}

/// Without noise it is Euler on the probability flow.
#[test]
fn no_noise_is_euler() {
    let (process, model) = flow(FlowPath::Gvp);
    let grid = Grid::new(&process, Spacing::Uniform, &"20".parse().unwrap(), false).unwrap();
    let path = FlowPath::Gvp;
    let options = FlowSdeOptions { path, norm: 0.0, last_step: LastStep::Euler, ..OPTIONS };
    let mut sde = FlowSde::new(&process, &grid, options, start::<f64>(), &mut Silence).unwrap();
    let (method, end) = (OdeMethod::Euler, OdeEnd::Euler);
    let options = OdeOptions { path: OdePath::Flow(path), method, end };
    let mut ode = OdeSampler::new(&process, &grid, options, start::<f64>()).unwrap();
    let want = model.run(&mut ode, &mut Silence).pop().unwrap();
    let got = model.run(&mut sde, &mut Sines).pop().unwrap();
    Worst::of("sde without noise").compare("end", &got, &want, 1e-12, 1.0);
}

/// Velocity and score come from any prediction, and f32 is f64 rounded.
#[test]
fn any_objective_and_single_precision() {
    let process = Process::Discrete(linear_1000());
    let steps = "40".parse().unwrap();
    let path = FlowPath::Linear;
    let grid = Grid::new(&process, Spacing::LogSnr, &steps, true).unwrap().on_path(path);
    let mut worst = Worst::of("sde on any objective");
    for method in [SdeMethod::EulerMaruyama, SdeMethod::Heun] {
        let options = FlowSdeOptions { method, ..OPTIONS };
        let run = |objective| {
            let model = Analytic::on(objective, process.clone());
            let mut sampler =
                FlowSde::new(&process, &grid, options, start::<f64>(), &mut Sines).unwrap();
            model.run(&mut sampler, &mut Sines).pop().unwrap()
        };
        let want = run(ObjectiveKind::Eps);
        for objective in [ObjectiveKind::X0, ObjectiveKind::V, ObjectiveKind::EpsHybrid] {
            worst.compare(&format!("{objective:?}"), &run(objective), &want, 1e-11, 1.0);
        }
        let model = Analytic::on(ObjectiveKind::V, process.clone());
        let mut sampler =
            FlowSde::new(&process, &grid, options, start::<f32>(), &mut Sines).unwrap();
        let single = model.run(&mut sampler, &mut Sines).pop().unwrap();
        Worst::of("sde in f32").compare("end", &single, &want, 5e-6, 1.0);
    }
}

#[test]
fn wrong_options_are_refused() {
    let (process, _) = flow(FlowPath::Linear);
    let new =
        |grid: &Grid, options| FlowSde::<f64>::new(&process, grid, options, start(), &mut Sines);
    let from_noise = grid(&process, &[0.0, 0.5], 1.0);
    let sbdm = FlowSdeOptions { form: DiffusionForm::Sbdm, ..OPTIONS };
    let error = new(&from_noise, sbdm).unwrap_err();
    assert!(matches!(error, DiffusionError::Combination { .. }));
    assert!(error.to_string().contains("start at t = 0.001"), "{error}");
    assert!(new(&grid(&process, &[0.001, 0.5], 1.0), sbdm).is_ok());
    for norm in [-1.0, f64::NAN, f64::INFINITY] {
        let error = new(&from_noise, FlowSdeOptions { norm, ..OPTIONS }).unwrap_err();
        assert!(matches!(error, DiffusionError::Strength { .. }), "{error}");
    }
}

#[test]
#[should_panic(expected = "advance after the end of the run")]
fn advance_after_the_end() {
    let (process, _) = flow(FlowPath::Linear);
    let grid = grid(&process, &[0.5], 1.0);
    let mut sampler = FlowSde::new(&process, &grid, OPTIONS, start::<f64>(), &mut Silence).unwrap();
    let output = vec![0.0; 8];
    let kind = ObjectiveKind::Flow(FlowPath::Linear);
    for _ in 0..2 {
        sampler.advance(Prediction::new(kind, LAYOUT, &output), &mut Silence);
    }
}
