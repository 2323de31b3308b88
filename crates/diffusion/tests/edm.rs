//! Solvers in sigma against EDM, EDM2 and k-diffusion.

mod common;

use common::exact::{distance, flow_to};
use common::{
    Analytic, DATA_DEVIATION, ELEMENTS, LAYOUT, Sines, Worst, golden_json, mu, number, numbers,
    start,
};
use diffusion::{
    Churn, EulerAncestral, Grid, Guidance, GuidanceChannels, LmsSampler, Node, NoiseLevel,
    ObjectiveKind, OdeEnd, OdeMethod, OdeOptions, OdePath, OdeSampler, Prediction, PredictionKind,
    Process, SampleRequest, Sampler, Spacing, Weighting,
};
use serde_json::Value;

const SIGMA_DATA: f64 = 0.5;
const OBJECTIVE: ObjectiveKind = ObjectiveKind::Edm { sigma_data: SIGMA_DATA };

fn grid(count: usize) -> Grid {
    let steps = count.to_string().parse().expect("a valid case");
    Grid::new(&Process::edm(0.5), Spacing::Karras { rho: 7.0 }, &steps, true).expect("a valid case")
}

fn options(method: OdeMethod) -> OdeOptions {
    OdeOptions { path: OdePath::Sigma, method, end: OdeEnd::Euler }
}

/// The start of a run at `sigma = 80`.
fn noisy_start() -> Vec<f64> {
    start::<f64>().iter().map(|x| 80.0 * x).collect()
}

fn ode(count: usize, method: OdeMethod) -> OdeSampler<f64> {
    OdeSampler::new(&Process::edm(0.5), &grid(count), options(method), noisy_start())
        .expect("a valid case")
}

/// Compares the end of a run, and its distance from the exact end where the row has it.
///
/// Bar 1e-12: the goldens are f64, and so are these.
fn compare_end(worst: &mut Worst, what: &str, sampler: &mut dyn Sampler<f64>, row: &Value) {
    let model = Analytic::on(OBJECTIVE, Process::edm(0.5));
    let (mut requests, count) = (0, sampler.request_count());
    while let Some(request) = sampler.request() {
        assert_eq!(request.index, requests, "{what}");
        requests += 1;
        let output = model.output(request, sampler.state());
        sampler.advance(Prediction::new(OBJECTIVE, LAYOUT, &output), &mut Sines);
    }
    assert_eq!(requests, count, "{what}");
    worst.compare(what, sampler.state(), &numbers(&row["final"]), 1e-12, 1.0);
    if let Some(error) = row.get("max_abs_err_vs_exact") {
        let got = [distance(sampler.state(), &exact_end())];
        worst.compare(&format!("error of {what}"), &got, &[number(error)], 1e-12, 1.0);
    }
}

fn exact_end() -> Vec<f64> {
    flow_to(&noisy_start(), NoiseLevel { a: 1.0, s: 80.0 }, NoiseLevel::DATA)
}

#[test]
fn the_exact_end() {
    let golden = golden_json("golden_edm.json");
    let want = numbers(&golden["exact_end"]);
    Worst::of("exact end in sigma").compare("end", &exact_end(), &want, 1e-12, 1.0);
}

#[test]
fn every_run_of_edm() {
    let golden = golden_json("golden_edm.json");
    let cases = golden["cases"].as_object().expect("cases");
    assert_eq!(cases.len(), 6);
    let mut worst = Worst::of("edm");
    for count in [18, 32, 40, 256] {
        let what = format!("heun_{count}");
        let row = &cases[&what];
        if !row["sigmas"].is_null() {
            let sigmas: Vec<f64> = grid(count).nodes().iter().map(|node| node.level.s).collect();
            worst.compare(&what, &sigmas, &numbers(&row["sigmas"]), 1e-12, 0.0);
        }
        let mut sampler = ode(count, OdeMethod::Heun);
        assert_eq!(sampler.request_count(), 2 * count - 1);
        compare_end(&mut worst, &what, &mut sampler, row);
    }

    let row = &cases["heun_18_churn40"];
    let [amount, s_min, s_max, noise] =
        ["S_churn", "S_min", "S_max", "S_noise"].map(|name| number(&row[name]));
    let churn = Churn { amount, s_min, s_max, noise };
    let (process, options) = (Process::edm(0.5), options(OdeMethod::Heun));
    let (grid, x) = (grid(18), noisy_start());
    let mut sampler = OdeSampler::churned(&process, &grid, options, churn, x, &mut Sines).unwrap();
    compare_end(&mut worst, "heun_18_churn40", &mut sampler, row);
}

