//! A step that goes further down than asked, and back up with new noise.

/// The parts of a step from one noise per data, `sigma`, to a lower one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AncestralStep {
    /// `sigma` where the deterministic part ends.
    pub down: f64,
    /// Standard deviation of the noise that is then added: `down² + up² = sigma'²`.
    pub up: f64,
}

/// `up = min(sigma', eta sigma' sqrt(1 - sigma'²/sigma²))`, `down = sqrt(sigma'² - up²)`.
///
/// With `eta = 1`, `up²` is the variance of the posterior of DDPM; `eta = 0` adds nothing. `sigma` may be
/// infinite: noise alone.
///
/// Source: k-diffusion; in other letters arXiv 2010.02502 equation 16.
pub fn ancestral_step(sigma: f64, sigma_next: f64, eta: f64) -> AncestralStep {
    let fallen = 1.0 - (sigma_next / sigma).powi(2);
    let up = sigma_next.min(eta * sigma_next * fallen.max(0.0).sqrt());
    AncestralStep { down: (sigma_next * sigma_next - up * up).sqrt(), up }
}
