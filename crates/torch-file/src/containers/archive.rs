//! A zip archive: one pickle, and a stored member for every storage.
//!
//! ```text
//! NAME/data.pkl   NAME/byteorder   NAME/data/KEY …
//! ```

use super::{Content, MAX_PICKLE, Storage, stopped};
use crate::error::{TorchFileError, brief};
use crate::input::Input;
use crate::machine;
use crate::values::Values;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use zip::{CompressionMethod, ZipArchive};

/// Members of the archive; a checkpoint of the largest network has 4,500.
const MAX_MEMBERS: usize = 100_000;

type Archive<'a> = ZipArchive<BufReader<&'a File>>;

pub(crate) fn open(path: &Path, file: &File, file_len: u64) -> Result<Content, TorchFileError> {
    let refuse = |field: &str, got: String, expected: String| {
        TorchFileError::field(path, field, got, expected)
    };
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
        let got = format!("not a whole zip archive ({})", brief(error));
        refuse("it", got, "the list of members at its end".into())
    })?;
    if archive.len() > MAX_MEMBERS {
        let n = archive.len();
        return Err(refuse("the archive", format!("{n} members"), format!("up to {MAX_MEMBERS}")));
    }
    let members = members(path, &mut archive, file_len)?;
    let pickle = pickle_name(path, &members)?;
    let folder = pickle.trim_end_matches("data.pkl").to_string();
    check_byte_order(path, &mut archive, &folder)?;
    let prefix = format!("{folder}data/");
    let mut by_key = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        if let Some(key) = member.name.strip_prefix(&prefix) {
            by_key.insert(key.to_string(), index);
        }
    }
    let mut values = Values::new();
    let entry = archive.by_name(&pickle).map_err(|error| damaged(path, &pickle, error))?;
    let mut input = Input::new(BufReader::new(entry));
    let root = machine::run(&mut input, &mut values)
        // Behind the last byte stands the checksum, which the archive's reader compares.
        .and_then(|root| input.skip_rest().map(|()| root))
        .map_err(|fault| stopped(path, &pickle, input.position(), fault))?;
    Ok(Content { values, root, storages: members, by_key, folder: prefix })
}

fn damaged(path: &Path, member: &str, error: zip::result::ZipError) -> TorchFileError {
    let got = format!("damaged ({})", brief(error));
    TorchFileError::field(path, brief(member), got, "a stored member")
}

/// Where the members are. Torch stores without compression, so that they lie side by side.
fn members(
    path: &Path,
    archive: &mut Archive<'_>,
    file_len: u64,
) -> Result<Vec<Storage>, TorchFileError> {
    let mut total = 0_u64;
    let mut members = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive
            .by_index_raw(index)
            .map_err(|error| damaged(path, &format!("member {index}"), error))?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let refuse = |got: String, expected: &str| {
            Err(TorchFileError::field(path, brief(&name), got, expected))
        };
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return refuse("compressed or encrypted".into(), "a stored member, as torch writes it");
        }
        let (len, start) = (entry.size(), entry.data_start().unwrap_or(u64::MAX));
        total = total.saturating_add(len);
        if entry.compressed_size() != len || start.checked_add(len).is_none_or(|e| e > file_len) {
            return refuse(format!("{len} bytes at {start}"), "bytes inside of the file");
        }
        if total > file_len {
            let got = format!("{len} bytes, which makes {total} with those before");
            return refuse(got, &format!("no more than the file has, {file_len}"));
        }
        let crc32 = Some(entry.crc32());
        members.push(Storage { name, start, len, crc32, is_verified: AtomicBool::new(false) });
    }
    Ok(members)
}

fn pickle_name(path: &Path, members: &[Storage]) -> Result<String, TorchFileError> {
    let pickles: Vec<_> = members.iter().filter(|m| m.name.ends_with("/data.pkl")).collect();
    let [pickle] = pickles.as_slice() else {
        let got = format!("an archive with {} members named data.pkl", pickles.len());
        return Err(TorchFileError::field(path, "it", got, "one, as torch.save writes it"));
    };
    if pickle.len > MAX_PICKLE {
        let (got, expected) = (format!("{} bytes", pickle.len), format!("up to {MAX_PICKLE}"));
        return Err(TorchFileError::field(path, brief(&pickle.name), got, expected));
    }
    Ok(pickle.name.clone())
}

/// Files of torch before version 2 do not say; they are little-endian.
fn check_byte_order(
    path: &Path,
    archive: &mut Archive<'_>,
    folder: &str,
) -> Result<(), TorchFileError> {
    let name = format!("{folder}byteorder");
    if archive.index_for_name(&name).is_none() {
        return Ok(());
    }
    let mut order = Vec::new();
    archive
        .by_name(&name)
        .map_err(io::Error::from)
        .and_then(|entry| entry.take(16).read_to_end(&mut order))
        .map_err(TorchFileError::io(path))?;
    match order.as_slice() {
        b"little" => Ok(()),
        other => {
            let got = brief(String::from_utf8_lossy(other));
            Err(TorchFileError::field(path, "the order of its bytes", got, "little"))
        }
    }
}
