//! The generated data set, and the judge of what was learnt from it.

use data::{DataError, Dataset, Shapes, Visit, nearest_class};
use philox::{Draws, Purpose};

const VISIT: Visit = Visit { seed: 0, position: 0 };

fn image(shapes: &Shapes, index: u64) -> (Vec<f32>, u32) {
    let mut out = vec![f32::NAN; shapes.shape().len()];
    let label = shapes.load(index, VISIT, &mut out).expect("shapes do not fail");
    (out, label)
}

#[test]
fn an_index_is_an_image() {
    let shapes = Shapes::new(3, 16, 1000).unwrap();
    let again = Shapes::new(3, 16, 2000).unwrap();
    let other = Shapes::new(4, 16, 1000).unwrap();
    let mut equal_to_other_seed = 0;
    for index in [0, 1, 2, 17, 500, 999] {
        let first = image(&shapes, index);
        assert_eq!(first, image(&again, index));
        let mut moved = vec![0.0; first.0.len()];
        let visit = Visit { seed: 9, position: 12_345 };
        assert_eq!(shapes.load(index, visit, &mut moved).unwrap(), first.1);
        assert_eq!(moved, first.0, "images depend on the index only");
        equal_to_other_seed += u32::from(image(&other, index).0 == first.0);
    }
    assert_eq!(equal_to_other_seed, 0);
}

/// Values are a part of the promise: the first 64 images of seed 0, by their hash.
#[test]
fn bits_do_not_change() {
    let shapes = Shapes::new(0, 16, 64).unwrap();
    let images = (0..64).map(|index| image(&shapes, index));
    let bytes = images.flat_map(|(pixels, label)| {
        let bytes = pixels.into_iter().flat_map(|x| x.to_bits().to_le_bytes());
        bytes.chain(label.to_le_bytes())
    });
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    assert_eq!(hash, 0x14ce0b49f389ae13, "hash is {hash:#x}");
}

/// Background -0.9 at the corners, one colour of six at full coverage near the centre.
#[test]
fn values_are_those_of_the_drawing() {
    let shapes = Shapes::new(1, 16, 300).unwrap();
    let full = [
        [1.0f32, 0.15, 0.15],
        [0.15, 0.9, 0.2],
        [0.2, 0.35, 1.0],
        [1.0, 0.85, 0.1],
        [1.0, 0.2, 0.9],
        [0.1, 0.9, 0.9],
    ];
    let (mut colours, mut classes) = ([0; 6], [0; 4]);
    for index in 0..300 {
        let (pixels, label) = image(&shapes, index);
        assert!(pixels.iter().all(|x| (-1.0..=1.0).contains(x)));
        assert_eq!([pixels[0], pixels[255], pixels[767]], [-0.9; 3]);
        // Every shape covers the pixel right of and below the middle, or its neighbour.
        let at = 8 * 16 + 8;
        let middle = [pixels[at], pixels[at + 256], pixels[at + 512]];
        let colour = full
            .iter()
            .position(|c| c.iter().zip(middle).all(|(c, x)| (2.0 * c - 1.0 - x).abs() < 1e-6))
            .expect("the middle has one of the colours");
        colours[colour] += 1;
        classes[label as usize] += 1;
    }
    assert!(colours.iter().all(|&n| (30..=70).contains(&n)), "{colours:?} of 50 each");
    assert!(classes.iter().all(|&n| (50..=100).contains(&n)), "{classes:?} of 75 each");
}

/// Lengths follow the size: the share of bright pixels does not.
#[test]
fn sizes_show_the_same_drawing() {
    let bright = |size: usize| {
        let (pixels, _) = image(&Shapes::new(0, size, 10).unwrap(), 7);
        pixels.iter().filter(|&&x| x > 0.0).count() as f64 / pixels.len() as f64
    };
    for size in [8, 32, 64] {
        assert!((bright(size) - bright(128)).abs() < 0.03, "{size}");
    }
    assert!((bright(64) - bright(128)).abs() < 0.005);
}

#[test]
fn fresh_samples_are_recognised() {
    for (size, count) in [(16, 200), (32, 50)] {
        let shapes = Shapes::new(77, size, count).unwrap();
        let mut right = 0;
        for index in 0..count {
            let (pixels, label) = image(&shapes, index);
            let found = nearest_class(&pixels, size);
            right += u64::from(found.class == label);
            assert!(found.similarity > 0.87, "{index}: {found:?}");
        }
        assert!(right * 100 >= count * 99, "{right} of {count} at size {size}");
    }
}

/// Blurred by noise of 0.2 shapes are still told apart; pure noise and flat fields look like nothing.
#[test]
fn the_judge_bears_noise_and_refuses_nothing_in_particular() {
    let shapes = Shapes::new(78, 16, 200).unwrap();
    let mut right = 0;
    for index in 0..200 {
        let (mut pixels, label) = image(&shapes, index);
        let mut noise = vec![0.0; pixels.len()];
        Draws::new(0, Purpose::InitialNoise, index).fill_normal(&mut noise);
        for (pixel, z) in pixels.iter_mut().zip(&noise) {
            *pixel = (*pixel + 0.2 * z).clamp(-1.0, 1.0);
        }
        right += u32::from(nearest_class(&pixels, 16).class == label);
        let clamped: Vec<f32> = noise.iter().map(|z| z.clamp(-1.0, 1.0)).collect();
        let found = nearest_class(&clamped, 16);
        assert!(found.similarity < 0.6, "noise {index} looks like {found:?}");
    }
    assert!(right >= 198, "{right} of 200");
    for value in [-1.0, -0.9, 1.0, f32::NAN] {
        let found = nearest_class(&[value; 768], 16);
        assert!(found.similarity < 0.6, "a field of {value} looks like {found:?}");
    }
}

#[test]
fn arguments_out_of_range_are_refused() {
    let refused = |size, count| match Shapes::new(0, size, count) {
        Err(DataError::Config { field, expected, got }) => format!("{field}|{expected}|{got}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(3, 10), "size of shapes|4 to 4096|3");
    assert_eq!(refused(16, 0), "count of shapes|1 to 18446744073709551615|0");
}

#[test]
fn classes_have_names() {
    let shapes = Shapes::new(0, 16, 1).unwrap();
    let names: Vec<_> = (0..).map_while(|label| shapes.class_name(label)).collect();
    assert_eq!(names, Shapes::class_names());
    assert_eq!(names, ["disc", "square", "triangle", "cross"]);
    assert_eq!(shapes.num_classes(), 4);
}
