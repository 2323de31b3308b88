//! The files of CIFAR-10 out of their archive.

use super::part::{hex, sha256_of};
use crate::exit::Failure;
use crate::load::Partial;
use flate2::read::GzDecoder;
use ring::digest::{Context, SHA256};
use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// The folder inside of the archive, and beside it when unpacked.
const FOLDER: &str = "cifar-10-batches-bin";
/// Bytes of a file of 10,000 records.
const BATCH: u64 = 30_730_000;
/// Bytes of the list of class names at most.
const NAMES: u64 = 4096;
/// Bytes that the archive may unpack to: the official one has 184,330,240.
const UNPACKED: u64 = 256 << 20;

/// One file of the data set.
struct Member {
    name: &'static str,
    /// Bytes at most.
    limit: u64,
    /// Published checksum, where there is one.
    sha256: Option<&'static str>,
}

const fn batch(name: &'static str, sha256: &'static str) -> Member {
    Member { name, limit: BATCH, sha256: Some(sha256) }
}

const MEMBERS: [Member; 7] = [
    batch("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
    batch("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
    batch("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
    batch("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
    batch("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
    batch("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
    Member { name: "batches.meta.txt", limit: NAMES, sha256: None },
];

/// Whether all files are in `folder`, with their checksums.
pub(super) fn is_unpacked(folder: &Path) -> bool {
    MEMBERS.iter().all(|member| {
        let file = folder.join(FOLDER).join(member.name);
        match member.sha256 {
            Some(expected) => sha256_of(&file).is_ok_and(|got| got == expected),
            None => file.is_file(),
        }
    })
}

/// Unpacks the files of the data set, and no other, into `cifar-10-batches-bin` of `folder`. Each
/// appears whole. Returns that folder.
pub(super) fn unpack(archive: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    unpack_members(archive, folder, &MEMBERS)
}

fn unpack_members(archive: &Path, folder: &Path, members: &[Member]) -> Result<PathBuf, Failure> {
    let unpacked = folder.join(FOLDER);
    fs::create_dir_all(&unpacked).map_err(|error| Failure::writing(&unpacked, error))?;
    let reading = |error| Failure::reading(archive, error);
    let file = File::open(archive).map_err(reading)?;
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(file)).take(UNPACKED));
    let mut missing: Vec<&Member> = members.iter().collect();
    for entry in tar.entries().map_err(reading)? {
        let mut entry = entry.map_err(reading)?;
        // Names are compared, never used: whatever else is in the archive is passed over.
        let path = entry.path().map_err(reading)?.into_owned();
        let is_wanted = |member: &&Member| path == Path::new(FOLDER).join(member.name);
        let Some(at) = missing.iter().position(is_wanted) else { continue };
        let member = missing.swap_remove(at);
        if !entry.header().entry_type().is_file() || entry.size() > member.limit {
            let (name, size, limit) = (path.display(), entry.size(), member.limit);
            let message = format!(
                "{}: {name} has {size} bytes, expected a file of at most {limit}",
                archive.display()
            );
            return Err(Failure::data(message));
        }
        write_member(&mut entry, archive, member, &unpacked.join(member.name))?;
    }
    match missing.first() {
        None => Ok(unpacked),
        Some(member) => {
            let message = format!("{}: no {FOLDER}/{} in it", archive.display(), member.name);
            Err(Failure::data(message))
        }
    }
}

/// One file, which appears when its checksum is right.
fn write_member(
    entry: &mut impl Read,
    archive: &Path,
    member: &Member,
    destination: &Path,
) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| Failure::reading(archive, error))?;
    let mut checksum = Context::new(&SHA256);
    checksum.update(&bytes);
    let got = hex(checksum);
    if let Some(expected) = member.sha256.filter(|expected| got != **expected) {
        let message = format!(
            "{}: SHA-256 of {} is {got}, expected {expected}",
            archive.display(),
            member.name
        );
        return Err(Failure::data(message));
    }
    let partial = Partial::create(destination)?;
    let write = || File::create(partial.path())?.write_all(&bytes);
    write().map_err(|error| Failure::writing(destination, error))?;
    partial.complete().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    const TWO: [Member; 2] = [
        // SHA-256 of "abc", FIPS 180-2.
        Member {
            name: "data_batch_1.bin",
            limit: 3,
            sha256: Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        },
        Member { name: "batches.meta.txt", limit: 8, sha256: None },
    ];

    /// An archive of the entries, in a folder.
    fn archive(entries: &[(&str, &[u8])]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        let file = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
        let mut tar = tar::Builder::new(file);
        for (name, content) in entries {
            let mut header = tar::Header::new_old();
            // `set_path` would refuse the names of an attack.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            tar.append(&header, *content).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        (folder, path)
    }

    fn refused(entries: &[(&str, &[u8])], words: &str) {
        let (folder, path) = archive(entries);
        let error = unpack_members(&path, folder.path(), &TWO).unwrap_err().in_full();
        assert!(error.contains(words), "{error}");
        assert!(!folder.path().join(FOLDER).join("data_batch_1.bin").exists() || words == "no ");
    }

    const BATCH_NAME: &str = "cifar-10-batches-bin/data_batch_1.bin";
    const NAMES_NAME: &str = "cifar-10-batches-bin/batches.meta.txt";

    #[test]
    fn the_known_files_are_unpacked_and_nothing_else() {
        let (folder, path) = archive(&[
            ("../evil.bin", b"x"),
            ("/tmp/evil.bin", b"x"),
            ("cifar-10-batches-bin/readme.html", b"<html>"),
            (BATCH_NAME, b"abc"),
            (NAMES_NAME, b"cat\n"),
        ]);
        let unpacked = unpack_members(&path, folder.path(), &TWO).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&unpacked).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["batches.meta.txt", "data_batch_1.bin"]);
        assert_eq!(fs::read(unpacked.join("data_batch_1.bin")).unwrap(), b"abc");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn archives_that_are_not_what_they_should_be_are_refused() {
        refused(&[(BATCH_NAME, b"abd"), (NAMES_NAME, b"cat")], "SHA-256 of data_batch_1.bin");
        refused(&[(BATCH_NAME, b"abcd"), (NAMES_NAME, b"cat")], "has 4 bytes, expected a file of");
        refused(&[(BATCH_NAME, b"abc")], "no ");
        let (folder, path) = archive(&[(BATCH_NAME, b"abc"), (NAMES_NAME, b"cat")]);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(unpack_members(&path, folder.path(), &TWO).is_err());
        assert!(!is_unpacked(folder.path()));
    }
}
