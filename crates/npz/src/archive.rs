//! Archives of arrays, `.npz`, and files of one array, `.npy`.

use crate::NpzError;
use crate::array_reader::{ArrayReader, Place};
use crate::member_bytes::{MemberBytes, Section};
use crate::npy::NpyHeader;
use crate::shared_file::SharedFile;
use crate::zip_members::{MemberSizes, ZipMembers};
use std::path::Path;

/// How the name of a member ends that is an array; names of arrays lack it.
const ENDING: &str = ".npy";
/// Names of arrays that an error lists.
const LISTED: usize = 8;

/// An archive of arrays, as `numpy.savez` and `numpy.savez_compressed` write it.
///
/// Its members may be stored or deflated, of any size and any ratio of compression: each is read in
/// parts, so memory is that of the reader's buffer.
#[derive(Debug)]
pub struct Archive {
    members: ZipMembers,
    /// Members that are arrays, sorted by name.
    arrays: Vec<u32>,
}

impl Archive {
    /// Reads the directory of an archive.
    ///
    /// # Errors
    /// The system's; those of [`ZipMembers::open`]; and when two arrays have the same name.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, NpzError> {
        let members = ZipMembers::open(path.as_ref(), MemberSizes::Any)?;
        let arrays = members.sorted(|name| name.ends_with(ENDING.as_bytes()))?;
        Ok(Self { members, arrays })
    }

    /// Names of the arrays, sorted; bytes that are not UTF-8 are replaced.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let name = |&member: &u32| String::from_utf8_lossy(self.array_name(member)).into_owned();
        self.arrays.iter().map(name)
    }

    /// Whether there is an array of this name.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// What the archive says about an array.
    ///
    /// # Errors
    /// As [`Archive::stream`], but for the order.
    pub fn header(&self, name: &str) -> Result<NpyHeader, NpzError> {
        Ok(self.reader(name)?.header().clone())
    }

    /// Reads an array in parts.
    ///
    /// # Errors
    /// [`NpzError::Missing`] when there is none of this name; [`NpzError::Member`] when its header
    /// is damaged, promises more or fewer bytes than the directory, or elements that are no numbers
    /// (of these Python objects, which would be a pickle), and when it is in Fortran order.
    pub fn stream(&self, name: &str) -> Result<ArrayReader, NpzError> {
        self.reader(name)?.in_c_order()
    }

    /// Shape and elements of an array in either order, up to `max_elements`; integers beyond 2^53
    /// are rounded.
    ///
    /// # Errors
    /// As [`Archive::stream`] but for the order, and [`ArrayReader::read_into`]; and when there are
    /// more elements.
    pub fn read_f64(
        &self,
        name: &str,
        max_elements: usize,
    ) -> Result<(Vec<usize>, Vec<f64>), NpzError> {
        self.reader(name)?.into_f64(max_elements)
    }

    pub(crate) fn reader(&self, name: &str) -> Result<ArrayReader, NpzError> {
        let found = self.find(name).map_err(|_| self.missing(name))?;
        self.members.array(self.arrays[found] as usize)
    }

    /// The error where none of the arrays that were looked for is there.
    pub(crate) fn missing(&self, expected: &str) -> NpzError {
        let names: Vec<String> = self.names().take(LISTED).collect();
        let more = self.arrays.len() - names.len();
        let found = match (names.len(), more) {
            (0, _) => "other files".into(),
            (_, 0) => names.join(", "),
            (_, more) => format!("{} and {more} more", names.join(", ")),
        };
        let file = self.members.file().path().to_path_buf();
        NpzError::Missing { file, expected: expected.into(), found }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        // Sorted by whole names; an ending can change which of two comes first.
        let whole = format!("{name}{ENDING}");
        self.arrays
            .binary_search_by(|&member| self.members.name(member as usize).cmp(whole.as_bytes()))
    }

    fn array_name(&self, member: u32) -> &[u8] {
        let name = self.members.name(member as usize);
        &name[..name.len() - ENDING.len()]
    }
}

/// A file of one array, as `numpy.save` writes it.
#[derive(Debug)]
pub struct NpyFile {
    file: SharedFile,
}

impl NpyFile {
    /// Opens a file; its header is read with the array.
    ///
    /// # Errors
    /// The system's, or what the path is when it is no file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, NpzError> {
        Ok(Self { file: SharedFile::open(path.as_ref())? })
    }

    /// What the file says about its array.
    ///
    /// # Errors
    /// As [`NpyFile::stream`], but for the order.
    pub fn header(&self) -> Result<NpyHeader, NpzError> {
        Ok(self.reader()?.header().clone())
    }

    /// Reads the array in parts.
    ///
    /// # Errors
    /// [`NpzError::Member`] when the header is damaged, promises more or fewer bytes than the file
    /// has, or elements that are no numbers (of these Python objects, which would be a pickle), and
    /// when it is in Fortran order.
    pub fn stream(&self) -> Result<ArrayReader, NpzError> {
        self.reader()?.in_c_order()
    }

    /// Shape and elements in either order, up to `max_elements`; integers beyond 2^53 are rounded.
    ///
    /// # Errors
    /// As [`NpyFile::stream`] but for the order, and [`ArrayReader::read_into`]; and when there are
    /// more elements.
    pub fn read_f64(&self, max_elements: usize) -> Result<(Vec<usize>, Vec<f64>), NpzError> {
        self.reader()?.into_f64(max_elements)
    }

    pub(crate) fn reader(&self) -> Result<ArrayReader, NpzError> {
        let (path, len) = (self.file.path(), self.file.len());
        let place = Place { file: path.to_path_buf(), member: "the array".into(), offset: 0 };
        let bytes = MemberBytes::Stored(Section::new(self.file.handle()?, 0, len));
        ArrayReader::open(place, bytes, len, None)
    }
}
