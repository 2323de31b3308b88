//! Losses and their gradients against guided-diffusion, and against central differences.

mod common;

use common::{ELEMENTS, LAYOUT, Worst, golden_json, index, noise, number, numbers};
use diffusion::{HybridLoss, LossBatch, LossTerms, NoiseSchedule, Objective, ObjectiveKind};
use parity::check_gradient;

fn objective(kind: ObjectiveKind, hybrid_loss: HybridLoss, timesteps: usize) -> Objective {
    let noise_schedule = NoiseSchedule::linear(timesteps).expect("a valid case");
    Objective::new(kind, &noise_schedule).with_hybrid_loss(hybrid_loss)
}

fn golden_x0() -> Vec<f64> {
    (0..ELEMENTS).map(|i| 0.9 * (0.8 * i as f64 + 0.1).sin()).collect()
}

fn golden_noise(k: usize) -> Vec<f64> {
    (0..ELEMENTS).map(|i| noise(k, i)).collect()
}

fn evaluate(
    objective: &Objective,
    batch: LossBatch<'_, f64>,
    gradient_factor: f64,
) -> (Vec<LossTerms>, Vec<f64>) {
    let mut grad = vec![f64::NAN; batch.model_output.len()];
    let terms = objective.loss(LAYOUT, batch, gradient_factor, &mut grad);
    (terms, grad)
}

