//! Passes over large images, tile by tile.

use crate::autoencoder::{AutoencoderKl, Extent};
use crate::error::VaeError;
use crate::posterior::Posterior;
use crate::tiling::{Planes, Tiling};
use ssm_kernels::{ImageBackend, Real};

/// What a pass reads or writes: images of `side` pixels for each latent pixel along an axis.
#[derive(Clone, Copy)]
struct End {
    channels: usize,
    side: usize,
}

impl End {
    fn planes(self, latent: Extent) -> Planes {
        let Extent { height, width } = latent.times(self.side);
        Planes { channels: self.channels, height, width }
    }
}

/// A pass over checked images or latents of one extent.
type Pass<B, W> = fn(&mut AutoencoderKl<B>, &[W], Extent) -> Result<Vec<W>, VaeError>;

impl<B: ImageBackend> AutoencoderKl<B> {
    /// As [`AutoencoderKl::encode`], one image after the other, in tiles where it is larger than one.
    ///
    /// # Errors
    /// As [`AutoencoderKl::encode`].
    pub fn encode_tiled(
        &mut self,
        images: &[B::Wide],
        extent: Extent,
        tiling: Tiling,
    ) -> Result<Posterior<B::Wide>, VaeError> {
        self.check_images(images, extent)?;
        let config = self.config();
        let side = config.downsampling();
        let image = End { channels: config.in_channels, side };
        let moments = End { channels: 2 * config.latent_channels, side: 1 };
        let latent = extent.divided(side);
        let moments = self.in_tiles(images, [image, moments], latent, tiling, Self::moments)?;
        Ok(self.posterior(&moments, extent))
    }

    /// As [`AutoencoderKl::decode`], one image after the other, in tiles where it is larger than one.
    ///
    /// # Errors
    /// As [`AutoencoderKl::decode`].
    pub fn decode_tiled(
        &mut self,
        latents: &[B::Wide],
        extent: Extent,
        tiling: Tiling,
    ) -> Result<Vec<B::Wide>, VaeError> {
        self.check_latents(latents, extent)?;
        let config = self.config();
        let latent = End { channels: config.latent_channels, side: 1 };
        let image = End { channels: config.out_channels, side: config.downsampling() };
        self.in_tiles(latents, [latent, image], extent, tiling, Self::images)
    }

    /// `pass` on every tile of every image. `ends` are what it reads and what it writes; `latent` is the
    /// extent of an image in latent pixels.
    fn in_tiles(
        &mut self,
        inputs: &[B::Wide],
        ends: [End; 2],
        latent: Extent,
        tiling: Tiling,
        pass: Pass<B, B::Wide>,
    ) -> Result<Vec<B::Wide>, VaeError> {
        let covers = [tiling.cover(latent.height), tiling.cover(latent.width)];
        let [from, to] = ends.map(|end| end.planes(latent));
        let [from_covers, to_covers] =
            ends.map(|end| covers.each_ref().map(|cover| cover.scaled(end.side)));
        let tile_extent =
            Extent { height: from_covers[0].range(0).len(), width: from_covers[1].range(0).len() };
        let (mut outputs, mut tile) = (Vec::new(), Vec::new());
        for input in inputs.chunks_exact(from.len()) {
            let start = outputs.len();
            outputs.resize(start + to.len(), B::Wide::ZERO);
            for row in 0..covers[0].len() {
                for column in 0..covers[1].len() {
                    let rows = from_covers[0].range(row);
                    from.cut(input, rows, from_covers[1].range(column), &mut tile);
                    let result = pass(self, &tile, tile_extent)?;
                    to.blend(&mut outputs[start..], to_covers.each_ref(), [row, column], &result);
                }
            }
        }
        Ok(outputs)
    }
}
