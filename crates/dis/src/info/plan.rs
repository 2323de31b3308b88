//! How much memory a network takes, before any of it is allocated.
//!
//! The terms are the buffers of [`dis_model::Activations`], in the same order. Left out is working
//! memory inside the kernels, which grows with threads more than with images and is a few per cent,
//! and what holds fewer numbers an image than a token does: labels, drop-path factors, the gradient
//! inside the time network.

use dis_model::{Conditioning, DisConfig, Skip, counts};
use ssm_kernels::selective_scan::Shape;
use ssm_kernels::{Backend, Cpu};

/// Bytes of one f32.
const F32: u64 = 4;

/// Weights, gradients, two moments and one average.
pub(crate) const STATE_BYTES_PER_PARAMETER: u64 = 5 * F32;

/// Weights, two moments and one average; gradients are not saved.
pub(crate) const CHECKPOINT_BYTES_PER_PARAMETER: u64 = 4 * F32;

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// A value pass alone: blocks share their buffers.
    Inference,
    /// A value pass that a gradient pass follows: every block keeps its own.
    Training,
}

/// Memory that training takes whatever the batch.
pub(crate) fn state_bytes(c: &DisConfig) -> u64 {
    counts::parameters(c) * STATE_BYTES_PER_PARAMETER
}

/// Size of one checkpoint.
pub(crate) fn checkpoint_bytes(c: &DisConfig) -> u64 {
    counts::parameters(c) * CHECKPOINT_BYTES_PER_PARAMETER
}

/// Size of a file of weights.
pub(crate) fn weight_bytes(c: &DisConfig) -> u64 {
    counts::parameters(c) * F32
}

/// Memory that every further image of a batch takes.
pub(crate) fn activation_bytes(c: &DisConfig, pass: Pass) -> u64 {
    activation_elements(c, pass) * F32
}

/// Elements of all buffers of one image.
fn activation_elements(c: &DisConfig, pass: Pass) -> u64 {
    let [l, d, p2] = [c.seq_len(), c.hidden_size, c.patch_size.pow(2)].map(|n| n as u64);
    let [channels, out_channels, output] =
        [c.channels, c.output_channels(), c.output_len()].map(|n| n as u64);
    let [blocks, in_blocks] = [c.n_blocks(), c.n_in_blocks()].map(|n| n as u64);
    let skips = if c.skip == Skip::None { 0 } else { in_blocks };
    let (ld, head_tokens) = (l * d, l * out_channels * p2);

    let embed = l * channels * p2 + 12 * d + ld;
    let head = 3 * ld + 3 * l + 2 * d + head_tokens;
    let common = embed + head + output;
    let block = saved_by_block(c);
    match pass {
        Pass::Inference => {
            let joined = if c.skip == Skip::None { 0 } else { ld };
            common + block + joined + (in_blocks + 2) * ld + 2 * ld + shared_by_blocks(c)
        }
        Pass::Training => {
            // Output and residual of every block, the joined operand of those with a skip.
            let kept = blocks * (block + scan_states(c) + 2 * ld) + skips * ld;
            let head_gradients = head_tokens + 2 * ld + 2 * d;
            let travelling = 2 * ld + skips * ld + d;
            let shared = shared_by_blocks(c) + gradients_in_block(c);
            common + kept + head_gradients + travelling + shared
        }
    }
}

/// What one block keeps for its gradient pass, apart from its output, residual and skip.
fn saved_by_block(c: &DisConfig) -> u64 {
    let [l, d, e, x] =
        [c.seq_len(), c.hidden_size, c.d_inner(), c.x_proj_width()].map(|n| n as u64);
    let norm = match c.conditioning {
        Conditioning::Token => l,
        Conditioning::Adaln => 2 * l + 2 * d,
    };
    // [x | z]; u of both orders; the sum of the scans; [delta_r | B | C] of both orders.
    l * (2 * e + 2 * e + e + 2 * x) + l * d + norm
}

/// What the scans of one block keep for its gradient pass.
fn scan_states(c: &DisConfig) -> u64 {
    let (seq_len, channels, states) = (c.seq_len(), c.d_inner(), c.d_state);
    Cpu.selective_scan_states_len(Shape { batch: 1, seq_len, channels, states }, 2) as u64
}

/// Buffers of both passes that blocks take turns with: delta of both orders, the gated output.
fn shared_by_blocks(c: &DisConfig) -> u64 {
    (c.seq_len() * 3 * c.d_inner()) as u64
}

/// Working memory of one block's gradient pass, shared by all.
fn gradients_in_block(c: &DisConfig) -> u64 {
    let [l, d, e, x] =
        [c.seq_len(), c.hidden_size, c.d_inner(), c.x_proj_width()].map(|n| n as u64);
    l * (e + 2 * e + 2 * e + 2 * e + 2 * x) + 2 * l * d + 2 * d
}

#[cfg(test)]
mod tests {
    use super::*;
    use dis_model::DisPreset;

    #[test]
    fn training_memory_of_a_wide_network_is_twenty_two_activations_a_block() {
        let c = DisConfig::official(DisPreset::H, 32, 4, 2, 1000);
        let per_block = activation_elements(&c, Pass::Training) as f64
            / (c.n_blocks() * c.seq_len() * c.hidden_size) as f64;
        assert!((21.5..23.5).contains(&per_block), "{per_block}");
        let ratio = activation_bytes(&c, Pass::Training) / activation_bytes(&c, Pass::Inference);
        assert!((10..40).contains(&ratio), "{ratio}");
    }

    #[test]
    fn skips_and_modulation_change_the_plan() {
        let c = DisConfig::official(DisPreset::S, 32, 3, 2, 10);
        let elements = |c: &DisConfig| activation_elements(c, Pass::Training);
        let none = DisConfig { skip: Skip::None, ..c.clone() };
        let ld = (c.seq_len() * c.hidden_size) as u64;
        assert_eq!(elements(&c) - elements(&none), 24 * ld);
        assert_eq!(state_bytes(&c), 20 * counts::parameters(&c));
    }
}
