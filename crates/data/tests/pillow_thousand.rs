//! A thousand resized images against Pillow, in both orders of the passes: every byte.

use data::{Filter, PassOrder, Raster, resize_window};

/// As in `goldens/pillow_thousand.py`: the output of SplitMix64 for a state.
fn splitmix(state: u64) -> u64 {
    let z = state.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

fn side(draw: u64, most: u64) -> usize {
    let bits = draw % u64::from(most.ilog2() + 1);
    (1 + (draw >> 32) % most.min(2 << bits)) as usize
}

/// An image, the size it is resized to, and the filter.
fn case(number: u64) -> (Raster, [usize; 2], Filter) {
    let draw = |i: u64, most| side(splitmix((number << 8) + i), most);
    let (width, height) = (draw(1, 400), draw(2, 400));
    let size = [draw(3, 300), draw(4, 300)];
    let channels = [1, 3, 4][number as usize % 3];
    let filter = [Filter::Box, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos];
    let byte = |i: usize| {
        if number % 2 == 1 {
            return (splitmix((number << 32) + i as u64) >> 56) as u8;
        }
        let (column, row) = (i / channels % width, i / channels / width);
        let slopes = [number % 7, number % 5].map(|slope| slope as usize);
        ((column * slopes[0] + row * slopes[1] + i % channels * 80) % 256) as u8
    };
    let pixels = (0..width * height * channels).map(byte).collect();
    (Raster::new(width, height, channels, pixels), size, filter[number as usize / 3 % 4])
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    })
}

#[test]
fn a_thousand_images_of_pillow_in_both_orders() {
    let (mut cases, mut differing) = (0, 0);
    for (number, line) in (0..).zip(include_str!("goldens/pillow_thousand.txt").lines()) {
        let (image, size, filter) = case(number);
        let resized = |order| {
            let window = [0..size[0], 0..size[1]];
            let image = resize_window(&image, size, window, filter, order);
            format!("{:08x}", crc32(image.pixels()))
        };
        let got = [PassOrder::HorizontalFirst, PassOrder::Pillow13].map(resized);
        let (width, height, channels) = (image.width(), image.height(), image.channels());
        assert_eq!(
            format!("{number:03} {} {}", got[0], got[1]),
            line,
            "{width}x{height}x{channels} to {size:?} by {filter:?}"
        );
        cases += 1;
        differing += usize::from(got[0] != got[1]);
    }
    assert_eq!((cases, differing), (1000, 168));
}
