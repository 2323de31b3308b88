//! The learning rate of each step.

use crate::experiment::{LrScheduleKind, TrainSection};
use std::f64::consts::PI;

/// Learning rate over a run: a linear rise to the peak, then the shape of the schedule.
///
/// With `s` the step being made (1 for the first), `W` warm-up steps and `S` steps of the run:
///
/// | part | rate |
/// |---|---|
/// | `s <= W` | `lr_max s/W` |
/// | constant | `lr_max` |
/// | cosine | `lr_min + (lr_max - lr_min)/2 (1 + cos(pi (s - W)/(S - W)))` |
/// | linear tail, last `F S` steps | on the line from `lr_max` at `S - F S` to `lr_min` at `S` |
/// | inverse square root | [`inverse_sqrt`], the warm-up included |
///
/// The first step moves. The last step of a cosine or a linear tail has exactly `lr_min`, and the rate
/// stays there afterwards. The other two do not depend on `S`: a longer run makes the same steps.
///
/// # Source
/// Cosine: the official code, by steps instead of epochs. That code counts from 0, so its first step
/// has rate 0 and moves nothing: ours at step `s` is its rate one step later.
/// Linear tail: ours, for short runs. Inverse square root: Karras et al., arXiv 2312.02696.
#[derive(Clone, Debug, PartialEq)]
pub struct LrSchedule {
    kind: LrScheduleKind,
    lr_max: f64,
    lr_min: f64,
    warmup_steps: u64,
    steps: u64,
    tail_steps: u64,
    decay_after: u64,
}

impl LrSchedule {
    /// The schedule of a valid experiment.
    pub fn new(train: &TrainSection) -> Self {
        let tail_steps = tail_steps(train.steps, train.tail_fraction.unwrap_or(0.0));
        Self {
            kind: train.lr_schedule,
            lr_max: train.lr_max,
            lr_min: train.lr_min,
            warmup_steps: train.warmup_steps,
            steps: train.steps,
            tail_steps,
            decay_after: train.decay_after.unwrap_or(u64::MAX),
        }
    }

    /// Rate of the step being made; the first is 1.
    pub fn at(&self, step: u64) -> f64 {
        let has_own_warmup = self.kind == LrScheduleKind::InverseSqrt;
        if step < self.warmup_steps && !has_own_warmup {
            return self.lr_max * step as f64 / self.warmup_steps as f64;
        }
        let fall = self.lr_max - self.lr_min;
        match self.kind {
            LrScheduleKind::Constant => self.lr_max,
            LrScheduleKind::InverseSqrt => {
                let [done, warmup, decay_after] =
                    [step, self.warmup_steps, self.decay_after].map(|steps| steps as f64);
                inverse_sqrt(self.lr_max, done, warmup, decay_after)
            }
            LrScheduleKind::Cosine => {
                let done = share(step, self.warmup_steps, self.steps);
                self.lr_min + 0.5 * fall * (1.0 + (PI * done).cos())
            }
            LrScheduleKind::LinearTail => {
                let done = share(step, self.steps.saturating_sub(self.tail_steps), self.steps);
                self.lr_max - fall * done
            }
        }
    }
}

/// `lr_max min(done/warmup, 1) / sqrt(max(done/decay_after, 1))`: the rate after `done` steps or
/// images, which is the unit of the other two as well. Without a warm-up, 0, it starts at the peak.
pub fn inverse_sqrt(lr_max: f64, done: f64, warmup: f64, decay_after: f64) -> f64 {
    let rise = if done < warmup { done / warmup } else { 1.0 };
    lr_max * rise / (done / decay_after).max(1.0).sqrt()
}

/// Steps over which a linear tail falls.
pub(crate) fn tail_steps(steps: u64, tail_fraction: f64) -> u64 {
    ((steps as f64 * tail_fraction).round() as u64).min(steps)
}

