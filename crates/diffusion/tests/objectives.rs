//! Objectives of every kind: targets, gradients, densities, weightings.

mod common;

use common::Worst;
use diffusion::{
    DiffusionError, FlowPath, ImageLayout, LogVariance, LossBatch, LossHistory, NoiseLevel,
    NoiseSchedule, NoiseScheduleKind, Objective, ObjectiveKind, ObjectiveOptions, Prediction,
    PredictionKind, Process, TimestepDensity, Weighting,
};

const LAYOUT: ImageLayout = ImageLayout { channels: 3, pixels: 5 };

fn discrete() -> Process {
    Process::Discrete(NoiseSchedule::linear(1000).expect("1000 timesteps"))
}

fn flow(path: FlowPath) -> Process {
    Process::Flow { path, time_scale: 1000.0 }
}

/// Every kind on its process, with times to try.
fn kinds() -> Vec<(ObjectiveKind, Process, [f64; 3])> {
    let timesteps = [3.0, 500.0, 998.0];
    let mut kinds: Vec<_> = [ObjectiveKind::EpsHybrid, ObjectiveKind::Eps, ObjectiveKind::X0]
        .into_iter()
        .chain([ObjectiveKind::V])
        .map(|kind| (kind, discrete(), timesteps))
        .collect();
    for path in [FlowPath::Linear, FlowPath::Gvp, FlowPath::Vp] {
        kinds.push((ObjectiveKind::Flow(path), flow(path), [0.01, 0.4, 0.97]));
    }
    kinds.push((ObjectiveKind::Edm { sigma_data: 0.5 }, Process::edm(0.5), [0.01, 0.7, 60.0]));
    kinds
}

fn objective(kind: ObjectiveKind, process: Process, options: ObjectiveOptions) -> Objective {
    Objective::on(kind, process, options).expect("a valid case")
}

/// The sum of the losses, and its gradient.
fn evaluate(objective: &Objective, batch: LossBatch<'_, f64>) -> (f64, Vec<f64>) {
    let mut grad = vec![f64::NAN; batch.model_output.len()];
    let terms = objective.loss(LAYOUT, batch, 1.0, &mut grad);
    (terms.iter().map(|terms| terms.loss).sum(), grad)
}

#[test]
fn gradients_are_those_of_central_differences() {
    let mut worst = Worst::of("gradients of every objective");
    let (x0, noise) = (parity::uniform(1, 45), parity::uniform(2, 45));
    // The bound of the hybrid sends no gradient into its mean on purpose; tests/losses.rs has it.
    for (kind, process, timesteps) in kinds().into_iter().filter(|kind| !kind.0.learns_variance()) {
        for weighting in [Weighting::None, Weighting::MinSnr { gamma: 5.0 }, Weighting::Cosmap] {
            let cosine_direction = if kind.predicts_velocity() { 0.7 } else { 0.0 };
            let options =
                ObjectiveOptions { weighting, cosine_direction, ..ObjectiveOptions::default() };
            let objective = objective(kind, process.clone(), options);
            let mut output = parity::uniform(3, 3 * LAYOUT.output_len(kind.output_channels(3)));
            let at = |output: &[f64]| {
                let batch = LossBatch {
                    model_output: output,
                    x0: &x0,
                    noise: &noise,
                    timesteps: &timesteps,
                    weights: Some(&[1.0, 0.5, 2.0]),
                };
                evaluate(&objective, batch)
            };
            let (_, grad) = at(&output);
            let largest = grad.iter().fold(0.0f64, |most, g| most.max(g.abs()));
            let numeric: Vec<f64> = (0..output.len())
                .map(|i| {
                    let (value, step) = (output[i], 1e-5);
                    output[i] = value + step;
                    let above = at(&output).0;
                    output[i] = value - step;
                    let below = at(&output).0;
                    output[i] = value;
                    (above - below) / (2.0 * step)
                })
                .collect();
            // In units of the largest element.
            worst.compare(&format!("{kind:?} {weighting}"), &grad, &numeric, 1e-7, largest);
        }
    }
}