/// The answer of a weaker model: data `N(mu/2, .9²)`.
fn weak_output(request: SampleRequest, state: &[f64]) -> Vec<f64> {
    let (sigma, variance) = (request.level.s, 0.81);
    let norm = sigma.hypot(SIGMA_DATA);
    let answer = |(i, x): (usize, &f64)| {
        let d = 0.5 * mu(i) + variance / (variance + sigma * sigma) * (x - 0.5 * mu(i));
        (d - (SIGMA_DATA / norm).powi(2) * x) * norm / (sigma * SIGMA_DATA)
    };
    state.iter().enumerate().map(answer).collect()
}

/// EDM2's guidance of denoised images is guidance of the outputs: both models share `c_skip x`.
#[test]
fn the_guided_run_of_edm2() {
    let golden = golden_json("golden_edm.json");
    let row = &golden["cases"]["edm2_guided_32_w1.4"];
    let model = Analytic::on(OBJECTIVE, Process::edm(0.5));
    let guidance = Guidance::new(number(&row["guidance"]), GuidanceChannels::All);
    let mut sampler = ode(32, OdeMethod::Heun);
    while let Some(request) = sampler.request() {
        let strong = model.output(request, sampler.state());
        let weak = weak_output(request, sampler.state());
        let mut output = vec![0.0; ELEMENTS];
        guidance.combine(guidance.guidance_scale, OBJECTIVE, LAYOUT, [&strong, &weak], &mut output);
        sampler.advance(Prediction::new(OBJECTIVE, LAYOUT, &output), &mut Sines);
    }
    let want = numbers(&row["final"]);
    Worst::of("edm2 guided").compare("final", sampler.state(), &want, 1e-12, 1.0);
}

#[test]
fn preconditioning() {
    let golden = golden_json("golden_edm.json");
    let rows = golden["precond_sigma_data_0.5"].as_array().expect("precond");
    assert_eq!(rows.len(), 6);
    let (mut worst, process) = (Worst::of("edm preconditioning"), Process::edm(0.5));
    for row in rows {
        let sigma = number(&row["sigma"]);
        let level = NoiseLevel { a: 1.0, s: sigma };
        let mix = PredictionKind::Edm { sigma_data: SIGMA_DATA }.x0(level);
        let weighting = Weighting::Edm { sigma_data: SIGMA_DATA };
        for (name, got) in [
            ("c_skip", mix.first),
            ("c_out", mix.second),
            ("c_in", process.input_factor(sigma)),
            ("c_noise", process.network_time(sigma)),
            ("loss_weight", weighting.at(PredictionKind::X0, &process, sigma)),
        ] {
            let what = format!("{name} at {sigma}");
            worst.compare(&what, &[got], &[number(&row[name])], 1e-12, 0.0);
        }
    }
}

/// Runs of k-diffusion by solvers in `ln(a/s)`, which are compared elsewhere.
const OTHERS: [&str; 5] =
    ["dpmpp_2m_20", "dpmpp_2s_ancestral_20", "dpmpp_2m_sde_20", "dpmpp_3m_sde_20", "dpmpp_sde_20"];

#[test]
fn runs_of_k_diffusion() {
    let golden = golden_json("golden_edm.json");
    let sigmas: Vec<f64> = (0..=20).map(|i| grid(20).level(i).s).collect();
    let want = numbers(&golden["k_diffusion_sigmas_20"]);
    let mut worst = Worst::of("k-diffusion");
    worst.compare("sigmas", &sigmas, &want, 1e-12, 0.0);

    let x = noisy_start();
    let mut runs: Vec<(&str, Box<dyn Sampler<f64>>)> = vec![
        ("euler_20", Box::new(ode(20, OdeMethod::Euler))),
        ("heun_20", Box::new(ode(20, OdeMethod::Heun))),
        ("dpm_2_20", Box::new(ode(20, OdeMethod::Midpoint))),
        ("lms4_20", Box::new(LmsSampler::new(grid(20), 4, x.clone()).unwrap())),
        ("euler_ancestral_20", Box::new(EulerAncestral::new(grid(20), 1.0, x).unwrap())),
    ];
    let rows = golden["k_diffusion"].as_object().expect("k_diffusion");
    assert_eq!(rows.len(), runs.len() + OTHERS.len() + 1, "one is ancestral_step");
    assert!(OTHERS.iter().all(|other| rows.contains_key(*other)));
    for (name, sampler) in &mut runs {
        compare_end(&mut worst, name, sampler.as_mut(), &rows[*name]);
    }
}

