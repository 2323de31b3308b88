//! Both variants of the value pass, and the gradient pass.

use crate::support::{
    GRADIENTS, Lab, TestActivation, TestDriver, VALUES, around, assert_act, assert_wide,
    on_every_device, rounded,
};
use ssm_kernels::device::OnDevice;
use ssm_kernels::selective_scan::device::{Plan, backward, forward, states_len};
use ssm_kernels::selective_scan::{
    Args, Direction, DirectionGrads, Grads, Kept, KeptMut, Output, Shape, reference,
};
use ssm_kernels::{KernelError, Mat, MatMut, ScanOrder, Scratch, Storage};
use std::ops::Range;

/// Tiles have 16 tokens; blocks 128 channels in the value pass, 64 in the gradient pass, 32 in the split one.
const SHAPES: [[usize; 3]; 14] = [
    [1, 1, 1],
    [3, 1, 8],
    [1, 2, 31],
    [2, 3, 40],
    [1, 15, 96],
    [3, 16, 31],
    [1, 17, 8],
    [2, 33, 131],
    [1, 63, 40],
    [3, 65, 40],
    [1, 66, 96],
    [2, 128, 33],
    [1, 257, 736],
    [1, 258, 96],
];

/// Columns around those of an operand inside its wider rows.
const MARGIN: usize = 3;

/// Step sizes: over the whole range of a trained network, or those of a fresh one.
#[derive(Clone, Copy, Debug)]
enum Steps {
    All,
    Small,
}

/// Inputs in the formats of `A`.
struct Problem {
    shape: Shape,
    directions: Vec<Inputs>,
    /// Rows of `E` with margins.
    z: Vec<f64>,
    grad_gated: Vec<f64>,
}

struct Inputs {
    order: ScanOrder,
    u: Vec<f64>,
    delta_raw: Vec<f64>,
    /// Rows of `2N` with margins.
    bc: Vec<f64>,
    a_log: Vec<f64>,
    d_skip: Vec<f64>,
    delta_bias: Vec<f64>,
}

const DIRECTION_SUM: f64 = 0.5;

impl Problem {
    fn new<A: TestActivation>(
        [batch, seq_len, channels]: [usize; 3],
        orders: &[ScanOrder],
        steps: Steps,
    ) -> Self {
        let shape = Shape { batch, seq_len, channels, states: 16 };
        let (rows, len) = (batch * seq_len, batch * seq_len * channels);
        // Softplus of these is in 1e-4 .. 1e-3, or reaches from 1e-3 to 20.
        let (bias, spread) = match steps {
            Steps::Small => (-8.0, 0.8),
            Steps::All => (-2.0, 4.0),
        };
        let act = |seed, len, center, spread| rounded::<A>(&around(seed, len, center, spread));
        let inputs = |(k, &order): (usize, &ScanOrder)| {
            let seed = 10 * (k as u64 + 1);
            let mut delta_raw = act(seed + 1, len, 0.0, spread);
            if matches!(steps, Steps::All) {
                delta_raw.iter_mut().skip(7).step_by(97).for_each(|raw| *raw = 22.5);
            }
            let a_log = around(seed + 3, channels * 16, 0.0, 0.1);
            let a_log = a_log.iter().enumerate().map(|(k, x)| x + ((k % 16 + 1) as f64).ln());
            Inputs {
                order,
                u: act(seed, len, 0.0, 1.0),
                delta_raw,
                bc: act(seed + 2, rows * (32 + 2 * MARGIN), 0.0, 1.0),
                a_log: a_log.map(|x| f64::from(x as f32)).collect(),
                d_skip: around(seed + 4, channels, 1.0, 0.5),
                delta_bias: around(seed + 5, channels, bias, 0.1),
            }
        };
        Self {
            shape,
            directions: orders.iter().enumerate().map(inputs).collect(),
            z: act(1, rows * (channels + 2 * MARGIN), 0.0, 3.0),
            grad_gated: act(2, len, 0.0, 1.0),
        }
    }

    fn rows(&self) -> usize {
        self.shape.batch * self.shape.seq_len
    }

    fn z_columns(&self) -> Range<usize> {
        MARGIN..MARGIN + self.shape.channels
    }

