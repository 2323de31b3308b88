//! From stored moments to a latent.

use super::LOGSTD_RANGE;
use super::scaling::ChannelScaling;
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// Elements converted at a time: few enough to stay in the first cache.
const BLOCK: usize = 256;

/// Replaces standard normals `out`, `[C, H, W]`, by scaled samples of the posterior:
/// `(mean + exp(logstd) normal - shift) factor`. `stored` is the bits of mean and log standard
/// deviation. Returns whether the moments were in range; where not, `out` has no meaning.
pub(super) fn sample(stored: &[u16], channels: &[ChannelScaling], out: &mut [f32]) -> bool {
    assert_eq!(stored.len(), 2 * out.len(), "stored numbers");
    pulp::Arch::new().dispatch(Sample { stored, channels, out })
}

/// [`sample`], to be compiled for several instruction sets; see [`exp`] why none changes a bit.
struct Sample<'a> {
    stored: &'a [u16],
    channels: &'a [ChannelScaling],
    out: &'a mut [f32],
}

impl pulp::WithSimd for Sample<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> bool {
        let plane = self.out.len() / self.channels.len();
        let (means, logstds) = self.stored.split_at(self.out.len());
        let (mut mean, mut logstd) = ([0.0; BLOCK], [0.0; BLOCK]);
        let mut good = true;
        for (channel, ((out, means), logstds)) in self.channels.iter().zip(
            self.out
                .chunks_exact_mut(plane)
                .zip(means.chunks_exact(plane))
                .zip(logstds.chunks_exact(plane)),
        ) {
            let blocks = means.chunks(BLOCK).zip(logstds.chunks(BLOCK));
            for (out, (means, logstds)) in out.chunks_mut(BLOCK).zip(blocks) {
                let (mean, logstd) = (&mut mean[..out.len()], &mut logstd[..out.len()]);
                widen(means, mean);
                widen(logstds, logstd);
                good &= sample_block(mean, logstd, *channel, out);
            }
        }
        good
    }
}

#[inline(always)]
fn sample_block(mean: &[f32], logstd: &[f32], channel: ChannelScaling, out: &mut [f32]) -> bool {
    let mut good = true;
    for ((out, &mean), &logstd) in out.iter_mut().zip(mean).zip(logstd) {
        good &= fits(mean, logstd);
        *out = (mean + exp(logstd) * *out - channel.shift) * channel.factor;
    }
    good
}

/// Whether moments can be those of a posterior.
#[inline(always)]
pub(super) fn fits(mean: f32, logstd: f32) -> bool {
    let (least, largest) = (*LOGSTD_RANGE.start(), *LOGSTD_RANGE.end());
    // No short cut: the loops around this become vector code only without branches.
    (mean.abs() <= f32::MAX) & (logstd >= least) & (logstd <= largest)
}

/// The exact values of stored numbers.
pub(super) fn widen(stored: &[u16], out: &mut [f32]) {
    stored.reinterpret_cast::<f16>().convert_to_f32_slice(out);
}

/// Rounds to what is stored, to nearest and ties to even. Numbers beyond 65504 become infinite.
pub(super) fn narrow(values: &[f32], out: &mut [u16]) {
    use half::slice::HalfBitsSliceExt as _;
    out.reinterpret_cast_mut::<f16>().convert_from_f32_slice(values);
}

/// `exp(x)` for x in [`LOGSTD_RANGE`]; relative error below 1.3e-7.
///
/// Made of f32 `+ - *`, which are never fused, so that a latent has the same bits on every machine:
/// `x = k ln 2 + r` with an integer k and |r| <= 0.35, and Taylor's polynomial of `exp(r)`.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// 1.5 * 2^23: what is added to it is rounded to an integer, which then is its low bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts. The first has nine bits, so its product with k is exact.
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        series = series * r + coefficient;
    }
    // exp(r) = 1 + (r + r^2 series), the largest term added last.
    let value = 1.0 + (r + r * r * series);
    // 2^k: the low bits of `rounded` moved to the exponent.
    value * f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0f32.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every log standard deviation that can be stored.
    #[test]
    fn exponentials() {
        let mut worst = 0.0f64;
        for bits in 0..=u16::MAX {
            let x = f16::from_bits(bits).to_f32();
            if LOGSTD_RANGE.contains(&x) {
                let expected = f64::from(x).exp();
                worst = worst.max((f64::from(exp(x)) - expected).abs() / expected);
            }
        }
        assert!(worst < 1.3e-7, "{worst:e}");
        assert_eq!(exp(0.0), 1.0);
    }

    /// The vector code, of blocks and rests of any length, against one element after the other.
    #[test]
    fn vectors_change_no_bit() {
        let mut normals = vec![0.0; 3 * 1000];
        philox::Draws::new(1, philox::Purpose::VaePosteriorNoise, 0).fill_normal(&mut normals);
        let channels = [(0.0, 1.0), (0.5, 0.18215), (-2.0, 3.0)]
            .map(|(shift, factor)| ChannelScaling { shift, factor });
        for plane in [1, 7, 255, 256, 257, 1000] {
            let len = 3 * plane;
            let moments: Vec<f32> = (0..2 * len).map(|i| (i as f32 * 0.37).sin() * 9.0).collect();
            let mut stored = vec![0; 2 * len];
            narrow(&moments, &mut stored);
            let mut got = normals[..len].to_vec();
            assert!(sample(&stored, &channels, &mut got));
            for i in 0..len {
                let at = |i: usize| f16::from_bits(stored[i]).to_f32();
                let ChannelScaling { shift, factor } = channels[i / plane];
                let expected = (at(i) + exp(at(len + i)) * normals[i] - shift) * factor;
                assert_eq!(got[i].to_bits(), expected.to_bits(), "element {i} of {len}");
            }
        }
    }

    #[test]
    fn moments_out_of_range_are_seen() {
        let channel = [ChannelScaling { shift: 0.0, factor: 1.0 }];
        for (place, bad) in [
            (0, f32::INFINITY),
            (299, f32::NAN),
            (300, f32::NAN),
            (599, 10.01),
            (450, -15.01),
            (301, f32::NEG_INFINITY),
        ] {
            let mut moments = vec![0.25; 600];
            let good = |moments: &[f32]| {
                let mut stored = vec![0; 600];
                narrow(moments, &mut stored);
                sample(&stored, &channel, &mut [0.0; 300])
            };
            assert!(good(&moments));
            moments[place] = bad;
            assert!(!good(&moments), "{bad} at {place}");
        }
    }
}
