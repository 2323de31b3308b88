//! Whole networks: "Gelem/s" is GFLOP/s of the matrix products alone.

use benches::{BATCH, quickstart, s384};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ssm_kernels::Cpu;
use trainer::workload::Workload;

fn network(c: &mut Criterion) {
    let cases = [("DiS-S-384/2", s384(32, 0), BATCH), ("quickstart", quickstart(), 32)];
    for (name, config, batch) in cases {
        let Ok(mut workload) = Workload::<Cpu>::for_training(config, batch) else {
            unreachable!("the configurations above are valid");
        };
        let mut group = c.benchmark_group(format!("{name}/batch {batch}"));
        group.sample_size(10);
        group.throughput(Throughput::Elements(workload.gemm_flops() as u64));
        group.bench_function("forward", |b| {
            b.iter(|| workload.forward().map(drop).expect("a value pass"));
        });
        group.throughput(Throughput::Elements(3 * workload.gemm_flops() as u64));
        group.bench_function("train_step", |b| {
            b.iter(|| workload.train_step().map(drop).expect("a step"));
        });
        group.finish();
    }
}

criterion_group!(benches, network);
criterion_main!(benches);
