//! A cache that is not what was written.

use crate::support::{LEN, make, options, spec};
use data::latents::{LatentCache, LatentError, LatentIndex, LatentWriter, verify};
use data::{DataError, Dataset, Visit};
use philox::{Draws, Purpose};
use std::fs;
use std::path::{Path, PathBuf};

const SHARD: &str = "latents-00001.safetensors";

struct Cache {
    _folder: tempfile::TempDir,
    path: PathBuf,
    shard: Vec<u8>,
}

fn cache() -> Cache {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path(), spec()).expect("a cache");
    let path = folder.path().to_path_buf();
    let shard = fs::read(path.join(SHARD)).expect("a shard");
    Cache { _folder: folder, path, shard }
}

/// What opening says, and what hashing says of the only shard that it complains of.
fn complaints(folder: &Path) -> (String, String) {
    let open = LatentCache::open(folder, &options()).map_or_else(|e| e.to_string(), |_| "".into());
    let report = verify(folder, &mut |_, _| {}).expect("a good index");
    assert!(!report.is_whole());
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    (open, report.problems[0].to_string())
}

#[test]
fn what_is_wrong_with_a_shard_is_told() {
    let cache = cache();
    let shard = cache.path.join(SHARD);
    let len = cache.shard.len();

    fs::remove_file(&shard).unwrap();
    let (open, hashed) = complaints(&cache.path);
    assert!(open.ends_with("latents-00001.safetensors: file is missing, expected there"), "{open}");
    assert_eq!(open, hashed);

    for cut in [0, 7, 4095, 4096, len - 1] {
        fs::write(&shard, &cache.shard[..cut]).unwrap();
        let (open, hashed) = complaints(&cache.path);
        assert!(open.ends_with(&format!("length is {cut}, expected {len}")), "{open}");
        assert_eq!(open, hashed);
    }

    let mut flipped = cache.shard.clone();
    flipped[4096 + 100] ^= 1;
    fs::write(&shard, &flipped).unwrap();
    let (open, hashed) = complaints(&cache.path);
    assert_eq!(open, "", "opening does not read every number");
    assert!(hashed.contains("00001.safetensors: BLAKE3 is "), "{hashed}");

    // The first mean of record 0, as no number; damage of this kind is seen without any hash.
    let mut no_number = cache.shard.clone();
    no_number[4096..4098].copy_from_slice(&[0, 0x7E]);
    fs::write(&shard, &no_number).unwrap();
    let first = LatentCache::open(&cache.path, &options()).unwrap();
    let load = |index| first.load(index, Visit { seed: 0, position: 0 }, &mut [0.0; LEN]);
    let error = load(9).unwrap_err().to_string();
    let expected = "00001.safetensors: record 0 at byte 4096 is out of range, expected finite means \
                    and log deviations of -15 to 10";
    assert!(error.ends_with(expected), "{error}");
    assert!(first.moments(9, data::latents::Flip::None).is_err());
    load(10).unwrap();

    let mut label = cache.shard.clone();
    let at = 4096 + 9 * (4 * 2 * LEN + 8) + 2 * 8;
    label[at] = 4;
    fs::write(&shard, &label).unwrap();
    let (open, _) = complaints(&cache.path);
    assert!(open.ends_with("label of record 2 is 4, expected 0 to 3"), "{open}");

    fs::copy(cache.path.join("latents-00002.safetensors"), &shard).unwrap();
    assert!(complaints(&cache.path).0.contains("length is"));
}

/// A damaged shard is made again, and the cache is under construction until it is there.
#[test]
fn damage_is_repaired_by_the_same_command() {
    let cache = cache();
    let index = fs::read(cache.path.join("index.json")).unwrap();
    let mut flipped = cache.shard.clone();
    *flipped.last_mut().unwrap() ^= 0x80;
    fs::write(cache.path.join(SHARD), &flipped).unwrap();
    let begin = || LatentWriter::create_or_resume(&cache.path, spec(), &mut |_, _| {}).unwrap();
    let writer = begin();
    assert_eq!(writer.missing(), [1]);
    assert!(writer.damaged()[0].to_string().contains("BLAKE3 is"), "{:?}", writer.damaged());
    drop(writer);
    let error = LatentCache::open(&cache.path, &options()).unwrap_err();
    assert!(matches!(
        &error,
        DataError::Latents(LatentError::Unfinished { whole: 2, shards: 3, .. })
    ));
    make(&cache.path, spec()).unwrap();
    assert_eq!(fs::read(cache.path.join(SHARD)).unwrap(), cache.shard);
    assert_eq!(fs::read(cache.path.join("index.json")).unwrap(), index);
}

