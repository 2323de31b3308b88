//! Where the time goes: a backend that counts the wall time of its operators.

use crate::{
    Backend, KernelError, Mat, MatMut, Scratch, Write, adamw_ema, add_rms_norm, causal_conv1d,
    layer_norm_modulate, patchify, selective_scan,
};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Operators that are counted together, both passes of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`crate::gemm`].
    Products,
    /// [`selective_scan`].
    Scan,
    /// [`causal_conv1d`].
    Convolution,
    /// [`add_rms_norm`] and [`layer_norm_modulate`].
    Norms,
    /// [`patchify`].
    Patches,
    /// [`adamw_ema`].
    Optimiser,
}

impl Part {
    /// All parts, in the order of [`Part`].
    pub const ALL: [Self; 6] = [
        Self::Products,
        Self::Scan,
        Self::Convolution,
        Self::Norms,
        Self::Patches,
        Self::Optimiser,
    ];

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Products => "matrix products",
            Self::Scan => "scan",
            Self::Convolution => "convolution",
            Self::Norms => "norms",
            Self::Patches => "patches",
            Self::Optimiser => "optimiser",
        }
    }
}

/// Nanoseconds of each part; statics, because operators have no receiver.
static NANOS: [AtomicU64; Part::ALL.len()] = [const { AtomicU64::new(0) }; Part::ALL.len()];

/// Wall time of each part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times([Duration; Part::ALL.len()]);

impl Times {
    /// Wall time of one part.
    pub fn of(&self, part: Part) -> Duration {
        self.0[part as usize]
    }
}

/// Reads the times that all [`Timed`] backends of the process counted since the last call, and
/// starts anew.
pub fn take() -> Times {
    Times(std::array::from_fn(|i| Duration::from_nanos(NANOS[i].swap(0, Relaxed))))
}

fn count<T>(part: Part, operator: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = operator();
    // 584 years fit.
    NANOS[part as usize].fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
    result
}

/// `B`, with the wall time of every call added to a counter of the process; [`take`] reads them.
///
/// Results are those of `B`. Calls from several threads at once add up, so a network is measured
/// while nothing else computes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timed<B>(PhantomData<B>);

impl<B: Backend> Backend for Timed<B> {
    type Elem = B::Elem;

    fn gemm(
        out: MatMut<'_, B::Elem>,
        write: Write,
        a: Mat<'_, B::Elem>,
        b: Mat<'_, B::Elem>,
    ) -> Result<(), KernelError> {
        count(Part::Products, || B::gemm(out, write, a, b))
    }

    fn selective_scan(
        args: &selective_scan::Args<'_, B::Elem>,
        out: selective_scan::Output<'_, B::Elem>,
        scratch: &mut Scratch<B::Elem>,
    ) -> Result<(), KernelError> {
        count(Part::Scan, || B::selective_scan(args, out, scratch))
    }

    fn selective_scan_states_len(shape: selective_scan::Shape, directions: usize) -> usize {
        B::selective_scan_states_len(shape, directions)
    }

    fn selective_scan_backward(
        args: &selective_scan::Args<'_, B::Elem>,
        kept: selective_scan::Kept<'_, B::Elem>,
        grad_gated: &[B::Elem],
        grads: selective_scan::Grads<'_, B::Elem>,
        scratch: &mut Scratch<B::Elem>,
    ) -> Result<(), KernelError> {
        count(Part::Scan, || B::selective_scan_backward(args, kept, grad_gated, grads, scratch))
    }

    fn causal_conv1d(
        args: &causal_conv1d::Args<'_, B::Elem>,
        outs: &mut [&mut [B::Elem]],
    ) -> Result<(), KernelError> {
        count(Part::Convolution, || B::causal_conv1d(args, outs))
    }

