//! Respaced grids against guided-diffusion: every integer, every error.

mod common;

use common::{golden_json, indices};
use diffusion::{DiffusionError, Respacing};

fn grid(timesteps: usize, spec: &str) -> Result<Vec<usize>, DiffusionError> {
    spec.parse::<Respacing>()?.grid(timesteps)
}

/// `"T:spec"`.
fn split(case: &str) -> (usize, &str) {
    let (timesteps, spec) = case.split_once(':').expect("T:spec");
    (timesteps.parse().expect("a valid case"), spec)
}

#[test]
fn every_grid() {
    let golden = golden_json("golden_respacing.json");
    let cases = golden["cases"].as_object().expect("cases");
    assert_eq!(cases.len(), 18);
    for (case, want) in cases {
        let (timesteps, spec) = split(case);
        assert_eq!(grid(timesteps, spec), Ok(indices(want)), "{case}");
    }
}

#[test]
fn every_error() {
    let golden = golden_json("golden_respacing.json");
    let cases = golden["errors"].as_object().expect("errors");
    assert_eq!(cases.len(), 4);
    for (case, want) in cases {
        let (timesteps, spec) = split(case);
        assert_eq!(grid(timesteps, spec).is_ok(), want == "accepted", "{case}");
    }
}

/// Errors name the reason and the nearest respacing, which is accepted.
#[test]
fn errors_help() {
    for (timesteps, spec, reason, nearest) in [
        (1000, "ddim300", "no whole stride", "ddim334"),
        (1000, "ddim2000", "no whole stride", "ddim1000"),
        (1000, "1001", "block 1 has 1000 timesteps, 1001 are asked for", "1000"),
        (300, "101,10,10", "block 1 has 100 timesteps, 101 are asked for", "100,10,10"),
        (2, "1,1,1", "block 3 has 0 timesteps, 1 are asked for", "1,1"),
    ] {
        let error = grid(timesteps, spec).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(error.contains(&format!("{nearest:?}")), "{error}");
        assert!(grid(timesteps, nearest).is_ok(), "{nearest}");
    }
    for (spec, part) in [
        ("", ""),
        ("0", "0"),
        ("ddim", ""),
        ("ddim0", "0"),
        ("ten", "ten"),
        ("10,,5", ""),
        ("10,-5", "-5"),
        ("2.5", "2.5"),
        ("ddim10,10", "10,10"),
        ("99999999999999999999", "99999999999999999999"),
    ] {
        let want = DiffusionError::RespacingSyntax { spec: spec.into(), part: part.into() };
        assert_eq!(grid(1000, spec), Err(want), "{spec:?}");
    }
}

/// The grids that the two obvious shortcuts get wrong are exactly those the goldens list.
#[test]
fn rounding_traps() {
    let golden = golden_json("golden_respacing.json");
    let (mut half_away, mut multiplied) = (Vec::new(), Vec::new());
    for count in 1..=1000 {
        let want = grid(1000, &count.to_string()).unwrap();
        let stride = if count == 1 { 1.0 } else { 999.0 / (count - 1) as f64 };
        let mut current = 0.0f64;
        let away: Vec<usize> = (0..count)
            .map(|_| {
                let place = current.round() as usize;
                current += stride;
                place
            })
            .collect();
        let products: Vec<usize> =
            (0..count).map(|i| (i as f64 * stride).round_ties_even() as usize).collect();
        if away != want {
            half_away.push(count);
        }
        if products != want {
            multiplied.push(count);
        }
    }
    let listed = |key: &str| indices(&golden[key]);
    assert_eq!(half_away, listed("counts_N_of_1000_where_round_half_away_from_zero_differs"));
    assert_eq!(
        multiplied,
        listed("counts_N_of_1000_where_i_times_stride_differs_from_running_sum")
    );
    assert_eq!((half_away.len(), multiplied.len()), (49, 278));
}

#[test]
fn text_round_trip() {
    for spec in ["full", "250", "10,15,20", "ddim50"] {
        let respacing: Respacing = spec.parse().unwrap();
        assert_eq!(respacing.to_string(), spec);
        let json = serde_json::to_string(&respacing).unwrap();
        assert_eq!(json, format!("{spec:?}"));
        assert_eq!(serde_json::from_str::<Respacing>(&json).unwrap(), respacing);
    }
    assert_eq!(Respacing::evenly(250), "250".parse());
    assert_eq!(Respacing::full().grid(7).unwrap(), [0, 1, 2, 3, 4, 5, 6]);
    assert!(Respacing::evenly(0).is_err());
    assert!(serde_json::from_str::<Respacing>("\"ten\"").is_err());
}