#[test]
fn a_folder_that_is_no_cache_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let error = LatentCache::open(folder.path(), &options()).unwrap_err().to_string();
    assert!(error.contains("found no index.json of a latent cache\nhelp: "), "{error}");
    // The index of what there is so far, under the name of that of a whole cache.
    let writer = LatentWriter::create_or_resume(folder.path(), spec(), &mut |_, _| {}).unwrap();
    drop(writer);
    let index = |name: &str| folder.path().join(name);
    fs::copy(index("index.partial.json"), index("index.json")).unwrap();
    let error = LatentCache::open(folder.path(), &options()).unwrap_err().to_string();
    assert!(error.contains("not complete: 0 of 3 shards are there"), "{error}");
    fs::write(index("index.json"), vec![b' '; 32_000_001]).unwrap();
    let error = LatentCache::open(folder.path(), &options()).unwrap_err().to_string();
    assert!(error.ends_with("length is more, expected at most 32000000 bytes"), "{error}");
}

#[test]
fn files_that_do_not_belong_are_listed() {
    let cache = cache();
    for name in ["notes.txt", "latents-00003.safetensors", "latents-0001.safetensors"] {
        fs::write(cache.path.join(name), "").unwrap();
    }
    let (mut last, mut calls) = ((0, 0), 0);
    let report = verify(&cache.path, &mut |done, total| {
        assert!(done >= last.0 && done <= total);
        (last, calls) = ((done, total), calls + 1);
    });
    let report = report.unwrap();
    assert!(report.is_whole());
    let expected = ["latents-00003.safetensors", "latents-0001.safetensors", "notes.txt"];
    assert_eq!(report.extra, expected);
    assert_eq!((last, calls >= 3), ((report.index.bytes(), report.index.bytes()), true));
}

/// Headers that make other readers allocate, overlap or choose: nothing of them is believed.
#[test]
fn hostile_headers_are_refused() {
    let cache = cache();
    let text = String::from_utf8(cache.shard[8..4096].to_vec()).unwrap();
    let edits = [
        ("\"shape\":[9,2,2,2,3,5]", "\"shape\":[9999999999999,2,2,2,3,5]"),
        ("\"shape\":[9,2,2,2,3,5]", "\"shape\":[9,2,2,2,5,3]"),
        ("\"label\":", "\"moments\":"),
        ("\"data_offsets\":[0,2160]", "\"data_offsets\":[8,2168]"),
        ("\"data_offsets\":[0,2160]", "\"data_offsets\":[0,99999999999999999]"),
        ("\"F16\"", "\"F64\""),
        ("\"shard\":\"1\"", "\"shard\":\"2\""),
        ("{", "["),
    ];
    for (from, to) in edits {
        assert!(text.contains(from), "{from} in {text}");
        let mut header = text.replacen(from, to, 1).into_bytes();
        header.resize(4088, b' ');
        let mut bytes = cache.shard.clone();
        bytes[8..4096].copy_from_slice(&header);
        fs::write(cache.path.join(SHARD), &bytes).unwrap();
        let (open, hashed) = complaints(&cache.path);
        assert!(open.contains("00001.safetensors: header around byte "), "{open}");
        assert_eq!(open, hashed);
    }
    let mut huge = cache.shard.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(cache.path.join(SHARD), &huge).unwrap();
    assert!(complaints(&cache.path).0.contains("header around byte 0 is"));
}

