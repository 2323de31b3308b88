//! Whole networks: "Gelem/s" is GFLOP/s of the matrix products alone.

use benches::Workload;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dis_model::{DisConfig, DisPreset};

fn network(c: &mut Criterion) {
    let quickstart = DisConfig {
        hidden_size: 96,
        depth: 6,
        learned_variance: false,
        ..DisConfig::official(DisPreset::S, 16, 3, 2, 4)
    };
    let cases = [
        ("DiS-S-384/2", DisConfig::official(DisPreset::S384, 32, 3, 2, 0), 8),
        ("quickstart", quickstart, 32),
    ];
    for (name, config, batch) in cases {
        let Ok(mut workload) = Workload::new(config, batch, true) else {
            unreachable!("the configurations above are valid");
        };
        let mut group = c.benchmark_group(format!("{name}/batch {batch}"));
        group.sample_size(10);
        group.throughput(Throughput::Elements(workload.gemm_flops() as u64));
        group.bench_function("forward", |b| b.iter(|| workload.forward().expect("a value pass")));
        group.throughput(Throughput::Elements(3 * workload.gemm_flops() as u64));
        group.bench_function("train_step", |b| b.iter(|| workload.train_step().expect("a step")));
        group.finish();
    }
}

criterion_group!(benches, network);
criterion_main!(benches);
