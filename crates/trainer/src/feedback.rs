//! What the losses so far say about the steps to come.

use diffusion::{LogVariance, LossHistory, LossTerms, NoiseLevel, Objective, Weighting};
use serde::{Deserialize, Serialize};

/// Loss-aware timesteps and learned log variances: empty for objectives that have neither.
///
/// State of a run, as the weights are: equal feedback draws equal timesteps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feedback {
    history: Option<LossHistory>,
    log_variance: Option<LogVariance>,
    lr: f64,
}

/// Feedback as a checkpoint keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackState {
    /// Of [`LossHistory::to_values`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<f32>>,
    /// Of [`LogVariance::to_values`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_variance: Option<Vec<f32>>,
}

/// The timesteps of a batch, and how its losses count.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// `[B]`.
    pub timesteps: Vec<f64>,
    /// Factors of the losses, `[B]`.
    pub weights: Vec<f64>,
    /// Log variances that are added to the losses, `[B]`; 0 where none are learned.
    pub log_variances: Vec<f64>,
}

impl Feedback {
    /// What the objective needs, with nothing learnt. `lr` is that of the log variances.
    pub fn new(objective: &Objective, lr: f64) -> Self {
        let learns = objective.options().weighting == Weighting::Learned;
        Self { history: objective.loss_history(), log_variance: learns.then(LogVariance::new), lr }
    }

    /// The feedback that was kept; `None` when it is not that of the objective.
    pub fn restore(objective: &Objective, lr: f64, state: &FeedbackState) -> Option<Self> {
        let empty = Self::new(objective, lr);
        let history = match (&empty.history, &state.history) {
            (Some(empty), Some(values)) => {
                let history = LossHistory::from_values(values)?;
                Some((history.timesteps() == empty.timesteps()).then_some(history)?)
            }
            (None, None) => None,
            _ => return None,
        };
        let log_variance = match (&empty.log_variance, &state.log_variance) {
            (Some(_), Some(values)) => Some(LogVariance::from_values(values)?),
            (None, None) => None,
            _ => return None,
        };
        Some(Self { history, log_variance, lr })
    }

    /// For a checkpoint; `None` when there is nothing to keep.
    pub fn state(&self) -> Option<FeedbackState> {
        self.is_active().then(|| FeedbackState {
            history: self.history.as_ref().map(LossHistory::to_values),
            log_variance: self.log_variance.as_ref().map(LogVariance::to_values),
        })
    }

    /// Whether a step must wait for the losses of the one before.
    pub fn is_active(&self) -> bool {
        self.history.is_some() || self.log_variance.is_some()
    }

    /// The timesteps of the samples at `positions`.
    pub fn draw(&self, objective: &Objective, seed: u64, positions: &[u64]) -> Draw {
        let (timesteps, mut weights) = match &self.history {
            Some(history) => {
                positions.iter().map(|&position| history.draw_timestep(seed, position)).unzip()
            }
            None => (objective.draw_timesteps(seed, positions), vec![1.0; positions.len()]),
        };
        let mut log_variances = vec![0.0; positions.len()];
        if let Some(variance) = &self.log_variance {
            let samples = timesteps.iter().zip(&mut weights).zip(&mut log_variances);
            for ((&timestep, weight), log_variance) in samples {
                *log_variance = variance.at(objective.level(timestep));
                *weight *= (-*log_variance).exp();
            }
        }
        Draw { timesteps, weights, log_variances }
    }

    /// Learns from the terms of the samples of step `step`, 1 the first.
    pub fn learn(&mut self, objective: &Objective, step: u64, draw: &Draw, terms: &[LossTerms]) {
        if !self.is_active() {
            return;
        }
        let samples = draw.timesteps.iter().zip(terms);
        let losses: Vec<f64> = samples
            .map(|(&timestep, terms)| {
                let second = terms.vb.or(terms.cosine).unwrap_or(0.0);
                objective.terms(timestep, 1.0, terms.mse, second).loss
            })
            .collect();
        if let Some(history) = &mut self.history {
            history.record(&draw.timesteps, &losses);
        }
        if let Some(variance) = &mut self.log_variance {
            let levels: Vec<NoiseLevel> =
                draw.timesteps.iter().map(|&timestep| objective.level(timestep)).collect();
            variance.train(&levels, &losses, self.lr, step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffusion::{
        FlowPath, NoiseSchedule, ObjectiveKind, ObjectiveOptions, Process, TimestepDensity,
    };

    fn loss_aware() -> Objective {
        let schedule = NoiseSchedule::cosine(20).unwrap();
        let options =
            ObjectiveOptions { density: TimestepDensity::LossAware, ..ObjectiveOptions::default() };
        Objective::on(ObjectiveKind::V, Process::Discrete(schedule), options).unwrap()
    }

    fn learned() -> Objective {
        let path = FlowPath::Linear;
        let options =
            ObjectiveOptions { weighting: Weighting::Learned, ..ObjectiveOptions::default() };
        let process = Process::Flow { path, time_scale: 1.0 };
        Objective::on(ObjectiveKind::Flow(path), process, options).unwrap()
    }

    fn train(feedback: &mut Feedback, objective: &Objective, steps: std::ops::Range<u64>) {
        for step in steps {
            let positions: Vec<u64> = (20 * step..20 * (step + 1)).collect();
            let draw = feedback.draw(objective, 1, &positions);
            let terms: Vec<LossTerms> = draw
                .timesteps
                .iter()
                .zip(&draw.weights)
                .map(|(&t, &weight)| objective.terms(t, weight, 0.1 + t + step as f64, 0.0))
                .collect();
            feedback.learn(objective, step + 1, &draw, &terms);
        }
    }

    /// What is kept goes on as what was never kept, through the text of a checkpoint.
    #[test]
    fn feedback_survives_a_checkpoint() {
        for objective in [loss_aware(), learned()] {
            let mut whole = Feedback::new(&objective, 0.01);
            assert!(whole.is_active());
            train(&mut whole, &objective, 0..40);
            let text = serde_json::to_string(&whole.state().unwrap()).unwrap();
            let state: FeedbackState = serde_json::from_str(&text).unwrap();
            let mut again = Feedback::restore(&objective, 0.01, &state).unwrap();
            assert_eq!(again, whole);
            train(&mut whole, &objective, 40..60);
            train(&mut again, &objective, 40..60);
            assert_eq!(again, whole);
            assert_ne!(again, Feedback::restore(&objective, 0.01, &state).unwrap());
            let positions: Vec<u64> = (0..50).collect();
            let draw = whole.draw(&objective, 1, &positions);
            assert!(draw.weights.iter().any(|&w| w != 1.0));
        }
    }

    #[test]
    fn feedback_of_another_objective_is_refused() {
        let kept = Feedback::new(&loss_aware(), 0.01).state().unwrap();
        assert!(Feedback::restore(&learned(), 0.01, &kept).is_none());
        assert!(Feedback::restore(&loss_aware(), 0.01, &FeedbackState::default()).is_none());
        let plain = Objective::new(ObjectiveKind::V, &NoiseSchedule::cosine(20).unwrap());
        assert!(Feedback::restore(&plain, 0.01, &kept).is_none());
        assert_eq!(Feedback::new(&plain, 0.01).state(), None);
        assert!(Feedback::restore(&plain, 0.01, &FeedbackState::default()).is_some());
    }
}
