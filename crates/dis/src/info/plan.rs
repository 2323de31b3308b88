//! How much memory a network takes, before any of it is allocated.
//!
//! The terms are the buffers of [`dis_model::Activations`], in the same order, and the images of a
//! batch. Left out is what holds fewer numbers an image than a token does: labels, drop-path factors,
//! the gradient inside the time network; and on the CPU working memory inside the kernels, which grows
//! with threads more than with images and is a few per cent.

use crate::precision::PrecisionArg;
use dis_model::{Conditioning, DisConfig, Recompute, Skip, counts};
use ssm_kernels::selective_scan::Shape;
use ssm_kernels::{Backend, Cpu};
use std::ops::{Add, Mul};

/// Bytes of one f32.
const F32: u64 = 4;

/// Tokens between two states that a scan keeps on a device.
pub(crate) const DEVICE_TILE: u64 = 16;

/// Channels of a block of the scan's gradient pass on a device.
const DEVICE_CHANNELS: u64 = 64;

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// A value pass alone: blocks share their buffers.
    Inference,
    /// A value pass that a gradient pass follows: every block keeps what is not made again.
    Training(Recompute),
}

impl Pass {
    /// With a gradient pass that makes nothing again.
    pub(crate) const TRAINING: Self = Self::Training(Recompute::None);
}

/// Where a network computes, as far as memory goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The CPU, where activations are f32.
    Cpu,
    /// A device, with activations of that format.
    Device(PrecisionArg),
}

impl Place {
    /// Bytes of one element of an activation.
    fn act_bytes(self) -> u64 {
        match self {
            Self::Cpu | Self::Device(PrecisionArg::F32) => F32,
            Self::Device(PrecisionArg::Bf16) => 2,
        }
    }

    /// Weights, gradients, two moments and the averages; on a device the weights once more, as
    /// products read them.
    pub(crate) fn state_bytes_per_parameter(self, averages: usize) -> u64 {
        let copy = if self == Self::Cpu { 0 } else { self.act_bytes() };
        (4 + averages as u64) * F32 + copy
    }
}

/// Memory that training takes whatever the batch, with so many averages of the weights.
pub(crate) fn state_bytes(c: &DisConfig, place: Place, averages: usize) -> u64 {
    counts::parameters(c) * place.state_bytes_per_parameter(averages)
}

/// Averages in words, behind other things that are kept.
pub(crate) fn averages_in_words(averages: usize) -> String {
    if averages == 1 { "average".into() } else { format!("{averages} averages") }
}

/// Size of one checkpoint: weights, two moments and the averages; gradients are not saved.
pub(crate) fn checkpoint_bytes(c: &DisConfig, averages: usize) -> u64 {
    counts::parameters(c) * (3 + averages as u64) * F32
}

/// Size of a file of weights.
pub(crate) fn weight_bytes(c: &DisConfig) -> u64 {
    counts::parameters(c) * F32
}

/// Memory of the weights of a network for value passes.
pub(crate) fn loaded_bytes(c: &DisConfig, place: Place) -> u64 {
    let copy = if place == Place::Device(PrecisionArg::Bf16) { place.act_bytes() } else { 0 };
    counts::parameters(c) * (F32 + copy)
}

/// Memory that every further image of a batch takes.
pub(crate) fn activation_bytes(c: &DisConfig, pass: Pass, place: Place) -> u64 {
    let Image { blocks, scans, rest } = image(c, pass, place);
    (blocks + scans + rest).bytes(place)
}

/// Buffers of one image.
pub(crate) struct Image {
    /// Those of which every block has its own, or all one set.
    pub(crate) blocks: Elements,
    /// What the scans of every block, or of one at a time, keep for the gradient pass.
    pub(crate) scans: Elements,
    /// Embedding, head, and what blocks take turns with.
    pub(crate) rest: Elements,
}

/// Elements of buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Elements {
    /// In the format of activations.
    act: u64,
    /// In f32, whatever that format.
    wide: u64,
}

impl Elements {
    fn act(n: u64) -> Self {
        Self { act: n, wide: 0 }
    }

    fn wide(n: u64) -> Self {
        Self { act: 0, wide: n }
    }

    /// Bytes of all.
    pub(crate) fn bytes(self, place: Place) -> u64 {
        self.act * place.act_bytes() + self.wide * F32
    }
}

impl Add for Elements {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { act: self.act + other.act, wide: self.wide + other.wide }
    }
}

impl Mul<u64> for Elements {
    type Output = Self;

    fn mul(self, n: u64) -> Self {
        Self { act: self.act * n, wide: self.wide * n }
    }
}

