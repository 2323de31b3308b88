//! Central differences, the judge of every gradient.

/// `(f(x + h e_i) - f(x - h e_i)) / 2h`.
pub fn central_difference(
    f: &mut impl FnMut(&[f64]) -> f64,
    x: &[f64],
    index: usize,
    h: f64,
) -> f64 {
    let mut moved = x.to_vec();
    moved[index] = x[index] + h;
    let above = f(&moved);
    moved[index] = x[index] - h;
    let below = f(&moved);
    (above - below) / (2.0 * h)
}

/// Compares `gradient` with central differences of `f` at up to `probes` places spread over `x`.
///
/// The error allowed is `tolerance` times the largest gradient element.
///
/// # Panics
/// With the operand's name and place where the two disagree.
#[track_caller]
pub fn check_gradient(
    what: &str,
    mut f: impl FnMut(&[f64]) -> f64,
    x: &[f64],
    gradient: &[f64],
    probes: usize,
    tolerance: f64,
) {
    assert_eq!(x.len(), gradient.len(), "{what}: gradient has another length than the operand");
    let largest = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    let stride = x.len().div_ceil(probes.max(1)).max(1);
    for index in (0..x.len()).step_by(stride) {
        let h = 1e-5 * x[index].abs().max(1.0);
        let numeric = central_difference(&mut f, x, index, h);
        let error = (numeric - gradient[index]).abs();
        assert!(
            error <= tolerance * largest.max(1e-8),
            "d/d{what}[{index}]: explicit {:e}, central difference {numeric:e} \
             (largest gradient {largest:e}, allowed {tolerance:.0e} of it)",
            gradient[index],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_right_gradient_and_refuses_a_wrong_one() {
        let f = |x: &[f64]| x[0] * x[0] + 3.0 * x[1];
        check_gradient("x", f, &[2.0, 1.0], &[4.0, 3.0], 2, 1e-9);
        let wrong = std::panic::catch_unwind(|| {
            check_gradient("x", f, &[2.0, 1.0], &[4.0, 2.9], 2, 1e-9);
        });
        assert!(wrong.is_err());
    }
}
