//! CelebA, aligned: faces of 178x218 pixels in three parts.

use crate::decode::read_file;
use crate::{DataError, ImageSource};
use npz::{MemberSizes, Names, ZipMembers};
use std::fs;
use std::path::{Path, PathBuf};

const LIST: &str = "list_eval_partition.txt";
const ARCHIVE: &str = "img_align_celeba.zip";
const FOLDER: &str = "img_align_celeba";

/// The parts of CelebA, as its list numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CelebaPart {
    /// 162,770 images; what models are trained on.
    Train = 0,
    /// 19,867 images.
    Validation = 1,
    /// 19,962 images.
    Test = 2,
}

/// Aligned and cropped CelebA, from its zip file or from a folder of its images; without classes.
///
/// `path` is a folder with `list_eval_partition.txt` and either `img_align_celeba.zip`, a folder
/// `img_align_celeba`, or the images themselves; or with the official sub-folders `Eval` and `Img`,
/// which have the list and the zip file. Use [`crate::Preparation::CelebaFace`] with it.
///
/// # Source
/// Liu, Luo, Wang, Tang, "Deep learning face attributes in the wild", 2015;
/// <https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html>.
#[derive(Debug)]
pub struct Celeba {
    files: Files,
    /// Numbers of the part's images in `files`, in the order of their names.
    images: Vec<u32>,
}

#[derive(Debug)]
enum Files {
    Folder { folder: PathBuf, names: Names },
    Zip { members: ZipMembers, sorted: Vec<u32> },
}

impl Celeba {
    /// Lists the images of a part.
    ///
    /// # Errors
    /// [`DataError::Missing`] when list or images are not there; [`DataError::Field`], with the line
    /// of the list, when that is no name and part, names an image twice or one that is not there, or
    /// lacks one that is; and what is wrong with a zip file.
    pub fn open(path: impl AsRef<Path>, part: CelebaPart) -> Result<Self, DataError> {
        let path = path.as_ref();
        let list = [path.join(LIST), path.join("Eval").join(LIST)];
        let Some(list) = list.iter().find(|list| list.is_file()) else {
            return Err(DataError::Missing {
                folder: path.to_path_buf(),
                expected: LIST,
                help: "it says which images are for training; it is in the folder Eval of \
                       https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
            });
        };
        let files = Files::open(path)?;
        let parts = files.parts(list)?;
        let wanted = |&image: &u32| parts[image as usize] == part as u8;
        let images: Vec<u32> = (0..files.len() as u32).filter(wanted).collect();
        if images.is_empty() {
            return Err(DataError::Field {
                file: list.clone(),
                field: format!("number of images of part {} ({part:?})", part as u8),
                expected: "at least 1".into(),
                got: "0".into(),
            });
        }
        Ok(Self { files, images })
    }
}

impl ImageSource for Celeba {
    fn kind(&self) -> &'static str {
        "celeba"
    }

    fn len(&self) -> u64 {
        self.images.len() as u64
    }

    fn read(&self, index: u64, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let image = self.images[index as usize] as usize;
        match &self.files {
            Files::Folder { folder, names } => read_file(&folder.join(names.text(image)), bytes),
            Files::Zip { members, sorted } => Ok(members.read(sorted[image] as usize, bytes)?),
        }
    }

    fn label(&self, _: u64) -> u32 {
        0
    }

    fn sample_name(&self, index: u64) -> String {
        let image = self.images[index as usize] as usize;
        match &self.files {
            Files::Folder { folder, names } => folder.join(names.text(image)).display().to_string(),
            Files::Zip { members, sorted } => members.describe(sorted[image] as usize),
        }
    }

    fn broken(&self, index: u64, reason: String) -> DataError {
        self.files.broken(self.images[index as usize] as usize, reason)
    }

    fn num_classes(&self) -> usize {
        0
    }

    fn class_name(&self, _: u32) -> Option<&str> {
        None
    }
}

