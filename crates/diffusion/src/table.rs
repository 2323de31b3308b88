//! The scalars of the process on a grid of timesteps.

use crate::noise_schedule::running_product;
use crate::{DiffusionError, Grid, Node, NoiseLevel, NoiseSchedule, Respacing};
use std::ops::Index;

/// Everything the formulas need at one timestep of a grid; `t` counts the grid's entries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableRow {
    /// The time the network is told: the training timestep, where there are timesteps.
    pub network_time: f64,
    /// Factor of a state at this level in what the network is shown.
    pub input_factor: f64,
    /// `beta_t` of this grid.
    pub beta: f64,
    /// `ab_t = prod_{r <= t} (1 - beta_r)`.
    pub alpha_bar: f64,
    /// `ab_{t-1}`, 1 at the first entry.
    pub alpha_bar_prev: f64,
    /// `ab_{t+1}`, 0 at the last entry.
    pub alpha_bar_next: f64,
    /// `sqrt(ab)`.
    pub sqrt_alpha_bar: f64,
    /// `sqrt(1 - ab)`.
    pub sqrt_one_minus_alpha_bar: f64,
    /// `ln(1 - ab)`.
    pub ln_one_minus_alpha_bar: f64,
    /// `sqrt(1/ab)`.
    pub sqrt_recip_alpha_bar: f64,
    /// `sqrt(1/ab - 1)`, the noise per unit of data.
    pub sqrt_recip_alpha_bar_minus_one: f64,
    /// `ln beta_t`, the upper end of the learned range.
    pub ln_beta: f64,
    /// `beta_t (1 - ab_{t-1})/(1 - ab_t)`, 0 at the first entry.
    pub posterior_variance: f64,
    /// `ln` of the posterior variance; the first entry has the second's, or `ln beta` if alone.
    pub posterior_log_variance: f64,
    /// `c1 = beta_t sqrt(ab_{t-1})/(1 - ab_t)`, the factor of `x0` in the posterior mean.
    pub posterior_mean_x0: f64,
    /// `c2 = (1 - ab_{t-1}) sqrt(1 - beta_t)/(1 - ab_t)`, the factor of `x_t`.
    pub posterior_mean_x_t: f64,
}

impl TableRow {
    /// What the network is to be given here.
    pub fn node(&self) -> Node {
        let Self { network_time, input_factor, .. } = *self;
        Node { level: self.level(), input_factor, network_time }
    }

    /// `(a, s) = (sqrt(ab), sqrt(1 - ab))`.
    pub fn level(&self) -> NoiseLevel {
        NoiseLevel { a: self.sqrt_alpha_bar, s: self.sqrt_one_minus_alpha_bar }
    }

    /// Whether this is the first entry of its grid, below which lies the image.
    pub fn is_first(&self) -> bool {
        self.alpha_bar_prev == 1.0
    }
}

/// The scalars of the process on a grid of `N` of the `T` training timesteps, in f64.
///
/// Built by the round trip of improved DDPM, also on the full grid: from the products `ab` of the
/// noise schedule new betas `beta'_j = 1 - ab[t_j]/ab[t_{j-1}]`, from these new products, from
/// those the rest. The official tables are made this way; built from the raw betas they differ by up
/// to 2e-12.
///
/// The network is told the original timestep; every coefficient uses the new betas.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffusionTable {
    rows: Vec<TableRow>,
}

impl DiffusionTable {
    /// The table of a respaced grid of a noise schedule.
    ///
    /// # Errors
    /// Those of [`Respacing::grid`].
    pub fn new(
        noise_schedule: &NoiseSchedule,
        respacing: &Respacing,
    ) -> Result<Self, DiffusionError> {
        let grid = respacing.grid(noise_schedule.timesteps())?;
        Ok(Self::on_timesteps(noise_schedule, &grid))
    }

    /// The table of every training timestep.
    pub fn full(noise_schedule: &NoiseSchedule) -> Self {
        let grid: Vec<usize> = (0..noise_schedule.timesteps()).collect();
        Self::on_timesteps(noise_schedule, &grid)
    }

