//! Images in one array: `.npy`, `.npz` and safetensors files.

use crate::array_file::{ArrayFile, Element};
use crate::decode::check_pixels;
use crate::limits::MAX_CLASSES;
use crate::{DataError, Encoding, ImageSource};
use npz::SharedFile;
use std::path::Path;

/// Images as one array of bytes, `[N, H, W, C]` or `[N, C, H, W]` with one or three channels.
///
/// | file | images | labels |
/// |---|---|---|
/// | `.npy` | the array | none |
/// | `.npz` | member `images` or `arr_0` | member `labels` or `arr_1`, where there is one |
/// | `.safetensors` | tensor `images` | tensor `labels`, where there is one |
///
/// Labels are integers, one an image. Nothing but the labels is kept in memory: each image is one
/// positioned read, so the members of an `.npz` have to be stored, as `numpy.savez` writes them.
#[derive(Debug)]
pub struct ArrayImages {
    file: SharedFile,
    /// Where the first image starts.
    start: u64,
    len: u64,
    encoding: Encoding,
    image_len: usize,
    labels: Vec<u32>,
    num_classes: usize,
}

impl ArrayImages {
    /// Reads the headers and the labels; the name's ending says what the file is.
    ///
    /// # Errors
    /// [`DataError::Member`], with file, array and offset, when there is no array of images, its
    /// elements are no bytes, its shape is no images' or does not fit in the file, or labels are no
    /// classes or another number than images; and what is wrong with a zip file.
    pub fn open(file: impl AsRef<Path>) -> Result<Self, DataError> {
        let array = ArrayFile::open(file.as_ref())?;
        let images = &array.images;
        let refused = |reason: String| Err(array.broken(images, reason));
        if images.element != Element::U8 {
            let reason = format!("elements {:?}, expected bytes (u8)", images.element);
            return refused(reason);
        }
        let (height, width, channels, planar) = match images.shape[1..] {
            [height, width, channels @ (1 | 3)] => (height, width, channels, false),
            [channels @ (1 | 3), height, width] => (height, width, channels, true),
            _ => {
                let shape = &images.shape;
                return refused(format!("shape {shape:?}, expected [N, H, W, 3] or [N, 3, H, W]"));
            }
        };
        if let Err(reason) = check_pixels(width, height) {
            return refused(reason);
        }
        let len = images.shape[0];
        if len == 0 {
            return refused("no image: the first side is 0".into());
        }
        let labels = array.labels()?;
        let num_classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
        // Sides are within the limit of pixels.
        let (width, height, channels) = (width as usize, height as usize, channels as usize);
        Ok(Self {
            start: images.start,
            len,
            encoding: Encoding::Pixels { width, height, channels, planar },
            image_len: width * height * channels,
            labels,
            num_classes,
            file: array.file,
        })
    }

    fn offset(&self, index: u64) -> u64 {
        self.start + index * self.image_len as u64
    }
}

impl ImageSource for ArrayImages {
    fn kind(&self) -> &'static str {
        "array"
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn read(&self, index: u64, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        assert!(index < self.len, "image {index} of {}", self.len);
        Ok(self.file.read_at(self.offset(index), self.image_len, bytes)?)
    }

    fn label(&self, index: u64) -> u32 {
        self.labels.get(index as usize).copied().unwrap_or(0)
    }

    fn sample_name(&self, index: u64) -> String {
        let file = self.file.path().display();
        format!("{file}: image {index}, at byte {}", self.offset(index))
    }

    fn broken(&self, index: u64, reason: String) -> DataError {
        self.file.broken(&format!("image {index}"), self.offset(index), reason).into()
    }

    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn class_name(&self, _: u32) -> Option<&str> {
        None
    }
}

/// The classes of labels that are integers of any sign; the error has the number of the bad one.
pub(crate) fn classes_of(labels: impl Iterator<Item = i64>) -> Result<Vec<u32>, String> {
    let class = |(i, label): (usize, i64)| match u32::try_from(label) {
        Ok(class) if class < MAX_CLASSES => Ok(class),
        _ => Err(format!("label {label} of image {i}, expected 0 to {}", MAX_CLASSES - 1)),
    };
    labels.enumerate().map(class).collect()
}
