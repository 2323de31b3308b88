//! Averages of the weights: which a run keeps, and how fast each forgets.
//!
//! After every step an average becomes `d average + (1 - d) weights`. Two kinds differ in `d`:
//!
//! | kind | name in files | `d` of step `s` |
//! |---|---|---|
//! | fixed decay | `0.9999` | the decay, with a warm-up at most `(1 + s)/(10 + s)` |
//! | power function | `power-0.05` | [`power::decay`]: the memory is a share of the run so far |
//!
//! Every average starts as a copy of the initial weights. Of power-function averages snapshots are
//! kept, from which [`post_hoc`] makes averages of widths that nobody tracked.

pub mod post_hoc;
pub mod power;

use crate::experiment::TrainSection;

/// How fast an average forgets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EmaKind {
    /// A decay that is the same for every step.
    ///
    /// # Source
    /// Official code: 0.9999 without warm-up. The warm-up, which lets a short run forget its start,
    /// is the one of TensorFlow's moving averages.
    Fixed {
        /// Share of the old average that is kept.
        decay: f64,
        /// Whether the share rises to that value.
        warmup: bool,
    },
    /// A power function; see [`power`].
    Power {
        /// Relative width.
        std: f64,
        /// Its exponent.
        exponent: f64,
    },
}

/// One average of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ema {
    kind: EmaKind,
    name: String,
}

impl Ema {
    fn new(kind: EmaKind) -> Self {
        let name = match kind {
            EmaKind::Fixed { decay, .. } => short(decay),
            EmaKind::Power { std, .. } => format!("power-{}", short(std)),
        };
        Self { kind, name }
    }

    /// How it forgets.
    pub fn kind(&self) -> EmaKind {
        self.kind
    }

    /// Name in files: `0.9999`, `power-0.05`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Share of the old average that step `step` keeps, 1 the first. `images_seen` are those up to
    /// and with the `new_images` of the step.
    pub fn decay(&self, step: u64, images_seen: u64, new_images: u64) -> f64 {
        match self.kind {
            EmaKind::Fixed { decay, warmup: false } => decay,
            EmaKind::Fixed { decay, warmup: true } => {
                let step = step as f64;
                decay.min((1.0 + step) / (10.0 + step))
            }
            EmaKind::Power { exponent, .. } => power::decay(exponent, images_seen, new_images),
        }
    }
}

/// A number as a name; one that would be too long for a file name with an exponent.
fn short(number: f64) -> String {
    let plain = number.to_string();
    if plain.len() <= 24 { plain } else { format!("{number:e}") }
}

/// The name of an average as files have it, from a name as people write it: `power-0.10` is
/// `power-0.1`.
pub fn canonical_name(name: &str) -> String {
    let (kind, number) = match name.strip_prefix("power-") {
        Some(number) => ("power-", number),
        None => ("", name),
    };
    match number.parse::<f64>() {
        Ok(number) => format!("{kind}{}", short(number)),
        Err(_) => name.to_owned(),
    }
}

/// The averages of a run, in the order of [`crate::RunState::averages`]: fixed decays as they stand
/// in the experiment, then widths of power functions. The first is the one that previews and samples
/// are drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct EmaSet {
    averages: Vec<Ema>,
    batch_size: u64,
}

impl EmaSet {
    /// The averages of a valid experiment.
    pub fn new(train: &TrainSection) -> Self {
        let fixed = |&decay: &f64| Ema::new(EmaKind::Fixed { decay, warmup: train.ema_warmup });
        let power =
            |&std: &f64| Ema::new(EmaKind::Power { std, exponent: power::exponent_of(std) });
        let widths = train.ema_power.iter().flat_map(|widths| widths.iter().map(power));
        let averages = train.ema_decay.iter().map(fixed).chain(widths).collect();
        Self { averages, batch_size: train.batch_size as u64 }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.averages.len()
    }

    /// Whether there is none, which no valid experiment asks for.
    pub fn is_empty(&self) -> bool {
        self.averages.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Ema> {
        self.averages.iter()
    }

    /// The share of each that step `step` keeps, 1 the first. All steps of a run have the same
    /// number of images.
    pub fn decays(&self, step: u64) -> Vec<f64> {
        let (seen, new) = (step * self.batch_size, self.batch_size);
        self.averages.iter().map(|average| average.decay(step, seen, new)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Experiment;

    fn set(sets: &[&str]) -> EmaSet {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let quickstart = include_str!("../../tests/goldens/quickstart-resolved.toml");
        EmaSet::new(&Experiment::parse(quickstart, "x", &sets).unwrap().train)
    }

    #[test]
    fn warmup_ends_at_the_decay() {
        let ema = Ema::new(EmaKind::Fixed { decay: 0.995, warmup: true });
        let at = |step| ema.decay(step, 32 * step, 32);
        assert_eq!(at(1), 2.0 / 11.0);
        assert_eq!(at(10), 0.55);
        assert_eq!(at(1789), 1790.0 / 1799.0);
        assert_eq!(at(1790), 0.995);
        assert_eq!(at(100_000), 0.995);
        assert_eq!(ema.name(), "0.995");
        let ema = Ema::new(EmaKind::Fixed { decay: 0.9999, warmup: false });
        assert_eq!(ema.decay(1, 32, 32), 0.9999);
    }

    #[test]
    fn a_set_has_fixed_decays_first_and_each_its_own() {
        let set = set(&["train.ema_decay=[0.99, 0.9]", "train.ema_power=[0.05, 0.10]"]);
        let names: Vec<&str> = set.iter().map(Ema::name).collect();
        assert_eq!((names, set.len()), (vec!["0.99", "0.9", "power-0.05", "power-0.1"], 4));
        assert_eq!(set.decays(1), [2.0 / 11.0, 2.0 / 11.0, 0.0, 0.0]);
        let decays = set.decays(1000);
        assert_eq!(decays[..2], [0.99, 0.9]);
        // A step is a thousandth of a thousand, whatever the batch.
        let expected = 0.999_f64.powf(power::exponent_of(0.05) + 1.0);
        assert!((decays[2] - expected).abs() < 1e-15, "{decays:?}");
    }

    #[test]
    fn names_are_numbers_as_short_as_they_can_be() {
        for (written, name) in [
            ("0.9999", "0.9999"),
            ("0.50", "0.5"),
            ("power-0.10", "power-0.1"),
            ("power-1e-1", "power-0.1"),
            ("power-x", "power-x"),
            ("model", "model"),
        ] {
            assert_eq!(canonical_name(written), name);
        }
        assert_eq!(short(1e-300), "1e-300");
        assert_eq!(set(&["train.ema_decay=0"]).iter().next().map(Ema::name), Some("0"));
    }
}
