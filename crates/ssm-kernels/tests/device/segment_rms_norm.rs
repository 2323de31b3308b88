//! Both passes of the norm of segments.

use crate::framed::Framed;
use crate::support::{
    GRADIENTS, Lab, TestActivation, TestDriver, VALUES, around, assert_act, assert_wide, of_terms,
    on_every_device, rounded,
};
use ssm_kernels::segment_rms_norm::cases::SHAPES;
use ssm_kernels::segment_rms_norm::device::{backward, forward};
use ssm_kernels::segment_rms_norm::{Kept, SEGMENTS, Shape, reference};
use ssm_kernels::{KernelError, Storage};

const EPS: f64 = 1e-5;
/// Elements around every operand. A kernel has no vectors that would need another number.
const MARGIN: usize = 3;

/// Inputs in the formats of `A`.
struct Problem {
    shape: Shape,
    x: Vec<f64>,
    grad_normed: Vec<f64>,
}

/// Values and gradients.
#[derive(PartialEq)]
struct Results {
    normed: Vec<f64>,
    rstd: Vec<f64>,
    grad: Vec<f64>,
}

impl Problem {
    fn new<A: TestActivation>(shape: Shape) -> Self {
        let len = shape.rows * shape.row_len();
        // Segments of other sizes, so that one taken for another is seen.
        let sizes = shape.widths.into_iter().zip([2.0, 0.25, 1.0]);
        let sizes: Vec<f64> = sizes.flat_map(|(n, size)| std::iter::repeat_n(size, n)).collect();
        let x = around(1, len, 0.1, 1.0).into_iter().zip(sizes.iter().cycle());
        let x: Vec<f64> = x.map(|(x, size)| x * size).collect();
        let grad_normed = rounded::<A>(&around(2, len, 0.0, 1.0));
        Self { shape, x: rounded::<A>(&x), grad_normed }
    }

    /// Values, and gradients given what the value pass wrote, in f64.
    fn reference(&self, got: &Results) -> Results {
        let rstd = vec![0.0; got.rstd.len()];
        let mut want = Results { normed: self.x.clone(), rstd, grad: self.grad_normed.clone() };
        reference::forward(&self.shape, EPS, &mut want.normed, &mut want.rstd).expect("operands");
        let kept = Kept { normed: &got.normed[..], rstd: &got.rstd[..] };
        reference::backward(&self.shape, &kept, &mut want.grad).expect("fitting operands");
        want
    }

    fn on<A: TestActivation, D: TestDriver>(&self, lab: &Lab<A, D>) -> Results {
        let act = |x: &_| Framed::<A, D>::row(lab, x, MARGIN);
        let mut normed = act(&self.x);
        let mut rstd = Framed::<f32, D>::empty(lab, self.shape.rows * SEGMENTS, MARGIN);
        forward(&lab.device, &self.shape, EPS, normed.view_mut(), rstd.view_mut())
            .expect("value pass");
        let mut grad = act(&self.grad_normed);
        let kept = Kept { normed: normed.view(), rstd: rstd.view() };
        backward(&lab.device, &self.shape, &kept, grad.view_mut()).expect("gradient pass");
        Results { normed: normed.get(lab), rstd: rstd.get(lab), grad: grad.get(lab) }
    }
}

fn both_passes<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for shape in SHAPES {
        if shape.rows * shape.row_len() > D::MOST_ELEMENTS {
            continue;
        }
        let problem = Problem::new::<A>(shape);
        let what = format!("{:?} {shape:?}", A::FORMAT);
        let got = lab.in_every_schedule(&what, || problem.on(lab));
        let want = problem.reference(&got);
        assert_act::<A>(&format!("{what}: normed"), &got.normed, &want.normed, VALUES);
        assert_wide(&format!("{what}: rstd"), &got.rstd, &want.rstd, VALUES);
        // In a segment of one element both terms are as large as `rstd`, and cancel but for eps.
        let terms = got.rstd.iter().fold(0.0f64, |most, x| most.max(*x));
        let bar = of_terms(GRADIENTS, terms, &want.grad);
        assert_act::<A>(&format!("{what}: gradient"), &got.grad, &want.grad, bar);
    }
}

/// Calls both passes with operands that hold ones.
fn call<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    shape: Shape,
) -> [Result<(), KernelError>; 2] {
    let len = shape.rows * shape.row_len();
    let (mut x, mut grad) = (lab.act(&vec![1.0; len]), lab.act(&vec![1.0; len]));
    let mut rstd = lab.wide(&vec![1.0; shape.rows * SEGMENTS]);
    let values = forward(&lab.device, &shape, EPS, x.view_mut(), rstd.view_mut());
    let kept = Kept { normed: x.view(), rstd: rstd.view() };
    [values, backward(&lab.device, &shape, &kept, grad.view_mut())]
}

fn nothing_is_done_with_nothing<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    assert_eq!(call(lab, Shape { rows: 0, widths: [3, 16, 16] }), [Ok(()), Ok(())]);
}

fn a_segment_without_elements_is_refused<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for refused in call(lab, Shape { rows: 2, widths: [3, 0, 16] }) {
        let error = refused.expect_err("an empty segment").to_string();
        assert_eq!(error, "segment_rms_norm: width of a segment is 0, supported: 1 or more");
    }
}

on_every_device!(both_passes, nothing_is_done_with_nothing, a_segment_without_elements_is_refused);
