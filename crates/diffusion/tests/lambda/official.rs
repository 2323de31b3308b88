//! Runs of dpm-solver, the program of the authors of DPM-Solver.
//!
//! It makes its grid of times in f32 and its noise table in f32: our f64 runs differ by 1.5e-8 in the
//! results (bar 1e-7), 2.8e-7 in tables (bar 1e-6).

use crate::common::{Silence, Worst, golden_json, index, linear_1000, number, numbers, start};
use crate::solver::{
    Solver, discrete, ends, eps_model, exact, grid_to_last_timestep, largest_error, singlestep,
};
use diffusion::{DpmForm, ImageLayout, ObjectiveKind, Prediction, Spacing};

/// A time of dpm-solver, `1/T` to 1, as timestep and back.
fn timestep(time: f64) -> f64 {
    1000.0 * time - 1.0
}

#[test]
fn every_case() {
    let golden = golden_json("golden_dpm_solver_official.json");
    let cases = golden["cases"].as_object().expect("cases");
    assert_eq!(cases.len(), 42);
    let (model, [high, low]) = (eps_model(), ends(&discrete()));
    let end = exact(&start(), high, low);
    let mut worst = Worst::of("dpm-solver");
    worst.compare("exact end", &end, &numbers(&golden["exact_end_at_t_1e-3"]), 1e-7, 1.0);
    let mut single = Worst::of("dpm-solver: f32 against f64");
    for (name, case) in cases {
        let parts: Vec<&str> = name.split('|').collect();
        let [algorithm, method, order, spacing, count] = parts[..] else { panic!("{name}") };
        let form = if algorithm == "dpmsolver++" { DpmForm::Data } else { DpmForm::Noise };
        let order = order["order".len()..].parse().expect("an order");
        let spacing = match spacing {
            "logSNR" => Spacing::LogSnr,
            "time_uniform" => Spacing::Uniform,
            "time_quadratic" => Spacing::Quadratic,
            _ => panic!("{name}"),
        };
        let count = count.parse().expect("a number");
        let (solver, grid) = if method == "multistep" {
            let solver = Solver::Multistep(Solver::multistep(form, order));
            (solver, grid_to_last_timestep(spacing, count))
        } else {
            singlestep(form, order, spacing, count)
        };
        let states = solver.run(&model, &grid, start::<f64>(), &mut Silence);
        assert_eq!(states.len(), count, "{name}: evaluations");
        let last = states.last().expect("requests");
        worst.compare(name, last, &numbers(&case["final"]), 1e-7, 1.0);
        let error = [largest_error(last, &end)];
        worst.compare(name, &error, &[number(&case["max_abs_err_vs_exact"])], 1e-7, 1.0);

        // f32: one rounding of the state a step, up to 160 of them.
        let f32s = solver.run(&model, &grid, start::<f32>(), &mut Silence).pop().expect("requests");
        single.compare(name, &f32s, last, 1e-5, 1.0);
    }
}

#[test]
fn the_schedule_between_timesteps() {
    let golden = golden_json("golden_dpm_solver_official.json");
    let (schedule, noise_schedule) = (&golden["schedule"], linear_1000());
    let times = numbers(&schedule["t"]);
    let levels: Vec<_> = times.iter().map(|&t| noise_schedule.level(timestep(t))).collect();
    let mut worst = Worst::of("dpm-solver schedule");
    let mut compare = |name: &str, got: Vec<f64>| {
        worst.compare(name, &got, &numbers(&schedule[name]), 1e-6, 1.0);
    };
    compare("log_alpha", levels.iter().map(|level| level.a.ln()).collect());
    compare("sigma", levels.iter().map(|level| level.s).collect());
    compare("lambda", levels.iter().map(|level| level.lambda()).collect());
    let back = levels.iter().map(|&level| (noise_schedule.time(level) + 1.0) / 1000.0).collect();
    compare("inverse_lambda_roundtrip", back);
}

#[test]
fn grids_of_times() {
    let golden = golden_json("golden_dpm_solver_official.json");
    let process = discrete();
    let [high, low] = ends(&process);
    let mut worst = Worst::of("dpm-solver times");
    for (name, spacing) in
        [("time_steps_logSNR_20", Spacing::LogSnr), ("time_steps_quadratic_20", Spacing::Quadratic)]
    {
        let levels = spacing.levels(&process, high, low, 21);
        let times: Vec<f64> =
            levels.into_iter().map(|level| (process.time(level) + 1.0) / 1000.0).collect();
        worst.compare(name, &times, &numbers(&golden[name]), 1e-6, 1.0);
    }
}

/// A step is linear in the state and in the answers, so runs of zeros and ones show its weights.
#[test]
fn weights_of_2m() {
    let golden = golden_json("golden_dpm_solver_official.json");
    let rows = golden["dpmpp_2m_coeffs_logSNR_20"].as_array().expect("rows");
    assert_eq!(rows.len(), 19);

    // Element 0 begins at 1 and is answered 0; element k+1 begins at 0 and request k is answered 1.
    let layout = ImageLayout { channels: 1, pixels: 21 };
    let mut x = vec![0.0; 21];
    x[0] = 1.0;
    let solver = Solver::Multistep(Solver::multistep(DpmForm::Data, 2));
    let grid = grid_to_last_timestep(Spacing::LogSnr, 20);
    let mut sampler = solver.start(&discrete(), grid, x).expect("a valid case");
    let mut states = vec![sampler.state().to_vec()];
    for k in 0..20 {
        let mut answer = vec![0.0; 21];
        answer[k + 1] = 1.0;
        sampler.advance(Prediction::new(ObjectiveKind::X0, layout, &answer), &mut Silence);
        states.push(sampler.state().to_vec());
    }

    let mut worst = Worst::of("dpm-solver weights of 2M");
    for row in rows {
        let i = index(&row["step"]);
        let (before, after) = (&states[i], &states[i + 1]);
        let of_x = after[0] / before[0];
        let weights = [of_x, after[i + 1], after[i] - of_x * before[i]];
        let want = ["x", "m_s", "m_prev"].map(|name| number(&row[name]));
        worst.compare(&format!("step {i}"), &weights, &want, 1e-6, 1.0);
    }
}
