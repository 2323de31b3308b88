//! Where images come from, and how they become latents.

use super::Experiment;
use super::data_sections::{DataKind, SourceImages, VaeSection};
use super::validate::Checks;

/// The keys of a [`SourceImages`] in one table.
struct SourceKeys {
    kind: &'static str,
    path: &'static str,
    count: &'static str,
    image_size: &'static str,
}

const DATA: SourceKeys = SourceKeys {
    kind: "data.kind",
    path: "data.path",
    count: "data.count",
    image_size: "data.image_size",
};

const ENCODE: SourceKeys = SourceKeys {
    kind: "encode.kind",
    path: "encode.path",
    count: "encode.count",
    image_size: "encode.image_size",
};

/// Most channels of a latent.
const MOST_CHANNELS: u64 = 64;

impl Experiment {
    /// `[data]`, and what the network must have in common with it.
    pub(super) fn check_data(&self, checks: &mut Checks) {
        check_source(checks, &DATA, self.data.source());
        if let Some(workers) = self.data.workers {
            checks.whole("data.workers", workers, 0..=256);
        }
        let (classes, key) = (self.model.num_classes, "model.num_classes");
        let all = match self.data.kind {
            DataKind::Shapes => Some(4),
            DataKind::Cifar10 => Some(10),
            DataKind::Celeba => Some(0),
            _ => None,
        };
        match all {
            Some(0) => checks.that(classes == 0, key, classes, "0: CelebA has no classes"),
            Some(all) => {
                let expected = format!("0 or {all}, the classes of {}", self.data.kind.name());
                checks.that(classes == 0 || classes == all, key, classes, expected);
            }
            None => checks.whole(key, classes, 0..=1 << 20),
        }
        let (channels, key) = (self.model.channels, "model.channels");
        match self.data.kind {
            DataKind::Latents => checks.whole(key, channels, 1..=MOST_CHANNELS),
            _ => checks.that(channels == 3, key, channels, "3, the channels of an RGB image"),
        }
    }

    /// `[vae]` and `[encode]`, which belong to latents.
    pub(super) fn check_latents(&self, checks: &mut Checks) {
        let is_latents = self.data.kind == DataKind::Latents;
        let path = self.vae.as_ref().map(|vae| vae.path.display());
        let what = "the autoencoder of data.kind \"latents\": [vae] with path and latent_scale";
        checks.present(is_latents, "vae.path", path, what);
        if let Some(vae) = &self.vae {
            check_latent_factors(checks, vae, self.model.channels);
        }
        let Some(encode) = &self.encode else { return };
        let what = "for data.kind \"latents\", which `dis encode` makes of other images";
        checks.present(is_latents, ENCODE.kind, Some(encode.kind.name()), what);
        let is_images = encode.kind != DataKind::Latents;
        checks.that(is_images, ENCODE.kind, "\"latents\"", "images: any other data.kind");
        check_source(checks, &ENCODE, encode.source());
        let side = self.data.image_size.max(1);
        let expected = format!("a multiple of data.image_size, {side}, the side of their latents");
        let fits = encode.image_size.is_multiple_of(side);
        checks.that(fits, ENCODE.image_size, encode.image_size, expected);
    }
}

/// Path, number and size of images.
fn check_source(checks: &mut Checks, keys: &SourceKeys, source: SourceImages<'_>) {
    let kind = source.kind;
    let path = source.path.map(std::path::Path::display);
    let what = format!("the folder or file of {} {:?}", keys.kind, kind.name());
    if kind.has_path() {
        checks.present(true, keys.path, path, &what);
    } else {
        checks.present(false, keys.path, path, "for data that lie in files");
    }
    let what = format!("the number of images of {} \"shapes\"", keys.kind);
    checks.present(kind == DataKind::Shapes, keys.count, source.count, &what);
    if let Some(count) = source.count {
        checks.whole(keys.count, count, 1..=i64::MAX as u64);
    }
    let side = source.image_size;
    match kind {
        DataKind::Shapes => checks.whole(keys.image_size, side, 4..=4096),
        DataKind::Cifar10 => checks.that(side == 32, keys.image_size, side, "32 for CIFAR-10"),
        _ => checks.whole(keys.image_size, side, 1..=4096),
    }
}

/// One factor, or mean and deviation of every channel.
fn check_latent_factors(checks: &mut Checks, vae: &VaeSection, channels: usize) {
    let moments = vae.latent_mean.is_some() || vae.latent_std.is_some();
    let what = "the factor on latents, 0.18215 for Stable Diffusion; \
                or latent_mean and latent_std of every channel";
    match vae.latent_scale {
        Some(scale) if moments => {
            let expected = "no such key beside latent_mean and latent_std";
            checks.that(false, "vae.latent_scale", scale, expected);
        }
        Some(scale) => checks.positive("vae.latent_scale", scale),
        None => checks.that(moments, "vae.latent_scale", "missing", what),
    }
    for (key, numbers, is_std) in
        [("vae.latent_mean", &vae.latent_mean, false), ("vae.latent_std", &vae.latent_std, true)]
    {
        let Some(numbers) = numbers else {
            checks.that(!moments, key, "missing", "a number for every channel of a latent");
            continue;
        };
        let count = format!("{} numbers", numbers.len());
        let expected = format!("{channels} numbers, one a channel");
        checks.that(numbers.len() == channels, key, count, expected);
        for &number in numbers.iter() {
            let fits = number.is_finite() && (!is_std || number > 0.0);
            let expected = if is_std { "positive numbers" } else { "finite numbers" };
            checks.that(fits, key, number, expected);
        }
    }
}
