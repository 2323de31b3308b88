//! The members of a zip file, each read with positioned reads.

use crate::NpzError;
use crate::array_reader::{ArrayReader, Place};
use crate::block_reader::BlockReader;
use crate::limits::{MAX_COMPRESSION_RATIO, MAX_MEMBER_BYTES, MAX_MEMBERS, name_problem};
use crate::member_bytes::{MemberBytes, Section};
use crate::names::Names;
use crate::shared_file::SharedFile;
use flate2::read::DeflateDecoder;
use std::io::Read;
use std::path::Path;
use zip::CompressionMethod;
// `ZipArchive` keeps some 500 bytes a member; this walks the directory and keeps nothing.
use zip::read::{Config, ZipFileEntry};
use zip::unstable::read::ZipIterable;

/// Bytes of the directory that are read at once.
const DIRECTORY_BLOCK: usize = 64 << 10;
/// Members up to this size may be compressed by any ratio: a black image is.
const SMALL_MEMBER_BYTES: u64 = 1 << 20;
/// What stands before a member's name and bytes.
const LOCAL_HEADER: usize = 30;

/// A zip file and where its members are.
#[derive(Debug)]
pub struct ZipMembers {
    file: SharedFile,
    names: Names,
    members: Vec<Member>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    header_start: u64,
    stored_len: u64,
    len: u64,
    crc32: u32,
    is_deflated: bool,
}

/// How large the members of an archive may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberSizes {
    /// Each is read as a whole: up to [`MAX_MEMBER_BYTES`], compressed by up to
    /// [`MAX_COMPRESSION_RATIO`].
    Limited,
    /// They are read in parts, so that a reader's memory does not depend on their size.
    Any,
}

impl ZipMembers {
    /// Lists the files of an archive; folders are passed over.
    ///
    /// # Errors
    /// Names the archive, the member and the offset when the directory is damaged or missing (as
    /// where the archive is cut short), and when a member is encrypted, a link, compressed
    /// otherwise than by deflate, larger than `sizes` says, not inside of the file, has an absolute
    /// name or one with `..`, and where there are more than [`MAX_MEMBERS`].
    pub fn open(path: &Path, sizes: MemberSizes) -> Result<Self, NpzError> {
        let file = SharedFile::open(path)?;
        let (mut names, mut members) = (Names::default(), Vec::new());
        file.with(|open| {
            let reader = BlockReader::new(open, file.len(), DIRECTORY_BLOCK);
            let damaged = |e: zip::result::ZipError| {
                file.broken("the directory at its end", file.len(), e.to_string())
            };
            let mut archive = ZipIterable::try_new(reader, Config::default()).map_err(damaged)?;
            if archive.len() as u64 > MAX_MEMBERS {
                let reason = format!("{} members, more than {MAX_MEMBERS}", archive.len());
                return Err(file.broken("the directory at its end", file.len(), reason));
            }
            for entry in archive.files().map_err(damaged)? {
                let entry = entry.map_err(damaged)?;
                if entry.is_dir() {
                    continue;
                }
                members.push(member_of(&file, &entry, sizes)?);
                names.push(entry.name_raw());
            }
            Ok(())
        })?;
        Ok(Self { file, names, members })
    }

    /// The archive itself.
    pub fn file(&self) -> &SharedFile {
        &self.file
    }

    /// Keeps the archive and forgets its members.
    pub fn into_file(self) -> SharedFile {
        self.file
    }

    /// How many files it has.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has no file.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The name of a member, as bytes: few archives say in which encoding.
    pub fn name(&self, member: usize) -> &[u8] {
        self.names.get(member)
    }

    /// The error of a member that cannot be used.
    pub fn broken(&self, member: usize, reason: impl Into<String>) -> NpzError {
        let offset = self.members[member].header_start;
        self.file.broken(&self.names.text(member), offset, reason)
    }

    /// Where a member is, for people.
    pub fn describe(&self, member: usize) -> String {
        let (file, name) = (self.file.path().display(), self.names.text(member));
        format!("{file}: {name}, at byte {}", self.members[member].header_start)
    }

