//! Both passes of the causal convolution, in one scan order and in two.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{
    GRADIENTS, Lab, TestActivation, TestDriver, VALUES, around, assert_act, assert_wide,
    on_every_device, rounded,
};
use ssm_kernels::causal_conv1d::device::{backward, forward};
use ssm_kernels::causal_conv1d::{Args, Direction, DirectionGrads, Grads, Shape, reference};
use ssm_kernels::device::{OnDevice, Slice, SliceMut};
use ssm_kernels::{KernelError, Mat, MatMut, ScanOrder, Scratch, Storage};

/// Strips have 16 or 32 tokens in the value pass, 64 in the gradient pass; a block has up to eight
/// of them. A warp has 32 channels, or 64 to 256 in vectors. Sums of parts are divided otherwise
/// from 17 and from 257 rows on.
const SHAPES: [[usize; 3]; 24] = [
    [1, 1, 1],
    [3, 1, 8],
    [1, 1, 736],
    [1, 2, 31],
    [3, 2, 40],
    [1, 3, 96],
    [3, 3, 1],
    [1, 4, 8],
    [3, 15, 31],
    [1, 15, 40],
    [1, 17, 96],
    [3, 17, 8],
    [2, 33, 131],
    [1, 65, 736],
    [3, 65, 40],
    [1, 65, 1],
    [1, 66, 31],
    [3, 66, 96],
    [2, 161, 24],
    [1, 258, 96],
    [3, 350, 31],
    [3, 66, 736],
    [20, 3, 8],
    [260, 1, 5],
];
const TAPS: usize = 4;

const RIGHTWARDS: ScanOrder = ScanOrder::LeftToRight;
const LEFTWARDS: ScanOrder = ScanOrder::RightToLeft;

/// Inputs in the formats of `A`.
struct Problem {
    shape: Shape,
    x: Vec<f64>,
    directions: Vec<Inputs>,
}

struct Inputs {
    order: ScanOrder,
    weight: Vec<f64>,
    bias: Vec<f64>,
    grad_out: Vec<f64>,
}

/// Values and gradients.
#[derive(PartialEq)]
struct Results {
    grad_x: Vec<f64>,
    directions: Vec<DirectionResults>,
}

#[derive(PartialEq)]
struct DirectionResults {
    out: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl Problem {
    fn new<A: TestActivation>(
        [batch, seq_len, channels]: [usize; 3],
        orders: &[ScanOrder],
    ) -> Self {
        let shape = Shape { batch, seq_len, channels, width: TAPS };
        let len = batch * seq_len * channels;
        let inputs = |(k, &order): (usize, &ScanOrder)| {
            let seed = 10 * (k as u64 + 1);
            Inputs {
                order,
                weight: around(seed, channels * TAPS, 0.0, 1.0),
                bias: around(seed + 1, channels, 0.2, 0.5),
                grad_out: rounded::<A>(&around(seed + 2, len, 0.0, 1.0)),
            }
        };
        Self {
            shape,
            x: rounded::<A>(&around(1, len, 0.0, 2.0)),
            directions: orders.iter().enumerate().map(inputs).collect(),
        }
    }

    fn rows(&self) -> usize {
        self.shape.batch * self.shape.seq_len
    }

    fn reference(&self) -> Results {
        let (rows, channels) = (self.rows(), self.shape.channels);
        let directions: Vec<Direction<'_, f64>> = self
            .directions
            .iter()
            .map(|d| Direction { order: d.order, weight: &d.weight[..], bias: &d.bias[..] })
            .collect();
        let x = Mat::new(&self.x, rows, channels);
        let args = Args { shape: self.shape, x, directions: &directions };
        let results = |_: &_| DirectionResults {
            out: vec![0.0; rows * channels],
            weight: vec![0.0; channels * TAPS],
            bias: vec![0.0; channels],
        };
        let mut grad_x = vec![0.0; rows * channels];
        let mut directions: Vec<_> = self.directions.iter().map(results).collect();
        let mut outs: Vec<&mut [f64]> = directions.iter_mut().map(|d| &mut d.out[..]).collect();
        reference::forward(&args, &mut outs).expect("fitting operands");
        let mut grads: Vec<DirectionGrads<'_, f64>> = directions
            .iter_mut()
            .map(|d| DirectionGrads { weight: &mut d.weight[..], bias: &mut d.bias[..] })
            .collect();
        let grad_outs: Vec<&[f64]> = self.directions.iter().map(|d| &d.grad_out[..]).collect();
        let grads = Grads { x: MatMut::new(&mut grad_x, rows, channels), directions: &mut grads };
        reference::backward(&args, &grad_outs, grads, &mut Scratch::new())
            .expect("fitting operands");
        Results { grad_x, directions }
    }

    /// Every operand with that margin; gradients of parameters are added to 1.
    fn on<A: TestActivation, D: TestDriver>(&self, lab: &Lab<A, D>, margin: usize) -> Results {
        let (rows, channels) = (self.rows(), self.shape.channels);
        let len = rows * channels;
        let x = Framed::<A, D>::of(lab, &self.x, rows, margin);
        let inputs: Vec<_> = self
            .directions
            .iter()
            .map(|d| {
                let wide = [&d.weight, &d.bias].map(|x| Framed::<f32, D>::row(lab, x, margin));
                (d.order, wide, Framed::<A, D>::row(lab, &d.grad_out, margin))
            })
            .collect();
        let directions: Vec<Direction<'_, f32, OnDevice<D>>> = inputs
            .iter()
            .map(|(order, [weight, bias], _)| Direction {
                order: *order,
                weight: weight.view(),
                bias: bias.view(),
            })
            .collect();
        let args = Args { shape: self.shape, x: x.mat(), directions: &directions };

        let mut outs: Vec<_> =
            inputs.iter().map(|_| Framed::<A, D>::empty(lab, len, margin)).collect();
        let mut views: Vec<SliceMut<'_, A, D>> = outs.iter_mut().map(Framed::view_mut).collect();
        forward(&lab.device, &args, &mut views).expect("value pass");

        let ones = |n| Framed::<f32, D>::row(lab, &vec![1.0; n], margin);
        let mut grad_x = Framed::<A, D>::of(lab, &vec![f64::NAN; len], rows, margin);
        let mut sums: Vec<_> =
            inputs.iter().map(|_| [channels * TAPS, channels].map(ones)).collect();
        let mut grads: Vec<DirectionGrads<'_, f32, OnDevice<D>>> = sums
            .iter_mut()
            .map(|[weight, bias]| DirectionGrads {
                weight: weight.view_mut(),
                bias: bias.view_mut(),
            })
            .collect();
        let grad_outs: Vec<Slice<'_, A, D>> = inputs.iter().map(|(_, _, g)| g.view()).collect();
        let grads = Grads { x: grad_x.mat_mut(), directions: &mut grads };
        backward(&lab.device, &args, &grad_outs, grads).expect("gradient pass");

        let added = |sums: &Framed<f32, D>| sums.get(lab).iter().map(|x| x - 1.0).collect();
        let directions = outs.iter().zip(&sums).map(|(out, [weight, bias])| DirectionResults {
            out: out.get(lab),
            weight: added(weight),
            bias: added(bias),
        });
        Results { grad_x: grad_x.get(lab), directions: directions.collect() }
    }
}

fn check<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>, orders: &[ScanOrder]) {
    for shape in SHAPES {
        if shape.iter().product::<usize>() > D::MOST_ELEMENTS {
            continue;
        }
        let problem = Problem::new::<A>(shape, orders);
        let what = format!("{:?} {shape:?} {orders:?}", A::FORMAT);
        let got = lab.in_every_schedule(&what, || problem.on(lab, WHOLE));
        assert!(got == problem.on(lab, ODD), "{what}: other bits without vectors");
        let want = problem.reference();
        assert_act::<A>(&format!("{what}: gradient of x"), &got.grad_x, &want.grad_x, GRADIENTS);
        for (got, want) in got.directions.iter().zip(&want.directions) {
            assert_act::<A>(&format!("{what}: out"), &got.out, &want.out, VALUES);
            let name = format!("{what}: gradient of weight");
            assert_wide(&name, &got.weight, &want.weight, GRADIENTS);
            let name = format!("{what}: gradient of bias");
            assert_wide(&name, &got.bias, &want.bias, GRADIENTS);
        }
    }
}

