//! DDIM, DDPM, PNDM, the solvers in sigma and flow matching against diffusers, with its tables.

mod common;

use common::exact::{distance, flow_to};
use common::{
    Analytic, LAYOUT, Silence, Sines, Worst, golden_json, indices, linear_1000, numbers, start,
};
use diffusion::{
    DdimSampler, DdpmSampler, DiffusionTable, EulerAncestral, FlowPath, Grid, LmsSampler, Node,
    NoiseLevel, ObjectiveKind, OdeEnd, OdeMethod, OdeOptions, OdePath, OdeSampler, PndmSampler,
    Prediction, PredictionKind, Process, Sampler, Spacing, VarianceKind, Weighting,
};
use serde_json::{Map, Value};

/// diffusers keeps its tables in f32, which the file's note answers with 2e-5; relative to the largest
/// number of a row that is compared, as states in sigma begin at a hundred.
const BAR: f64 = 2e-5;

fn cases() -> Map<String, Value> {
    let Value::Object(mut golden) = golden_json("golden_diffusers.json") else {
        panic!("the golden is no object");
    };
    match golden.remove("cases") {
        Some(Value::Object(cases)) => cases,
        other => panic!("cases are {other:?}"),
    }
}

/// Compares states after each request with the row: the first ones and the last.
fn compare(worst: &mut Worst, what: &str, row: &Value, states: &[Vec<f64>]) {
    let first = row["first_steps"].as_object().expect("first_steps");
    assert_eq!(first.len(), 3, "{what}");
    let mut compare = |name: &str, got: &[f64], want: &Value| {
        let want = numbers(want);
        let largest = want.iter().fold(1.0f64, |most, x| most.max(x.abs()));
        worst.compare(&format!("{what} {name}"), got, &want, BAR, largest);
    };
    for (step, want) in first {
        compare(step, &states[step.parse::<usize>().expect("a number")], want);
    }
    compare("final", states.last().expect("a run has states"), &row["final"]);
}

fn eps_model() -> Analytic {
    let model = Analytic::golden(ObjectiveKind::Eps, &linear_1000());
    Analytic { interpolates_ln_sigma: true, ..model }
}

/// The timesteps of a row, rising.
fn timesteps(row: &Value) -> Vec<usize> {
    let mut timesteps: Vec<usize> =
        numbers(&row["timesteps"]).iter().map(|t| *t as usize).collect();
    timesteps.reverse();
    timesteps
}

fn table(timesteps: &[usize]) -> DiffusionTable {
    DiffusionTable::on_timesteps(&linear_1000(), timesteps)
}

/// The variance-preserving grid of falling timesteps.
fn discrete_grid(timesteps: impl IntoIterator<Item = usize>) -> Grid {
    let process = Process::Discrete(linear_1000());
    let nodes = timesteps.into_iter().map(|t| process.node_at(t as f64)).collect();
    Grid::of_nodes(nodes, NoiseLevel::DATA)
}

/// Rows with one stride between their timesteps: the next entry of the grid is what diffusers steps to.
#[test]
fn ddim_and_ddpm() {
    let cases = cases();
    let (mut worst, model) = (Worst::of("diffusers ddim, ddpm"), eps_model());
    for (name, eta) in
        [("DDIM_leading_20", 0.0), ("DDIM_trailing_20", 0.0), ("DDIM_leading_50_eta1", 1.0)]
    {
        let mut sampler = DdimSampler::new(table(&timesteps(&cases[name])), eta, start()).unwrap();
        compare(&mut worst, name, &cases[name], &model.run(&mut sampler, &mut Sines));
    }
    for (name, variance) in [
        ("DDPM_fixed_small_leading_50", VarianceKind::FixedSmall),
        ("DDPM_fixed_large_leading_50", VarianceKind::FixedLarge),
    ] {
        let table = table(&timesteps(&cases[name]));
        let mut sampler =
            DdpmSampler::new(table, ObjectiveKind::Eps, variance, start::<f64>()).unwrap();
        compare(&mut worst, name, &cases[name], &model.run(&mut sampler, &mut Sines));
    }
}

