//! Ten thousand damaged files: each is refused or read, and nothing panics.

mod common;

use common::{fixture, open};
use torch_file::{TorchFileError, Value};

const FILES: u64 = 10_000;

/// Numbers that lengths and offsets are compared with.
const INTERESTING: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 1 << 63, u64::MAX];

/// A generator of its own, so that a trial is the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

/// `source` after one to four changes that depend on `trial` alone.
fn mutated(source: &[u8], trial: u64) -> Vec<u8> {
    let mut random = Random(trial << 32);
    let mut bytes = source.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(6) {
            0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << random.below(8)),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at.min(end)..end)),
            4 => {
                let piece = bytes[at.min(end)..end].to_vec();
                let to = random.below(bytes.len() + 1);
                drop(bytes.splice(to..to, piece));
            }
            _ => {
                let number = INTERESTING[random.below(INTERESTING.len())].to_le_bytes();
                let width = [1, 2, 4, 8][random.below(4)];
                let places = bytes.iter_mut().skip(at).take(width);
                places.zip(number).for_each(|(byte, new)| *byte = new);
            }
        }
    }
    bytes
}

/// Reads every tensor of what was accepted; an error is as good. Returns how many were read.
fn read_all(bytes: &[u8]) -> Result<usize, TorchFileError> {
    let file = open(bytes)?;
    let Value::Dict(root) = file.root() else { return Ok(0) };
    let inner = root.iter().filter_map(|(_, value)| match value {
        Value::Dict(dict) => Some(dict),
        _ => None,
    });
    let mut read = 0;
    for dict in std::iter::once(root).chain(inner) {
        for tensor in file.tensors(dict).unwrap_or_default() {
            let Ok(bytes) = file.read_bytes(&tensor) else { continue };
            assert_eq!(bytes.len(), tensor.elements() * tensor.dtype().size());
            read += 1;
        }
    }
    Ok(read)
}

#[test]
fn damaged_files_are_refused_or_read() {
    let sources =
        ["legacy_mini.pth", "zip_mini.pth", "everything_zip_4.pth", "everything_legacy_2.pth"];
    let sources = sources.map(|name| std::fs::read(fixture(name)).unwrap());
    let (mut refused, mut whole) = (0, 0);
    for trial in 0..FILES {
        // Damage to elements is seen by checksums alone, so most of it goes where the pickles are.
        let source = &sources[trial as usize % sources.len()];
        match read_all(&mutated(source, trial)) {
            Ok(read) => whole += u64::from(read > 0),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > FILES / 10 && whole > FILES / 10, "{refused} refused, {whole} read");
}
