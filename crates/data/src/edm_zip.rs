//! Zip files as EDM and EDM2 prepare data sets.

use crate::image_folder::is_image_extension;
use crate::limits::MAX_CLASSES;
use crate::{DataError, ImageSource};
use npz::{MemberSizes, ZipMembers};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// The member with the labels.
const LABELS: &[u8] = b"dataset.json";

/// Images in a zip file, with labels in its member `dataset.json`.
///
/// Members ending in `.png`, `.jpg`, `.jpeg` or `.npy` are images, in the order of their sorted names;
/// an npy file holds bytes, `[C, H, W]`. `dataset.json` is `{"labels": [["00000/img0.png", 3], ...]}`
/// with every image once, or has `null` for the list; without it images have no labels. Members may
/// be stored, as EDM writes them, or deflated. Nothing is unpacked: the directory is read once, then
/// every image with positioned reads, and its checksum is compared.
///
/// # Source
/// The format of NVlabs/edm and NVlabs/edm2, `dataset_tool.py`.
#[derive(Debug)]
pub struct EdmZip {
    members: ZipMembers,
    /// Members that are images, sorted by name.
    images: Vec<u32>,
    labels: Vec<u32>,
    num_classes: usize,
}

impl EdmZip {
    /// Reads the directory and the labels.
    ///
    /// # Errors
    /// [`DataError::Missing`] when there is no image; [`DataError::Member`], with archive, member and
    /// offset, when the archive is cut short or damaged or holds what is refused (see the README of
    /// the crate), when an image has no label or two, or a label no image or no class.
    pub fn open(file: impl AsRef<Path>) -> Result<Self, DataError> {
        let file = file.as_ref();
        let members = ZipMembers::open(file, MemberSizes::Limited)?;
        let images = members.sorted(is_image)?;
        if images.is_empty() {
            return Err(DataError::Missing {
                folder: file.to_path_buf(),
                expected: "image (.png, .jpg, .jpeg, .npy)",
                help: "give a zip file made by dataset_tool.py of EDM",
            });
        }
        let mut set = Self { members, images, labels: Vec::new(), num_classes: 0 };
        let [labels] = set.members.sorted(|name| name == LABELS)?[..] else { return Ok(set) };
        let mut json = Vec::new();
        set.members.read(labels as usize, &mut json)?;
        let broken = |reason: String| DataError::from(set.members.broken(labels as usize, reason));
        let mut parser = serde_json::Deserializer::from_slice(&json);
        let found = LabelsOf(&set).deserialize(&mut parser).map_err(|e| broken(e.to_string()))?;
        parser.end().map_err(|e| broken(e.to_string()))?;
        let Some(found) = found else { return Ok(set) };
        if let Some(lacking) = found.iter().position(Option::is_none) {
            let name = String::from_utf8_lossy(set.name(lacking));
            return Err(broken(format!("no label for {name}")));
        }
        set.labels = found.into_iter().flatten().collect();
        set.num_classes = set.labels.iter().max().map_or(0, |&label| label as usize + 1);
        Ok(set)
    }

    fn name(&self, image: usize) -> &[u8] {
        self.members.name(self.images[image] as usize)
    }

    fn member(&self, index: u64) -> usize {
        self.images[index as usize] as usize
    }
}

impl ImageSource for EdmZip {
    fn kind(&self) -> &'static str {
        "edm_zip"
    }

    fn len(&self) -> u64 {
        self.images.len() as u64
    }

    fn read(&self, index: u64, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        Ok(self.members.read(self.member(index), bytes)?)
    }

    fn label(&self, index: u64) -> u32 {
        self.labels.get(index as usize).copied().unwrap_or(0)
    }

    fn sample_name(&self, index: u64) -> String {
        self.members.describe(self.member(index))
    }

    fn broken(&self, index: u64, reason: String) -> DataError {
        self.members.broken(self.member(index), reason).into()
    }

    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn class_name(&self, _: u32) -> Option<&str> {
        None
    }
}

fn is_image(name: &[u8]) -> bool {
    let file_name = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let Some(dot) = file_name.iter().rposition(|&byte| byte == b'.') else { return false };
    let extension = &file_name[dot + 1..];
    dot > 0 && (is_image_extension(extension) || extension.eq_ignore_ascii_case(b"npy"))
}

/// The label of each image where the field `labels` has a list, read without keeping the list: a
/// small file can hold a great many pairs.
struct LabelsOf<'a>(&'a EdmZip);

impl<'de> DeserializeSeed<'de> for LabelsOf<'_> {
    type Value = Option<Vec<Option<u32>>>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LabelsOf<'_> {
    type Value = Option<Vec<Option<u32>>>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object with the field \"labels\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut labels = None;
        while let Some(field) = fields.next_key::<Cow<'_, str>>()? {
            if field != "labels" {
                fields.next_value::<serde::de::IgnoredAny>()?;
            } else if labels.replace(fields.next_value_seed(Pairs(self.0))?).is_some() {
                return Err(A::Error::duplicate_field("labels"));
            }
        }
        labels.ok_or_else(|| A::Error::missing_field("labels"))
    }
}

/// The list of pairs, or null.
struct Pairs<'a>(&'a EdmZip);

impl<'de> DeserializeSeed<'de> for Pairs<'_> {
    type Value = Option<Vec<Option<u32>>>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pairs<'_> {
    type Value = Option<Vec<Option<u32>>>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a list of pairs of a member's name and a class, or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let set = self.0;
        let mut labels = vec![None; set.images.len()];
        while let Some((name, label)) = pairs.next_element::<(Cow<'_, str>, i64)>()? {
            let found =
                set.images.binary_search_by(|&m| set.members.name(m as usize).cmp(name.as_bytes()));
            let Ok(image) = found else {
                return Err(A::Error::custom(format!("a label for {name}, which is not there")));
            };
            if !(0..i64::from(MAX_CLASSES)).contains(&label) {
                let reason = format!("label {label} of {name}, expected 0 to {}", MAX_CLASSES - 1);
                return Err(A::Error::custom(reason));
            }
            if labels[image].replace(label as u32).is_some() {
                return Err(A::Error::custom(format!("a second label for {name}")));
            }
        }
        Ok(Some(labels))
    }
}
