//! Runs of diffusers 0.42.1.
//!
//! It keeps its tables of noise in f32, so our f64 runs differ from it by up to 1.2e-5 (the rows whose
//! levels are not those of timesteps, and DEIS), the others by 2e-6: the bar is 2e-5 of the largest
//! number of a row.

use crate::common::{Silence, Sines, Worst, golden_json, numbers, start};
use crate::solver::{Solver, eps_model};
use diffusion::{
    DpmForm, DpmOptions, FinalOrder, Grid, Node, NoiseLevel, NoiseSource, SecondOrder, UniPcB,
};
use serde_json::Value;

/// diffusers' `lower_order_final`.
const LOWERED: FinalOrder = FinalOrder::DescendingBelow(15);

/// The levels and timesteps of a row. The network is told the timestep, which belongs to another level
/// in some of the rows.
fn grid(row: &Value) -> Grid {
    let levels: Vec<NoiseLevel> = numbers(&row["sigmas"])
        .into_iter()
        .map(|sigma| NoiseLevel { a: 1.0, s: sigma }.to_variance_preserving())
        .collect();
    let timesteps = numbers(&row["timesteps"]);
    assert_eq!(levels.len(), timesteps.len() + 1);
    let (&end, levels) = levels.split_last().expect("levels");
    let node = |(&level, network_time)| Node { level, input_factor: 1.0, network_time };
    Grid::of_nodes(levels.iter().zip(timesteps).map(node).collect(), end)
}

/// The solver of a row, by its name.
fn solver(name: &str) -> Solver {
    let (form, rest) = match name {
        _ if name.starts_with("dpmsolver++_") => (DpmForm::Data, &name["dpmsolver++_".len()..]),
        _ if name.starts_with("dpmsolver_") => (DpmForm::Noise, &name["dpmsolver_".len()..]),
        _ if name.starts_with("DPMSolverPP_2M_") => (DpmForm::Data, "2M"),
        _ => (DpmForm::Data, name),
    };
    let dpm = DpmOptions { final_order: LOWERED, ..Solver::multistep(form, 2) };
    let parts: Vec<&str> = rest.split('_').collect();
    match parts[..] {
        ["order1", "linspace", _] => Solver::Multistep(DpmOptions { order: 1, ..dpm }),
        ["order2", "linspace", _] | ["2M"] | ["2M", "karras" | "lu", _] => Solver::Multistep(dpm),
        ["order3", "linspace", _] => Solver::Multistep(DpmOptions { order: 3, ..dpm }),
        ["2M", "zero", "snr", "trailing", _] => Solver::Multistep(dpm),
        ["2M", "heun", _] => {
            Solver::Multistep(DpmOptions { second_order: SecondOrder::Heun, ..dpm })
        }
        ["2M", "euler", "at", "final", _] => {
            Solver::Multistep(DpmOptions { final_order: FinalOrder::One, ..dpm })
        }
        ["sde-dpmsolver++", "2M", _] => Solver::Multistep(DpmOptions { eta: 1.0, ..dpm }),
        // Pairs, and order 1 for the last two.
        ["DPMSolverSinglestep", "2", "20"] => {
            let orders = [vec![2; 9], vec![1, 1]].concat();
            Solver::Singlestep(DpmForm::Data, orders)
        }
        ["UniPC", order, b, "final", ..] => {
            let order = order["order".len()..].parse().expect("an order");
            Solver::UniPc(order, if b == "bh1" { UniPcB::Bh1 } else { UniPcB::Bh2 })
        }
        ["DEIS", "3", _] => Solver::Deis(3, LOWERED),
        _ => panic!("no solver for {name}"),
    }
}

/// The rows of other samplers.
const OTHERS: [&str; 10] =
    ["DDIM", "DDPM", "PNDM", "Euler", "Heun", "KDPM2", "LMS", "FlowMatch", "EDM", "exact_ode_end"];

/// Tables that are no runs.
const TABLES: [&str; 3] = ["zero_terminal_snr_betas", "min_snr_gamma5", "cfg_rescale"];

#[test]
fn every_row_of_a_solver_in_lambda() {
    let golden = golden_json("golden_diffusers.json");
    let model = eps_model();
    let mut single = Worst::of("diffusers: f32 against f64");
    let mut worst = Worst::of("diffusers");
    let (mut runs, mut nulls) = (0, Vec::new());
    for (name, row) in golden["cases"].as_object().expect("cases") {
        if OTHERS.iter().chain(&TABLES).any(|other| name.starts_with(other)) {
            continue;
        }
        runs += 1;
        let (grid, solver) = (grid(row), solver(name));
        let states = solver.run(&model, &grid, start::<f64>(), &mut Sines);
        for (request, want) in row["first_steps"].as_object().expect("first steps") {
            let state = &states[request.parse::<usize>().expect("a number")];
            worst.compare(&format!("{name} after {request}"), state, &numbers(want), 2e-5, 1.0);
        }
        let last = states.last().expect("requests");
        if row["final"][0].is_null() {
            // Its last step is infinite times zero; ours ends at the predicted data.
            nulls.push(name.as_str());
            assert!(last.iter().all(|x| x.abs() < 1.5), "{name}: {last:?}");
        } else {
            let want = numbers(&row["final"]);
            let largest = want.iter().fold(1.0f64, |largest, x| largest.max(x.abs()));
            worst.compare(&format!("{name} final"), last, &want, 2e-5, largest);
        }

        // f32: one rounding of the state a step, 20 steps, and weights that cancel at the end.
        let f32s = solver.run(&model, &grid, start::<f32>(), &mut Sines).pop().expect("requests");
        single.compare(name, &f32s, last, 5e-6, 1.0);
    }
    assert_eq!(runs, 35);
    let bh1_to_zero = [1, 2, 3].map(|order| format!("UniPC_order{order}_bh1_final_zero_10"));
    assert_eq!(nulls, bh1_to_zero);
}

/// Only the SDE row draws noise, and not at the end.
#[test]
fn draws() {
    /// Remembers the indices it is asked for.
    struct Recorder(Vec<u32>);
    impl NoiseSource<f64> for Recorder {
        fn fill(&mut self, draw_index: u32, out: &mut [f64]) {
            self.0.push(draw_index);
            Silence.fill(draw_index, out);
        }
    }
    let golden = golden_json("golden_diffusers.json");
    for (name, count) in [("sde-dpmsolver++_2M_20", 19), ("dpmsolver++_2M_heun_20", 0)] {
        let mut recorder = Recorder(Vec::new());
        let grid = grid(&golden["cases"][name]);
        solver(name).run(&eps_model(), &grid, start(), &mut recorder);
        assert_eq!(recorder.0, (0..count).collect::<Vec<u32>>(), "{name}");
    }
}
