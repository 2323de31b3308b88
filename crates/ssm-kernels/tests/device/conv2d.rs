//! Convolution: all kinds of layers, whole and in strips, of parts of wider pixels.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{
    Lab, TestActivation, TestDriver, VALUES, around, assert_act, on_every_device, rounded,
};
use ssm_kernels::conv2d::cases::CASES;
use ssm_kernels::conv2d::device::{Weights, forward, forward_in_strips};
use ssm_kernels::conv2d::{Activation, Args, Kernel, Shape, reference};
use ssm_kernels::{ImageBackend, KernelError, Mat, MatMut, Storage};

/// Working memory: for all at once, for a few rows, for less than one.
const STRIPS: [usize; 3] = [1 << 30, 20_000, 1];

struct Problem {
    kernel: Kernel,
    shape: Shape,
    x: Vec<f64>,
    weight: Vec<f32>,
    bias: Vec<f64>,
    add: Option<Vec<f64>>,
    activation: Activation,
    out_pixels: usize,
}

impl Problem {
    fn new<A: TestActivation>(
        kernel: Kernel,
        shape: Shape,
        with_add: bool,
        activation: Activation,
    ) -> Self {
        let (rows, columns) = kernel.out_size(shape.height, shape.width).expect("an output");
        let out_pixels = shape.batch * rows * columns;
        let (x_len, out_len) = (pixels(&shape) * kernel.inputs, out_pixels * kernel.outputs);
        let weight = around(2, kernel.weight_len(), 0.1, 1.0);
        Self {
            kernel,
            shape,
            x: rounded::<A>(&around(1, x_len, 0.2, 1.0)),
            // Not rounded, which is left to the layer.
            weight: weight.iter().map(|&w| w as f32).collect(),
            bias: around(3, kernel.outputs, 0.0, 5.0),
            add: with_add.then(|| rounded::<A>(&around(4, out_len, 0.0, 5.0))),
            activation,
            out_pixels,
        }
    }

    fn out_len(&self) -> usize {
        self.out_pixels * self.kernel.outputs
    }

    fn reference<A: TestActivation>(&self) -> Vec<f64> {
        let weight: Vec<f64> = self.weight.iter().map(|&w| f64::from(w)).collect();
        let weights = reference::Weights::new(&self.kernel, &rounded::<A>(&weight));
        let args = Args {
            shape: self.shape,
            x: Mat::new(&self.x, pixels(&self.shape), self.kernel.inputs),
            weights: &weights.expect("a weight"),
            bias: &self.bias[..],
            add: self.add.as_deref(),
            activation: self.activation,
        };
        let mut out = vec![f64::NAN; self.out_len()];
        let to = MatMut::new(&mut out, self.out_pixels, self.kernel.outputs);
        reference::forward(&args, to).expect("fitting operands");
        out
    }

    /// With so many elements that nobody may use before and behind every pixel.
    fn on<A: TestActivation, D: TestDriver>(
        &self,
        lab: &Lab<A, D>,
        strip: usize,
        margins: [usize; 2],
    ) -> Vec<f64> {
        let x = Framed::<A, D>::between(lab, &self.x, pixels(&self.shape), margins);
        let [before, _] = margins;
        let add = self.add.as_deref().map(|add| Framed::<A, D>::row(lab, add, before));
        let bias = Framed::<f32, D>::row(lab, &self.bias, before);
        let weights = Weights::new(&lab.device, &self.kernel, &self.weight).expect("a weight");
        let nothing = vec![f64::NAN; self.out_len()];
        let mut out = Framed::<A, D>::between(lab, &nothing, self.out_pixels, margins);
        let args = Args {
            shape: self.shape,
            x: x.mat(),
            weights: &weights,
            bias: bias.view(),
            add: add.as_ref().map(Framed::view),
            activation: self.activation,
        };
        forward_in_strips(&lab.device, strip, &args, out.mat_mut()).expect("a convolution");
        out.get(lab)
    }
}

fn pixels(shape: &Shape) -> usize {
    shape.batch * shape.height * shape.width
}

fn values<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for (case, (kernel, shape)) in CASES.into_iter().enumerate() {
        // Both activations with a residual and without, in turn.
        let activations = match case % 2 {
            0 => [Activation::None, Activation::Relu],
            _ => [Activation::Relu, Activation::None],
        };
        for (with_add, activation) in [false, true].into_iter().zip(activations) {
            let problem = Problem::new::<A>(kernel, shape, with_add, activation);
            let patches = problem.out_pixels * kernel.weight_len() / kernel.outputs;
            if patches.max(problem.out_len()) > 5 * D::MOST_ELEMENTS {
                continue;
            }
            let want = problem.reference::<A>();
            // Operands at any address, and strips of any size, with a residual and without.
            let layouts = if with_add { [ODD, WHOLE, 0] } else { [0, ODD, WHOLE] };
            for (strip, margin) in STRIPS.into_iter().zip(layouts) {
                let what = format!(
                    "{:?} {kernel:?} {shape:?} add {with_add} {activation:?} strip {strip} margin \
                     {margin}",
                    A::FORMAT
                );
                let got = lab.in_every_schedule(&what, || problem.on(lab, strip, [margin; 2]));
                assert_act::<A>(&what, &got, &want, VALUES);
            }
        }
    }
}