/// A network that says the target is right about data and noise, in any coordinates, and has no loss.
#[test]
fn targets_are_understood() {
    let mut worst = Worst::of("targets and conversions");
    let (x0, noise) = (parity::uniform(1, 15), parity::uniform(2, 15));
    for (kind, process, timesteps) in kinds() {
        if kind.learns_variance() {
            continue;
        }
        let objective = objective(kind, process.clone(), ObjectiveOptions::default());
        for timestep in timesteps {
            let own = objective.level(timestep);
            let target = kind.prediction().target(own);
            let mut output = vec![0.0; 15];
            target.write(&x0, &noise, &mut output);
            let batch = LossBatch {
                model_output: &output,
                x0: &x0,
                noise: &noise,
                timesteps: &[timestep],
                weights: None,
            };
            assert!(evaluate(&objective, batch).0 < 1e-28, "{kind:?} at {timestep}");
            for scale in [1.0, 1.0 / own.a, 0.3] {
                let level = NoiseLevel { a: scale * own.a, s: scale * own.s };
                let (mut x, mut got) = (vec![0.0; 15], vec![f64::NAN; 15]);
                level.corrupt(&x0, &noise, &mut x);
                let prediction = Prediction::new(kind, LAYOUT, &output);
                // Where there is little data, data is known as well as its share of the image.
                let what = format!("{kind:?} at {timestep}, scale {scale}");
                prediction.x0(level, &x, &mut got);
                worst.compare(&what, &got, &x0, 1e-12, own.noise_per_data().max(1.0));
                prediction.noise(level, &x, &mut got);
                worst.compare(&what, &got, &noise, 1e-12, own.noise_per_data().recip().max(1.0));
            }
        }
    }
}

/// What the network is shown and told for a state in other coordinates is what it was trained on.
#[test]
fn nodes_lead_back_to_the_process() {
    let mut worst = Worst::of("nodes");
    for (kind, process, timesteps) in kinds() {
        let objective = objective(kind, process.clone(), ObjectiveOptions::default());
        for timestep in timesteps {
            let (own, input) = (process.level(timestep), objective.input_level(timestep));
            assert!((process.time(own) - timestep).abs() < 1e-9 * timestep.max(1.0), "{kind:?}");
            for scale in [1.0, 1.0 / own.a, 0.3] {
                let level = NoiseLevel { a: scale * own.a, s: scale * own.s };
                let node = process.node(level);
                let shown = [node.input_factor * level.a, node.input_factor * level.s];
                let what = format!("{kind:?} at {timestep}");
                worst.compare(&what, &shown, &[input.a, input.s], 1e-9, 1e-3);
                let told = [objective.network_time(timestep)];
                worst.compare(&what, &[node.network_time], &told, 1e-8, 1.0);
            }
        }
    }
}

#[test]
fn clamped_predictions() {
    let level = NoiseLevel { a: 0.6, s: 0.8 };
    let layout = ImageLayout { channels: 1, pixels: 4 };
    let (x, output) = ([2.0, -3.0, 0.1, 0.2], [0.0, 0.5, 0.1, -0.2]);
    for kind in [ObjectiveKind::Eps, ObjectiveKind::V, ObjectiveKind::Flow(FlowPath::Gvp)] {
        let prediction = Prediction::new(kind, layout, &output).clamping_x0(true);
        let (mut x0, mut noise, mut mixed) = ([0.0f64; 4], [0.0; 4], [0.0; 4]);
        prediction.x0(level, &x, &mut x0);
        assert!(x0.iter().all(|x0| x0.abs() <= 1.0) && x0.contains(&1.0), "{kind:?} {x0:?}");
        prediction.noise(level, &x, &mut noise);
        let mix = diffusion::Mix { first: 0.7, second: -0.4 };
        prediction.combine(level, mix, &x, &mut mixed);
        for i in 0..4 {
            assert!((level.a * x0[i] + level.s * noise[i] - x[i]).abs() < 1e-14, "{kind:?}");
            assert!((mixed[i] - (0.7 * x0[i] - 0.4 * noise[i])).abs() < 1e-14, "{kind:?}");
        }
    }
}