/// With `linspace` diffusers steps from `t` to `t - 50` and then evaluates at another timestep, so each of
/// its steps is the first of a run of its own.
#[test]
fn ddim_on_linspace_steps_by_a_stride() {
    let cases = cases();
    let row = &cases["DDIM_linspace_20"];
    let model = eps_model();
    let (mut x, mut states) = (start::<f64>(), Vec::new());
    for t in timesteps(row).into_iter().rev() {
        let grid: Vec<usize> = t.checked_sub(50).into_iter().chain([t]).collect();
        let mut sampler = DdimSampler::new(table(&grid), 0.0, x).unwrap();
        let request = sampler.request().unwrap();
        let output = model.output(request, sampler.state());
        sampler.advance(Prediction::new(model.objective, LAYOUT, &output), &mut Silence);
        x = sampler.state().to_vec();
        states.push(x.clone());
    }
    compare(&mut Worst::of("diffusers ddim linspace"), "linspace", row, &states);
}

#[test]
fn pndm() {
    let cases = cases();
    let row = &cases["PNDM_plms_20"];
    let mut falling: Vec<usize> = numbers(&row["timesteps"]).iter().map(|t| *t as usize).collect();
    assert_eq!(falling[..3], [950, 900, 900]);
    falling.remove(2);
    let mut sampler = PndmSampler::new(discrete_grid(falling), start::<f64>());
    assert_eq!(sampler.request_count(), 21);
    let states = eps_model().run(&mut sampler, &mut Sines);
    assert_eq!(states.len(), 21);
    compare(&mut Worst::of("diffusers pndm"), "plms", row, &states);
}

/// The grid of a row in sigma: sigmas, without the repetitions of rows that evaluate twice a step, and
/// each `stride`-th timestep.
fn sigma_grid(row: &Value, stride: usize) -> Grid {
    let (mut sigmas, times) = (numbers(&row["sigmas"]), numbers(&row["timesteps"]));
    sigmas.dedup();
    assert_eq!(sigmas.pop(), Some(0.0));
    assert_eq!(sigmas.len(), times.len().div_ceil(stride));
    let node = |(&s, &network_time): (&f64, &f64)| {
        let level = NoiseLevel { a: 1.0, s };
        Node { level, input_factor: s.hypot(1.0).recip(), network_time }
    };
    let nodes = sigmas.iter().zip(times.iter().step_by(stride)).map(node).collect();
    Grid::of_nodes(nodes, NoiseLevel::DATA)
}

fn start_in_sigma(grid: &Grid) -> Vec<f64> {
    start::<f64>().iter().map(|x| grid.level(0).s * x).collect()
}

fn ode_in_sigma(grid: &Grid, method: OdeMethod) -> OdeSampler<f64> {
    let options = OdeOptions { path: OdePath::Sigma, method, end: OdeEnd::Euler };
    let process = Process::Discrete(linear_1000());
    OdeSampler::new(&process, grid, options, start_in_sigma(grid)).expect("a valid case")
}

#[test]
fn one_evaluation_a_step_in_sigma() {
    let cases = cases();
    let (mut worst, model) = (Worst::of("diffusers euler, lms"), eps_model());
    for name in ["Euler_20", "Euler_karras_20", "EulerAncestral_20", "LMS_20"] {
        let grid = sigma_grid(&cases[name], 1);
        let x = start_in_sigma(&grid);
        let mut sampler: Box<dyn Sampler<f64>> = match name {
            "EulerAncestral_20" => Box::new(EulerAncestral::new(grid, 1.0, x).unwrap()),
            "LMS_20" => Box::new(LmsSampler::new(grid, 4, x).unwrap()),
            _ => Box::new(ode_in_sigma(&grid, OdeMethod::Euler)),
        };
        compare(&mut worst, name, &cases[name], &model.run(sampler.as_mut(), &mut Sines));
    }
}

