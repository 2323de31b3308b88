//! Convolution: all kinds of layers, whole and in strips.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{
    Lab, TestActivation, TestDriver, VALUES, around, assert_act, on_every_device, rounded,
};
use ssm_kernels::conv2d::cases::CASES;
use ssm_kernels::conv2d::device::{Weights, forward, forward_in_strips};
use ssm_kernels::conv2d::{Args, Kernel, Shape, reference};
use ssm_kernels::{ImageBackend, KernelError, Storage};

/// Working memory: for all at once, for a few rows, for less than one.
const STRIPS: [usize; 3] = [1 << 30, 20_000, 1];

struct Problem {
    kernel: Kernel,
    shape: Shape,
    x: Vec<f64>,
    weight: Vec<f32>,
    bias: Vec<f64>,
    add: Option<Vec<f64>>,
    out_len: usize,
}

impl Problem {
    fn new<A: TestActivation>(kernel: Kernel, shape: Shape, with_add: bool) -> Self {
        let (rows, columns) = kernel.out_size(shape.height, shape.width).expect("an output");
        let out_len = shape.batch * rows * columns * kernel.outputs;
        let x_len = shape.batch * shape.height * shape.width * kernel.inputs;
        let weight = around(2, kernel.weight_len(), 0.1, 1.0);
        Self {
            kernel,
            shape,
            x: rounded::<A>(&around(1, x_len, 0.2, 1.0)),
            // Not rounded, which is left to the layer.
            weight: weight.iter().map(|&w| w as f32).collect(),
            bias: around(3, kernel.outputs, 0.0, 5.0),
            add: with_add.then(|| rounded::<A>(&around(4, out_len, 0.0, 5.0))),
            out_len,
        }
    }

    fn reference<A: TestActivation>(&self) -> Vec<f64> {
        let weight: Vec<f64> = self.weight.iter().map(|&w| f64::from(w)).collect();
        let weights = reference::Weights::new(&self.kernel, &rounded::<A>(&weight));
        let args = Args {
            shape: self.shape,
            x: &self.x[..],
            weights: &weights.expect("a weight"),
            bias: &self.bias[..],
            add: self.add.as_deref(),
        };
        let mut out = vec![f64::NAN; self.out_len];
        reference::forward(&args, &mut out).expect("fitting operands");
        out
    }

    fn on<A: TestActivation, D: TestDriver>(
        &self,
        lab: &Lab<A, D>,
        strip: usize,
        margin: usize,
    ) -> Vec<f64> {
        let act = |x: &_| Framed::<A, D>::row(lab, x, margin);
        let (x, add) = (act(&self.x), self.add.as_deref().map(act));
        let bias = Framed::<f32, D>::row(lab, &self.bias, margin);
        let weights = Weights::new(&lab.device, &self.kernel, &self.weight).expect("a weight");
        let mut out = Framed::<A, D>::empty(lab, self.out_len, margin);
        let args = Args {
            shape: self.shape,
            x: x.view(),
            weights: &weights,
            bias: bias.view(),
            add: add.as_ref().map(Framed::view),
        };
        forward_in_strips(&lab.device, strip, &args, out.view_mut()).expect("a convolution");
        out.get(lab)
    }
}

fn values<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for (kernel, shape) in CASES {
        for with_add in [false, true] {
            let problem = Problem::new::<A>(kernel, shape, with_add);
            let patches = problem.out_len / kernel.outputs * kernel.weight_len() / kernel.outputs;
            if patches.max(problem.out_len) > 5 * D::MOST_ELEMENTS {
                continue;
            }
            let want = problem.reference::<A>();
            // Operands at any address, and strips of any size, with a residual and without.
            let layouts = if with_add { [ODD, WHOLE, 0] } else { [0, ODD, WHOLE] };
            for (strip, margin) in STRIPS.into_iter().zip(layouts) {
                let what = format!(
                    "{:?} {kernel:?} {shape:?} add {with_add} strip {strip} margin {margin}",
                    A::FORMAT
                );
                let got = lab.in_every_schedule(&what, || problem.on(lab, strip, margin));
                assert_act::<A>(&what, &got, &want, VALUES);
            }
        }
    }
}

/// Behind the taps of a pixel there are zeros, not numbers of the image that weights of zero would hide.
fn pixels_beyond_the_kernel_do_not_matter<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let kernel = Kernel::same(3, 1, 3);
    let mut problem = Problem::new::<A>(kernel, Shape { batch: 1, height: 7, width: 7 }, false);
    // The pixel in the middle.
    problem.x[3 * (3 * 7 + 3)] = f64::INFINITY;
    let got = problem.on(lab, STRIPS[0], 0);
    for (pixel, out) in got.iter().enumerate() {
        let reaches = (pixel / 7).abs_diff(3) <= 1 && (pixel % 7).abs_diff(3) <= 1;
        assert_eq!(out.is_finite(), !reaches, "{:?} pixel {pixel}: {out}", A::FORMAT);
    }
}

/// A product of bf16 is not rounded before bias and residual are added to it.
fn results_are_rounded_once<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    // 1 + 2^-8 lies between two numbers of bf16, and -1 of a bias leaves its end.
    let kernel = Kernel::same(2, 1, 1);
    let weights = Weights::new(&lab.device, &kernel, &[1.0, 1.0]).expect("a weight");
    let (x, bias) = (lab.act(&[1.0, 1.0 / 256.0]), lab.wide(&[-1.0]));
    let shape = Shape { batch: 1, height: 1, width: 1 };
    let args = Args { shape, x: x.view(), weights: &weights, bias: bias.view(), add: None };
    let mut out = lab.empty(1);
    lab.device.conv2d(&args, out.view_mut(), &mut ()).expect("a convolution");
    assert_eq!(lab.get_act(&out), [1.0 / 256.0]);
}

fn call<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    batch: usize,
    [x, bias, out]: [usize; 3],
) -> Result<(), KernelError> {
    let kernel = Kernel::same(3, 2, 3);
    let weights = Weights::new(&lab.device, &kernel, &[1.0; 54])?;
    let (x, bias) = (lab.act(&vec![1.0; x]), lab.wide(&vec![1.0; bias]));
    let mut out = lab.act(&vec![1.0; out]);
    let shape = Shape { batch, height: 4, width: 5 };
    let args = Args { shape, x: x.view(), weights: &weights, bias: bias.view(), add: None };
    forward(&lab.device, &args, out.view_mut())
}

fn nothing_and_what_does_not_fit<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    assert_eq!(call(lab, 0, [0, 2, 0]), Ok(()));
    assert_eq!(call(lab, 1, [60, 2, 40]), Ok(()));
    for (sizes, named) in [([59, 2, 40], "x"), ([60, 1, 40], "bias"), ([60, 2, 39], "out")] {
        let refused = call(lab, 1, sizes);
        assert!(
            matches!(refused, Err(KernelError::Length { operand, .. }) if operand == named),
            "{refused:?}"
        );
    }
    let refused = Weights::new(&lab.device, &Kernel::same(3, 2, 3), &[1.0; 53]);
    assert!(matches!(refused, Err(KernelError::Length { operand: "weight", .. })), "{refused:?}");
}

on_every_device!(
    values,
    pixels_beyond_the_kernel_do_not_matter,
    results_are_rounded_once,
    nothing_and_what_does_not_fit
);
