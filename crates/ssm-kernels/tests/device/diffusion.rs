//! Noise in the bits of crate `philox`, and the losses of crate `diffusion`.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{Lab, TestActivation, TestDriver, around, assert_wide, on_every_device};
use diffusion::{
    DiffusionTable, HybridLoss as Weighting, ImageLayout, LossBatch, NoiseSchedule, Objective,
    ObjectiveKind, TableRow,
};
use philox::{Draws, Purpose};
use ssm_kernels::device::Format;
use ssm_kernels::device::diffusion::{
    Draw, HybridLoss, LossOutput, LossRow, QSample, QSampleOutput, SquaredErrorLoss,
    SquaredErrorRow, draw_noise, flag_not_finite, hybrid_loss, q_sample, squared_error_loss,
};
use ssm_kernels::{KernelError, Storage};
use std::f64::consts::LN_2;

/// Blocks take 1024 elements of a sample; sums of 32 blocks are added side by side.
const SAMPLE_LENS: [usize; 8] = [1, 3, 4, 130, 1023, 1024, 1029, 34_000];
const POSITIONS: [u64; 5] = [0, 1_234_567, u64::MAX, 1 << 40 | 3, 9];
const TIMESTEPS: [f64; 5] = [0.0, 1.0, 999.0, 500.0, 0.0];
/// Factor on gradients.
const FACTOR: f64 = 1.0 / 5.0;
/// Of the squared errors of samples, in the gradient alone.
const WEIGHTS: [f64; 5] = [1.0, 0.25, 3.0, 1e-3, 40.0];
/// Largest error of a loss or a gradient of one sample, relative to its largest element.
const LOSSES: f64 = 1e-5;

/// Everything here is f32: once is enough.
fn is_repeated<A: TestActivation>() -> bool {
    A::FORMAT == Format::Bf16
}

fn sample_lens<D: TestDriver>() -> impl Iterator<Item = usize> {
    SAMPLE_LENS.into_iter().filter(|len| 5 * len <= D::MOST_ELEMENTS)
}

/// The same bits as the CPU, for any address.
fn noise_and_noisy_images<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    if is_repeated::<A>() {
        return;
    }
    let (seed, sub) = (0xDEAD_BEEF_0123_4567, 0xAB_CDEF);
    let draw = Draw { seed, purpose: Purpose::DiffusionNoise as u8, sub, positions: &POSITIONS };
    let table = DiffusionTable::full(&NoiseSchedule::linear(1000).expect("a schedule"));
    let levels = TIMESTEPS.map(|t| table[t as usize].level());
    let on_device = levels.map(|level| [level.a as f32, level.s as f32]);
    for len in sample_lens::<D>() {
        let x0: Vec<f32> = around(1, 5 * len, 0.0, 1.0).iter().map(|&x| x as f32).collect();
        let (mut noise, mut x_t) = (vec![0.0f32; 5 * len], vec![0.0f32; 5 * len]);
        for b in 0..5 {
            let range = b * len..(b + 1) * len;
            let draws = Draws::new(seed, Purpose::DiffusionNoise, POSITIONS[b]).sub(sub);
            draws.fill_normal(&mut noise[range.clone()]);
            levels[b].corrupt(&x0[range.clone()], &noise[range.clone()], &mut x_t[range]);
        }
        let [noise, x_t] = [noise, x_t].map(|x| x.into_iter().map(f64::from).collect::<Vec<_>>());
        let x0: Vec<f64> = x0.into_iter().map(f64::from).collect();
        for margin in [WHOLE, ODD] {
            let what = format!("samples of {len}, margin {margin}");
            let got = lab.in_every_schedule(&what, || {
                let [mut alone, mut drawn, mut mixed] =
                    [(); 3].map(|()| Framed::<f32, D>::empty(lab, 5 * len, margin));
                draw_noise(&lab.device, &draw, alone.view_mut()).expect("noise");
                let x0 = Framed::<f32, D>::row(lab, &x0, margin);
                let args = QSample { draw, levels: &on_device, x0: x0.view() };
                let out = QSampleOutput { x_t: mixed.view_mut(), noise: drawn.view_mut() };
                q_sample(&lab.device, &args, out).expect("noisy images");
                [alone, drawn, mixed].map(|x| x.get(lab))
            });
            assert!(got[0] == noise, "{what}: noise alone");
            assert!(got[1] == noise, "{what}: noise");
            assert!(got[2] == x_t, "{what}: noisy image");
        }
    }
}

