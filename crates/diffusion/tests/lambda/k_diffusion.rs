//! Runs of k-diffusion, in coordinates with `a = 1`. Both sides are f64: the bar is 1e-12.

use crate::common::{Analytic, Sines, Worst, golden_json, number, numbers, start};
use crate::solver::{Solver, exact, largest_error};
use diffusion::{
    DpmForm, DpmOptions, DpmSdeMethod, Grid, ObjectiveKind, Process, SecondOrder, ancestral_step,
};
use serde_json::Value;

/// The grid of the runs.
fn grid(golden: &Value) -> Grid {
    let sigmas = numbers(&golden["k_diffusion_sigmas_20"]);
    let process = Process::edm(0.5);
    let (&end, sigmas) = sigmas.split_last().expect("levels");
    let nodes = sigmas.iter().map(|&sigma| process.node_at(sigma)).collect();
    Grid::of_nodes(nodes, process.level(end))
}

#[test]
fn every_row_of_a_solver_in_lambda() {
    let golden = golden_json("golden_edm.json");
    let grid = grid(&golden);
    let (two, three) = (Solver::multistep(DpmForm::Data, 2), Solver::multistep(DpmForm::Data, 3));
    let second_order = SecondOrder::Heun;
    let rows = [
        ("dpmpp_2m_20", Solver::Multistep(two)),
        ("dpmpp_2m_sde_20", Solver::Multistep(DpmOptions { eta: 1.0, ..two })),
        ("dpmpp_3m_sde_20", Solver::Multistep(DpmOptions { eta: 1.0, second_order, ..three })),
        ("dpmpp_2s_ancestral_20", Solver::Sde(DpmSdeMethod::TwoStageAncestral, 1.0)),
        ("dpmpp_sde_20", Solver::Sde(DpmSdeMethod::Sde, 1.0)),
    ];
    // Names of the file: these, and those of solvers in sigma.
    let others =
        ["euler_20", "heun_20", "dpm_2_20", "lms4_20", "euler_ancestral_20", "ancestral_step"];
    let runs = golden["k_diffusion"].as_object().expect("runs");
    let known: Vec<&str> = rows.iter().map(|row| row.0).chain(others).collect();
    assert_eq!(runs.len(), known.len());
    assert!(runs.keys().all(|name| known.contains(&name.as_str())));

    let init: Vec<f64> = start::<f64>().into_iter().map(|x| 80.0 * x).collect();
    let end = exact(&init, grid.level(0), grid.end());
    let mut worst = Worst::of("k-diffusion");
    let mut single = Worst::of("k-diffusion: f32 against f64");
    worst.compare("exact end", &end, &numbers(&golden["exact_end"]), 1e-12, 1.0);
    for (name, solver) in rows {
        // What the network was trained to say changes nothing.
        for objective in [ObjectiveKind::X0, ObjectiveKind::Edm { sigma_data: 0.5 }] {
            let model = Analytic::on(objective, Process::edm(0.5));
            let states = solver.run(&model, &grid, init.clone(), &mut Sines);
            let last = states.last().expect("requests");
            worst.compare(name, last, &numbers(&runs[name]["final"]), 1e-12, 1.0);
            if let Some(error) = runs[name].get("max_abs_err_vs_exact") {
                let got = [largest_error(last, &end)];
                worst.compare(name, &got, &[number(error)], 1e-12, 1.0);
            }
            // f32: roundings of a state of 80 fade as the noise does.
            let init = init.iter().map(|&x| x as f32).collect();
            let f32s = solver.run(&model, &grid, init, &mut Sines).pop().expect("requests");
            single.compare(name, &f32s, last, 5e-6, 1.0);
        }
    }
}

#[test]
fn ancestral_steps() {
    let golden = golden_json("golden_edm.json");
    let rows = golden["k_diffusion"]["ancestral_step"].as_array().expect("rows");
    assert_eq!(rows.len(), 4);
    let mut worst = Worst::of("ancestral steps");
    for row in rows {
        let [from, to, down, up] = ["from", "to", "down", "up"].map(|name| number(&row[name]));
        let step = ancestral_step(from, to, 1.0);
        worst.compare("down and up", &[step.down, step.up], &[down, up], 1e-12, 1.0);
        assert_eq!(ancestral_step(from, to, 0.0).down, to);
        // Never more noise than there is to be.
        let most = ancestral_step(from, to, 100.0);
        assert_eq!((most.down, most.up), (0.0, to));
    }
    let from_noise = ancestral_step(f64::INFINITY, 3.0, 1.0);
    assert_eq!((from_noise.down, from_noise.up), (0.0, 3.0));
}
