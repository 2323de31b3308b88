//! Progress bars and log lines on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Human-readable log lines; `RUST_LOG` chooses the level, `info` by default.
pub(crate) fn install_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
}

/// A bar over `total` of `unit`, from `done` on, with rate and time left; silent where standard
/// error is no terminal.
pub(crate) fn bar(total: u64, done: u64, unit: &str) -> ProgressBar {
    let counts = format!("{{pos}}/{{len}} {unit}  {{per_sec}}");
    let bar = styled(Some(total), &counts);
    bar.set_position(done);
    bar.reset_eta();
    bar
}

/// A bar over the bytes of a file, whose number may become known later.
pub(crate) fn byte_bar(total: Option<u64>) -> ProgressBar {
    styled(total, "{decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}")
}

fn styled(total: Option<u64>, counts: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = format!("{{bar:32}} {counts}  {{elapsed_precise}} < {{eta_precise}}  {{msg}}");
    let bar = ProgressBar::with_draw_target(total, target);
    if let Ok(style) = ProgressStyle::with_template(&style) {
        bar.set_style(style);
    }
    bar
}
