//! The steps between the fused operators.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{
    GRADIENTS, Lab, TestActivation, TestDriver, VALUES, around, assert_act, assert_wide,
    on_every_device, rounded,
};
use ssm_kernels::device::OnDevice;
use ssm_kernels::elementwise::{DropPath, ResidualAdd, device, reference};
use ssm_kernels::{KernelError, Mat, Storage};

/// Blocks take tiles of 2048 elements.
const LENS: [usize; 7] = [1, 7, 8, 2047, 2048, 2051, 6144];
/// Images and elements of one.
const IMAGES: [[usize; 2]; 6] = [[1, 5], [3, 7], [2, 8], [4, 2048], [2, 2051], [3, 4100]];
/// Rows and columns: parts have 128 rows or more, blocks 128 columns.
const MATRICES: [[usize; 2]; 10] = [
    [1, 1],
    [3, 5],
    [7, 8],
    [128, 9],
    [129, 130],
    [300, 64],
    [300, 33],
    [20, 256],
    [1000, 17],
    [33_000, 5],
];

const MARGINS: [usize; 3] = [0, WHOLE, ODD];

/// Runs `on` with every margin in every schedule, and gives what all agree on to `check`.
fn everywhere<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    what: &str,
    on: impl Fn(usize) -> Vec<Vec<f64>>,
) -> Vec<Vec<f64>> {
    let [first, rest @ ..] = MARGINS.map(|margin| lab.in_every_schedule(what, || on(margin)));
    for (other, margin) in rest.iter().zip(&MARGINS[1..]) {
        assert!(*other == first, "{what}: other bits with margin {margin}");
    }
    first
}

fn rows<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for [count, columns] in MATRICES {
        if count * columns > D::MOST_ELEMENTS {
            continue;
        }
        let what = format!("{:?} {count}x{columns}", A::FORMAT);
        let row = around(1, columns, 0.0, 1.0);
        let x = rounded::<A>(&around(2, count * columns, 0.3, 1.0));
        let got = everywhere(lab, &what, |margin| {
            let from = Framed::<f32, D>::row(lab, &row, margin);
            let mut filled = Framed::<A, D>::empty(lab, x.len(), margin);
            device::fill_rows(&lab.device, from.view(), filled.view_mut()).expect("fill_rows");
            let x = Framed::<A, D>::of(lab, &x, count, margin);
            let mut sums = Framed::<f32, D>::row(lab, &vec![0.0; columns], margin);
            // Twice, because sums are added: to the double of one, in the same bits.
            for _ in 0..2 {
                device::add_column_sums(&lab.device, x.mat(), sums.view_mut()).expect("sums");
            }
            let sums = sums.get(lab).iter().map(|x| 0.5 * x).collect();
            vec![filled.get(lab), sums]
        });
        let mut want = vec![0.0; columns];
        reference::add_column_sums(Mat::new(&x, count, columns), &mut want).expect("a matrix");
        assert!(got[0] == rounded::<A>(&row).repeat(count), "{what}: rows");
        assert_wide(&format!("{what}: sums"), &got[1], &want, GRADIENTS);
    }
}

fn flat<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for len in LENS {
        let what = format!("{:?} {len}", A::FORMAT);
        let [a, b] = [1, 2].map(|seed| rounded::<A>(&around(seed, len, 0.0, 6.0)));
        let residual = around(3, len, 0.0, 2.0);
        let got = everywhere(lab, &what, |margin| {
            let act = |x: &[f64]| Framed::<A, D>::row(lab, x, margin);
            let wide = |x: &[f64]| Framed::<f32, D>::row(lab, x, margin);
            let nothing = vec![f64::NAN; len];
            let (x, y, d) = (act(&a), act(&b), &lab.device);
            let [mut sum, mut silu, mut narrow] = [(); 3].map(|()| act(&nothing));
            let [mut assigned, mut grad] = [&a, &b].map(|x| act(x));
            let (mut stream, mut widened) = (wide(&residual), wide(&nothing));
            device::add(d, x.view(), y.view(), sum.view_mut()).expect("add");
            device::add_assign(d, assigned.view_mut(), y.view()).expect("add_assign");
            device::silu(d, x.view(), silu.view_mut()).expect("silu");
            device::silu_backward(d, x.view(), grad.view_mut()).expect("silu_backward");
            device::add_to_residual(d, stream.view_mut(), x.view()).expect("add_to_residual");
            device::widen(d, x.view(), widened.view_mut()).expect("widen");
            device::narrow(d, wide(&residual).view(), narrow.view_mut()).expect("narrow");
            let acts = [sum, assigned, silu, grad, narrow].map(|x| x.get(lab));
            acts.into_iter().chain([stream.get(lab), widened.get(lab)]).collect()
        });
        let mut want = [(); 4].map(|()| vec![0.0; len]);
        let [sum, silu, grad, stream] = &mut want;
        grad.copy_from_slice(&b);
        stream.copy_from_slice(&residual);
        reference::add(&a, &b, sum).expect("fitting operands");
        reference::silu(&a, silu).expect("fitting operands");
        reference::silu_backward(&a, grad).expect("fitting operands");
        reference::add_to_residual(stream, &a).expect("fitting operands");
        assert_act::<A>(&format!("{what}: add"), &got[0], sum, VALUES);
        assert!(got[1] == got[0], "{what}: add_assign");
        assert_act::<A>(&format!("{what}: silu"), &got[2], silu, VALUES);
        assert_act::<A>(&format!("{what}: silu_backward"), &got[3], grad, GRADIENTS);
        assert!(got[4] == rounded::<A>(&residual), "{what}: narrow");
        assert_wide(&format!("{what}: add_to_residual"), &got[5], stream, VALUES);
        assert!(got[6] == a, "{what}: widen");
    }
}

