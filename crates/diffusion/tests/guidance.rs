//! Classifier-free guidance.

mod common;

use common::Worst;
use diffusion::{
    Guidance, GuidanceChannels, GuidanceSchedule, ImageLayout, NoiseLevel, ObjectiveKind,
};

/// One pixel of four channels with a learned variance: eight output channels.
const LAYOUT: ImageLayout = ImageLayout { channels: 4, pixels: 1 };

fn combine(guidance: Guidance, kind: ObjectiveKind, cond: &[f64], uncond: &[f64]) -> Vec<f64> {
    let mut out = vec![f64::NAN; cond.len()];
    guidance.combine(guidance.guidance_scale, kind, LAYOUT, [cond, uncond], &mut out);
    out
}

/// `cond_c = 1 + c`, `uncond_c = -(1 + c)/2`.
fn pair() -> (Vec<f64>, Vec<f64>) {
    ((1..=8).map(f64::from).collect(), (1..=8).map(|c| -0.5 * f64::from(c)).collect())
}

/// The official rule guides three channels, and leaves the rest and the variance conditional.
#[test]
fn three_channels() {
    let guidance = Guidance::new(1.5, GuidanceChannels::First3);
    let (cond, uncond) = pair();
    let got = combine(guidance, ObjectiveKind::EpsHybrid, &cond, &uncond);
    assert_eq!(got, [1.75, 3.5, 5.25, 4.0, 5.0, 6.0, 7.0, 8.0]);
}

#[test]
fn all_channels_but_never_the_variance() {
    let guidance = Guidance::new(1.5, GuidanceChannels::All);
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
    let second = Guidance::new(1.0 - 1.5, GuidanceChannels::First3);
    let got = combine(second, ObjectiveKind::EpsHybrid, &uncond, &cond);
    assert_eq!(got, [1.75, 3.5, 5.25, -2.0, -2.5, -3.0, -3.5, -4.0]);
}

#[test]
fn every_image_of_a_batch_is_guided_alike() {
    let layout = ImageLayout { channels: 4, pixels: 5 };
    let guidance = Guidance::new(2.0, GuidanceChannels::First3);
    let (cond, uncond) = (parity::uniform(1, 80), parity::uniform(2, 80));
    let mut out = vec![f64::NAN; 80];
    guidance.combine(2.0, ObjectiveKind::EpsHybrid, layout, [&cond, &uncond], &mut out);
    for (i, &g) in out.iter().enumerate() {
        let channel = i / 5 % 8;
        let want = if channel < 3 { uncond[i] + 2.0 * (cond[i] - uncond[i]) } else { cond[i] };
        assert_eq!(g, want, "element {i}");
    }
}

#[test]
fn fewer_channels_than_three() {
    let layout = ImageLayout { channels: 1, pixels: 2 };
    let guidance = Guidance::new(3.0, GuidanceChannels::First3);
    let mut out = vec![f64::NAN; 4];
    let (cond, uncond) = ([1.0, 2.0, 3.0, 4.0], [0.0; 4]);
    guidance.combine(3.0, ObjectiveKind::EpsHybrid, layout, [&cond, &uncond], &mut out);
    assert_eq!(out, [3.0, 6.0, 3.0, 4.0]);
}

#[test]
fn configuration() {
    let guidance: Guidance =
        serde_json::from_str(r#"{"guidance_scale": 1.5, "channels": "first3"}"#).unwrap();
    assert_eq!(guidance, Guidance::new(1.5, GuidanceChannels::First3));
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

/// The row `cfg_rescale` of `golden_diffusers.json` (diffusers 0.42.1).
#[test]
fn rescaling_is_that_of_diffusers() {
    let guided = [2.0, -1.0, 0.5, 3.0, 1.0, -2.0, 0.0, 1.0];
    let cond = [1.0, -0.5, 0.25, 1.5, 0.5, -1.0, 0.1, 0.4];
    let at_0_7 = [
        1.293_650_212_487_497_8,
        -0.646_825_106_243_748_9,
        0.323_412_553_121_874_45,
        1.940_475_318_731_246_5,
        0.646_825_106_243_748_9,
        -1.293_650_212_487_497_8,
        0.0,
        0.646_825_106_243_748_9,
    ];
    let at_1 = [
        0.990_928_874_982_139_4,
        -0.495_464_437_491_069_7,
        0.247_732_218_745_534_86,
        1.486_393_312_473_209_2,
        0.495_464_437_491_069_7,
        -0.990_928_874_982_139_4,
        0.0,
        0.495_464_437_491_069_7,
    ];
    // The weaker output from which twice the difference leads to `guided`.
    let weak: Vec<f64> = cond.iter().zip(guided).map(|(c, g)| 2.0 * c - g).collect();
    let layout = ImageLayout { channels: 2, pixels: 4 };
    let mut worst = Worst::of("guidance rescale");
    for (rescale, want) in [(0.7, at_0_7), (1.0, at_1), (0.0, guided)] {
        let guidance =
            Guidance { rescale: Some(rescale), ..Guidance::new(2.0, GuidanceChannels::All) };
        let mut out = vec![f64::NAN; 8];
        guidance.combine(2.0, ObjectiveKind::V, layout, [&cond, &weak], &mut out);
        worst.compare(&format!("rescale {rescale}"), &out, &want, 1e-15, 1.0);
    }
}

#[test]
fn intervals_and_schedules() {
    let plain = Guidance::new(3.0, GuidanceChannels::All);
    let at = |guidance: Guidance, sigma, progress| {
        guidance.scale_at(NoiseLevel { a: 0.5, s: 0.5 * sigma }, progress)
    };
    let guidance = Guidance { interval: Some([0.25, 2.0]), ..plain };
    assert_eq!(
        [0.2, 0.25, 1.0, 2.0, 2.1].map(|sigma| at(guidance, sigma, 0.5)),
        [1.0, 3.0, 3.0, 3.0, 1.0]
    );
    assert_eq!(guidance.scale_at(NoiseLevel { a: 0.0, s: 1.0 }, 0.0), 1.0);
    for (schedule, want) in [
        (GuidanceSchedule::Constant, [3.0, 3.0, 3.0]),
        (GuidanceSchedule::Linear, [1.0, 3.0, 5.0]),
        (GuidanceSchedule::Cosine, [1.0, 3.0, 5.0]),
    ] {
        let guidance = Guidance { schedule: Some(schedule), ..plain };
        for (progress, want) in [0.0, 0.5, 1.0].into_iter().zip(want) {
            assert!((at(guidance, 1.0, progress) - want).abs() < 1e-12, "{schedule:?} {progress}");
        }
    }
}

#[test]
fn impossible_numbers_are_refused() {
    let plain = Guidance::new(2.0, GuidanceChannels::All);
    for interval in [[1.0, 1.0], [2.0, 1.0], [-1.0, 2.0], [f64::NAN, 1.0]] {
        let error = Guidance { interval: Some(interval), ..plain }.validate().unwrap_err();
        assert!(error.to_string().contains("interval"), "{error}");
    }
    for rescale in [-0.1, 1.1, f64::NAN] {
        let error = Guidance { rescale: Some(rescale), ..plain }.validate().unwrap_err();
        assert!(error.to_string().contains("rescale"), "{error}");
    }
    assert!(
        Guidance { interval: Some([0.0, f64::INFINITY]), rescale: Some(1.0), ..plain }
            .validate()
            .is_ok()
    );
}
