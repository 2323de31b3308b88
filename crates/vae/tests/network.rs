//! Laws of the network: one image or many, in one pass or in tiles, on one backend or another.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use parity::{assert_close, to_f32, uniform};
use ssm_kernels::{Cpu, ImageBackend, Reference};
use vae::weights::random;
use vae::{AutoencoderKl, Extent, Tiling, VaeConfig};

/// Two levels and few channels: sides are halved once.
fn small() -> VaeConfig {
    VaeConfig {
        block_out_channels: vec![8, 12],
        layers_per_block: 1,
        norm_num_groups: 4,
        ..VaeConfig::stable_diffusion()
    }
}

fn network<B: ImageBackend>(backend: B, config: &VaeConfig) -> AutoencoderKl<B> {
    AutoencoderKl::load(backend, config.clone(), random(config, 1)).unwrap()
}

fn extent(height: usize, width: usize) -> Extent {
    Extent { height, width }
}

#[test]
fn every_backend_gives_the_same_network() {
    let wide = VaeConfig {
        block_out_channels: vec![32, 96, 64],
        layers_per_block: 2,
        norm_num_groups: 32,
        in_channels: 1,
        out_channels: 5,
        ..VaeConfig::stable_diffusion()
    };
    let plain = VaeConfig {
        mid_block_add_attention: false,
        use_quant_conv: false,
        use_post_quant_conv: false,
        ..small()
    };
    let one_level = VaeConfig { block_out_channels: vec![12], ..small() };
    for (config, (height, width)) in
        [(wide, (20, 12)), (plain, (2, 34)), (one_level, (7, 3)), (small(), (2, 2))]
    {
        let (mut cpu, mut definition) =
            (network(Cpu, &config), network(Reference::<f64>::default(), &config));
        let images = uniform(2, 2 * config.in_channels * height * width);
        let ours = cpu.encode(&to_f32(&images), extent(height, width)).unwrap();
        let theirs = definition.encode(&images, extent(height, width)).unwrap();
        assert_close("mean", ours.mean(), theirs.mean(), 2e-5);
        assert_close("logvar", ours.log_variance(), theirs.log_variance(), 2e-5);
        let f = config.downsampling();
        let latent = extent(height / f, width / f);
        let latents = theirs.mean();
        let ours = cpu.decode(&to_f32(latents), latent).unwrap();
        let theirs = definition.decode(latents, latent).unwrap();
        assert_eq!(ours.len(), 2 * config.out_channels * height * width);
        assert_close("image", &ours, &theirs, 2e-5);
    }
}

/// More queries than scores are computed at a time, and another number in each format.
#[test]
fn attention_in_parts_is_attention() {
    let config = VaeConfig {
        block_out_channels: vec![4],
        layers_per_block: 1,
        norm_num_groups: 2,
        ..VaeConfig::stable_diffusion()
    };
    let size = extent(61, 70);
    let latents = uniform(3, 4 * 61 * 70);
    let ours = network(Cpu, &config).decode(&to_f32(&latents), size).unwrap();
    let theirs = network(Reference::<f64>::default(), &config).decode(&latents, size).unwrap();
    assert_close("image", &ours, &theirs, 2e-5);
}

#[test]
fn images_of_a_batch_do_not_see_each_other() {
    let mut network = network(Reference::<f64>::default(), &small());
    let images = uniform(4, 3 * 3 * 6 * 8);
    let together = network.encode(&images, extent(6, 8)).unwrap();
    let latents = uniform(5, 3 * 4 * 3 * 4);
    let decoded = network.decode(&latents, extent(3, 4)).unwrap();
    for i in 0..3 {
        let alone = network.encode(&images[i * 144..][..144], extent(6, 8)).unwrap();
        assert_eq!(alone.mean(), &together.mean()[i * 48..][..48]);
        assert_eq!(alone.log_variance(), &together.log_variance()[i * 48..][..48]);
        let alone = network.decode(&latents[i * 48..][..48], extent(3, 4)).unwrap();
        assert_eq!(alone, &decoded[i * 144..][..144]);
    }
}

#[test]
fn memory_of_other_sizes_leaves_no_trace() {
    let latents = to_f32(&uniform(6, 4 * 9 * 8));
    let fresh = |len: usize, size: Extent| network(Cpu, &small()).decode(&latents[..len], size);
    let mut used = network(Cpu, &small());
    for (height, width) in [(3, 4), (9, 8), (1, 1), (3, 4), (8, 9)] {
        let (len, size) = (4 * height * width, extent(height, width));
        assert_eq!(used.decode(&latents[..len], size).unwrap(), fresh(len, size).unwrap());
    }
}

#[test]
fn what_fits_one_tile_is_computed_whole() {
    let mut network = network(Cpu, &small());
    let tiling = Tiling::new(9, 3).unwrap();
    let images = to_f32(&uniform(7, 2 * 3 * 18 * 16));
    let whole = network.encode(&images[..864], extent(18, 16)).unwrap();
    let tiled = network.encode_tiled(&images[..864], extent(18, 16), tiling).unwrap();
    assert_eq!(tiled, whole);
    let latents = to_f32(&uniform(8, 2 * 4 * 9 * 5));
    let tiled = network.decode_tiled(&latents, extent(9, 5), tiling).unwrap();
    for i in 0..2 {
        let alone = network.decode(&latents[i * 180..][..180], extent(9, 5)).unwrap();
        assert_eq!(alone, tiled[i * 540..][..540]);
    }
}

