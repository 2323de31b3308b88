//! What a random number is for, and where its words are.

use crate::block::{block, blocks};

/// Lanes of one address: `lane / 4` is a 32-bit word of the counter.
pub const LANES: u64 = 1 << 34;

/// What a random number is used for.
///
/// The numbers are fixed for ever; 15 and up are free. *Sub* is the second part of the address,
/// zero where the table says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Order of the samples of an epoch; position = epoch, sub = round of [`crate::Permutation`].
    Shuffle = 1,
    /// Whether a training image is mirrored.
    HorizontalFlip = 2,
    /// Noise of the autoencoder's posterior.
    VaePosteriorNoise = 3,
    /// The diffusion timestep of a training sample.
    Timestep = 4,
    /// The noise added to a training sample.
    DiffusionNoise = 5,
    /// Whether a training label is replaced by the null class.
    LabelDrop = 6,
    /// Whether a block is skipped for a training sample; sub = block.
    DropPath = 7,
    /// Initial weights; position = [`name_position`] of the parameter, lane = element.
    ParameterInitialisation = 8,
    /// Random crops of training images.
    Crop = 9,
    /// The noise that sampling starts from; position = image index.
    InitialNoise = 10,
    /// The noise that a sampler adds; position = image index, sub = sampler step.
    SampleStepNoise = 11,
    /// The label of a sampled image; position = image index.
    SampleLabel = 12,
    /// Generated data sets; position = index in the data set.
    SyntheticData = 13,
    /// Which samples an evaluation uses.
    EvaluationSubset = 14,
}

/// The random numbers of one `(seed, purpose, sub, position)`: [`LANES`] words, read in any order.
///
/// A plain value of 20 bytes: making one costs nothing, reading a word costs one Philox block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    key: [u32; 2],
    /// Counter words 1 to 3: purpose and sub, position low, position high.
    address: [u32; 3],
}

impl Draws {
    /// The numbers for `purpose` at `position`, with sub 0.
    pub const fn new(seed: u64, purpose: Purpose, position: u64) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            address: [purpose as u32, position as u32, (position >> 32) as u32],
        }
    }

    /// The same address with another `sub`: a block, a sampler step.
    ///
    /// # Panics
    /// When `sub` needs more than 24 bits.
    #[must_use]
    pub const fn sub(mut self, sub: u32) -> Self {
        assert!(sub < 1 << 24, "sub of a philox address has 24 bits");
        self.address[0] = self.address[0] & 0xFF | sub << 8;
        self
    }

    /// The random word of a lane.
    ///
    /// # Panics
    /// When `lane` is not below [`LANES`].
    #[inline]
    pub fn word(&self, lane: u64) -> u32 {
        self.block_of(lane)[(lane % 4) as usize]
    }

    /// Fills `out` with words: element `i` is the word of lane `i`.
    ///
    /// # Panics
    /// When `out` is longer than [`LANES`].
    pub fn fill_words(&self, out: &mut [u32]) {
        self.fill(out, |words, out: &mut [u32; CHUNK]| {
            for (out, i) in out.chunks_exact_mut(4).zip(0..BLOCKS) {
                out.copy_from_slice(&words.map(|w| w[i]));
            }
        });
    }

    /// The four words of the block that holds `lane`.
    #[inline]
    pub(crate) fn block_of(&self, lane: u64) -> [u32; 4] {
        assert!(lane < LANES, "lane {lane} of a philox address; there are {LANES}");
        let [a, b, c] = self.address;
        block([(lane / 4) as u32, a, b, c], self.key)
    }

    /// Fills `out` from lane 0 up, [`CHUNK`] lanes at a time. `convert` gets the words of
    /// [`BLOCKS`] blocks, word by word, and writes the chunk's elements in lane order.
    #[inline(always)]
    pub(crate) fn fill<T: Copy + Default>(
        &self,
        out: &mut [T],
        convert: impl Fn(&[[u32; BLOCKS]; 4], &mut [T; CHUNK]),
    ) {
        assert!(out.len() as u64 <= LANES, "{} elements of a philox address", out.len());
        let [a, b, c] = self.address;
        let words_from = |chunk: usize| {
            let first = (chunk * BLOCKS) as u32;
            let lanes = std::array::from_fn(|i| first.wrapping_add(i as u32));
            blocks([lanes, [a; BLOCKS], [b; BLOCKS], [c; BLOCKS]], self.key)
        };
        let (chunks, rest) = out.as_chunks_mut::<CHUNK>();
        for (i, chunk) in chunks.iter_mut().enumerate() {
            convert(&words_from(i), chunk);
        }
        if !rest.is_empty() {
            let mut last = [T::default(); CHUNK];
            convert(&words_from(chunks.len()), &mut last);
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }
}

/// Blocks made at once by the `fill_*` functions.
pub(crate) const BLOCKS: usize = 16;
/// Words of that many blocks.
pub(crate) const CHUNK: usize = 4 * BLOCKS;

/// The position of a parameter in [`Purpose::ParameterInitialisation`]: 64-bit FNV-1a of its name.
pub const fn name_position(name: &str) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325;
    let bytes = name.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01B3);
        i += 1;
    }
    hash
}