/// How much of `from..to` lies behind `step`, 0 to 1.
fn share(step: u64, from: u64, to: u64) -> f64 {
    if step >= to {
        return 1.0;
    }
    step.saturating_sub(from) as f64 / (to - from) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: LrScheduleKind, lr: [f64; 2], warmup_steps: u64, steps: u64) -> LrSchedule {
        let tail_steps = tail_steps(steps, 0.4);
        let [lr_max, lr_min] = lr;
        let decay_after = 100;
        LrSchedule { kind, lr_max, lr_min, warmup_steps, steps, tail_steps, decay_after }
    }

    fn assert_rates(schedule: &LrSchedule, expected: &[(u64, f64)]) {
        for &(step, rate) in expected {
            let got = schedule.at(step);
            assert!((got - rate).abs() <= 1e-15, "step {step}: {got}, expected {rate}");
        }
    }

    #[test]
    fn quickstart_rises_stays_and_falls_to_a_twentieth() {
        let lr = schedule(LrScheduleKind::LinearTail, [2e-3, 1e-4], 50, 900);
        let rates = [
            (1, 4e-5),
            (25, 1e-3),
            (50, 2e-3),
            (51, 2e-3),
            (540, 2e-3),
            (541, 2e-3 - 1.9e-3 / 360.0),
            (720, 1.05e-3),
            (900, 1e-4),
            (1000, 1e-4),
        ];
        assert_rates(&lr, &rates);
    }

    #[test]
    fn cosine_is_the_official_formula_one_step_later() {
        // 1000 epochs of 390 steps, 5 of them warm-up; the values are those of the official formula
        // by fractional epoch.
        let lr = schedule(LrScheduleKind::Cosine, [1e-4, 1e-6], 1950, 390_000);
        let rates = [
            (1, 1e-4 / 1950.0),
            (975, 5e-5),
            (1950, 1e-4),
            (195_975, 5.05e-5),
            (390_000, 1e-6),
            (500_000, 1e-6),
        ];
        assert_rates(&lr, &rates);
        let official = |iteration: u64| {
            let epoch = iteration as f64 / 390.0;
            if epoch < 5.0 {
                return 1e-4 * epoch / 5.0;
            }
            1e-6 + (1e-4 - 1e-6) * 0.5 * (1.0 + (PI * (epoch - 5.0) / 995.0).cos())
        };
        for step in [1, 7, 1949, 1950, 1951, 100_000, 389_999] {
            assert!((lr.at(step) - official(step)).abs() < 1e-17, "step {step}");
        }
    }

    #[test]
    fn the_inverse_square_root_halves_with_four_times_the_steps() {
        let lr = schedule(LrScheduleKind::InverseSqrt, [1e-2, 1e-3], 50, 10);
        let rates = [
            (1, 2e-4),
            (49, 9.8e-3),
            (50, 1e-2),
            (100, 1e-2),
            (400, 5e-3),
            (1600, 2.5e-3),
            // Neither the end of the run nor `lr_min` means anything to it.
            (1_000_000, 1e-4),
        ];
        assert_rates(&lr, &rates);
        let lr = schedule(LrScheduleKind::InverseSqrt, [1.0, 0.0], 0, 10);
        assert_rates(&lr, &[(1, 1.0), (100, 1.0), (400, 0.5)]);
        // A warm-up that is longer than the rest stays meets a rate that falls already.
        let lr = schedule(LrScheduleKind::InverseSqrt, [1.0, 0.0], 800, 10);
        assert_rates(&lr, &[(100, 0.125), (400, 0.25), (1600, 0.25)]);
    }

    #[test]
    fn constant_and_no_warmup() {
        let lr = schedule(LrScheduleKind::Constant, [3e-4, 0.0], 0, 10);
        assert_rates(&lr, &[(1, 3e-4), (10, 3e-4), (99, 3e-4)]);
        let lr = schedule(LrScheduleKind::LinearTail, [1.0, 0.0], 0, 10);
        assert_rates(&lr, &[(1, 1.0), (6, 1.0), (7, 0.75), (8, 0.5), (9, 0.25), (10, 0.0)]);
    }
}
