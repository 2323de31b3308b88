//! The form of torch before version 1.6: five pickles one behind the other, then the storages.
//!
//! | part | what |
//! |---|---|
//! | pickle 1 | a magic number |
//! | pickle 2 | the version of the form, 1001 |
//! | pickle 3 | a dict that tells the order of bytes |
//! | pickle 4 | what was saved; a storage is known by a key |
//! | pickle 5 | the list of keys, in the order of what follows |
//! | for each key | the number of elements (i64), then the elements |

use super::{Content, MAX_PICKLE, Storage, stopped};
use crate::error::{TorchFileError, brief};
use crate::input::Input;
use crate::machine;
use crate::tensor::{self, StorageClaim};
use crate::values::{Id, Node, Values};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// The magic number, highest byte first.
const MAGIC: &str = "1950a86a20f9469cfc6c";
const VERSION: i64 = 1001;

/// Whether a file starts like a pickle of one of the protocols that have a number.
pub(crate) fn is_pickle(start: &[u8]) -> bool {
    matches!(start, [0x80, 2..=5, ..])
}

pub(crate) fn open(path: &Path, file: &File, file_len: u64) -> Result<Content, TorchFileError> {
    let mut values = Values::new();
    let mut input = Input::new(BufReader::new(file).take(MAX_PICKLE));
    let mut next = |name: &str, values: &mut Values| {
        machine::run(&mut input, values)
            .map(|id| (id, input.position()))
            .map_err(|fault| stopped(path, name, input.position(), fault))
    };
    let (magic, _) = next("the first pickle", &mut values)?;
    let is_magic = matches!(values.node(magic), Node::BigInt(hex) if values.text(*hex) == MAGIC);
    if !is_magic {
        let expected = "the magic number with which torch before version 1.6 starts a file";
        return Err(TorchFileError::field(path, "it", bare(&values, magic), expected));
    }
    let (version, _) = next("the second pickle", &mut values)?;
    if !matches!(values.node(version), Node::Int(VERSION)) {
        let got = values.describe(version);
        return Err(TorchFileError::field(path, "its version", got, VERSION.to_string()));
    }
    let (system, _) = next("the third pickle", &mut values)?;
    if !is_little_endian(&values, system) {
        let (field, got) = ("the order of its bytes", "another or unknown");
        return Err(TorchFileError::field(path, field, got, "little-endian"));
    }
    let (root, _) = next("the fourth pickle", &mut values)?;
    let (keys, end) = next("the fifth pickle", &mut values)?;
    let layout = Layout { path, file, file_len, values: &values };
    let (storages, by_key) = layout.storages(keys, end)?;
    Ok(Content { values, root, storages, by_key, folder: String::new() })
}

/// What a pickle is that no file of torch.save starts with.
fn bare(values: &Values, id: Id) -> String {
    format!("a pickle of {}", values.describe(id))
}

fn is_little_endian(values: &Values, system: Id) -> bool {
    let Node::Dict(entries) = values.node(system) else { return false };
    let is_it = |(key, _): &&(Id, Id)| values.as_text(*key) == Some("little_endian");
    entries.iter().find(is_it).is_some_and(|(_, value)| *value == Values::TRUE)
}

/// Storages, and the index of each by its key.
type Storages = (Vec<Storage>, BTreeMap<String, usize>);

/// The part of a file behind its pickles.
struct Layout<'a> {
    path: &'a Path,
    file: &'a File,
    file_len: u64,
    values: &'a Values,
}

impl Layout<'_> {
    /// Storages in the order of the file, and where each key is.
    fn storages(&self, keys: Id, mut at: u64) -> Result<Storages, TorchFileError> {
        let Node::List(keys) = self.values.node(keys) else {
            let got = self.values.describe(keys);
            return Err(self.refuse("its list of storages", got, "a list"));
        };
        let claims = self.claims()?;
        let (mut storages, mut by_key) = (Vec::new(), BTreeMap::new());
        for key in keys {
            let Some(claim) = self.values.as_text(*key).and_then(|key| claims.get(key)) else {
                let got = self.values.as_text(*key).map_or_else(
                    || self.values.describe(*key),
                    |key| format!("{}, which no tensor is in", brief(key)),
                );
                return Err(self.refuse("an entry of its list of storages", got, "a known key"));
            };
            let storage = self.storage(claim, at)?;
            at = storage.start + storage.len;
            if by_key.insert(claim.key.to_string(), storages.len()).is_some() {
                let got = format!("{} for the second time", brief(claim.key));
                return Err(self.refuse("an entry of its list of storages", got, "another key"));
            }
            storages.push(storage);
        }
        Ok((storages, by_key))
    }

    /// Every storage that the fourth pickle speaks of.
    fn claims(&self) -> Result<BTreeMap<&str, StorageClaim<'_>>, TorchFileError> {
        let mut claims = BTreeMap::<&str, StorageClaim<'_>>::new();
        for node in self.values.nodes() {
            let Node::Outside(description) = node else { continue };
            let claim = tensor::storage_claim(self.values, *description)
                .map_err(|got| self.refuse("a tensor", got, "a storage of a known class"))?;
            let known = claims.entry(claim.key).or_insert(claim);
            if (known.dtype, known.elements) != (claim.dtype, claim.elements) {
                let say = |c: &StorageClaim<'_>| format!("{} {}", c.elements, c.dtype.name());
                let field = format!("storage {}", brief(claim.key));
                return Err(self.refuse(&field, say(&claim), &format!("{} as before", say(known))));
            }
        }
        Ok(claims)
    }

    /// The storage whose number of elements stands at byte `at`.
    fn storage(&self, claim: &StorageClaim<'_>, at: u64) -> Result<Storage, TorchFileError> {
        let left = self.file_len.saturating_sub(at);
        let len = claim.elements.saturating_mul(claim.dtype.size() as u64);
        if left < 8 || len > left - 8 {
            let field = format!("{}, storage {}", self.first_user(claim.key), brief(claim.key));
            let got = format!("cut short, with {left} bytes left of the file");
            let expected = format!("its length, which takes 8 bytes, and {len} bytes");
            return Err(self.refuse(&field, got, &expected));
        }
        let mut count = [0; 8];
        self.file.read_exact_at(&mut count, at).map_err(TorchFileError::io(self.path))?;
        let count = u64::from_le_bytes(count);
        if count != claim.elements {
            let field = format!("{}, storage {}", self.first_user(claim.key), brief(claim.key));
            let expected = format!("{}, as its tensors have it", claim.elements);
            return Err(self.refuse(&field, format!("{count} elements"), &expected));
        }
        let (name, is_verified) = (claim.key.to_string(), AtomicBool::new(true));
        Ok(Storage { name, start: at + 8, len, crc32: None, is_verified })
    }

    /// The first entry of a dict whose tensor lies in a storage.
    fn first_user(&self, storage: &str) -> String {
        let is_in = |id: Id| {
            let claim = tensor::claim(self.values, id).ok().flatten();
            claim.is_some_and(|claim| claim.storage.key == storage)
        };
        let entries = self.values.nodes().filter_map(|node| match node {
            Node::Dict(entries) => Some(entries),
            _ => None,
        });
        let user = entries.flatten().find(|(_, value)| is_in(*value));
        let name = user.and_then(|(key, _)| self.values.as_text(*key));
        name.map_or_else(|| "a tensor".into(), brief)
    }

    fn refuse(&self, field: &str, got: impl Into<String>, expected: &str) -> TorchFileError {
        TorchFileError::field(self.path, field, got, expected)
    }
}
