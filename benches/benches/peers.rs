//! Our operators and networks against PyTorch and against the machine, taking turns in one run.
//!
//! 32x32x3, width 384, batch 8, f32, as many threads on both sides, and PyTorch with an allocator
//! that keeps its memory. The eager peers are the published style (`indexed`) and its linear-time
//! repair (`unbind`). A whole eager training step needs over 20 GB, so the peer trains one block and
//! counts it 25 times; that leaves out its head, embeddings and optimiser, which ours includes.

use anyhow::{Context, Result, ensure};
use benches::{
    BATCH, Conv, Figure, Line, Mark, Norm, Options, Part, Pass, Peer, Product, Report, Request,
    Scan, Timing, Turns, autoencoder, bytes, commit, load, processor, quickstart, random, s384,
};
use dis_model::{DisConfig, counts};
use eval::inception::weights::random as random_inception;
use eval::inception::{InceptionFeatures, Protocol};
use eval::{FeatureBatch, FeatureNetwork, ImageBatch};
use ssm_kernels::ceilings::Ceilings;
use ssm_kernels::{Cpu, InstructionSet, Reference};
use std::io::Write;
use std::process::{Command, ExitCode};
use trainer::usage;
use trainer::workload::Workload;
use vae::{Extent, VaeConfig};

/// Load a processor above which a machine is not quiet.
const QUIET_LOAD: f64 = 0.3;

/// One run.
struct Run {
    options: Options,
    ceilings: Ceilings,
    peer: Option<Peer>,
    report: Report,
}

/// A case of the peer that one of ours is compared with.
struct Rival {
    /// Which of ours.
    ours: usize,
    name: &'static str,
    case: &'static str,
    mark: Option<Mark>,
}

fn rival(ours: usize, name: &'static str, case: &'static str, mark: Option<Mark>) -> Rival {
    Rival { ours, name, case, mark }
}

fn mark(least: f64, goal: f64) -> Option<Mark> {
    Some(Mark { least, goal })
}

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let result = Request::parse(std::env::args().skip(1)).and_then(|request| match request {
        // On a thread of the pool, so that single operators are measured as inside a network.
        Request::Run(options) => rayon::scope(|_| run(options)),
        Request::Help(help) => Ok(out.write_all(help.as_bytes())?),
        Request::PeakMemory => print_peak_memory(&mut out),
        Request::Nothing => Ok(()),
    });
    // Returning the error itself would add a backtrace where those are switched on.
    let Err(error) = result else { return ExitCode::SUCCESS };
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}

fn run(options: Options) -> Result<()> {
    check()?;
    let ceilings = Ceilings::measure();
    let mut about = about(&ceilings);
    let peer = match Peer::start(BATCH) {
        Ok(peer) => Some(peer),
        Err(why) if Peer::is_chosen() => return Err(why),
        Err(why) => {
            about.push(format!("Without PyTorch: {why:#}; `cargo xtask bench peers` gets it."));
            None
        }
    };
    if let Some(peer) = &peer {
        about.push(format!("PyTorch {}, allocator that keeps memory.", peer.version()));
    }
    let report = Report::new(std::io::stdout(), &about)?;
    let mut run = Run { options, ceilings, peer, report };
    run.record()?;
    for part in run.options.parts.clone() {
        match part {
            Part::Products => run.products()?,
            Part::Scan => run.scan()?,
            Part::Network => run.network()?,
            Part::Sizes => run.sizes()?,
            Part::Memory => run.memory()?,
            Part::Autoencoder => run.autoencoder()?,
            Part::Images => run.images()?,
            Part::Inception => run.inception()?,
        }
        run.record()?;
    }
    Ok(())
}

/// Machine, build and ceilings.
fn about(c: &Ceilings) -> Vec<String> {
    let (set, threads) = (InstructionSet::current().name(), c.threads);
    let mut about = vec![
        format!("`cargo xtask bench peers` at {}: batch {BATCH}, f32.", commit()),
        format!("{}, {threads} threads, {set}.", processor()),
        format!(
            "Ceilings: {:.0} GFLOP/s multiply-add, {:.1} G exp/s, {:.1} GB/s copy.",
            c.flops / 1e9,
            c.exps / 1e9,
            c.copy_bytes / 1e9
        ),
    ];
    if let Some(load) = load() {
        let busy = if load > QUIET_LOAD * threads as f64 { ": busy" } else { "" };
        about.push(format!("Load at the start {load:.1}{busy}."));
    }
    about
}

