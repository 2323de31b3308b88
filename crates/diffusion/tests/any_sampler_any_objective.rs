//! Every sampler on every objective: errors fall with the number of steps, and the README says them.

mod common;

use common::sampler_table::{STEPS, error, objectives};
use diffusion::{SamplerKind, SamplerPlan};

/// Sixteen times the steps leave at most a quarter of the error, first order included. That of ten steps
/// alone may be small by chance, where two errors meet.
#[test]
fn errors_fall_with_steps() {
    for sampler in SamplerKind::ALL {
        for (name, kind, process) in objectives() {
            let errors = [10, 20, 160].map(|steps| error(sampler, steps, kind, &process));
            let what = format!("{} on {name}: {errors:?}", sampler.name());
            assert!(errors[2] < errors[0].max(2.0 * errors[1]) / 4.0, "{what}");
        }
    }
}

/// `cargo run -p diffusion --example sampler_errors` makes the table of the README.
#[test]
fn the_readme_shows_the_errors_of_now() {
    let readme = include_str!("../README.md");
    for sampler in SamplerKind::ALL {
        let start = format!("| `{}` | ", sampler.name());
        let row = readme.lines().find_map(|line| line.strip_prefix(&start));
        let row = row.unwrap_or_else(|| panic!("the README has no row of {}", sampler.name()));
        let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
        assert_eq!(cells.len(), objectives().len(), "{row}");
        for (cell, (name, kind, process)) in cells.iter().zip(objectives()) {
            let written: Vec<f64> = cell.split(' ').map(|e| e.parse().expect("a number")).collect();
            assert_eq!(written.len(), STEPS.len(), "{row}");
            for (written, steps) in written.into_iter().zip(STEPS) {
                let now = error(sampler, steps, kind, &process);
                let what = format!("{} on {name} in {steps} steps", sampler.name());
                // Two digits are written.
                assert!(
                    (written / now - 1.0).abs() < 0.2 || now < 1e-9,
                    "{what}: {written}, {now}"
                );
            }
        }
    }
}

/// What a plan counts is what a run asks for.
#[test]
fn evaluations() {
    for sampler in SamplerKind::ALL {
        for (name, kind, process) in objectives() {
            let plan = SamplerPlan::new(sampler, "7".parse().expect("a number"));
            let counted = plan.evaluations(kind, &process).expect("a plan");
            let two_a_step = [
                SamplerKind::Heun,
                SamplerKind::Midpoint,
                SamplerKind::DpmPpSde,
                SamplerKind::DpmPp2sAncestral,
                SamplerKind::HeunSde,
            ];
            let expected = if sampler == SamplerKind::Midpoint && name == "flow" {
                // In the middle of a last step to data there is noise; at its end there is none.
                14
            } else if two_a_step.contains(&sampler) {
                13
            } else if sampler == SamplerKind::Pndm {
                8
            } else {
                7
            };
            assert_eq!(counted, expected, "{} on {name}", sampler.name());
        }
    }
}