    /// The table of the given timesteps, which rise.
    ///
    /// # Panics
    /// When there is none, or not in the noise schedule.
    pub fn on_timesteps(noise_schedule: &NoiseSchedule, grid: &[usize]) -> Self {
        let entries = grid.iter().map(|&t| (noise_schedule.alphas_cumprod()[t], t as f64, 1.0));
        Self::of(entries.collect())
    }

    /// The table of the levels of any grid, seen as variance-preserving ones: `ab = a²/(a² + s²)`.
    /// The end of the grid is taken for data without noise.
    pub fn of_grid(grid: &Grid) -> Self {
        let entry = |node: &Node| {
            let NoiseLevel { a, s } = node.level;
            let norm = a.hypot(s);
            (a * a / (a * a + s * s), node.network_time, node.input_factor * norm)
        };
        Self::of(grid.nodes().iter().rev().map(entry).collect())
    }

    /// Entries `(ab, network time, input factor)` from the least noisy up.
    fn of(entries: Vec<(f64, f64, f64)>) -> Self {
        assert!(!entries.is_empty(), "a table of no timesteps");
        let betas = respaced_betas(entries.iter().map(|entry| entry.0));
        let alpha_bars = running_product(&betas);
        let mut rows: Vec<TableRow> = (0..entries.len())
            .map(|t| {
                let previous = if t == 0 { 1.0 } else { alpha_bars[t - 1] };
                let next = alpha_bars.get(t + 1).copied().unwrap_or(0.0);
                let (_, network_time, input_factor) = entries[t];
                let row = row(betas[t], [previous, alpha_bars[t], next]);
                TableRow { network_time, input_factor, ..row }
            })
            .collect();
        rows[0].posterior_log_variance =
            rows.get(1).map_or(rows[0].ln_beta, |second| second.posterior_log_variance);
        Self { rows }
    }

    /// Number of timesteps `N` of this grid, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a grid is never empty")]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows from the least to the most noisy.
    pub fn rows(&self) -> &[TableRow] {
        &self.rows
    }
}

impl Index<usize> for DiffusionTable {
    type Output = TableRow;

    /// Entry `t` of the grid, 0 the least noisy.
    fn index(&self, t: usize) -> &TableRow {
        &self.rows[t]
    }
}

/// `beta'_j = 1 - ab_j/ab_{j-1}`, with 1 before the first.
fn respaced_betas(alpha_bars: impl Iterator<Item = f64>) -> Vec<f64> {
    alpha_bars
        .scan(1.0, |last, alpha_bar| {
            let beta = 1.0 - alpha_bar / *last;
            *last = alpha_bar;
            Some(beta)
        })
        .collect()
}

/// One row from its beta and `[ab_{t-1}, ab_t, ab_{t+1}]`.
fn row(beta: f64, alpha_bars: [f64; 3]) -> TableRow {
    let [alpha_bar_prev, alpha_bar, alpha_bar_next] = alpha_bars;
    let posterior_variance = beta * (1.0 - alpha_bar_prev) / (1.0 - alpha_bar);
    TableRow {
        network_time: 0.0,
        input_factor: 1.0,
        beta,
        alpha_bar,
        alpha_bar_prev,
        alpha_bar_next,
        sqrt_alpha_bar: alpha_bar.sqrt(),
        sqrt_one_minus_alpha_bar: (1.0 - alpha_bar).sqrt(),
        ln_one_minus_alpha_bar: (1.0 - alpha_bar).ln(),
        sqrt_recip_alpha_bar: (1.0 / alpha_bar).sqrt(),
        sqrt_recip_alpha_bar_minus_one: (1.0 / alpha_bar - 1.0).sqrt(),
        ln_beta: beta.ln(),
        posterior_variance,
        posterior_log_variance: posterior_variance.ln(),
        posterior_mean_x0: beta * alpha_bar_prev.sqrt() / (1.0 - alpha_bar),
        posterior_mean_x_t: (1.0 - alpha_bar_prev) * (1.0 - beta).sqrt() / (1.0 - alpha_bar),
    }
}
