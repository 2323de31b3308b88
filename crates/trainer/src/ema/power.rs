//! Averages whose memory is a share of the run so far.
//!
//! After `t` images the average weighs the weights of image `tau` with the profile
//!
//! ```text
//! p(tau) = (g + 1) tau^g / t^(g + 1),   0 <= tau <= t
//! ```
//!
//! whose standard deviation, as a share of `t`, is the *relative width* by which it is known:
//! `std^2 = (g + 1)/((g + 2)^2 (g + 3))`. Unlike a fixed decay it forgets the first steps by itself,
//! and two of them span averages of other widths; see [`post_hoc`](super::post_hoc).
//!
//! # Source
//! Karras et al., arXiv 2312.02696, section 3.1 and appendix C.

use std::ops::RangeInclusive;

/// Relative widths that are kept and reconstructed. The plain mean of all weights, exponent 0, has
/// `1/sqrt(12)` = 0.289: wider than that the start of a run would weigh most. The narrowest has a
/// memory of some steps in 10,000.
pub const WIDTHS: RangeInclusive<f64> = 1e-4..=0.28;

/// Rounds of Newton's method; every width needs fewer than ten.
const MOST_ROUNDS: u32 = 64;

/// What is said of another width.
pub const WIDTHS_EXPECTED: &str =
    "0.0001 to 0.28: it is a share of the run, and the plain mean of all weights has 0.289";

/// The exponent `g` of a relative width in [`WIDTHS`]: the largest root of
/// `g^3 + 7 g^2 + (16 - q) g + (12 - q)` with `q = std^-2`.
pub fn exponent_of(std: f64) -> f64 {
    let q = (std * std).recip();
    // At the root of q the cubic is positive, and it rises and bends upwards from its largest root
    // on: Newton's method comes down to that root and never falls below it.
    let mut g = q.sqrt();
    for _ in 0..MOST_ROUNDS {
        let value = ((g + 7.0) * g + (16.0 - q)) * g + (12.0 - q);
        let slope = (3.0 * g + 14.0) * g + (16.0 - q);
        let next = g - value / slope;
        if next >= g {
            break;
        }
        g = next;
    }
    g
}

/// The relative width of an exponent.
pub fn std_of(exponent: f64) -> f64 {
    let g = exponent;
    ((g + 1.0) / ((g + 2.0).powi(2) * (g + 3.0))).sqrt()
}

/// Share of the old average that is kept after a step which ends at `images_seen` images, of which
/// `new_images` are new: `(1 - new/seen)^(g + 1)`, and so 0 in the first step, when the average
/// becomes the weights.
pub fn decay(exponent: f64, images_seen: u64, new_images: u64) -> f64 {
    let old = images_seen.saturating_sub(new_images) as f64;
    (old / images_seen as f64).powf(exponent + 1.0)
}

/// What a power-function average weighs, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Images seen when it ends, in any unit.
    pub end: f64,
    /// Its exponent.
    pub exponent: f64,
}

impl Profile {
    /// The profile of a relative width.
    pub fn new(end: f64, std: f64) -> Self {
        Self { end, exponent: exponent_of(std) }
    }

    /// The integral of the product of two profiles.
    pub fn overlap(self, other: Self) -> f64 {
        let (early, late) = if self.end <= other.end { (self, other) } else { (other, self) };
        let (e, l) = (early.exponent, late.exponent);
        // As a ratio: powers of images alone leave the range of f64.
        let factor = (e + 1.0) * (l + 1.0) / (e + l + 1.0);
        factor * (early.end / late.end).powf(l) / late.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_and_exponents_are_inverse() {
        for std in [1e-4, 0.003, 0.05, 0.1, 0.2, 0.25, 0.28] {
            let back = std_of(exponent_of(std));
            assert!((back / std - 1.0).abs() < 1e-12, "{std}: {back}");
        }
        assert!(exponent_of(*WIDTHS.end()) > 0.0);
        assert!((std_of(0.0) - 12.0_f64.sqrt().recip()).abs() < 1e-15);
    }

    #[test]
    fn decays_make_the_profile() {
        // The average of what weight i carries, by the recursion and by the profile's own integral.
        let (steps, exponent) = (2000_u64, exponent_of(0.1));
        let mut shares = vec![0.0; steps as usize];
        for step in 1..=steps {
            let kept = decay(exponent, 32 * step, 32);
            shares.iter_mut().for_each(|share| *share *= kept);
            shares[step as usize - 1] += 1.0 - kept;
        }
        let distribution = |step: u64| (step as f64 / steps as f64).powf(exponent + 1.0);
        for (i, share) in shares.iter().enumerate() {
            let expected = distribution(i as u64 + 1) - distribution(i as u64);
            assert!((share - expected).abs() < 1e-15, "{i}: {share} and {expected}");
        }
    }

    #[test]
    fn overlaps_are_integrals() {
        let integral = |a: Profile, b: Profile| {
            let (n, end) = (200_000, a.end.min(b.end));
            let at = |p: Profile, x: f64| (p.exponent + 1.0) / p.end * (x / p.end).powf(p.exponent);
            let middle = |i| (f64::from(i) + 0.5) * end / f64::from(n);
            (0..n).map(|i| at(a, middle(i)) * at(b, middle(i))).sum::<f64>() * end / f64::from(n)
        };
        let profiles = [(1.0, 0.05), (1.0, 0.1), (3.0, 0.05), (4.0, 0.25)]
            .map(|(end, std)| Profile::new(end, std));
        for a in profiles {
            for b in profiles {
                let (got, expected) = (a.overlap(b), integral(a, b));
                assert!((got - expected).abs() < 1e-8 * expected.max(1e-3), "{a:?} {b:?}: {got}");
                assert_eq!(got, b.overlap(a));
            }
        }
        // Images of a long run, whose plain powers overflow.
        let far = Profile::new(5e8, 0.01);
        assert!(far.overlap(far).is_finite() && far.overlap(Profile::new(1e3, 0.01)) == 0.0);
    }
}