/// Five samples in f32. The network's noise is near the true one, and at the first timestep in places
/// far off.
struct Problem {
    len: usize,
    output: Vec<f64>,
    x0: Vec<f64>,
    noise: Vec<f64>,
}

/// The gradient, and two terms a sample.
type Results = [Vec<f64>; 2];

impl Problem {
    fn new(len: usize, output_parts: usize) -> Self {
        let mut x0 = around(1, 5 * len, 0.0, 1.0);
        // Black and white pixels.
        x0.iter_mut().step_by(7).for_each(|x| *x = -1.0);
        x0.iter_mut().skip(3).step_by(5).for_each(|x| *x = 1.0);
        let noise = around(2, 5 * len, 0.0, 2.0);
        let mut output = around(3, 5 * output_parts * len, 0.0, 1.2);
        for (output, noise) in output.chunks_mut(output_parts * len).zip(noise.chunks(len)) {
            for (i, (output, noise)) in output.iter_mut().zip(noise).enumerate() {
                let size = if i % 11 == 3 { 3.0 } else { 0.3 };
                *output = f64::from((noise + size * *output) as f32);
            }
        }
        Self { len, output, x0, noise }
    }

    fn reference(&self, objective: &Objective) -> Results {
        let layout = ImageLayout { channels: 1, pixels: self.len };
        let batch = LossBatch {
            model_output: &self.output[..],
            x0: &self.x0,
            noise: &self.noise,
            timesteps: &TIMESTEPS,
            weights: None,
        };
        let mut grad = vec![f64::NAN; self.output.len()];
        let terms = objective.loss(layout, batch, FACTOR, &mut grad);
        [grad, terms.iter().flat_map(|terms| [terms.mse, terms.vb.unwrap_or(0.0)]).collect()]
    }

    fn on<A: TestActivation, D: TestDriver>(
        &self,
        lab: &Lab<A, D>,
        margin: usize,
        loss: impl Fn([&Framed<f32, D>; 3], LossOutput<'_, D>),
    ) -> Results {
        let operands =
            [&self.output, &self.x0, &self.noise].map(|x| Framed::<f32, D>::row(lab, x, margin));
        let mut grad = Framed::<f32, D>::empty(lab, self.output.len(), margin);
        let mut terms = lab.empty(10);
        let out = LossOutput { grad_output: grad.view_mut(), terms: terms.view_mut() };
        loss(operands.each_ref(), out);
        [grad.get(lab), lab.get(&terms)]
    }
}

/// Sample by sample, because gradients of different timesteps are of different size; the gradients of
/// mean and variance as well.
fn assert_loss(what: &str, len: usize, [grad, terms]: &Results, want: &Results) {
    for (i, (got, want)) in grad.chunks(len).zip(want[0].chunks(len)).enumerate() {
        assert_wide(&format!("{what}: gradient, part {i}"), got, want, LOSSES);
    }
    for (i, (got, want)) in terms.iter().zip(&want[1]).enumerate() {
        assert_wide(&format!("{what}: term {i}"), &[*got], &[*want], LOSSES);
    }
}

fn loss_row(row: &TableRow, [mse, bound, bound_to_mean]: [f64; 3], len: usize) -> LossRow {
    let count = len as f64;
    let (log_variance, k) = (row.posterior_log_variance, row.sqrt_recip_alpha_bar_minus_one);
    LossRow {
        error_slope: 2.0 * FACTOR * mse / count,
        mean_slope: FACTOR * bound_to_mean / (count * LN_2),
        variance_slope: FACTOR * bound / (count * LN_2),
        half_range: 0.5 * (row.ln_beta - log_variance),
        log_variance,
        precision: (row.posterior_mean_x0 * k).powi(2) * (-log_variance).exp(),
        noise_per_data: k,
        is_first: row.is_first(),
    }
}

fn hybrid_losses<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    if is_repeated::<A>() {
        return;
    }
    let schedule = NoiseSchedule::linear(1000).expect("a schedule");
    let table = DiffusionTable::full(&schedule);
    for len in sample_lens::<D>() {
        let problem = Problem::new(len, 2);
        for (weighting, weights) in
            [(Weighting::Mse, [1.0, 1.0, 0.0]), (Weighting::RescaledKl, [0.0, 1e3, 1e3])]
        {
            let rows = TIMESTEPS.map(|t| loss_row(&table[t as usize], weights, len));
            let what = format!("hybrid loss {weighting:?}, samples of {len}");
            let [got, odd] = [WHOLE, ODD].map(|margin| {
                lab.in_every_schedule(&what, || {
                    problem.on(lab, margin, |[output, x0, noise], out| {
                        let (output, x0, noise) = (output.view(), x0.view(), noise.view());
                        let args = HybridLoss { rows: &rows, output, x0, noise };
                        hybrid_loss(&lab.device, &args, out).expect("a loss");
                    })
                })
            });
            assert!(got == odd, "{what}: other bits where elements move one by one");
            let objective =
                Objective::new(ObjectiveKind::EpsHybrid, &schedule).with_hybrid_loss(weighting);
            assert_loss(&what, len, &got, &problem.reference(&objective));
        }
    }
}