/// A pixel without output has no direction, and no gradient of it.
#[test]
fn direction_of_nothing() {
    let options = ObjectiveOptions { cosine_direction: 2.0, ..ObjectiveOptions::default() };
    let objective =
        objective(ObjectiveKind::Flow(FlowPath::Linear), flow(FlowPath::Linear), options);
    let (x0, noise) = (parity::uniform(1, 15), parity::uniform(2, 15));
    let mut grad = vec![f64::NAN; 15];
    let batch = LossBatch {
        model_output: &[0.0; 15],
        x0: &x0,
        noise: &noise,
        timesteps: &[0.5],
        weights: None,
    };
    let terms = objective.loss(LAYOUT, batch, 1.0, &mut grad)[0];
    assert_eq!(terms.cosine, Some(1.0));
    assert!((terms.loss - terms.mse - 2.0).abs() < 1e-12);
    for (grad, (x0, noise)) in grad.iter().zip(x0.iter().zip(&noise)) {
        assert!((grad - 2.0 / 15.0 * (noise - x0)).abs() < 1e-14);
    }
}

/// The weights that papers give for each prediction.
#[test]
fn weightings() {
    let process = discrete();
    for t in [0.0, 100.0, 500.0, 999.0] {
        let snr = process.level(t).snr();
        let at = |weighting: Weighting, kind| weighting.at(kind, &process, t);
        let min_snr = Weighting::MinSnr { gamma: 5.0 };
        for (kind, want) in [
            (PredictionKind::Eps, snr.min(5.0) / snr),
            (PredictionKind::V, snr.min(5.0) / (snr + 1.0)),
            (PredictionKind::X0, snr.min(5.0)),
        ] {
            assert!((at(min_snr, kind) / want - 1.0).abs() < 1e-12, "{kind:?} at {t}");
        }
    }
    let edm = Process::edm(0.5);
    for sigma in [0.002, 0.5, 3.0, 80.0] {
        let own = PredictionKind::Edm { sigma_data: 0.5 };
        let weight = Weighting::Edm { sigma_data: 0.5 }.at(own, &edm, sigma);
        assert!((weight - 1.0).abs() < 1e-12, "{weight} at {sigma}");
    }
    // With u = a' x0 + s' n and x held, du = (s' - s a'/a) dn = -(w/s) dn.
    for path in [FlowPath::Linear, FlowPath::Gvp, FlowPath::Vp] {
        let weight = Weighting::Velocity.at(PredictionKind::Flow(path), &flow(path), 0.3);
        assert!((weight - 1.0).abs() < 1e-12, "{path:?}: {weight}");
    }
    let cosmap = Weighting::Cosmap.at(PredictionKind::V, &flow(FlowPath::Linear), 0.5);
    assert!((cosmap - 4.0 / std::f64::consts::PI).abs() < 1e-12);
    let square = Weighting::InverseSquare.at(PredictionKind::V, &flow(FlowPath::Linear), 0.5);
    assert!((square - 4.0).abs() < 1e-12);
}

fn drawn(process: &Process, kind: ObjectiveKind, density: TimestepDensity) -> Vec<f64> {
    let options = ObjectiveOptions { density, ..ObjectiveOptions::default() };
    let positions: Vec<u64> = (0..20_000).collect();
    objective(kind, process.clone(), options).draw_timesteps(11, &positions)
}

/// Mean and deviation over 20000 draws; the error of a mean is 1/140 of a deviation.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    (mean, (values.map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt())
}

