//! Numbers by formula: splitmix64 streams, their checksums, and what the goldens make of them.

use super::Features;

/// Output `i` of seed `s`.
fn word(seed: u64, i: u64) -> u64 {
    let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Number `i` of seed `s`, uniform in [0, 1).
pub(crate) fn unit(seed: u64, i: usize) -> f64 {
    (word(seed, i as u64) >> 11) as f64 / (1u64 << 53) as f64
}

/// Sum of `(i + 1) bits_i` modulo 2^64, as the goldens print it.
pub(crate) fn checksum(values: &[f32]) -> String {
    let terms = values.iter().zip(1u64..).map(|(x, i)| i.wrapping_mul(u64::from(x.to_bits())));
    format!("{:016x}", terms.fold(0, u64::wrapping_add))
}

/// `X`, `[300, 24]`.
pub(crate) fn x() -> Features {
    Features { values: (0..300 * 24).map(|i| unit(1, i) as f32).collect(), dim: 24 }
}

/// `Y`, `[260, 24]`.
pub(crate) fn y() -> Features {
    let value = |i: usize| unit(2, i) * 1.1 + 0.05;
    let mixed = |i| if i % 24 == 1 { value(i) + 0.5 * value(i - 1) } else { value(i) };
    Features { values: (0..260 * 24).map(|i| mixed(i) as f32).collect(), dim: 24 }
}

/// Features of 2048 numbers with a spectrum like Inception's: `F1` is seed 11, scale 1, shift 0, `F2` seed
/// 12, scale 1.1, shift 0.02.
pub(crate) fn spectrum(seed: u64, rows: usize, scale: f64, shift: f64) -> Features {
    const DIM: usize = 2048;
    let value = |at: usize| {
        let (row, j) = (at / DIM * DIM, at % DIM);
        let size = 1.0 / (1.0 + j as f64 / 32.0);
        let own = size * (scale * unit(seed, at) + shift);
        let other = 0.25 * size * unit(seed, row + (7 * j + 1) % DIM) * unit(seed, row);
        (own + other) as f32
    };
    Features { values: (0..rows * DIM).map(value).collect(), dim: DIM }
}
