//! Both passes of layer normalisation with modulation, of activations and of the residual stream.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{
    GRADIENTS, Lab, TestActivation, TestDriver, VALUES, around, assert_act, assert_wide, of_terms,
    on_every_device, rounded,
};
use half::bf16;
use ssm_kernels::device::Format;
use ssm_kernels::layer_norm_modulate::device::{backward, forward};
use ssm_kernels::layer_norm_modulate::{Args, Grads, Halves, Output, Shape, reference};
use ssm_kernels::{KernelError, Scratch, Storage};

/// A row has one warp up to a width of 512, then two, four and eight; a block has eight warps, and
/// two rounds of rows or more are a strip.
const SHAPES: [[usize; 3]; 22] = [
    [1, 1, 1],
    [3, 1, 8],
    [1, 1, 736],
    [1, 2, 31],
    [3, 2, 40],
    [1, 3, 96],
    [3, 3, 1],
    [3, 15, 31],
    [1, 15, 40],
    [3, 17, 8],
    [1, 17, 736],
    [2, 5, 131],
    [3, 65, 40],
    [1, 65, 1],
    [1, 66, 31],
    [3, 66, 96],
    [1, 2, 512],
    [1, 3, 515],
    [3, 2, 1028],
    [1, 5, 2047],
    [1, 3, 3001],
    [1, 2, 4096],
];
const EPS: f64 = 1e-6;

/// Inputs in the formats `X` and `A`.
struct Problem {
    shape: Shape,
    halves: Halves,
    x: Vec<f64>,
    modulation: Option<Vec<f64>>,
    grad_out: Vec<f64>,
}

/// Values and gradients.
#[derive(PartialEq)]
struct Results {
    out: Vec<f64>,
    mean: Vec<f64>,
    rstd: Vec<f64>,
    grad_x: Vec<f64>,
    grad_modulation: Option<Vec<f64>>,
}

impl Problem {
    /// The modulation is present where an order of its halves is given.
    fn new<X: TestActivation, A: TestActivation>(
        [batch, seq_len, width]: [usize; 3],
        halves: Option<Halves>,
    ) -> Self {
        let len = batch * seq_len * width;
        Self {
            shape: Shape { batch, seq_len, width },
            halves: halves.unwrap_or(Halves::ShiftFirst),
            x: rounded::<X>(&around(1, len, 0.5, 2.0)),
            modulation: halves.map(|_| rounded::<A>(&around(2, batch * 2 * width, 0.1, 0.8))),
            grad_out: rounded::<A>(&around(3, len, 0.2, 1.0)),
        }
    }

    fn rows(&self) -> usize {
        self.shape.batch * self.shape.seq_len
    }

    /// Values, and gradients given the statistics that the value pass wrote, in f64.
    fn reference(&self, got: &Results) -> Results {
        let args = Args {
            shape: self.shape,
            x: &self.x[..],
            modulation: self.modulation.as_deref(),
            halves: self.halves,
            eps: EPS,
        };
        let (mut out, mut stats) = (vec![0.0; self.x.len()], vec![0.0; 2 * self.rows()]);
        let to = Output { out: &mut out[..], stats: &mut stats[..] };
        reference::forward(&args, to).expect("fitting operands");
        let (mean, rstd) = split(&stats);

        let mut grad_x = vec![0.0; self.x.len()];
        let mut grad_modulation = self.modulation.as_ref().map(|m| vec![0.0; m.len()]);
        let stats: Vec<f64> = got.mean.iter().zip(&got.rstd).flat_map(|(m, r)| [*m, *r]).collect();
        let grads = Grads { x: &mut grad_x[..], modulation: grad_modulation.as_deref_mut() };
        reference::backward(&args, &stats, &self.grad_out, grads, &mut Scratch::new())
            .expect("fitting operands");
        Results { out, mean, rstd, grad_x, grad_modulation }
    }

    /// Every operand with that margin.
    fn on<X: TestActivation, A: TestActivation, D: TestDriver>(
        &self,
        lab: &Lab<A, D>,
        margin: usize,
    ) -> Results {
        let len = self.x.len();
        let x = Framed::<X, D>::row(lab, &self.x, margin);
        let modulation = self.modulation.as_ref().map(|m| Framed::<A, D>::row(lab, m, margin));
        let args = Args {
            shape: self.shape,
            x: x.view(),
            modulation: modulation.as_ref().map(Framed::view),
            halves: self.halves,
            eps: EPS,
        };
        let mut out = Framed::<A, D>::empty(lab, len, margin);
        let mut stats = Framed::<f32, D>::empty(lab, 2 * self.rows(), margin);
        let to = Output { out: out.view_mut(), stats: stats.view_mut() };
        forward(&lab.device, &args, to).expect("value pass");

        let grad_out = Framed::<A, D>::row(lab, &self.grad_out, margin);
        let mut grad_x = Framed::<A, D>::empty(lab, len, margin);
        let mut grad_modulation =
            self.modulation.as_ref().map(|m| Framed::<A, D>::empty(lab, m.len(), margin));
        let modulation = grad_modulation.as_mut().map(Framed::view_mut);
        let grads = Grads { x: grad_x.view_mut(), modulation };
        backward(&lab.device, &args, stats.view(), grad_out.view(), grads).expect("gradient pass");
        let (mean, rstd) = split(&stats.get(lab));
        Results {
            out: out.get(lab),
            mean,
            rstd,
            grad_x: grad_x.get(lab),
            grad_modulation: grad_modulation.map(|m| m.get(lab)),
        }
    }
}

