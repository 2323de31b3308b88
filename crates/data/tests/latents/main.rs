//! What is put into a latent cache comes out of it, whoever writes, reads or interrupts.

mod damage;
mod sampling;
mod stock_readers;
mod support;

use data::latents::{
    Encoding, Flip, LatentCache, LatentCacheSpec, LatentError, LatentRecord, LatentWriter, verify,
};
use data::{DataError, Dataset, ImageShape};
use half::f16;
use std::fs;
use support::{LEN, SKIPPED, encoding, make, options, source_hash, spec, write_shard};

/// The index of the cache of `support::make`, a seed of the fuzz target too.
const INDEX: &str = include_str!("../../../../fuzz/corpus/latent_index/whole.json");
/// Its hash. It changes with the format or the encodings alone.
const HASH: &str = "4a086819eaf19ee2880aa52ea237691b26e733448c26634a5a623f65f98848f2";

#[test]
fn what_is_stored_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(make(folder.path(), spec()).unwrap(), HASH);
    assert_eq!(fs::read_to_string(folder.path().join("index.json")).unwrap(), INDEX);
    let cache = LatentCache::open(folder.path(), &options()).unwrap();
    assert_eq!((cache.len(), cache.num_classes(), cache.name()), (21, 4, "latents"));
    assert_eq!(cache.shape(), ImageShape { channels: 2, height: 3, width: 5 });
    assert_eq!((cache.class_name(3), cache.class_name(4)), (Some("west"), None));
    assert_eq!((cache.index().hash().as_str(), cache.index().skipped()), (HASH, 2));
    assert!(cache.sample_name(20).ends_with("latents-00002.safetensors, record 2"));
    let sources = (0..23).filter(|index| !SKIPPED.contains(index));
    for (index, source) in (0..).zip(sources) {
        assert_eq!(cache.source(index).unwrap(), (source, source_hash(source)));
        for flip in [Flip::None, Flip::Horizontal] {
            let (mean, logstd) = encoding(source, flip);
            let rounded = |x: Vec<f32>| -> Vec<f32> {
                x.into_iter().map(|x| f16::from_f32(x).to_f32()).collect()
            };
            let moments = cache.moments(index, flip).unwrap();
            assert_eq!((moments.mean, moments.logstd), (rounded(mean), rounded(logstd)));
        }
    }
}

#[test]
fn rounding_is_to_nearest_and_ties_to_even() {
    let folder = tempfile::tempdir().unwrap();
    let spec = LatentCacheSpec {
        latent_shape: [1, 1, 6],
        flips: vec![Flip::None],
        source_len: 1,
        num_classes: 0,
        class_names: Vec::new(),
        ..spec()
    };
    let mut writer = LatentWriter::create_or_resume(folder.path(), spec, &mut |_, _| {}).unwrap();
    let mut shard = writer.begin_shard(0).unwrap();
    // Between 1 and 2 numbers of f16 are 2^-10 apart, the least are 2^-24, and the largest is 65504.
    let unit = 2f32.powi(-10);
    let mean = [1.0 + 0.5 * unit, 1.0 + 1.5 * unit, -0.0, 2f32.powi(-24), 2f32.powi(-26), 65_519.0];
    let logstd = [-15.0, 10.0, 0.0, 0.0, 0.0, 0.0];
    let encodings = &[Encoding { mean: &mean, logstd: &logstd }];
    let record = LatentRecord { source_index: 0, label: 0, source_hash: [0; 32], encodings };
    shard.push(&record).unwrap();
    shard.commit().unwrap();
    writer.finish().unwrap();
    let options = data::latents::LatentCacheOptions { flip: false, ..options() };
    let moments = LatentCache::open(folder.path(), &options).unwrap().moments(0, Flip::None);
    let expected = vec![1.0, 1.0 + 2.0 * unit, -0.0, 2f32.powi(-24), 0.0, 65_504.0];
    assert_eq!(moments.as_ref().unwrap().mean, expected);
    assert_eq!(moments.unwrap().logstd, logstd);
}

