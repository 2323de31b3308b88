//! Noise schedules and their tables against guided-diffusion.

mod common;

use common::{Worst, column, golden_json, index, indices, number, numbers, table};
use diffusion::{DiffusionError, DiffusionTable, NoiseSchedule, NoiseScheduleKind};
use serde_json::Value;

/// A sum with its rounding errors carried along (Neumaier): the goldens' sums are exactly rounded.
fn exact_sum(values: &[f64]) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0);
    for &value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() { sum - next + value } else { value - next + sum };
        sum = next;
    }
    sum + lost
}

fn compare_table(worst: &mut Worst, name: &str, table: &DiffusionTable, want: &Value, bar: f64) {
    assert_eq!(table.len(), index(&want["num_timesteps"]), "{name}");
    let at = indices(&want["t"]);
    let sums = want["sum_over_all_t"].as_object().expect("sums");
    assert_eq!(sums.len(), 11, "{name}: number of columns");
    for (key, sum) in sums {
        let column = column(table, key);
        let got: Vec<f64> = at.iter().map(|&t| column[t]).collect();
        let what = format!("{name}.{key}");
        worst.compare(&what, &got, &numbers(&want[key]), bar, 0.0);
        worst.compare(&format!("sum of {what}"), &[exact_sum(&column)], &[number(sum)], bar, 0.0);
    }
}

#[test]
fn five_schedules() {
    let golden = golden_json("golden_schedules.json");
    let tables = golden["tables"].as_object().expect("tables");
    assert_eq!(tables.len(), 5);
    let (mut linear, mut cosine) = (Worst::of("linear schedules"), Worst::of("cosine schedules"));
    for (name, want) in tables {
        let timesteps = index(&want["num_timesteps"]);
        if name.starts_with("linear") {
            let noise_schedule = NoiseSchedule::linear(timesteps).unwrap();
            compare_table(&mut linear, name, &DiffusionTable::full(&noise_schedule), want, 1e-12);
        } else {
            let noise_schedule = NoiseSchedule::cosine(timesteps).unwrap();
            compare_table(&mut cosine, name, &DiffusionTable::full(&noise_schedule), want, 2e-11);
        }
    }
}

#[test]
fn respaced_tables() {
    let golden = golden_json("golden_respacing.json");
    let tables = golden["respaced_tables"].as_object().expect("tables");
    assert_eq!(tables.len(), 3);
    let mut worst = Worst::of("respaced tables");
    for (name, want) in tables {
        let table = table(name);
        compare_table(&mut worst, name, &table, want, 1e-12);
        let got: Vec<usize> =
            indices(&want["t"]).iter().map(|&t| table[t].network_time as usize).collect();
        assert_eq!(got, indices(&want["timestep_map_at_t"]), "{name}");
    }
}

/// Two numbers that catch whole classes of mistakes: raw betas instead of the round trip, and an
/// integer division in the cosine (every beta 0 but the last).
#[test]
fn telling_numbers() {
    let linear = DiffusionTable::full(&NoiseSchedule::linear(1000).unwrap());
    assert_eq!(linear[0].beta, 9.999999999998899e-05);
    assert_eq!(linear[999].alpha_bar_next, 0.0);
    assert_eq!(linear[0].posterior_log_variance, linear[1].posterior_log_variance);
    let cosine = NoiseSchedule::cosine(1000).unwrap();
    assert!((cosine.alphas_cumprod()[500] - 0.492_285_172_448_802_9).abs() < 1e-12);
    assert_eq!(cosine.betas()[999], 0.999);
}

#[test]
fn a_one_step_grid_takes_the_log_of_its_beta() {
    let table = table("1");
    assert_eq!((table.len(), table[0].network_time), (1, 0.0));
    assert_eq!(table[0].posterior_log_variance, table[0].beta.ln());
    assert_eq!(table[0].posterior_variance, 0.0);
}

#[test]
fn impossible_numbers_of_timesteps_are_refused() {
    for timesteps in [0, 1, 20, 1_000_001, usize::MAX] {
        let error = NoiseSchedule::linear(timesteps).unwrap_err();
        let kind = NoiseScheduleKind::Linear;
        let (least, most) = (21, 1_000_000);
        assert_eq!(error, DiffusionError::TimestepCount { kind, timesteps, least, most });
        assert!(error.to_string().contains("21 to 1000000 are possible"), "{error}");
    }
    assert!(NoiseSchedule::cosine(0).is_err());
    for timesteps in [21, 22, 50] {
        let table = DiffusionTable::full(&NoiseSchedule::linear(timesteps).unwrap());
        assert!(table.rows().iter().all(|row| row.alpha_bar > 0.0 && row.beta < 1.0));
    }
    assert!(DiffusionTable::full(&NoiseSchedule::cosine(1).unwrap())[0].beta == 0.999);
}

#[test]
fn configuration_names() {
    let kind: NoiseScheduleKind = serde_json::from_str("\"linear\"").unwrap();
    assert_eq!(kind, NoiseScheduleKind::Linear);
    assert_eq!(serde_json::to_string(&NoiseScheduleKind::Cosine).unwrap(), "\"cosine\"");
}
