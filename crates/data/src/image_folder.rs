//! A folder of PNG and JPEG files.

use crate::dataset::check_load;
use crate::{DataError, Dataset, ImageShape, Visit, centre_crop, read_image, signed_unit};
use std::fs;
use std::path::{Path, PathBuf};

/// Ends of the names of image files, in any case.
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// PNG and JPEG files, cropped to squares.
///
/// Either every sub-folder is a class, named and numbered by its sorted name, with the files directly
/// in it; or there is none and the files of the folder itself have no labels. Names are sorted by
/// their bytes, so the order is the same on every machine. Hidden names and files with other endings
/// are passed over. Files are decoded as [`read_image`] describes (alpha is dropped) and cropped by
/// [`centre_crop`].
#[derive(Clone, Debug)]
pub struct ImageFolder {
    files: Vec<(PathBuf, u32)>,
    class_names: Vec<String>,
    size: usize,
}

impl ImageFolder {
    /// Lists the files; `size` is the side of the square that [`Dataset::load`] gives, in pixels.
    ///
    /// # Errors
    /// [`DataError::Io`] when a folder cannot be listed, [`DataError::Missing`] when it or a class
    /// has no image, [`DataError::Field`] when there are images both in the folder and in classes,
    /// and [`DataError::Config`] unless `size` is 1 to 4096. Files are opened by `load` only.
    pub fn open(folder: impl AsRef<Path>, size: usize) -> Result<Self, DataError> {
        let folder = folder.as_ref();
        DataError::check_range("size of images", size as u64, 1..=4096)?;
        let listing = Listing::read(folder)?;
        if let (Some(class), Some(file)) = (listing.folders.first(), listing.images.first()) {
            return Err(DataError::Field {
                file: folder.to_path_buf(),
                field: "content".into(),
                expected: "either images or one folder a class".into(),
                got: format!("both {} and {}", name_of(file), name_of(class)),
            });
        }
        if listing.folders.is_empty() {
            let images = listing.nonempty_images(folder)?;
            let files = images.into_iter().map(|file| (file, 0)).collect();
            return Ok(Self { files, class_names: Vec::new(), size });
        }
        let mut files = Vec::new();
        for (label, class) in (0..).zip(&listing.folders) {
            let images = Listing::read(class)?.nonempty_images(class)?;
            files.extend(images.into_iter().map(|file| (file, label)));
        }
        let class_names = listing.folders.iter().map(|class| name_of(class)).collect();
        Ok(Self { files, class_names, size })
    }

    /// The file of a sample.
    ///
    /// # Panics
    /// When there is no such sample.
    pub fn file(&self, index: u64) -> &Path {
        &self.files[index as usize].0
    }
}

impl Dataset for ImageFolder {
    fn name(&self) -> &str {
        "image_folder"
    }

    fn len(&self) -> u64 {
        self.files.len() as u64
    }

    fn shape(&self) -> ImageShape {
        ImageShape { channels: 3, height: self.size, width: self.size }
    }

    fn num_classes(&self) -> usize {
        self.class_names.len()
    }

    fn class_name(&self, label: u32) -> Option<&str> {
        self.class_names.get(label as usize).map(String::as_str)
    }

    fn load(&self, index: u64, _: Visit, out: &mut [f32]) -> Result<u32, DataError> {
        check_load(self, index, out);
        let (file, label) = &self.files[index as usize];
        let image = centre_crop(&read_image(file)?, self.size);
        for (channel, plane) in out.chunks_exact_mut(self.size * self.size).enumerate() {
            for (out, pixel) in plane.iter_mut().zip(image.pixels().chunks_exact(3)) {
                *out = signed_unit(pixel[channel]);
            }
        }
        Ok(*label)
    }
}

/// What a folder holds, each sorted.
struct Listing {
    folders: Vec<PathBuf>,
    images: Vec<PathBuf>,
}

impl Listing {
    fn read(folder: &Path) -> Result<Self, DataError> {
        let (mut folders, mut images) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
            let entry = entry.map_err(DataError::io(folder))?;
            let path = entry.path();
            if name_of(&path).starts_with('.') {
                continue;
            }
            // The entry's type costs no system call; only links have to be followed.
            let mut kind = entry.file_type().map_err(DataError::io(&path))?;
            if kind.is_symlink() {
                kind = fs::metadata(&path).map_err(DataError::io(&path))?.file_type();
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && is_image(&path) {
                images.push(path);
            }
        }
        let bytes = |path: &PathBuf| path.as_os_str().as_encoded_bytes().to_vec();
        folders.sort_by_cached_key(bytes);
        images.sort_by_cached_key(bytes);
        Ok(Self { folders, images })
    }

    fn nonempty_images(self, folder: &Path) -> Result<Vec<PathBuf>, DataError> {
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

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
