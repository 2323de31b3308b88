//! Operators at the sizes of DiS-S/2, batch 8: GB/s and GFLOP/s ("Gelem/s" is GFLOP/s).
//!
//! Every operator is compared with its reference in `crates/ssm-kernels/tests`; nothing is timed
//! here that is not checked there.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ssm_kernels::{Backend, Cpu, Mat, MatMut, ScanOrder, Scratch, Write};
use ssm_kernels::{adamw_ema, add_rms_norm, causal_conv1d, selective_scan};

const BATCH: usize = 8;
const TOKENS: usize = 257;
const WIDTH: usize = 384;
const INNER: usize = 768;
const STATES: usize = 16;
const ROWS: usize = BATCH * TOKENS;
/// A refused call must not pass for a fast one.
const FITS: &str = "operands fit";

fn random(seed: u64, len: usize) -> Vec<f32> {
    parity::to_f32(&parity::uniform(seed, len))
}

fn gemm(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm/cpu");
    let shapes = [
        ("in_proj", ROWS, WIDTH, 2 * INNER),
        ("x_proj", ROWS, INNER, 56),
        ("delta_proj", ROWS, 24, INNER),
        ("out_proj", ROWS, INNER, WIDTH),
        ("skip_linear", ROWS, WIDTH, WIDTH),
    ];
    for (name, m, k, n) in shapes {
        group.throughput(Throughput::Elements((2 * m * k * n) as u64));
        let (x, w) = (random(1, m * k), random(2, n * k));
        let mut y = vec![0.0f32; m * n];
        group.bench_function(format!("{name}/{m}x{k}x{n}"), |b| {
            b.iter(|| {
                let out = MatMut::new(&mut y, m, n);
                Cpu::gemm(out, Write::Overwrite, Mat::new(&x, m, k), Mat::new(&w, n, k).t())
                    .expect(FITS)
            });
        });
        let mut dw = vec![0.0f32; n * k];
        group.bench_function(format!("{name}-dW/{n}x{m}x{k}"), |b| {
            b.iter(|| {
                let out = MatMut::new(&mut dw, n, k);
                Cpu::gemm(out, Write::Overwrite, Mat::new(&y, m, n).t(), Mat::new(&x, m, k))
                    .expect(FITS)
            });
        });
    }
    group.finish();
}

fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("selective_scan/cpu");
    // Both orders: u and delta of each, z in, the gated output out.
    group.throughput(Throughput::Bytes((6 * ROWS * INNER * 4) as u64));
    let shape =
        selective_scan::Shape { batch: BATCH, seq_len: TOKENS, channels: INNER, states: STATES };
    let n = ROWS * INNER;
    let (u, delta, bc) = (random(1, n), random(2, n), random(3, ROWS * 2 * STATES));
    let (z, d, bias) = (random(4, n), random(5, INNER), vec![-4.0; INNER]);
    let a_log: Vec<f32> = (0..INNER * STATES).map(|i| ((i % STATES + 1) as f32).ln()).collect();
    let directions = [ScanOrder::LeftToRight, ScanOrder::RightToLeft].map(|order| {
        let bc = Mat::new(&bc, ROWS, 2 * STATES);
        let (u, delta_raw) = (u.as_slice(), delta.as_slice());
        selective_scan::Direction {
            order,
            u,
            delta_raw,
            bc,
            a_log: &a_log,
            d_skip: &d,
            delta_bias: &bias,
        }
    });
    let args = selective_scan::Args {
        shape,
        directions: &directions,
        z: Mat::new(&z, ROWS, INNER),
        direction_sum: 1.0,
    };
    let (mut gated, mut pre_gate) = (vec![0.0; n], vec![0.0; n]);
    let mut states = vec![0.0; Cpu::selective_scan_states_len(shape, 2)];
    let mut scratch = Scratch::new();
    group.bench_function("forward/8x257x768x16", |b| {
        b.iter(|| {
            let kept = selective_scan::KeptMut { pre_gate: &mut pre_gate, states: &mut states };
            let out = selective_scan::Output { gated: &mut gated, kept: Some(kept) };
            Cpu::selective_scan(&args, out, &mut scratch).expect(FITS)
        });
    });
    let grad = random(6, n);
    let activation = || vec![0.0f32; n];
    let (mut gu, mut gd, mut gz) =
        ([activation(), activation()], [activation(), activation()], z.clone());
    let mut gbc = [bc.clone(), bc.clone()];
    let mut ga = [a_log.clone(), a_log.clone()];
    let mut gskip = [d.clone(), d.clone()];
    let mut gbias = [bias.clone(), bias.clone()];
    group.bench_function("backward/8x257x768x16", |b| {
        b.iter(|| {
            let [gu0, gu1] = &mut gu;
            let [gd0, gd1] = &mut gd;
            let [gbc0, gbc1] = &mut gbc;
            let [ga0, ga1] = &mut ga;
            let [gs0, gs1] = &mut gskip;
            let [gb0, gb1] = &mut gbias;
            let mut directions = [(gu0, gd0, gbc0, ga0, gs0, gb0), (gu1, gd1, gbc1, ga1, gs1, gb1)]
                .map(|(u, delta_raw, bc, a_log, d_skip, delta_bias)| {
                    selective_scan::DirectionGrads {
                        u,
                        delta_raw,
                        bc: MatMut::new(bc, ROWS, 2 * STATES),
                        a_log,
                        d_skip,
                        delta_bias,
                    }
                });
            let z = MatMut::new(&mut gz, ROWS, INNER);
            let grads = selective_scan::Grads { directions: &mut directions, z };
            let kept = selective_scan::Kept { pre_gate: &pre_gate, states: &states };
            Cpu::selective_scan_backward(&args, kept, &grad, grads, &mut scratch).expect(FITS)
        });
    });
    group.finish();
}