fn squared_errors<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    if is_repeated::<A>() {
        return;
    }
    let schedule = NoiseSchedule::linear(1000).expect("a schedule");
    for len in sample_lens::<D>() {
        let problem = Problem::new(len, 1);
        for kind in [ObjectiveKind::Eps, ObjectiveKind::V] {
            let objective = Objective::new(kind, &schedule);
            let rows: [_; 5] = std::array::from_fn(|b| {
                let mix = kind.prediction().target(objective.level(TIMESTEPS[b]));
                SquaredErrorRow {
                    data: mix.first as f32,
                    noise: mix.second as f32,
                    slope: (2.0 * FACTOR * WEIGHTS[b] / len as f64) as f32,
                    cosine_slope: 0.0,
                }
            });
            let what = format!("squared error {kind:?}, samples of {len}");
            let [got, odd] = [WHOLE, ODD].map(|margin| {
                lab.in_every_schedule(&what, || {
                    problem.on(lab, margin, |[output, x0, noise], out| {
                        let (output, x0, noise) = (output.view(), x0.view(), noise.view());
                        let args = SquaredErrorLoss { rows: &rows, channels: 1, output, x0, noise };
                        squared_error_loss(&lab.device, &args, out).expect("a loss");
                    })
                })
            });
            assert!(got == odd, "{what}: other bits where elements move one by one");
            let mut want = problem.reference(&objective);
            for (grad, weight) in want[0].chunks_mut(len).zip(WEIGHTS) {
                grad.iter_mut().for_each(|grad| *grad *= weight);
            }
            assert_loss(&what, len, &got, &want);
        }
    }
}

fn flags<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let flag_after = |terms: &[f64], before: u32| {
        lab.in_every_schedule("the flag", || {
            let (terms, mut flag) = (lab.put(terms), lab.put(&[before]));
            flag_not_finite(&lab.device, terms.view(), flag.view_mut()).expect("a flag");
            lab.get(&flag)[0]
        })
    };
    for len in [0, 1, 31, 256, 1000] {
        let mut terms = vec![f64::MAX; len];
        assert_eq!((flag_after(&terms, 0), flag_after(&terms, 1)), (0, 1), "{len} numbers");
        for place in [0, 30, 255, 999].into_iter().filter(|&place| place < len) {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                terms[place] = bad;
                assert_eq!(flag_after(&terms, 0), 1, "{bad} at {place} of {len}");
            }
            terms[place] = 0.0;
        }
    }
}

fn nothing_and_what_does_not_fit<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let mut noise = lab.empty(0);
    let draw = Draw { seed: 1, purpose: 5, sub: 0, positions: &[] };
    draw_noise(&lab.device, &draw, noise.view_mut()).expect("nothing");
    let mut noise = lab.empty(5);
    let draw = Draw { sub: 1 << 24, positions: &[1], ..draw };
    let refused = draw_noise(&lab.device, &draw, noise.view_mut());
    assert!(matches!(refused, Err(KernelError::Unsupported { what: "sub", .. })), "{refused:?}");
    let draw = Draw { sub: 0, positions: &[1, 2], ..draw };
    let refused = draw_noise(&lab.device, &draw, noise.view_mut());
    assert!(matches!(refused, Err(KernelError::Length { operand: "noise", .. })), "{refused:?}");
}

on_every_device!(
    noise_and_noisy_images,
    hybrid_losses,
    squared_errors,
    flags,
    nothing_and_what_does_not_fit,
);
