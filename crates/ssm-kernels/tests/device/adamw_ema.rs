//! The optimiser step, its clipping on the device, and the sum of squares that this reads.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{
    Lab, TestActivation, TestDriver, VALUES, around, assert_wide, on_every_device, rounded,
};
use ssm_kernels::adamw_ema::device::{Clip, step, step_clipped};
use ssm_kernels::adamw_ema::{Arenas, Average, Hyper, reference};
use ssm_kernels::device::{Format, OnDevice};
use ssm_kernels::sum_squares::device::sum_squares;
use ssm_kernels::{Backend, KernelError, Storage};
use std::ops::Range;

/// Blocks update tiles of 4096 elements.
const LENS: [usize; 6] = [1, 6, 4095, 4096, 4101, 13_000];
const DECAYS: [f64; 4] = [0.9999, 0.9, 0.0, 1.0];

/// Arenas in f32, and how they are updated.
struct Problem {
    /// Parameters, gradients, both moments.
    arenas: [Vec<f64>; 4],
    averages: Vec<Vec<f64>>,
    no_decay: Vec<Range<usize>>,
    grad_factor: f64,
}

/// Parameters, both moments, the copy, then the averages.
type Results = Vec<Vec<f64>>;

impl Problem {
    fn new(len: usize, averages: usize) -> Self {
        let v = around(4, len, 0.02, 0.02);
        let ranges = [0..1, 3..3, 5..130, 4090..4099, 4099..4100, 9000..12_990];
        Self {
            arenas: [
                around(1, len, 0.0, 1.0),
                around(2, len, 0.0, 0.5),
                around(3, len, 0.0, 0.1),
                v,
            ],
            averages: (0..averages).map(|i| around(10 + i as u64, len, 0.0, 1.0)).collect(),
            no_decay: ranges.into_iter().filter(|range| range.end <= len).collect(),
            grad_factor: 0.75,
        }
    }

    /// Large rates, so that a change is of the size of a parameter.
    fn hyper(&self, grad_factor: f64) -> Hyper<'_> {
        Hyper {
            lr: 0.3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.5,
            step: 7,
            grad_factor,
            no_decay: &self.no_decay,
        }
    }

    fn reference(&self, grad_factor: f64) -> Results {
        let [mut params, grads, mut m, mut v] = self.arenas.clone();
        let mut averages = self.averages.clone();
        let mut views: Vec<Average<'_, f64>> = averages
            .iter_mut()
            .zip(DECAYS)
            .map(|(values, decay)| Average { decay, values: &mut values[..] })
            .collect();
        let arenas = Arenas::<f64> {
            params: &mut params,
            grads: &grads,
            m: &mut m,
            v: &mut v,
            averages: &mut views,
            compute_copy: None,
        };
        reference::step(&self.hyper(grad_factor), arenas).expect("fitting arenas");
        [params.clone(), m, v, params].into_iter().chain(averages).collect()
    }

    /// What `update` makes of the arenas.
    fn on<A: TestActivation, D: TestDriver>(
        &self,
        lab: &Lab<A, D>,
        margin: usize,
        update: impl FnOnce(&Hyper<'_>, Arenas<'_, f32, A, OnDevice<D>>),
    ) -> Results {
        let [mut params, grads, mut m, mut v] =
            self.arenas.each_ref().map(|x| Framed::<f32, D>::row(lab, x, margin));
        let mut averages: Vec<_> =
            self.averages.iter().map(|x| Framed::<f32, D>::row(lab, x, margin)).collect();
        let mut copy = Framed::<A, D>::empty(lab, self.arenas[0].len(), margin);
        let mut views: Vec<Average<'_, f32, OnDevice<D>>> = averages
            .iter_mut()
            .zip(DECAYS)
            .map(|(values, decay)| Average { decay, values: values.view_mut() })
            .collect();
        let arenas = Arenas {
            params: params.view_mut(),
            grads: grads.view(),
            m: m.view_mut(),
            v: v.view_mut(),
            averages: &mut views,
            compute_copy: Some(copy.view_mut()),
        };
        update(&self.hyper(self.grad_factor), arenas);
        let arenas = [params, m, v].map(|x| x.get(lab));
        let averages = averages.iter().map(|x| x.get(lab));
        arenas.into_iter().chain([copy.get(lab)]).chain(averages).collect()
    }

    /// Gradients as they are, or clipped to `most` with what the device finds; the second is
    /// whether the step was skipped.
    fn clipped<A: TestActivation, D: TestDriver>(
        &self,
        lab: &Lab<A, D>,
        most: f64,
        not_finite: Option<u32>,
    ) -> (Results, u32) {
        let flag = not_finite.map(|flag| lab.put(&[flag]));
        let (mut sum, mut skipped) = (lab.empty(1), lab.empty(1));
        let results = self.on(lab, WHOLE, |hyper, arenas| {
            sum_squares(&lab.device, arenas.grads, sum.view_mut()).expect("sum of squares");
            let clip = Clip {
                sum_squares: sum.view(),
                most,
                not_finite: flag.as_ref().map(|flag| flag.view()),
                skipped: skipped.view_mut(),
            };
            step_clipped(&lab.device, hyper, clip, arenas).expect("a step");
        });
        (results, lab.get(&skipped)[0])
    }
}

