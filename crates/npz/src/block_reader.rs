//! Reading a file at positions, so that threads can share it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// A cursor in a shared file that keeps one block of it.
///
/// Libraries that list archives seek to each header; [`std::io::BufReader`] then throws away what
/// it has read, so that small steps would cost a whole block each.
pub struct BlockReader<'a> {
    file: &'a File,
    file_len: u64,
    at: u64,
    /// Bytes of the file from `block_start` on; up to `block_capacity` of them.
    block: Vec<u8>,
    block_start: u64,
    block_capacity: usize,
}

impl<'a> BlockReader<'a> {
    /// Starts at the first byte of a file of `file_len` bytes, of which up to `block_capacity` are
    /// kept.
    pub fn new(file: &'a File, file_len: u64, block_capacity: usize) -> Self {
        Self { file, file_len, at: 0, block: Vec::new(), block_start: 0, block_capacity }
    }

    /// What the block has from the position on.
    fn buffered(&self) -> &[u8] {
        let skipped = self.at.checked_sub(self.block_start);
        let skipped = skipped.and_then(|skipped| usize::try_from(skipped).ok());
        skipped.and_then(|skipped| self.block.get(skipped..)).unwrap_or_default()
    }

    fn fill(&mut self) -> io::Result<()> {
        let left = self.file_len.saturating_sub(self.at);
        self.block.resize(left.min(self.block_capacity as u64) as usize, 0);
        self.block_start = self.at;
        self.file.read_exact_at(&mut self.block, self.at)
    }
}

impl Read for BlockReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() {
            self.fill()?;
        }
        let buffered = self.buffered();
        let len = buffered.len().min(out.len());
        out[..len].copy_from_slice(&buffered[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for BlockReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file_len.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("a position before the start or too large"))?;
        Ok(self.at)
    }
}
