//! Ten thousand damaged files for every kind: each is refused or read, and nothing panics.

mod common;

use common::{Member, bytes_npy, f64_npy, npy, write, zip_of};
use npz::{Archive, NpyFile, NpzError, images};
use std::path::Path;
use tempfile::TempDir;

const FILES: u64 = 10_000;
const MOST: usize = 1 << 16;

/// Numbers that lengths and offsets are compared with.
const INTERESTING: [u64; 10] =
    [0, 1, 0x7F, 0xFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 40, 1 << 63, u64::MAX];

/// Numbers that depend on their seed alone (SplitMix64).
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) % n.max(1) as u64) as usize
    }
}

/// `source` after one to four changes.
fn mutated(source: &[u8], trial: u64) -> Vec<u8> {
    let mut draws = Draws(trial << 20);
    let mut bytes = source.to_vec();
    for _ in 0..=draws.below(4) {
        let (kind, at) = (draws.below(8), draws.below(bytes.len()));
        let end = (at + 1 + draws.below(16)).min(bytes.len());
        let other = draws.below(bytes.len());
        match kind {
            0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (other % 8)),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = other as u8),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at.min(end)..end)),
            5 => {
                let piece = bytes[other..(other + 8).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => {
                let number = INTERESTING[draws.below(INTERESTING.len())].to_le_bytes();
                let width = [1, 2, 4, 8][draws.below(4)];
                let places = bytes.iter_mut().skip(at).take(width);
                places.zip(number).for_each(|(byte, new)| *byte = new);
            }
        }
    }
    bytes
}

/// Runs `read` on damaged copies of `source`; some have to be refused.
fn check(name: &str, source: &[u8], read: impl Fn(&Path) -> Result<(), NpzError>) {
    let folder = TempDir::new().expect("a temporary folder");
    read(&write(&folder, name, source)).expect("the file before it is damaged");
    let mut refused = 0;
    for trial in 0..FILES {
        let path = write(&folder, name, &mutated(source, trial));
        let result = read(&path);
        // Some file systems wait for the disk when a file that exists is written anew.
        std::fs::remove_file(path).expect("the temporary file");
        if let Err(error) = result {
            assert!(error.to_string().contains(name), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 0, "no damage of {name} was noticed");
}

fn read_archive(path: &Path) -> Result<(), NpzError> {
    let archive = Archive::open(path)?;
    for name in archive.names() {
        let (shape, values) = archive.read_f64(&name, MOST)?;
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
    }
    read_images(path)
}

fn read_images(path: &Path) -> Result<(), NpzError> {
    let (mut set, mut batch) = (images(path)?, Vec::new());
    let image_len = set.height() * set.width() * 3;
    if let Some(labels) = set.labels()? {
        assert_eq!(labels.len() as u64, set.count());
    }
    loop {
        let read = set.read(2, &mut batch)?;
        assert_eq!(batch.len(), read * image_len);
        if read == 0 {
            return Ok(());
        }
    }
}

fn members(member: fn(&str, &[u8]) -> Member) -> Vec<u8> {
    zip_of(&[
        member("arr_0.npy", &bytes_npy("(3, 2, 2, 3)", &[7; 36])),
        member("arr_1.npy", &npy(">i4", "False", "(3,)", &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3])),
        member("sigma.npy", &f64_npy("True", "(2, 2)", &[1.0, 0.5, 0.25, 1.0])),
    ])
}

#[test]
fn stored() {
    check("x.npz", &members(Member::new), read_archive);
}

#[test]
fn deflated() {
    check("x.npz", &members(Member::deflated), read_archive);
}

#[test]
fn one_array() {
    check("x.npy", &f64_npy("True", "(2, 3)", &[0.5; 6]), |path| {
        NpyFile::open(path)?.read_f64(MOST).map(drop)
    });
    check("x.npy", &bytes_npy("(3, 2, 2, 3)", &[7; 36]), read_images);
}
