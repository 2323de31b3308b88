//! Objectives of every kind, each with another density, weighting or term.

use diffusion::{
    FlowPath, NoiseSchedule, Objective, ObjectiveKind, ObjectiveOptions, Process, TimestepDensity,
    Weighting,
};

pub(crate) fn cases() -> Vec<(&'static str, Objective)> {
    let plain = ObjectiveOptions::default();
    let schedule = |timesteps| Process::Discrete(NoiseSchedule::linear(timesteps).unwrap());
    let flow = |path| Process::Flow { path, time_scale: 1000.0 };
    let zero = NoiseSchedule::linear(1000).unwrap().with_zero_terminal_snr();
    let linear = ObjectiveKind::Flow(FlowPath::Linear);
    let density = |text: &str| text.parse::<TimestepDensity>().unwrap();
    let weighting = |text: &str| text.parse::<Weighting>().unwrap();
    let cases = [
        ("eps, mode, min-SNR", ObjectiveKind::Eps, schedule(1000), {
            ObjectiveOptions {
                density: density("mode(1)"),
                weighting: weighting("min_snr(5)"),
                ..plain
            }
        }),
        ("x0, min-SNR", ObjectiveKind::X0, schedule(1000), {
            ObjectiveOptions { weighting: weighting("min_snr(1)"), ..plain }
        }),
        ("hybrid, min-SNR", ObjectiveKind::EpsHybrid, schedule(1000), {
            ObjectiveOptions { weighting: weighting("min_snr(5)"), ..plain }
        }),
        ("v, zero SNR, direction", ObjectiveKind::V, Process::Discrete(zero), {
            ObjectiveOptions { cosine_direction: 0.5, ..plain }
        }),
        // Few timesteps, so that each soon has its ten losses.
        ("v, loss-aware", ObjectiveKind::V, schedule(21), {
            ObjectiveOptions { density: TimestepDensity::LossAware, ..plain }
        }),
        ("flow, logit-normal, direction", linear, flow(FlowPath::Linear), {
            let density = density("logit_normal(0, 1)");
            ObjectiveOptions { density, cosine_direction: 1.0, ..plain }
        }),
        ("flow gvp, learned", ObjectiveKind::Flow(FlowPath::Gvp), flow(FlowPath::Gvp), {
            ObjectiveOptions { weighting: Weighting::Learned, ..plain }
        }),
        ("EDM", ObjectiveKind::Edm { sigma_data: 0.5 }, Process::edm(0.5), {
            ObjectiveOptions { density: density("lognormal(-1.2, 1.2)"), ..plain }
        }),
    ];
    cases
        .into_iter()
        .map(|(name, kind, process, options)| {
            (name, Objective::on(kind, process, options).unwrap())
        })
        .collect()
}