/// Nothing is timed that was not checked: a small network against the definition of its operators.
fn check() -> Result<()> {
    let tiny = DisConfig { hidden_size: 32, depth: 2, ..s384(8, 4) };
    let mut ours = Workload::<Cpu>::for_training(tiny.clone(), 2)?;
    let mut definition = Workload::<Reference<f32>>::for_training(tiny, 2)?;
    let output = parity::max_relative_error(ours.forward()?, definition.forward()?);
    let gradient = parity::max_relative_error(ours.train_step()?, definition.train_step()?);
    ensure!(output < 1e-4 && gradient < 1e-4, "wrong: output {output:e}, gradient {gradient:e}");
    let tiny = VaeConfig { block_out_channels: vec![32, 64], ..VaeConfig::stable_diffusion() };
    let (latents, extent) = (random(0, 4 * 8 * 8), Extent { height: 8, width: 8 });
    let ours = autoencoder(Cpu, &tiny)?.decode(&latents, extent)?;
    let definition = autoencoder(Reference::<f32>::default(), &tiny)?.decode(&latents, extent)?;
    let image = parity::max_relative_error(&ours, &definition);
    ensure!(image < 1e-4, "wrong: image of the autoencoder {image:e}");
    Ok(())
}

impl Run {
    /// Writes what there is, so that a run cut short leaves its results.
    fn record(&self) -> Result<()> {
        let Some(file) = &self.options.record else { return Ok(()) };
        let name = file.file_stem().unwrap_or_default().display();
        let text = format!("# {name}\n\n{}", self.report.markdown());
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Times `n_ours` cases of ours and their rivals in turns.
    fn take_turns(
        &mut self,
        n_ours: usize,
        ours: &mut dyn FnMut(usize) -> Result<()>,
        rivals: &[Rival],
    ) -> Result<(Vec<Timing>, Vec<Timing>)> {
        let theirs: Vec<_> = rivals.iter().map(|rival| rival.case).collect();
        let rounds = self.options.rounds;
        Turns { rounds, n_ours, ours, theirs: &theirs }.take(self.peer.as_mut())
    }

    /// One line for every rival that ran.
    fn compare(
        &mut self,
        titles: &[&str],
        ours: &[Timing],
        rivals: &[Rival],
        theirs: &[Timing],
    ) -> Result<()> {
        for (rival, peer) in rivals.iter().zip(theirs) {
            let mine = &ours[rival.ours];
            self.report.add(&Line {
                case: format!("{} / {}", titles[rival.ours], rival.name),
                ours: mine.to_string(),
                peer: peer.to_string(),
                result: Some(Figure::Times(peer.median() / mine.median())),
                mark: rival.mark,
            })?;
        }
        Ok(())
    }

    /// A rate of FLOPs as a share of the multiply-add ceiling.
    fn share(&mut self, case: String, flops: f64, seconds: f64, mark: Option<Mark>) -> Result<()> {
        let rate = flops / seconds;
        Ok(self.report.add(&Line {
            case,
            ours: format!("{:.1} GFLOP/s", rate / 1e9),
            result: Some(Figure::Share(rate / self.ceilings.flops)),
            mark,
            ..Line::default()
        })?)
    }

    fn products(&mut self) -> Result<()> {
        let mut products = Product::all();
        let passes = Pass::ALL.len();
        let cases = products.len() * passes;
        let mut ours = |case: usize| Ok(products[case / passes].run(Pass::ALL[case % passes])?);
        let (timings, _) = self.take_turns(cases, &mut ours, &[])?;
        // FLOPs and seconds of all products of a value pass, and of a training step.
        let mut sums = [(0.0, 0.0); 2];
        for (case, timing) in timings.iter().enumerate() {
            let (product, pass) = (&products[case / passes], Pass::ALL[case % passes]);
            let title = format!("{} {}, {}", product.name, pass.name(), product.shape(pass));
            self.share(title, product.flops(), timing.median(), None)?;
            let counted = if pass == Pass::Value { &mut sums[..] } else { &mut sums[1..] };
            for (flops, seconds) in counted {
                *flops += product.times as f64 * product.flops();
                *seconds += product.times as f64 * timing.median();
            }
        }
        let bar = mark(0.75, 0.85);
        for ((flops, seconds), what) in sums.into_iter().zip(["forward", "training"]) {
            self.share(format!("products of the blocks, {what}"), flops, seconds, bar)?;
        }
        Ok(())
    }

    fn scan(&mut self) -> Result<()> {
        let mut scan = Scan::new();
        let mut ours = |case: usize| match case {
            0 => Ok(scan.forward()?),
            _ => Ok(scan.forward_keeping().and_then(|()| scan.backward())?),
        };
        let mut rivals = vec![
            rival(0, "unbind, eager", "scan/unbind/forward", mark(28.0, 45.0)),
            rival(1, "unbind, eager", "scan/unbind/train", None),
        ];
        if self.options.compiled {
            // Token-major strides are what occurs in a block, and the faster layout of the two.
            let strided = "compiled, strided";
            let plain = "compiled";
            rivals.extend([
                rival(0, plain, "scan/unbind-compiled/forward", None),
                rival(0, strided, "scan/unbind-compiled-strided/forward", mark(8.0, 15.0)),
                rival(1, plain, "scan/unbind-compiled/train", None),
                rival(1, strided, "scan/unbind-compiled-strided/train", mark(14.0, 20.0)),
            ]);
        }
        let (timings, peers) = self.take_turns(2, &mut ours, &rivals)?;
        let titles = ["scan fwd", "scan fwd+bwd"];
        self.times(&titles, &timings)?;
        self.compare(&titles, &timings, &rivals, &peers)
    }

    /// Our own times, which stand alone where there is no peer.
    fn times(&mut self, titles: &[&str], timings: &[Timing]) -> Result<()> {
        for (title, timing) in titles.iter().zip(timings) {
            let case = (*title).to_string();
            self.report.add(&Line { case, ours: timing.to_string(), ..Line::default() })?;
        }
        Ok(())
    }

    fn network(&mut self) -> Result<()> {
        let mut workload = Workload::<Cpu>::for_training(s384(32, 0), BATCH)?;
        let flops = workload.gemm_flops();
        let mut ours = |case: usize| match case {
            0 => Ok(workload.forward().map(drop)?),
            _ => Ok(workload.train_step().map(drop)?),
        };
        let rivals = [
            rival(0, "published, eager", "model/dis-indexed/forward", mark(7.0, 10.0)),
            rival(0, "unbind, eager", "model/dis-unbind/forward", None),
            rival(0, "DiT-S/2, eager", "model/dit/forward", mark(1.1, 1.3)),
            rival(1, "unbind, 25 blocks", "block/unbind/train", mark(5.5, 7.0)),
            rival(1, "DiT-S/2, eager", "model/dit/train", mark(1.0, 1.2)),
        ];
        let (timings, peers) = self.take_turns(2, &mut ours, &rivals)?;
        let faults = faults_of(&mut || Ok(workload.train_step().map(drop)?))?;
        let titles = ["DiS-S/2 fwd", "DiS-S/2 training"];
        self.times(&titles, &timings)?;
        self.compare(&titles, &timings, &rivals, &peers)?;
        let bars = [mark(0.40, 0.48), mark(0.36, 0.42)];
        for ((title, timing), (bar, passes)) in
            titles.iter().zip(&timings).zip(bars.into_iter().zip([1.0, 3.0]))
        {
            self.share(format!("{title}, products"), passes * flops, timing.median(), bar)?;
        }
        if let Some(faults) = faults {
            let case = "page faults of a training step".into();
            self.report.add(&Line { case, ours: faults.to_string(), ..Line::default() })?;
        }
        Ok(())
    }

    /// A small network, and the cost of more tokens.
    fn sizes(&mut self) -> Result<()> {
        let mut small = Workload::<Cpu>::for_training(quickstart(), 32)?;
        // Tokens of a batch are nearly as many: 8 times 258, twice 1026.
        let mut few = Workload::<Cpu>::for_inference(s384(32, 10), 8)?;
        let mut many = Workload::<Cpu>::for_inference(s384(64, 10), 2)?;
        let mut ours = |case: usize| match case {
            0 => Ok(small.train_step().map(drop)?),
            1 => Ok(few.forward().map(drop)?),
            _ => Ok(many.forward().map(drop)?),
        };
        let (timings, _) = self.take_turns(3, &mut ours, &[])?;
        let titles =
            ["quickstart step, batch 32", "258 tokens fwd, batch 8", "1026 tokens fwd, batch 2"];
        self.times(&titles, &timings)?;
        let [step, few, many] = [0, 1, 2].map(|case| timings[case].median());
        self.report.add(&Line {
            case: "quickstart, steps a second".into(),
            result: Some(Figure::PerSecond(1.0 / step)),
            mark: mark(12.0, 18.0),
            ..Line::default()
        })?;
        Ok(self.report.add(&Line {
            case: "cost of an image, 1026 over 258 tokens".into(),
            result: Some(Figure::Growth((many / 2.0) / (few / 8.0))),
            mark: mark(4.3, 4.05),
            ..Line::default()
        })?)
    }

    /// One image of 256x256 pixels, both ways.
    fn autoencoder(&mut self) -> Result<()> {
        let mut network = autoencoder(Cpu, &VaeConfig::stable_diffusion())?;
        let (images, latents) = (random(1, 3 * 256 * 256), random(2, 4 * 32 * 32));
        let [image, latent] = [256, 32].map(|side| Extent { height: side, width: side });
        let mut ours = |case: usize| match case {
            0 => Ok(network.encode(&images, image).map(drop)?),
            _ => Ok(network.decode(&latents, latent).map(drop)?),
        };
        let (plain, last) = ("diffusers", "diffusers, channels last");
        let bar = mark(1.2, 1.5);
        let rivals = [
            rival(0, plain, "autoencoder/encode/forward", bar),
            rival(0, last, "autoencoder/encode-channels_last/forward", bar),
            rival(1, plain, "autoencoder/decode/forward", bar),
            rival(1, last, "autoencoder/decode-channels_last/forward", bar),
        ];
        let (timings, peers) = self.take_turns(2, &mut ours, &rivals)?;
        let titles = ["encode 256 px", "decode 256 px"];
        self.times(&titles, &timings)?;
        self.compare(&titles, &timings, &rivals, &peers)
    }

    /// Features of a batch of images by the protocol of pytorch-fid, from the resize on.
    fn inception(&mut self) -> Result<()> {
        let mut network = InceptionFeatures::new(Cpu, Protocol::PytorchFid, random_inception(0))?;
        let sides = [32, 256];
        let pixels = sides.map(|side| bytes(BATCH * side * side * 3));
        let mut features = |case: usize| -> Result<FeatureBatch> {
            let images = ImageBatch::new(&pixels[case], sides[case], sides[case])?;
            Ok(network.features(images)?)
        };
        let bar = mark(1.2, 1.5);
        let rivals = [
            rival(0, "eager", "inception/32/forward", bar),
            rival(0, "eager, channels last", "inception/32-channels_last/forward", bar),
            rival(1, "eager", "inception/256/forward", bar),
            rival(1, "eager, channels last", "inception/256-channels_last/forward", bar),
        ];
        if let Some(peer) = &mut self.peer {
            for rival in &rivals {
                let theirs = peer.values(rival.case)?;
                let error = parity::max_relative_error(&features(rival.ours)?.pool, &theirs);
                ensure!(error < 1e-5, "wrong: {} differs by {error:e}", rival.case);
            }
        }
        let mut ours = |case: usize| features(case).map(drop);
        let (timings, peers) = self.take_turns(2, &mut ours, &rivals)?;
        let titles = ["features of 32 px", "features of 256 px"];
        self.times(&titles, &timings)?;
        self.compare(&titles, &timings, &rivals, &peers)
    }

    /// Convolutions and norms of the autoencoder, one image, and convolutions of Inception, eight; the
    /// peer has the layout that suits it.
    fn images(&mut self) -> Result<()> {
        let (mut convs, mut norms) = (Conv::all()?, Norm::all());
        let titles: Vec<_> =
            convs.iter().map(|c| c.name).chain(norms.iter().map(|n| n.name)).collect();
        let flops: Vec<_> = convs.iter().map(Conv::flops).collect();
        let peers = convs.iter().map(|c| c.peer).chain(norms.iter().map(|n| n.peer));
        let rivals: Vec<_> =
            peers.enumerate().map(|(i, case)| rival(i, "eager", case, mark(1.2, 1.5))).collect();
        let mut ours = |case: usize| match case.checked_sub(flops.len()) {
            None => Ok(convs[case].run()?),
            Some(norm) => Ok(norms[norm].run()?),
        };
        let (timings, peers) = self.take_turns(titles.len(), &mut ours, &rivals)?;
        self.compare(&titles, &timings, &rivals, &peers)?;
        for ((title, timing), flops) in titles.iter().zip(&timings).zip(flops) {
            self.share((*title).into(), flops, timing.median(), None)?;
        }
        Ok(())
    }

    /// In a process of its own, because a peak is that of a whole process.
    fn memory(&mut self) -> Result<()> {
        let child = Command::new(std::env::current_exe()?).arg("--peak-memory").output()?;
        ensure!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        let Ok(peak) = String::from_utf8_lossy(&child.stdout).trim().parse::<f64>() else {
            return Ok(());
        };
        // Weights, gradients, two moments, the average.
        let state = 20.0 * counts::parameters(&s384(32, 0)) as f64;
        Ok(self.report.add(&Line {
            case: format!("activations of training, batch {BATCH}"),
            ours: format!("peak {:.2} GB", peak / 1e9),
            result: Some(Figure::Bytes(peak - state)),
            mark: mark(2.0e9, 1.2e9),
            ..Line::default()
        })?)
    }
}

/// Bytes that training steps add to the process, or nothing where the system does not say.
fn print_peak_memory(mut out: impl Write) -> Result<()> {
    let before = usage::peak_memory();
    let mut workload = Workload::<Cpu>::for_training(s384(32, 0), BATCH)?;
    for _ in 0..2 {
        workload.train_step()?;
    }
    if let Some((before, after)) = before.zip(usage::peak_memory()) {
        writeln!(out, "{}", after - before)?;
    }
    Ok(())
}

/// Minor page faults of one call.
fn faults_of(call: &mut dyn FnMut() -> Result<()>) -> Result<Option<u64>> {
    let before = usage::minor_faults();
    call()?;
    Ok(usage::minor_faults().zip(before).map(|(after, before)| after - before))
}
