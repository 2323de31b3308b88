//! Flow paths, and solvers in the time of a flow, against SiT.

mod common;

use common::exact::{distance, flow_to};
use common::{Analytic, Sines, Worst, golden_json, number, numbers, start};
use diffusion::{
    DiffusionForm, FlowPath, FlowSde, FlowSdeOptions, Grid, LastStep, NoiseLevel, ObjectiveKind,
    OdeEnd, OdeMethod, OdeOptions, OdePath, OdeSampler, PredictionKind, Process, Sampler,
    SdeMethod,
};
use serde_json::Value;

fn path(name: &str) -> FlowPath {
    match name {
        "Linear" => FlowPath::Linear,
        "GVP" => FlowPath::Gvp,
        "VP" => FlowPath::Vp,
        other => panic!("no path {other}"),
    }
}

/// What a column of the paths is here, at `t`.
fn column(path: FlowPath, name: &str, t: f64) -> f64 {
    // x and u of the rows that convert a velocity.
    let (x, u) = (0.7, -0.4);
    let point = path.at(t);
    let form = |form: DiffusionForm| form.at(path, t);
    match name {
        "t" => path.time(point.level),
        "alpha" => point.level.a,
        "d_alpha" => point.a_slope,
        "sigma" => point.level.s,
        "d_sigma" => point.s_slope,
        "drift_at_x0.7" => -point.a_slope / point.level.a * x,
        "diffusion_SBDM" => point.diffusion(),
        "score_from_velocity(x=.7,v=-.4)" => {
            let (of_x, of_velocity) = point.score();
            of_x * x + of_velocity * u
        }
        "noise_from_velocity(x=.7,v=-.4)" => {
            let noise = PredictionKind::Flow(path).noise(point.level);
            noise.first * x + noise.second * u
        }
        "diff_constant" => form(DiffusionForm::Constant),
        "diff_SBDM" => form(DiffusionForm::Sbdm),
        "diff_sigma" => form(DiffusionForm::Sigma),
        "diff_linear" => form(DiffusionForm::Linear),
        "diff_decreasing" => form(DiffusionForm::Decreasing),
        "diff_inccreasing-decreasing" => form(DiffusionForm::IncreasingDecreasing),
        other => panic!("no column {other}"),
    }
}

/// Bar 1e-12 of numbers from 1e-6 to 50, with a floor of 1: both sides are f64.
#[test]
fn every_column_of_the_paths() {
    let golden = golden_json("golden_sit.json");
    let paths = golden["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 3);
    let mut worst = Worst::of("flow paths");
    for (name, columns) in paths {
        let columns = columns.as_object().expect("columns");
        assert_eq!(columns.len(), 15, "{name}");
        let ts = numbers(&columns["t"]);
        for (key, want) in columns {
            let got: Vec<f64> = ts.iter().map(|&t| column(path(name), key, t)).collect();
            worst.compare(&format!("{name}.{key}"), &got, &numbers(want), 1e-12, 1.0);
        }
    }
}

/// `count` intervals from noise at `t = 0` to `end`, of a flow.
fn even(process: &Process, count: usize, end: f64) -> Grid {
    let nodes = (0..count).map(|i| process.node_at(end * i as f64 / count as f64)).collect();
    Grid::of_nodes(nodes, process.level(end))
}

fn flow(path: FlowPath) -> (Process, Analytic) {
    let process = Process::Flow { path, time_scale: 1.0 };
    (process.clone(), Analytic::on(ObjectiveKind::Flow(path), process))
}

/// SiT's ODE on `points` times, which are one interval less.
fn ode(path: FlowPath, method: OdeMethod, points: usize) -> Vec<f64> {
    let (process, model) = flow(path);
    let grid = even(&process, points - 1, 1.0);
    let options = OdeOptions { path: OdePath::Flow(path), method, end: OdeEnd::Evaluated };
    let mut sampler = OdeSampler::new(&process, &grid, options, start()).expect("a valid case");
    model.run(&mut sampler, &mut Sines).pop().expect("a valid case")
}

/// SiT's SDE: 50 points to `t = .96`, of which 49 are left with noise and the last with the mean.
fn sde(path: FlowPath, form: DiffusionForm) -> Vec<f64> {
    let (process, model) = flow(path);
    let nodes = (0..50).map(|i| process.node_at(0.96 * f64::from(i) / 49.0)).collect();
    let grid = Grid::of_nodes(nodes, NoiseLevel::DATA);
    let (method, last_step) = (SdeMethod::EulerMaruyama, LastStep::Mean);
    let options = FlowSdeOptions { path, form, norm: 1.0, method, last_step };
    let mut sampler =
        FlowSde::new(&process, &grid, options, start(), &mut Sines).expect("a valid case");
    assert_eq!(sampler.request_count(), 50);
    model.run(&mut sampler, &mut Sines).pop().expect("a valid case")
}

fn is_null(row: &Value) -> bool {
    row["final"].as_array().expect("final").iter().all(Value::is_null)
}

/// Bar 1e-6: SiT's times are f32, which moves the ends by up to 1.5e-8.
#[test]
fn every_run_of_sit() {
    let golden = golden_json("golden_sit.json");
    let rows = golden["samplers"].as_object().expect("samplers");
    assert_eq!(rows.len(), 14);
    let exact = flow_to(&start::<f64>(), NoiseLevel { a: 0.0, s: 1.0 }, NoiseLevel::DATA);
    let want = numbers(&golden["exact_end"]);
    Worst::of("exact end of a flow").compare("end", &exact, &want, 1e-12, 1.0);

    let mut worst = Worst::of("sit");
    let mut skipped = Vec::new();
    for (name, row) in rows {
        let (path_name, run) = name.split_once('_').expect("path_run");
        let path = path(path_name);
        let got = match run {
            "ode_euler_50" => ode(path, OdeMethod::Euler, 50),
            "ode_euler_250" => ode(path, OdeMethod::Euler, 250),
            "ode_heun2_25" => ode(path, OdeMethod::Heun, 25),
            "sde_euler_sigma_50_lastMean0.04" => sde(path, DiffusionForm::Sigma),
            "sde_euler_linear_50_lastMean0.04" => sde(path, DiffusionForm::Linear),
            _ => {
                skipped.push(name.as_str());
                continue;
            }
        };
        worst.compare(name, &got, &numbers(&row["final"]), 1e-6, 1.0);
        if let Some(error) = row.get("max_abs_err_vs_exact") {
            let got = [distance(&got, &exact)];
            worst.compare(&format!("error of {name}"), &got, &[number(error)], 1e-6, 1.0);
        }
    }
    // Adaptive steps, which are not here, and what divides by 0 at t = 0, which is refused.
    skipped.sort_unstable();
    assert_eq!(
        skipped,
        [
            "GVP_ode_dopri5_50",
            "GVP_sde_euler_SBDM_50_lastMean0.04",
            "Linear_ode_dopri5_50",
            "Linear_sde_euler_SBDM_50_lastMean0.04",
        ]
    );
    for name in skipped.iter().filter(|name| name.contains("SBDM")) {
        assert!(is_null(&rows[*name]), "{name}");
    }
}
