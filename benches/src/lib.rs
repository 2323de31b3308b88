//! What the benches share: networks ready to run, and the PyTorch process they take turns with.
#![forbid(unsafe_code)]

mod peer;
mod workload;

pub use peer::Peer;
pub use workload::Workload;

/// Median of the values; the mean of the middle two for an even number.
///
/// # Panics
/// When there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    (sorted[n / 2] + sorted[(n - 1) / 2]) / 2.0
}

#[cfg(test)]
mod tests {
    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(super::median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(super::median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