fn conv_and_norm(c: &mut Criterion) {
    let (x, weight, bias) = (random(1, ROWS * INNER), random(2, INNER * 4), random(3, INNER));
    let shape = causal_conv1d::Shape { batch: BATCH, seq_len: TOKENS, channels: INNER, width: 4 };
    let directions = [ScanOrder::LeftToRight, ScanOrder::RightToLeft]
        .map(|order| causal_conv1d::Direction { order, weight: &weight, bias: &bias });
    let args = causal_conv1d::Args { shape, x: Mat::new(&x, ROWS, INNER), directions: &directions };
    let mut outs = [x.clone(), x.clone()];
    let mut group = c.benchmark_group("causal_conv1d/cpu");
    group.throughput(Throughput::Bytes((3 * ROWS * INNER * 4) as u64));
    group.bench_function("forward/8x257x768x4", |b| {
        let [first, second] = &mut outs;
        b.iter(|| Cpu::causal_conv1d(&args, &mut [first, second]).expect(FITS));
    });
    group.finish();

    let mut group = c.benchmark_group("add_rms_norm/cpu");
    group.throughput(Throughput::Bytes((4 * ROWS * WIDTH * 4) as u64));
    let (hidden, residual) = (random(4, ROWS * WIDTH), random(5, ROWS * WIDTH));
    let (mut new_residual, mut normed) = (hidden.clone(), hidden.clone());
    let mut rstd = vec![0.0; ROWS];
    let args = add_rms_norm::Args {
        shape: add_rms_norm::Shape { batch: BATCH, seq_len: TOKENS, width: WIDTH },
        hidden: &hidden,
        residual: Some(&residual),
        drop_path: None,
        weight: &random(6, WIDTH),
        eps: 1e-5,
    };
    group.bench_function("forward/8x257x384", |b| {
        b.iter(|| {
            let out = add_rms_norm::Output {
                residual: &mut new_residual,
                normed: &mut normed,
                rstd: &mut rstd,
            };
            Cpu::add_rms_norm(&args, out).expect(FITS)
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
            let arenas = adamw_ema::Arenas {
                params: &mut params,
                grads: &grads,
                m: &mut m,
                v: &mut v,
                averages: &mut [adamw_ema::Average { decay: 0.9999, values: &mut ema }],
            };
            Cpu::adamw_ema(&hyper, arenas).expect(FITS)
        });
    });
    group.finish();
}

criterion_group!(benches, gemm, scan, conv_and_norm, optimiser);
criterion_main!(benches);
