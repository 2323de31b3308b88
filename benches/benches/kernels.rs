//! Every kernel on an NVIDIA GPU at fixed shapes, against the GPU's own ceilings.
//!
//! Between two timed calls a large buffer is read, so that no operand of the next is in the cache and
//! the host is ahead of the GPU.

use anyhow::{Context, Result, ensure};
use benches::kernels::{
    About, BRANCHES, BlockCosts, BlockShape, Case, Ceilings, Cost, IMAGES, KernelOptions,
    KernelRecord, KernelRequest, LAYERS, Lab, Measured, Network, PARAMETERS, SAMPLING, TRAINING,
    arena_cases, block_cases, branch_cases, device_copy, driver_version, exp_ceiling, format_name,
    forward_call, gpu_state, image_cases, layer_cases, sampling_cases, square_product,
    training_call,
};
use benches::{commit, date, s384};
use dis_model::counts;
use ssm_kernels::device::cuda::{Cuda, Facts};
use ssm_kernels::device::{Activation, Device, DeviceBuffer, Driver, Format, bf16};
use ssm_kernels::sum_squares::device::sum_squares;
use ssm_kernels::{Backend, KernelError, Storage};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use trainer::Compute;
use trainer::workload::median;

/// What is read between two calls, in caches.
const CACHES: usize = 4;
/// Of the copy whose rate is the ceiling.
const COPY_BYTES: usize = 1 << 30;
/// Rows, terms and columns of the product whose rate is the ceiling.
const LARGE: usize = 8192;

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let result = KernelRequest::parse(std::env::args().skip(1)).and_then(|request| match request {
        KernelRequest::Run(options) => run(options),
        KernelRequest::Probe(gpu) => {
            let gpu = Cuda::open(gpu)?;
            Ok(writeln!(out, "{}: {} processors", gpu.name(), gpu.processors())?)
        }
        KernelRequest::Help(help) => Ok(out.write_all(help.as_bytes())?),
        KernelRequest::Nothing => Ok(()),
    });
    // Returning the error itself would add a backtrace where those are switched on.
    let Err(error) = result else { return ExitCode::SUCCESS };
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}

fn run(options: KernelOptions) -> Result<()> {
    let gpu = Arc::new(Cuda::open(options.gpu)?);
    let facts = gpu.facts()?;
    let about = about(&gpu, &facts, &options);
    show(&about.lines())?;
    let flush = Flush::new(&gpu, CACHES * facts.cache)?;
    let mut run = Run { options, gpu, facts, flush, record: KernelRecord::new(about) };
    run.format::<bf16>()?;
    run.format::<f32>()?;
    run.record.about.states.extend(gpu_state(run.options.gpu));
    run.save()?;
    let failures = run.record.failures();
    ensure!(failures == 0, "{failures} cases could not be timed; the table says why");
    Ok(())
}

fn about(gpu: &Cuda, facts: &Facts, options: &KernelOptions) -> About {
    About {
        date: date(),
        commit: options.commit.clone().unwrap_or_else(commit),
        gpu: gpu.name().into(),
        capability: gpu.capability(),
        driver: driver_version(),
        release: facts.release,
        processors: gpu.processors(),
        clock: facts.clock,
        memory_clock: facts.memory_clock,
        cache: facts.cache,
        calls: options.calls,
        states: gpu_state(options.gpu).into_iter().collect(),
    }
}

