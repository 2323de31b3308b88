//! Embeddings: phases, condition, tokens and their gradients.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{
    GRADIENTS, Lab, TestActivation, TestDriver, VALUES, around, assert_act, assert_wide,
    on_every_device, rounded,
};
use ssm_kernels::device::{DeviceBuffer, OnDevice};
use ssm_kernels::embed::{
    Classes, Condition, ConditionBackward, ConditionGrads, ConditionOutput, Shape, Tokens,
    TokensGrads, device, reference,
};
use ssm_kernels::{KernelError, Storage};

const CLASSES: usize = 5;

/// Batch, tokens, width, leading tokens, whether there are classes. Labels are compared 32 images at
/// a time, positions added up 8 images and 256 elements at a time, biases 32 columns and 64 tokens.
const SHAPES: [(usize, usize, usize, usize, bool); 10] = [
    (1, 1, 1, 0, false),
    (3, 5, 3, 0, true),
    (2, 4, 8, 1, false),
    (4, 7, 31, 2, true),
    (9, 6, 40, 2, true),
    (70, 3, 8, 2, true),
    (33, 2, 5, 2, true),
    (2, 140, 33, 1, true),
    (2, 66, 264, 2, true),
    (2, 67, 1152, 2, true),
];

/// Inputs in the formats of `A`.
struct Problem {
    shape: Shape,
    has_classes: bool,
    labels: Vec<u32>,
    time: Vec<f64>,
    table: Vec<f64>,
    /// Projected patches; what leading tokens hold is not read.
    patches: Vec<f64>,
    bias: Vec<f64>,
    position: Vec<f64>,
    grad_condition: Vec<f64>,
    grad_tokens: Vec<f64>,
}

/// Activations: sum, condition, tokens, gradient of time. In f32: gradients of table, position, bias.
#[derive(PartialEq)]
struct Results {
    acts: [Vec<f64>; 4],
    wide: [Vec<f64>; 3],
}

const ACTS: [&str; 4] = ["sum", "condition", "tokens", "gradient of time"];
const WIDE: [&str; 3] = ["table", "position", "bias"];

impl Problem {
    fn new<A: TestActivation>(shape: Shape, has_classes: bool) -> Self {
        let Shape { batch, seq_len, width, extra } = shape;
        let act = |seed, len| rounded::<A>(&around(seed, len, 0.1, 1.0));
        let mut patches = act(3, batch * seq_len * width);
        for image in patches.chunks_mut(seq_len * width) {
            image[..extra * width].fill(f64::NAN);
        }
        Self {
            shape,
            has_classes,
            // Some classes often, the fourth never.
            labels: (0..batch).map(|b| [2, 0, 2, 4, 1][b * b % 7 % 5]).collect(),
            time: act(1, batch * width),
            table: around(2, CLASSES * width, 0.0, 1.0),
            patches,
            bias: around(4, width, 0.0, 1.0),
            position: around(5, seq_len * width, 0.0, 1.0),
            grad_condition: act(6, batch * width),
            grad_tokens: act(7, batch * seq_len * width),
        }
    }

    /// Values, and gradients given the sum that a value pass wrote, in f64.
    fn reference(&self, sum: &[f64]) -> Results {
        let (shape, nothing) = (self.shape, vec![0.0; self.time.len()]);
        let labels = self.has_classes.then_some(&self.labels[..]);
        let classes = labels.map(|labels| Classes { table: &self.table[..], labels });
        let mut acts =
            [nothing.clone(), nothing, self.patches.clone(), self.grad_condition.clone()];
        let mut wide = [&self.table, &self.position, &self.bias].map(|x| vec![0.0; x.len()]);
        let [new_sum, condition, tokens, grad_time] = &mut acts;
        let [table, position, bias] = &mut wide;
        let args = Condition::<f64> { shape, time: &self.time, classes };
        reference::condition(&args, ConditionOutput { sum: new_sum, condition }).expect("fits");
        let args = Tokens::<f64> {
            shape,
            bias: &self.bias,
            position: &self.position,
            time: &self.time,
            classes,
        };
        reference::tokens(&args, tokens).expect("fits");
        let args = ConditionBackward::<f64> { shape, sum, grad_tokens: &self.grad_tokens, labels };
        let table = self.has_classes.then_some(&mut table[..]);
        reference::condition_backward(&args, ConditionGrads { condition: grad_time, table })
            .expect("fits");
        reference::tokens_backward(&shape, &self.grad_tokens, TokensGrads { position, bias })
            .expect("fits");
        Results { acts, wide }
    }

