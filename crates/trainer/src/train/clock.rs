//! Where the time of a log interval went.

use std::time::{Duration, Instant};

/// Time since the last metrics line, without previews and checkpoints.
pub(super) struct Clock {
    since: Instant,
    paused: Duration,
    steps: u64,
    /// Waiting for data since the start of the run, now and when the interval began.
    waited: Duration,
    waited_before: Duration,
}

/// What an interval took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lap {
    /// Mean seconds of a step.
    pub(super) step_seconds: f64,
    /// Seconds of it that the loop waited for a batch.
    pub(super) data_wait_seconds: f64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self::from(Duration::ZERO)
    }

    fn from(waited: Duration) -> Self {
        let (since, paused) = (Instant::now(), Duration::ZERO);
        Self { since, paused, steps: 0, waited, waited_before: waited }
    }

    /// Counts a step, before which the loop had waited for data for `waited` since its start.
    pub(super) fn stepped(&mut self, waited: Duration) {
        self.steps += 1;
        self.waited = waited;
    }

    pub(super) fn pause_for<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.paused += start.elapsed();
        result
    }

    /// What the interval took, and a new one.
    pub(super) fn lap(&mut self) -> Lap {
        let lap = self.lap_of(self.since.elapsed() - self.paused);
        *self = Self::from(self.waited);
        lap
    }

    fn lap_of(&self, took: Duration) -> Lap {
        let steps = self.steps.max(1) as f64;
        let waited = self.waited - self.waited_before;
        Lap {
            step_seconds: took.as_secs_f64() / steps,
            data_wait_seconds: waited.as_secs_f64() / steps,
        }
    }
}

/// Tells a person, once, that the data are too slow.
#[derive(Default)]
pub(super) struct Starvation {
    laps: u64,
    told: bool,
}

impl Starvation {
    /// What to say about a lap, if anything. `most` is the share of it that waiting may take.
    ///
    /// The first lap has the start of the loader's threads in it, which says nothing about the others.
    pub(super) fn notice(&mut self, lap: Lap, most: f64) -> Option<String> {
        self.laps += 1;
        let share = lap.data_wait_seconds / lap.step_seconds;
        // Not a number where no time passed, which is no reason to speak.
        let too_long = share > most;
        if self.told || self.laps == 1 || !too_long {
            return None;
        }
        self.told = true;
        Some(format!(
            "{:.0} % of the time of the last steps went by waiting for data\n\
             help: raise data.workers, up to the number of cores; no result depends on it",
            100.0 * share
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laps_share_what_was_waited() {
        let mut clock = Clock::start();
        clock.stepped(Duration::from_secs(3));
        clock.stepped(Duration::from_secs(4));
        let lap = clock.lap_of(Duration::from_secs(10));
        assert_eq!(lap, Lap { step_seconds: 5.0, data_wait_seconds: 2.0 });
        clock.lap();
        (5..8).for_each(|seconds| clock.stepped(Duration::from_secs(seconds)));
        assert_eq!(clock.lap_of(Duration::from_secs(6)).data_wait_seconds, 1.0);
    }

    #[test]
    fn a_person_is_told_once_and_not_of_the_start() {
        let lap = |data_wait_seconds| Lap { step_seconds: 2.0, data_wait_seconds };
        let mut starvation = Starvation::default();
        assert_eq!(starvation.notice(lap(1.5), 0.1), None, "the start");
        assert_eq!(starvation.notice(lap(0.2), 0.1), None, "a tenth");
        assert_eq!(starvation.notice(lap(1.5), 0.9), None, "a device that is kept busy");
        let notice = starvation.notice(lap(0.5), 0.1).unwrap();
        assert!(notice.starts_with("25 % of the time") && notice.contains("data.workers"));
        assert_eq!(starvation.notice(lap(1.5), 0.1), None, "twice");
        assert_eq!(Starvation { laps: 1, told: false }.notice(lap(f64::NAN), 0.1), None);
    }
}
