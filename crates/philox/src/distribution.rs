//! Uniforms, normals, integers and coins from the words of an address.

use crate::address::{BLOCKS, CHUNK, Convert, Draws, LANES, interleave};
use crate::elementary::{ln_unit, sin_cos_turn};

impl Draws {
    /// Uniform in [0, 1): the word's high 24 bits times 2^-24, exact in f32. One lane.
    ///
    /// # Panics
    /// When `lane` is not below [`LANES`].
    #[inline]
    pub fn uniform(&self, lane: u64) -> f32 {
        uniform_of(self.word(lane))
    }

    /// Standard normal, at most 6.66 from zero. One lane, but see [`Draws::normal_f64`].
    ///
    /// # Panics
    /// When `lane` is not below [`LANES`].
    #[inline]
    pub fn normal(&self, lane: u64) -> f32 {
        self.normal_f64(lane) as f32
    }

    /// Standard normal before it is rounded to f32; absolute error below 2e-15 (1.3e-15 measured).
    ///
    /// Box-Muller on the words `a`, `b` of lanes `2j`, `2j + 1`, which give the normals of the same
    /// two lanes: `(r cos theta, r sin theta)` with `r = sqrt(-2 ln((a+1) 2^-32))` and
    /// `theta = 2 pi b 2^-32`.
    /// A lane read as a normal is therefore not independent of its pair read as anything else.
    ///
    /// # Panics
    /// When `lane` is not below [`LANES`].
    #[inline]
    pub fn normal_f64(&self, lane: u64) -> f64 {
        let words = self.block_of(lane);
        let pair = (lane % 4 / 2 * 2) as usize;
        let (first, second) = box_muller(words[pair], words[pair + 1]);
        if lane.is_multiple_of(2) { first } else { second }
    }

    /// Uniform integer below `n`, from the words of **two** lanes, `lane` and `lane + 1`.
    ///
    /// The high 64 bits of `x n` for the 64-bit number `x` whose high half is the first word. For
    /// n < 2^32 no integer is more likely than another by more than a factor of 1 + 2^-32.
    ///
    /// # Panics
    /// When `n` is zero or `lane + 1` is not below [`LANES`].
    #[inline]
    pub fn below(&self, lane: u64, n: u64) -> u64 {
        assert!(n > 0, "no integer is below zero");
        assert!(lane < LANES - 1, "lanes {lane} and the next; there are {LANES}");
        let x = u64::from(self.word(lane)) << 32 | u64::from(self.word(lane + 1));
        ((u128::from(x) * u128::from(n)) >> 64) as u64
    }

    /// True with probability `p`: [`Draws::uniform`] is below `p`. One lane.
    ///
    /// # Panics
    /// When `lane` is not below [`LANES`].
    #[inline]
    pub fn bernoulli(&self, lane: u64, p: f64) -> bool {
        f64::from(self.uniform(lane)) < p
    }

    /// Fills `out` with uniforms: element `i` is [`Draws::uniform`] of lane `i`.
    ///
    /// # Panics
    /// When `out` is longer than [`LANES`].
    pub fn fill_uniform(&self, out: &mut [f32]) {
        self.fill::<f32, Uniforms>(out);
    }

    /// Fills `out` with standard normals: element `i` is [`Draws::normal`] of lane `i`, exactly.
    ///
    /// # Panics
    /// When `out` is longer than [`LANES`].
    pub fn fill_normal(&self, out: &mut [f32]) {
        self.fill::<f32, Normals>(out);
    }
}

struct Uniforms;

impl Convert<f32> for Uniforms {
    #[inline(always)]
    fn convert(words: &[[u32; BLOCKS]; 4], out: &mut [f32; CHUNK]) {
        interleave(&words.map(|word| word.map(uniform_of)), out);
    }
}

struct Normals;

impl Convert<f32> for Normals {
    #[inline(always)]
    fn convert(words: &[[u32; BLOCKS]; 4], out: &mut [f32; CHUNK]) {
        // Word by word, then in lane order: loops of their own become vector code.
        let mut by_word = [[0.0f32; BLOCKS]; 4];
        for pair in [0, 2] {
            for i in 0..BLOCKS {
                let (first, second) = box_muller(words[pair][i], words[pair + 1][i]);
                by_word[pair][i] = first as f32;
                by_word[pair + 1][i] = second as f32;
            }
        }
        interleave(&by_word, out);
    }
}

#[inline(always)]
fn uniform_of(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

#[inline(always)]
fn box_muller(a: u32, b: u32) -> (f64, f64) {
    let r = (-2.0 * ln_unit(a)).sqrt();
    let (sin, cos) = sin_cos_turn(b);
    (r * cos, r * sin)
}
