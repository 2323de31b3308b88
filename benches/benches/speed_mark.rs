//! DiS-S/2 against eager PyTorch, taking turns in one run; medians and ratios.
//!
//! 32x32x3, width 384, batch 8, f32, as many threads on both sides. The eager peers are the published
//! style (`indexed`) and its linear-time repair (`unbind`). A whole eager training step needs over
//! 20 GB, so the peer trains one block and counts it 25 times; that leaves out its head, embeddings
//! and optimiser, which ours includes.

use anyhow::Result;
use benches::{Peer, Workload, median};
use dis_model::{DisConfig, DisPreset};
use ssm_kernels::InstructionSet;
use ssm_kernels::ceilings::Ceilings;
use std::io::Write;
use std::time::{Duration, Instant};

const BATCH: usize = 8;
const ROUNDS: usize = 7;
/// Lets the other side's worker threads stop spinning.
const PAUSE: Duration = Duration::from_millis(50);

struct Mark {
    ours: fn(&mut Workload) -> Result<()>,
    name: &'static str,
    peers: &'static [(&'static str, &'static str, f64)],
    flop_factor: f64,
}

const MARKS: [Mark; 2] = [
    Mark {
        ours: Workload::forward,
        name: "forward",
        peers: &[
            ("published style, eager", "model/dis-indexed/forward", 4.0),
            ("unbind, eager", "model/dis-unbind/forward", 0.0),
            ("DiT-S/2, eager", "model/dit/forward", 0.0),
        ],
        flop_factor: 1.0,
    },
    Mark {
        ours: Workload::train_step,
        name: "training step",
        peers: &[
            ("unbind, eager, 25 blocks", "block/unbind/train", 3.0),
            ("DiT-S/2, eager", "model/dit/train", 0.0),
        ],
        flop_factor: 3.0,
    },
];

fn main() -> Result<()> {
    let mut out = std::io::stdout().lock();
    let ceilings = Ceilings::measure();
    writeln!(
        out,
        "\nspeed mark: DiS-S/2 (384 wide), 32x32x3, batch {BATCH}, f32, {} threads, {}",
        ceilings.threads,
        InstructionSet::current().name()
    )?;
    writeln!(
        out,
        "ceilings: {:.0} GFLOP/s multiply-add, {:.1} G exp/s, {:.1} GB/s copy",
        ceilings.flops * 1e-9,
        ceilings.exps * 1e-9,
        ceilings.copy_bytes * 1e-9
    )?;
    let mut workload =
        Workload::new(DisConfig::official(DisPreset::S384, 32, 3, 2, 0), BATCH, true)?;
    let mut peer = Peer::start(BATCH)?;
    if peer.is_none() {
        writeln!(
            out,
            "no PyTorch to compare with; to add it:\n  python3 -m venv .venv-peers && \
             .venv-peers/bin/pip install -r benches/peers/requirements.txt"
        )?;
    }
    for mark in &MARKS {
        run(mark, &mut workload, peer.as_mut(), &ceilings, &mut out)?;
    }
    Ok(())
}

fn run(
    mark: &Mark,
    workload: &mut Workload,
    mut peer: Option<&mut Peer>,
    ceilings: &Ceilings,
    out: &mut impl Write,
) -> Result<()> {
    (mark.ours)(workload)?;
    let mut ours = Vec::new();
    let mut theirs = vec![Vec::new(); mark.peers.len()];
    for _ in 0..ROUNDS {
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        (mark.ours)(workload)?;
        ours.push(start.elapsed().as_secs_f64());
        if let Some(peer) = peer.as_deref_mut() {
            for (times, (_, case, _)) in theirs.iter_mut().zip(mark.peers) {
                std::thread::sleep(PAUSE);
                times.push(peer.seconds(case)?);
            }
        }
    }
    let seconds = median(&ours);
    let rate = mark.flop_factor * workload.gemm_flops() / seconds;
    writeln!(
        out,
        "{:<14} ours {:8.1} ms  {:6.2} img/s  {:5.0} GFLOP/s ({:.0} % of peak)",
        mark.name,
        seconds * 1e3,
        BATCH as f64 / seconds,
        rate * 1e-9,
        100.0 * rate / ceilings.flops
    )?;
    for ((name, _, bar), times) in mark.peers.iter().zip(&theirs).filter(|(_, t)| !t.is_empty()) {
        let theirs = median(times);
        let goal = if *bar > 0.0 { format!("  (mark: {bar:.0}x)") } else { String::new() };
        writeln!(
            out,
            "{:<14} {name:<26} {:8.1} ms  {:5.2}x{goal}",
            "",
            theirs * 1e3,
            theirs / seconds
        )?;
    }
    Ok(())
}
