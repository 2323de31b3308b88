//! Softmax of rows.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{
    Lab, TestActivation, TestDriver, VALUES, around, assert_act, on_every_device, rounded,
};
use ssm_kernels::device::DeviceBuffer;
use ssm_kernels::softmax_rows::cases::SHAPES;
use ssm_kernels::softmax_rows::device::forward;
use ssm_kernels::softmax_rows::reference;
use ssm_kernels::{KernelError, MatMut, Storage};

/// Beside those of every backend: rows of attention over 128 x 128 pixels, and some that margins of three
/// make whole vectors long, which begin inside of one.
const MORE: [(usize, usize); 3] = [(2, 4097), (1, 16_384), (5, 18)];

fn want(x: &[f64], (rows, cols): (usize, usize), factor: f64) -> Vec<f64> {
    let mut want = x.to_vec();
    reference::forward(MatMut::new(&mut want, rows, cols), factor).expect("columns");
    want
}

fn on<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    x: &[f64],
    rows: usize,
    factor: f64,
    margin: usize,
) -> Vec<f64> {
    let mut framed = Framed::<A, D>::of(lab, x, rows, margin);
    forward(&lab.device, framed.mat_mut(), factor).expect("a softmax");
    framed.get(lab)
}

fn values<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for (rows, cols) in SHAPES.into_iter().chain(MORE) {
        if rows * cols > D::MOST_ELEMENTS {
            continue;
        }
        // Scores of 60 at most, which shows what is lost in exponents, and a factor that turns them around.
        let x = rounded::<A>(&around(1, rows * cols, 3.0, 120.0));
        for factor in [0.5, -0.04] {
            let want = want(&x, (rows, cols), factor);
            for margin in [0, WHOLE, ODD] {
                let what = format!("{:?} {rows}x{cols} {factor} margin {margin}", A::FORMAT);
                let got = lab.in_every_schedule(&what, || on(lab, &x, rows, factor, margin));
                assert_act::<A>(&what, &got, &want, VALUES);
            }
        }
    }
}

/// Nothing overflows: scores of 10^4, and those that are left out.
fn scores_of_any_size<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let none = f64::NEG_INFINITY;
    for x in [[10_048.0, 9856.0, 10_048.0], [-10_048.0, -9856.0, -9856.0], [none, 1.0, 1.0]] {
        let got = on(lab, &x, 1, 1.0, 0);
        let most = x.iter().fold(none, |most, x| most.max(*x));
        let half: Vec<f64> = x.iter().map(|&x| if x == most { 0.5 } else { 0.0 }).collect();
        assert_eq!(got, half, "{x:?}");
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

fn nothing_and_what_does_not_fit<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let mut none: DeviceBuffer<A, D> = lab.empty(0);
    assert_eq!(forward(&lab.device, none.mat_mut(0, 5), 1.0), Ok(()));
    let refused = forward(&lab.device, none.mat_mut(5, 0), 1.0);
    assert!(
        matches!(refused, Err(KernelError::Unsupported { what: "columns", got: 0, .. })),
        "{refused:?}"
    );
}

on_every_device!(values, scores_of_any_size, nothing_and_what_does_not_fit);
