//! Which training timesteps a sampler visits.

use crate::DiffusionError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A choice of training timesteps, read from the notation of improved DDPM.
///
/// | text | grid |
/// |---|---|
/// | `full` | every timestep |
/// | `N` | `N` timesteps spread over `0..T`, both ends included |
/// | `a,b,c` | `T` cut into equal blocks, `a` timesteps of the first, `b` of the second, ... |
/// | `ddimN` | `0, r, 2r, ..` with the smallest whole stride `r` that gives `N` of them |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Respacing(Choice);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    Full,
    /// One count for each of the equal blocks: at least one, none of them 0.
    Sections(Vec<usize>),
    Ddim(usize),
}

impl Respacing {
    /// Every timestep.
    pub fn full() -> Self {
        Self(Choice::Full)
    }

    /// `count` timesteps spread over all, the text `count`.
    ///
    /// # Errors
    /// [`DiffusionError::RespacingSyntax`] for 0.
    pub fn evenly(count: usize) -> Result<Self, DiffusionError> {
        count.to_string().parse()
    }

    /// The chosen timesteps of `0..timesteps`: sorted, unique, the first 0.
    ///
    /// # Errors
    /// [`DiffusionError::RespacingTooMany`] or [`DiffusionError::RespacingStride`], both with the
    /// nearest respacing that exists.
    pub fn grid(&self, timesteps: usize) -> Result<Vec<usize>, DiffusionError> {
        match &self.0 {
            Choice::Full => Ok((0..timesteps).collect()),
            Choice::Sections(counts) => self.section_grid(counts, timesteps),
            Choice::Ddim(count) => self.stride_grid(*count, timesteps),
        }
    }

    /// The number of timesteps, where the text is a number.
    pub fn count(&self) -> Option<usize> {
        match &self.0 {
            Choice::Sections(counts) => match counts.as_slice() {
                &[count] => Some(count),
                _ => None,
            },
            Choice::Full | Choice::Ddim(_) => None,
        }
    }

    fn section_grid(
        &self,
        counts: &[usize],
        timesteps: usize,
    ) -> Result<Vec<usize>, DiffusionError> {
        let mut grid = Vec::new();
        let mut start = 0;
        for (block, &asked) in counts.iter().enumerate() {
            let available = block_len(timesteps, counts.len(), block);
            if asked > available {
                return Err(DiffusionError::RespacingTooMany {
                    spec: self.to_string(),
                    timesteps,
                    block: block + 1,
                    asked,
                    available,
                    nearest: nearest_sections(counts, timesteps).to_string(),
                });
            }
            grid.extend(spread(available, asked).map(|offset| start + offset));
            start += available;
        }
        Ok(grid)
    }

    fn stride_grid(&self, count: usize, timesteps: usize) -> Result<Vec<usize>, DiffusionError> {
        match (1..=timesteps).find(|&stride| timesteps.div_ceil(stride) == count) {
            Some(stride) => Ok((0..timesteps).step_by(stride).collect()),
            None => Err(DiffusionError::RespacingStride {
                spec: self.to_string(),
                timesteps,
                nearest: nearest_stride(count, timesteps).to_string(),
            }),
        }
    }
}

/// `count` places in `0..len`, both ends included: a running sum of the stride, rounded half to even.
///
/// The running sum and the rounding both matter: `i·stride` changes 278 of the 1000 grids at
/// `T = 1000`, rounding half away from zero changes 49.
fn spread(len: usize, count: usize) -> impl Iterator<Item = usize> {
    let stride = if count <= 1 { 1.0 } else { (len - 1) as f64 / (count - 1) as f64 };
    (0..count).scan(0.0f64, move |current, _| {
        let place = current.round_ties_even() as usize;
        *current += stride;
        Some(place)
    })
}

/// Length of one of `blocks` nearly equal blocks: the first `T mod k` have one more.
fn block_len(timesteps: usize, blocks: usize, block: usize) -> usize {
    timesteps / blocks + usize::from(block < timesteps % blocks)
}

/// The same counts, each at most what its block has.
fn nearest_sections(counts: &[usize], timesteps: usize) -> Respacing {
    let blocks = counts.len().min(timesteps);
    let fit = |(block, &count): (usize, &usize)| count.min(block_len(timesteps, blocks, block));
    Respacing(Choice::Sections(counts.iter().take(blocks).enumerate().map(fit).collect()))
}

/// The count nearest to `count` that some whole stride gives.
fn nearest_stride(count: usize, timesteps: usize) -> Respacing {
    let counts = (1..=timesteps).map(|stride| timesteps.div_ceil(stride));
    Respacing(Choice::Ddim(counts.min_by_key(|given| given.abs_diff(count)).unwrap_or(1)))
}

impl FromStr for Respacing {
    type Err = DiffusionError;

    /// Reads `full`, `N`, `a,b,c` or `ddimN`.
    ///
    /// # Errors
    /// [`DiffusionError::RespacingSyntax`] with the part that is no whole number above 0.
    fn from_str(spec: &str) -> Result<Self, DiffusionError> {
        let count = |part: &str| match part.trim().parse::<usize>() {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(DiffusionError::RespacingSyntax { spec: spec.into(), part: part.into() }),
        };
        let choice = match spec.strip_prefix("ddim") {
            _ if spec == "full" => Choice::Full,
            Some(number) => Choice::Ddim(count(number)?),
            None => Choice::Sections(spec.split(',').map(count).collect::<Result<_, _>>()?),
        };
        Ok(Self(choice))
    }
}

impl fmt::Display for Respacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Choice::Full => f.write_str("full"),
            Choice::Ddim(count) => write!(f, "ddim{count}"),
            Choice::Sections(counts) => {
                let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
                f.write_str(&counts.join(","))
            }
        }
    }
}

impl TryFrom<String> for Respacing {
    type Error = DiffusionError;

    fn try_from(spec: String) -> Result<Self, DiffusionError> {
        spec.parse()
    }
}

impl From<Respacing> for String {
    fn from(respacing: Respacing) -> Self {
        respacing.to_string()
    }
}
