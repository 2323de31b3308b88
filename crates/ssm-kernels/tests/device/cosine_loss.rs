//! The squared error together with the angle between output and target, against plain loops in f64.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{Lab, TestActivation, TestDriver, around, assert_wide, on_every_device};
use parity::check_gradient;
use ssm_kernels::device::Format;
use ssm_kernels::device::diffusion::{
    LossOutput, SquaredErrorLoss, SquaredErrorRow, squared_error_loss,
};
use ssm_kernels::{KernelError, Storage};

/// Pixels: a thread takes four, a block 1024, and the parts of 32 blocks are added side by side.
const PIXELS: [usize; 9] = [1, 4, 5, 63, 64, 257, 1024, 1030, 34_000];
const CHANNELS: [usize; 3] = [1, 3, 4];
/// Largest error of a loss or a gradient of one sample, relative to its largest element.
const LOSSES: f64 = 1e-5;
/// Length below which an output or a target has no direction.
const SHORTEST: f64 = 1e-8;

/// The gradient, and two terms a sample.
type Results = [Vec<f64>; 2];

/// Samples in f32.
struct Problem {
    rows: Vec<SquaredErrorRow>,
    channels: usize,
    pixels: usize,
    output: Vec<f64>,
    x0: Vec<f64>,
    noise: Vec<f64>,
}

/// Of data and noise, of the squared error and the cosine: the last of three has none of the latter.
fn rows(batch: usize, channels: usize, pixels: usize) -> Vec<SquaredErrorRow> {
    let weights = [[-1.0, 1.0, 1.0, 1.0], [0.6, -0.8, 0.25, 3.0], [0.3, 1.0, 2.0, 0.0]];
    let row = |b: usize| {
        let [data, noise, squared, cosine] = weights[b];
        let squared = 2.0 * squared / (batch * channels * pixels) as f64;
        let cosine = cosine / (batch * pixels) as f64;
        let [data, noise, slope, cosine_slope] = [data, noise, squared, cosine].map(|x| x as f32);
        SquaredErrorRow { data, noise, slope, cosine_slope }
    };
    (0..batch).map(row).collect()
}

/// Products of one channel alone are not to be near 0, where f32 leaves no digits of a zero gradient.
fn away_from_zero(x: f64) -> f64 {
    f64::from((x + 0.3f64.copysign(x)) as f32)
}

impl Problem {
    fn new(batch: usize, channels: usize, pixels: usize) -> Self {
        let len = batch * channels * pixels;
        let output = around(3, len, 0.0, 1.2).into_iter().map(away_from_zero).collect();
        let (x0, noise) = (around(1, len, 0.0, 1.0), around(2, len, 0.0, 2.0));
        Self { rows: rows(batch, channels, pixels), channels, pixels, output, x0, noise }
    }

    /// With pixels that have no direction, and some that are exactly right or wrong.
    fn with_special_pixels(mut self) -> Self {
        let (channels, pixels) = (self.channels, self.pixels);
        for at in 0..self.output.len() {
            let (b, pixel) = (at / (channels * pixels), at % pixels);
            match pixel % 16 {
                3 => self.output[at] = 0.0,
                6 => self.output[at] = f64::from(1e-9f32),
                9 => (self.x0[at], self.noise[at]) = (0.0, 0.0),
                place @ (11 | 12) => {
                    // No target near 0 either.
                    self.noise[at] = -away_from_zero(self.x0[at]);
                    let SquaredErrorRow { data, noise, .. } = self.rows[b];
                    let target = data * self.x0[at] as f32 + noise * self.noise[at] as f32;
                    self.output[at] = f64::from(if place == 11 { target } else { -2.0 * target });
                }
                _ => {}
            }
        }
        self
    }

    fn without_cosine(&self) -> Vec<SquaredErrorRow> {
        self.rows.iter().map(|row| SquaredErrorRow { cosine_slope: 0.0, ..*row }).collect()
    }

    fn sample_len(&self) -> usize {
        self.channels * self.pixels
    }

    fn target(&self, at: usize) -> f64 {
        let row = &self.rows[at / self.sample_len()];
        f64::from(row.data) * self.x0[at] + f64::from(row.noise) * self.noise[at]
    }

