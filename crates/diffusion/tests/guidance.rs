//! Classifier-free guidance.

mod common;

use diffusion::{Guidance, GuidanceChannels, ImageLayout, ObjectiveKind};

/// One pixel of four channels with a learned variance: eight output channels.
const LAYOUT: ImageLayout = ImageLayout { channels: 4, pixels: 1 };

fn combine(guidance: Guidance, kind: ObjectiveKind, cond: &[f64], uncond: &[f64]) -> Vec<f64> {
    let mut out = vec![f64::NAN; cond.len()];
    guidance.combine(kind, LAYOUT, cond, uncond, &mut out);
    out
}

/// `cond_c = 1 + c`, `uncond_c = -(1 + c)/2`.
fn pair() -> (Vec<f64>, Vec<f64>) {
    ((1..=8).map(f64::from).collect(), (1..=8).map(|c| -0.5 * f64::from(c)).collect())
}

/// The official rule guides three channels, and leaves the rest and the variance conditional.
#[test]
fn three_channels() {
    let guidance = Guidance { guidance_scale: 1.5, channels: GuidanceChannels::First3 };
    let (cond, uncond) = pair();
    let got = combine(guidance, ObjectiveKind::EpsHybrid, &cond, &uncond);
    assert_eq!(got, [1.75, 3.5, 5.25, 4.0, 5.0, 6.0, 7.0, 8.0]);
}

#[test]
fn all_channels_but_never_the_variance() {
    let guidance = Guidance { guidance_scale: 1.5, channels: GuidanceChannels::All };
    let (cond, uncond) = pair();
    let got = combine(guidance, ObjectiveKind::EpsHybrid, &cond, &uncond);
    assert_eq!(got, [1.75, 3.5, 5.25, 7.0, 5.0, 6.0, 7.0, 8.0]);
    // Without a variance the same eight numbers are two images.
    let got = combine(guidance, ObjectiveKind::V, &cond, &uncond);
    assert_eq!(got, [1.75, 3.5, 5.25, 7.0, 8.75, 10.5, 12.25, 14.0]);
}

/// The official code runs a doubled batch `[cond | uncond]` and gives each half its own remaining
/// channels. Its first half is ours with `cond` first, its second ours with the halves exchanged:
/// `g = c + (1 - w)(u - c)`.
#[test]
fn both_halves_of_the_official_batch() {
    let (cond, uncond) = pair();
    let second = Guidance { guidance_scale: 1.0 - 1.5, channels: GuidanceChannels::First3 };
    let got = combine(second, ObjectiveKind::EpsHybrid, &uncond, &cond);
    assert_eq!(got, [1.75, 3.5, 5.25, -2.0, -2.5, -3.0, -3.5, -4.0]);
}

#[test]
fn every_image_of_a_batch_is_guided_alike() {
    let layout = ImageLayout { channels: 4, pixels: 5 };
    let guidance = Guidance { guidance_scale: 2.0, channels: GuidanceChannels::First3 };
    let (cond, uncond) = (parity::uniform(1, 80), parity::uniform(2, 80));
    let mut out = vec![f64::NAN; 80];
    guidance.combine(ObjectiveKind::EpsHybrid, layout, &cond, &uncond, &mut out);
    for (i, &g) in out.iter().enumerate() {
        let channel = i / 5 % 8;
        let want = if channel < 3 { uncond[i] + 2.0 * (cond[i] - uncond[i]) } else { cond[i] };
        assert_eq!(g, want, "element {i}");
    }
}

#[test]
fn fewer_channels_than_three() {
    let layout = ImageLayout { channels: 1, pixels: 2 };
    let guidance = Guidance { guidance_scale: 3.0, channels: GuidanceChannels::First3 };
    let mut out = vec![f64::NAN; 4];
    let (cond, uncond) = ([1.0, 2.0, 3.0, 4.0], [0.0; 4]);
    guidance.combine(ObjectiveKind::EpsHybrid, layout, &cond, &uncond, &mut out);
    assert_eq!(out, [3.0, 6.0, 3.0, 4.0]);
}

#[test]
fn configuration() {
    let guidance: Guidance =
        serde_json::from_str(r#"{"guidance_scale": 1.5, "channels": "first3"}"#).unwrap();
    assert_eq!(guidance, Guidance { guidance_scale: 1.5, channels: GuidanceChannels::First3 });
    assert!(guidance.is_active() && guidance.validate().is_ok());
    assert!(!Guidance { guidance_scale: 1.0, ..guidance }.is_active());
    for guidance_scale in [f64::NAN, f64::INFINITY] {
        let error = Guidance { guidance_scale, ..guidance }.validate().unwrap_err();
        assert!(error.to_string().contains("finite"), "{error}");
    }
    for wrong in [
        r#"{"guidance_scale": 1.5}"#,
        r#"{"guidance_scale": 1.5, "channels": "four"}"#,
        r#"{"guidance_scale": 1.5, "channels": "all", "scale": 2}"#,
    ] {
        assert!(serde_json::from_str::<Guidance>(wrong).is_err(), "{wrong}");
    }
}