#[test]
fn two_evaluations_a_step_in_sigma() {
    let cases = cases();
    let mut worst = Worst::of("diffusers heun, kdpm2");
    let sampler = |name: &str, method| {
        let sampler = ode_in_sigma(&sigma_grid(&cases[name], 2), method);
        assert_eq!(sampler.request_count(), 39);
        sampler
    };
    let mut heun = sampler("Heun_20", OdeMethod::Heun);
    let states = eps_model().run(&mut heun, &mut Sines);
    compare(&mut worst, "Heun_20", &cases["Heun_20"], &states);

    // Times in between are ours, on the schedule's own line between timesteps: so is the model there.
    let on_timesteps = eps_model();
    let between = Analytic { interpolates_ln_sigma: false, ..eps_model() };
    let mut midpoint = sampler("KDPM2_20", OdeMethod::Midpoint);
    let (mut times, mut states) = (Vec::new(), Vec::new());
    while let Some(request) = midpoint.request() {
        let model = if request.index % 2 == 0 { &on_timesteps } else { &between };
        times.push(request.network_time);
        let output = model.output(request, midpoint.state());
        midpoint.advance(Prediction::new(model.objective, LAYOUT, &output), &mut Sines);
        states.push(midpoint.state().to_vec());
    }
    // Lines in ln(sigma) and in ln(a) differ by less than a tenth of a timestep.
    let want = numbers(&cases["KDPM2_20"]["timesteps"]);
    assert_eq!(times.len(), want.len());
    assert!(distance(&times, &want) < 0.1, "{times:?}");
    compare(&mut worst, "KDPM2_20", &cases["KDPM2_20"], &states);
}

#[test]
fn flow_matching() {
    let cases = cases();
    let path = FlowPath::Linear;
    let process = Process::Flow { path, time_scale: 1.0 };
    let model = Analytic::on(ObjectiveKind::Flow(path), process.clone());
    let mut worst = Worst::of("diffusers flow matching");
    for (name, method, count) in [
        ("FlowMatchEuler_shift1.0_20", OdeMethod::Euler, 20),
        ("FlowMatchEuler_shift3.0_20", OdeMethod::Euler, 20),
        ("FlowMatchHeun_shift1.0_10", OdeMethod::Heun, 10),
        ("FlowMatchHeun_shift3.0_10", OdeMethod::Heun, 10),
    ] {
        let row = &cases[name];
        let mut sigmas = numbers(&row["sigmas"]);
        sigmas.dedup();
        assert_eq!((sigmas.len(), sigmas.pop()), (count + 1, Some(0.0)), "{name}");
        // The noise of diffusers' sigma, from 1, is that of 1 - t.
        let nodes = sigmas.iter().map(|sigma| process.node_at(1.0 - sigma)).collect();
        let grid = Grid::of_nodes(nodes, NoiseLevel::DATA);
        let options = OdeOptions { path: OdePath::Flow(path), method, end: OdeEnd::Euler };
        let mut sampler = OdeSampler::new(&process, &grid, options, start::<f64>()).unwrap();
        compare(&mut worst, name, row, &model.run(&mut sampler, &mut Sines));
    }
}

#[test]
fn sigmas_of_edm() {
    let cases = cases();
    let (process, mut worst) = (Process::edm(0.5), Worst::of("diffusers edm sigmas"));
    let spacing = Spacing::Karras { rho: 7.0 };
    let level = |sigma| process.level(sigma);
    let sigmas: Vec<f64> = spacing
        .levels(&process, level(80.0), level(0.002), 18)
        .iter()
        .map(|level| level.s)
        .chain([0.0])
        .collect();
    for name in ["EDMEuler_sigmas_18", "EDMDPMSolver_sigmas_18"] {
        worst.compare(name, &sigmas, &numbers(&cases[name]["sigmas"]), BAR, 1.0);
    }
    let times: Vec<f64> = sigmas[..18].iter().map(|&sigma| process.network_time(sigma)).collect();
    let want = numbers(&cases["EDMEuler_sigmas_18"]["c_noise"]);
    worst.compare("c_noise", &times, &want, BAR, 1.0);
}

#[test]
fn zero_terminal_snr() {
    let cases = cases();
    let row = &cases["zero_terminal_snr_betas"];
    let schedule = linear_1000().with_zero_terminal_snr();
    let betas: Vec<f64> = indices(&row["t"]).iter().map(|&t| schedule.betas()[t]).collect();
    // f64 on both sides; a beta is a difference from 1.
    let want = numbers(&row["betas"]);
    Worst::of("zero terminal snr").compare("betas", &betas, &want, 1e-12, 1.0);
}

