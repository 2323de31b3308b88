//! File operations of what must survive a crash.
//!
//! Everything a checkpoint does to the disk goes through [`Storage`], so that tests can let each
//! single operation fail and see what is left.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// A file that is being written.
pub(crate) trait StoredFile: Write {
    /// Waits until the content is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operations.
pub(crate) trait Storage {
    /// Creates a folder and those above it.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Creates or empties a file.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StoredFile>>;
    /// Waits until the names in a folder are on the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames within a folder: at once or not at all.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a folder and what is in it.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Bytes that can still be written below a folder.
    fn available(&self, path: &Path) -> io::Result<u64>;
}

/// The file system.
pub(crate) struct Disk;

impl StoredFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Storage for Disk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn available(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Start of the names of files and folders that are not complete yet.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Puts `bytes` in place of a file. Whoever reads it sees the old content or the new.
pub(crate) fn replace_file(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!("{TEMPORARY}{name}-{}", std::process::id()));
    let result = write_file(storage, &temporary, bytes)
        .and_then(|()| storage.rename(&temporary, path))
        .and_then(|()| storage.sync_dir(folder));
    if result.is_err() {
        // Gone already when the rename was made; the first error is the one to tell.
        let _ = storage.remove_file(&temporary);
    }
    result
}

fn write_file(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = storage.create(path)?;
    file.write_all(bytes)?;
    file.sync()
}

#[cfg(test)]
pub(crate) mod faults {
    //! A disk on which a chosen operation fails.
    //!
    //! It waits for nothing: no test pulls the plug, and waiting is most of the time of a save.

    use super::{Disk, Storage, StoredFile};
    use std::cell::RefCell;
    use std::io::{self, Write};
    use std::path::Path;
    use std::rc::Rc;

    /// What happens at the chosen operation.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub(crate) enum Fault {
        /// It fails, a write after half its bytes; what follows works.
        Error,
        /// The process dies: it and all that follows does nothing.
        Crash,
    }

    /// Writes down every operation and lets number `at`, counted from 0, fail.
    #[derive(Clone)]
    pub(crate) struct FaultyDisk {
        fault: Fault,
        at: usize,
        log: Rc<RefCell<Vec<String>>>,
    }

    impl FaultyDisk {
        pub(crate) fn new(fault: Fault, at: usize) -> Self {
            Self { fault, at, log: Rc::default() }
        }

        /// A disk on which nothing fails.
        pub(crate) fn good() -> Self {
            Self::new(Fault::Error, usize::MAX)
        }

        /// Operations so far.
        pub(crate) fn count(&self) -> usize {
            self.log.borrow().len()
        }

        /// Names of the operations, each with the name of its file or folder.
        pub(crate) fn log(&self) -> Vec<String> {
            self.log.borrow().clone()
        }

        fn step(&self, operation: &str, path: &Path) -> io::Result<()> {
            let now = self.count();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            self.log.borrow_mut().push(format!("{operation} {name}"));
            let fails = match self.fault {
                Fault::Error => now == self.at,
                Fault::Crash => now >= self.at,
            };
            if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    struct FaultyFile {
        inner: Box<dyn StoredFile>,
        disk: FaultyDisk,
        path: std::path::PathBuf,
    }

    impl Write for FaultyFile {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Err(error) = self.disk.step("write", &self.path) {
                if self.disk.count() == self.disk.at + 1 {
                    self.inner.write_all(&bytes[..bytes.len() / 2])?;
                }
                return Err(error);
            }
            self.inner.write_all(bytes)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.inner.flush()
        }
    }

    impl StoredFile for FaultyFile {
        fn sync(&mut self) -> io::Result<()> {
            self.disk.step("sync", &self.path)
        }
    }

    impl Storage for FaultyDisk {
        fn create_dir(&self, path: &Path) -> io::Result<()> {
            self.step("create_dir", path)?;
            Disk.create_dir(path)
        }

        fn create(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
            self.step("create", path)?;
            let inner = Disk.create(path)?;
            Ok(Box::new(FaultyFile { inner, disk: self.clone(), path: path.into() }))
        }

        fn sync_dir(&self, path: &Path) -> io::Result<()> {
            self.step("sync_dir", path)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.step("rename", to)?;
            Disk.rename(from, to)
        }

        fn remove_dir(&self, path: &Path) -> io::Result<()> {
            self.step("remove_dir", path)?;
            Disk.remove_dir(path)
        }

        fn remove_file(&self, path: &Path) -> io::Result<()> {
            self.step("remove_file", path)?;
            Disk.remove_file(path)
        }

        fn available(&self, path: &Path) -> io::Result<u64> {
            self.step("available", path)?;
            Disk.available(path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::faults::{Fault, FaultyDisk};
    use super::*;

    #[test]
    fn a_new_file_is_on_the_disk_before_it_takes_the_place_of_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::good();
        replace_file(&disk, &folder.path().join("file"), b"new").unwrap();
        let temporary = format!(".tmp-file-{}", std::process::id());
        let folder = folder.path().file_name().unwrap().to_str().unwrap();
        let expected = [
            format!("create {temporary}"),
            format!("write {temporary}"),
            format!("sync {temporary}"),
            "rename file".into(),
            format!("sync_dir {folder}"),
        ];
        assert_eq!(disk.log(), expected);
    }

    #[test]
    fn a_replaced_file_is_old_or_new_whatever_fails() {
        for fault in [Fault::Error, Fault::Crash] {
            for at in 0.. {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("file");
                replace_file(&Disk, &path, b"old content").unwrap();
                let disk = FaultyDisk::new(fault, at);
                let result = replace_file(&disk, &path, b"new");
                let content = fs::read(&path).unwrap();
                if result.is_ok() {
                    assert_eq!((content.as_slice(), at), (&b"new"[..], 5));
                    break;
                }
                // Only the last operation, making the new name durable, comes after the rename.
                let expected: &[u8] = if at < 4 { b"old content" } else { b"new" };
                assert_eq!(content, expected, "{fault:?} at {at}");
                let left = fs::read_dir(folder.path()).unwrap().count();
                assert!(fault == Fault::Crash || left == 1, "{left} files after an error at {at}");
            }
        }
    }
}