/// Means and reciprocal standard deviations.
fn split(stats: &[f64]) -> (Vec<f64>, Vec<f64>) {
    stats.chunks_exact(2).map(|row| (row[0], row[1])).unzip()
}

fn check<X: TestActivation, A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    halves: Option<Halves>,
) {
    for shape in SHAPES {
        if shape.iter().product::<usize>() > D::MOST_ELEMENTS {
            continue;
        }
        let problem = Problem::new::<X, A>(shape, halves);
        let what = format!("{:?} of {:?} {shape:?} {halves:?}", A::FORMAT, X::FORMAT);
        let got = lab.in_every_schedule(&what, || problem.on::<X, A, D>(lab, WHOLE));
        assert!(got == problem.on::<X, A, D>(lab, ODD), "{what}: other bits without vectors");
        let want = problem.reference(&got);
        assert_act::<A>(&format!("{what}: out"), &got.out, &want.out, VALUES);
        // Elements of both signs cancel in a mean.
        let bar = of_terms(VALUES, 2.0, &want.mean);
        assert_wide(&format!("{what}: mean"), &got.mean, &want.mean, bar);
        assert_wide(&format!("{what}: rstd"), &got.rstd, &want.rstd, VALUES);
        assert_act::<A>(&format!("{what}: gradient of x"), &got.grad_x, &want.grad_x, GRADIENTS);
        if let (Some(got), Some(want)) = (&got.grad_modulation, &want.grad_modulation) {
            assert_act::<A>(&format!("{what}: gradient of modulation"), got, want, GRADIENTS);
        }
    }
}

fn shift_first<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check::<A, A, D>(lab, Some(Halves::ShiftFirst));
}

fn factor_first<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check::<A, A, D>(lab, Some(Halves::FactorFirst));
}

fn no_modulation<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check::<A, A, D>(lab, None);
}

fn of_the_residual_stream<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    if A::FORMAT == Format::F32 {
        // The same kernel as above.
        return;
    }
    for halves in [Some(Halves::FactorFirst), None] {
        check::<f32, A, D>(lab, halves);
    }
}

/// Calls the value pass with ones everywhere.
fn values<X: TestActivation, A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    [batch, seq_len, width]: [usize; 3],
) -> Result<(), KernelError> {
    let (shape, rows) = (Shape { batch, seq_len, width }, batch * seq_len);
    let x = lab.put(&vec![X::round(1.0); rows * width]);
    let (halves, eps) = (Halves::ShiftFirst, EPS);
    let args = Args { shape, x: x.view(), modulation: None, halves, eps };
    let (mut out, mut stats) = (lab.empty(rows * width), lab.empty(2 * rows));
    forward(&lab.device, &args, Output { out: out.view_mut(), stats: stats.view_mut() })
}

/// Calls the gradient pass with ones everywhere; also the gradient of the modulation.
fn gradients<X: TestActivation, A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    [batch, seq_len, width]: [usize; 3],
) -> (Result<(), KernelError>, Vec<f64>) {
    let (shape, rows) = (Shape { batch, seq_len, width }, batch * seq_len);
    let x = lab.put(&vec![X::round(1.0); rows * width]);
    let ones = |n| lab.act(&vec![1.0; n]);
    let (grad_out, modulation, stats) =
        (ones(rows * width), ones(batch * 2 * width), lab.wide(&vec![1.0; 2 * rows]));
    let (halves, eps) = (Halves::ShiftFirst, EPS);
    let args = Args { shape, x: x.view(), modulation: Some(modulation.view()), halves, eps };
    let (mut grad_x, mut grad_modulation) = (lab.empty(rows * width), ones(batch * 2 * width));
    let grads = Grads { x: grad_x.view_mut(), modulation: Some(grad_modulation.view_mut()) };
    let done = backward(&lab.device, &args, stats.view(), grad_out.view(), grads);
    (done, lab.get_act(&grad_modulation))
}

fn what_a_device_cannot_do_is_refused<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let assert_refused = |done: Result<(), KernelError>, why: &str| {
        let error = done.expect_err(why).to_string();
        assert_eq!(error, format!("layer_norm_modulate: {why}"));
    };
    let (wide, why) = ([1, 2, 4097], "width is 4097, supported: up to 4096 on a device");
    assert_refused(values::<A, A, D>(lab, wide), why);
    assert_refused(gradients::<A, A, D>(lab, wide).0, why);
    let why = "batch is 65536, supported: up to 65535 on a device";
    assert_refused(gradients::<A, A, D>(lab, [65_536, 1, 1]).0, why);
    if A::FORMAT == Format::F32 {
        let why = "bits of x is 16, supported: 32, or as many as the output has";
        assert_refused(values::<bf16, A, D>(lab, [1, 2, 3]), why);
        assert_refused(gradients::<bf16, A, D>(lab, [1, 2, 3]).0, why);
    }
}

fn nothing_is_done_with_nothing<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for shape in [[0, 2, 3], [2, 0, 3]] {
        assert_eq!(values::<A, A, D>(lab, shape), Ok(()), "{shape:?}");
        let (done, grad_modulation) = gradients::<A, A, D>(lab, shape);
        assert_eq!(done, Ok(()), "{shape:?}");
        // A sum of no tokens overwrites.
        assert_eq!(grad_modulation, vec![0.0; shape[0] * 2 * shape[2]], "{shape:?}");
    }
}

on_every_device!(
    shift_first,
    factor_first,
    no_modulation,
    of_the_residual_stream,
    what_a_device_cannot_do_is_refused,
    nothing_is_done_with_nothing,
);