    /// Values, gradients given what the value pass kept, in f64.
    fn reference(&self, pre_gate: Option<&[f64]>) -> Results {
        let Shape { channels, .. } = self.shape;
        let len = self.rows() * channels;
        let directions: Vec<Direction<'_, f64>> = self
            .directions
            .iter()
            .map(|d| Direction {
                order: d.order,
                u: &d.u[..],
                delta_raw: &d.delta_raw[..],
                bc: Mat::columns(&d.bc, self.rows(), 32 + 2 * MARGIN, MARGIN, 32),
                a_log: &d.a_log[..],
                d_skip: &d.d_skip[..],
                delta_bias: &d.delta_bias[..],
            })
            .collect();
        let z = Mat::columns(&self.z, self.rows(), channels + 2 * MARGIN, MARGIN, channels);
        let args =
            Args { shape: self.shape, directions: &directions, z, direction_sum: DIRECTION_SUM };
        let (mut gated, mut sum) = (vec![0.0; len], vec![0.0; len]);
        let kept = KeptMut { pre_gate: &mut sum[..], states: &mut [][..] };
        let out = Output { gated: &mut gated[..], kept: Some(kept) };
        reference::forward(&args, out, &mut Scratch::new()).expect("fitting operands");
        let mut results = Results {
            gated,
            pre_gate: sum,
            z: vec![0.0; len],
            gated_again: vec![0.0; len],
            directions: Vec::new(),
        };
        let Some(pre_gate) = pre_gate else { return results };
        results.directions = self
            .directions
            .iter()
            .map(|_| {
                [len, len, self.rows() * 32, channels * 16, channels, channels]
                    .map(|n| vec![0.0; n])
            })
            .collect();
        let mut grads: Vec<DirectionGrads<'_, f64>> = results
            .directions
            .iter_mut()
            .map(|[u, delta_raw, bc, a_log, d_skip, delta_bias]| DirectionGrads {
                u: &mut u[..],
                delta_raw: &mut delta_raw[..],
                bc: MatMut::new(bc, self.rows(), 32),
                a_log: &mut a_log[..],
                d_skip: &mut d_skip[..],
                delta_bias: &mut delta_bias[..],
            })
            .collect();
        let grads = Grads {
            directions: &mut grads,
            z: MatMut::new(&mut results.z, self.rows(), channels),
            gated: &mut results.gated_again[..],
        };
        let kept = Kept { pre_gate, states: &[][..] };
        reference::backward(&args, kept, &self.grad_gated, grads, &mut Scratch::new())
            .expect("fitting operands");
        results
    }

    /// Values and gradients on a device.
    fn on<A: TestActivation, D: TestDriver>(&self, lab: &Lab<A, D>, plan: Plan) -> Results {
        let Shape { channels, .. } = self.shape;
        let (rows, len, orders) = (self.rows(), self.rows() * channels, self.directions.len());
        let inputs: Vec<_> = self
            .directions
            .iter()
            .map(|d| {
                let act = [&d.u, &d.delta_raw, &d.bc].map(|x| lab.act(x));
                let wide = [&d.a_log, &d.d_skip, &d.delta_bias].map(|x| lab.wide(x));
                (d.order, act, wide)
            })
            .collect();
        let directions: Vec<Direction<'_, A, f32, OnDevice<D>>> = inputs
            .iter()
            .map(|(order, [u, delta_raw, bc], [a_log, d_skip, delta_bias])| Direction {
                order: *order,
                u: u.view(),
                delta_raw: delta_raw.view(),
                bc: bc.columns(rows, MARGIN..MARGIN + 32),
                a_log: a_log.view(),
                d_skip: d_skip.view(),
                delta_bias: delta_bias.view(),
            })
            .collect();
        let z = lab.act(&self.z);
        let args = Args {
            shape: self.shape,
            directions: &directions,
            z: z.columns(rows, self.z_columns()),
            direction_sum: DIRECTION_SUM as f32,
        };
        let (mut gated, mut inferred, mut pre_gate) =
            (lab.empty(len), lab.empty(len), lab.empty(len));
        let mut states = lab.empty(states_len(self.shape, orders));
        let kept = KeptMut { pre_gate: pre_gate.view_mut(), states: states.view_mut() };
        forward(&lab.device, plan, &args, Output { gated: gated.view_mut(), kept: Some(kept) })
            .expect("value pass");
        forward(&lab.device, plan, &args, Output { gated: inferred.view_mut(), kept: None })
            .expect("inference");
        assert!(
            lab.get_act(&gated) == lab.get_act(&inferred),
            "the output depends on what is kept"
        );

        let kept = Kept { pre_gate: pre_gate.view(), states: states.view() };
        let values = Results {
            gated: lab.get_act(&gated),
            pre_gate: lab.get_act(&pre_gate),
            ..Results::default()
        };
        self.gradients_on(lab, &args, kept, values)
    }