fn show(lines: &[String]) -> Result<()> {
    let mut out = std::io::stdout();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Fills the cache with something else.
struct Flush {
    device: Device<f32, Cuda>,
    buffer: DeviceBuffer<f32, Cuda>,
    sum: DeviceBuffer<f64, Cuda>,
}

impl Flush {
    fn new(gpu: &Arc<Cuda>, bytes: usize) -> Result<Self> {
        let device = Device::new(gpu.clone());
        let (buffer, sum) = (device.zeros(bytes / size_of::<f32>())?, device.zeros(1)?);
        Ok(Self { device, buffer, sum })
    }

    /// Reads, because what a write left in the cache would have to be written back meanwhile.
    fn run(&mut self) -> Result<(), KernelError> {
        sum_squares(&self.device, self.buffer.view(), self.sum.view_mut())
    }
}

/// One run.
struct Run {
    options: KernelOptions,
    gpu: Arc<Cuda>,
    facts: Facts,
    flush: Flush,
    record: KernelRecord,
}

impl Run {
    fn save(&self) -> Result<()> {
        let Some(file) = &self.options.json else { return Ok(()) };
        let text = serde_json::to_string_pretty(&self.record.json())? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Everything with activations in `A`.
    fn format<A: Activation>(&mut self) -> Result<()> {
        let lab = Lab::<A, Cuda>::new(Device::new(self.gpu.clone()));
        let format = format_name(A::FORMAT);
        let ceilings = self.ceilings(&lab)?;
        let words = self.record.compare_with(format, ceilings);
        show(&[String::new(), words, KernelRecord::header()])?;
        let mut cases: Vec<Case> = TRAINING.iter().flat_map(|&s| block_cases(&lab, s)).collect();
        cases.extend(SAMPLING.iter().flat_map(|&s| sampling_cases(&lab, s)));
        cases.extend(PARAMETERS.iter().flat_map(|&n| arena_cases(&lab, n)));
        cases.extend(LAYERS.iter().flat_map(|&layer| layer_cases(&lab, layer)));
        cases.extend(BRANCHES.iter().flat_map(|&branch| branch_cases(&lab, branch)));
        if A::FORMAT == Format::F32 {
            cases.extend(IMAGES.iter().flat_map(|&shape| image_cases(&lab, shape)));
        }
        for case in cases {
            if self.options.wants(&case.operator) {
                self.case(case, &ceilings)?;
            }
        }
        self.networks::<A>(&ceilings)
    }

    /// What memory, exp units and products can do at most.
    fn ceilings<A: Activation>(&mut self, lab: &Lab<A, Cuda>) -> Result<Ceilings> {
        let rate = |run: &mut Self, case: Case, of: fn(&Cost) -> f64| -> Result<f64> {
            let cost = case.cost;
            Ok(of(&cost) / median(&run.time(case)?))
        };
        Ok(Ceilings {
            bytes: rate(self, device_copy(lab, COPY_BYTES), |cost| cost.bytes)?,
            exps: exp_ceiling(self.gpu.processors(), self.facts.clock),
            flops: rate(self, square_product(lab, LARGE), |cost| cost.flops)?,
        })
    }

    fn time(&mut self, case: Case) -> Result<Vec<f64>, KernelError> {
        let mut call = case.make()?;
        let flush = &mut self.flush;
        self.gpu.time_after(self.options.calls, || flush.run(), &mut call)
    }

    fn case(&mut self, case: Case, ceilings: &Ceilings) -> Result<()> {
        let (operator, shape) = (case.operator.clone(), case.shape.clone());
        let (format, cost) = (case.format, case.cost);
        let times = self.time(case).map_err(|error| error.to_string());
        let floor = cost.floor(ceilings);
        self.add(Measured { operator, shape, format, cost, floor, images: None, times }, ceilings)
    }

    fn add(&mut self, case: Measured, ceilings: &Ceilings) -> Result<()> {
        let line = self.record.add(case, ceilings);
        show(&[line])?;
        // A run cut short leaves its results.
        self.save()
    }

    /// DiS-S/2 of the paper's width: training and value pass of a batch, value pass of few images.
    fn networks<A: Activation>(&mut self, ceilings: &Ceilings) -> Result<()> {
        let [training, ..] = TRAINING;
        if self.options.wants("network training step") {
            self.training_step(training, A::FORMAT, ceilings)?;
        }
        if self.options.wants("network forward") {
            for shape in std::iter::once(training).chain(SAMPLING) {
                self.forward::<A>(shape, ceilings)?;
            }
        }
        Ok(())
    }

    fn training_step(
        &mut self,
        shape: BlockShape,
        format: Format,
        ceilings: &Ceilings,
    ) -> Result<()> {
        let network = Network { config: s384(32, 0), batch: shape.batch };
        let (blocks, skips) = blocks_of(&network);
        let parameters = counts::parameters(&network.config) as usize;
        let floor = costs(shape, format).training_floor(blocks, skips, parameters, ceilings);
        let compute = Compute::Cuda { gpu: self.gpu.clone(), format };
        let times = training_call(&compute, &network)
            .and_then(|call| self.gpu.time(self.options.calls, call));
        self.network("network training step", shape, format, floor, times, ceilings)
    }

    fn forward<A: Activation>(&mut self, shape: BlockShape, ceilings: &Ceilings) -> Result<()> {
        let network = Network { config: s384(32, 0), batch: shape.batch };
        let (blocks, skips) = blocks_of(&network);
        let floor = costs(shape, A::FORMAT).forward_floor(blocks, skips, ceilings);
        let device = Device::<A, Cuda>::new(self.gpu.clone());
        let times =
            forward_call(device, &network).and_then(|call| self.gpu.time(self.options.calls, call));
        self.network("network forward", shape, A::FORMAT, floor, times, ceilings)
    }

    fn network(
        &mut self,
        operator: &str,
        shape: BlockShape,
        format: Format,
        floor: f64,
        times: Result<Vec<f64>, KernelError>,
        ceilings: &Ceilings,
    ) -> Result<()> {
        let case = Measured {
            operator: operator.into(),
            shape: format!("{} batch {}", shape.name, shape.batch),
            format: format_name(format),
            cost: Cost::default(),
            floor,
            images: Some(shape.batch),
            times: times.map_err(|error| error.to_string()),
        };
        self.add(case, ceilings)
    }
}

fn costs(shape: BlockShape, format: Format) -> BlockCosts {
    let act = match format {
        Format::F32 => 4,
        Format::Bf16 => 2,
    };
    BlockCosts { shape, act }
}

/// Blocks, and those with a skip connection.
fn blocks_of(network: &Network) -> (usize, usize) {
    (network.config.n_blocks(), network.config.n_in_blocks())
}