/// Elements of all buffers of one image.
pub(crate) fn image(c: &DisConfig, pass: Pass, place: Place) -> Image {
    let [l, d, p2] = [c.seq_len(), c.hidden_size, c.patch_size.pow(2)].map(|n| n as u64);
    let [channels, out_channels] = [c.channels, c.output_channels()].map(|n| n as u64);
    let [pixels, output] = [c.image_len(), c.output_len()].map(|n| n as u64);
    let [n_blocks, in_blocks] = [c.n_blocks(), c.n_in_blocks()].map(|n| n as u64);
    let skips = if c.skip == Skip::None { 0 } else { in_blocks };
    let (ld, head_tokens) = (l * d, l * out_channels * p2);
    let (act, wide) = (Elements::act, Elements::wide);

    let embed = act(l * channels * p2 + 12 * d + ld);
    let head = act(2 * ld + 2 * d + head_tokens) + wide(ld + 3 * l);
    let common = embed + head + wide(output) + shared_by_blocks(c);
    let block = saved_by_block(c);
    let kernels = inside_kernels(c, pass, place);
    match pass {
        Pass::Inference => {
            let joined = if c.skip == Skip::None { 0 } else { ld };
            let blocks = block + act(joined + (in_blocks + 2) * ld) + wide(2 * ld);
            let rest = common + wide(pixels) + kernels;
            Image { blocks, scans: Elements::default(), rest }
        }
        Pass::Training(recompute) => {
            // Blocks that are made again take turns with one set of buffers.
            let (sets, joined) = match recompute {
                Recompute::Block => (1, skips.min(1)),
                _ => (n_blocks, skips),
            };
            let scan_sets = if recompute == Recompute::None { n_blocks } else { 1 };
            // Output and residual of every block, the joined operand of those with a skip.
            let blocks = block * sets + (act(ld) + wide(ld)) * n_blocks + act(joined * ld);
            let scans = kept_by_scans(c, place) * scan_sets;
            let head_gradients = act(head_tokens + 2 * ld + 2 * d);
            let travelling = act(ld + skips * ld + d) + wide(ld);
            // Image, noise, their mixture, the gradient of the output.
            let images = wide(3 * pixels + output);
            let gradients = gradients_in_block(c) + head_gradients + travelling;
            Image { blocks, scans, rest: common + gradients + images + kernels }
        }
    }
}

/// What one block keeps for its gradient pass, apart from its output, residual, skip and scans.
fn saved_by_block(c: &DisConfig) -> Elements {
    let [l, d, e, x] =
        [c.seq_len(), c.hidden_size, c.d_inner(), c.x_proj_width()].map(|n| n as u64);
    let norm = match c.conditioning {
        Conditioning::Token => Elements::wide(l),
        Conditioning::Adaln => Elements::wide(2 * l) + Elements::act(2 * d),
    };
    // Factors of three segments in both orders.
    let segments = Elements::wide(if c.normalize_ssm_inputs { 2 * 3 * l } else { 0 });
    // [x | z]; u of both orders; [delta_r | B | C] of both orders.
    Elements::act(l * (2 * e + 2 * e + 2 * x) + l * d) + norm + segments
}

/// What the scans of one block keep for its gradient pass: their sum before the gate, and states.
fn kept_by_scans(c: &DisConfig, place: Place) -> Elements {
    Elements::act((c.seq_len() * c.d_inner()) as u64) + Elements::wide(scan_states(c, place))
}

/// States on the way of the scans of one block, both orders.
fn scan_states(c: &DisConfig, place: Place) -> u64 {
    let (seq_len, channels, states) = (c.seq_len(), c.d_inner(), c.d_state);
    match place {
        Place::Cpu => {
            let shape = Shape { batch: 1, seq_len, channels, states };
            Cpu.selective_scan_states_len(shape, 2) as u64
        }
        Place::Device(_) => {
            let tiles = (seq_len as u64).div_ceil(DEVICE_TILE);
            2 * tiles.saturating_sub(1) * (channels * states) as u64
        }
    }
}

/// Buffers of both passes that blocks take turns with: delta of both orders, the gated output.
fn shared_by_blocks(c: &DisConfig) -> Elements {
    Elements::act((c.seq_len() * 3 * c.d_inner()) as u64)
}

/// Working memory of one block's gradient pass, shared by all.
fn gradients_in_block(c: &DisConfig) -> Elements {
    let [l, d, e, x] =
        [c.seq_len(), c.hidden_size, c.d_inner(), c.x_proj_width()].map(|n| n as u64);
    Elements::act(l * (e + 2 * e + 2 * e + 2 * e + 2 * x) + 2 * l * d + 2 * d)
}

