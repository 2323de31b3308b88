//! Names of metrics, and what each needs.

use crate::EvalError;
use crate::collect::Keep;
use crate::inception_score::Splits;
use std::fmt;
use std::str::FromStr;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Frechet distance of pool features.
    Fid,
    /// Frechet distance of spatial features.
    Sfid,
    /// Inception Score of the samples.
    InceptionScore,
    /// Precision and recall.
    PrecisionRecall,
    /// Density and coverage.
    DensityCoverage,
    /// Precision and recall class by class, their means over classes.
    ClassPrecisionRecall,
    /// Kernel distance.
    Kid,
    /// Frechet distance extrapolated to infinitely many samples.
    FidInfinity,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Fid,
        Self::Sfid,
        Self::InceptionScore,
        Self::PrecisionRecall,
        Self::DensityCoverage,
        Self::ClassPrecisionRecall,
        Self::Kid,
        Self::FidInfinity,
    ];

    /// As it is asked for.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fid => "fid",
            Self::Sfid => "sfid",
            Self::InceptionScore => "is",
            Self::PrecisionRecall => "pr",
            Self::DensityCoverage => "dc",
            Self::ClassPrecisionRecall => "class-pr",
            Self::Kid => "kid",
            Self::FidInfinity => "fid-inf",
        }
    }

    /// What it needs of the reference and of the samples.
    pub const fn needs(self) -> [Needs; 2] {
        let none = Needs { spatial: false, logits: false, rows: false, labels: false };
        let rows = Needs { rows: true, ..none };
        match self {
            Self::Fid => [none, none],
            Self::Sfid => [Needs { spatial: true, ..none }, Needs { spatial: true, ..none }],
            Self::InceptionScore => [none, Needs { logits: true, ..none }],
            Self::PrecisionRecall | Self::DensityCoverage | Self::Kid => [rows, rows],
            Self::ClassPrecisionRecall => {
                let labels = Needs { labels: true, ..rows };
                [labels, labels]
            }
            Self::FidInfinity => [none, rows],
        }
    }
}

/// What a metric needs of a set besides mean and covariance of its pool features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Spatial features.
    pub spatial: bool,
    /// Logits.
    pub logits: bool,
    /// The features of each image.
    pub rows: bool,
    /// The class of each image.
    pub labels: bool,
}

impl Needs {
    /// What to keep of the features of the reference and of the samples for some metrics.
    pub fn keep(metrics: &[Metric], splits: Splits) -> [Keep; 2] {
        [0, 1].map(|side| {
            let any = |what: fn(&Self) -> bool| metrics.iter().any(|m| what(&m.needs()[side]));
            Keep {
                spatial: any(|needs| needs.spatial),
                score: any(|needs| needs.logits).then_some(splits),
                rows: any(|needs| needs.rows),
            }
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        let found = Self::ALL.into_iter().find(|metric| metric.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            EvalError::input("metric", format!("{text:?}"), format!("one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;

    #[test]
    fn names_read_back_and_others_are_refused_with_the_list() {
        for metric in Metric::ALL {
            assert_eq!(metric.name().parse::<Metric>().unwrap(), metric);
        }
        let error = "FID".parse::<Metric>().unwrap_err().to_string();
        assert!(error.contains("\"FID\"") && error.contains("fid, sfid, is, pr"), "{error}");
    }

    #[test]
    fn only_what_a_metric_needs_is_kept() {
        let splits = Splits::Chunks(NonZeroUsize::MIN);
        let keep = |metrics: &[Metric]| Needs::keep(metrics, splits);
        let nothing = Keep { spatial: false, score: None, rows: false };
        assert_eq!(keep(&[Metric::Fid]), [nothing, nothing]);
        let score = Keep { score: Some(splits), ..nothing };
        assert_eq!(keep(&[Metric::Fid, Metric::InceptionScore]), [nothing, score]);
        let rows = Keep { rows: true, ..nothing };
        assert_eq!(keep(&[Metric::FidInfinity]), [nothing, rows]);
        let both = Keep { spatial: true, ..rows };
        assert_eq!(keep(&[Metric::Sfid, Metric::Kid]), [both, both]);
    }
}
