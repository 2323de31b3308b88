//! The bytes of a pickle, taken one after the other and counted.

use std::io::{self, BufRead, Read};

/// Why a machine stopped.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The system failed to read.
    Io(io::Error),
    /// The instructions make no sense.
    Nonsense(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Nonsense("the file ends".into()),
            // What readers of archives say of damaged bytes.
            io::ErrorKind::InvalidData | io::ErrorKind::Other => Self::Nonsense(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

/// What a part of a machine gives, unless it stops.
pub(crate) type Step<T> = Result<T, Fault>;

/// A stop for a reason.
pub(crate) fn nonsense<T>(reason: impl Into<String>) -> Step<T> {
    Err(Fault::Nonsense(reason.into()))
}

/// Longest name of a module or class.
const MAX_LINE: u64 = 1024;

/// A reader that counts.
#[derive(Debug)]
pub(crate) struct Input<R> {
    reader: R,
    position: u64,
}

impl<R: BufRead> Input<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, position: 0 }
    }

    /// Bytes taken so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self) -> Step<u8> {
        self.array().map(|[byte]| byte)
    }

    /// Puts the next `len` bytes in place of those of `out`, which grows with what is really there.
    pub(crate) fn take(&mut self, len: u64, out: &mut Vec<u8>) -> Step<()> {
        out.clear();
        let found = self.reader.by_ref().take(len).read_to_end(out)? as u64;
        self.position += found;
        self.check_length(found, len)
    }

    /// Passes over `len` bytes.
    pub(crate) fn skip(&mut self, len: u64) -> Step<()> {
        let found = io::copy(&mut self.reader.by_ref().take(len), &mut io::sink())?;
        self.position += found;
        self.check_length(found, len)
    }

    /// Passes over all that is left.
    pub(crate) fn skip_rest(&mut self) -> Step<()> {
        self.position += io::copy(&mut self.reader, &mut io::sink())?;
        Ok(())
    }

    /// Puts the next line in place of `out`, without its end.
    pub(crate) fn line(&mut self, out: &mut Vec<u8>) -> Step<()> {
        out.clear();
        self.position += self.reader.by_ref().take(MAX_LINE).read_until(b'\n', out)? as u64;
        match out.pop() {
            Some(b'\n') => Ok(()),
            _ => nonsense(format!("a name has no end within {MAX_LINE} bytes")),
        }
    }

    fn check_length(&self, found: u64, len: u64) -> Step<()> {
        match found == len {
            true => Ok(()),
            false => nonsense(format!("{len} bytes are announced and {found} follow")),
        }
    }
}
