//! Resizing against numbers of others: bit for bit where the protocol says which bits.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use eval::ImageBatch;
use eval::resize::{Resize, Resizer};
use parity::assert_close;
use rayon::ThreadPoolBuilder;
use serde::Deserialize;

#[derive(Deserialize)]
struct Goldens {
    grow: Grow,
    to_299: Vec<To299>,
}

/// A plane of two by two pixels to five by five.
#[derive(Deserialize)]
struct Grow {
    input: [[f64; 2]; 2],
    tf1: Vec<[f32; 5]>,
    half_pixel: Vec<[f32; 5]>,
    pil_bicubic_f: Vec<[f32; 5]>,
}

/// An image of noise to the size of the network.
#[derive(Deserialize)]
struct To299 {
    h: usize,
    w: usize,
    seed: u64,
    input_checksum: String,
    tf1_checksum_hwc_f32: String,
    points_yx: Vec<[usize; 2]>,
    tf1: Vec<[f32; 3]>,
    half_pixel_f64: Vec<[f32; 3]>,
    pil_bicubic_f_clipped: Vec<[f32; 3]>,
    half_pixel_mean: f64,
    pil_bicubic_mean: f64,
    tf1_mean: f64,
}

fn goldens() -> Goldens {
    serde_json::from_str(include_str!("goldens/resize.json")).unwrap()
}

/// Bytes of SplitMix64.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let byte = |i: u64| {
        let z = seed.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 56) as u8
    };
    (0..len as u64).map(byte).collect()
}

/// Sum of positions times bits.
fn checksum(bits: impl Iterator<Item = u64>) -> String {
    let sum = bits.zip(1u64..).fold(0u64, |sum, (bits, i)| sum.wrapping_add(i.wrapping_mul(bits)));
    format!("{sum:016x}")
}

fn resized(resize: Resize, golden: &To299) -> Vec<f32> {
    let image = noise(golden.seed, golden.h * golden.w * 3);
    assert_eq!(checksum(image.iter().map(|&x| x.into())), golden.input_checksum);
    let resizer = Resizer::new(resize, golden.h, golden.w, 299);
    let mut out = vec![f32::NAN; 299 * 299 * 3];
    resizer.image(&image, &mut out);
    out
}

fn check_points(golden: &To299, out: &[f32], points: &[[f32; 3]], mean: f64, tolerance: f32) {
    let name = format!("{}x{}", golden.h, golden.w);
    for (&[y, x], point) in golden.points_yx.iter().zip(points) {
        let got = &out[(y * 299 + x) * 3..][..3];
        for (got, want) in got.iter().zip(point) {
            let error = (got - want).abs();
            assert!(error <= tolerance, "{name} at {y}, {x}: {got}, expected {want}");
        }
    }
    let sum: f64 = out.iter().map(|&x| f64::from(x)).sum();
    let got = sum / out.len() as f64;
    // A mean of many errors of either sign.
    assert!(
        (got - mean).abs() <= f64::from(tolerance).max(1e-10),
        "{name}: mean {got}, expected {mean}"
    );
}

#[test]
fn the_resize_of_tensorflow_is_the_same_bits() {
    for golden in goldens().to_299 {
        let out = resized(Resize::TensorFlow1, &golden);
        check_points(&golden, &out, &golden.tf1, golden.tf1_mean, 0.0);
        let got = checksum(out.iter().map(|x| x.to_bits().into()));
        assert_eq!(got, golden.tf1_checksum_hwc_f32, "{}x{}", golden.h, golden.w);
    }
}

/// Positions are exact and products are rounded to f32: half a unit in the last place of 255 or two.
#[test]
fn half_pixels_are_those_of_interpolate() {
    for golden in goldens().to_299 {
        let out = resized(Resize::HalfPixel, &golden);
        let (points, mean) = (&golden.half_pixel_f64, golden.half_pixel_mean);
        check_points(&golden, &out, points, mean, 4e-5);
    }
}

/// The same bits but for the tall image, which Pillow 13.0 mixes down the columns first.
#[test]
fn bicubic_is_that_of_pillow() {
    for golden in goldens().to_299 {
        let out = resized(Resize::Bicubic, &golden);
        let (points, mean) = (&golden.pil_bicubic_f_clipped, golden.pil_bicubic_mean);
        let tolerance = if golden.h > 1000 { 2e-5 } else { 0.0 };
        check_points(&golden, &out, points, mean, tolerance);
    }
}

#[test]
fn a_small_image_grows_as_on_paper() {
    let Grow { input, tf1, half_pixel, pil_bicubic_f } = goldens().grow;
    let image: Vec<u8> = input.as_flattened().iter().flat_map(|&x| [x as u8; 3]).collect();
    for (resize, expected, tolerance) in [
        (Resize::TensorFlow1, &tf1, 0.0),
        (Resize::HalfPixel, &half_pixel, 1e-7),
        (Resize::Bicubic, &pil_bicubic_f, 0.0),
    ] {
        let mut out = vec![f32::NAN; 5 * 5 * 3];
        Resizer::new(resize, 2, 2, 5).image(&image, &mut out);
        // What is beyond the range is clipped.
        let expected: Vec<f32> =
            expected.as_flattened().iter().flat_map(|&x| [x.clamp(0.0, 255.0); 3]).collect();
        assert_close(&format!("{resize:?}"), &out, &expected, tolerance);
    }
}

#[test]
fn images_of_a_batch_are_resized_alone_on_any_number_of_threads() {
    let pixels = noise(3, 5 * 20 * 31 * 3);
    let images = ImageBatch::new(&pixels, 20, 31).unwrap();
    for resize in [Resize::TensorFlow1, Resize::HalfPixel, Resize::Bicubic] {
        let resizer = Resizer::new(resize, 20, 31, 17);
        assert!(resizer.is_for(20, 31) && !resizer.is_for(31, 20));
        let mut alone = vec![0.0; resizer.out_len()];
        for threads in [1, 2, 4] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![f32::NAN; 3 * resizer.out_len()];
            pool.install(|| resizer.batch(images, 2, |x| x / 2.0, &mut out));
            for (i, out) in out.chunks_exact(resizer.out_len()).enumerate() {
                resizer.image(images.image(2 + i), &mut alone);
                assert!(out.iter().zip(&alone).all(|(out, alone)| *out == alone / 2.0));
            }
        }
    }
}
