//! A folder of PNG and JPEG files.

use crate::class_names::readable_names;
use crate::decode::read_file;
use crate::{DataError, ImageSource};
use npz::Names;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Ends of the names of image files, in any case.
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// PNG and JPEG files, in a folder for each class or without classes.
///
/// Either every sub-folder is a class, named and numbered by its sorted name, with the files directly
/// in it; or there is none and the files of the folder itself have no labels. Names are sorted by
/// their bytes, so the order is the same on every machine. Hidden names and files with other endings
/// are passed over. Files are decoded as [`crate::read_image`] describes (alpha is dropped).
///
/// A file `classes.txt` or `LOC_synset_mapping.txt` (as ImageNet has it) in the folder gives classes
/// names for people: a folder's name, a space, and what it shows, one line a class. It changes no
/// label.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    classes: Vec<Class>,
    files: Names,
    class_names: Vec<String>,
}

/// A folder and where its files start among all.
#[derive(Clone, Debug)]
struct Class {
    folder: PathBuf,
    start: usize,
}

impl ImageFolder {
    /// Lists the files.
    ///
    /// # Errors
    /// [`DataError::Io`] when a folder cannot be listed, [`DataError::Missing`] when it or a class
    /// has no image, [`DataError::Field`] when there are images both in the folder and in classes, or
    /// when the file of class names lacks a folder or has another. Images are opened by `read` only.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, DataError> {
        let folder = folder.as_ref();
        let listing = Listing::read(folder)?;
        if let (Some(class), false) = (listing.folders.first(), listing.images.is_empty()) {
            return Err(DataError::Field {
                file: folder.to_path_buf(),
                field: "content".into(),
                expected: "either images or one folder a class".into(),
                got: format!("both {} and {}", listing.images.text(0), name_of(class)),
            });
        }
        if listing.folders.is_empty() {
            let files = listing.nonempty_images(folder)?;
            let classes = vec![Class { folder: folder.to_path_buf(), start: 0 }];
            return Ok(Self { classes, files, class_names: Vec::new() });
        }
        let (mut files, mut classes) = (Names::default(), Vec::new());
        for folder in &listing.folders {
            let images = Listing::read(folder)?.nonempty_images(folder)?;
            classes.push(Class { folder: folder.clone(), start: files.len() });
            for image in 0..images.len() {
                files.push(images.get(image));
            }
        }
        let names = listing.folders.iter().map(|class| name_of(class)).collect();
        Ok(Self { classes, files, class_names: readable_names(folder, names)? })
    }

    /// The file of an image.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn file(&self, index: u64) -> PathBuf {
        let class = &self.classes[self.class_of(index)];
        class.folder.join(OsStr::from_bytes(self.files.get(index as usize)))
    }

    fn class_of(&self, index: u64) -> usize {
        self.classes.partition_point(|class| class.start <= index as usize) - 1
    }
}

impl ImageSource for ImageFolder {
    fn kind(&self) -> &'static str {
        "image_folder"
    }

    fn len(&self) -> u64 {
        self.files.len() as u64
    }

    fn read(&self, index: u64, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        read_file(&self.file(index), bytes)
    }

    fn label(&self, index: u64) -> u32 {
        self.class_of(index) as u32
    }

    fn sample_name(&self, index: u64) -> String {
        self.file(index).display().to_string()
    }

    fn broken(&self, index: u64, reason: String) -> DataError {
        DataError::Image { file: self.file(index), reason }
    }

    fn num_classes(&self) -> usize {
        self.class_names.len()
    }

    fn class_name(&self, label: u32) -> Option<&str> {
        self.class_names.get(label as usize).map(String::as_str)
    }
}

/// What a folder holds, each sorted.
struct Listing {
    folders: Vec<PathBuf>,
    images: Names,
}

impl Listing {
    fn read(folder: &Path) -> Result<Self, DataError> {
        let (mut folders, mut images) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
            let entry = entry.map_err(DataError::io(folder))?;
            let name = entry.file_name();
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            // The entry's type costs no system call; only links have to be followed.
            let mut kind = entry.file_type().map_err(DataError::io(&entry.path()))?;
            if kind.is_symlink() {
                let path = entry.path();
                match fs::metadata(&path) {
                    Ok(target) => kind = target.file_type(),
                    // It leads nowhere: a broken image, which is no reason to refuse the folder.
                    Err(_) if has_image_extension(&path) => {
                        images.push(name);
                        continue;
                    }
                    Err(error) => return Err(DataError::Io { path, error }),
                }
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && has_image_extension(Path::new(&name)) {
                images.push(name);
            }
        }
        folders.sort_by_cached_key(|path| path.as_os_str().as_bytes().to_vec());
        images.sort();
        let mut names = Names::default();
        images.iter().for_each(|name| names.push(name.as_bytes()));
        Ok(Self { folders, images: names })
    }

    fn nonempty_images(self, folder: &Path) -> Result<Names, DataError> {
        if self.images.is_empty() {
            return Err(DataError::Missing {
                folder: folder.to_path_buf(),
                expected: "image (.png, .jpg, .jpeg)",
                help: "give a folder of images, or a folder with one folder of images a class",
            });
        }
        Ok(self.images)
    }
}

/// Whether what follows the dot of a name is that of an image file.
pub(crate) fn is_image_extension(extension: &[u8]) -> bool {
    EXTENSIONS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(extension))
}

fn has_image_extension(path: &Path) -> bool {
    path.extension().is_some_and(|extension| is_image_extension(extension.as_bytes()))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
