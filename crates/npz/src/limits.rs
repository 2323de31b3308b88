//! What archives may hold, and names that members may have.

/// Bytes of the largest member of an archive that is read as a whole: 256 MiB.
pub const MAX_MEMBER_BYTES: u64 = 256 << 20;
/// How many times larger than its compressed form such a member may be.
pub const MAX_COMPRESSION_RATIO: u64 = 200;
/// Members of the largest archive or set of shards that is read.
pub const MAX_MEMBERS: u64 = 4_000_000;

/// Why a member's name is refused, if it is: it must be a plain relative path.
///
/// Nothing is ever unpacked, so such a name could do no harm here. It says that the archive was
/// made to do harm elsewhere.
pub fn name_problem(name: &[u8]) -> Option<&'static str> {
    let is_drive = name.len() >= 2 && name[0].is_ascii_alphabetic() && name[1] == b':';
    if name.is_empty() {
        Some("an empty name")
    } else if name.contains(&0) {
        Some("a name with a zero byte")
    } else if matches!(name[0], b'/' | b'\\') || is_drive {
        Some("an absolute name")
    } else if name.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| part == b"..") {
        Some("a name that leaves the archive through `..`")
    } else {
        None
    }
}