/// An edit by hand is told apart from a broken file.
#[test]
fn an_edited_index_has_another_digest() {
    let cache = cache();
    let path = cache.path.join("index.json");
    let good = fs::read_to_string(&path).unwrap();
    let parse = |text: &str| LatentIndex::parse(text.as_bytes(), &path).unwrap_err().to_string();
    let edits = [
        ("0123456789abcdef", "0123456789abcdee", "digest is "),
        ("\"count\": 21", "\"count\": 22", "count is 22, expected 21"),
        ("\"skipped\": 2", "\"skipped\": 0", "skipped is 0, expected 2"),
        ("\"records\":9,", "\"records\":8,", "bytes of shards[0] is "),
        ("\"records\":9,", "\"records\":11,", "records of shards[0] is 11, expected at most 10"),
        ("latents-00000", "latents-00001", "file of shards[1] is latents-00001.safetensors"),
        ("latents-00000", "../tents-00000", "file of shards[0] is ../tents-00000.safetensors"),
        ("[2,3,5]", "[2,3,99999999999]", "latent_shape is [2, 3, 99999999999]"),
        ("\"count\"", "\"coumt\"", "unknown field `coumt`"),
        ("\"count\": 21", "\"count\": 21, \"count\": 21", "duplicate field `count`"),
        ("\n  \"count\"", "\n   \"count\"", "spaces or order changed"),
        ("dis-latents", "dis-latent", "format is dis-latent, expected dis-latents"),
        ("_version\": 1", "_version\": 2", "format 2 of latent caches is newer than 1"),
    ];
    for (from, to, expected) in edits {
        assert!(good.contains(from), "{from} in {good}");
        let error = parse(&good.replacen(from, to, 1));
        assert!(error.contains(expected), "{error}, not {expected}");
    }
}

/// Some bytes changed, a piece cut off, doubled or moved.
fn mutate(bytes: &mut Vec<u8>, draws: Draws) {
    let len = bytes.len() as u64;
    let at = |lane| draws.below(lane, len) as usize;
    match draws.below(0, 5) {
        0 => bytes.truncate(at(2)),
        1 => drop(bytes.drain(at(2).min(at(4))..at(2).max(at(4)))),
        2 => {
            let piece = bytes[at(2).min(at(4))..at(2).max(at(4))].to_vec();
            let place = at(6);
            bytes.splice(place..place, piece);
        }
        kind => {
            for i in 0..1 + draws.below(2, 3) {
                let bit = 1 << draws.below(4 + 4 * i, 8);
                // A digit for a digit keeps JSON well-formed.
                let digit = b'0' + draws.below(6 + 4 * i, 10) as u8;
                let place = &mut bytes[draws.below(20 + 2 * i, len) as usize];
                *place = if kind == 3 { *place ^ bit } else { digit };
            }
        }
    }
}

/// The address of one mutation.
fn draws(mutation: u64) -> Draws {
    Draws::new(77, Purpose::SyntheticData, mutation)
}

/// No changed index is accepted, whatever was changed.
#[test]
fn ten_thousand_damaged_indices() {
    let cache = cache();
    let path = cache.path.join("index.json");
    let good = fs::read(&path).unwrap();
    let hash = LatentIndex::parse(&good, &path).unwrap().hash();
    let mut same = 0;
    for mutation in 0..10_000 {
        let mut bytes = good.clone();
        mutate(&mut bytes, draws(mutation));
        match LatentIndex::parse(&bytes, &path) {
            Ok(index) => {
                assert!(bytes == good && index.hash() == hash, "mutation {mutation}");
                same += 1;
            }
            Err(error) => {
                let error = error.to_string();
                assert!(
                    error.contains("index.json: ") || error.contains("not complete"),
                    "{error}"
                );
            }
        }
    }
    assert!(same < 500, "{same} mutations changed nothing");
}

/// No changed shard is called whole, and reading one is an error or numbers, not a panic.
#[test]
fn ten_thousand_damaged_shards() {
    let cache = cache();
    let (mut opened, mut same, mut out) = (0, 0, vec![0.0; LEN]);
    for mutation in 0..10_000 {
        let mut bytes = cache.shard.clone();
        mutate(&mut bytes, draws(mutation));
        fs::write(cache.path.join(SHARD), &bytes).unwrap();
        if bytes == cache.shard {
            same += 1;
            continue;
        }
        assert!(!verify(&cache.path, &mut |_, _| {}).unwrap().is_whole(), "mutation {mutation}");
        if let Ok(cache) = LatentCache::open(&cache.path, &options()) {
            opened += 1;
            for index in 8..18 {
                let visit = Visit { seed: mutation, position: index };
                if cache.load(index, visit, &mut out).is_ok() {
                    assert!(out.iter().all(|x| x.is_finite()), "mutation {mutation}");
                }
            }
        }
    }
    assert!(opened > 100 && same < 1000, "{opened} opened, {same} unchanged");
}