/// In any order, in any number of sittings, over what others left.
#[test]
fn equal_inputs_give_equal_bytes() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".tmp-latents-00001.safetensors"), "half a shard").unwrap();
    let stranger = folder.path().join("latents-00001.safetensors");
    fs::write(&stranger, "of nobody").unwrap();
    let refused = LatentWriter::create_or_resume(folder.path(), spec(), &mut |_, _| {});
    assert!(refused.unwrap_err().to_string().contains("no index.json"));
    fs::remove_file(stranger).unwrap();
    let begin = || LatentWriter::create_or_resume(folder.path(), spec(), &mut |_, _| {}).unwrap();
    let mut writer = begin();
    assert_eq!(writer.missing(), [0, 1, 2]);
    assert_eq!(writer.bytes_missing(), spec().bytes());
    writer.check_space().unwrap();
    write_shard(&mut writer, 2).unwrap();
    // Begun and given up.
    drop(writer.begin_shard(1).unwrap());
    let unfinished = writer.finish().unwrap_err().to_string();
    assert!(unfinished.contains("1 of 3 shards are there\nhelp: run the command"), "{unfinished}");
    // Of a shard that will not be written again, and of somebody else.
    fs::write(folder.path().join(".tmp-latents-00002.safetensors"), "half a shard").unwrap();
    fs::write(folder.path().join(".tmp-notes"), "kept").unwrap();
    let mut writer = begin();
    assert_eq!((writer.missing(), writer.records()), (vec![0, 1], 3));
    write_shard(&mut writer, 1).unwrap();
    write_shard(&mut writer, 0).unwrap();
    write_shard(&mut writer, 1).unwrap();
    assert_eq!(writer.finish().unwrap(), HASH);
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    let shard = |i: u64| format!("latents-0000{i}.safetensors");
    let expected = [".tmp-notes", "index.json", &shard(0), &shard(1), &shard(2), "latents.lock"];
    assert_eq!(names, expected);
    // A complete cache is hashed and left alone.
    let (mut seen, mut calls) = ((0, 0), 0);
    let writer = LatentWriter::create_or_resume(folder.path(), spec(), &mut |done, total| {
        assert!(done >= seen.0 && done <= total, "{done} after {seen:?}");
        (seen, calls) = ((done, total), calls + 1);
    });
    let writer = writer.unwrap();
    assert_eq!((writer.missing(), seen.0, calls), (vec![], seen.1, 3));
    assert_eq!(writer.finish().unwrap(), HASH);
}

