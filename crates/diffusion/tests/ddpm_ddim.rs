//! DDPM, DDIM and its inversion on the analytic model, against guided-diffusion and exact results.

mod common;

use common::{
    Analytic, DATA_DEVIATION, ELEMENTS, Silence, Sines, Worst, golden_json, linear_1000, mu,
    number, numbers, start, table,
};
use diffusion::{
    DdimInversion, DdimSampler, DdpmSampler, DiffusionError, ImageLayout, NoiseSource,
    ObjectiveKind, Prediction, Real, Sampler, SamplerKind, SamplerPlan, VarianceKind,
};
use serde_json::Value;

/// The variance of a golden row and the objective that has it.
fn variance(row: &Value) -> (VarianceKind, ObjectiveKind) {
    match row["variance"].as_str().expect("variance") {
        "LEARNED_RANGE" => (VarianceKind::LearnedRange, ObjectiveKind::EpsHybrid),
        "FIXED_SMALL" => (VarianceKind::FixedSmall, ObjectiveKind::Eps),
        "FIXED_LARGE" => (VarianceKind::FixedLarge, ObjectiveKind::Eps),
        other => panic!("no variance {other}"),
    }
}

fn ddpm<T: Real>(
    respacing: &str,
    objective: ObjectiveKind,
    variance: VarianceKind,
    x: Vec<T>,
) -> DdpmSampler<T> {
    DdpmSampler::new(table(respacing), objective, variance, x).expect("a valid case")
}

fn ddim<T: Real>(respacing: &str, eta: f64, x: Vec<T>) -> DdimSampler<T> {
    DdimSampler::new(table(respacing), eta, x).expect("a valid case")
}

/// Compares the first states and the last one in f64, and the last one in f32.
fn compare_run(worst: [&mut Worst; 2], what: &str, row: &Value, f64s: &[Vec<f64>], f32s: &[f32]) {
    let [exact, single] = worst;
    let first = row["first_steps"].as_object().expect("first_steps");
    for (step, want) in first {
        let state = &f64s[step.parse::<usize>().expect("a valid case")];
        exact.compare(&format!("{what} after request {step}"), state, &numbers(want), 1e-12, 1.0);
    }
    let last = f64s.last().expect("a valid case");
    exact.compare(&format!("{what} final"), last, &numbers(&row["final"]), 1e-12, 1.0);
    let want = numbers(&row["final_f32coef"]);
    single.compare(&format!("{what} final in f32"), f32s, &want, 5e-6, 1.0);
}

#[test]
fn every_ddpm_run() {
    let golden = golden_json("golden_ddpm_ddim.json");
    let rows = golden["ddpm"].as_array().expect("ddpm");
    assert_eq!(rows.len(), 12);
    let (mut exact, mut single) = (Worst::of("ddpm f64"), Worst::of("ddpm f32"));
    for row in rows {
        let (variance, objective) = variance(row);
        let respacing = row["respacing"].as_str().unwrap();
        let model = Analytic::golden(objective, &linear_1000());
        let f64s = model.run(&mut ddpm(respacing, objective, variance, start::<f64>()), &mut Sines);
        let f32s = model.run(&mut ddpm(respacing, objective, variance, start::<f32>()), &mut Sines);
        let what = format!("{variance:?} {respacing}");
        compare_run([&mut exact, &mut single], &what, row, &f64s, f32s.last().unwrap());
    }
}

#[test]
fn every_ddim_run() {
    let golden = golden_json("golden_ddpm_ddim.json");
    let rows = golden["ddim"].as_array().expect("ddim");
    assert_eq!(rows.len(), 12);
    let (mut exact, mut single) = (Worst::of("ddim f64"), Worst::of("ddim f32"));
    let mut ends = Worst::of("ddim against the exact end");
    let model = Analytic::golden(ObjectiveKind::Eps, &linear_1000());
    for row in rows {
        let (respacing, eta) = (row["respacing"].as_str().unwrap(), number(&row["eta"]));
        let f64s = model.run(&mut ddim(respacing, eta, start::<f64>()), &mut Sines);
        let f32s = model.run(&mut ddim(respacing, eta, start::<f32>()), &mut Sines);
        let what = format!("{respacing} eta {eta}");
        compare_run([&mut exact, &mut single], &what, row, &f64s, f32s.last().unwrap());
        if eta == 0.0 {
            let end = exact_end(table(respacing).rows().last().unwrap().alpha_bar);
            ends.compare(&what, &end, &numbers(&row["exact_ode_end"]), 1e-12, 1.0);
            let errors = f64s.last().unwrap().iter().zip(&end).map(|(x, end)| (x - end).abs());
            let worst = errors.fold(0.0, f64::max);
            ends.compare(&what, &[worst], &[number(&row["max_abs_err_vs_exact"])], 1e-12, 1.0);
        }
    }
}