    /// The definition.
    fn reference(&self, output: &[f64]) -> Results {
        let (mut grad, mut terms) = (vec![f64::NAN; output.len()], Vec::new());
        for (b, row) in self.rows.iter().enumerate() {
            let (mut squares, mut cosines) = (0.0, 0.0);
            for pixel in 0..self.pixels {
                let places = || (0..self.channels).map(|c| (b * self.channels + c) * self.pixels);
                let places = || places().map(|at| at + pixel);
                let length =
                    |x: &dyn Fn(usize) -> f64| places().map(|at| x(at).powi(2)).sum::<f64>();
                let output_len = length(&|at| output[at]).sqrt();
                let target_len = length(&|at| self.target(at)).sqrt();
                let has_direction = output_len >= SHORTEST && target_len >= SHORTEST;
                let product: f64 = places().map(|at| output[at] * self.target(at)).sum();
                let cosine = if has_direction { product / (output_len * target_len) } else { 0.0 };
                cosines += 1.0 - cosine;
                for at in places() {
                    let difference = output[at] - self.target(at);
                    squares += difference.powi(2);
                    grad[at] = f64::from(row.slope) * difference;
                    if has_direction {
                        let slope = self.target(at) / (output_len * target_len)
                            - cosine * output[at] / output_len.powi(2);
                        grad[at] -= f64::from(row.cosine_slope) * slope;
                    }
                }
            }
            terms.extend([squares / self.sample_len() as f64, cosines / self.pixels as f64]);
        }
        [grad, terms]
    }

    /// What the gradient is of.
    fn total(&self, output: &[f64]) -> f64 {
        let [_, terms] = self.reference(output);
        let of_sample = |(row, terms): (&SquaredErrorRow, &[f64])| {
            0.5 * f64::from(row.slope) * self.sample_len() as f64 * terms[0]
                + f64::from(row.cosine_slope) * self.pixels as f64 * terms[1]
        };
        self.rows.iter().zip(terms.chunks(2)).map(of_sample).sum()
    }

    fn on<A: TestActivation, D: TestDriver>(
        &self,
        lab: &Lab<A, D>,
        rows: &[SquaredErrorRow],
        margin: usize,
    ) -> Results {
        let [output, x0, noise] =
            [&self.output, &self.x0, &self.noise].map(|x| Framed::<f32, D>::row(lab, x, margin));
        let mut grad = Framed::<f32, D>::empty(lab, self.output.len(), margin);
        let mut terms = lab.empty(2 * rows.len());
        let (output, x0, noise) = (output.view(), x0.view(), noise.view());
        let args = SquaredErrorLoss { rows, channels: self.channels, output, x0, noise };
        let out = LossOutput { grad_output: grad.view_mut(), terms: terms.view_mut() };
        squared_error_loss(&lab.device, &args, out).expect("a loss");
        [grad.get(lab), lab.get(&terms)]
    }

    /// The results, which are to be near the definition; of elements that move together or one by one.
    fn check<A: TestActivation, D: TestDriver>(&self, lab: &Lab<A, D>, what: &str) -> Results {
        let [got, odd] = [WHOLE, ODD]
            .map(|margin| lab.in_every_schedule(what, || self.on(lab, &self.rows, margin)));
        assert!(got == odd, "{what}: other bits where elements move one by one");
        let want = self.reference(&self.output);
        let samples = |x: &Results| x[0].chunks(self.sample_len()).map(<[_]>::to_vec).collect();
        let [of_device, of_reference]: [Vec<Vec<f64>>; 2] = [samples(&got), samples(&want)];
        for (b, (got, want)) in of_device.iter().zip(&of_reference).enumerate() {
            assert_wide(&format!("{what}: gradient of sample {b}"), got, want, LOSSES);
        }
        for (i, (got, want)) in got[1].iter().zip(&want[1]).enumerate() {
            assert_wide(&format!("{what}: term {i}"), &[*got], &[*want], LOSSES);
        }
        got
    }
}

