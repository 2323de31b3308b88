//! Where the time goes: a backend that counts the wall time of its operators.

mod backend;

pub use backend::Timed;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Operators that are counted together, both passes of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`crate::gemm`].
    Products,
    /// [`crate::selective_scan`].
    Scan,
    /// [`crate::causal_conv1d`].
    Convolution,
    /// [`crate::add_rms_norm`], [`crate::segment_rms_norm`] and [`crate::layer_norm_modulate`].
    Norms,
    /// [`crate::patchify`].
    Patches,
    /// [`crate::adamw_ema`].
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

/// Nanoseconds of each part; statics, because who reads them does not hold the network's backend.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backend, KernelError, Mat, MatMut, Reference, Write};

    type Plain = Reference<f64>;

    /// One test, because the counters belong to the process.
    #[test]
    fn results_are_those_of_the_backend_and_time_goes_to_the_part_that_took_it() {
        const N: usize = 48;
        let values: Vec<f64> = (0..N * N).map(|i| (i as f64 * 0.37).sin()).collect();
        let (mut plain, mut timed) = (vec![f64::NAN; N * N], vec![f64::NAN; N * N]);
        let (a, b) = (Mat::new(&values, N, N), Mat::new(&values, N, N).t());
        take();
        Plain::default().gemm(MatMut::new(&mut plain, N, N), Write::Overwrite, a, b).unwrap();
        assert_eq!(take(), Times::default(), "only a timed backend counts");
        Timed::<Plain>::default()
            .gemm(MatMut::new(&mut timed, N, N), Write::Overwrite, a, b)
            .unwrap();
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
            refused(Timed::<Plain>::default().gemm(
                MatMut::new(&mut timed, N, N),
                Write::Overwrite,
                a,
                wide
            )),
            refused(Plain::default().gemm(
                MatMut::new(&mut plain, N, N),
                Write::Overwrite,
                a,
                wide
            )),
        );
    }
}
