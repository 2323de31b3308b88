//! Are generated shapes recognisable? A check against the known drawing, without a network.

use crate::shapes::{BACKGROUND, CENTRE, Drawing, RADIUS};

/// Steps that the search takes over each coordinate of the centre, and over the radius.
const STEPS: [usize; 2] = [5, 5];
/// Brightness above the background below which nothing counts as a shape. Full coverage has 1.7 or 1.9.
const FAINTEST_SHAPE: f32 = 0.8;
/// Share of the pixels that any shape covers fully at least, so that as many are its inside.
const LEAST_COVERED: f32 = 0.08;

/// What an image of [`crate::Shapes`] looks like most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShapeMatch {
    /// Label of the best template's class.
    pub class: u32,
    /// Its intersection over union with the image, in [0, 1]. Images of the data set have above 0.87,
    /// clear samples of a small trained network 0.8 to 0.9, noise below 0.6; from 0.75 on people
    /// recognise the shape too.
    pub similarity: f32,
}

/// The class whose drawing is most like an image `[3, size, size]` in [-1, 1].
///
/// The image's brightness over the dark background, divided by that of its brightest parts, is
/// taken as the coverage of each pixel, whatever the colour. It is compared with templates of every
/// class over the centres and radii of the data set; the measure is the sum of minima over the sum
/// of maxima. Takes about a millisecond at size 16.
///
/// # Panics
/// When `image` is not `3 size size` long or `size` is zero.
pub fn nearest_class(image: &[f32], size: usize) -> ShapeMatch {
    assert!(
        size > 0 && image.len() == 3 * size * size,
        "{} elements, 3x{size}x{size}",
        image.len()
    );
    let mask = coverage_of(image, size);
    let total: f32 = mask.iter().sum();
    let mut best = ShapeMatch { class: 0, similarity: 0.0 };
    for template in templates(size) {
        let similarity = similarity(&template, size, &mask, total);
        if similarity > best.similarity {
            best = ShapeMatch { class: template.class, similarity };
        }
    }
    best
}

/// How much of each pixel a shape of any colour covers, as far as brightness tells.
fn coverage_of(image: &[f32], size: usize) -> Vec<f32> {
    let pixels = size * size;
    let brightness: Vec<f32> = (0..pixels)
        .map(|i| {
            let brightest = image[i].max(image[i + pixels]).max(image[i + 2 * pixels]);
            // `max` also turns what is not a number into zero.
            (brightest - BACKGROUND).max(0.0)
        })
        .collect();
    let mut sorted = brightness.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let inside = sorted[(LEAST_COVERED * pixels as f32) as usize].max(FAINTEST_SHAPE);
    brightness.iter().map(|b| (b / inside).min(1.0)).collect()
}

/// Drawings of each class over a grid of centres and radii, in pixels.
fn templates(size: usize) -> impl Iterator<Item = Drawing> {
    let to_pixels = size as f32 / 16.0;
    let grid = move |[low, high]: [f32; 2], steps: usize| {
        (0..steps).map(move |i| to_pixels * (low + (high - low) * i as f32 / (steps - 1) as f32))
    };
    (0..4).flat_map(move |class| {
        grid(RADIUS, STEPS[1]).flat_map(move |radius| {
            grid(CENTRE, STEPS[0]).flat_map(move |x| {
                grid(CENTRE, STEPS[0]).map(move |y| Drawing { class, centre: [x, y], radius })
            })
        })
    })
}

/// Sum of minima over sum of maxima of the template's coverage and a mask that sums to `total`.
fn similarity(template: &Drawing, size: usize, mask: &[f32], total: f32) -> f32 {
    let (mut intersection, mut area) = (0.0, 0.0);
    template.each_pixel(size, |pixel, coverage| {
        intersection += coverage.min(mask[pixel]);
        area += coverage;
    });
    intersection / (total + area - intersection)
}
