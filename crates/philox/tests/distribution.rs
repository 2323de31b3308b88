//! Uniforms, normals, integers and coins: laws, and statistics over fixed addresses.

use philox::{Draws, Purpose};
use proptest::prelude::*;

const COUNT: usize = 1 << 20;

fn draws(position: u64) -> Draws {
    Draws::new(20_240, Purpose::DiffusionNoise, position)
}

proptest! {
    /// Element i of every fill is lane i, whatever the length.
    #[test]
    fn fills_are_lanes(seed: u64, position: u64, sub in 0u32..1 << 24, len in 0usize..300) {
        let draws = Draws::new(seed, Purpose::SampleStepNoise, position).sub(sub);
        let (mut words, mut uniforms, mut normals) = (vec![0; len], vec![0.0; len], vec![0.0; len]);
        draws.fill_words(&mut words);
        draws.fill_uniform(&mut uniforms);
        draws.fill_normal(&mut normals);
        for (i, lane) in (0..len).zip(0u64..) {
            prop_assert_eq!(words[i], draws.word(lane));
            prop_assert_eq!(uniforms[i].to_bits(), draws.uniform(lane).to_bits());
            prop_assert_eq!(normals[i].to_bits(), draws.normal(lane).to_bits());
            prop_assert_eq!(draws.normal(lane), draws.normal_f64(lane) as f32);
        }
    }

    #[test]
    fn integers_stay_below(position: u64, lane in 0u64..1 << 33, n in 1u64..) {
        prop_assert!(draws(position).below(lane, n) < n);
    }

    /// The formulas of the documentation, in the platform's own functions.
    #[test]
    fn formulas(position: u64, lane in 0u64..1 << 33) {
        let draws = draws(position);
        let (a, b) = (f64::from(draws.word(lane & !1)), f64::from(draws.word(lane | 1)));
        let r = (-2.0 * ((a + 1.0) / 2f64.powi(32)).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * (b / 2f64.powi(32))).sin_cos();
        let expected = r * if lane % 2 == 0 { cos } else { sin };
        prop_assert!((draws.normal_f64(lane) - expected).abs() <= 6e-15);

        let uniform = f64::from(draws.word(lane) >> 8) / 2f64.powi(24);
        prop_assert_eq!(f64::from(draws.uniform(lane)), uniform);
        prop_assert_eq!(draws.bernoulli(lane, 0.3), uniform < 0.3);

        let x = u128::from(draws.word(lane)) << 32 | u128::from(draws.word(lane + 1));
        prop_assert_eq!(u128::from(draws.below(lane, 1000)), (x * 1000) >> 64);
    }
}

/// Moments of normals within five standard errors of 0, 1, 0, 3; tails as often as they should be.
#[test]
fn normals_are_normal() {
    let mut normals = vec![0.0f32; COUNT];
    draws(1).fill_normal(&mut normals);
    let moment = |k: i32| normals.iter().map(|&z| f64::from(z).powi(k)).sum::<f64>() / COUNT as f64;
    for (k, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
        let bound = 5.0 * (variance / COUNT as f64).sqrt();
        let got = moment(k);
        assert!((got - expected).abs() < bound, "moment {k}: {got}, expected {expected} ± {bound}");
    }
    let neighbours = normals.windows(2).map(|z| f64::from(z[0] * z[1])).sum::<f64>();
    assert!((neighbours / (COUNT as f64).sqrt()).abs() < 5.0, "lag-1 correlation");
    for (beyond, share) in [(1.0, 0.317_310_5), (2.0, 0.045_500_3), (3.0, 0.002_699_8)] {
        let count = normals.iter().filter(|z| z.abs() > beyond).count() as f64;
        let expected = share * COUNT as f64;
        assert!((count - expected).abs() < 5.0 * expected.sqrt(), "{count} beyond {beyond}");
    }
    assert!(normals.iter().all(|z| z.abs() <= 6.66));
}

#[test]
fn uniforms_and_integers_are_flat() {
    let mut uniforms = vec![0.0f32; COUNT];
    draws(2).fill_uniform(&mut uniforms);
    assert!(uniforms.iter().all(|u| (0.0..1.0).contains(u)));
    chi_square_is_plausible("uniform", uniforms.iter().map(|u| (u * 256.0) as usize), 256);

    let draws = draws(3);
    let integers = (0..COUNT as u64 / 2).map(|i| draws.below(2 * i, 10) as usize);
    chi_square_is_plausible("below 10", integers, 10);
}

#[test]
fn coins_fall_as_often_as_asked() {
    let draws = draws(4);
    for p in [0.1, 0.5] {
        let heads = (0..COUNT as u64).filter(|&lane| draws.bernoulli(lane, p)).count() as f64;
        let n = COUNT as f64;
        assert!((heads - n * p).abs() < 5.0 * (n * p * (1.0 - p)).sqrt(), "{heads} of {n} at {p}");
    }
    assert!((0..1000).all(|lane| draws.bernoulli(lane, 1.0) && !draws.bernoulli(lane, 0.0)));
}

/// Chi-square within five standard deviations of its mean.
fn chi_square_is_plausible(what: &str, bins: impl Iterator<Item = usize>, n_bins: usize) {
    let mut counts = vec![0u64; n_bins];
    bins.for_each(|bin| counts[bin] += 1);
    let expected = counts.iter().sum::<u64>() as f64 / n_bins as f64;
    let chi = counts.iter().map(|&c| (c as f64 - expected).powi(2) / expected).sum::<f64>();
    let free = n_bins as f64 - 1.0;
    assert!((chi - free).abs() < 5.0 * (2.0 * free).sqrt(), "{what}: chi-square {chi} for {free}");
}