fn left_to_right<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check(lab, &[RIGHTWARDS]);
}

fn right_to_left<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check(lab, &[LEFTWARDS]);
}

fn both_orders<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check(lab, &[RIGHTWARDS, LEFTWARDS]);
}

fn both_orders_exchanged<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check(lab, &[LEFTWARDS, RIGHTWARDS]);
}

/// Calls both passes with operands that hold the same number everywhere.
fn call<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    shape: Shape,
) -> [Result<(), KernelError>; 2] {
    let Shape { batch, seq_len, channels, width } = shape;
    let rows = batch * seq_len;
    let (x, weight) =
        (lab.act(&vec![0.5; rows * channels]), lab.wide(&vec![0.5; channels * width]));
    let bias = lab.wide(&vec![0.5; channels]);
    let direction = Direction { order: RIGHTWARDS, weight: weight.view(), bias: bias.view() };
    let args = Args { shape, x: x.mat(rows, channels), directions: &[direction] };
    let (mut out, mut grad_x) = (lab.empty(rows * channels), lab.empty(rows * channels));
    let (mut grad_weight, mut grad_bias) = (lab.empty(channels * width), lab.empty(channels));
    let mut sums = [DirectionGrads { weight: grad_weight.view_mut(), bias: grad_bias.view_mut() }];
    let grads = Grads { x: grad_x.mat_mut(rows, channels), directions: &mut sums };
    [
        forward(&lab.device, &args, &mut [out.view_mut()]),
        backward(&lab.device, &args, &[x.view()], grads),
    ]
}

fn what_a_device_cannot_do_is_refused<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for refused in call(lab, Shape { batch: 1, seq_len: 2, channels: 3, width: 3 }) {
        let error = refused.expect_err("three taps").to_string();
        assert_eq!(error, "causal_conv1d: width is 3, supported: 4 on a device; others on the CPU");
    }
    for refused in call(lab, Shape { batch: 65_536, seq_len: 1, channels: 1, width: TAPS }) {
        let error = refused.expect_err("too many images").to_string();
        assert_eq!(error, "causal_conv1d: batch is 65536, supported: up to 65535 on a device");
    }
}

fn nothing_is_done_with_nothing<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for [batch, seq_len, channels] in [[0, 2, 3], [2, 0, 3], [2, 3, 0]] {
        let done = call(lab, Shape { batch, seq_len, channels, width: TAPS });
        assert_eq!(done, [Ok(()), Ok(())], "{batch} {seq_len} {channels}");
    }
}

on_every_device!(
    left_to_right,
    right_to_left,
    both_orders,
    both_orders_exchanged,
    what_a_device_cannot_do_is_refused,
    nothing_is_done_with_nothing,
);
