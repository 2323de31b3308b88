//! File operations of what must survive a crash, each of which tests can let fail.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Start of the names of files that are not complete yet.
pub(super) const TEMPORARY: &str = ".tmp-";

/// The file system.
#[derive(Debug, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) faults: Option<faults::Faults>,
}

impl Disk {
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        File::options().read(true).write(true).create(true).truncate(true).open(path)
    }

    pub(super) fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        // What a full disk or a dead process leaves is the first part of what was to be written.
        if let Err(error) = self.step() {
            file.write_all(&bytes[..self.torn(bytes.len())])?;
            return Err(error);
        }
        file.write_all(bytes)
    }

    /// Waits until the content of a file is on the disk.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        self.step()?;
        file.sync_all()
    }

    /// Renames within a folder, at once or not at all, and waits until that is on the disk.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        fs::rename(from, to)?;
        self.sync_folder_of(to)
    }

    /// Removes a file and waits until that is on the disk.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        fs::remove_file(path)?;
        self.sync_folder_of(path)
    }

    /// Puts `bytes` in place of a file. Whoever reads it sees the old content or the new.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = temporary(path);
        let result = self
            .create(&temporary)
            .and_then(|mut file| {
                self.write(&mut file, bytes)?;
                self.sync(&file)
            })
            .and_then(|()| self.rename(&temporary, path));
        if result.is_err() {
            // Gone already when the rename was made; the first error is the one to tell.
            let _ = self.remove(&temporary);
        }
        result
    }

    /// Bytes that can still be written below a folder.
    pub(super) fn available(&self, folder: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn sync_folder_of(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests let it fail")]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests choose it")]
    const fn torn(&self, _: usize) -> usize {
        0
    }
}

/// The name of a file while it is being written.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{TEMPORARY}{name}"))
}

#[cfg(test)]
pub(super) mod faults {
    //! A disk on which a chosen operation fails.

    use super::Disk;
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What happens at the chosen operation.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub(in super::super) enum Fault {
        /// The disk is full for it; what follows works.
        Full,
        /// The process dies: it and all that follows does nothing.
        Crash,
    }

    /// Lets operation number `at` fail.
    #[derive(Debug)]
    pub(in super::super) struct Faults {
        pub(in super::super) fault: Fault,
        pub(in super::super) at: usize,
        pub(in super::super) count: AtomicUsize,
    }

    impl Disk {
        pub(in super::super) fn failing(fault: Fault, at: usize) -> Self {
            Self { faults: Some(Faults { fault, at, count: AtomicUsize::new(0) }) }
        }

        pub(super) fn step(&self) -> io::Result<()> {
            let Some(faults) = &self.faults else { return Ok(()) };
            let now = faults.count.fetch_add(1, Ordering::Relaxed);
            let fails = match faults.fault {
                Fault::Full => now == faults.at,
                Fault::Crash => now >= faults.at,
            };
            if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }

        /// Bytes of a write of `len` that reach the disk when it fails: half of those of the write
        /// that was chosen, none of what a dead process would write later.
        pub(super) fn torn(&self, len: usize) -> usize {
            let chosen = self
                .faults
                .as_ref()
                .is_some_and(|faults| faults.count.load(Ordering::Relaxed) == faults.at + 1);
            if chosen { len / 2 } else { 0 }
        }
    }
}