/// Slow waves around a constant, where a step at a seam would be seen.
fn waves(channels: usize, Extent { height, width }: Extent, period: f64) -> Vec<f64> {
    let pixels = height * width;
    let wave = |i: usize| {
        let (c, y, x) = (i / pixels, i / width % height, i % width);
        0.5 + 0.1 * ((y as f64 + 2.0 * x as f64) * std::f64::consts::TAU / period + c as f64).sin()
    };
    (0..channels * pixels).map(wave).collect()
}

/// Largest step between neighbours, away from the border, where zeros around the image are felt.
fn roughness(image: &[f64], Extent { height, width }: Extent) -> f64 {
    const BORDER: usize = 14;
    let mut step = 0.0f64;
    for plane in image.chunks_exact(height * width) {
        for y in BORDER..height - BORDER {
            for i in y * width + BORDER..(y + 1) * width - BORDER {
                for neighbour in [plane[i + 1], plane[i + width]] {
                    step = step.max((neighbour - plane[i]).abs());
                }
            }
        }
    }
    step
}

/// Random weights are a hard case: norms of a smooth image enlarge what little there is, so tiles
/// differ by a third of the largest value.
#[test]
fn tiles_of_a_smooth_image_leave_no_seams() {
    let mut network = network(Reference::<f64>::default(), &small());
    let (latent, image) = (extent(40, 64), extent(80, 128));
    let (latents, images) = (waves(4, latent, 40.0), waves(3, image, 80.0));
    let mut steps = |overlap: usize| {
        let tiling = Tiling::new(24, overlap).unwrap();
        let decoded = network.decode_tiled(&latents, latent, tiling).unwrap();
        let encoded = network.encode_tiled(&images, image, tiling).unwrap();
        [roughness(&decoded, image), roughness(encoded.mean(), latent)]
    };
    let (abrupt, blended) = (steps(1), steps(8));
    let whole = [
        roughness(&network.decode(&latents, latent).unwrap(), image),
        roughness(network.encode(&images, image).unwrap().mean(), latent),
    ];
    for ((abrupt, blended), whole) in abrupt.into_iter().zip(blended).zip(whole) {
        assert!(abrupt > 5.0 * whole, "seams would not be seen: {abrupt} beside {whole}");
        assert!(blended < 0.5 * abrupt && blended < 3.0 * whole, "{abrupt} {blended} {whole}");
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let mut network = network(Cpu, &small());
    let zeros = vec![0.0; 3 * 6 * 8];
    let rows = [
        (zeros.len(), extent(5, 8), "images: 5x8, expected sides that are multiples of 2"),
        (zeros.len(), extent(6, 7), "images: 6x7, expected sides that are multiples of 2"),
        (zeros.len() - 1, extent(6, 8), "images: 143 elements, expected one or more of 3x6x8"),
        (0, extent(6, 8), "images: 0 elements, expected one or more of 3x6x8"),
        (0, extent(0, 8), "images: 0 elements, expected one or more of 3x0x8"),
    ];
    for (len, extent, message) in rows {
        for error in [
            network.encode(&zeros[..len], extent).unwrap_err(),
            network.encode_tiled(&zeros[..len], extent, Tiling::DEFAULT).unwrap_err(),
        ] {
            assert_eq!(error.to_string(), message);
        }
    }
    let half = usize::MAX / 2 + 1;
    for (len, extent) in [(7, extent(2, 1)), (0, extent(1, 1)), (12, extent(half, half))] {
        for error in [
            network.decode(&zeros[..len], extent).unwrap_err(),
            network.decode_tiled(&zeros[..len], extent, Tiling::DEFAULT).unwrap_err(),
        ] {
            let start = format!("latents: {len} elements, expected one or more of 4x");
            assert!(error.to_string().starts_with(&start), "{error}");
        }
    }
}

/// Three times the largest activation, the scores up to 64 MiB, and the image.
#[test]
fn bytes_of_activations_are_a_closed_form() {
    let official = VaeConfig { block_out_channels: vec![8, 16, 32, 32], ..small() };
    let largest = 512 * 512 * 16;
    let expected = 4 * (3 * largest + 64 * 64 * 64 * 64 + 3 * 512 * 512);
    assert_eq!(network(Cpu, &official).activation_bytes(1, extent(512, 512)), expected);
    let expected = 4 * (3 * 4 * largest + 3 * 1024 * 1024) + (64 << 20);
    assert_eq!(network(Cpu, &official).activation_bytes(1, extent(1024, 1024)), expected);
    let smaller = 4 * (3 * 2 * 16 * 8 * 16 + 2 + 3 * 2 * 16 * 8);
    assert_eq!(network(Cpu, &official).activation_bytes(2, extent(16, 8)), smaller + 2 * 4);
}
