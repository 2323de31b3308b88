//! What the numbers of an evaluation cost once features are there: 2048 features of generated images.
//!
//! "elem/s" are rows a second.

use benches::random;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use eval::Rows;
use eval::frechet::{frechet, of_features};
use eval::kernel_distance::kid_subsets;
use eval::statistics::{Accumulator, Statistics};

const DIM: usize = 2048;
const ROWS: usize = 3000;

/// Features that are not negative, of a spectrum that falls, and that vary together.
fn features(seed: u64) -> Vec<f32> {
    let mut values = random(seed, ROWS * DIM).to_vec();
    for row in values.chunks_mut(DIM) {
        let common = 0.3 * row[0];
        for (j, x) in row.iter_mut().enumerate() {
            *x = ((*x + common) * (1.0 + j as f32 / 64.0).powf(-0.6)).max(0.0);
        }
    }
    values
}

fn statistics(rows: Rows<'_>) -> Statistics {
    let mut accumulator = Accumulator::new(DIM);
    accumulator.push(rows).expect("finite rows");
    accumulator.finish().expect("two rows")
}

fn metrics(c: &mut Criterion) {
    let [first, second] = [1, 2].map(features);
    let [first, second] = [&first, &second].map(|rows| Rows::new(rows, DIM).expect("whole rows"));
    let distributions = [first, second].map(statistics);
    let mut group = c.benchmark_group(format!("evaluation/{DIM} features"));
    group.sample_size(10);
    group.bench_function("frechet of statistics", |b| {
        b.iter(|| frechet(&distributions[0], &distributions[1]).expect("equal lengths"));
    });
    group.bench_function("frechet of 700 rows and 900", |b| {
        b.iter(|| of_features(first.part(0, 700), second.part(0, 900)).expect("equal lengths"));
    });
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("accumulator", |b| {
        let mut accumulator = Accumulator::new(DIM);
        b.iter(|| accumulator.push(first).expect("finite rows"));
    });
    group.throughput(Throughput::Elements(10 * 2 * 1000));
    group.bench_function("kernel distance of 10 subsets of 1000", |b| {
        b.iter(|| kid_subsets(first, second, 10, 1000, 1).expect("enough rows"));
    });
    group.finish();
}

criterion_group!(benches, metrics);
criterion_main!(benches);
