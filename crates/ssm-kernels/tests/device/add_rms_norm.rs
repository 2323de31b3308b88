//! Both passes of residual addition with root-mean-square normalisation.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{
    GRADIENTS, Lab, TestActivation, TestDriver, VALUES, around, assert_act, assert_wide, of_terms,
    on_every_device, rounded,
};
use ssm_kernels::add_rms_norm::device::{backward, forward};
use ssm_kernels::add_rms_norm::{Args, BackwardArgs, Grads, Output, Shape, reference};
use ssm_kernels::{KernelError, Scratch, Storage};

/// A row has one warp up to a width of 512, then two, four and eight.
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
const EPS: f64 = 1e-5;

/// Which optional operands there are.
#[derive(Clone, Copy, Debug)]
struct Given {
    residual: bool,
    drop_path: bool,
}

/// Inputs in the formats of `A`.
struct Problem {
    shape: Shape,
    hidden: Vec<f64>,
    residual: Option<Vec<f64>>,
    drop_path: Option<Vec<f64>>,
    weight: Vec<f64>,
    grad_normed: Vec<f64>,
    /// What comes in.
    grad_residual: Vec<f64>,
}

/// Values and gradients.
#[derive(PartialEq)]
struct Results {
    residual: Vec<f64>,
    normed: Vec<f64>,
    rstd: Vec<f64>,
    grad_residual: Vec<f64>,
    grad_hidden: Vec<f64>,
    grad_weight: Vec<f64>,
}

impl Problem {
    fn new<A: TestActivation>([batch, seq_len, width]: [usize; 3], given: Given) -> Self {
        let len = batch * seq_len * width;
        // One image is dropped.
        let factors = || (0..batch).map(|b| [1.25, 0.0, 1.25][b % 3]).collect();
        Self {
            shape: Shape { batch, seq_len, width },
            hidden: rounded::<A>(&around(1, len, 0.1, 1.0)),
            residual: given.residual.then(|| around(2, len, -0.2, 2.0)),
            drop_path: given.drop_path.then(factors),
            weight: around(3, width, 1.0, 0.5),
            grad_normed: rounded::<A>(&around(4, len, 0.0, 1.0)),
            grad_residual: around(5, len, 0.0, 0.5),
        }
    }

    fn rows(&self) -> usize {
        self.shape.batch * self.shape.seq_len
    }

    /// The factors of the gradient pass: without residual they are not applied.
    fn applied(&self) -> Option<&[f64]> {
        self.residual.as_ref().and(self.drop_path.as_deref())
    }

    /// Values, and gradients given what the value pass wrote, in f64.
    fn reference(&self, got: &Results) -> Results {
        let (len, rows) = (self.hidden.len(), self.rows());
        let args = Args {
            shape: self.shape,
            hidden: &self.hidden[..],
            residual: self.residual.as_deref(),
            drop_path: self.drop_path.as_deref(),
            weight: &self.weight[..],
            eps: EPS,
        };
        let mut want = Results {
            residual: vec![0.0; len],
            normed: vec![0.0; len],
            rstd: vec![0.0; rows],
            grad_residual: self.grad_residual.clone(),
            grad_hidden: vec![0.0; len],
            grad_weight: vec![0.0; self.shape.width],
        };
        let (residual, normed) = (&mut want.residual[..], &mut want.normed[..]);
        let out = Output { residual, normed, rstd: &mut want.rstd[..] };
        reference::forward(&args, out).expect("fitting operands");
        let args = BackwardArgs {
            shape: self.shape,
            residual: &got.residual[..],
            rstd: &got.rstd[..],
            weight: &self.weight[..],
            drop_path: self.applied(),
            grad_normed: &self.grad_normed[..],
        };
        let (residual, hidden) = (&mut want.grad_residual[..], &mut want.grad_hidden[..]);
        let grads = Grads { residual, hidden, weight: &mut want.grad_weight[..] };
        reference::backward(&args, grads, &mut Scratch::new()).expect("fitting operands");
        want
    }

