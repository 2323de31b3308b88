//! The decay of the average of the weights.

use crate::experiment::TrainSection;

/// Decay of each step of `average <- d average + (1 - d) weights`.
///
/// The average starts as a copy of the initial weights. `d` is the configured decay, or with a warm-up
/// `min(decay, (1 + s)/(10 + s))` for step `s`, 1 the first, so that a short run forgets its start.
///
/// # Source
/// Official code: 0.9999 without warm-up. The warm-up is the one of TensorFlow's moving averages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmaSchedule {
    /// The decay.
    pub decay: f64,
    /// Whether the decay rises to its value.
    pub warmup: bool,
}

impl EmaSchedule {
    /// The schedule of a valid experiment.
    pub fn new(train: &TrainSection) -> Self {
        Self { decay: train.ema_decay, warmup: train.ema_warmup }
    }

    /// Decay of the step just made; the first is 1.
    pub fn at(&self, step: u64) -> f64 {
        if !self.warmup {
            return self.decay;
        }
        let step = step as f64;
        self.decay.min((1.0 + step) / (10.0 + step))
    }

    /// Name of the average in files: `0.9999`.
    pub fn name(&self) -> String {
        self.decay.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warmup_ends_at_the_decay() {
        let ema = EmaSchedule { decay: 0.995, warmup: true };
        assert_eq!(ema.at(1), 2.0 / 11.0);
        assert_eq!(ema.at(10), 0.55);
        assert_eq!(ema.at(1789), 1790.0 / 1799.0);
        assert_eq!(ema.at(1790), 0.995);
        assert_eq!(ema.at(100_000), 0.995);
        assert_eq!(ema.name(), "0.995");
        assert_eq!(EmaSchedule { decay: 0.9999, warmup: false }.at(1), 0.9999);
    }
}
