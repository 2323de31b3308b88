//! What a visit to a latent cache gives.

use crate::support::{LEN, make, options, spec};
use data::latents::{
    Flip, LatentCache, LatentCacheOptions, LatentCacheSpec, LatentScaling, Moments,
};
use data::{Dataset, Loader, LoaderConfig, Visit, load_batch, sample_index};
use philox::{Draws, Purpose};
use std::sync::Arc;

fn visit(position: u64) -> Visit {
    Visit { seed: 9, position }
}

/// Mean and deviation of many visits are those that are stored, and elements are independent.
#[test]
fn visits_are_draws_from_the_posterior() {
    const VISITS: u64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), spec()).unwrap();
    let cache = LatentCache::open(folder.path(), &options()).unwrap();
    for flip in [Flip::None, Flip::Horizontal] {
        let Moments { mean, logstd } = cache.moments(11, flip).unwrap();
        let (mut sums, mut squares, mut products) = ([0.0; LEN], [0.0; LEN], [0.0; LEN]);
        let mut out = [0.0; LEN];
        for position in 0..VISITS {
            match flip {
                Flip::None => cache.load(11, visit(position), &mut out).unwrap(),
                Flip::Horizontal => cache.load_mirrored(11, visit(position), &mut out).unwrap(),
            };
            let normal = |i: usize| f64::from((out[i] - mean[i]) / logstd[i].exp());
            for i in 0..LEN {
                sums[i] += normal(i);
                squares[i] += normal(i) * normal(i);
                products[i] += normal(i) * normal((i + 1) % LEN);
            }
        }
        // Standard errors are 1, sqrt 2 and 1 over sqrt n; 4.5 of them happen once in 150,000 sums.
        let bar = 4.5 / (VISITS as f64).sqrt();
        for i in 0..LEN {
            let [sum, square, product] =
                [sums[i], squares[i], products[i]].map(|sum| sum / VISITS as f64);
            assert!(sum.abs() < bar, "mean of element {i} is off by {sum} deviations");
            assert!((square - 1.0).abs() < 1.5 * bar, "variance of element {i} is {square} times");
            assert!(product.abs() < bar, "elements {i} and the next correlate by {product}");
        }
    }
}

/// Bits of a visit, the same on every machine: normals, exponential and scaling.
#[test]
fn a_visit_has_known_bits() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), spec()).unwrap();
    let scaling = LatentScaling { mean: vec![0.25, -1.0], std: vec![1.5, 0.75], factor: 0.5 };
    let cache = LatentCache::open(folder.path(), &LatentCacheOptions { scaling, flip: true });
    let mut out = [0.0; LEN];
    assert_eq!(cache.unwrap().load(20, visit(3), &mut out).unwrap(), 2);
    let bits = [out[0], out[14], out[15], out[29]].map(f32::to_bits);
    assert_eq!(bits, [0x3F91_B5D4, 0x3EE0_C0AA, 0x3ED9_E6B3, 0xBF88_2C76]);
}

/// The flip of a batch chooses the encoding; nothing is reversed.
#[test]
fn the_coin_of_a_position_chooses_the_encoding() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), spec()).unwrap();
    let cache = LatentCache::open(folder.path(), &options()).unwrap();
    let batch = load_batch(&cache, 9, true, 100, 64).unwrap();
    let mut mirrored = 0;
    for i in 0..64 {
        let position = batch.positions[i];
        let index = sample_index(9, cache.len(), position);
        let coin = Draws::new(9, Purpose::HorizontalFlip, position).bernoulli(0, 0.5);
        mirrored += u32::from(coin);
        let flip = if coin { Flip::Horizontal } else { Flip::None };
        let Moments { mean, logstd } = cache.moments(index, flip).unwrap();
        let mut normals = [0.0; LEN];
        visit(position).draws(Purpose::VaePosteriorNoise).fill_normal(&mut normals);
        for (element, &got) in batch.image(i).iter().enumerate() {
            let expected = mean[element] + logstd[element].exp() * normals[element];
            assert!((got - expected).abs() < 2e-6, "{got}, expected {expected}");
        }
        assert_eq!(u64::from(batch.labels[i]), cache.source(index).unwrap().0 % 4);
    }
    assert!((20..45).contains(&mirrored), "{mirrored} of 64");
}

/// Threads, batches, restarts and a second opening of the cache change no bit.
#[test]
fn restarts_and_threads_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), spec()).unwrap();
    let open = || Arc::new(LatentCache::open(folder.path(), &options()).unwrap());
    let whole = load_batch(open().as_ref(), 3, true, 0, 120).unwrap();
    for (workers, batch_size) in [(0, 7), (3, 5)] {
        for start_position in [0, 31] {
            let config = LoaderConfig {
                seed: 3,
                batch_size,
                stride: batch_size,
                start_position,
                flip: true,
                workers,
                prefetch: 4,
            };
            let mut loader = Loader::new(open(), config).unwrap();
            for _ in 0..10 {
                let batch = loader.next_batch().unwrap();
                let from = batch.positions[0] as usize;
                let expected = &whole.images[from * LEN..(from + batch_size) * LEN];
                assert_eq!(batch.images, expected);
            }
        }
    }
}

#[test]
fn scaling_is_per_channel() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), spec()).unwrap();
    let load = |scaling| {
        let cache = LatentCache::open(folder.path(), &LatentCacheOptions { scaling, flip: false });
        let mut out = vec![0.0; LEN];
        cache.map(|cache| cache.load(6, visit(1), &mut out)).map(|_| out)
    };
    let plain = load(LatentScaling::constant(1.0)).unwrap();
    let half = load(LatentScaling::constant(0.5)).unwrap();
    assert!(plain.iter().zip(&half).all(|(plain, half)| 0.5 * plain == *half));
    let scaling = LatentScaling { mean: vec![1.0, -2.0], std: vec![2.0, 0.5], factor: 3.0 };
    for (i, got) in load(scaling).unwrap().into_iter().enumerate() {
        let expected =
            if i < 15 { (plain[i] - 1.0) / 2.0 * 3.0 } else { (plain[i] + 2.0) / 0.5 * 3.0 };
        assert!((got - expected).abs() <= 1e-6 * expected.abs(), "{got}, expected {expected}");
    }
    let refused = |mean: &[f32], std: &[f32], factor| {
        load(LatentScaling { mean: mean.into(), std: std.into(), factor }).unwrap_err().to_string()
    };
    let three = refused(&[0.0; 3], &[], 1.0);
    assert_eq!(three, "latent mean is 3 numbers, expected 2 numbers, each finite");
    let zero = refused(&[], &[1.0, 0.0], 1.0);
    assert_eq!(zero, "latent std is 0, expected 2 numbers, each above zero");
    assert!(refused(&[], &[], f32::NAN).starts_with("latent factor is NaN"));
}

#[test]
fn mirroring_needs_mirrored_encodings() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), LatentCacheSpec { flips: vec![Flip::None], ..spec() }).unwrap();
    let error = LatentCache::open(folder.path(), &options()).unwrap_err().to_string();
    assert!(error.contains("without mirrored encodings\nhelp: switch mirroring off"), "{error}");
    let plain = LatentCacheOptions { flip: false, ..options() };
    let cache = LatentCache::open(folder.path(), &plain).unwrap();
    assert!(load_batch(&cache, 0, false, 0, 30).is_ok());
    let error = load_batch(&cache, 0, true, 0, 30).unwrap_err().to_string();
    assert!(error.contains("without mirrored encodings"), "{error}");
}
