//! The form for devices.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

use super::{Arenas, Average, Hyper, check};
use crate::KernelError;
use crate::device::bindings::{DIS_ADAMW_AVERAGES, DIS_ADAMW_THREADS, DIS_ADAMW_TILE, DisAdamwEma};
use crate::device::{
    Activation, Device, Driver, Format, Launch, OnDevice, Slice, SliceMut, int, walkers,
};
use crate::error::check_len;
use crate::space::{View, ViewMut};

const OP: &str = "adamw_ema";

/// Averages that one update keeps at most.
pub const MOST_AVERAGES: usize = DIS_ADAMW_AVERAGES as usize;

/// What decides on the device whether a step is made, and how far gradients are scaled down.
#[derive(Debug)]
pub struct Clip<'a, D> {
    /// `[1]`, sum of the squares of the gradients; see
    /// [`sum_squares`](crate::sum_squares::device::sum_squares).
    pub sum_squares: Slice<'a, f64, D>,
    /// Largest norm of the gradient after [`Hyper::grad_factor`].
    pub most: f64,
    /// `[1]`, not 0 where the loss is not finite; see
    /// [`flag_not_finite`](crate::device::diffusion::flag_not_finite).
    pub not_finite: Option<Slice<'a, u32, D>>,
    /// `[1]`, overwritten: 1 when the sum of squares or the loss is not finite and nothing was
    /// updated, else 0.
    pub skipped: SliceMut<'a, u32, D>,
}

/// One update of every arena; see [`reference::step`](super::reference::step).
///
/// # Errors
/// When an operand does not fit the others, or the device fails.
pub fn step<A: Activation, D: Driver>(
    device: &Device<A, D>,
    hyper: &Hyper<'_>,
    arenas: Arenas<'_, f32, A, OnDevice<D>>,
) -> Result<(), KernelError> {
    update(device, hyper, None, arenas)
}

/// [`step`] with gradients scaled down to the norm `clip.most`, or none at all when that norm or the
/// loss is not finite: with norm `n = grad_factor sqrt(sum_squares)` the factor on gradients is
/// `grad_factor min(1, most / (n + 1e-6))`. Nobody waits for the device.
///
/// # Errors
/// When an operand does not fit the others, or the device fails.
pub fn step_clipped<A: Activation, D: Driver>(
    device: &Device<A, D>,
    hyper: &Hyper<'_>,
    clip: Clip<'_, D>,
    arenas: Arenas<'_, f32, A, OnDevice<D>>,
) -> Result<(), KernelError> {
    check_len(OP, "clip.sum_squares", clip.sum_squares.len(), &[1])?;
    check_len(OP, "clip.not_finite", clip.not_finite.as_ref().map_or(1, View::len), &[1])?;
    check_len(OP, "clip.skipped", clip.skipped.len(), &[1])?;
    update(device, hyper, Some(clip), arenas)
}

fn update<A: Activation, D: Driver>(
    device: &Device<A, D>,
    hyper: &Hyper<'_>,
    clip: Option<Clip<'_, D>>,
    arenas: Arenas<'_, f32, A, OnDevice<D>>,
) -> Result<(), KernelError> {
    check(hyper, &arenas)?;
    let got = arenas.averages.len();
    if got > MOST_AVERAGES {
        let (what, supported) = ("number of averages", "up to 4 on a device");
        return Err(KernelError::Unsupported { op: OP, what, got, supported });
    }
    let len = arenas.params.len();
    if len == 0 && clip.is_none() {
        return Ok(());
    }
    let ranges: Vec<i64> =
        hyper.no_decay.iter().flat_map(|range| [range.start as i64, range.end as i64]).collect();
    let [no_decay, unread] = device.workspace([size_of_val(&ranges[..]), size_of::<u32>()])?;
    // SAFETY: working memory of just this size.
    unsafe { device.put(&ranges, no_decay) }?;

    let mut params = numbers(hyper, &*arenas.averages)?;
    params.params = arenas.params.address() as _;
    params.grads = arenas.grads.address() as _;
    params.m = arenas.m.address() as _;
    params.v = arenas.v.address() as _;
    params.no_decay = no_decay as _;
    params.len = len as i64;
    params.skipped = unread as _;
    if let Some(clip) = &clip {
        params.sum_squares = clip.sum_squares.address() as _;
        params.not_finite = clip.not_finite.as_ref().map_or(0, Slice::address) as _;
        params.skipped = clip.skipped.address() as _;
        params.clip = clip.most;
    }
    let is_bf16 = A::FORMAT == Format::Bf16;
    if let Some(copy) = arenas.compute_copy.as_ref().filter(|_| is_bf16) {
        params.compute_copy = copy.address() as _;
    }
    let launch = Launch {
        kernel: "adamw_ema",
        grid: [walkers(len, DIS_ADAMW_TILE as usize).max(1), 1, 1],
        threads: [DIS_ADAMW_THREADS, 1, 1],
        shared: 0,
    };
    // SAFETY: `check` compared the length of every arena, and that ranges are inside; what decides
    // the step is null or was checked to be one element, and so is `skipped`.
    unsafe { device.launch(launch, &params) }?;
    let Some(copy) = arenas.compute_copy.filter(|_| !is_bf16) else {
        return Ok(());
    };
    let (from, bytes) = (arenas.params.address(), len * size_of::<A>());
    // SAFETY: where activations are no bf16 they are f32 as parameters are, and `check` compared the
    // lengths; two mutable borrows do not overlap.
    unsafe { device.driver().copy(from, copy.address(), bytes) }
}

/// The parameters of the kernel that are no addresses, but for `len` and `clip`, and the averages.
fn numbers<D: Driver>(
    hyper: &Hyper<'_>,
    averages: &[Average<'_, f32, OnDevice<D>>],
) -> Result<DisAdamwEma, KernelError> {
    let step = hyper.step as f64;
    let correction1 = 1.0 - hyper.beta1.powf(step);
    let correction2 = 1.0 - hyper.beta2.powf(step);
    Ok(DisAdamwEma {
        averages: std::array::from_fn(|i| {
            averages.get(i).map_or(0, |average| average.values.address()) as _
        }),
        average_rest: std::array::from_fn(|i| {
            averages.get(i).map_or(0.0, |average| (1.0 - average.decay) as f32)
        }),
        grad_scale: hyper.grad_factor,
        m_rest: (1.0 - hyper.beta1) as f32,
        v_rest: (1.0 - hyper.beta2) as f32,
        rate: (hyper.lr / correction1) as f32,
        v_root: correction2.sqrt().recip() as f32,
        eps: hyper.eps as f32,
        decay: (hyper.lr * hyper.weight_decay) as f32,
        average_count: averages.len() as i32,
        no_decay_count: int(OP, "number of no_decay ranges", hyper.no_decay.len())?,
        ..Default::default()
    })
}