    fn on<A: TestActivation, D: TestDriver>(&self, lab: &Lab<A, D>, margin: usize) -> Results {
        let (shape, d) = (self.shape, &lab.device);
        let act = |x: &[f64]| Framed::<A, D>::row(lab, x, margin);
        let wide = |x: &[f64]| Framed::<f32, D>::row(lab, x, margin);
        let labels: DeviceBuffer<u32, D> = lab.put(&self.labels);
        let (time, mut tokens) = (act(&self.time), act(&self.patches));
        let [table, bias, position] = [&self.table, &self.bias, &self.position].map(|x| wide(x));
        let labels = self.has_classes.then(|| labels.view());
        let classes = labels.map(|labels| Classes { table: table.view(), labels });
        let [mut sum, mut condition] =
            [(); 2].map(|()| Framed::<A, D>::empty(lab, self.time.len(), margin));
        let args = Condition::<A, f32, OnDevice<D>> { shape, time: time.view(), classes };
        let out = ConditionOutput { sum: sum.view_mut(), condition: condition.view_mut() };
        device::condition(d, &args, out).expect("condition");
        let args = Tokens::<A, f32, OnDevice<D>> {
            shape,
            bias: bias.view(),
            position: position.view(),
            time: time.view(),
            classes,
        };
        device::tokens(d, &args, tokens.view_mut()).expect("tokens");

        let grad_tokens = act(&self.grad_tokens);
        let mut grad_time = act(&self.grad_condition);
        let mut grads =
            [&self.table, &self.position, &self.bias].map(|x| wide(&vec![0.0; x.len()]));
        let [grad_table, grad_position, grad_bias] = &mut grads;
        // Twice, because gradients of parameters add up: to the double of one, in the same bits.
        for _ in 0..2 {
            grad_time = act(&self.grad_condition);
            let args = ConditionBackward::<A, OnDevice<D>> {
                shape,
                sum: sum.view(),
                grad_tokens: grad_tokens.view(),
                labels,
            };
            let table = self.has_classes.then(|| grad_table.view_mut());
            let grads = ConditionGrads { condition: grad_time.view_mut(), table };
            device::condition_backward(d, &args, grads).expect("condition_backward");
            let (position, bias) = (grad_position.view_mut(), grad_bias.view_mut());
            device::tokens_backward(d, &shape, grad_tokens.view(), TokensGrads { position, bias })
                .expect("tokens_backward");
        }
        Results {
            acts: [sum, condition, tokens, grad_time].map(|x| x.get(lab)),
            wide: grads.map(|x| x.get(lab).iter().map(|x| 0.5 * x).collect()),
        }
    }
}

fn values_and_gradients<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for (batch, seq_len, width, extra, has_classes) in SHAPES {
        let shape = Shape { batch, seq_len, width, extra };
        if batch * seq_len * width > D::MOST_ELEMENTS {
            continue;
        }
        let what = format!("{:?} {shape:?}", A::FORMAT);
        let problem = Problem::new::<A>(shape, has_classes);
        let [got, odd] =
            [WHOLE, ODD].map(|margin| lab.in_every_schedule(&what, || problem.on(lab, margin)));
        assert!(got == odd, "{what}: other bits where elements move one by one");
        let want = problem.reference(&got.acts[0]);
        for (i, (got, want)) in got.acts.iter().zip(&want.acts).enumerate() {
            let bar = if i == 3 { GRADIENTS } else { VALUES };
            assert_act::<A>(&format!("{what}: {}", ACTS[i]), got, want, bar);
        }
        for (i, (got, want)) in got.wide.iter().zip(&want.wide).enumerate() {
            assert_wide(&format!("{what}: gradient of {}", WIDE[i]), got, want, GRADIENTS);
        }
    }
}

fn phases<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let timesteps =
        [0.0, 1.0, 0.37, 999.0, -17.25, 500.5, 123_456.789, 1e9, -1e9, (1 << 30) as f64];
    for width in [1, 2, 8, 9, 33, 130, 515] {
        let what = format!("{:?} phases of width {width}", A::FORMAT);
        let mut want = vec![0.0; timesteps.len() * width];
        reference::timestep_phases(&timesteps, &mut want).expect("whole rows");
        let got = lab.in_every_schedule(&what, || {
            let mut out = lab.empty(want.len());
            device::timestep_phases(&lab.device, &timesteps, out.view_mut()).expect("phases");
            lab.get_act(&out)
        });
        // Of a far timestep the definition's own phase is off by as much.
        assert_act::<A>(&what, &got, &want, VALUES);
        for (got, want) in got.chunks(width).zip(want.chunks(width)).take(6) {
            assert_act::<A>(&what, got, want, 2e-7);
        }
    }
}

fn nothing_and_what_does_not_fit<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let mut out = lab.empty(0);
    device::timestep_phases(&lab.device, &[], out.view_mut()).expect("nothing");
    let mut out = lab.empty(4);
    for beyond in [2e9, -2e9, f64::NAN, f64::INFINITY] {
        let refused = device::timestep_phases(&lab.device, &[beyond], out.view_mut());
        let what = "size of a timestep";
        assert!(
            matches!(refused, Err(KernelError::Unsupported { what: w, .. }) if w == what),
            "{beyond}: {refused:?}"
        );
    }
    let none = lab.act(&[]);
    let [mut position, mut bias] = [2, 1].map(|rows| lab.wide(&vec![7.0; 3 * rows]));
    let grads = TokensGrads { position: position.view_mut(), bias: bias.view_mut() };
    let shape = Shape { batch: 0, seq_len: 2, width: 3, extra: 1 };
    device::tokens_backward(&lab.device, &shape, none.view(), grads).expect("no images");
    assert_eq!((lab.get_wide(&position), lab.get_wide(&bias)), (vec![7.0; 6], vec![7.0; 3]));
    let shape = Shape { batch: 1, seq_len: 2, width: 2, extra: 0 };
    let two = lab.act(&[0.5; 2]);
    let args = Condition::<A, f32, OnDevice<D>> { shape, time: two.view(), classes: None };
    let (mut sum, mut condition) = (lab.empty(2), lab.empty(3));
    let out = ConditionOutput { sum: sum.view_mut(), condition: condition.view_mut() };
    let refused = device::condition(&lab.device, &args, out);
    assert!(
        matches!(refused, Err(KernelError::Length { operand: "condition", got: 3, .. })),
        "{refused:?}"
    );
}

on_every_device!(values_and_gradients, phases, nothing_and_what_does_not_fit);
