//! What stochastic solvers do to the law of the images.

use crate::common::{Analytic, DATA_DEVIATION, ELEMENTS, Silence, mu};
use crate::solver::{Solver, eps_model, grid_to_last_timestep, largest_error, stochastic};
use diffusion::{
    FlowPath, Grid, ImageLayout, NoiseLevel, NoiseSource, ObjectiveKind, Process, Respacing,
    Spacing,
};

/// Noise 1 for image `k + 1` at draw `k` and 0 elsewhere, images of one element.
struct OneDrawEach;

impl NoiseSource<f64> for OneDrawEach {
    fn fill(&mut self, draw_index: u32, out: &mut [f64]) {
        out.fill(0.0);
        out[draw_index as usize + 1] = 1.0;
    }
}

/// Mean and deviation of the images of a run begun with standard noise: every step is affine, so the
/// mean is the path from 0 without noise, the variance the sum of squared responses.
fn law(solver: &Solver, model: &Analytic, grid: &Grid) -> (Vec<f64>, f64) {
    let mean = solver.run(model, grid, vec![0.0; ELEMENTS], &mut Silence).pop();
    let layout = ImageLayout { channels: 1, pixels: 1 };
    let mut centred = Analytic::on(model.objective, model.process.clone());
    (centred.layout, centred.means) = (layout, vec![0.0]);
    // At most two draws a step.
    let mut starts = vec![0.0; 2 * grid.nodes().len() + 1];
    starts[0] = 1.0;
    let responses = solver.run(&centred, grid, starts, &mut OneDrawEach).pop().expect("requests");
    (mean.expect("requests"), responses.iter().map(|r| r * r).sum::<f64>().sqrt())
}

/// Asserts that the images come to have the law of the data, the closer the finer the grid.
fn assert_law_of_the_data(model: &Analytic, grid: impl Fn(usize) -> Grid) {
    let means: Vec<f64> = (0..ELEMENTS).map(mu).collect();
    for solver in stochastic() {
        let errors = [20, 80, 320].map(|count| {
            let (mean, deviation) = law(&solver, model, &grid(count));
            (deviation - DATA_DEVIATION).abs().max(largest_error(&mean, &means))
        });
        assert!(errors.is_sorted_by(|coarse, fine| fine < coarse), "{solver:?}: {errors:?}");
        assert!(errors[2] < 0.01, "{solver:?}: {errors:?}");
    }
}

#[test]
fn on_a_noise_schedule() {
    assert_law_of_the_data(&eps_model(), |count| {
        let grid = grid_to_last_timestep(Spacing::LogSnr, count);
        Grid::of_nodes(grid.nodes().to_vec(), NoiseLevel::DATA)
    });
}

#[test]
fn on_a_flow_from_noise_alone() {
    let process = Process::Flow { path: FlowPath::Linear, time_scale: 1000.0 };
    let model = Analytic::on(ObjectiveKind::Flow(FlowPath::Linear), process.clone());
    assert_law_of_the_data(&model, |count| {
        let steps: Respacing = count.to_string().parse().expect("a number");
        Grid::new(&process, Spacing::Uniform, &steps, false).expect("a grid")
    });
}
