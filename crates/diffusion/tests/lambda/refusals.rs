//! Options that make no sense are answered with an error.

use crate::common::start;
use crate::solver::{Solver, discrete, ends, grid_to_last_timestep};
use diffusion::{
    DiffusionError, DpmForm, DpmOptions, DpmSdeMethod, FinalOrder, FlowPath, Grid, NoiseLevel,
    Process, Spacing, UniPcB, singlestep_grid,
};

#[track_caller]
fn refusal(solver: &Solver, grid: &Grid) -> DiffusionError {
    match solver.start(&discrete(), grid.clone(), start::<f32>()) {
        Ok(_) => panic!("{solver:?} is accepted"),
        Err(error) => error,
    }
}

#[test]
fn orders_and_shares_of_noise() {
    let grid = grid_to_last_timestep(Spacing::LogSnr, 6);
    let options = Solver::multistep(DpmForm::Data, 2);
    for order in [0, 4] {
        for solver in [
            Solver::Multistep(DpmOptions { order, ..options }),
            Solver::Singlestep(DpmForm::Data, vec![order, 6 - order]),
            Solver::UniPc(order, UniPcB::Bh2),
            Solver::Deis(order, FinalOrder::Kept),
        ] {
            let error = refusal(&solver, &grid);
            assert!(
                matches!(error, DiffusionError::SolverOrder { most: 3, order: o, .. } if o == order),
                "{error}"
            );
        }
        let process = discrete();
        let error = singlestep_grid(&process, Spacing::LogSnr, ends(&process), 6, order);
        assert!(matches!(error, Err(DiffusionError::SolverOrder { .. })), "{error:?}");
    }
    for eta in [-0.1, f64::NAN, f64::INFINITY] {
        for solver in
            [Solver::Multistep(DpmOptions { eta, ..options }), Solver::Sde(DpmSdeMethod::Sde, eta)]
        {
            let error = refusal(&solver, &grid);
            assert!(matches!(error, DiffusionError::SolverEta { .. }), "{error}");
        }
    }
}

#[test]
fn combinations() {
    let grid = grid_to_last_timestep(Spacing::LogSnr, 4);
    let to_data = Grid::of_nodes(grid.nodes().to_vec(), NoiseLevel::DATA);
    let flow = Process::Flow { path: FlowPath::Linear, time_scale: 1.0 };
    let steps = "4".parse().expect("a number");
    let from_noise = Grid::new(&flow, Spacing::Uniform, &steps, false).expect("a grid");
    let twice = Grid::of_nodes(vec![grid.nodes()[0]; 2], grid.end());
    let noise = Solver::multistep(DpmForm::Noise, 2);
    let singlestep = |form, orders: &[usize]| Solver::Singlestep(form, orders.to_vec());
    for (solver, grid, part) in [
        (Solver::Multistep(DpmOptions { eta: 1.0, ..noise }), &grid, "with eta 1"),
        (Solver::Multistep(noise), &from_noise, "begun with noise alone"),
        (Solver::Deis(2, FinalOrder::Kept), &from_noise, "begun with noise alone"),
        (singlestep(DpmForm::Noise, &[1; 4]), &from_noise, "begun with noise alone"),
        (
            singlestep(DpmForm::Data, &[2, 1, 1]),
            &from_noise,
            "order 2 over evaluations 1 to 2 of 4",
        ),
        (singlestep(DpmForm::Data, &[1, 3]), &to_data, "order 3 over evaluations 2 to 4 of 4"),
        (singlestep(DpmForm::Data, &[2]), &twice, "order 2 over evaluations 1 to 2 of 2"),
        (singlestep(DpmForm::Data, &[2, 1]), &grid, "sum up to 3 on 4 evaluations"),
    ] {
        let error = refusal(&solver, grid);
        assert!(matches!(error, DiffusionError::Combination { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let process = discrete();
    let error = singlestep_grid(&process, Spacing::LogSnr, ends(&process), 0, 2).unwrap_err();
    assert!(error.to_string().contains("no evaluations"), "{error}");
}