#[test]
fn densities_are_what_their_names_say() {
    let (kind, process) = (ObjectiveKind::Flow(FlowPath::Linear), flow(FlowPath::Linear));
    let close = |got: (f64, f64), want: (f64, f64)| {
        assert!((got.0 - want.0).abs() < 0.03 * want.1, "{got:?}, expected {want:?}");
        assert!((got.1 / want.1 - 1.0).abs() < 0.03, "{got:?}, expected {want:?}");
    };
    let times = drawn(&process, kind, TimestepDensity::Uniform);
    close(moments(times.into_iter()), (0.5, 1.0 / 12f64.sqrt()));
    let logit = |tau: f64| (tau / (1.0 - tau)).ln();
    let times = drawn(&process, kind, TimestepDensity::LogitNormal { mean: 0.5, std: 0.8 });
    close(moments(times.into_iter().map(|t| logit(1.0 - t))), (0.5, 0.8));
    let lognormal = TimestepDensity::Lognormal { mean: -1.2, std: 1.2 };
    for path in [FlowPath::Linear, FlowPath::Gvp] {
        let (kind, process) = (ObjectiveKind::Flow(path), flow(path));
        let times = drawn(&process, kind, lognormal);
        let sigma = |t: f64| process.level(t).noise_per_data().ln();
        close(moments(times.into_iter().map(sigma)), (-1.2, 1.2));
    }
    let edm = ObjectiveKind::Edm { sigma_data: 0.5 };
    let sigmas = drawn(&Process::edm(0.5), edm, lognormal);
    close(moments(sigmas.into_iter().map(f64::ln)), (-1.2, 1.2));
    // The hump of mode(k) moves no mass across the middle, and leaves less at the ends.
    let times = drawn(&process, kind, TimestepDensity::Mode { scale: 1.29 });
    assert!(times.iter().all(|t| (0.0..=1.0).contains(t)));
    let inner = times.iter().filter(|t| (0.25..0.75).contains(*t)).count() as f64 / 20_000.0;
    assert!((0.55..0.8).contains(&inner), "{inner}");
    let timesteps = drawn(&discrete(), ObjectiveKind::V, lognormal);
    assert!(timesteps.iter().all(|t| t.fract() == 0.0 && (0.0..1000.0).contains(t)));
}

