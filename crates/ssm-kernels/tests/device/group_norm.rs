//! Group normalisation.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{
    Lab, TestActivation, TestDriver, VALUES, around, assert_act, on_every_device, rounded,
};
use ssm_kernels::group_norm::cases::SHAPES;
use ssm_kernels::group_norm::device::forward;
use ssm_kernels::group_norm::{Args, Shape, reference};
use ssm_kernels::{KernelError, Storage};

const EPS: f64 = 1e-6;

struct Problem {
    shape: Shape,
    x: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    silu: bool,
}

impl Problem {
    /// Channels have other means.
    fn new<A: TestActivation>(shape: Shape, silu: bool) -> Self {
        let Shape { batch, pixels, channels, .. } = shape;
        let offsets = around(1, channels, 0.1, 2.0);
        let x = around(2, batch * pixels * channels, 0.0, 1.0).into_iter();
        let x: Vec<f64> = x.zip(offsets.iter().cycle()).map(|(x, offset)| x + offset).collect();
        let (weight, bias) = (around(3, channels, 0.5, 1.0), around(4, channels, 0.0, 1.0));
        Self { shape, x: rounded::<A>(&x), weight, bias, silu }
    }

    fn reference(&self) -> Vec<f64> {
        let args = Args {
            shape: self.shape,
            x: &self.x[..],
            weight: &self.weight[..],
            bias: &self.bias[..],
            eps: EPS,
            silu: self.silu,
        };
        let mut out = vec![f64::NAN; self.x.len()];
        reference::forward(&args, &mut out).expect("fitting operands");
        out
    }

    fn on<A: TestActivation, D: TestDriver>(&self, lab: &Lab<A, D>, margin: usize) -> Vec<f64> {
        let x = Framed::<A, D>::row(lab, &self.x, margin);
        let [weight, bias] =
            [&self.weight, &self.bias].map(|w| Framed::<f32, D>::row(lab, w, margin));
        let mut out = Framed::<A, D>::empty(lab, self.x.len(), margin);
        let args = Args {
            shape: self.shape,
            x: x.view(),
            weight: weight.view(),
            bias: bias.view(),
            eps: EPS,
            silu: self.silu,
        };
        forward(&lab.device, &args, out.view_mut()).expect("a norm");
        out.get(lab)
    }
}

fn values<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for shape in SHAPES {
        if shape.batch * shape.pixels * shape.channels > 2 * D::MOST_ELEMENTS {
            continue;
        }
        for silu in [false, true] {
            let problem = Problem::new::<A>(shape, silu);
            let want = problem.reference();
            for margin in [0, WHOLE, ODD] {
                let what = format!("{:?} {shape:?} silu {silu} margin {margin}", A::FORMAT);
                let got = lab.in_every_schedule(&what, || problem.on(lab, margin));
                assert_act::<A>(&what, &got, &want, VALUES);
            }
        }
    }
}

/// The variance does not drown in the square of a mean that is a hundred times the deviation.
fn a_large_mean_costs_no_variance<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let shape = Shape { batch: 1, pixels: 300, channels: 12, groups: 3 };
    let mut problem = Problem::new::<A>(shape, false);
    problem.x = rounded::<A>(&around(5, problem.x.len(), 1000.0, 16.0));
    let got = lab.in_every_schedule("a large mean", || problem.on(lab, 0));
    assert_act::<A>("a large mean", &got, &problem.reference(), VALUES);
}

fn an_image_is_the_same_in_every_batch<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let shape = Shape { batch: 3, pixels: 290, channels: 20, groups: 5 };
    let all = Problem::new::<A>(shape, true);
    let image = all.x.len() / 3;
    let together = all.on(lab, 0);
    for (x, want) in all.x.chunks(image).zip(together.chunks(image)) {
        let shape = Shape { batch: 1, ..shape };
        let (weight, bias) = (all.weight.clone(), all.bias.clone());
        let alone = Problem { shape, x: x.to_vec(), weight, bias, silu: true };
        assert!(alone.on(lab, 0) == want, "{:?}: other bits alone", A::FORMAT);
    }
}

/// Exponentials and reciprocals of a GPU are off by a few bits.
#[cfg(feature = "emulated")]
#[test]
fn approximate_units_stay_within_the_bars() {
    use ssm_kernels::device::emulated::Fast;
    let driver = <Fast as TestDriver>::open().expect("the emulator is part of this build");
    driver.set_approximate(true);
    values(&Lab::<f32, _>::new(driver));
}

fn call<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    shape: Shape,
    [x, weight, out]: [usize; 3],
) -> Result<(), KernelError> {
    let x = lab.act(&vec![1.0; x]);
    let weight = lab.wide(&vec![1.0; weight]);
    let mut out = lab.act(&vec![1.0; out]);
    let (x, weight) = (x.view(), weight.view());
    let args = Args { shape, x, weight, bias: weight, eps: EPS, silu: false };
    forward(&lab.device, &args, out.view_mut())
}

fn nothing_and_what_does_not_fit<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let shape = Shape { batch: 2, pixels: 3, channels: 4, groups: 2 };
    assert_eq!(call(lab, Shape { batch: 0, ..shape }, [0, 4, 0]), Ok(()));
    assert_eq!(call(lab, shape, [24, 4, 24]), Ok(()));
    for (sizes, named) in [([23, 4, 24], "x"), ([24, 3, 24], "weight"), ([24, 4, 25], "out")] {
        let refused = call(lab, shape, sizes);
        assert!(
            matches!(refused, Err(KernelError::Length { operand, .. }) if operand == named),
            "{refused:?}"
        );
    }
    let refused = call(lab, Shape { groups: 3, ..shape }, [24, 4, 24]);
    assert!(
        matches!(refused, Err(KernelError::Unsupported { what: "channels", got: 4, .. })),
        "{refused:?}"
    );
}

on_every_device!(
    values,
    a_large_mean_costs_no_variance,
    an_image_is_the_same_in_every_batch,
    nothing_and_what_does_not_fit,
);