/// Shapes that are worth their time here: batch, channels, pixels.
fn shapes<D: TestDriver>() -> impl Iterator<Item = [usize; 3]> {
    let of_pixels = |pixels| CHANNELS.into_iter().map(move |channels| (channels, pixels));
    PIXELS
        .into_iter()
        .flat_map(of_pixels)
        .flat_map(|(channels, pixels)| [1, 3].map(|batch| [batch, channels, pixels]))
        .filter(|shape| shape.iter().product::<usize>() <= D::MOST_ELEMENTS)
}

/// Everything here is f32: once is enough.
fn is_repeated<A: TestActivation>() -> bool {
    A::FORMAT == Format::Bf16
}

fn losses_and_gradients<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    if is_repeated::<A>() {
        return;
    }
    for [batch, channels, pixels] in shapes::<D>() {
        let what = format!("{batch} samples, {channels} channels of {pixels} pixels");
        let problem = Problem::new(batch, channels, pixels).with_special_pixels();
        let [grad, _] = problem.check(lab, &what);

        // Without the cosine: that of the samples that had none before.
        let [plain, terms] = problem.on(lab, &problem.without_cosine(), WHOLE);
        assert!(terms.iter().skip(1).step_by(2).all(|&term| term == 0.0), "{what}: {terms:?}");
        let samples = grad.chunks(channels * pixels).zip(plain.chunks(channels * pixels));
        for (row, (grad, plain)) in problem.rows.iter().zip(samples) {
            // In one channel there is no angle to turn, only rounding.
            if row.cosine_slope == 0.0 || channels > 1 {
                assert!((grad == plain) == (row.cosine_slope == 0.0), "{what}: the gradient");
            }
        }
    }
}

fn gradients_against_central_differences<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    if is_repeated::<A>() {
        return;
    }
    for [batch, channels, pixels] in shapes::<D>().filter(|&[_, _, pixels]| pixels <= 257) {
        let problem = Problem::new(batch, channels, pixels);
        let what = format!("output of {batch} samples, {channels} channels of {pixels} pixels");
        let total = |output: &[f64]| problem.total(output);
        let [of_reference, _] = problem.reference(&problem.output);
        check_gradient(&what, total, &problem.output, &of_reference, 40, 1e-7);
        let [grad, _] = problem.on(lab, &problem.rows, WHOLE);
        check_gradient(&what, total, &problem.output, &grad, 40, LOSSES);
    }
}

/// As at the start of training, where the head is zeroed.
fn an_output_of_zero<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    if is_repeated::<A>() {
        return;
    }
    let mut problem = Problem::new(3, 3, 257);
    problem.output.fill(0.0);
    let [grad, terms] = problem.check(lab, "an output of zero");
    assert!(terms.iter().skip(1).step_by(2).all(|term| (term - 1.0).abs() < 1e-15), "{terms:?}");
    let [plain, _] = problem.on(lab, &problem.without_cosine(), WHOLE);
    assert!(grad == plain, "a gradient of a direction that is not there");
}

/// Four samples of one pixel: output or target a little shorter or longer than the shortest.
fn the_shortest_direction<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    if is_repeated::<A>() {
        return;
    }
    let row = SquaredErrorRow { data: 1.0, noise: 0.0, slope: 1.0, cosine_slope: 1.0 };
    let lengths = [[0.99, 1e8], [1.01, 1e8], [1e8, 0.99], [1e8, 1.01]];
    let along = |length: f64, direction: [f64; 2]| {
        direction.map(|x| f64::from((SHORTEST * length * x) as f32))
    };
    let problem = Problem {
        rows: vec![row; 4],
        channels: 2,
        pixels: 1,
        output: lengths.iter().flat_map(|length| along(length[0], [0.8, 0.6])).collect(),
        x0: lengths.iter().flat_map(|length| along(length[1], [-0.28, 0.96])).collect(),
        noise: vec![0.0; 8],
    };
    let [_, terms] = problem.check(lab, "short outputs and targets");
    let cosines: Vec<f64> = terms.iter().skip(1).step_by(2).map(|term| 1.0 - term).collect();
    assert_eq!((cosines[0], cosines[2]), (0.0, 0.0), "of no direction");
    assert!((cosines[1] - 0.352).abs() < 1e-6 && (cosines[3] - 0.352).abs() < 1e-6, "{cosines:?}");
}