/// Where the probability flow from the start at `ab = p` ends at `ab = 1`.
fn exact_end(p: f64) -> Vec<f64> {
    let ratio = (DATA_DEVIATION.powi(2) / (p * DATA_DEVIATION.powi(2) + 1.0 - p)).sqrt();
    let start = start::<f64>().into_iter().enumerate();
    start.map(|(i, x)| mu(i) + ratio * (x - p.sqrt() * mu(i))).collect()
}

#[test]
fn inversion_and_back() {
    let golden = golden_json("golden_ddpm_ddim.json");
    let model = Analytic::golden(ObjectiveKind::Eps, &linear_1000());
    let mut inversion = DdimInversion::new(table("250"), start::<f64>());
    let states = model.run(&mut inversion, &mut Silence);
    let want = numbers(&golden["ddim_reverse_250_from_init"]);
    Worst::of("ddim inversion").compare("last", states.last().unwrap(), &want, 1e-12, 1.0);

    // Inverting and sampling again returns to the image, the better the finer the grid.
    let mut errors = Vec::new();
    for respacing in ["10", "50", "250", "full"] {
        let mut inversion = DdimInversion::new(table(respacing), start::<f64>());
        let noise = model.run(&mut inversion, &mut Silence).pop().unwrap();
        let image = model.run(&mut ddim(respacing, 0.0, noise), &mut Silence).pop().unwrap();
        let differences = image.iter().zip(start::<f64>()).map(|(x, y)| (x - y).abs());
        errors.push(differences.fold(0.0, f64::max));
    }
    assert!(errors.is_sorted_by(|coarse, fine| fine < coarse), "{errors:?}");
    assert!(errors[3] < 0.02, "{errors:?}");
}

#[test]
fn ddim_with_eta_1_is_ddpm_with_fixed_small_variance() {
    let model = Analytic::golden(ObjectiveKind::Eps, &linear_1000());
    let mut worst = Worst::of("ddim eta 1 = ddpm fixed small");
    for respacing in ["1", "10", "50", "ddim50", "250", "full"] {
        let mut ddpm =
            ddpm(respacing, ObjectiveKind::Eps, VarianceKind::FixedSmall, start::<f64>());
        let want = model.run(&mut ddpm, &mut Sines);
        let got = model.run(&mut ddim(respacing, 1.0, start::<f64>()), &mut Sines);
        for (got, want) in got.iter().zip(&want) {
            worst.compare(respacing, got, want, 1e-12, 1.0);
        }
    }
}

/// Noise 1 for image `k + 1` at draw `k` and 0 elsewhere, images of one element.
struct OneDrawEach;

impl NoiseSource<f64> for OneDrawEach {
    fn fill(&mut self, draw_index: u32, out: &mut [f64]) {
        out.fill(0.0);
        out[draw_index as usize + 1] = 1.0;
    }
}

/// Every step is affine in `x`: the mean of a chain is its path from 0 without noise, its variance
/// the sum of the squared responses to a start of 1 and to every draw of 1.
#[test]
fn mean_and_deviation_of_the_chain() {
    let golden = golden_json("golden_ddpm_ddim.json");
    let (mut means, mut deviations) = (Worst::of("chain mean"), Worst::of("chain deviation"));
    for row in golden["ddpm"].as_array().unwrap() {
        let (variance, objective) = variance(row);
        let respacing = row["respacing"].as_str().unwrap();
        let what = format!("{variance:?} {respacing}");

        let model = Analytic::golden(objective, &linear_1000());
        let mut sampler = ddpm(respacing, objective, variance, vec![0.0; ELEMENTS]);
        let mean = model.run(&mut sampler, &mut Silence).pop().unwrap();
        means.compare(&what, &mean, &numbers(&row["chain_mean"]), 1e-12, 1.0);

        let layout = ImageLayout { channels: 1, pixels: 1 };
        let centred = Analytic { layout, means: vec![0.0], ..model };
        let mut starts = vec![0.0; table(respacing).len() + 1];
        starts[0] = 1.0;
        let mut sampler = ddpm(respacing, objective, variance, starts);
        let responses = centred.run(&mut sampler, &mut OneDrawEach).pop().unwrap();
        let deviation = responses.iter().map(|r| r * r).sum::<f64>().sqrt();
        let want = match &row["chain_std"] {
            Value::Array(_) => numbers(&row["chain_std"]),
            single => vec![number(single)],
        };
        deviations.compare(&what, &vec![deviation; want.len()], &want, 1e-12, 1.0);
    }
}

