//! Speed in about a second.

use ssm_kernels::{KernelError, Mat, MatMut, Write, gemm};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Time given to each measurement.
const BUDGET: Duration = Duration::from_millis(500);

/// Tokens, inputs and outputs of the largest product of DiS-S at eight images of 257 tokens.
const SHAPE: [usize; 3] = [2056, 384, 1536];

/// Bytes copied at a time: well beyond any cache.
const COPIED: usize = 128 << 20;

/// Medians over the calls that fit the budget.
pub(super) struct Speed {
    /// 1e9 floating-point operations a second.
    pub(super) gemm_gflops: f64,
    /// 1e9 bytes a second, reads and writes together.
    pub(super) copy_gbytes: f64,
}

impl Speed {
    /// Uses all threads for the product and one for the copy.
    pub(super) fn measure() -> Result<Self, KernelError> {
        Ok(Self { gemm_gflops: gemm_speed()?, copy_gbytes: copy_speed()? })
    }
}

fn gemm_speed() -> Result<f64, KernelError> {
    let [m, k, n] = SHAPE;
    let a: Vec<f32> = (0..m * k).map(|i| (i % 7) as f32 - 3.0).collect();
    let b: Vec<f32> = (0..k * n).map(|i| (i % 5) as f32 - 2.0).collect();
    let mut out = vec![0.0; m * n];
    let seconds = median_seconds(|| {
        let (a, b) = (Mat::new(black_box(&a), m, k), Mat::new(&b, n, k).t());
        gemm::cpu(&mut MatMut::new(&mut out, m, n), Write::Overwrite, a, b)
    })?;
    Ok(2.0 * (m * k * n) as f64 / seconds / 1e9)
}

fn copy_speed() -> Result<f64, KernelError> {
    let from = vec![1_u8; COPIED];
    let mut to = vec![0_u8; COPIED];
    let seconds = median_seconds(|| {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        Ok(())
    })?;
    Ok(2.0 * COPIED as f64 / seconds / 1e9)
}

/// Median duration of a call, the first one not counted.
fn median_seconds(mut call: impl FnMut() -> Result<(), KernelError>) -> Result<f64, KernelError> {
    call()?;
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || start.elapsed() < BUDGET {
        let before = Instant::now();
        call()?;
        times.push(before.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2].max(1e-12))
}
