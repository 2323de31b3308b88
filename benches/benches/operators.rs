//! Operators at the sizes of DiS-S/2, batch 8: GB/s and GFLOP/s ("Gelem/s" is GFLOP/s).
//!
//! Every operator is compared with its reference in `crates/ssm-kernels/tests`; nothing is timed
//! here that is not checked there.

use benches::{BATCH, Conv, Norm, Pass, Product, ROWS, Scan, random};
use criterion::{Criterion, Throughput, criterion_group};
use ssm_kernels::{Backend, Cpu, Mat, ScanOrder};
use ssm_kernels::{adamw_ema, add_rms_norm, causal_conv1d};

const TOKENS: usize = 257;
const WIDTH: usize = 384;
const INNER: usize = 768;
/// A refused call must not pass for a fast one.
const FITS: &str = "operands fit";

fn gemm(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm/cpu");
    for product in &mut Product::all() {
        group.throughput(Throughput::Elements(product.flops() as u64));
        for pass in Pass::ALL {
            let name = format!("{}-{}/{}", product.name, pass.name(), product.shape(pass));
            group.bench_function(name, |b| b.iter(|| product.run(pass).expect(FITS)));
        }
    }
    group.finish();
}

fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("selective_scan/cpu");
    group.throughput(Throughput::Bytes(Scan::value_bytes() as u64));
    let (mut scan, shape) = (Scan::new(), Scan::shape());
    group.bench_function(format!("forward/{shape}"), |b| b.iter(|| scan.forward().expect(FITS)));
    group.bench_function(format!("forward_keeping/{shape}"), |b| {
        b.iter(|| scan.forward_keeping().expect(FITS));
    });
    group.bench_function(format!("backward/{shape}"), |b| {
        b.iter(|| scan.backward().expect(FITS));
    });
    group.finish();
}

fn conv_and_norm(c: &mut Criterion) {
    let (x, weight, bias) = (random(1, ROWS * INNER), random(2, INNER * 4), random(3, INNER));
    let shape = causal_conv1d::Shape { batch: BATCH, seq_len: TOKENS, channels: INNER, width: 4 };
    let directions = [ScanOrder::LeftToRight, ScanOrder::RightToLeft]
        .map(|order| causal_conv1d::Direction::<f32> { order, weight: &weight, bias: &bias });
    let args = causal_conv1d::Args { shape, x: Mat::new(&x, ROWS, INNER), directions: &directions };
    let mut outs = [x.clone(), x.clone()];
    let mut group = c.benchmark_group("causal_conv1d/cpu");
    group.throughput(Throughput::Bytes((3 * ROWS * INNER * 4) as u64));
    group.bench_function("forward/8x257x768x4", |b| {
        let [first, second] = &mut outs;
        b.iter(|| Cpu.causal_conv1d(&args, &mut [first, second]).expect(FITS));
    });
    group.finish();

    let mut group = c.benchmark_group("add_rms_norm/cpu");
    group.throughput(Throughput::Bytes((4 * ROWS * WIDTH * 4) as u64));
    let (hidden, residual) = (random(4, ROWS * WIDTH), random(5, ROWS * WIDTH));
    let (mut new_residual, mut normed) = (hidden.clone(), hidden.clone());
    let mut rstd = vec![0.0; ROWS];
    let args = add_rms_norm::Args::<f32> {
        shape: add_rms_norm::Shape { batch: BATCH, seq_len: TOKENS, width: WIDTH },
        hidden: &hidden,
        residual: Some(&residual),
        drop_path: None,
        weight: &random(6, WIDTH),
        eps: 1e-5,
    };
    group.bench_function("forward/8x257x384", |b| {
        b.iter(|| {
            let out = add_rms_norm::Output::<f32> {
                residual: &mut new_residual,
                normed: &mut normed,
                rstd: &mut rstd,
            };
            Cpu.add_rms_norm(&args, out).expect(FITS)
        });
    });
    group.finish();
}

fn optimiser(c: &mut Criterion) {
    const LEN: usize = 30_921_624;
    let mut group = c.benchmark_group("adamw_ema/cpu");
    // Parameters, both moments and the average are read and written, the gradient read.
    group.throughput(Throughput::Bytes((9 * LEN * 4) as u64));
    group.sample_size(20);
    let mut params = vec![0.5f32; LEN];
    let (mut m, mut v, mut ema) = (vec![0.0; LEN], vec![0.0; LEN], params.clone());
    let grads = vec![1e-3f32; LEN];
    let hyper = adamw_ema::Hyper {
        lr: 1e-4,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
        step: 10,
        grad_factor: 1.0,
        no_decay: &[],
    };
    group.bench_function("step/30.9M", |b| {
        b.iter(|| {
            let arenas = adamw_ema::Arenas::<f32> {
                params: &mut params,
                grads: &grads,
                m: &mut m,
                v: &mut v,
                averages: &mut [adamw_ema::Average::<f32> { decay: 0.9999, values: &mut ema }],
                compute_copy: None,
            };
            Cpu.adamw_ema(&hyper, arenas).expect(FITS)
        });
    });
    group.finish();
}

/// Of the autoencoder, one image.
fn images(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv2d/cpu");
    group.sample_size(20);
    for mut conv in Conv::all().expect(FITS) {
        group.throughput(Throughput::Elements(conv.flops() as u64));
        group.bench_function(conv.name, |b| b.iter(|| conv.run().expect(FITS)));
    }
    group.finish();
    let mut group = c.benchmark_group("group_norm/cpu");
    for mut norm in Norm::all() {
        // Read for the statistics, read again and written.
        group.throughput(Throughput::Bytes(3 * norm.bytes() as u64));
        group.bench_function(norm.name, |b| b.iter(|| norm.run().expect(FITS)));
    }
    group.finish();
}

criterion_group!(benches, gemm, scan, conv_and_norm, optimiser, images);

/// On a thread of the pool, as inside a network: from outside every call would also measure how
/// long the pool takes to wake.
fn main() {
    rayon::scope(|_| benches());
    Criterion::default().configure_from_args().final_summary();
}