    /// Every operand with that margin; the gradient of the weight is added to 1.
    fn on<A: TestActivation, D: TestDriver>(&self, lab: &Lab<A, D>, margin: usize) -> Results {
        let (len, rows, shape) = (self.hidden.len(), self.rows(), self.shape);
        let act = |x: &_| Framed::<A, D>::row(lab, x, margin);
        let wide = |x: &[f64]| Framed::<f32, D>::row(lab, x, margin);
        let empty = |n| Framed::<f32, D>::empty(lab, n, margin);
        let (hidden, weight) = (act(&self.hidden), wide(&self.weight));
        let residual = self.residual.as_deref().map(wide);
        let drop_path = self.drop_path.as_deref().map(wide);
        let args = Args {
            shape,
            hidden: hidden.view(),
            residual: residual.as_ref().map(Framed::view),
            drop_path: drop_path.as_ref().map(Framed::view),
            weight: weight.view(),
            eps: EPS,
        };
        let (mut new_residual, mut rstd) = (empty(len), empty(rows));
        let mut normed = Framed::<A, D>::empty(lab, len, margin);
        let out = Output {
            residual: new_residual.view_mut(),
            normed: normed.view_mut(),
            rstd: rstd.view_mut(),
        };
        forward(&lab.device, &args, out).expect("value pass");

        let grad_normed = act(&self.grad_normed);
        let args = BackwardArgs {
            shape,
            residual: new_residual.view(),
            rstd: rstd.view(),
            weight: weight.view(),
            drop_path: drop_path.as_ref().filter(|_| residual.is_some()).map(Framed::view),
            grad_normed: grad_normed.view(),
        };
        let mut grad_residual = wide(&self.grad_residual);
        let mut grad_hidden = Framed::<A, D>::empty(lab, len, margin);
        let mut grad_weight = wide(&vec![1.0; shape.width]);
        let grads = Grads {
            residual: grad_residual.view_mut(),
            hidden: grad_hidden.view_mut(),
            weight: grad_weight.view_mut(),
        };
        backward(&lab.device, &args, grads).expect("gradient pass");
        Results {
            residual: new_residual.get(lab),
            normed: normed.get(lab),
            rstd: rstd.get(lab),
            grad_residual: grad_residual.get(lab),
            grad_hidden: grad_hidden.get(lab),
            grad_weight: grad_weight.get(lab).iter().map(|x| x - 1.0).collect(),
        }
    }
}

fn check<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>, given: Given) {
    for shape in SHAPES {
        if shape.iter().product::<usize>() > D::MOST_ELEMENTS {
            continue;
        }
        let problem = Problem::new::<A>(shape, given);
        let what = format!("{:?} {shape:?} {given:?}", A::FORMAT);
        let got = lab.in_every_schedule(&what, || problem.on(lab, WHOLE));
        assert!(got == problem.on(lab, ODD), "{what}: other bits without vectors");
        let want = problem.reference(&got);
        assert_wide(&format!("{what}: residual"), &got.residual, &want.residual, VALUES);
        assert_wide(&format!("{what}: rstd"), &got.rstd, &want.rstd, VALUES);
        assert_act::<A>(&format!("{what}: normed"), &got.normed, &want.normed, VALUES);
        // In a row of one column both terms are as large as `rstd`, and cancel but for eps.
        let terms = got.rstd.iter().fold(0.0f64, |most, x| most.max(*x));
        let bar = of_terms(GRADIENTS, terms, &want.grad_residual);
        let name = format!("{what}: gradient of residual");
        assert_wide(&name, &got.grad_residual, &want.grad_residual, bar);
        let name = format!("{what}: gradient of hidden");
        assert_act::<A>(&name, &got.grad_hidden, &want.grad_hidden, bar);
        let name = format!("{what}: gradient of weight");
        assert_wide(&name, &got.grad_weight, &want.grad_weight, GRADIENTS);
    }
}

fn residual_and_drop_path<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check(lab, Given { residual: true, drop_path: true });
}

fn residual_alone<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check(lab, Given { residual: true, drop_path: false });
}

fn no_residual<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check(lab, Given { residual: false, drop_path: false });
}

/// The factors are not applied.
fn drop_path_alone<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check(lab, Given { residual: false, drop_path: true });
}

/// Calls both passes with operands that hold the same number everywhere.
fn call<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    [batch, seq_len, width]: [usize; 3],
) -> [Result<(), KernelError>; 2] {
    let (shape, rows) = (Shape { batch, seq_len, width }, batch * seq_len);
    let (len, ones) = (rows * width, |n| lab.wide(&vec![1.0; n]));
    let (hidden, weight) = (lab.act(&vec![1.0; len]), ones(width));
    let (mut residual, mut rstd) = (ones(len), ones(rows));
    let (mut normed, mut grad_weight) = (lab.empty(len), ones(width));
    let (hidden, weight) = (hidden.view(), weight.view());
    let args = Args { shape, hidden, residual: None, drop_path: None, weight, eps: EPS };
    let out =
        Output { residual: residual.view_mut(), normed: normed.view_mut(), rstd: rstd.view_mut() };
    let values = forward(&lab.device, &args, out);
    let (mut grad_residual, mut grad_hidden) = (ones(len), lab.empty(len));
    let args = BackwardArgs {
        shape,
        residual: residual.view(),
        rstd: rstd.view(),
        weight,
        drop_path: None,
        grad_normed: hidden,
    };
    let grads = Grads {
        residual: grad_residual.view_mut(),
        hidden: grad_hidden.view_mut(),
        weight: grad_weight.view_mut(),
    };
    [values, backward(&lab.device, &args, grads)]
}

fn what_a_device_cannot_do_is_refused<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for refused in call(lab, [1, 2, 4097]) {
        let error = refused.expect_err("a row that is too wide").to_string();
        assert_eq!(error, "add_rms_norm: width is 4097, supported: up to 4096 on a device");
    }
}

fn nothing_is_done_with_nothing<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for shape in [[0, 2, 3], [2, 0, 3]] {
        assert_eq!(call(lab, shape), [Ok(()), Ok(())], "{shape:?}");
    }
}

on_every_device!(
    residual_and_drop_path,
    residual_alone,
    no_residual,
    drop_path_alone,
    what_a_device_cannot_do_is_refused,
    nothing_is_done_with_nothing,
);