#[test]
fn every_hybrid_row() {
    let golden = golden_json("golden_losses.json");
    let rows = golden["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 40);
    let v = (0..ELEMENTS).map(|i| 0.8 * (0.5 * i as f64).cos());
    let model_output: Vec<f64> = golden_noise(1).into_iter().chain(v).collect();
    let (x0, noise) = (golden_x0(), golden_noise(0));
    let (mut losses, mut grads) = (Worst::of("hybrid losses"), Worst::of("hybrid gradients"));
    for row in rows {
        let hybrid_loss = match row["loss_type"].as_str().expect("loss_type") {
            "MSE" => HybridLoss::Mse,
            "RESCALED_MSE" => HybridLoss::RescaledMse,
            "KL" => HybridLoss::Kl,
            "RESCALED_KL" => HybridLoss::RescaledKl,
            other => panic!("no loss {other}"),
        };
        let objective = objective(ObjectiveKind::EpsHybrid, hybrid_loss, index(&row["T"]));
        let timesteps = [number(&row["t"])];
        let batch = LossBatch {
            model_output: &model_output,
            x0: &x0,
            noise: &noise,
            timesteps: &timesteps,
            weights: None,
        };
        let (terms, grad) = evaluate(&objective, batch, 1.0);
        let what = format!("{} T {} t {}", row["loss_type"], row["T"], row["t"]);
        losses.compare(&what, &[terms[0].loss], &[number(&row["loss"])], 1e-9, 0.0);
        if row.get("mse").is_some() {
            // guided-diffusion's `vb` of the rescaled form has its factor in it.
            let factor =
                if hybrid_loss == HybridLoss::RescaledMse { number(&row["T"]) / 1e3 } else { 1.0 };
            let got = [terms[0].mse, factor * terms[0].vb.unwrap()];
            losses.compare(&what, &got, &[number(&row["mse"]), number(&row["vb"])], 1e-9, 0.0);
        }
        for (channels, got) in ["grad_eps_channels", "grad_v_channels"].iter().zip(grad.chunks(8)) {
            let want = numbers(&row[*channels]);
            let largest = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            grads.compare(&format!("{what} {channels}"), got, &want, 1e-8, largest);
        }
    }
}

/// Three samples, one of timestep 0 with a black and a white pixel in it.
struct Case {
    model_output: Vec<f64>,
    x0: Vec<f64>,
    noise: Vec<f64>,
}

/// Low enough for the learned range to be wide: at 999 it is 8e-7, and the slope along `v` drowns in
/// the rounding of a central difference. The goldens have the high ones.
const TIMESTEPS: [f64; 3] = [0.0, 2.0, 60.0];

impl Case {
    fn new(kind: ObjectiveKind) -> Self {
        let output_len = 3 * LAYOUT.output_len(kind.output_channels(LAYOUT.channels));
        let noise = parity::uniform(2, 3 * ELEMENTS);
        // Near the noise, so that no pixel of timestep 0 is as good as impossible.
        let mut model_output = parity::uniform(1, output_len);
        for (image, noise) in
            model_output.chunks_mut(output_len / 3).zip(noise.chunks_exact(ELEMENTS))
        {
            for (out, noise) in image.iter_mut().zip(noise) {
                *out = noise + 0.7 * *out;
            }
        }
        let mut x0 = parity::uniform(3, 3 * ELEMENTS);
        (x0[0], x0[1]) = (-1.0, 1.0);
        Self { model_output, x0, noise }
    }

    fn batch<'a>(&'a self, model_output: &'a [f64]) -> LossBatch<'a, f64> {
        LossBatch {
            model_output,
            x0: &self.x0,
            noise: &self.noise,
            timesteps: &TIMESTEPS,
            weights: None,
        }
    }
}

#[test]
fn squared_errors_against_central_differences() {
    for kind in [ObjectiveKind::Eps, ObjectiveKind::V] {
        let (objective, case) = (objective(kind, HybridLoss::Mse, 1000), Case::new(kind));
        let total = |output: &[f64]| {
            let (terms, _) = evaluate(&objective, case.batch(output), f64::NAN);
            assert!(terms.iter().all(|term| term.vb.is_none() && term.loss == term.mse));
            terms.iter().map(|term| term.loss).sum::<f64>() / 3.0
        };
        let (_, grad) = evaluate(&objective, case.batch(&case.model_output), 1.0 / 3.0);
        let name = format!("{kind:?} output");
        check_gradient(&name, total, &case.model_output, &grad, 24, 1e-7);
    }
}

#[test]
fn kl_forms_against_central_differences() {
    for hybrid_loss in [HybridLoss::Kl, HybridLoss::RescaledKl] {
        let kind = ObjectiveKind::EpsHybrid;
        let (objective, case) = (objective(kind, hybrid_loss, 1000), Case::new(kind));
        let (_, grad) = evaluate(&objective, case.batch(&case.model_output), 1.0 / 3.0);
        for (sample, offset) in [(0, 0), (0, 8), (1, 0), (1, 8), (2, 0), (2, 8)] {
            let at = 16 * sample + offset;
            let total = |part: &[f64]| {
                let mut output = case.model_output.clone();
                output[at..at + 8].copy_from_slice(part);
                let (terms, _) = evaluate(&objective, case.batch(&output), f64::NAN);
                terms[sample].loss / 3.0
            };
            let name = format!("{hybrid_loss:?} sample {sample} channels {offset}/4");
            let (output, grad) = (&case.model_output[at..at + 8], &grad[at..at + 8]);
            check_gradient(&name, total, output, grad, 8, 1e-7);
        }
    }
}

/// In the `Mse` forms the bound is a function of `v` alone: its gradient must not reach the mean.
#[test]
fn mse_forms_against_central_differences_with_a_detached_mean() {
    for (hybrid_loss, vb_weight) in [(HybridLoss::Mse, 1.0), (HybridLoss::RescaledMse, 4.0)] {
        let timesteps = if vb_weight == 4.0 { 4000 } else { 1000 };
        let kind = ObjectiveKind::EpsHybrid;
        let (objective, case) = (objective(kind, hybrid_loss, timesteps), Case::new(kind));
        let (_, grad) = evaluate(&objective, case.batch(&case.model_output), 1.0 / 3.0);
        for sample in 0..3 {
            let (eps_at, v_at) = (16 * sample, 16 * sample + 8);
            let terms_with = |at: usize, part: &[f64]| {
                let mut output = case.model_output.clone();
                output[at..at + 8].copy_from_slice(part);
                evaluate(&objective, case.batch(&output), f64::NAN).0[sample]
            };
            let mse = |part: &[f64]| terms_with(eps_at, part).mse / 3.0;
            let vb = |part: &[f64]| vb_weight * terms_with(v_at, part).vb.unwrap() / 3.0;
            let name = format!("{hybrid_loss:?} sample {sample}");
            let part = |values: &[f64], at: usize| values[at..at + 8].to_vec();
            let (eps, grad_eps) = (part(&case.model_output, eps_at), part(&grad, eps_at));
            check_gradient(&format!("{name} eps"), mse, &eps, &grad_eps, 8, 1e-7);
            let (v, grad_v) = (part(&case.model_output, v_at), part(&grad, v_at));
            check_gradient(&format!("{name} v"), vb, &v, &grad_v, 8, 1e-7);
        }
    }
}

/// Accumulating parts with the global factor gives the whole batch's gradient, bit for bit.
#[test]
fn parts_of_a_batch_add_up() {
    for kind in [ObjectiveKind::EpsHybrid, ObjectiveKind::Eps, ObjectiveKind::V] {
        let (objective, case) = (objective(kind, HybridLoss::Mse, 1000), Case::new(kind));
        let (terms, grad) = evaluate(&objective, case.batch(&case.model_output), 1.0 / 3.0);
        let output_len = grad.len() / 3;
        for sample in 0..3 {
            let outputs = output_len * sample..output_len * (sample + 1);
            let images = ELEMENTS * sample..ELEMENTS * (sample + 1);
            let batch = LossBatch {
                model_output: &case.model_output[outputs.clone()],
                x0: &case.x0[images.clone()],
                noise: &case.noise[images],
                timesteps: &TIMESTEPS[sample..=sample],
                weights: None,
            };
            let (part, part_grad) = evaluate(&objective, batch, 1.0 / 3.0);
            assert_eq!(part, terms[sample..=sample], "{kind:?}");
            assert_eq!(part_grad, grad[outputs], "{kind:?}");
        }
    }
}

/// A perfect prediction has no error and no slope; a perfect `v` is `sqrt(ab) eps - sqrt(1-ab) x0`.
#[test]
fn the_target_of_v() {
    let objective = objective(ObjectiveKind::V, HybridLoss::Mse, 1000);
    let (x0, noise) = (golden_x0(), golden_noise(0));
    let ab = NoiseSchedule::linear(1000).unwrap().alphas_cumprod()[250];
    let v: Vec<f64> =
        x0.iter().zip(&noise).map(|(x0, eps)| ab.sqrt() * eps - (1.0 - ab).sqrt() * x0).collect();
    let batch =
        LossBatch { model_output: &v, x0: &x0, noise: &noise, timesteps: &[250.0], weights: None };
    let (terms, grad) = evaluate(&objective, batch, 1.0);
    assert!(terms[0].loss < 1e-30, "{terms:?}");
    assert!(grad.iter().all(|g| g.abs() < 1e-15), "{grad:?}");
}

/// f32 production against the f64 definition, on an image of real size.
#[test]
fn f32_follows_f64() {
    let layout = diffusion::ImageLayout { channels: 4, pixels: 32 * 32 };
    let timesteps = [0.0, 1.0, 10.0, 500.0, 999.0];
    let images = timesteps.len() * layout.image_len();
    for kind in [ObjectiveKind::EpsHybrid, ObjectiveKind::Eps, ObjectiveKind::V] {
        let objective = objective(kind, HybridLoss::Mse, 1000);
        let outputs = timesteps.len() * layout.output_len(kind.output_channels(4));
        let inputs =
            [parity::uniform(1, outputs), parity::uniform(2, images), parity::uniform(3, images)];
        let [output, x0, noise] = &inputs;
        let batch =
            LossBatch { model_output: output, x0, noise, timesteps: &timesteps, weights: None };
        let mut grad = vec![f64::NAN; outputs];
        let want = objective.loss(layout, batch, 0.2, &mut grad);
        let [output, x0, noise] = &inputs.each_ref().map(|values| parity::to_f32(values));
        let batch =
            LossBatch { model_output: output, x0, noise, timesteps: &timesteps, weights: None };
        let mut grad_f32 = vec![f32::NAN; outputs];
        let got = objective.loss(layout, batch, 0.2, &mut grad_f32);
        let mut worst = Worst::of("f32 losses and gradients");
        for (got, want) in got.iter().zip(&want) {
            let flat = |terms: &LossTerms| [terms.loss, terms.mse, terms.vb.unwrap_or(0.0)];
            worst.compare(&format!("{kind:?}"), &flat(got), &flat(want), 1e-6, 1e-3);
        }
        for (got, want) in grad_f32.chunks(layout.image_len()).zip(grad.chunks(layout.image_len()))
        {
            let largest = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            worst.compare(&format!("{kind:?} gradient"), got, want, 1e-5, largest);
        }
    }
}