#[test]
fn a_cache_of_something_else_is_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let begin = |spec| LatentWriter::create_or_resume(folder.path(), spec, &mut |_, _| {});
    drop(begin(spec()).unwrap());
    type Change = fn(&mut LatentCacheSpec);
    let changes: [(&str, Change); 9] = [
        (r#"vae "0123456789abcdef", not "x""#, |s| s.vae = "x".into()),
        ("crop ", |s| s.crop = "x".into()),
        ("latent_shape [2,3,5], not [2,5,3]", |s| s.latent_shape = [2, 5, 3]),
        (r#"flips ["none","horizontal"], not ["none"]"#, |s| s.flips = vec![Flip::None]),
        ("source ", |s| s.source = "x".into()),
        ("source_len 23, not 24", |s| s.source_len = 24),
        ("num_classes 4, not 0", |s| (s.num_classes, s.class_names) = (0, Vec::new())),
        ("class_names ", |s| s.class_names[0] = "x".into()),
        ("records_per_shard 10, not 11", |s| s.records_per_shard = 11),
    ];
    for finished in [false, true] {
        for (expected, change) in changes {
            let mut other = spec();
            change(&mut other);
            let error = begin(other).unwrap_err().to_string();
            assert!(error.contains(&format!("this latent cache has {expected}")), "{error}");
            assert!(error.contains("help: give another folder"), "{error}");
        }
        if !finished {
            make(folder.path(), spec()).unwrap();
        }
    }
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    type Change = fn(&mut LatentCacheSpec);
    let changes: [(&str, Change); 10] = [
        ("latent_shape is [2, 0, 5]", |s| s.latent_shape = [2, 0, 5]),
        ("latent_shape is", |s| s.latent_shape = [usize::MAX; 3]),
        (r#"flips is ["horizontal"]"#, |s| s.flips = vec![Flip::Horizontal]),
        ("source_len is 0", |s| s.source_len = 0),
        ("records_per_shard is 0, expected 1 to 1048576", |s| s.records_per_shard = 0),
        ("records_per_shard is 1048577", |s| s.records_per_shard = (1 << 20) + 1),
        ("number of shards is 100001", |s| (s.source_len, s.records_per_shard) = (100_001, 1)),
        ("num_classes is", |s| s.num_classes = usize::MAX),
        ("class_names is 3, expected 0 or 4", |s| drop(s.class_names.pop())),
        ("vae is 0 bytes, expected 1 to 4096 bytes", |s| s.vae.clear()),
    ];
    for (expected, change) in changes {
        let mut bad = spec();
        change(&mut bad);
        let error = LatentWriter::create_or_resume(folder.path(), bad, &mut |_, _| {});
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}, not {expected}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is begun");
}

#[test]
fn one_process_writes() {
    let folder = tempfile::tempdir().unwrap();
    let begin = || LatentWriter::create_or_resume(folder.path(), spec(), &mut |_, _| {});
    let first = begin().unwrap();
    let error = begin().unwrap_err();
    let expected = format!("in use by process {}", std::process::id());
    assert!(error.to_string().contains(&expected), "{error}");
    assert!(matches!(error, DataError::Latents(LatentError::InUse { .. })));
    drop(first);
    begin().unwrap();
}

/// Nothing is clamped, and a refused sample leaves the shard as it was.
#[test]
fn numbers_that_do_not_fit_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = LatentWriter::create_or_resume(folder.path(), spec(), &mut |_, _| {}).unwrap();
    let mut shard = writer.begin_shard(0).unwrap();
    let good = vec![0.5; LEN];
    let with = |place: usize, x: f32| {
        let mut values = good.clone();
        values[place] = x;
        values
    };
    let too_large = "at most 65504 in magnitude, what f16 can hold";
    let cases = [
        (
            0,
            with(3, f32::NAN),
            good.clone(),
            format!("element 3 of its mean is NaN, expected {too_large}"),
        ),
        (
            0,
            with(4, 65_520.0),
            good.clone(),
            format!("element 4 of its mean is 65520, expected {too_large}"),
        ),
        (
            1,
            with(0, f32::NEG_INFINITY),
            good.clone(),
            "element 0 of its mirrored mean is -inf".into(),
        ),
        (
            0,
            good.clone(),
            with(29, 10.5),
            "element 29 of its logstd is 10.5, expected -15 to 10".into(),
        ),
        (1, good.clone(), with(1, -15.5), "element 1 of its mirrored logstd is -15.5".into()),
        (1, good.clone(), with(2, f32::NAN), "element 2 of its mirrored logstd is NaN".into()),
    ];
    for (flip, mean, logstd, expected) in cases {
        let mut encodings = [Encoding { mean: &good, logstd: &good }; 2];
        encodings[flip] = Encoding { mean: &mean, logstd: &logstd };
        let source_hash = source_hash(2);
        let record = LatentRecord { source_index: 2, label: 0, source_hash, encodings: &encodings };
        let error = shard.push(&record).unwrap_err().to_string();
        assert!(error.starts_with(&format!("sample 2 of the source: {expected}")), "{error}");
    }
    let encodings = &[Encoding { mean: &good, logstd: &good }; 2];
    let record = LatentRecord { source_index: 2, label: 4, source_hash: [0; 32], encodings };
    let error = shard.push(&record).unwrap_err().to_string();
    assert_eq!(error, "sample 2 of the source has label 4; there are 4 classes");
    shard.push(&LatentRecord { label: 3, ..record }).unwrap();
    shard.commit().unwrap();
    assert_eq!(writer.records(), 1);
}

#[test]
fn a_new_encoding_is_compared_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), spec()).unwrap();
    let cache = LatentCache::open(folder.path(), &options()).unwrap();
    let plain = encoding(5, Flip::None);
    let (mean, mut logstd) = encoding(5, Flip::Horizontal);
    let compare = |logstd: &[f32]| {
        let plain = Encoding { mean: &plain.0, logstd: &plain.1 };
        cache.compare(4, &[plain, Encoding { mean: &mean, logstd }])
    };
    compare(&logstd).unwrap();
    logstd[7] *= 1.002;
    let error = compare(&logstd).unwrap_err().to_string();
    assert!(error.contains("element 7 of its mirrored logstd is"), "{error}");
}

#[test]
fn an_empty_cache_is_no_cache() {
    let folder = tempfile::tempdir().unwrap();
    let spec = LatentCacheSpec { source_len: 1, ..spec() };
    let mut writer = LatentWriter::create_or_resume(folder.path(), spec, &mut |_, _| {}).unwrap();
    writer.begin_shard(0).unwrap().commit().unwrap();
    let error = writer.finish().unwrap_err().to_string();
    assert!(error.contains("found no sample in any shard"), "{error}");
    assert!(verify(folder.path(), &mut |_, _| {}).is_err());
}
