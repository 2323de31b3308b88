//! Arrays of images, read one batch after the other.

use crate::NpzError;
use crate::archive::{Archive, NpyFile};
use crate::array_reader::ArrayReader;
use crate::element::Element;
use crate::npy::is_npy;
use crate::shared_file::SharedFile;
use std::path::Path;

/// Names of the array of images, the first that is there being taken.
const IMAGES: [&str; 2] = ["images", "arr_0"];
/// Names of the array of labels.
const LABELS: [&str; 2] = ["labels", "arr_1"];
/// Bytes by which the caller's memory grows, so that a false promise is not believed at once.
const PIECE: usize = 1 << 20;

/// Images as bytes, `[N, H, W, 3]`, in the order of the file.
#[derive(Debug)]
pub struct ImageArray {
    reader: ArrayReader,
    /// Where labels may be; an npy file has none.
    archive: Option<Archive>,
    count: u64,
    height: usize,
    width: usize,
    /// Images that were not read yet.
    left: u64,
}

/// Opens the array `images` or `arr_0` of an archive, or a file of one array; the content says
/// which of the two a file is.
///
/// # Errors
/// [`NpzError::Missing`] when there is no such array; [`NpzError::Member`], with what to do about
/// it, when its elements are no bytes, as those of images of floats, or its shape is another than
/// `[N, H, W, 3]`, as that of planes, or no image; and those of [`Archive::stream`].
pub fn images(path: impl AsRef<Path>) -> Result<ImageArray, NpzError> {
    let path = path.as_ref();
    let mut start = Vec::new();
    let file = SharedFile::open(path)?;
    file.read_at(0, file.len().min(8) as usize, &mut start)?;
    let (reader, archive) = if is_npy(&start) {
        (NpyFile::open(path)?.reader()?, None)
    } else {
        let archive = Archive::open(path)?;
        let name = IMAGES.into_iter().find(|name| archive.has(name));
        let name = name.ok_or_else(|| archive.missing("images or arr_0"))?;
        (archive.reader(name)?, Some(archive))
    };
    let (count, height, width) = sides(&reader).map_err(|reason| reader.broken(reason))?;
    Ok(ImageArray { reader: reader.in_c_order()?, archive, count, height, width, left: count })
}

/// Number, height and width of images.
fn sides(reader: &ArrayReader) -> Result<(u64, usize, usize), String> {
    let header = reader.header();
    if reader.element() != Element::U8 {
        let help = if reader.element().is_float() {
            "float images: from 0 to 1, save (255 * x).round().clip(0, 255).astype(numpy.uint8)"
        } else {
            "save x.astype(numpy.uint8) if all values are 0 to 255"
        };
        return Err(format!("elements {}, expected bytes, |u1; {help}", header.descr));
    }
    let shape = &header.shape;
    match shape[..] {
        [0, _, _, 3] => Err(format!("no image: shape {shape:?}")),
        [_, 0, _, 3] | [_, _, 0, 3] => Err(format!("no pixel: shape {shape:?}")),
        [count, height, width, 3] => {
            let fits = |side: u64| usize::try_from(side).map_err(|_| format!("shape {shape:?}"));
            Ok((count, fits(height)?, fits(width)?))
        }
        [_, 3, _, _] => Err(format!(
            "shape {shape:?} is planes, expected [N, H, W, 3]: save x.transpose(0, 2, 3, 1)"
        )),
        _ => Err(format!("shape {shape:?}, expected [N, H, W, 3]")),
    }
}

impl ImageArray {
    /// How many images there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Rows of every image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Pixels of every row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Replaces `bytes` by the next `n` images, `[n, H, W, 3]`, or those that are left; returns how
    /// many, which is 0 at the end.
    ///
    /// `bytes` grows as images come, whatever the header promises.
    ///
    /// # Errors
    /// Those of [`ArrayReader::read_into`]. The checksum is that of the whole array, so images are
    /// good only when all have been read.
    pub fn read(&mut self, n: usize, bytes: &mut Vec<u8>) -> Result<usize, NpzError> {
        let n = self.left.min(n as u64);
        // The whole array was compared with the number of bytes that are there, so this fits.
        let wanted = n as usize * self.height * self.width * 3;
        bytes.truncate(wanted);
        let mut filled = 0;
        while filled < wanted {
            let end = wanted.min(filled + PIECE);
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            self.reader.read_into(&mut bytes[filled..end])?;
            filled = end;
        }
        self.left -= n;
        Ok(n as usize)
    }

    /// The array `labels` or `arr_1`, one integer an image; none where there is none.
    ///
    /// # Errors
    /// [`NpzError::Member`] when it is no row of integers, or has another number than there are
    /// images; and those of [`Archive::stream`] and [`ArrayReader::read_into`].
    pub fn labels(&self) -> Result<Option<Vec<i64>>, NpzError> {
        let Some(archive) = &self.archive else { return Ok(None) };
        let Some(name) = LABELS.into_iter().find(|name| archive.has(name)) else { return Ok(None) };
        let labels = archive.reader(name)?;
        if labels.header().shape != [self.count] {
            let (found, count) = (&labels.header().shape, self.count);
            return Err(labels.broken(format!("labels of shape {found:?}, expected [{count}]")));
        }
        labels.into_integers(usize::MAX).map(Some)
    }
}
