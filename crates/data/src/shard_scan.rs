//! The samples of one tar shard: members of the same key, gathered.

use crate::DataError;
use crate::image_folder::is_image_extension;
use crate::limits::MAX_CLASSES;
use crate::tar_scan::{TarMember, scan};
use npz::{Names, SharedFile};
use serde::Deserialize;
use serde_json::Value;

/// Bytes of the largest member that holds a label.
const MAX_LABEL_BYTES: u64 = 1 << 20;

/// An image of a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) offset: u64,
    /// Bytes; at most [`crate::MAX_MEMBER_BYTES`].
    pub(crate) len: u32,
    pub(crate) label: Option<u32>,
}

/// The images of a shard in their order, with the names of their members.
#[derive(Default)]
pub(crate) struct ShardScan {
    pub(crate) names: Names,
    pub(crate) images: Vec<Found>,
}

impl ShardScan {
    /// Reads the headers and labels of a shard.
    pub(crate) fn of(shard: &SharedFile) -> Result<Self, DataError> {
        let mut gathering = Gathering { shard, found: Self::default(), sample: None };
        scan(shard, |member| gathering.add(&member))?;
        gathering.finish_sample()?;
        let found = gathering.found;
        found.check_keys(shard)?;
        Ok(found)
    }

    /// Refuses two samples of the same key.
    fn check_keys(&self, shard: &SharedFile) -> Result<(), DataError> {
        let key = |&i: &u32| split_name(self.names.get(i as usize)).0;
        let mut order: Vec<u32> = (0..self.images.len() as u32).collect();
        order.sort_by(|a, b| key(a).cmp(key(b)).then(a.cmp(b)));
        match order.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
            None => Ok(()),
            Some(&[first, second]) => {
                let (first, name) =
                    (self.names.text(first as usize), self.names.text(second as usize));
                let reason = format!("its sample was there before, as {first}");
                Err(shard.broken(&name, self.images[second as usize].offset, reason).into())
            }
            Some(_) => unreachable!("windows of two"),
        }
    }
}

/// Members of a shard on their way to samples.
struct Gathering<'a> {
    shard: &'a SharedFile,
    found: ShardScan,
    sample: Option<Sample>,
}

/// The members of one key so far.
struct Sample {
    key: Vec<u8>,
    /// The member's name, where its bytes start and how many there are.
    image: Option<(Vec<u8>, u64, u32)>,
    label: Option<u32>,
    /// Where the sample's last label is.
    label_offset: u64,
}

impl Gathering<'_> {
    fn add(&mut self, member: &TarMember<'_>) -> Result<(), DataError> {
        let (key, extension) = split_name(member.name);
        let file_name_start = key.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        if key.len() == file_name_start {
            return Ok(()); // A hidden file, such as those that macOS adds.
        }
        if self.sample.as_ref().is_none_or(|sample| sample.key != key) {
            self.finish_sample()?;
            let key = key.to_vec();
            self.sample = Some(Sample { key, image: None, label: None, label_offset: 0 });
        }
        let is_label = extension.eq_ignore_ascii_case(b"cls");
        let label = if is_label || extension.eq_ignore_ascii_case(b"json") {
            read_label(self.shard, member, is_label)?
        } else {
            None
        };
        let Some(sample) = &mut self.sample else { return Ok(()) };
        let refused = |reason: String| {
            let name = String::from_utf8_lossy(member.name);
            Err(self.shard.broken(&name, member.offset, reason).into())
        };
        if is_image_extension(extension) {
            if let Some((other, ..)) = &sample.image {
                let other = String::from_utf8_lossy(other);
                return refused(format!("its sample has an image already, {other}"));
            }
            // Members are far smaller than 4 GiB.
            sample.image = Some((member.name.to_vec(), member.offset, member.len as u32));
        }
        if let Some(label) = label {
            if let Some(other) = sample.label.filter(|&other| other != label) {
                return refused(format!("label {label}, but the sample has label {other} already"));
            }
            (sample.label, sample.label_offset) = (Some(label), member.offset);
        }
        Ok(())
    }

    fn finish_sample(&mut self) -> Result<(), DataError> {
        let Some(Sample { key, image, label, label_offset }) = self.sample.take() else {
            return Ok(());
        };
        match (image, label) {
            (Some((name, offset, len)), label) => {
                self.found.names.push(&name);
                self.found.images.push(Found { offset, len, label });
                Ok(())
            }
            (None, None) => Ok(()),
            (None, Some(_)) => {
                let reason =
                    "a label without an image: the members of a sample have to follow each other";
                let key = String::from_utf8_lossy(&key);
                Err(self.shard.broken(&key, label_offset, reason).into())
            }
        }
    }
}

/// A member's name up to the first dot of its file name, and what follows the dot.
fn split_name(name: &[u8]) -> (&[u8], &[u8]) {
    let start = name.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    match name[start..].iter().position(|&byte| byte == b'.') {
        Some(dot) => (&name[..start + dot], &name[start + dot + 1..]),
        None => (name, &[]),
    }
}

/// The fields of a `.json` member that can be a label; a name, say, is none.
#[derive(Deserialize)]
struct JsonLabel {
    label: Option<Value>,
    cls: Option<Value>,
    class: Option<Value>,
}

impl JsonLabel {
    fn integer(&self) -> Option<i64> {
        [&self.label, &self.cls, &self.class].into_iter().flatten().find_map(Value::as_i64)
    }
}

/// The label in a `.cls` or `.json` member; the latter may have none.
fn read_label(
    shard: &SharedFile,
    member: &TarMember<'_>,
    is_cls: bool,
) -> Result<Option<u32>, DataError> {
    let refused = |reason: String| -> DataError {
        shard.broken(&String::from_utf8_lossy(member.name), member.offset, reason).into()
    };
    if member.len > MAX_LABEL_BYTES {
        return Err(refused(format!("{} bytes, more than {MAX_LABEL_BYTES}", member.len)));
    }
    let mut bytes = Vec::new();
    shard.read_at(member.offset, member.len as usize, &mut bytes)?;
    let label = if is_cls {
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        let label: Result<i64, _> = text.parse();
        Some(label.map_err(|_| {
            let start: String = text.chars().take(20).collect();
            refused(format!("label {start:?}, expected an integer"))
        })?)
    } else {
        let label: Result<JsonLabel, _> = serde_json::from_slice(&bytes);
        label.map_err(|e| refused(e.to_string()))?.integer()
    };
    let is_class = |label: &i64| (0..i64::from(MAX_CLASSES)).contains(label);
    match label {
        Some(label) if !is_class(&label) => {
            Err(refused(format!("label {label}, expected 0 to {}", MAX_CLASSES - 1)))
        }
        label => Ok(label.map(|label| label as u32)),
    }
}