    fn causal_conv1d_backward(
        args: &causal_conv1d::Args<'_, B::Elem>,
        grad_outs: &[&[B::Elem]],
        grads: causal_conv1d::Grads<'_, B::Elem>,
        scratch: &mut Scratch<B::Elem>,
    ) -> Result<(), KernelError> {
        count(Part::Convolution, || B::causal_conv1d_backward(args, grad_outs, grads, scratch))
    }

    fn add_rms_norm(
        args: &add_rms_norm::Args<'_, B::Elem>,
        out: add_rms_norm::Output<'_, B::Elem>,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || B::add_rms_norm(args, out))
    }

    fn add_rms_norm_backward(
        args: &add_rms_norm::BackwardArgs<'_, B::Elem>,
        grads: add_rms_norm::Grads<'_, B::Elem>,
        scratch: &mut Scratch<B::Elem>,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || B::add_rms_norm_backward(args, grads, scratch))
    }

    fn layer_norm_modulate(
        args: &layer_norm_modulate::Args<'_, B::Elem>,
        out: layer_norm_modulate::Output<'_, B::Elem>,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || B::layer_norm_modulate(args, out))
    }

    fn layer_norm_modulate_backward(
        args: &layer_norm_modulate::Args<'_, B::Elem>,
        stats: &[B::Elem],
        grad_out: &[B::Elem],
        grads: layer_norm_modulate::Grads<'_, B::Elem>,
        scratch: &mut Scratch<B::Elem>,
    ) -> Result<(), KernelError> {
        count(Part::Norms, || {
            B::layer_norm_modulate_backward(args, stats, grad_out, grads, scratch)
        })
    }

    fn patch_gather(
        shape: &patchify::Shape,
        image: &[B::Elem],
        tokens: &mut [B::Elem],
    ) -> Result<(), KernelError> {
        count(Part::Patches, || B::patch_gather(shape, image, tokens))
    }

    fn patch_scatter(
        shape: &patchify::Shape,
        tokens: &[B::Elem],
        image: &mut [B::Elem],
    ) -> Result<(), KernelError> {
        count(Part::Patches, || B::patch_scatter(shape, tokens, image))
    }

    fn adamw_ema(
        hyper: &adamw_ema::Hyper<'_>,
        arenas: adamw_ema::Arenas<'_, B::Elem>,
    ) -> Result<(), KernelError> {
        count(Part::Optimiser, || B::adamw_ema(hyper, arenas))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reference;

    type Plain = Reference<f64>;

    /// One test, because the counters belong to the process.
    #[test]
    fn results_are_those_of_the_backend_and_time_goes_to_the_part_that_took_it() {
        const N: usize = 48;
        let values: Vec<f64> = (0..N * N).map(|i| (i as f64 * 0.37).sin()).collect();
        let (mut plain, mut timed) = (vec![f64::NAN; N * N], vec![f64::NAN; N * N]);
        let (a, b) = (Mat::new(&values, N, N), Mat::new(&values, N, N).t());
        take();
        Plain::gemm(MatMut::new(&mut plain, N, N), Write::Overwrite, a, b).unwrap();
        assert_eq!(take(), Times::default(), "only a timed backend counts");
        Timed::<Plain>::gemm(MatMut::new(&mut timed, N, N), Write::Overwrite, a, b).unwrap();
        assert_eq!(plain, timed);
        let times = take();
        for part in Part::ALL {
            let counted = times.of(part) > Duration::ZERO;
            assert_eq!(counted, part == Part::Products, "{}: {times:?}", part.name());
        }
        assert_eq!(take(), Times::default(), "reading starts anew");

        let wide = Mat::new(&values[..N], 1, N);
        let refused = |result: Result<(), KernelError>| result.unwrap_err().to_string();
        assert_eq!(
            refused(Timed::<Plain>::gemm(MatMut::new(&mut timed, N, N), Write::Overwrite, a, wide)),
            refused(Plain::gemm(MatMut::new(&mut plain, N, N), Write::Overwrite, a, wide)),
        );
    }
}
