//! `[vae]` and `[encode]`: what belongs to latents, and only to them.

use crate::{parse, quickstart};

const LATENTS: [&str; 7] = [
    "data.kind=latents",
    "data.path=cache",
    "data.image_size=4",
    "model.channels=4",
    "model.num_classes=10",
    "vae.path=sd-vae",
    "vae.latent_scale=0.18215",
];
const ENCODE: [&str; 3] = ["encode.kind=cifar10", "encode.path=d", "encode.image_size=32"];

/// A valid file of latents.
fn latents() -> String {
    parse(&quickstart(), &LATENTS).unwrap().to_toml()
}

#[track_caller]
fn assert_message_of(text: &str, sets: &[&str], expected: &str) {
    let message = parse(text, sets).unwrap_err().to_string();
    assert!(message.contains(expected), "{message}");
}

#[track_caller]
fn assert_refused(more: &[&str], expected: &str) {
    assert_message_of(&latents(), more, expected);
}

#[test]
fn latents_need_an_autoencoder_and_may_have_a_source() {
    let experiment = parse(&latents(), &ENCODE).unwrap();
    assert_eq!(experiment.encode.as_ref().unwrap().image_size, 32);
    let again = parse(&experiment.to_toml(), &[]).unwrap();
    assert_eq!(again, experiment);

    let missing = "vae.path is missing, expected the autoencoder";
    assert_message_of(&quickstart(), &LATENTS[..5], missing);
}

#[test]
fn one_factor_or_moments_of_every_channel() {
    let moments = ["vae.latent_mean=[0, 1, 2, 3]", "vae.latent_std=[1, 1, 1, 2.5]"];
    let experiment = parse(&latents(), &moments).unwrap();
    assert_eq!(experiment.vae.unwrap().latent_scale, None);
    assert_refused(&["vae.latent_mean=[0, 1, 2, 3]"], "vae.latent_std is missing");
    assert_refused(&["vae.latent_scale=0"], "vae.latent_scale is 0, expected a positive number");
    let zero = [moments[0], "vae.latent_std=[1, 1, 0, 1]"];
    assert_refused(&zero, "vae.latent_std is 0, expected positive numbers");
    let three = [moments[0], "vae.latent_std=[1, 1, 1]"];
    assert_refused(&three, "vae.latent_std is 3 numbers, expected 4 numbers, one a channel");
    let both = [moments[0], moments[1], "vae.latent_scale=1"];
    assert_refused(&both, "no such key beside latent_mean and latent_std");
}

#[test]
fn the_source_of_latents_is_images_of_a_fitting_size() {
    let with = |set: &'static str| [ENCODE[0], ENCODE[1], ENCODE[2], set];
    assert_refused(&with("encode.kind=latents"), "encode.kind is \"latents\", expected images");
    assert_refused(&with("data.image_size=5"), "encode.image_size is 32, expected a multiple of");
    assert_refused(&ENCODE[..1], "missing key encode.image_size");
    assert_refused(&[ENCODE[0], ENCODE[2]], "encode.path is missing, expected the folder or file");
    assert_refused(&with("encode.count=3"), "encode.count is 3, expected no such key");
}

#[test]
fn pixels_have_neither() {
    let vae = ["vae.path=d", "vae.latent_scale=1"];
    assert_message_of(&quickstart(), &vae, "vae.path is d, expected no such key");
    let encode = ["encode.kind=shapes", "encode.count=3", "encode.image_size=16"];
    assert_message_of(&quickstart(), &encode, "encode.kind is shapes, expected no such key");
}

#[test]
fn another_kind_of_data_takes_both_tables_along() {
    let text = parse(&latents(), &ENCODE).unwrap().to_toml();
    let pixels = ["data.kind=cifar10", "data.path=d", "data.image_size=32", "model.channels=3"];
    let experiment = parse(&text, &pixels).unwrap();
    assert_eq!((experiment.vae, experiment.encode), (None, None));
}
