//! The samplers that a configuration names.

use crate::{Process, Spacing};
use serde::{Deserialize, Serialize};

/// The samplers a configuration can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerKind {
    /// Ancestral sampling; what DiS samples with.
    Ddpm,
    /// The implicit sampler, deterministic unless `eta` is above 0. The first order of all others.
    Ddim,
    /// Pseudo-numerical sampling of order 4.
    Pndm,
    /// DPM-Solver multistep of order 2, on predicted noise.
    #[serde(rename = "dpm_2m")]
    Dpm2m,
    /// The same of order 3.
    #[serde(rename = "dpm_3m")]
    Dpm3m,
    /// DPM-Solver++ multistep of order 2, on predicted data.
    #[serde(rename = "dpmpp_2m")]
    DpmPp2m,
    /// The same of order 3.
    #[serde(rename = "dpmpp_3m")]
    DpmPp3m,
    /// DPM-Solver++ of order 2 with steps of two evaluations.
    #[serde(rename = "dpmpp_2s")]
    DpmPp2s,
    /// SDE-DPM-Solver++ multistep of order 2.
    #[serde(rename = "dpmpp_2m_sde")]
    DpmPp2mSde,
    /// The same of order 3.
    #[serde(rename = "dpmpp_3m_sde")]
    DpmPp3mSde,
    /// SDE-DPM-Solver++ with steps of two evaluations.
    #[serde(rename = "dpmpp_sde")]
    DpmPpSde,
    /// DPM-Solver++(2S) with noise after each step.
    #[serde(rename = "dpmpp_2s_a")]
    DpmPp2sAncestral,
    /// UniPC of order 2 with `B2(h)`.
    #[serde(rename = "unipc")]
    UniPc,
    /// UniPC of order 2 with `B1(h)`.
    #[serde(rename = "unipc_bh1")]
    UniPcBh1,
    /// DEIS of order 3.
    Deis,
    /// Linear multistep of order 4.
    Lms,
    /// Euler on the probability flow.
    Euler,
    /// Euler with noise after each step.
    #[serde(rename = "euler_a")]
    EulerAncestral,
    /// Heun on the probability flow, with churn that of EDM.
    Heun,
    /// The midpoint rule on the probability flow; also called `DPM2`, `KDPM2`.
    Midpoint,
    /// Euler and Maruyama on the reverse stochastic equation of a flow.
    EulerMaruyama,
    /// Heun on the same.
    HeunSde,
}

impl SamplerKind {
    /// Every sampler.
    pub const ALL: [Self; 22] = [
        Self::Ddpm,
        Self::Ddim,
        Self::Pndm,
        Self::Dpm2m,
        Self::Dpm3m,
        Self::DpmPp2m,
        Self::DpmPp3m,
        Self::DpmPp2s,
        Self::DpmPp2mSde,
        Self::DpmPp3mSde,
        Self::DpmPpSde,
        Self::DpmPp2sAncestral,
        Self::UniPc,
        Self::UniPcBh1,
        Self::Deis,
        Self::Lms,
        Self::Euler,
        Self::EulerAncestral,
        Self::Heun,
        Self::Midpoint,
        Self::EulerMaruyama,
        Self::HeunSde,
    ];

    /// Name as written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddpm => "ddpm",
            Self::Ddim => "ddim",
            Self::Pndm => "pndm",
            Self::Dpm2m => "dpm_2m",
            Self::Dpm3m => "dpm_3m",
            Self::DpmPp2m => "dpmpp_2m",
            Self::DpmPp3m => "dpmpp_3m",
            Self::DpmPp2s => "dpmpp_2s",
            Self::DpmPp2mSde => "dpmpp_2m_sde",
            Self::DpmPp3mSde => "dpmpp_3m_sde",
            Self::DpmPpSde => "dpmpp_sde",
            Self::DpmPp2sAncestral => "dpmpp_2s_a",
            Self::UniPc => "unipc",
            Self::UniPcBh1 => "unipc_bh1",
            Self::Deis => "deis",
            Self::Lms => "lms",
            Self::Euler => "euler",
            Self::EulerAncestral => "euler_a",
            Self::Heun => "heun",
            Self::Midpoint => "midpoint",
            Self::EulerMaruyama => "euler_maruyama",
            Self::HeunSde => "heun_sde",
        }
    }

    /// Whether a run draws noise after its start, with the usual choices.
    pub fn is_stochastic(self) -> bool {
        matches!(
            self,
            Self::Ddpm
                | Self::DpmPp2mSde
                | Self::DpmPp3mSde
                | Self::DpmPpSde
                | Self::DpmPp2sAncestral
                | Self::EulerAncestral
                | Self::EulerMaruyama
                | Self::HeunSde
        )
    }

    /// The spacing that suits it on a process.
    pub fn usual_spacing(self, process: &Process) -> Spacing {
        match (self, process) {
            // The levels that such networks are trained on evenly, and on a noise schedule those that
            // they know to the last digit.
            (_, Process::Flow { .. })
            | (Self::Ddpm | Self::Ddim | Self::Pndm, Process::Discrete(_)) => Spacing::Uniform,
            (Self::EulerMaruyama | Self::HeunSde, Process::Discrete(_)) => Spacing::Uniform,
            (_, Process::Edm { .. }) => Spacing::Karras { rho: 7.0 },
            (_, Process::Discrete(_)) => Spacing::LogSnr,
        }
    }
}
