//! Snapshots of power-function averages.

use super::super::power_snapshot::save_snapshot_on;
use super::*;
use crate::storage::faults::Fault;

impl Run {
    fn snapshots(&self) -> PathBuf {
        self.folder.path().join("ema-snapshots")
    }

    fn save_snapshot(&self, disk: &dyn Storage, step: u64) -> Result<Saved, CheckpointError> {
        let arenas: Vec<Vec<f32>> = (6..8).map(|kind| self.arena(step, kind)).collect();
        let power = |std, name, values| PowerAverage { std, average: Average { name, values } };
        let averages = [power(0.05, "power-0.05", &arenas[0]), power(0.1, "power-0.1", &arenas[1])];
        let snapshot = PowerSnapshot {
            step,
            images_seen: 32 * step,
            config_hash: "c0ffee".into(),
            dis_config: &self.config,
            layout: &self.layout,
            averages: &averages,
        };
        save_snapshot_on(disk, &self.snapshots(), &snapshot)
    }

    #[track_caller]
    fn assert_snapshot(&self, file: &SnapshotFile, step: u64, kind: u32) {
        let std = [0.05, 0.1][kind as usize - 6];
        assert_eq!((file.step, file.images_seen, file.std), (step, 32 * step, std));
        assert_eq!((&file.dis_config, file.config_hash.as_str()), (&self.config, "c0ffee"));
        let mut values = vec![0.0; self.layout.len()];
        file.read(&self.layout, &mut values).unwrap();
        assert!(values == self.arena(step, kind), "{}", file.path.display());
    }
}

#[test]
fn snapshots_say_what_they_are_and_none_is_ever_removed() {
    let run = Run::new();
    assert!(list_snapshots(&run.snapshots()).unwrap().is_empty());
    for step in [20, 5, 10, 30] {
        run.save_snapshot(&FaultyDisk::good(), step).unwrap();
    }
    let files = list_snapshots(&run.snapshots()).unwrap();
    assert_eq!(files.len(), 8);
    for (pair, step) in files.chunks(2).zip([5, 10, 20, 30]) {
        run.assert_snapshot(&pair[0], step, 6);
        run.assert_snapshot(&pair[1], step, 7);
    }
    let path = run.snapshots().join("step-000000020/ema-power-0.1.safetensors");
    assert_eq!(files[5].path, path);
    // It is a weight file like any other.
    let weights = load_weights(&path, &WeightChoice::Ema).unwrap();
    assert_eq!((weights.values, weights.step), (run.arena(20, 7), Some(20)));
}

#[test]
fn the_same_step_again_takes_the_place_of_the_old_with_the_same_bytes() {
    let run = Run::new();
    let read = || {
        let folder = run.snapshots().join(step_dir(5));
        ["ema-power-0.05.safetensors", "ema-power-0.1.safetensors", "manifest.json"]
            .map(|name| fs::read(folder.join(name)).unwrap())
    };
    run.save_snapshot(&Disk, 5).unwrap();
    let before = read();
    assert!(run.save_snapshot(&Disk, 5).unwrap().not_removed.is_empty());
    assert!(read() == before);
    assert_eq!(fs::read_dir(run.snapshots()).unwrap().count(), 1);
}

#[test]
fn a_snapshot_is_whole_or_not_there_whatever_fails() {
    for fault in [Fault::Error, Fault::Crash] {
        let mut failures = 0;
        for at in 0.. {
            let run = Run::new();
            run.save_snapshot(&FaultyDisk::good(), 5).unwrap();
            let disk = FaultyDisk::new(fault, at);
            // Over an old one every second time.
            let step = if at % 2 == 0 { 5 } else { 9 };
            let saved = run.save_snapshot(&disk, step);
            if disk.count() <= at {
                assert!(saved.unwrap().not_removed.is_empty());
                break;
            }
            failures += 1;
            sweep(&run.snapshots()).unwrap();
            let files = list_snapshots(&run.snapshots()).unwrap();
            assert!([2, 4].contains(&files.len()), "{fault:?} at {at}: {} files", files.len());
            for pair in files.chunks(2) {
                run.assert_snapshot(&pair[0], pair[0].step, 6);
                run.assert_snapshot(&pair[1], pair[0].step, 7);
            }
            assert_eq!(files[0].step, 5);
        }
        assert!(failures > 10, "{fault:?}: {failures}");
    }
}

#[test]
fn a_damaged_snapshot_is_told() {
    let run = Run::new();
    run.save_snapshot(&FaultyDisk::good(), 5).unwrap();
    let path = run.snapshots().join("step-000000005/ema-power-0.05.safetensors");
    let whole = fs::read(&path).unwrap();
    let message = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let mut values = vec![0.0; run.layout.len()];
        let result = list_snapshots(&run.snapshots())
            .and_then(|files| files[0].read(&run.layout, &mut values));
        let error = result.unwrap_err();
        assert!(matches!(error, CheckpointError::Damaged { .. }), "{error}");
        error.to_string()
    };
    let last = whole.len() - 1;
    assert!(message(&|bytes| bytes[last] ^= 1).contains("power-0.05.safetensors: BLAKE3 is"));
    assert!(message(&|bytes| bytes.truncate(last)).contains("length is"));
    // Another width in the header would be believed without the hash.
    let at = whole.windows(6).position(|w| w == b"\"0.05\"").unwrap();
    assert!(message(&|bytes| bytes[at + 4] = b'6').contains("BLAKE3 is"));
    assert!(message(&|bytes| bytes[at + 1] = b'7').contains("ema_std is 7.05"));
    assert!(message(&|bytes| bytes[at + 1] = b'x').contains("ema_std is x.05"));
    fs::remove_file(&path).unwrap();
    let missing = list_snapshots(&run.snapshots()).unwrap_err().to_string();
    assert!(missing.contains("power-0.05.safetensors: file is missing"), "{missing}");
}
