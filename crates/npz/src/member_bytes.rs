//! The bytes of a member from its first to its last.

use flate2::bufread::DeflateDecoder;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;

/// A part of a file, read with positions, so that the file's own position does not matter.
#[derive(Debug)]
pub(crate) struct Section {
    file: File,
    at: u64,
    end: u64,
}

impl Section {
    /// `len` bytes from `start` on.
    pub(crate) fn new(file: File, start: u64, len: u64) -> Self {
        Self { file, at: start, end: start + len }
    }
}

impl Read for Section {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = (self.end - self.at).min(out.len() as u64) as usize;
        let read = self.file.read_at(&mut out[..len], self.at)?;
        if read == 0 && len > 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the file has become shorter"));
        }
        self.at += read as u64;
        Ok(read)
    }
}

/// A member as it was before it was packed.
#[derive(Debug)]
pub(crate) enum MemberBytes {
    Stored(Section),
    Deflated { decoder: Box<DeflateDecoder<BufReader<Section>>>, stored_len: u64 },
}

impl MemberBytes {
    /// Unpacks `stored_len` bytes.
    pub(crate) fn deflated(section: Section, stored_len: u64) -> Self {
        let decoder = Box::new(DeflateDecoder::new(BufReader::new(section)));
        Self::Deflated { decoder, stored_len }
    }

    /// Packed bytes that were not needed, once the end has been read.
    pub(crate) fn unread(&self) -> u64 {
        match self {
            Self::Stored(section) => section.end - section.at,
            Self::Deflated { decoder, stored_len } => stored_len - decoder.total_in(),
        }
    }
}

impl Read for MemberBytes {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stored(section) => section.read(out),
            Self::Deflated { decoder, .. } => decoder.read(out),
        }
    }
}
