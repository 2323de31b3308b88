//! Generated images of coloured shapes: the data set that needs no download.

use crate::dataset::check_load;
use crate::{DataError, Dataset, ImageShape, Visit};
use philox::{Draws, Purpose};

/// Side of the image that all lengths below are given for, in pixels.
const DESIGN_SIZE: f32 = 16.0;
/// Range of both coordinates of the centre, at [`DESIGN_SIZE`].
pub(crate) const CENTRE: [f32; 2] = [7.25, 8.75];
/// Range of the radius, at [`DESIGN_SIZE`].
pub(crate) const RADIUS: [f32; 2] = [5.0, 6.2];
/// Every channel outside of the shape.
pub(crate) const BACKGROUND: f32 = -0.9;
/// Points tested along each side of a pixel.
const POINTS: usize = 4;

const CLASS_NAMES: [&str; 4] = ["disc", "square", "triangle", "cross"];

/// In [0, 1].
const COLOURS: [[f32; 3]; 6] = [
    [1.0, 0.15, 0.15],
    [0.15, 0.9, 0.2],
    [0.2, 0.35, 1.0],
    [1.0, 0.85, 0.1],
    [1.0, 0.2, 0.9],
    [0.1, 0.9, 0.9],
];

/// One disc, square, triangle or cross in one of six colours on a dark field, RGB, any size.
///
/// Class, colour, centre and radius of image `index` are Philox draws at that position, so the set
/// has any length, takes no memory and is the same on every machine.
///
/// # Source
/// Ours. A small DiS learns it in minutes on a CPU, and whether it did can be judged by
/// [`crate::nearest_class`]: large shapes near the centre decided that.
#[derive(Clone, Debug)]
pub struct Shapes {
    seed: u64,
    size: usize,
    count: u64,
}

impl Shapes {
    /// `count` images of `size x size` pixels. Other seeds give other images.
    ///
    /// # Errors
    /// [`DataError::Config`] unless `size` is 4 to 4096 and `count` at least 1.
    pub fn new(seed: u64, size: usize, count: u64) -> Result<Self, DataError> {
        DataError::check_range("size of shapes", size as u64, 4..=4096)?;
        DataError::check_range("count of shapes", count, 1..=u64::MAX)?;
        Ok(Self { seed, size, count })
    }

    /// Names of the classes; the label is the place.
    pub const fn class_names() -> [&'static str; 4] {
        CLASS_NAMES
    }

    fn drawing(&self, index: u64) -> (Drawing, [f32; 3]) {
        let draws = Draws::new(self.seed, Purpose::SyntheticData, index);
        let between = |lane, [low, high]: [f32; 2]| low + (high - low) * draws.uniform(lane);
        let to_pixels = self.size as f32 / DESIGN_SIZE;
        let drawing = Drawing {
            class: draws.below(0, CLASS_NAMES.len() as u64) as u32,
            centre: [to_pixels * between(4, CENTRE), to_pixels * between(5, CENTRE)],
            radius: to_pixels * between(6, RADIUS),
        };
        (drawing, COLOURS[draws.below(2, COLOURS.len() as u64) as usize])
    }
}

impl Dataset for Shapes {
    fn name(&self) -> &str {
        "shapes"
    }

    fn len(&self) -> u64 {
        self.count
    }

    fn shape(&self) -> ImageShape {
        ImageShape { channels: 3, height: self.size, width: self.size }
    }

    fn num_classes(&self) -> usize {
        CLASS_NAMES.len()
    }

    fn class_name(&self, label: u32) -> Option<&str> {
        CLASS_NAMES.get(label as usize).copied()
    }

    fn load(&self, index: u64, _: Visit, out: &mut [f32]) -> Result<u32, DataError> {
        check_load(self, index, out);
        let (drawing, colour) = self.drawing(index);
        out.fill(BACKGROUND);
        drawing.each_pixel(self.size, |pixel, coverage| {
            for (plane, c) in out.chunks_exact_mut(self.size * self.size).zip(colour) {
                plane[pixel] = (BACKGROUND + coverage * (2.0 * c - 0.1)).clamp(-1.0, 1.0);
            }
        });
        Ok(drawing.class)
    }
}

/// A shape's outline, lengths in pixels; x to the right, y down, pixel 0 from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawing {
    pub(crate) class: u32,
    pub(crate) centre: [f32; 2],
    pub(crate) radius: f32,
}

impl Drawing {
    /// Calls `paint(row * size + column, coverage)` for each pixel that the shape may touch; the
    /// coverage, in [0, 1], is the share of 4x4 points of the pixel that are inside.
    pub(crate) fn each_pixel(&self, size: usize, paint: impl FnMut(usize, f32)) {
        let r = self.radius;
        match self.class {
            0 => self.scan(size, paint, |u, v| u * u + v * v < r * r),
            1 => self.scan(size, paint, |u, v| u.abs().max(v.abs()) < 0.88 * r),
            2 => self.scan(size, paint, |u, v| (v < 0.8 * r) & (v > 1.8 * u.abs() - 0.9 * r)),
            _ => self.scan(size, paint, |u, v| {
                let (u, v) = (u.abs(), v.abs());
                ((u < 0.33 * r) & (v < r)) | ((v < 0.33 * r) & (u < r))
            }),
        }
    }

    /// `inside` gets coordinates from the centre and is false farther than the radius along an axis.
    #[inline(always)]
    fn scan(
        &self,
        size: usize,
        mut paint: impl FnMut(usize, f32),
        inside: impl Fn(f32, f32) -> bool,
    ) {
        const STEP: f32 = 1.0 / POINTS as f32;
        // Casts of negative numbers saturate at zero.
        let touched = |centre: f32| {
            let first = (centre - self.radius) as usize;
            first..((centre + self.radius) as usize + 1).min(size)
        };
        for row in touched(self.centre[1]) {
            for column in touched(self.centre[0]) {
                let mut hits = 0u32;
                for point in 0..POINTS * POINTS {
                    let x = column as f32 + ((point % POINTS) as f32 + 0.5) * STEP;
                    let y = row as f32 + ((point / POINTS) as f32 + 0.5) * STEP;
                    hits += u32::from(inside(x - self.centre[0], y - self.centre[1]));
                }
                paint(row * size + column, hits as f32 * (STEP * STEP));
            }
        }
    }
}
