//! A cache after an interruption at every single operation.

use super::disk::Disk;
use super::disk::faults::Fault;
use super::{Encoding, Flip, LatentCacheSpec, LatentError, LatentRecord, LatentWriter, verify};
use crate::DataError;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn spec() -> LatentCacheSpec {
    LatentCacheSpec {
        latent_shape: [1, 2, 3],
        flips: vec![Flip::None, Flip::Horizontal],
        vae: "a".into(),
        crop: "b".into(),
        source: "c".into(),
        source_len: 5,
        num_classes: 3,
        class_names: Vec::new(),
        records_per_shard: 2,
    }
}

/// Makes what is missing of the cache.
fn make(disk: Disk, folder: &Path) -> Result<String, DataError> {
    let mut writer = LatentWriter::create_or_resume_on(disk, folder, spec(), &mut |_, _| {})?;
    assert!(writer.damaged().is_empty(), "{:?}", writer.damaged());
    for shard in writer.missing() {
        write(&mut writer, shard)?;
    }
    writer.finish()
}

/// Writes a shard; sample 3 of the source cannot be read.
fn write(writer: &mut LatentWriter, shard: u64) -> Result<(), DataError> {
    let samples = writer.spec().source_range(shard);
    let mut shard = writer.begin_shard(shard)?;
    for source_index in samples.filter(|&index| index != 3) {
        let mean = [0, 1, 2, 3, 4, 5].map(|i| (source_index * 6 + i) as f32);
        let encoding = Encoding { mean: &mean, logstd: &[-1.0; 6] };
        let (label, source_hash) = ((source_index % 3) as u32, [source_index as u8; 32]);
        let encodings = &[encoding, encoding];
        shard.push(&LatentRecord { source_index, label, source_hash, encodings })?;
    }
    shard.commit()
}

/// Every file but the lock, which tells the process.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
    files.filter(|(name, _)| name != super::writer::LOCK).collect()
}

#[test]
fn interrupted_anywhere_the_cache_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let hash = make(Disk::default(), folder.path()).unwrap();
    let whole = files(folder.path());
    assert_eq!(whole.len(), 4, "an index and three shards");
    for fault in [Fault::Crash, Fault::Full] {
        for at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let interrupted = make(Disk::failing(fault, at), folder.path());
            if interrupted.is_ok() {
                assert!(at > 40, "{at} operations make no cache");
                break;
            }
            // Whoever looks sees the whole cache or an unfinished one, and no shard but whole ones.
            for (name, bytes) in files(folder.path()) {
                let whole = whole.get(&name);
                assert!(name.starts_with(['.', 'i']) || whole == Some(&bytes), "{name}");
            }
            match verify(folder.path(), &mut |_, _| {}) {
                Ok(report) => assert!(report.is_whole() && report.index.hash() == hash),
                Err(DataError::Latents(LatentError::Unfinished { .. })) => {}
                // Before anything was noted.
                Err(DataError::Missing { .. }) => assert!(at < 5, "{fault:?} at {at}"),
                Err(error) => panic!("{fault:?} at {at}: {error}"),
            }
            // A full disk leaves no torn file; a dead process cannot help it.
            let torn = files(folder.path()).keys().any(|name| name.starts_with('.'));
            assert!(!torn || fault == Fault::Crash, "{fault:?} at {at}");
            assert_eq!(make(Disk::default(), folder.path()).unwrap(), hash, "{fault:?} at {at}");
            assert_eq!(files(folder.path()), whole, "{fault:?} at {at}");
        }
    }
}

/// Interrupted again and again, each time a little later.
#[test]
fn many_interruptions_are_no_worse_than_one() {
    let folder = tempfile::tempdir().unwrap();
    let hash = make(Disk::default(), folder.path()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let again = (0..1000).find_map(|at| make(Disk::failing(Fault::Crash, at), folder.path()).ok());
    assert_eq!(again, Some(hash));
}

/// Whoever frees some space and tries a shard again, in the same process, has the same cache.
#[test]
fn a_shard_that_failed_is_missing_until_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let hash = make(Disk::default(), folder.path()).unwrap();
    for at in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::failing(Fault::Full, at);
        let writer = LatentWriter::create_or_resume_on(disk, folder.path(), spec(), &mut |_, _| {});
        let Ok(mut writer) = writer else { continue };
        for shard in 0..3 {
            if write(&mut writer, shard).is_err() {
                assert!(writer.missing().contains(&shard), "{at}");
                write(&mut writer, shard).unwrap();
            }
        }
        if let Ok(got) = writer.finish() {
            assert_eq!(got, hash, "{at}");
            assert!(verify(folder.path(), &mut |_, _| {}).unwrap().is_whole(), "{at}");
        }
    }
}

#[test]
fn a_full_disk_is_told_with_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let error = make(Disk::failing(Fault::Full, 7), folder.path()).unwrap_err();
    let DataError::Latents(LatentError::Space { path, needed, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(path.file_name().unwrap(), ".tmp-latents-00000.safetensors");
    assert_eq!(*needed, spec().bytes());
    assert!(error.to_string().contains("help: free some"), "{error}");
}