    /// Adds the gradients on a device to `results`.
    fn gradients_on<A: TestActivation, D: TestDriver>(
        &self,
        lab: &Lab<A, D>,
        args: &Args<'_, A, f32, OnDevice<D>>,
        kept: Kept<'_, A, f32, OnDevice<D>>,
        results: Results,
    ) -> Results {
        let (rows, channels) = (self.rows(), self.shape.channels);
        let len = rows * channels;
        let grad_gated = lab.act(&self.grad_gated);
        let mut owned: Vec<_> = self
            .directions
            .iter()
            .map(|_| {
                let act = [len, len, rows * (32 + 2 * MARGIN)].map(|n| lab.empty(n));
                (act, [channels * 16, channels, channels].map(|n| lab.wide(&vec![0.0; n])))
            })
            .collect();
        let mut grad_z = lab.empty(rows * (channels + 2 * MARGIN));
        let mut gated_again = lab.empty(len);
        // Twice, because gradients of parameters add up: to the double of one, in the same bits.
        for _ in 0..2 {
            let mut grads: Vec<DirectionGrads<'_, A, f32, OnDevice<D>>> = owned
                .iter_mut()
                .map(|([u, delta_raw, bc], [a_log, d_skip, delta_bias])| DirectionGrads {
                    u: u.view_mut(),
                    delta_raw: delta_raw.view_mut(),
                    bc: bc.columns_mut(rows, MARGIN..MARGIN + 32),
                    a_log: a_log.view_mut(),
                    d_skip: d_skip.view_mut(),
                    delta_bias: delta_bias.view_mut(),
                })
                .collect();
            let grads = Grads {
                directions: &mut grads,
                z: grad_z.columns_mut(rows, self.z_columns()),
                gated: gated_again.view_mut(),
            };
            backward(&lab.device, args, kept, grad_gated.view(), grads).expect("gradient pass");
        }
        let directions = owned.iter().map(|([u, delta_raw, bc], [a_log, d_skip, delta_bias])| {
            let half = |x: &_| lab.get_wide(x).iter().map(|x| 0.5 * x).collect();
            [
                lab.get_act(u),
                lab.get_act(delta_raw),
                narrow(&lab.get_act(bc), 32),
                half(a_log),
                half(d_skip),
                half(delta_bias),
            ]
        });
        Results {
            z: narrow(&lab.get_act(&grad_z), channels),
            gated_again: lab.get_act(&gated_again),
            directions: directions.collect(),
            ..results
        }
    }
}

/// Without the margins, in which nothing was written.
fn narrow(wide: &[f64], cols: usize) -> Vec<f64> {
    wide.chunks_exact(cols + 2 * MARGIN)
        .flat_map(|row| row[MARGIN..MARGIN + cols].to_vec())
        .collect()
}

#[derive(Default, PartialEq)]
struct Results {
    gated: Vec<f64>,
    pre_gate: Vec<f64>,
    /// Gradient of z, and the gated output made again.
    z: Vec<f64>,
    gated_again: Vec<f64>,
    /// Gradients of u, `delta_raw`, `[B | C]`, `a_log`, `d_skip`, `delta_bias`.
    directions: Vec<[Vec<f64>; 6]>,
}

