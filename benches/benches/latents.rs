//! What a visit to a latent cache costs, its file being in memory: "elem/s" is samples a second.
//!
//! One thread visits samples in the order of a run. "stored" reads and widens mean and deviation;
//! "visit" draws normals and samples the posterior as well, which is what training does; "normals"
//! is the drawing alone.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use data::latents::{
    Encoding, Flip, LatentCache, LatentCacheOptions, LatentCacheSpec, LatentRecord, LatentScaling,
    LatentWriter,
};
use data::{DataError, Dataset, Visit, sample_index};
use philox::{Draws, Purpose};
use std::path::Path;

/// Bytes of a cache: more than processors keep, less than memory does.
const CACHE_BYTES: u64 = 256 << 20;

fn make(folder: &Path, latent_shape: [usize; 3]) -> Result<LatentCache, DataError> {
    let mut spec = LatentCacheSpec {
        latent_shape,
        flips: vec![Flip::None, Flip::Horizontal],
        vae: "none".into(),
        crop: "none".into(),
        source: "generated".into(),
        source_len: 1,
        num_classes: 0,
        class_names: Vec::new(),
        records_per_shard: 2048,
    };
    spec.source_len = CACHE_BYTES / (8 * spec.latent_len() as u64);
    let mut mean = vec![0.0; spec.latent_len()];
    Draws::new(0, Purpose::SyntheticData, 0).fill_normal(&mut mean);
    let logstd = vec![-3.0; spec.latent_len()];
    let encodings = &[Encoding { mean: &mean, logstd: &logstd }; 2];
    let mut writer = LatentWriter::create_or_resume(folder, spec, &mut |_, _| {})?;
    for shard in writer.missing() {
        let samples = writer.spec().source_range(shard);
        let mut shard = writer.begin_shard(shard)?;
        for source_index in samples {
            let source_hash = [0; 32];
            shard.push(&LatentRecord { source_index, label: 0, source_hash, encodings })?;
        }
        shard.commit()?;
    }
    writer.finish()?;
    let scaling = LatentScaling::constant(0.18215);
    LatentCache::open(folder, &LatentCacheOptions { scaling, flip: true })
}

fn latents(c: &mut Criterion) {
    for shape in [[4, 8, 8], [4, 32, 32], [4, 64, 64]] {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = make(folder.path(), shape).expect("a cache");
        let mut out = vec![0.0f32; shape.iter().product()];
        let mut position = 0;
        let mut next = || {
            position += 1;
            let index = sample_index(0, cache.len(), position);
            (index, Visit { seed: 0, position })
        };
        let [channels, height, width] = shape;
        let mut group = c.benchmark_group(format!("latents, {channels}x{height}x{width}"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("stored", |b| {
            b.iter(|| cache.moments(next().0, Flip::None).expect("a sample"));
        });
        group.bench_function("visit", |b| {
            b.iter(|| {
                let (index, visit) = next();
                cache.load(index, visit, &mut out).expect("a sample")
            });
        });
        group.bench_function("normals", |b| {
            b.iter(|| next().1.draws(Purpose::VaePosteriorNoise).fill_normal(&mut out));
        });
        group.finish();
    }
}

criterion_group!(benches, latents);
criterion_main!(benches);