/// Pixels that begin like vectors, and of which the second does not.
fn pixels_that_are_no_whole_vectors<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let shape = Shape { batch: 3, height: 4, width: 5 };
    for side in [1, 3] {
        let kernel = Kernel::same(16, 24, side);
        let problem = Problem::new::<A>(kernel, shape, true, Activation::Relu);
        let want = problem.reference::<A>();
        let what = format!("{:?} {side} x {side}", A::FORMAT);
        assert_act::<A>(&what, &problem.on(lab, STRIPS[0], [0, ODD]), &want, VALUES);
    }
}

/// Behind the taps of a pixel there are zeros, not numbers of the image that weights of zero would hide.
fn pixels_beyond_the_kernel_do_not_matter<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let kernel = Kernel::same(3, 1, 3);
    let shape = Shape { batch: 1, height: 7, width: 7 };
    let mut problem = Problem::new::<A>(kernel, shape, false, Activation::None);
    // The pixel in the middle.
    problem.x[3 * (3 * 7 + 3)] = f64::INFINITY;
    let got = problem.on(lab, STRIPS[0], [0; 2]);
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
    let args = Args {
        shape: Shape { batch: 1, height: 1, width: 1 },
        x: x.mat(1, 2),
        weights: &weights,
        bias: bias.view(),
        add: None,
        activation: Activation::None,
    };
    let mut out = lab.empty(1);
    lab.device.conv2d(&args, out.mat_mut(1, 1), &mut ()).expect("a convolution");
    assert_eq!(lab.get_act(&out), [1.0 / 256.0]);
}

/// A sum that is not a number is seen behind the activation too.
fn not_a_number_stays<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let shape = Shape { batch: 1, height: 1, width: 1 };
    let mut problem = Problem::new::<A>(Kernel::same(2, 3, 1), shape, false, Activation::Relu);
    (problem.x, problem.weight) = (vec![1.0, 2.0], vec![1.0; 6]);
    problem.bias = vec![f64::NAN, -3.5, -2.5];
    let [lost, negative, positive] = problem.on(lab, STRIPS[0], [0; 2])[..] else {
        panic!("three")
    };
    assert!(lost.is_nan(), "{lost}");
    assert_eq!([negative, positive], [0.0, 0.5]);
}

fn call<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    batch: usize,
    [x_pixels, biases, out_pixels]: [usize; 3],
) -> Result<(), KernelError> {
    let kernel = Kernel::same(3, 2, 3);
    let weights = Weights::new(&lab.device, &kernel, &[1.0; 54])?;
    let (x, bias) = (lab.act(&vec![1.0; x_pixels * 3]), lab.wide(&vec![1.0; biases]));
    let mut out = lab.act(&vec![1.0; out_pixels * 2]);
    let args = Args {
        shape: Shape { batch, height: 4, width: 5 },
        x: x.mat(x_pixels, 3),
        weights: &weights,
        bias: bias.view(),
        add: None,
        activation: Activation::None,
    };
    forward(&lab.device, &args, out.mat_mut(out_pixels, 2))
}

fn nothing_and_what_does_not_fit<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    assert_eq!(call(lab, 0, [0, 2, 0]), Ok(()));
    assert_eq!(call(lab, 1, [20, 2, 20]), Ok(()));
    for (sizes, named) in [([19, 2, 20], "x"), ([20, 1, 20], "bias"), ([20, 2, 19], "out")] {
        let refused = call(lab, 1, sizes);
        assert!(
            matches!(
                refused,
                Err(KernelError::Length { operand, .. } | KernelError::Matrix { operand, .. })
                    if operand == named
            ),
            "{refused:?}"
        );
    }
    let refused = Weights::new(&lab.device, &Kernel::same(3, 2, 3), &[1.0; 53]);
    assert!(matches!(refused, Err(KernelError::Length { operand: "weight", .. })), "{refused:?}");
}

on_every_device!(
    values,
    pixels_that_are_no_whole_vectors,
    pixels_beyond_the_kernel_do_not_matter,
    results_are_rounded_once,
    not_a_number_stays,
    nothing_and_what_does_not_fit
);