fn assert_updated<A: TestActivation>(what: &str, got: &Results, want: &Results) {
    for (i, (got, want)) in got.iter().zip(want).enumerate().filter(|(i, _)| *i != 3) {
        let name = ["parameters", "m", "v", "copy"].get(i).copied().unwrap_or("average");
        assert_wide(&format!("{what}: {name}"), got, want, VALUES);
    }
    assert!(got[3] == rounded::<A>(&got[0]), "{what}: the copy");
}

fn steps<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for len in LENS {
        for (averages, margin) in [(0, 0), (1, ODD), (4, WHOLE), (2, ODD)] {
            let problem = Problem::new(len, averages);
            let what = format!("{:?} {len}, {averages} averages, margin {margin}", A::FORMAT);
            let got = lab.in_every_schedule(&what, || {
                problem.on(lab, margin, |hyper, arenas| {
                    step(&lab.device, hyper, arenas).expect("a step");
                })
            });
            assert_updated::<A>(&what, &got, &problem.reference(problem.grad_factor));
        }
    }
}

fn clipping<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let problem = Problem::new(5000, 2);
    let norm = problem.arenas[1].iter().map(|g| g * g).sum::<f64>().sqrt() * problem.grad_factor;
    for (part, flag) in [(0.3, None), (1.0, Some(0)), (2.0, None)] {
        let (what, most) = (format!("{:?} clipped to {part} of the norm", A::FORMAT), part * norm);
        let factor = problem.grad_factor * (most / (norm + 1e-6)).min(1.0);
        let (got, skipped) = lab.in_every_schedule(&what, || problem.clipped(lab, most, flag));
        assert_eq!(skipped, 0, "{what}");
        assert_updated::<A>(&what, &got, &problem.reference(factor));
    }
}

fn steps_that_must_not_be_made<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for (bad, flag) in [(None, Some(1)), (Some(f64::NAN), Some(0)), (Some(f64::INFINITY), None)] {
        let mut problem = Problem::new(4500, 2);
        if let Some(bad) = bad {
            problem.arenas[1][4321] = bad;
        }
        let what = format!("{:?} gradient {bad:?}, flag {flag:?}", A::FORMAT);
        let ((mut got, skipped), [params, _, m, v]) =
            (problem.clipped(lab, 1.0, flag), problem.arenas.clone());
        let copy = got.remove(3);
        assert_eq!(skipped, 1, "{what}");
        let want: Results = [params, m, v].into_iter().chain(problem.averages.clone()).collect();
        assert!(got == want, "{what}: something was updated");
        if A::FORMAT == Format::Bf16 {
            assert!(copy.iter().all(|x| x.is_nan()), "{what}: the copy was written");
        }
    }
}

/// In f64, in an order that depends on the length alone.
fn sums_of_squares<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    // The last takes more than one trip of the grid.
    for len in [0, 6, 4099, 2_200_003] {
        if A::FORMAT == Format::Bf16 || (len > 1_000_000 && D::MOST_ELEMENTS < 100_000) {
            continue;
        }
        let x = around(5, len, 0.2, 1.0);
        let want: f64 = x.iter().map(|x| x * x).sum();
        let [first, odd] = [WHOLE, ODD].map(|margin| {
            let x = Framed::<f32, D>::row(lab, &x, margin);
            lab.in_every_schedule(&format!("{len}"), || {
                let mut sum = lab.empty(1);
                sum_squares(&lab.device, x.view(), sum.view_mut()).expect("a sum");
                lab.get(&sum)[0]
            })
        });
        assert!(first == odd, "{len}: {first} at one address, {odd} at another");
        assert!((first - want).abs() <= 1e-12 * want, "{len}: {first}, expected {want}");
    }
}

fn nothing_and_what_does_not_fit<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    Problem::new(0, 1).on(lab, 0, |hyper, arenas| {
        step(&lab.device, hyper, arenas).expect("nothing");
    });
    Problem::new(5, 1).on(lab, 0, |hyper, mut arenas| {
        arenas.grads = ssm_kernels::View::part(arenas.grads, 0..4);
        let refused = lab.device.adamw_ema(hyper, arenas);
        assert!(matches!(refused, Err(KernelError::Length { operand: "grads", .. })));
    });
    let mut more = [(); 5].map(|()| lab.wide(&[1.0]));
    let problem = Problem::new(1, 0);
    problem.on(lab, 0, |hyper, arenas| {
        let mut averages: Vec<Average<'_, f32, OnDevice<D>>> =
            more.iter_mut().map(|x| Average { decay: 0.5, values: x.view_mut() }).collect();
        let refused = step(&lab.device, hyper, Arenas { averages: &mut averages, ..arenas });
        let what = "number of averages";
        assert!(
            matches!(refused, Err(KernelError::Unsupported { what: w, got: 5, .. }) if w == what)
        );
    });
}

on_every_device!(
    steps,
    clipping,
    steps_that_must_not_be_made,
    sums_of_squares,
    nothing_and_what_does_not_fit,
);
