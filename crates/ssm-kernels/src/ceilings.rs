//! What this machine can do at most: the figures that measured speeds are compared with.
//!
//! Each is measured on all threads of the current pool, released together, the slowest counting;
//! the best of several rounds stands, since disturbances only ever slow a round down.

use crate::simd::{InstructionSet, Kernel, Simd, dispatch};
use rayon::prelude::*;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

/// Rounds of which the best counts.
const ROUNDS: usize = 20;

/// Ceilings of the current thread pool.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// Threads measured.
    pub threads: usize,
    /// f32 multiply-adds, in FLOP per second (two per multiply-add).
    pub flops: f64,
    /// Exponentials per second, by the kernels' own polynomial.
    pub exps: f64,
    /// Bytes per second of a copy between buffers larger than the caches, read and written.
    pub copy_bytes: f64,
}

impl Ceilings {
    /// Measures for about half a second.
    pub fn measure() -> Self {
        let threads = rayon::current_num_threads();
        Self {
            threads,
            flops: threads as f64 * Fma::FLOPS / slowest(threads, || run(Fma)),
            exps: threads as f64 * Exp::COUNT / slowest(threads, || run(Exp)),
            copy_bytes: copy_bandwidth(),
        }
    }
}

fn run<K: Kernel<Output = f32>>(kernel: K) {
    black_box(dispatch(InstructionSet::current(), kernel));
}

/// Seconds of the slowest thread in the best round.
fn slowest(threads: usize, work: impl Fn() + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let times = rayon::broadcast(|_| {
        (0..ROUNDS)
            .map(|_| {
                barrier.wait();
                let start = Instant::now();
                work();
                start.elapsed().as_secs_f64()
            })
            .collect::<Vec<_>>()
    });
    (0..ROUNDS)
        .map(|round| times.iter().map(|t| t[round]).fold(0.0, f64::max))
        .fold(f64::INFINITY, f64::min)
}

/// Independent chains of multiply-adds, enough to hide their latency.
struct Fma;

impl Fma {
    const CHAINS: usize = 12;
    const REPEATS: usize = 200_000;
    const FLOPS: f64 = (Self::CHAINS * Self::REPEATS * 2 * crate::simd::LANES) as f64;
}

impl Kernel for Fma {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let (x, y) = (simd.splat(black_box(0.999_9)), simd.splat(black_box(1e-4)));
        let mut chains = [simd.splat(1.0); Self::CHAINS];
        for _ in 0..Self::REPEATS {
            for chain in &mut chains {
                *chain = simd.fma(*chain, x, y);
            }
        }
        chains.into_iter().map(|chain| simd.sum(chain)).sum()
    }
}

/// Independent chains of exponentials.
struct Exp;

impl Exp {
    const CHAINS: usize = 8;
    const REPEATS: usize = 40_000;
    const COUNT: f64 = (Self::CHAINS * Self::REPEATS * crate::simd::LANES) as f64;
}

impl Kernel for Exp {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut chains = [simd.splat(black_box(-0.3)); Self::CHAINS];
        for _ in 0..Self::REPEATS {
            for chain in &mut chains {
                // Stays within (0, 1): 2^-x of such an x is one again.
                *chain = simd.exp2(simd.neg(*chain));
            }
        }
        chains.into_iter().map(|chain| simd.sum(chain)).sum()
    }
}

fn copy_bandwidth() -> f64 {
    const LEN: usize = 32 << 20;
    let from = vec![1.0f32; LEN];
    let mut to = vec![0.0f32; LEN];
    let block = LEN / rayon::current_num_threads().max(1);
    let best = (0..6)
        .map(|_| {
            let start = Instant::now();
            to.par_chunks_mut(block)
                .zip(from.par_chunks(block))
                .for_each(|(to, from)| to.copy_from_slice(black_box(from)));
            black_box(&mut to);
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    (2 * LEN * size_of::<f32>()) as f64 / best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_positive_and_plausible() {
        let c = Ceilings::measure();
        assert!(c.threads >= 1 && c.flops > 1e8 && c.exps > 1e7 && c.copy_bytes > 1e7, "{c:?}");
        assert!(c.flops < 1e15 && c.exps < c.flops, "{c:?}");
    }
}