/// Angles of a thousandth: `1 - cos` of f32 numbers has no digits left there.
fn nearly_parallel<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    if is_repeated::<A>() {
        return;
    }
    let mut problem = Problem::new(1, 3, 257);
    // The target is the data, so that its rounding is not seen.
    (problem.rows[0].data, problem.rows[0].noise) = (1.0, 0.0);
    let nudges = around(4, problem.output.len(), 0.0, 1e-3);
    for ((output, x0), nudge) in problem.output.iter_mut().zip(&problem.x0).zip(nudges) {
        *output = f64::from((2.0 * x0 + nudge) as f32);
    }
    let [_, terms] = problem.on(lab, &problem.rows, WHOLE);
    let [_, want] = problem.reference(&problem.output);
    assert!(want[1] < 1e-5, "an angle of {}", want[1]);
    // Both directions are rounded to 6e-8, of the thousandth between them.
    assert_wide("the cosine", &terms[1..], &want[1..], 1e-4);
}

fn what_is_not_finite_is_seen<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for place in [0, 256, 513] {
        let mut problem = Problem::new(3, 3, 257);
        problem.output[3 * 257 + place] = f64::NAN;
        let [grad, terms] = problem.on(lab, &problem.rows, WHOLE);
        assert!(terms[2].is_nan() && terms[3].is_nan(), "{terms:?}");
        let others = [0, 1, 4, 5].map(|i| terms[i]);
        assert!(others.iter().all(|term| term.is_finite()), "{terms:?}");
        // All channels of the pixel, and nothing else.
        let bad: Vec<usize> = (0..grad.len()).filter(|&i| grad[i].is_nan()).collect();
        let pixel = 3 * 257 + place % 257;
        assert_eq!(bad, [pixel, pixel + 257, pixel + 2 * 257]);
    }
}

fn nothing_and_what_does_not_fit<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let row = SquaredErrorRow { data: 1.0, noise: 1.0, slope: 1.0, cosine_slope: 1.0 };
    let ask = |rows: &[SquaredErrorRow], channels: usize, lens: [usize; 5]| {
        let [output, x0, noise] = [lens[0], lens[1], lens[2]].map(|len| lab.wide(&vec![0.5; len]));
        let (mut grad, mut terms) = (lab.empty(lens[3]), lab.empty(lens[4]));
        let (output, x0, noise) = (output.view(), x0.view(), noise.view());
        let args = SquaredErrorLoss { rows, channels, output, x0, noise };
        let out = LossOutput { grad_output: grad.view_mut(), terms: terms.view_mut() };
        squared_error_loss(&lab.device, &args, out)
    };
    ask(&[], 3, [0; 5]).expect("nothing");
    for cosine_slope in [0.0, 1.0] {
        let rows = [SquaredErrorRow { cosine_slope, ..row }; 2];
        ask(&rows, 2, [12, 12, 12, 12, 4]).expect("all fits");
        let misfits = [
            ("output", 2, [11, 12, 12, 12, 4]),
            ("x0", 2, [12, 11, 12, 12, 4]),
            ("noise", 2, [12, 12, 13, 12, 4]),
            ("grad_output", 2, [12, 12, 12, 6, 4]),
            ("terms", 2, [12, 12, 12, 12, 2]),
            // Six elements of a sample are no four channels.
            ("x0", 4, [12, 12, 12, 12, 4]),
            ("x0", 7, [12, 12, 12, 12, 4]),
        ];
        for (expected, channels, lens) in misfits {
            let refused = ask(&rows, channels, lens);
            let Err(KernelError::Length { op: "squared_error_loss", operand, .. }) = refused else {
                panic!("{expected} of {lens:?}, {channels} channels: {refused:?}");
            };
            assert_eq!(operand, expected, "{lens:?}, {channels} channels");
        }
        let refused = ask(&rows, 0, [12, 12, 12, 12, 4]);
        let is_named = matches!(refused, Err(KernelError::Unsupported { what: "channels", .. }));
        assert!(is_named, "{refused:?}");
    }
}

on_every_device!(
    losses_and_gradients,
    gradients_against_central_differences,
    an_output_of_zero,
    the_shortest_direction,
    nearly_parallel,
    what_is_not_finite_is_seen,
    nothing_and_what_does_not_fit,
);
