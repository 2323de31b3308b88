//! What is drawn for training samples beside their noise, each at its own address.

use philox::{Draws, Purpose};

/// Puts the null class in the place of dropped labels.
pub(crate) fn labels(
    seed: u64,
    dropout: f64,
    null: u32,
    labels: &[u32],
    positions: &[u64],
    out: &mut [u32],
) {
    for ((to, &label), &position) in out.iter_mut().zip(labels).zip(positions) {
        let draws = Draws::new(seed, Purpose::LabelDrop, position);
        *to = if draws.bernoulli(0, dropout) { null } else { label };
    }
}

/// Fills the drop-path factors `[rates, positions]`: 0, or 1 / keep probability.
pub(crate) fn drop_path(
    seed: u64,
    rates: impl IntoIterator<Item = f64>,
    positions: &[u64],
    out: &mut [f32],
) {
    let rows = out.chunks_exact_mut(positions.len());
    for ((addition, factors), rate) in (0u32..).zip(rows).zip(rates) {
        for (factor, &position) in factors.iter_mut().zip(positions) {
            let draws = Draws::new(seed, Purpose::DropPath, position).sub(addition);
            *factor = if draws.bernoulli(0, rate) { 0.0 } else { (1.0 / (1.0 - rate)) as f32 };
        }
    }
}
