//! Cases of both sides, taking turns.
//!
//! Every round visits the cases in an order rotated by one, so that what else the machine does
//! falls on all alike. A pause before each lets the other side's worker threads stop spinning.

use crate::Peer;
use anyhow::Result;
use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};
use trainer::workload::median;

const PAUSE: Duration = Duration::from_millis(50);

/// A visit to a shorter case is the median of nine calls, after one that warms the caches.
const SHORT_SECONDS: f64 = 0.05;
const SHORT_CALLS: usize = 9;

/// Cases with longer visits are visited in every third round.
const LONG_SECONDS: f64 = 1.0;
const LONG_EVERY: usize = 3;

/// Seconds of every visit to one case.
#[derive(Clone, Debug, Default)]
pub struct Timing(Vec<f64>);

impl Timing {
    /// The middle visit.
    pub fn median(&self) -> f64 {
        median(&self.0)
    }
}

/// `503.7 (499.1-520.3) ms`: median, least, most.
impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, most] = [f64::min as fn(f64, f64) -> f64, f64::max]
            .map(|pick| self.0.iter().copied().reduce(pick).unwrap_or(f64::NAN) * 1e3);
        let ms = self.median() * 1e3;
        let digits = if ms < 10.0 { 2 } else { usize::from(ms < 1000.0) };
        write!(f, "{ms:.digits$} ({least:.digits$}-{most:.digits$}) ms")
    }
}

/// What takes turns.
pub struct Turns<'a> {
    /// Rounds of short cases.
    pub rounds: usize,
    /// Our cases are the numbers below this.
    pub n_ours: usize,
    /// Runs one of ours.
    pub ours: &'a mut dyn FnMut(usize) -> Result<()>,
    /// Names of the peer's cases.
    pub theirs: &'a [&'static str],
}

impl Turns<'_> {
    /// Times of our cases, then of the peer's; none of the latter without a peer.
    ///
    /// # Errors
    /// Those of the cases.
    pub fn take(self, mut peer: Option<&mut Peer>) -> Result<(Vec<Timing>, Vec<Timing>)> {
        let Self { rounds, n_ours, ours, theirs } = self;
        let n = n_ours + if peer.is_some() { theirs.len() } else { 0 };
        let mut visit = |case: usize| match (case.checked_sub(n_ours), peer.as_deref_mut()) {
            (Some(theirs_at), Some(peer)) => peer.seconds(theirs[theirs_at]),
            _ => visit_ours(&mut || ours(case)),
        };
        // Touches memory, compiles, fills caches.
        for case in 0..n {
            visit(case)?;
        }
        let mut timings = vec![Timing::default(); n];
        let mut is_long = vec![false; n];
        for round in 0..rounds {
            for case in (0..n).map(|i| (i + round) % n) {
                if is_long[case] && round % LONG_EVERY != 0 {
                    continue;
                }
                sleep(PAUSE);
                let start = Instant::now();
                timings[case].0.push(visit(case)?);
                // Not what a peer answers: that can stand for several calls.
                is_long[case] = start.elapsed().as_secs_f64() > LONG_SECONDS;
            }
        }
        let peers = timings.split_off(n_ours);
        Ok((timings, peers))
    }
}

/// One call, or the median of several when it is short.
fn visit_ours(call: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let mut time = || -> Result<f64> {
        let start = Instant::now();
        call()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let first = time()?;
    if first >= SHORT_SECONDS {
        return Ok(first);
    }
    let times = (0..SHORT_CALLS).map(|_| time()).collect::<Result<Vec<_>>>()?;
    Ok(median(&times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_its_turn_in_every_round_and_none_is_timed_cold() {
        let mut calls = [0; 3];
        let mut ours = |case: usize| {
            calls[case] += 1;
            Ok(())
        };
        let turns = Turns { rounds: 2, n_ours: 3, ours: &mut ours, theirs: &["scan/unbind/train"] };
        let (timings, peers) = turns.take(None).unwrap();
        assert!(timings.iter().all(|timing| timing.0.len() == 2) && peers.is_empty());
        assert_eq!(calls, [3 * (1 + SHORT_CALLS); 3]);
    }

    #[test]
    fn times_are_shown_in_milliseconds() {
        assert_eq!(Timing(vec![0.5, 0.25, 0.75]).to_string(), "500.0 (250.0-750.0) ms");
        assert_eq!(Timing(vec![0.00123]).to_string(), "1.23 (1.23-1.23) ms");
    }
}
