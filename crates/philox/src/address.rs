//! What a random number is for, and where its words are.

use crate::block::{block, blocks};
use std::marker::PhantomData;

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
    /// Which samples an evaluation uses; position = number of the subset, sub = what it is for.
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
        self.fill::<u32, Words>(out);
    }

    /// The four words of the block that holds `lane`.
    #[inline]
    pub(crate) fn block_of(&self, lane: u64) -> [u32; 4] {
        assert!(lane < LANES, "lane {lane} of a philox address; there are {LANES}");
        let [a, b, c] = self.address;
        block([(lane / 4) as u32, a, b, c], self.key)
    }

    /// Fills `out` from lane 0 up, [`CHUNK`] lanes at a time, with the processor's widest vectors.
    pub(crate) fn fill<T: Copy + Default, C: Convert<T>>(&self, out: &mut [T]) {
        assert!(out.len() as u64 <= LANES, "{} elements of a philox address", out.len());
        pulp::Arch::new().dispatch(Fill::<T, C> { draws: self, out, convert: PhantomData });
    }

    /// The words of [`BLOCKS`] blocks, word by word, of a chunk of lanes.
    #[inline(always)]
    fn words_of_chunk(&self, chunk: usize) -> [[u32; BLOCKS]; 4] {
        let [a, b, c] = self.address;
        let first = (chunk * BLOCKS) as u32;
        let mut lanes = [0; BLOCKS];
        for (lane, i) in lanes.iter_mut().zip(0..) {
            *lane = first.wrapping_add(i);
        }
        blocks([lanes, [a; BLOCKS], [b; BLOCKS], [c; BLOCKS]], self.key)
    }
}

/// What is made of words. A type rather than a closure, because calls of closures are not always
/// inlined into what is compiled for an instruction set.
pub(crate) trait Convert<T> {
    /// Gets the words of [`BLOCKS`] blocks, word by word, and writes a chunk's elements in lane order.
    fn convert(words: &[[u32; BLOCKS]; 4], out: &mut [T; CHUNK]);
}

/// The words themselves.
struct Words;

impl Convert<u32> for Words {
    #[inline(always)]
    fn convert(words: &[[u32; BLOCKS]; 4], out: &mut [u32; CHUNK]) {
        interleave(words, out);
    }
}

/// Brings elements of [`BLOCKS`] blocks, word by word, into lane order.
#[inline(always)]
pub(crate) fn interleave<T: Copy>(words: &[[T; BLOCKS]; 4], out: &mut [T; CHUNK]) {
    let [first, second, third, fourth] = words;
    let (quads, _) = out.as_chunks_mut::<4>();
    for (i, quad) in quads.iter_mut().enumerate() {
        *quad = [first[i], second[i], third[i], fourth[i]];
    }
}

/// [`Draws::fill`], to be compiled for several instruction sets.
///
/// None of them changes a bit: operations are those of the source, in their order, and multiplications
/// and additions are never fused unless a program asks for it.
struct Fill<'a, T, C> {
    draws: &'a Draws,
    out: &'a mut [T],
    convert: PhantomData<C>,
}

impl<T: Copy + Default, C: Convert<T>> pulp::WithSimd for Fill<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let (chunks, rest) = self.out.as_chunks_mut::<CHUNK>();
        for (i, chunk) in chunks.iter_mut().enumerate() {
            C::convert(&self.draws.words_of_chunk(i), chunk);
        }
        if !rest.is_empty() {
            let mut last = [T::default(); CHUNK];
            C::convert(&self.draws.words_of_chunk(chunks.len()), &mut last);
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }
}

/// Blocks made at once by the `fill_*` functions: enough for loops over them to become vector code,
/// few enough for the processor's first cache.
pub(crate) const BLOCKS: usize = 32;
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