fn check<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    orders: &[ScanOrder],
    steps: Steps,
    plan: Plan,
) {
    // The shape of a real network takes seconds; once is enough.
    let all = (orders.len(), plan) == (2, Plan::Whole) && matches!(steps, Steps::All);
    let most = if all { D::MOST_ELEMENTS } else { 5_000 };
    for shape in SHAPES {
        if shape.iter().product::<usize>() > most {
            continue;
        }
        let problem = Problem::new::<A>(shape, orders, steps);
        let what = format!("{:?} {shape:?} {orders:?} {steps:?}", A::FORMAT);
        let got = lab.in_every_schedule(&what, || problem.on(lab, plan));
        let want = problem.reference(Some(&got.pre_gate));
        for (name, got, want) in
            [("gated", &got.gated, &want.gated), ("pre_gate", &got.pre_gate, &want.pre_gate)]
        {
            assert_act::<A>(&format!("{what}: {name}"), got, want, VALUES);
        }
        for (name, got, want) in
            [("z", &got.z, &want.z), ("gated, made again", &got.gated_again, &want.gated_again)]
        {
            assert_act::<A>(&format!("{what}: gradient of {name}"), got, want, GRADIENTS);
        }
        for (got, want) in got.directions.iter().zip(&want.directions) {
            for (i, name) in
                ["u", "delta_raw", "bc", "a_log", "d_skip", "delta_bias"].iter().enumerate()
            {
                let name = format!("{what}: gradient of {name}");
                if i < 3 {
                    assert_act::<A>(&name, &got[i], &want[i], GRADIENTS)
                } else {
                    assert_wide(&name, &got[i], &want[i], GRADIENTS)
                }
            }
        }
    }
}

/// Exponentials and reciprocals of a GPU are off by a few bits, and a scan adds up what they are off by.
#[cfg(feature = "emulated")]
#[test]
fn approximate_units_stay_within_the_bars() {
    use ssm_kernels::device::emulated::Fast;
    let driver = <Fast as TestDriver>::open().expect("the emulator is part of this build");
    driver.set_approximate(true);
    let lab = Lab::<f32, _>::new(driver);
    for steps in [Steps::All, Steps::Small] {
        check(&lab, &BOTH, steps, Plan::Whole);
        check(&lab, &BOTH, steps, Plan::Split { parts: 3 });
    }
}

const BOTH: [ScanOrder; 2] = [ScanOrder::LeftToRight, ScanOrder::RightToLeft];

fn both_orders<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check(lab, &BOTH, Steps::All, Plan::Whole);
}

fn one_order<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check(lab, &BOTH[1..], Steps::All, Plan::Whole);
}

fn small_steps<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    check(lab, &BOTH, Steps::Small, Plan::Whole);
}

fn split_sequences<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for parts in [1, 3, 16] {
        check(lab, &BOTH, Steps::All, Plan::Split { parts });
    }
    check(lab, &BOTH[..1], Steps::Small, Plan::Split { parts: 4 });
}

fn other_numbers_of_states_are_refused<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let shape = Shape { batch: 1, seq_len: 2, channels: 3, states: 8 };
    let (act, wide) = (lab.act(&vec![0.5; 2 * 16]), lab.wide(&[0.5; 24]));
    let direction = Direction {
        order: ScanOrder::LeftToRight,
        u: ssm_kernels::View::part(act.view(), 0..6),
        delta_raw: ssm_kernels::View::part(act.view(), 0..6),
        bc: act.mat(2, 16),
        a_log: wide.view(),
        d_skip: ssm_kernels::View::part(wide.view(), 0..3),
        delta_bias: ssm_kernels::View::part(wide.view(), 0..3),
    };
    let z = lab.act(&[0.5; 6]);
    let args = Args { shape, directions: &[direction], z: z.mat(2, 3), direction_sum: 1.0 };
    let mut gated = lab.empty(6);
    let refused =
        forward(&lab.device, Plan::Whole, &args, Output { gated: gated.view_mut(), kept: None });
    assert!(
        matches!(refused, Err(KernelError::Unsupported { what: "states", got: 8, .. })),
        "{refused:?}"
    );
}

on_every_device!(
    both_orders,
    one_order,
    small_steps,
    split_sequences,
    other_numbers_of_states_are_refused
);
