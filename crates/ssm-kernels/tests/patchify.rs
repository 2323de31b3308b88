//! Patches against their definition, an index done by hand, and the laws of a permutation.

use parity::uniform;
use proptest::prelude::*;
use ssm_kernels::patchify::{Inner, Shape, cpu, reference};

use Inner::{ChannelFirst, ChannelLast};

/// Two channels of 2x4 pixels in patches of 2, after one extra token; pixel = 100 c + 10 row +
/// column.
const SMALL: Shape =
    Shape { batch: 1, channels: 2, height: 2, width: 4, patch: 2, extra: 1, inner: ChannelFirst };

fn small_image() -> Vec<f32> {
    let place = |i: usize| 100 * (i / 8) + 10 * (i / 4 % 2) + i % 4;
    (0..16).map(|i| place(i) as f32).collect()
}

fn gathered(shape: &Shape, image: &[f32]) -> Vec<f32> {
    let mut tokens = vec![f32::NAN; shape.tokens_len()];
    cpu::gather(shape, image, &mut tokens).expect("fitting operands");
    let mut plain = vec![f32::NAN; shape.tokens_len()];
    reference::gather(shape, image, &mut plain).expect("fitting operands");
    assert_eq!(tokens, plain, "{shape:?}");
    tokens
}

fn scattered(shape: &Shape, tokens: &[f32]) -> Vec<f32> {
    let mut image = vec![f32::NAN; shape.image_len()];
    cpu::scatter(shape, tokens, &mut image).expect("fitting operands");
    let mut plain = vec![f32::NAN; shape.image_len()];
    reference::scatter(shape, tokens, &mut plain).expect("fitting operands");
    assert_eq!(image, plain, "{shape:?}");
    image
}

#[test]
fn channel_first_by_hand() {
    #[rustfmt::skip]
    assert_eq!(gathered(&SMALL, &small_image()), [
        0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        0.0, 1.0, 10.0, 11.0, 100.0, 101.0, 110.0, 111.0,
        2.0, 3.0, 12.0, 13.0, 102.0, 103.0, 112.0, 113.0,
    ]);
}

#[test]
fn channel_last_by_hand() {
    let shape = Shape { inner: ChannelLast, extra: 0, ..SMALL };
    #[rustfmt::skip]
    assert_eq!(gathered(&shape, &small_image()), [
        0.0, 100.0, 1.0, 101.0, 10.0, 110.0, 11.0, 111.0,
        2.0, 102.0, 3.0, 103.0, 12.0, 112.0, 13.0, 113.0,
    ]);
}

#[test]
fn leading_tokens_are_not_read() {
    let mut tokens = gathered(&SMALL, &small_image());
    tokens[..SMALL.token_len()].fill(f32::NAN);
    assert_eq!(scattered(&SMALL, &tokens), small_image());
}

fn shapes() -> impl Strategy<Value = Shape> {
    let sizes = (0..4usize, 1..5usize, 1..5usize, 1..5usize, 1..5usize, 0..3usize, any::<bool>());
    sizes.prop_map(|(batch, channels, rows, columns, patch, extra, first)| Shape {
        batch,
        channels,
        height: rows * patch,
        width: columns * patch,
        patch,
        extra,
        inner: if first { ChannelFirst } else { ChannelLast },
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Scatter undoes gather, and without extra tokens gather undoes scatter.
    #[test]
    fn each_undoes_the_other(shape in shapes()) {
        let image = parity::to_f32(&uniform(1, shape.image_len()));
        prop_assert_eq!(&scattered(&shape, &gathered(&shape, &image)), &image);
        let shape = Shape { extra: 0, ..shape };
        let tokens = parity::to_f32(&uniform(2, shape.tokens_len()));
        prop_assert_eq!(&gathered(&shape, &scattered(&shape, &tokens)), &tokens);
    }

    /// `<tokens, gather(image)> = <scatter(tokens), image>`: each is the other's gradient.
    #[test]
    fn each_is_the_transpose_of_the_other(shape in shapes()) {
        let image = parity::to_f32(&uniform(1, shape.image_len()));
        let tokens = parity::to_f32(&uniform(2, shape.tokens_len()));
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let left = dot(&tokens, &gathered(&shape, &image));
        let right = dot(&scattered(&shape, &tokens), &image);
        prop_assert!((left - right).abs() < 1e-12 * (1.0 + shape.image_len() as f64));
    }
}

#[test]
fn wrong_operands_are_named() {
    let refused = |shape: Shape, image: usize, tokens: usize, words: &str| {
        let (mut image, mut tokens) = (vec![0.0f32; image], vec![0.0f32; tokens]);
        for error in [
            cpu::gather(&shape, &image, &mut tokens),
            reference::gather(&shape, &image, &mut tokens),
            cpu::scatter(&shape, &tokens, &mut image),
            reference::scatter(&shape, &tokens, &mut image),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with("patchify: ") && error.contains(words), "{error}");
        }
    };
    refused(SMALL, 15, 24, "image has 15 elements, expected 16");
    refused(SMALL, 16, 25, "tokens has 25 elements, expected 24");
    refused(Shape { patch: 0, ..SMALL }, 16, 24, "patch is 0");
    refused(Shape { height: 3, ..SMALL }, 24, 24, "height is 3");
    refused(Shape { width: 5, ..SMALL }, 20, 24, "width is 5");
}