/// diffusers' ratio is in f32, with `1 - ab` rounded: 1.7e-4 of it at `t = 0`. Where it cancels, the weights
/// are good to the bar.
#[test]
fn min_snr() {
    let cases = cases();
    let row = &cases["min_snr_gamma5"];
    let process = Process::Discrete(linear_1000());
    let weighting = Weighting::MinSnr { gamma: 5.0 };
    let (mut worst, mut ratios) = (Worst::of("min-snr weights"), Worst::of("min-snr ratio"));
    let ts: Vec<f64> = numbers(&row["t"]);
    let snrs: Vec<f64> = ts.iter().map(|&t| process.level(t).snr()).collect();
    ratios.compare("snr", &snrs, &numbers(&row["snr"]), 2e-4, 0.0);
    for (name, kind) in
        [("w_eps", PredictionKind::Eps), ("w_v", PredictionKind::V), ("w_x0", PredictionKind::X0)]
    {
        let weights: Vec<f64> = ts.iter().map(|&t| weighting.at(kind, &process, t)).collect();
        worst.compare(name, &weights, &numbers(&row[name]), BAR, 1.0);
    }
}

#[test]
fn exact_ends() {
    let cases = cases();
    let schedule = linear_1000();
    let (first, last) = (schedule.level(999.0), schedule.level(0.0));
    let mut worst = Worst::of("diffusers exact ends");
    for (name, to) in [("exact_ode_end_from_t999", NoiseLevel::DATA), ("exact_ode_end_at_t0", last)]
    {
        let end = flow_to(&start::<f64>(), first, to);
        worst.compare(name, &end, &numbers(&cases[name]), 1e-12, 1.0);
    }

    // And Heun goes there, on every timestep, up to Euler's last step from sigma = .01.
    let process = Process::Discrete(schedule);
    let nodes = (0..1000).rev().map(|t| process.node_at(f64::from(t))).collect();
    let grid = Grid::of_nodes(nodes, NoiseLevel::DATA).in_sigma();
    let options = OdeOptions { path: OdePath::Sigma, method: OdeMethod::Heun, end: OdeEnd::Euler };
    let x = start::<f64>().iter().map(|x| x / first.a).collect();
    let mut sampler = OdeSampler::new(&process, &grid, options, x).unwrap();
    let end = eps_model().run(&mut sampler, &mut Silence).pop().unwrap();
    let want = numbers(&cases["exact_ode_end_from_t999"]);
    assert!(distance(&end, &want) < 1e-4, "{:e}", distance(&end, &want));
}

/// Each row of the file is compared here, or belongs to the solvers in `ln(a/s)`, or is guidance.
#[test]
fn no_row_is_forgotten() {
    const HERE: [&str; 23] = [
        "DDIM_leading_20",
        "DDIM_trailing_20",
        "DDIM_linspace_20",
        "DDIM_leading_50_eta1",
        "DDPM_fixed_small_leading_50",
        "DDPM_fixed_large_leading_50",
        "PNDM_plms_20",
        "Euler_20",
        "Euler_karras_20",
        "EulerAncestral_20",
        "LMS_20",
        "Heun_20",
        "KDPM2_20",
        "FlowMatchEuler_shift1.0_20",
        "FlowMatchEuler_shift3.0_20",
        "FlowMatchHeun_shift1.0_10",
        "FlowMatchHeun_shift3.0_10",
        "EDMEuler_sigmas_18",
        "EDMDPMSolver_sigmas_18",
        "zero_terminal_snr_betas",
        "min_snr_gamma5",
        "exact_ode_end_from_t999",
        "exact_ode_end_at_t0",
    ];
    let lambda = ["DPMSolver", "dpmsolver", "sde-dpmsolver", "UniPC", "DEIS"];
    let cases = cases();
    assert_eq!(cases.len(), 59);
    let in_lambda = |name: &str| lambda.iter().any(|prefix| name.starts_with(prefix));
    let others: Vec<&String> =
        cases.keys().filter(|name| !HERE.contains(&name.as_str()) && !in_lambda(name)).collect();
    assert_eq!(others, ["cfg_rescale"]);
    assert!(HERE.iter().all(|name| cases.contains_key(*name)));
}