/// A perfect network makes the same images whatever it was trained to say.
#[test]
fn any_objective_runs_with_any_sampler() {
    let mut worst = Worst::of("v and eps_hybrid against eps");
    let kinds = [ObjectiveKind::Eps, ObjectiveKind::V, ObjectiveKind::EpsHybrid];
    let run = |make: &dyn Fn(ObjectiveKind) -> Box<dyn Sampler<f64>>| {
        kinds.map(|kind| {
            let model = Analytic::golden(kind, &linear_1000());
            model.run(make(kind).as_mut(), &mut Sines).pop().unwrap()
        })
    };
    let samplers: [&dyn Fn(ObjectiveKind) -> Box<dyn Sampler<f64>>; 3] = [
        &|kind| Box::new(ddpm("50", kind, VarianceKind::FixedSmall, start())),
        &|_| Box::new(ddim("50", 0.5, start())),
        &|_| Box::new(DdimInversion::new(table("50"), start())),
    ];
    for sampler in samplers {
        let [eps, v, hybrid] = run(sampler);
        worst.compare("v", &v, &eps, 1e-12, 1.0);
        assert_eq!(hybrid, eps);
    }
}

#[test]
fn sampler_kinds_and_their_usual_options() {
    for kind in SamplerKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        assert_eq!(serde_json::from_value::<SamplerKind>(kind.name().into()).unwrap(), kind);
    }
    for (objective, variance) in [
        (ObjectiveKind::EpsHybrid, VarianceKind::LearnedRange),
        (ObjectiveKind::V, VarianceKind::FixedSmall),
    ] {
        let model = Analytic::golden(objective, &linear_1000());
        let usual = |kind| {
            let plan = SamplerPlan::new(kind, "10".parse().unwrap());
            plan.start(objective, &model.process, start::<f64>(), &mut Sines).unwrap()
        };
        let mut explicit = ddpm("10", objective, variance, start::<f64>());
        let states = model.run(usual(SamplerKind::Ddpm).as_mut(), &mut Sines);
        assert_eq!(states, model.run(&mut explicit, &mut Sines), "{objective:?}");
        let mut explicit = ddim("10", 0.0, start::<f64>());
        let states = model.run(usual(SamplerKind::Ddim).as_mut(), &mut Sines);
        assert_eq!(states, model.run(&mut explicit, &mut Sines), "{objective:?}");
    }
}

#[test]
fn wrong_options_are_refused() {
    for eta in [-0.1, 1.1, f64::NAN] {
        let error = DdimSampler::new(table("10"), eta, start::<f32>()).unwrap_err();
        assert!(matches!(error, DiffusionError::Eta { .. }), "{error}");
    }
    let variance = VarianceKind::LearnedRange;
    let error = DdpmSampler::new(table("10"), ObjectiveKind::V, variance, start::<f32>());
    assert_eq!(error.unwrap_err(), DiffusionError::NoLearnedVariance);
}

/// What the caller is told: original timesteps from the noisiest down, then nothing.
#[test]
fn requests() {
    let model = Analytic::golden(ObjectiveKind::Eps, &linear_1000());
    let mut sampler = ddim("10", 0.0, start::<f64>());
    assert_eq!(sampler.request_count(), 10);
    let mut times = Vec::new();
    while let Some(request) = sampler.request() {
        assert_eq!((request.index, request.input_factor), (times.len(), 1.0));
        assert!((request.level.a.powi(2) + request.level.s.powi(2) - 1.0).abs() < 1e-15);
        times.push(request.network_time);
        let output = model.output(request, sampler.state());
        let prediction = Prediction::new(model.objective, model.layout, &output);
        sampler.advance(prediction, &mut Sines);
    }
    assert_eq!(times, [999., 888., 777., 666., 555., 444., 333., 222., 111., 0.]);
}

/// With clamped data the noise is what leads from that data to the state.
#[test]
fn clamped_ddim() {
    let (x, eps_hat, layout) =
        (vec![1.5, -0.2], [-3.0, 0.1], ImageLayout { channels: 1, pixels: 2 });
    let table = table("10");
    let row = table[9];
    let (a, s) = (row.alpha_bar.sqrt(), (1.0 - row.alpha_bar).sqrt());
    let want: Vec<f64> = x
        .iter()
        .zip(eps_hat)
        .map(|(x, eps_hat)| {
            let x0: f64 = ((x - s * eps_hat) / a).clamp(-1.0, 1.0);
            let eps = (x - a * x0) / s;
            row.alpha_bar_prev.sqrt() * x0 + (1.0 - row.alpha_bar_prev).sqrt() * eps
        })
        .collect();
    let mut sampler = DdimSampler::new(table, 0.0, x).unwrap();
    let prediction = Prediction::new(ObjectiveKind::Eps, layout, &eps_hat).clamping_x0(true);
    sampler.advance(prediction, &mut Silence);
    Worst::of("clamped ddim").compare("state", sampler.state(), &want, 1e-12, 1.0);
}