#[test]
fn choices_read_back_and_wrong_ones_are_refused() {
    for text in
        ["uniform", "logit_normal(0, 1)", "mode(1.29)", "lognormal(-1.2, 1.2)", "loss_aware"]
    {
        assert_eq!(text.parse::<TimestepDensity>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "Uniform",
        "logit_normal",
        "logit_normal(0)",
        "logit_normal(0, 0)",
        "mode(2)",
        "lognormal(a, b)",
        "lognormal(1, 2",
        "uniform(1)",
        "logit_normal(0, inf)",
    ] {
        let error = text.parse::<TimestepDensity>().unwrap_err().to_string();
        assert!(error.contains("logit_normal(0, 1)") && error.contains(text), "{error}");
    }
    for text in ["none", "min_snr(5)", "edm(0.5)", "velocity", "likelihood", "cosmap", "learned"] {
        assert_eq!(text.parse::<Weighting>().unwrap().to_string(), text);
    }
    for text in ["min_snr", "min_snr(0)", "edm(-1)", "snr"] {
        assert!(text.parse::<Weighting>().is_err(), "{text}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let zero_snr = NoiseSchedule::linear(1000).unwrap().with_zero_terminal_snr();
    let plain = ObjectiveOptions::default();
    let linear = ObjectiveKind::Flow(FlowPath::Linear);
    let refused = [
        (linear, discrete(), plain),
        (ObjectiveKind::Eps, flow(FlowPath::Linear), plain),
        (ObjectiveKind::Flow(FlowPath::Gvp), flow(FlowPath::Linear), plain),
        (ObjectiveKind::Edm { sigma_data: 0.4 }, Process::edm(0.5), plain),
        (ObjectiveKind::Eps, Process::Discrete(zero_snr.clone()), plain),
        (
            linear,
            flow(FlowPath::Linear),
            ObjectiveOptions { density: TimestepDensity::LossAware, ..plain },
        ),
        (
            ObjectiveKind::EpsHybrid,
            discrete(),
            ObjectiveOptions { weighting: Weighting::Learned, ..plain },
        ),
        (ObjectiveKind::X0, discrete(), ObjectiveOptions { cosine_direction: 1.0, ..plain }),
    ];
    for (kind, process, options) in refused {
        let error = Objective::on(kind, process, options).unwrap_err();
        assert!(matches!(error, DiffusionError::Combination { .. }), "{kind:?}: {error}");
    }
    assert!(Objective::on(ObjectiveKind::V, Process::Discrete(zero_snr), plain).is_ok());
}

/// Losses that rise with the timestep draw late timesteps; weights make up for it.
#[test]
fn loss_aware_timesteps() {
    let options = ObjectiveOptions { density: TimestepDensity::LossAware, ..Default::default() };
    let process = Process::Discrete(NoiseSchedule::new(NoiseScheduleKind::Cosine, 20).unwrap());
    let mut history = objective(ObjectiveKind::Eps, process, options).loss_history().unwrap();
    let timesteps: Vec<f64> = (0..20).map(f64::from).collect();
    let losses: Vec<f64> = timesteps.iter().map(|t| 0.1 + t).collect();
    for round in 0..10 {
        let weights: Vec<f64> = (0..100).map(|p| history.draw_timestep(3, p).1).collect();
        assert!(weights.iter().all(|&w| w == 1.0), "uniform until every timestep has ten, {round}");
        history.record(&timesteps, &losses);
    }
    let (mut count, mut weighted, mut plain) = ([0usize; 20], 0.0, 0.0);
    for position in 0..50_000 {
        let (t, weight) = history.draw_timestep(3, position);
        count[t as usize] += 1;
        weighted += weight * losses[t as usize] / 50_000.0;
        plain += losses[t as usize] / 50_000.0;
    }
    let mean = losses.iter().sum::<f64>() / 20.0;
    assert!(
        plain > 1.2 * mean && (weighted / mean - 1.0).abs() < 0.02,
        "{plain} {weighted} {mean}"
    );
    let share = count[19] as f64 / 50_000.0;
    assert!((share - 19.1 / losses.iter().sum::<f64>()).abs() < 0.005, "{share}");
    assert!(count[0] > 0, "the uniform share reaches every timestep");

    // Ten newer losses replace the old; a loss that is no number is left out.
    history.record(&[0.0], &[f64::NAN]);
    let again = LossHistory::from_values(&history.to_values()).unwrap();
    assert_eq!(again, history);
    for _ in 0..10 {
        history.record(&timesteps, &[1.0; 20]);
    }
    assert!((history.draw_timestep(3, 0).1 - 1.0).abs() < 1e-9);
    assert!(LossHistory::from_values(&[1.0; 5]).is_none());
    assert!(LossHistory::from_values(&[11.0; 11]).is_none());
}

/// The learned variance finds the mean loss of each level.
#[test]
fn learned_log_variance() {
    let levels: Vec<NoiseLevel> =
        (0..16).map(|i| NoiseLevel { a: 1.0, s: (0.4 * f64::from(i) - 4.0).exp() }).collect();
    let losses: Vec<f64> = levels.iter().map(|level| 0.3 / (1.0 + level.s) + 0.01).collect();
    let mut variance = LogVariance::new();
    assert!(levels.iter().all(|&level| variance.at(level) == 0.0));
    for step in 1..=3000 {
        variance.train(&levels, &losses, 0.01, step);
    }
    for (&level, loss) in levels.iter().zip(&losses) {
        assert!(
            (variance.at(level) - loss.ln()).abs() < 0.1,
            "{} {}",
            variance.at(level),
            loss.ln()
        );
    }
    assert!(variance.at(NoiseLevel { a: 0.0, s: 1.0 }).is_finite());
    let again = LogVariance::from_values(&variance.to_values()).unwrap();
    assert_eq!(again, variance);
    assert!(LogVariance::from_values(&[0.0; 4]).is_none());
    variance.train(&levels, &[f64::NAN; 16], 0.01, 3001);
    assert_eq!(again, variance, "what is no number teaches nothing");
}
