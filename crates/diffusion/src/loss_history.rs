//! Timesteps drawn as often as their losses are large.

use philox::{Draws, Purpose};

/// Losses kept of each timestep.
const KEPT: usize = 10;
/// Share of draws that ignore the losses.
const UNIFORM_SHARE: f64 = 0.001;

/// The last ten losses of every timestep, and the density they make.
///
/// `p_t ∝ sqrt(mean loss²)`, mixed with a uniform share of 0.001; uniform until every timestep has its
/// ten losses. A sample's loss is weighted with `1/(T p_t)`, so that the expectation is that of uniform
/// timesteps. State of a run: equal histories draw equal timesteps.
///
/// Source: improved DDPM (arXiv 2102.09672) section 3.3.
#[derive(Clone, Debug, PartialEq)]
pub struct LossHistory {
    /// `[T, 10]`: the oldest first, of those there are.
    losses: Vec<f32>,
    /// `[T]`: how many there are.
    counts: Vec<u8>,
    /// `[T]`: running sums of `p`, the last 1. Empty while the density is uniform.
    cumulative: Vec<f64>,
}

impl LossHistory {
    /// Of `timesteps` timesteps, none of which has a loss.
    pub fn new(timesteps: usize) -> Self {
        let (losses, counts) = (vec![0.0; timesteps * KEPT], vec![0; timesteps]);
        Self { losses, counts, cumulative: Vec::new() }
    }

    /// Number of timesteps `T`.
    pub fn timesteps(&self) -> usize {
        self.counts.len()
    }

    /// The history as numbers, `[T, 11]`: how many losses there are, then ten places for them.
    pub fn to_values(&self) -> Vec<f32> {
        let rows = self.counts.iter().zip(self.losses.chunks_exact(KEPT));
        rows.flat_map(|(&count, losses)| {
            std::iter::once(f32::from(count)).chain(losses.iter().copied())
        })
        .collect()
    }

    /// The history that [`LossHistory::to_values`] gave; `None` when these are no such numbers.
    pub fn from_values(values: &[f32]) -> Option<Self> {
        let (rows, rest) = values.as_chunks::<{ KEPT + 1 }>();
        let is_count = |count: f32| count.fract() == 0.0 && (0.0..=KEPT as f32).contains(&count);
        if !rest.is_empty() || !rows.iter().all(|row| is_count(row[0])) {
            return None;
        }
        let mut history = Self::new(rows.len());
        history.counts = rows.iter().map(|row| row[0] as u8).collect();
        history.losses = rows.iter().flat_map(|row| row[1..].iter().copied()).collect();
        history.weigh();
        Some(history)
    }

    /// The timestep of the sample at a position, and the weight of its loss.
    ///
    /// A function of the history and `(seed, position)`.
    pub fn draw_timestep(&self, seed: u64, position: u64) -> (f64, f64) {
        let draws = Draws::new(seed, Purpose::Timestep, position);
        let count = self.timesteps();
        if self.cumulative.is_empty() {
            return (draws.below(0, count as u64) as f64, 1.0);
        }
        let u = (f64::from(draws.word(0)) + 0.5) / 4_294_967_296.0;
        let t = self.cumulative.partition_point(|&sum| sum <= u).min(count - 1);
        let before = if t == 0 { 0.0 } else { self.cumulative[t - 1] };
        let p = self.cumulative[t] - before;
        (t as f64, 1.0 / (count as f64 * p))
    }

    /// Takes in the unweighted losses of samples at timesteps. What is not finite is left out.
    ///
    /// # Panics
    /// When the numbers of timesteps and losses differ, or there is no such timestep.
    pub fn record(&mut self, timesteps: &[f64], losses: &[f64]) {
        assert_eq!(timesteps.len(), losses.len(), "numbers of timesteps and losses");
        for (&timestep, &loss) in timesteps.iter().zip(losses) {
            if !loss.is_finite() {
                continue;
            }
            let t = timestep as usize;
            let row = &mut self.losses[t * KEPT..(t + 1) * KEPT];
            let count = &mut self.counts[t];
            if usize::from(*count) < KEPT {
                row[usize::from(*count)] = loss as f32;
                *count += 1;
            } else {
                row.copy_within(1.., 0);
                row[KEPT - 1] = loss as f32;
            }
        }
        self.weigh();
    }

    /// Makes the density, once every timestep has its losses.
    fn weigh(&mut self) {
        if self.counts.iter().any(|&count| usize::from(count) < KEPT) {
            return;
        }
        let root_mean_square = |row: &[f32]| {
            let sum: f64 = row.iter().map(|&loss| f64::from(loss).powi(2)).sum();
            (sum / KEPT as f64).sqrt()
        };
        let roots: Vec<f64> = self.losses.chunks_exact(KEPT).map(root_mean_square).collect();
        let total: f64 = roots.iter().sum();
        let uniform = 1.0 / roots.len() as f64;
        let share = |root: f64| if total > 0.0 { root / total } else { uniform };
        let mut sum = 0.0;
        self.cumulative = roots
            .iter()
            .map(|&root| {
                sum += (1.0 - UNIFORM_SHARE) * share(root) + UNIFORM_SHARE * uniform;
                sum
            })
            .collect();
    }
}