fn by_image<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for [batch, image_len] in IMAGES {
        let len = batch * image_len;
        let hidden = rounded::<A>(&around(1, len, 0.0, 1.0));
        let residual = around(2, len, 0.0, 2.0);
        let factors: Vec<f64> = (0..batch).map(|b| [1.25, 0.0, 1.5][b % 3]).collect();
        for (has_residual, has_factors) in
            [(true, true), (true, false), (false, true), (false, false)]
        {
            let what = format!("{:?} {batch}x{image_len} {has_residual} {has_factors}", A::FORMAT);
            let got = everywhere(lab, &what, |margin| {
                let wide = |x: &[f64]| Framed::<f32, D>::row(lab, x, margin);
                let [stream, factors] = [&residual, &factors].map(|x| wide(x));
                let act = Framed::<A, D>::row(lab, &hidden, margin);
                let drop_path = has_factors.then(|| factors.view());
                let mut sum = Framed::<f32, D>::empty(lab, len, margin);
                let mut dropped = Framed::<A, D>::empty(lab, len, margin);
                let args = ResidualAdd::<A, f32, OnDevice<D>> {
                    batch,
                    hidden: act.view(),
                    residual: has_residual.then(|| stream.view()),
                    drop_path,
                };
                device::residual_add(&lab.device, &args, sum.view_mut()).expect("residual_add");
                let args = DropPath::<f32, OnDevice<D>> { batch, x: stream.view(), drop_path };
                device::apply_drop_path(&lab.device, &args, dropped.view_mut()).expect("drop");
                vec![sum.get(lab), dropped.get(lab)]
            });
            let mut want = [(); 2].map(|()| vec![0.0; len]);
            let drop_path = has_factors.then_some(&factors[..]);
            let stream = has_residual.then_some(&residual[..]);
            let args = ResidualAdd::<f64> { batch, hidden: &hidden, residual: stream, drop_path };
            reference::residual_add(&args, &mut want[0]).expect("fitting operands");
            let args = DropPath::<f64> { batch, x: &residual, drop_path };
            reference::apply_drop_path(&args, &mut want[1]).expect("fitting operands");
            assert_wide(&format!("{what}: residual_add"), &got[0], &want[0], VALUES);
            assert_act::<A>(&format!("{what}: drop_path"), &got[1], &want[1], VALUES);
        }
    }
}

fn nothing_and_what_does_not_fit<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let (none, two) = (lab.act(&[]), lab.act(&[1.0; 2]));
    let mut out = lab.empty(0);
    device::add(&lab.device, none.view(), none.view(), out.view_mut()).expect("nothing");
    device::silu(&lab.device, none.view(), out.view_mut()).expect("nothing");
    let mut sums = lab.wide(&[7.0; 3]);
    device::add_column_sums(&lab.device, none.mat(0, 3), sums.view_mut()).expect("no rows");
    assert_eq!(lab.get_wide(&sums), [7.0; 3]);
    let refused = device::add(&lab.device, two.view(), none.view(), out.view_mut());
    assert!(matches!(refused, Err(KernelError::Length { operand: "b", .. })), "{refused:?}");
    let refused = device::add_column_sums(&lab.device, two.mat(1, 2).t(), sums.view_mut());
    assert!(
        matches!(refused, Err(KernelError::Unsupported { what: "column stride of x", .. })),
        "{refused:?}"
    );
}

on_every_device!(rows, flat, by_image, nothing_and_what_does_not_fit);
