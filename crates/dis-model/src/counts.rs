//! Parameters and arithmetic of a network, in closed form.
//!
//! One FLOP is one multiplication or addition, so a product of matrices counts twice its
//! multiply-adds. The paper's own figures count only modules with a plain linear or convolution
//! forward, which leaves out the whole mixer: the true cost is about eight times higher.

use crate::config::{Conditioning, DisConfig, Skip};

/// Number of parameters; equals the length of the arena.
pub fn parameters(c: &DisConfig) -> u64 {
    let [d, e, n, k, r] =
        [c.hidden_size, c.d_inner(), c.d_state, c.d_conv, c.delta_rank()].map(|x| x as u64);
    let [p2, channels, out, l, classes] =
        [c.patch_size.pow(2), c.channels, c.output_channels(), c.seq_len(), c.num_classes]
            .map(|x| x as u64);
    let (blocks, skips) = (c.n_blocks() as u64, c.n_in_blocks() as u64);
    let one_order = e * (r + 2 * n) + r * e + e + e * n + e + (k + 1) * e;
    let mixer = 3 * d * e + 2 * one_order;
    let norm = match c.conditioning {
        Conditioning::Token => d,
        Conditioning::Adaln => 2 * d * d + 2 * d,
    };
    let skip = if c.skip == Skip::Concat { skips * (2 * d * d + d) } else { 0 };
    let time = 8 * d * d + 5 * d;
    let patch = d * (1 + channels * p2);
    let head = out * p2 * (d + 1) + if c.has_final_adaln() { 2 * d * d + 2 * d } else { 0 };
    let label = if c.is_conditional() { (classes + 1) * d } else { 0 };
    blocks * (mixer + norm) + skip + time + patch + d * l + d + head + label
}

/// FLOPs of the matrix products and convolutions of one value pass of one image.
pub fn gemm_flops(c: &DisConfig) -> f64 {
    let [d, e, k, r] = [c.hidden_size, c.d_inner(), c.d_conv, c.delta_rank()].map(|x| x as f64);
    let [p2, l, j] = [c.patch_size.pow(2), c.seq_len(), c.n_patches()].map(|x| x as f64);
    let (blocks, skips) = (c.n_blocks() as f64, c.n_in_blocks() as f64);
    let (channels, out) = (c.channels as f64, c.output_channels() as f64);
    let per_order = e * c.x_proj_width() as f64 + r * e + e * k;
    let mixer = l * (d * 2.0 * e + e * d + 2.0 * per_order);
    let modulation = if c.conditioning == Conditioning::Adaln { 2.0 * d * d } else { 0.0 };
    let skip = if c.skip == Skip::Concat { skips * l * 2.0 * d * d } else { 0.0 };
    let head = l * d * out * p2 + if c.has_final_adaln() { 2.0 * d * d } else { 0.0 };
    let embed = j * channels * p2 * d + 8.0 * d * d;
    2.0 * (blocks * (mixer + modulation) + skip + head + embed)
}

/// FLOPs of the scans of one value pass of one image: `7N + 4` per order, token and channel, an
/// exponential counted as one.
pub fn scan_flops(c: &DisConfig) -> f64 {
    let per_element = (7 * c.d_state + 4) as f64;
    (c.n_blocks() * 2 * c.seq_len() * c.d_inner()) as f64 * per_element
}

/// True FLOPs of one value pass of one image: products, convolutions and scans. Norms, those of the
/// scans' inputs among them, and other steps between these are below a hundredth and left out.
pub fn flops(c: &DisConfig) -> f64 {
    gemm_flops(c) + scan_flops(c)
}

/// FLOPs as the paper counts them (its table 1): patch convolution, time network, skip linears,
/// final linear and norms; no mixer.
pub fn paper_flops(c: &DisConfig) -> f64 {
    let d = c.hidden_size as f64;
    let [p2, l, j] = [c.patch_size.pow(2), c.seq_len(), c.n_patches()].map(|x| x as f64);
    let skip = if c.skip == Skip::Concat { c.n_in_blocks() as f64 * l * 2.0 * d * d } else { 0.0 };
    let (channels, out) = (c.channels as f64, c.output_channels() as f64);
    2.0 * (8.0 * d * d + skip + l * d * out * p2 + j * d * channels * p2 + 2.0 * l * d)
}
