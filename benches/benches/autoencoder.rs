//! The autoencoder of Stable Diffusion: one image of 256x256 pixels, both ways.

use benches::{autoencoder, random};
use criterion::{Criterion, criterion_group, criterion_main};
use ssm_kernels::Cpu;
use vae::{Extent, VaeConfig};

fn passes(c: &mut Criterion) {
    let Ok(mut network) = autoencoder(Cpu, &VaeConfig::stable_diffusion()) else {
        unreachable!("the configuration is valid");
    };
    let (images, latents) = (random(1, 3 * 256 * 256), random(2, 4 * 32 * 32));
    let [image, latent] = [256, 32].map(|side| Extent { height: side, width: side });
    let mut group = c.benchmark_group("autoencoder/256 px");
    group.sample_size(10);
    group.bench_function("encode", |b| {
        b.iter(|| network.encode(&images, image).map(drop).expect("a value pass"));
    });
    group.bench_function("decode", |b| {
        b.iter(|| network.decode(&latents, latent).map(drop).expect("a value pass"));
    });
    group.finish();
}

criterion_group!(benches, passes);
criterion_main!(benches);
