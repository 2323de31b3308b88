//! Stored images as a data set: decoded, cropped, resized.

use crate::dataset::check_load;
use crate::decode::{Decoded, decode, pixels_of};
use crate::source::{Encoding, ImageSource};
use crate::{
    DataError, Dataset, Filter, ImageShape, Probe, Raster, Visit, centre_crop, resize, spare,
    write_planes,
};

/// How a stored image becomes a square of the network's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// [`centre_crop`], as ADM and all work on ImageNet since does it.
    CentreCrop {
        /// Side of the square in pixels.
        size: usize,
    },
    /// The 128x128 pixels around the face of an aligned CelebA image, then Pillow's bilinear filter.
    ///
    /// Columns 25 to 152 and rows 57 to 184, which is around column 89 and row 121. Only images of
    /// 178x218 are accepted, since in any other the face is elsewhere.
    ///
    /// # Source
    /// The preparation of DDIM (ermongroup/ddim, `datasets/__init__.py`) and of U-ViT
    /// (baofff/U-ViT, `datasets.py`), for CelebA at 64x64.
    CelebaFace {
        /// Side of the square in pixels.
        size: usize,
    },
}

/// Columns and rows of every image of aligned CelebA.
const CELEBA_SIDES: (usize, usize) = (178, 218);
const CELEBA_LEFT: usize = 25;
const CELEBA_TOP: usize = 57;
const CELEBA_SIDE: usize = 128;

impl Preparation {
    /// Side of the square in pixels.
    pub const fn size(self) -> usize {
        match self {
            Self::CentreCrop { size } | Self::CelebaFace { size } => size,
        }
    }

    /// The square of an image, or why the image does not suit.
    fn apply(self, image: &Raster) -> Result<Raster, String> {
        match self {
            Self::CentreCrop { size } => Ok(centre_crop(image, size)),
            Self::CelebaFace { size } => {
                let sides = (image.width(), image.height());
                if sides != CELEBA_SIDES {
                    let ((width, height), (expected_width, expected_height)) =
                        (sides, CELEBA_SIDES);
                    return Err(format!(
                        "{width}x{height} pixels, expected {expected_width}x{expected_height}, \
                         the size of aligned CelebA images"
                    ));
                }
                Ok(resize(&celeba_window(image), size, size, Filter::Bilinear))
            }
        }
    }
}

fn celeba_window(image: &Raster) -> Raster {
    let channels = image.channels();
    let rows = image.pixels().chunks_exact(image.width() * channels);
    let window = rows.skip(CELEBA_TOP).take(CELEBA_SIDE);
    let columns = CELEBA_LEFT * channels..(CELEBA_LEFT + CELEBA_SIDE) * channels;
    let pixels = window.flat_map(|row| &row[columns.clone()]).copied().collect();
    Raster::new(CELEBA_SIDE, CELEBA_SIDE, channels, pixels)
}

/// The images of a source, prepared as RGB squares.
///
/// ```no_run
/// use data::{ImageFiles, ImageFolder, Preparation};
///
/// # fn main() -> Result<(), data::DataError> {
/// let folder = ImageFolder::open("imagenet/train")?;
/// let images = ImageFiles::new(folder, Preparation::CentreCrop { size: 256 })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ImageFiles<S> {
    source: S,
    preparation: Preparation,
}

impl<S: ImageSource> ImageFiles<S> {
    /// Images of `source`, prepared.
    ///
    /// # Errors
    /// [`DataError::Config`] unless the size is 1 to 4096.
    pub fn new(source: S, preparation: Preparation) -> Result<Self, DataError> {
        DataError::check_range("size of images", preparation.size() as u64, 1..=4096)?;
        Ok(Self { source, preparation })
    }

    /// The images as they are stored.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// How images become squares.
    pub fn preparation(&self) -> Preparation {
        self.preparation
    }

    /// The prepared image as bytes, `[H, W, 3]`, and what is stored.
    ///
    /// # Errors
    /// When the image cannot be read or decoded, or does not suit the preparation.
    ///
    /// # Panics
    /// When `index` is not below [`Dataset::len`].
    pub fn prepare(&self, index: u64) -> Result<(Raster, Probe), DataError> {
        let (image, probe) = stored_image(&self.source, index)?;
        let broken = |reason| self.source.broken(index, reason);
        let square = self.preparation.apply(&image).map_err(broken)?;
        spare::give_back(image.into_pixels());
        Ok((square, probe))
    }
}

/// An image of a source as RGB, at the size it is stored in, and what is stored.
///
/// # Errors
/// When the image cannot be read or decoded.
///
/// # Panics
/// When `index` is not below [`ImageSource::len`].
pub fn stored_image(
    source: &(impl ImageSource + ?Sized),
    index: u64,
) -> Result<(Raster, Probe), DataError> {
    let mut bytes = spare::unspecified(0);
    source.read(index, &mut bytes)?;
    let decoded = match source.encoding() {
        Encoding::File => decode(&bytes),
        Encoding::Pixels { width, height, channels, planar } => {
            pixels_of(&bytes, width, height, channels, planar)
        }
    };
    let decoded = decoded.map_err(|reason| source.broken(index, reason))?;
    spare::give_back(bytes);
    let Decoded { image, format, colour } = decoded;
    let (width, height, label) = (image.width(), image.height(), source.label(index));
    let probe = Probe { width, height, format, colour, label };
    Ok((image, probe))
}

impl<S: ImageSource> Dataset for ImageFiles<S> {
    fn name(&self) -> &str {
        self.source.kind()
    }

    fn len(&self) -> u64 {
        self.source.len()
    }

    fn shape(&self) -> ImageShape {
        let size = self.preparation.size();
        ImageShape { channels: 3, height: size, width: size }
    }

    fn num_classes(&self) -> usize {
        self.source.num_classes()
    }

    fn class_name(&self, label: u32) -> Option<&str> {
        self.source.class_name(label)
    }

    fn load(&self, index: u64, _: Visit, out: &mut [f32]) -> Result<u32, DataError> {
        check_load(self, index, out);
        let (image, _) = self.prepare(index)?;
        write_planes(&image, out);
        spare::give_back(image.into_pixels());
        Ok(self.source.label(index))
    }

    fn sample_name(&self, index: u64) -> String {
        self.source.sample_name(index)
    }

    fn probe(&self, index: u64) -> Result<Probe, DataError> {
        self.prepare(index).map(|(_, probe)| probe)
    }
}
