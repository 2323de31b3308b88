//! The members of a tar file, from its headers alone.

use crate::DataError;
use npz::{BlockReader, MAX_MEMBER_BYTES, MAX_MEMBERS, SharedFile, name_problem};
use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use tar::{Archive, EntryType};

/// Bytes read at once while headers are listed: a page, so that large members are passed over.
const SCAN_BLOCK: usize = 4096;
/// Tar files are written in pieces of this many bytes, the last filled up with zeros.
const RECORD: u64 = 10_240;
const HEADER: u64 = 512;

/// A file in a tar file.
pub(crate) struct TarMember<'a> {
    pub(crate) name: &'a [u8],
    /// Where its bytes start.
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Calls `visit` with every file in the archive, in order; folders are passed over.
///
/// # Errors
/// Names the archive, the member and the offset when the archive is cut short or damaged, holds a
/// link, a device or a sparse file, a name that is absolute or has `..`, a member larger than
/// [`MAX_MEMBER_BYTES`] or more than [`MAX_MEMBERS`]. Also what `visit` returns.
pub(crate) fn scan(
    archive: &SharedFile,
    mut visit: impl FnMut(TarMember<'_>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    archive.with(|file| {
        let mut members = Archive::new(BlockReader::new(file, archive.len(), SCAN_BLOCK));
        let entries = members.entries_with_seek().map_err(DataError::io(archive.path()))?;
        let (mut end, mut count) = (0, 0);
        for entry in entries {
            let entry = entry.map_err(|e| archive.broken("the next member", end, e.to_string()))?;
            let name = entry.path_bytes();
            let (offset, len) = (entry.raw_file_position(), entry.size());
            check(archive, entry.header().entry_type(), &name, offset, len)?;
            end = offset + len.next_multiple_of(HEADER);
            count += 1;
            if count > MAX_MEMBERS {
                return Err(archive.broken(&text(&name), offset, "too many members").into());
            }
            if entry.header().entry_type().is_file() {
                visit(TarMember { name: &name, offset, len })?;
            }
        }
        check_end(archive, file, end)
    })
}

fn text(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(name)
}

fn check(
    archive: &SharedFile,
    kind: EntryType,
    name: &[u8],
    offset: u64,
    len: u64,
) -> Result<(), DataError> {
    let refused = |reason: String| Err(archive.broken(&text(name), offset, reason).into());
    if let Some(problem) = name_problem(name).filter(|_| !kind.is_pax_global_extensions()) {
        return refused(format!("{problem} is refused"));
    }
    let is_known = kind.is_file() || kind.is_dir() || kind.is_pax_global_extensions();
    if !is_known {
        return refused(format!("{kind:?} is refused: only files and folders are read"));
    }
    if len > MAX_MEMBER_BYTES {
        return refused(format!("{len} bytes, more than {MAX_MEMBER_BYTES}"));
    }
    if offset.checked_add(len).is_none_or(|end| end > archive.len()) {
        let found = archive.len().saturating_sub(offset);
        return refused(format!("the archive is cut short: {found} of {len} bytes are there"));
    }
    Ok(())
}

/// An archive ends with zeros. Without them it was cut short between two members; and a second
/// archive behind them, as `cat a.tar b.tar` makes it, would never be seen.
fn check_end(archive: &SharedFile, file: &File, end: u64) -> Result<(), DataError> {
    let left = archive.len().saturating_sub(end);
    if left < HEADER {
        let reason = "the archive is cut short: it has no end marker";
        return Err(archive.broken("the end", end, reason).into());
    }
    let mut rest = vec![0; left.min(2 * RECORD) as usize];
    file.read_exact_at(&mut rest, end).map_err(DataError::io(archive.path()))?;
    match rest.iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(at) => {
            let reason = "bytes after the end of the archive: are two archives in one file?";
            Err(archive.broken("the end", end + at as u64, reason).into())
        }
    }
}