    /// The numbers of the members of which `is_wanted` says so of the name, sorted by name.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn sorted(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<u32>, NpzError> {
        let wanted = |&member: &u32| is_wanted(self.name(member as usize));
        let mut members: Vec<u32> = (0..self.len() as u32).filter(wanted).collect();
        members.sort_by_key(|&member| self.name(member as usize));
        let same = |pair: &&[u32]| self.name(pair[0] as usize) == self.name(pair[1] as usize);
        match members.windows(2).find(same) {
            Some(pair) => Err(self.broken(pair[1] as usize, "two members have this name")),
            None => Ok(members),
        }
    }

    /// Replaces `bytes` by those of a member, unpacked; their checksum has to hold.
    ///
    /// # Errors
    /// When the member is beyond the limits of [`MemberSizes::Limited`], cannot be unpacked or has
    /// another length or checksum than the directory says; the system's.
    pub fn read(&self, member: usize, bytes: &mut Vec<u8>) -> Result<(), NpzError> {
        let Member { stored_len, len, crc32, is_deflated, .. } = self.members[member];
        if let Some(problem) = self.members[member].size_problem() {
            return Err(self.broken(member, problem));
        }
        let start = self.data_start(member)?;
        // Both lengths were compared with the file's and with the limits, so they fit.
        self.file.read_at(start, stored_len as usize, bytes)?;
        if is_deflated {
            let mut unpacked = Vec::with_capacity(len as usize);
            let mut decoder = DeflateDecoder::new(&bytes[..]).take(len + 1);
            let done = decoder.read_to_end(&mut unpacked);
            done.map_err(|e| self.broken(member, format!("cannot be inflated: {e}")))?;
            *bytes = unpacked;
        }
        if bytes.len() as u64 != len {
            let found = bytes.len();
            return Err(self.broken(member, format!("inflated to {found} bytes, expected {len}")));
        }
        let found = crc32fast::hash(bytes);
        if found != crc32 {
            let reason = format!("checksum {found:08x}, expected {crc32:08x}");
            return Err(self.broken(member, reason));
        }
        Ok(())
    }

    /// Where the bytes of a member start and how many there are.
    ///
    /// # Errors
    /// When it is compressed, or is not where the directory says.
    pub fn stored_range(&self, member: usize) -> Result<(u64, u64), NpzError> {
        if self.members[member].is_deflated {
            let reason = "it is compressed, so its records cannot be read one by one: \
                          write it with numpy.savez, not savez_compressed";
            return Err(self.broken(member, reason));
        }
        Ok((self.data_start(member)?, self.members[member].len))
    }

    /// Reads a member that is an npy file.
    pub(crate) fn array(&self, member: usize) -> Result<ArrayReader, NpzError> {
        let Member { header_start, stored_len, len, crc32, is_deflated } = self.members[member];
        let section = Section::new(self.file.handle()?, self.data_start(member)?, stored_len);
        let bytes = if is_deflated {
            MemberBytes::deflated(section, stored_len)
        } else {
            MemberBytes::Stored(section)
        };
        let file = self.file.path().to_path_buf();
        let place = Place { file, member: self.names.text(member), offset: header_start };
        ArrayReader::open(place, bytes, len, Some(crc32))
    }

    /// From the member's own header, which repeats its name.
    fn data_start(&self, member: usize) -> Result<u64, NpzError> {
        let Member { header_start, stored_len, .. } = self.members[member];
        let name = self.name(member);
        let header_len = LOCAL_HEADER + name.len();
        let room = self.file.len() - header_start;
        let mut header = Vec::new();
        if (header_len as u64) <= room {
            self.file.read_at(header_start, header_len, &mut header)?;
        }
        let is_header = header.starts_with(b"PK\x03\x04");
        if !is_header || header[26..28] != (name.len() as u16).to_le_bytes() {
            return Err(self.broken(member, "no header of a member with this name is there"));
        }
        if header[LOCAL_HEADER..] != *name {
            return Err(self.broken(member, "the member there has another name"));
        }
        let extra_len = u16::from_le_bytes([header[28], header[29]]);
        let before = header_len as u64 + u64::from(extra_len);
        if before + stored_len > room {
            let left = room.saturating_sub(before);
            let reason = format!("{left} of {stored_len} bytes are inside of the file");
            return Err(self.broken(member, reason));
        }
        Ok(header_start + before)
    }
}

fn member_of(
    file: &SharedFile,
    entry: &ZipFileEntry<'_>,
    sizes: MemberSizes,
) -> Result<Member, NpzError> {
    let header_start = entry.header_start();
    let refused = |reason: String| {
        Err(file.broken(&String::from_utf8_lossy(entry.name_raw()), header_start, reason))
    };
    let (stored_len, len) = (entry.compressed_size(), entry.size());
    let is_deflated = entry.compression() == CompressionMethod::DEFLATE;
    if let Some(problem) = name_problem(entry.name_raw()) {
        return refused(format!("{problem} is refused"));
    }
    if entry.is_symlink() {
        return refused("a link is refused".into());
    }
    if entry.encrypted() {
        return refused("it is encrypted".into());
    }
    if !is_deflated && entry.compression() != CompressionMethod::STORE {
        let method = entry.compression();
        return refused(format!("compressed by {method}, expected stored or deflated"));
    }
    let member = Member { header_start, stored_len, len, crc32: entry.crc32(), is_deflated };
    if let Some(problem) = member.size_problem().filter(|_| sizes == MemberSizes::Limited) {
        return refused(problem);
    }
    if !is_deflated && len != stored_len {
        return refused(unbelievable(len, stored_len));
    }
    if header_start.checked_add(stored_len).is_none_or(|end| end > file.len()) {
        return refused(format!("its {stored_len} bytes are not inside of the file"));
    }
    Ok(member)
}

impl Member {
    /// Why it cannot be read as a whole, if so.
    fn size_problem(&self) -> Option<String> {
        let Self { stored_len, len, .. } = *self;
        if len > MAX_MEMBER_BYTES {
            return Some(format!("{len} bytes, more than {MAX_MEMBER_BYTES}"));
        }
        let is_bomb = len / MAX_COMPRESSION_RATIO > stored_len && len > SMALL_MEMBER_BYTES;
        is_bomb.then(|| unbelievable(len, stored_len))
    }
}

fn unbelievable(len: u64, stored_len: u64) -> String {
    format!("{len} bytes from {stored_len}, which is not to be believed")
}
