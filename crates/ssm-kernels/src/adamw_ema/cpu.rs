//! The fast f32 form: one pass over memory.
//!
//! Every factor is computed once in f64. Decays enter as what they leave: `m + (1 - beta1)(g - m)`,
//! since `1 - beta` has all its digits in f32 where `beta` near 1 has not.
#![allow(
    unsafe_code,
    reason = "tasks write parts of several arenas, how many is known at run time"
)]

use super::{Arenas, Hyper, check};
use crate::disjoint::Disjoint;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{InstructionSet, KernelError};
use rayon::prelude::*;
use std::ops::Range;

/// Elements of one task.
const TASK: usize = 65_536;

/// Elements of one pass over the parameters, which still lie in L1 when the averages read them.
const PASS: usize = 2048;

/// One update of every arena; see [`reference::step`](super::reference::step).
///
/// # Errors
/// [`KernelError`] when an operand does not fit the others.
pub fn step(hyper: &Hyper<'_>, arenas: Arenas<'_, f32>) -> Result<(), KernelError> {
    step_on(InstructionSet::current(), hyper, arenas)
}

/// [`step`] with the vectors of `set`.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the others.
pub fn step_on(
    set: InstructionSet,
    hyper: &Hyper<'_>,
    arenas: Arenas<'_, f32>,
) -> Result<(), KernelError> {
    check(hyper, &arenas)?;
    let len = arenas.params.len();
    let factors = Factors::new(hyper);
    let averages: Vec<(f32, Disjoint<'_, f32>)> = arenas
        .averages
        .iter_mut()
        .map(|average| ((1.0 - average.decay) as f32, Disjoint::new(average.values)))
        .collect();
    let shared = Shared {
        factors,
        no_decay: hyper.no_decay,
        params: Disjoint::new(&mut *arenas.params),
        grads: arenas.grads,
        m: Disjoint::new(arenas.m),
        v: Disjoint::new(arenas.v),
        averages: &averages,
    };
    (0..len.div_ceil(TASK)).into_par_iter().for_each(|task| {
        let range = task * TASK..len.min((task + 1) * TASK);
        dispatch(set, Update { shared: &shared, range });
    });
    if let Some(copy) = arenas.compute_copy {
        copy.copy_from_slice(arenas.params);
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Factors {
    grad: f32,
    m_rest: f32,
    v_rest: f32,
    /// Learning rate over the bias correction of the first moment.
    rate: f32,
    /// Root of the reciprocal bias correction of the second moment.
    v_root: f32,
    eps: f32,
    /// Learning rate times weight decay.
    decay: f32,
}

impl Factors {
    fn new(hyper: &Hyper<'_>) -> Self {
        let step = hyper.step as f64;
        let correction1 = 1.0 - hyper.beta1.powf(step);
        let correction2 = 1.0 - hyper.beta2.powf(step);
        Self {
            grad: hyper.grad_factor as f32,
            m_rest: (1.0 - hyper.beta1) as f32,
            v_rest: (1.0 - hyper.beta2) as f32,
            rate: (hyper.lr / correction1) as f32,
            v_root: correction2.sqrt().recip() as f32,
            eps: hyper.eps as f32,
            decay: (hyper.lr * hyper.weight_decay) as f32,
        }
    }
}

struct Shared<'a> {
    factors: Factors,
    no_decay: &'a [Range<usize>],
    params: Disjoint<'a, f32>,
    grads: &'a [f32],
    m: Disjoint<'a, f32>,
    v: Disjoint<'a, f32>,
    averages: &'a [(f32, Disjoint<'a, f32>)],
}

struct Update<'a> {
    shared: &'a Shared<'a>,
    range: Range<usize>,
}

impl Kernel for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Shared { factors, no_decay, params, grads, m, v, averages } = *self.shared;
        let mut at = self.range.start;
        while at < self.range.end {
            let pass_end = self.range.end.min(at + PASS);
            let (decays, run_end) = run_of(no_decay, at);
            let end = pass_end.min(run_end);
            let len = end - at;
            // SAFETY: tasks own disjoint ranges, and the part dies before the next is made.
            let params = unsafe { params.part(at, len) };
            // SAFETY: as above.
            let m = unsafe { m.part(at, len) };
            // SAFETY: as above.
            let v = unsafe { v.part(at, len) };
            let decay = if decays { factors.decay } else { 0.0 };
            update(simd, &factors, decay, params, &grads[at..end], m, v);
            for (rest, average) in averages {
                // SAFETY: as above.
                let average = unsafe { average.part(at, len) };
                let rest = simd.splat(*rest);
                for (to, new) in average.chunks_mut(LANES).zip(params.chunks(LANES)) {
                    let old = simd.load_part(to);
                    let change = simd.sub(simd.load_part(new), old);
                    simd.store_part(simd.fma(rest, change, old), to);
                }
            }
            at = end;
        }
    }
}

/// Whether the element at `at` decays, and where the run of elements alike to it ends.
#[inline(always)]
fn run_of(no_decay: &[Range<usize>], at: usize) -> (bool, usize) {
    let next = no_decay.partition_point(|range| range.end <= at);
    match no_decay.get(next) {
        Some(range) if range.start <= at => (false, range.end),
        Some(range) => (true, range.start),
        None => (true, usize::MAX),
    }
}

#[inline(always)]
fn update<S: Simd>(
    simd: S,
    factors: &Factors,
    decay: f32,
    params: &mut [f32],
    grads: &[f32],
    m: &mut [f32],
    v: &mut [f32],
) {
    let grad_factor = simd.splat(factors.grad);
    let (m_rest, v_rest) = (simd.splat(factors.m_rest), simd.splat(factors.v_rest));
    let (rate, v_root) = (simd.splat(factors.rate), simd.splat(factors.v_root));
    let (eps, decay) = (simd.splat(factors.eps), simd.splat(decay));
    let moments = m.chunks_mut(LANES).zip(v.chunks_mut(LANES));
    for ((to_p, grad), (to_m, to_v)) in
        params.chunks_mut(LANES).zip(grads.chunks(LANES)).zip(moments)
    {
        let grad = simd.mul(grad_factor, simd.load_part(grad));
        let m = simd.load_part(to_m);
        let m = simd.fma(m_rest, simd.sub(grad, m), m);
        let v = simd.load_part(to_v);
        let v = simd.fma(v_rest, simd.sub(simd.mul(grad, grad), v), v);
        let p = simd.load_part(to_p);
        let root = simd.fma(simd.sqrt(v), v_root, eps);
        let change = simd.fma(decay, p, simd.div(simd.mul(rate, m), root));
        simd.store_part(m, to_m);
        simd.store_part(v, to_v);
        simd.store_part(simd.sub(p, change), to_p);
    }
}