impl Files {
    fn open(path: &Path) -> Result<Self, DataError> {
        let archives = [path.join(ARCHIVE), path.join("Img").join(ARCHIVE)];
        if let Some(archive) = archives.iter().find(|archive| archive.is_file()) {
            let members = ZipMembers::open(archive, MemberSizes::Limited)?;
            let mut sorted = members.sorted(|name| is_face(file_name(name)))?;
            sorted.sort_by_key(|&member| file_name(members.name(member as usize)));
            let files = Self::Zip { members, sorted };
            return match (1..files.len()).find(|&i| files.name(i - 1) == files.name(i)) {
                Some(twice) => Err(files.broken(twice, "two images have this name".into())),
                None => files.nonempty(archive),
            };
        }
        let folders = [path.join(FOLDER), path.join("Img").join(FOLDER), path.to_path_buf()];
        let folder = folders.iter().find(|folder| folder.is_dir()).map_or(path, PathBuf::as_path);
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
            let name = entry.map_err(DataError::io(folder))?.file_name();
            found.extend(name.into_string().ok().filter(|name| is_face(name.as_bytes())));
        }
        found.sort();
        let mut names = Names::default();
        found.iter().for_each(|name| names.push(name.as_bytes()));
        Self::Folder { folder: folder.to_path_buf(), names }.nonempty(folder)
    }

    fn nonempty(self, place: &Path) -> Result<Self, DataError> {
        if self.len() > 0 {
            return Ok(self);
        }
        Err(DataError::Missing {
            folder: place.to_path_buf(),
            expected: "image (000001.jpg and so on)",
            help: "give a folder with img_align_celeba.zip or the folder img_align_celeba",
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Folder { names, .. } => names.len(),
            Self::Zip { sorted, .. } => sorted.len(),
        }
    }

    /// The file's name without folders; names are sorted.
    fn name(&self, image: usize) -> &[u8] {
        match self {
            Self::Folder { names, .. } => names.get(image),
            Self::Zip { members, sorted } => file_name(members.name(sorted[image] as usize)),
        }
    }

    fn broken(&self, image: usize, reason: String) -> DataError {
        match self {
            Self::Folder { folder, names } => {
                DataError::Image { file: folder.join(names.text(image)), reason }
            }
            Self::Zip { members, sorted } => members.broken(sorted[image] as usize, reason).into(),
        }
    }

    /// The part of every image, from the list: `000001.jpg 0` on each line.
    fn parts(&self, list: &Path) -> Result<Vec<u8>, DataError> {
        const UNLISTED: u8 = u8::MAX;
        let wrong = |field: String, expected: &str, got: String| {
            let (file, expected) = (list.to_path_buf(), expected.to_owned());
            Err(DataError::Field { file, field, expected, got })
        };
        let text = fs::read_to_string(list).map_err(DataError::io(list))?;
        let mut parts = vec![UNLISTED; self.len()];
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let (name, part) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let part = match part {
                "0" | "1" | "2" if words.next().is_none() => part.as_bytes()[0] - b'0',
                _ => {
                    let start = line.chars().take(60).collect();
                    return wrong(format!("line {number}"), "a name and 0, 1 or 2", start);
                }
            };
            let Some(image) = self.find(name.as_bytes()) else {
                return wrong(format!("line {number}"), "an image that is there", name.into());
            };
            if parts[image] != UNLISTED {
                return wrong(format!("line {number}"), "each image once", format!("{name} again"));
            }
            parts[image] = part;
        }
        match parts.iter().position(|&part| part == UNLISTED) {
            None => Ok(parts),
            Some(image) => {
                let got = format!("none for {}", String::from_utf8_lossy(self.name(image)));
                wrong("content".into(), "a line for every image", got)
            }
        }
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        let (mut start, mut end) = (0, self.len());
        while start < end {
            let middle = (start + end) / 2;
            match self.name(middle).cmp(name) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => start = middle + 1,
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        None
    }
}

fn file_name(name: &[u8]) -> &[u8] {
    name.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

fn is_face(file_name: &[u8]) -> bool {
    !file_name.starts_with(b".") && file_name.to_ascii_lowercase().ends_with(b".jpg")
}
