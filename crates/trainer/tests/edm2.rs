//! Power-function averages and learning rates against numbers of the reference code.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use trainer::ema::post_hoc::combine;
use trainer::ema::power::{Profile, decay, exponent_of, std_of};
use trainer::inverse_sqrt;

fn golden() -> Value {
    serde_json::from_str(include_str!("goldens/golden_edm2.json")).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// `|got - want| <= bar max(|want|, floor)`.
#[track_caller]
fn assert_close(what: &str, got: f64, want: f64, bar: f64, floor: f64) {
    let error = (got - want).abs();
    let most = bar * want.abs().max(floor);
    assert!(error <= most, "{what}: {got:e}, expected {want:e}: off by {error:.2e}");
}

#[test]
fn widths_are_those_of_the_reference() {
    let golden = &golden()["phema"];
    let exponents = golden["std_to_exp"].as_object().unwrap();
    assert_eq!(exponents.len(), 5);
    for (std, exponent) in exponents {
        let got = exponent_of(std.parse().unwrap());
        assert_close(&format!("exponent of {std}"), got, number(exponent), 1e-12, 0.0);
    }
    for (exponent, std) in golden["exp_to_std"].as_object().unwrap() {
        let got = std_of(exponent.parse().unwrap());
        assert_close(&format!("width of {exponent}"), got, number(std), 1e-12, 0.0);
    }
}

#[test]
fn decays_are_those_of_the_reference() {
    let golden = &golden()["phema"]["beta"];
    let rows = golden.as_array().unwrap();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let [seen, new] = ["t_next", "t_delta"].map(|key| row[key].as_u64().unwrap());
        let got = decay(exponent_of(number(&row["std"])), seen, new);
        assert_close(&row.to_string(), got, number(&row["beta"]), 1e-12, 0.0);
    }
}

#[test]
fn combinations_are_those_of_the_reference() {
    let golden = &golden()["phema"]["posthoc"];
    let rows = golden.as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let ends = numbers(&row["in_ofs"]);
        let given: Vec<Profile> = ends
            .into_iter()
            .zip(numbers(&row["in_std"]))
            .map(|(end, std)| Profile::new(end, std))
            .collect();
        let wanted = Profile::new(number(&row["out_ofs"]), number(&row["out_std"]));
        let found = combine(&given, wanted);
        for (got, want) in found.coefficients.iter().zip(numbers(&row["coef"])) {
            assert_close(&row["out_std"].to_string(), *got, want, 1e-11, 1.0);
        }
        assert!((1.0..1e4).contains(&found.condition), "{}", found.condition);
    }
}

#[test]
fn learning_rates_are_those_of_the_reference() {
    let golden = &golden()["edm2_lr"];
    let rows = golden.as_array().unwrap();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let got = inverse_sqrt(1e-2, number(&row["nimg"]), 10e6, 2048.0 * 70_000.0);
        assert_eq!(got.to_bits(), number(&row["lr"]).to_bits(), "{row}: {got:e}");
    }
}