/// A step with nothing but noise predicted shows `down`, one with nothing but noise drawn `up`.
#[test]
fn ancestral_steps() {
    let golden = golden_json("golden_edm.json");
    let rows = golden["k_diffusion"]["ancestral_step"].as_array().expect("ancestral_step");
    assert_eq!(rows.len(), 4);
    let mut worst = Worst::of("ancestral steps");
    for row in rows {
        let [from, to, down, up] = ["from", "to", "down", "up"].map(|name| number(&row[name]));
        let level = |s| NoiseLevel { a: 1.0, s };
        let node = Node { level: level(from), input_factor: 1.0, network_time: 0.0 };
        let grid = Grid::of_nodes(vec![node], level(to));
        let step = |n: f64, z: f64| {
            // x = sigma n holds no data.
            let mut sampler = EulerAncestral::new(grid.clone(), 1.0, vec![from * n; 8]).unwrap();
            let output = vec![n; 8];
            let prediction = Prediction::new(ObjectiveKind::Eps, LAYOUT, &output);
            sampler.advance(prediction, &mut Everywhere(z));
            sampler.state()[0]
        };
        worst.compare(&format!("down of {from} to {to}"), &[step(1.0, 0.0)], &[down], 1e-12, 0.0);
        worst.compare(&format!("up of {from} to {to}"), &[step(0.0, 1.0)], &[up], 1e-12, 0.0);
    }
}

/// The same number in every draw.
struct Everywhere(f64);

impl diffusion::NoiseSource<f64> for Everywhere {
    fn fill(&mut self, _draw_index: u32, out: &mut [f64]) {
        out.fill(self.0);
    }
}

/// With no bound on sigma the first state is churned too, with draw 0.
#[test]
fn churn_of_the_first_step() {
    let churn = Churn { amount: 4.0, s_min: 0.0, s_max: f64::INFINITY, noise: 1.0 };
    let (process, options) = (Process::edm(0.5), options(OdeMethod::Euler));
    let (grid, x) = (grid(20), noisy_start());
    let mut sampler =
        OdeSampler::churned(&process, &grid, options, churn, x.clone(), &mut Sines).unwrap();
    // g = 4/20 = .2: sigma = 96, with noise of deviation 80 sqrt(1.2² - 1).
    let (sigma, deviation) = (96.0, 80.0 * 0.44f64.sqrt());
    let want: Vec<f64> =
        x.iter().enumerate().map(|(i, x)| x + deviation * common::noise(0, i)).collect();
    let mut worst = Worst::of("first churn");
    worst.compare("state", sampler.state(), &want, 1e-12, 1.0);
    let request = sampler.request().unwrap();
    worst.compare("sigma", &[request.level.s], &[sigma], 1e-12, 0.0);
    worst.compare("time", &[request.network_time], &[sigma.ln() / 4.0], 1e-12, 0.0);

    // The midpoint rule's way goes from there.
    let midpoint = OdeOptions { method: OdeMethod::Midpoint, ..options };
    let mut between =
        OdeSampler::churned(&process, &grid, midpoint, churn, x.clone(), &mut Sines).unwrap();
    let output = vec![0.0; ELEMENTS];
    between.advance(Prediction::new(OBJECTIVE, LAYOUT, &output), &mut Sines);
    let got = between.request().unwrap().level.s;
    worst.compare("midpoint", &[got], &[(sigma * grid.level(1).s).sqrt()], 1e-12, 0.0);

    // Euler from 96 to sigma', then the noise of the second step from draw 1.
    let model = Analytic::on(OBJECTIVE, process);
    let output = model.output(request, sampler.state());
    sampler.advance(Prediction::new(OBJECTIVE, LAYOUT, &output), &mut Sines);
    let next = grid.level(1).s;
    let want: Vec<f64> = want
        .iter()
        .enumerate()
        .map(|(i, x)| {
            let d = sigma * (x - mu(i)) / (DATA_DEVIATION.powi(2) + sigma * sigma);
            x + (next - sigma) * d + next * 0.44f64.sqrt() * common::noise(1, i)
        })
        .collect();
    worst.compare("second state", sampler.state(), &want, 1e-12, 1.0);
}