/// Working memory inside the kernels of a device, of which the scan needs most.
fn inside_kernels(c: &DisConfig, pass: Pass, place: Place) -> Elements {
    let [l, e, n] = [c.seq_len(), c.d_inner(), c.d_state].map(|n| n as u64);
    match (place, pass) {
        (Place::Cpu, _) => Elements::default(),
        (Place::Device(_), Pass::Inference) => Elements::wide(2 * l * e),
        (Place::Device(_), Pass::Training(_)) => {
            let of_b_and_c = 2 * l * e.div_ceil(DEVICE_CHANNELS) * 2 * n;
            Elements::wide(of_b_and_c + 2 * e * (n + 2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dis_model::DisPreset;

    const BF16: Place = Place::Device(PrecisionArg::Bf16);

    #[test]
    fn training_memory_of_a_wide_network_is_twenty_two_activations_a_block() {
        let c = DisConfig::official(DisPreset::H, 32, 4, 2, 1000);
        let bytes = |pass| activation_bytes(&c, pass, Place::Cpu);
        let elements = (bytes(Pass::TRAINING) / F32) as f64;
        let per_block = elements / (c.n_blocks() * c.seq_len() * c.hidden_size) as f64;
        assert!((21.5..23.5).contains(&per_block), "{per_block}");
        let ratio = bytes(Pass::TRAINING) / bytes(Pass::Inference);
        assert!((10..40).contains(&ratio), "{ratio}");
    }

    #[test]
    fn skips_and_norms_of_scan_inputs_change_the_plan() {
        let c = DisConfig::official(DisPreset::S, 32, 3, 2, 10);
        let bytes = |c: &DisConfig| activation_bytes(c, Pass::TRAINING, Place::Cpu);
        let none = DisConfig { skip: Skip::None, ..c.clone() };
        let ld = (c.seq_len() * c.hidden_size) as u64;
        assert_eq!(bytes(&c) - bytes(&none), 24 * ld * F32);
        let normed = DisConfig { normalize_ssm_inputs: true, ..c.clone() };
        assert_eq!(bytes(&normed) - bytes(&c), 25 * 6 * c.seq_len() as u64 * F32);
    }

    #[test]
    fn a_device_has_shorter_activations_and_one_more_copy_of_the_weights() {
        let c = DisConfig::official(DisPreset::S, 32, 3, 2, 0);
        let parameters = counts::parameters(&c);
        assert_eq!(state_bytes(&c, Place::Cpu, 1), 20 * parameters);
        assert_eq!(state_bytes(&c, BF16, 1), 22 * parameters);
        // Every further average is one arena more, in memory and on the disk.
        assert_eq!(state_bytes(&c, BF16, 3), 30 * parameters);
        assert_eq!([1, 3].map(|n| checkpoint_bytes(&c, n)), [16 * parameters, 24 * parameters]);
        assert_eq!((weight_bytes(&c), loaded_bytes(&c, BF16)), (4 * parameters, 6 * parameters));
        let short = image(&c, Pass::TRAINING, BF16);
        let long = image(&c, Pass::TRAINING, Place::Device(PrecisionArg::F32));
        assert_eq!(short.blocks, long.blocks);
        // States stay f32.
        let (tokens, e) = (c.seq_len() as u64, c.d_inner() as u64);
        let states = 4 * 2 * 16 * 16 * e;
        assert_eq!(short.scans.bytes(BF16), 25 * (2 * tokens * e + states));
    }

    #[test]
    fn what_is_made_again_is_kept_once() {
        let c = DisConfig::official(DisPreset::S, 32, 3, 2, 0);
        let plan = |recompute| image(&c, Pass::Training(recompute), BF16);
        let [none, scan, block] = [Recompute::None, Recompute::Scan, Recompute::Block].map(plan);
        assert_eq!(none.blocks, scan.blocks);
        assert_eq!(none.scans, scan.scans * 25);
        assert_eq!(scan.scans, block.scans);
        // Hidden state and residual of every block stay.
        assert!(block.blocks.bytes(BF16) * 2 < none.blocks.bytes(BF16));
    }

    #[cfg(feature = "emulated")]
    #[test]
    fn scans_keep_on_a_device_what_the_plan_says() {
        use ssm_kernels::device::{Device, emulated::Fast};
        let device = Device::<f32, Fast>::new(Fast::new().unwrap().into());
        for image_size in [8, 32, 64] {
            let c = DisConfig::official(DisPreset::S, image_size, 3, 2, 10);
            let (seq_len, channels, states) = (c.seq_len(), c.d_inner(), c.d_state);
            let shape = Shape { batch: 1, seq_len, channels, states };
            let there = device.selective_scan_states_len(shape, 2) as u64;
            assert_eq!(scan_states(&c, BF16), there);
        }
    }
}
