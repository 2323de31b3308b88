//! A file that is on its way, `NAME.part` beside where it will be.

use super::fetch::FetchError;
use ring::digest::{Context, SHA256};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes read at once.
pub(super) const CHUNK: usize = 1 << 16;

/// What has arrived of a file, and its checksum so far.
///
/// What has arrived stays when this is dropped: the next process goes on behind it.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    target: PathBuf,
    checksum: Context,
    len: u64,
}

impl Part {
    /// Opens the part of `target`, or begins one; its folder is made where there is none. What is
    /// there already is read once, for the checksum.
    ///
    /// # Errors
    /// [`FetchError::Busy`] while another process holds it, [`FetchError::Io`] when the system refuses.
    pub(super) fn open(target: &Path) -> Result<Self, FetchError> {
        let mut name = target.file_name().unwrap_or_default().to_os_string();
        name.push(".part");
        let path = target.with_file_name(name);
        let failed = |error| FetchError::io(&path, error);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(|error| FetchError::io(folder, error))?;
        }
        let mut open = OpenOptions::new();
        let open = open.read(true).write(true).create(true).truncate(false);
        let mut file = open.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FetchError::Busy { part: path }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let (checksum, len) = read_through(&mut file).map_err(failed)?;
        Ok(Self { file, path, target: target.to_path_buf(), checksum, len })
    }

    /// Bytes that have arrived.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Adds what follows.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(|error| FetchError::io(&self.path, error))?;
        self.checksum.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what has arrived.
    pub(super) fn restart(&mut self) -> Result<(), FetchError> {
        let clear = self.file.set_len(0).and_then(|()| self.file.rewind());
        clear.map_err(|error| FetchError::io(&self.path, error))?;
        self.checksum = Context::new(&SHA256);
        self.len = 0;
        Ok(())
    }

    /// SHA-256 of what has arrived, in hexadecimal digits.
    pub(super) fn sha256(&self) -> String {
        hex(self.checksum.clone())
    }

    /// Makes the content durable and gives it its name.
    pub(super) fn complete(self) -> Result<(), FetchError> {
        let finish = || {
            self.file.sync_all()?;
            fs::rename(&self.path, &self.target)?;
            let folder = self.target.parent().filter(|p| !p.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        finish().map_err(|error| FetchError::io(&self.target, error))
    }

    /// Removes it.
    pub(super) fn discard(self) -> Result<(), FetchError> {
        fs::remove_file(&self.path).map_err(|error| FetchError::io(&self.path, error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.len == 0 {
            // Of no use; after a rename there is nothing under this name.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// SHA-256 of a file, in hexadecimal digits.
pub(super) fn sha256_of(path: &Path) -> io::Result<String> {
    Ok(hex(read_through(&mut File::open(path)?)?.0))
}

/// Checksum and length of all that is in a file, which is left at its end.
fn read_through(file: &mut File) -> io::Result<(Context, u64)> {
    let mut checksum = Context::new(&SHA256);
    let mut buffer = vec![0; CHUNK];
    file.seek(SeekFrom::Start(0))?;
    let mut len = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((checksum, len)),
            n => {
                checksum.update(&buffer[..n]);
                len += n as u64;
            }
        }
    }
}

/// The finished checksum as published lists spell it.
pub(super) fn hex(checksum: Context) -> String {
    checksum.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
