//! Features by formulas.

use parity::Golden;
use rayon::prelude::*;

/// Columns of Inception's features.
pub(crate) const COLUMNS: usize = 2048;

/// Number `index` of a SplitMix64 stream.
fn raw(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add((index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The same in [0, 1).
pub(crate) fn unit(seed: u64, index: usize) -> f64 {
    (raw(seed, index as u64) >> 11) as f64 / (1u64 << 53) as f64
}

/// Rows of [`COLUMNS`] correlated numbers: seed 11, scale 1, shift 0 for F1 and 12, 1.1, 0.02 for F2.
///
/// `f_ij = s_j (scale u_ij + shift) + 0.25 s_j u_i[7 j + 1] u_i0`, `s_j = 1 / (1 + j / 32)`.
pub(crate) fn wide(seed: u64, rows: usize, scale: f64, shift: f64) -> Vec<f32> {
    let row = |i: usize| {
        let u: Vec<f64> = (0..COLUMNS).map(|j| unit(seed, i * COLUMNS + j)).collect();
        let element = move |j: usize| {
            let s = 1.0 / (1.0 + j as f64 / 32.0);
            let other = u[(7 * j + 1) % COLUMNS];
            (s * (scale * u[j] + shift) + ((0.25 * s) * other) * u[0]) as f32
        };
        (0..COLUMNS).map(element).collect::<Vec<f32>>()
    };
    (0..rows).into_par_iter().flat_map_iter(row).collect()
}

/// The first columns of rows.
pub(crate) fn first_columns(rows: &[f32], columns: usize) -> Vec<f32> {
    rows.chunks_exact(COLUMNS).flat_map(|row| row[..columns].to_vec()).collect()
}

/// Sum of the numbers' bits, each times its place from 1, in hexadecimal.
pub(crate) fn checksum(values: &[f32]) -> String {
    let term = |(i, x): (usize, &f32)| (i as u64 + 1).wrapping_mul(u64::from(x.to_bits()));
    let sum = values.iter().enumerate().map(term).fold(0u64, u64::wrapping_add);
    format!("{sum:016x}")
}

/// X, 300 rows, or Y, 260 rows, of 24 columns.
pub(crate) fn narrow(name: &str) -> Vec<f32> {
    Golden::open(golden("features.safetensors")).f32(name)
}

/// A file of goldens.
pub(crate) fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}
