//! Resizing and cropping against Pillow: every byte.

use data::{Filter, PassOrder, Raster, centre_crop, resize, resize_window};
use proptest::prelude::*;

/// The row that the literal answers below are for.
const ROW: [u8; 8] = [0, 50, 100, 150, 200, 250, 255, 3];

#[test]
fn rows_of_pillow() {
    let row = Raster::new(8, 1, 1, ROW.to_vec());
    for (width, filter, expected) in [
        (3, Filter::Box, &[50, 175, 169][..]),
        (3, Filter::Bilinear, &[55, 174, 177]),
        (3, Filter::Bicubic, &[45, 184, 175]),
        (5, Filter::Box, &[25, 100, 175, 250, 129]),
        (5, Filter::Bilinear, &[20, 96, 175, 242, 106]),
        (5, Filter::Bicubic, &[16, 94, 177, 255, 102]),
        (13, Filter::Bicubic, &[0, 16, 52, 83, 113, 144, 175, 206, 240, 255, 255, 98, 0]),
    ] {
        let got = resize(&row, width, 1, filter);
        assert_eq!(got.pixels(), expected, "{filter:?} to {width}");
        // The other axis, by itself.
        let column = resize(&Raster::new(1, 8, 1, ROW.to_vec()), 1, width, filter);
        assert_eq!(column.pixels(), expected, "{filter:?} to {width}, vertical");
    }
}

/// Only with the horizontal pass first and rounded.
#[test]
fn both_axes_of_pillow() {
    let mut pixels = ROW.to_vec();
    pixels.extend(ROW.iter().rev());
    pixels.extend([255, 0, 255, 0, 255, 0, 255, 0]);
    pixels.extend((2..10).rev());
    let got = resize(&Raster::new(8, 4, 1, pixels), 3, 2, Filter::Bicubic);
    assert_eq!(got.pixels(), [118, 184, 114, 89, 76, 52]);
}

/// As `picture` of `goldens/pillow_resize.py`.
fn picture(kind: &str, width: usize, height: usize, channels: usize) -> Raster {
    let byte = |i: usize| match kind {
        "noise" => {
            let x = (i as u32).wrapping_mul(2_654_435_761).wrapping_add(12_345);
            ((x ^ x >> 15).wrapping_mul(2_246_822_519) >> 24) as u8
        }
        _ => {
            let (column, row) = (i / channels % width, i / channels / width);
            ((column * 7 + row * 5 + i % channels * 80) % 256) as u8
        }
    };
    Raster::new(width, height, channels, (0..width * height * channels).map(byte).collect())
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn pictures_of_pillow() {
    let mut cases = 0;
    for line in include_str!("goldens/pillow_resize.txt").lines().filter(|l| !l.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| fields[i].parse::<usize>().expect("a number");
        let image = picture(fields[0], number(1), number(2), number(3));
        let got = match fields[4] {
            "crop" => centre_crop(&image, number(5)),
            _ => {
                let filter = match fields[5] {
                    "box" => Filter::Box,
                    "bilinear" => Filter::Bilinear,
                    _ => Filter::Bicubic,
                };
                resize(&image, number(6), number(7), filter)
            }
        };
        let hash = format!("{:016x}", fnv(got.pixels()));
        assert_eq!(hash, fields[fields.len() - 1], "{line}");
        cases += 1;
    }
    assert_eq!(cases, 58);
}

fn filter() -> impl Strategy<Value = Filter> {
    prop::sample::select(vec![Filter::Box, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos])
}

proptest! {
    /// A window is that part of the whole.
    #[test]
    fn windows_are_parts(
        (width, height, channels) in (1usize..40, 1usize..40, 1usize..=4),
        (new_width, new_height) in (1usize..60, 1usize..60),
        filter in filter(),
        order in prop::sample::select(vec![PassOrder::HorizontalFirst, PassOrder::Pillow13]),
        (left, top, right, bottom) in (0usize..60, 0usize..60, 0usize..60, 0usize..60),
    ) {
        let image = picture("noise", width, height, channels);
        let size = [new_width, new_height];
        let whole = resize_window(&image, size, [0..new_width, 0..new_height], filter, order);
        let window = |a: usize, b: usize, len: usize| {
            let (a, b) = (a % len, b % len);
            a.min(b)..a.max(b) + 1
        };
        let (columns, rows) = (window(left, right, new_width), window(top, bottom, new_height));
        let ranges = [columns.clone(), rows.clone()];
        let part = resize_window(&image, size, ranges, filter, order);
        prop_assert_eq!((part.width(), part.height()), (columns.len(), rows.len()));
        for (got, row) in part.pixels().chunks_exact(columns.len() * channels).zip(rows) {
            let start = (row * new_width + columns.start) * channels;
            prop_assert_eq!(got, &whole.pixels()[start..start + columns.len() * channels]);
        }
    }

    /// One colour stays that colour, and the same size stays the same image.
    #[test]
    fn nothing_is_made_up(
        (width, height, size) in (1usize..50, 1usize..50, 1usize..50),
        filter in filter(),
        byte: u8,
    ) {
        let flat = Raster::new(width, height, 3, vec![byte; 3 * width * height]);
        prop_assert!(resize(&flat, size, 2 * size, filter).pixels().iter().all(|&p| p == byte));
        prop_assert!(centre_crop(&flat, size).pixels().iter().all(|&p| p == byte));
        let noise = picture("noise", width, height, 3);
        prop_assert_eq!(resize(&noise, width, height, filter), noise);
    }
}

/// A stripe would be 15 million pixels wide when its short side is resized; the crop is not.
#[test]
fn stripes_cost_no_more_than_their_crop() {
    let stripe = picture("slopes", 60_000, 1, 3);
    let crop = centre_crop(&stripe, 256);
    assert_eq!((crop.width(), crop.height()), (256, 256));
    // The middle of the stripe lies between pixels 29,999 and 30,000, which are 7 apart.
    let middle = &crop.pixels()[3 * 127..3 * 129];
    assert!(middle[0].abs_diff(middle[3]) <= 1, "{middle:?}");
    let expected = (30_000 * 7 - 4) % 256;
    assert!((i32::from(middle[0]) - expected).abs() <= 2, "{middle:?}, expected {expected}");
}
