//! Every single operation fails once, and the process dies at every single one.

use super::Run;
use crate::checkpoint::{CheckpointError, list, sweep};
use crate::storage::faults::{Fault, FaultyDisk};
use std::fs;

#[test]
fn everything_is_on_the_disk_before_the_rename_and_nothing_is_removed_before_it() {
    let run = Run::new();
    run.save(10);
    run.save(20);
    let disk = FaultyDisk::good();
    run.save_on(&disk, 30, 2).unwrap();
    let pid = std::process::id();
    let temporary = format!(".tmp-step-000000030-{pid}");
    let mut expected = vec![
        "create_dir checkpoints".to_owned(),
        "available checkpoints".into(),
        format!("create_dir {temporary}"),
    ];
    let files = ["model.safetensors", "ema-0.9999.safetensors", "ema-0.5.safetensors"];
    for file in files.into_iter().chain(["optimizer.safetensors", "state.json", "manifest.json"]) {
        expected.extend(["create", "write", "sync"].map(|operation| format!("{operation} {file}")));
    }
    let removed = format!(".del-step-000000010-{pid}");
    expected.extend([
        format!("sync_dir {temporary}"),
        "rename step-000000030".into(),
        "sync_dir checkpoints".into(),
        format!("rename {removed}"),
        format!("remove_dir {removed}"),
    ]);
    // However many pieces a file is written in.
    let mut log = disk.log();
    log.dedup();
    assert_eq!(log, expected);
}

/// Operations of saving a third checkpoint and removing the first.
fn operations() -> usize {
    let run = Run::new();
    run.save(10);
    run.save(20);
    let disk = FaultyDisk::good();
    run.save_on(&disk, 30, 2).unwrap();
    disk.count()
}

#[test]
fn the_old_checkpoint_loads_whichever_operation_fails() {
    let operations = operations();
    assert!(operations > 25, "{operations} operations");
    for fault in [Fault::Error, Fault::Crash] {
        let mut saved_in_spite = 0;
        for at in 0..operations {
            let run = Run::new();
            run.save(10);
            run.save(20);
            let result = run.save_on(&FaultyDisk::new(fault, at), 30, 2);
            let committed = run.path(30).exists();
            let newest = if committed { 30 } else { 20 };
            let loaded = run.assert_loads(newest);
            assert!(loaded.rejected.is_empty(), "{fault:?} at {at}: {:?}", loaded.rejected);
            match result {
                Ok(saved) => {
                    // Removing the old one failed: reported, and no failure of the save.
                    assert!(committed && !saved.not_removed.is_empty(), "{fault:?} at {at}");
                    saved_in_spite += 1;
                }
                Err(CheckpointError::Io { .. }) if fault == Fault::Error => {
                    let left: Vec<_> =
                        run.names().into_iter().filter(|name| name.starts_with('.')).collect();
                    assert!(left.is_empty(), "an error at {at} leaves {left:?}");
                }
                Err(CheckpointError::Io { .. }) => {}
                Err(other) => panic!("{fault:?} at {at}: {other}"),
            }
            assert!(run.steps().len() >= 2, "{fault:?} at {at}: one is left when one is damaged");

            // The next process sweeps and goes on.
            sweep(&run.dir()).unwrap();
            run.assert_loads(newest);
            run.save(30);
            run.save(40);
            run.assert_loads(40);
            assert_eq!(run.names(), ["step-000000030", "step-000000040"], "{fault:?} at {at}");
        }
        assert_eq!(saved_in_spite, 2, "the last two operations are the removal");
    }
}

#[test]
fn a_step_that_is_written_again_is_never_lost() {
    for fault in [Fault::Error, Fault::Crash] {
        for at in 0.. {
            let run = Run::new();
            run.save(20);
            let disk = FaultyDisk::new(fault, at);
            let result = run.save_on(&disk, 20, 2);
            sweep(&run.dir()).unwrap();
            run.assert_loads(20);
            assert_eq!(run.names(), ["step-000000020"], "{fault:?} at {at}");
            if disk.count() <= at {
                assert!(result.is_ok());
                break;
            }
        }
    }
}

#[test]
fn leftovers_of_killed_processes_are_swept() {
    let run = Run::new();
    sweep(&run.dir()).unwrap();
    run.save(5);
    for name in [".tmp-step-000000010-77", ".del-step-000000001-77", ".old-step-000000005"] {
        fs::create_dir(run.dir().join(name)).unwrap();
        fs::write(run.dir().join(name).join("model.safetensors"), "half").unwrap();
    }
    run.assert_loads(5);
    sweep(&run.dir()).unwrap();
    assert_eq!(run.names(), ["step-000000005"]);
    // Replaced, but its successor never came.
    fs::rename(run.path(5), run.dir().join(".old-step-000000005")).unwrap();
    assert!(list(&run.dir()).unwrap().is_empty());
    sweep(&run.dir()).unwrap();
    run.assert_loads(5);
}

/// A disk that says how much it has left.
struct FullDisk(u64);

impl crate::storage::Storage for FullDisk {
    fn create_dir(&self, path: &std::path::Path) -> std::io::Result<()> {
        crate::storage::Disk.create_dir(path)
    }
    fn create(
        &self,
        path: &std::path::Path,
    ) -> std::io::Result<Box<dyn crate::storage::StoredFile>> {
        panic!("{} is written to a full disk", path.display())
    }
    fn sync_dir(&self, _: &std::path::Path) -> std::io::Result<()> {
        Ok(())
    }
    fn rename(&self, _: &std::path::Path, _: &std::path::Path) -> std::io::Result<()> {
        panic!("renamed on a full disk")
    }
    fn remove_dir(&self, _: &std::path::Path) -> std::io::Result<()> {
        panic!("removed on a full disk")
    }
    fn remove_file(&self, _: &std::path::Path) -> std::io::Result<()> {
        panic!("removed on a full disk")
    }
    fn available(&self, _: &std::path::Path) -> std::io::Result<u64> {
        Ok(self.0)
    }
}

#[test]
fn a_disk_without_room_is_not_written_to() {
    let run = Run::new();
    let bytes = run.save(5).bytes;
    let error = run.save_on(&FullDisk(bytes), 10, 2).unwrap_err();
    let CheckpointError::Space { needed, available, .. } = error else { panic!("{error}") };
    assert!(needed as f64 >= 1.2 * bytes as f64 && available == bytes, "{needed} of {bytes}");
    assert!(needed < 6 * bytes, "{needed} of {bytes}");
    assert!(error.to_string().contains("help: free some"));
    run.assert_loads(5);
}
