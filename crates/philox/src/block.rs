//! Philox4x32-10: four random words from a counter and a key.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_INCREMENTS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Four random 32-bit words: Philox4x32 with ten rounds.
///
/// # Source
/// Salmon et al., SC 2011, section 4; the published known answers are this crate's tests.
#[inline]
pub fn block(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    blocks(counter.map(|word| [word]), key).map(|[word]| word)
}

/// `N` blocks of one key, word by word: counter `i` is `[c[i] for c in counters]`.
///
/// The structure of arrays is what lets the compiler use vector multiplications.
#[inline(always)]
pub(crate) fn blocks<const N: usize>(counters: [[u32; N]; 4], key: [u32; 2]) -> [[u32; N]; 4] {
    let mut words = counters;
    let mut key = key;
    for _ in 0..ROUNDS {
        words = round(words, key);
        key[0] = key[0].wrapping_add(KEY_INCREMENTS[0]);
        key[1] = key[1].wrapping_add(KEY_INCREMENTS[1]);
    }
    words
}

#[inline(always)]
fn round<const N: usize>(c: [[u32; N]; 4], key: [u32; 2]) -> [[u32; N]; 4] {
    let mut next = [[0; N]; 4];
    for i in 0..N {
        let first = u64::from(MULTIPLIERS[0]) * u64::from(c[0][i]);
        let second = u64::from(MULTIPLIERS[1]) * u64::from(c[2][i]);
        next[0][i] = (second >> 32) as u32 ^ c[1][i] ^ key[0];
        next[1][i] = second as u32;
        next[2][i] = (first >> 32) as u32 ^ c[3][i] ^ key[1];
        next[3][i] = first as u32;
    }
    next
}
