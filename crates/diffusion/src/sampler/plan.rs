//! A sampler on the grid that suits it.

use super::{
    Churn, DdimSampler, DdpmSampler, Deis, DiffusionForm, DpmForm, DpmMultistep, DpmOptions,
    DpmSde, DpmSdeMethod, DpmSinglestep, EulerAncestral, FinalOrder, FlowSde, FlowSdeOptions,
    LastStep, LmsSampler, OdeEnd, OdeMethod, OdeOptions, OdePath, OdeSampler, PndmSampler, Sampler,
    SamplerKind, SdeMethod, SecondOrder, UniPc, UniPcB,
};
use crate::{
    DiffusionError, DiffusionTable, FlowPath, Grid, NoiseLevel, NoiseSource, ObjectiveKind,
    Process, Real, Respacing, Spacing, VarianceKind,
};

/// A sampler with its choices.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerPlan {
    /// The algorithm.
    pub sampler: SamplerKind,
    /// Levels of the grid. Samplers of two evaluations a step (`dpmpp_sde`, `dpmpp_2s_a`, `heun`,
    /// `midpoint`, `heun_sde`) evaluate nearly twice as often, the others once a level.
    pub steps: Respacing,
    /// How the noise levels are spaced; `None` for [`SamplerKind::usual_spacing`].
    pub spacing: Option<Spacing>,
    /// Stochasticity of DDIM, 0 to 1.
    pub eta: f64,
    /// EDM's `S_churn` of Heun in `s/a`; 0 for none.
    pub churn: f64,
    /// Diffusion of the stochastic flow samplers.
    pub diffusion_form: DiffusionForm,
}

impl SamplerPlan {
    /// A sampler with its usual choices.
    pub fn new(sampler: SamplerKind, steps: Respacing) -> Self {
        let diffusion_form = DiffusionForm::Sigma;
        Self { sampler, steps, spacing: None, eta: 0.0, churn: 0.0, diffusion_form }
    }

    /// Evaluations of the network for an image.
    ///
    /// # Errors
    /// As [`SamplerPlan::start`].
    pub fn evaluations(
        &self,
        objective: ObjectiveKind,
        process: &Process,
    ) -> Result<usize, DiffusionError> {
        let no_images: Vec<f32> = Vec::new();
        Ok(self.start(objective, process, no_images, &mut NoNoise)?.request_count())
    }

    /// Starts a run from standard normal noise `x` `[B, C, H, W]`, for a network trained with
    /// `objective` on `process`. `noise` is drawn from at once by `heun_sde`
    /// and by the churn of `heun`.
    ///
    /// # Errors
    /// Those of the grid and of the sampler's own constructor.
    pub fn start<T: Real>(
        &self,
        objective: ObjectiveKind,
        process: &Process,
        x: Vec<T>,
        noise: &mut dyn NoiseSource<T>,
    ) -> Result<Box<dyn Sampler<T>>, DiffusionError> {
        use SamplerKind as Kind;
        let run = Start { plan: self, process };
        Ok(match self.sampler {
            Kind::Ddpm => {
                let (table, variance) = (run.table()?, VarianceKind::for_objective(objective));
                Box::new(DdpmSampler::new(table, objective, variance, x)?)
            }
            Kind::Ddim => Box::new(DdimSampler::new(run.table()?, self.eta, x)?),
            Kind::Pndm => {
                let (grid, x) = run.own_grid(x)?;
                Box::new(PndmSampler::new(grid, x))
            }
            Kind::Dpm2m => run.multistep(DpmForm::Noise, 2, 0.0, x)?,
            Kind::Dpm3m => run.multistep(DpmForm::Noise, 3, 0.0, x)?,
            Kind::DpmPp2m => run.multistep(DpmForm::Data, 2, 0.0, x)?,
            Kind::DpmPp3m => run.multistep(DpmForm::Data, 3, 0.0, x)?,
            Kind::DpmPp2mSde => run.multistep(DpmForm::Data, 2, 1.0, x)?,
            Kind::DpmPp3mSde => run.multistep(DpmForm::Data, 3, 1.0, x)?,
            Kind::DpmPp2s => {
                let (grid, x) = run.own_grid(x)?;
                let orders = orders_of_two(grid.nodes().len());
                Box::new(DpmSinglestep::new(grid, DpmForm::Data, &orders, x)?)
            }
            Kind::DpmPpSde => run.two_stage(DpmSdeMethod::Sde, x)?,
            Kind::DpmPp2sAncestral => run.two_stage(DpmSdeMethod::TwoStageAncestral, x)?,
            Kind::UniPc | Kind::UniPcBh1 => {
                let (grid, x) = run.own_grid(x)?;
                let bh1 = self.sampler == Kind::UniPcBh1;
                Box::new(UniPc::new(grid, 2, if bh1 { UniPcB::Bh1 } else { UniPcB::Bh2 }, x)?)
            }
            Kind::Deis => {
                let (grid, x) = run.own_grid(x)?;
                Box::new(Deis::new(grid, 3, FINAL_ORDER, x)?)
            }
            Kind::Lms => {
                let (grid, x) = run.own_grid(x)?;
                Box::new(LmsSampler::new(grid, 4, x)?)
            }
            Kind::EulerAncestral => {
                let (grid, x) = run.own_grid(x)?;
                Box::new(EulerAncestral::new(grid, 1.0, x)?)
            }
            Kind::Euler => run.flow(OdeMethod::Euler, x, noise)?,
            Kind::Heun => run.flow(OdeMethod::Heun, x, noise)?,
            Kind::Midpoint => run.flow(OdeMethod::Midpoint, x, noise)?,
            Kind::EulerMaruyama => run.flow_sde(SdeMethod::EulerMaruyama, x, noise)?,
            Kind::HeunSde => run.flow_sde(SdeMethod::Heun, x, noise)?,
        })
    }
}

/// Multistep solvers end short runs with lower orders.
const FINAL_ORDER: FinalOrder = FinalOrder::DescendingBelow(15);

/// What the start of a run is made from.
#[derive(Clone, Copy)]
struct Start<'a> {
    plan: &'a SamplerPlan,
    process: &'a Process,
}

impl Start<'_> {
    fn spacing(&self) -> Spacing {
        self.plan.spacing.unwrap_or_else(|| self.plan.sampler.usual_spacing(self.process))
    }

    fn grid(&self, needs_data: bool) -> Result<Grid, DiffusionError> {
        Grid::new(self.process, self.spacing(), &self.plan.steps, needs_data)
    }

    /// The rows of the variance-preserving samplers. On timesteps they are those of the official code to
    /// the last bit.
    fn table(&self) -> Result<DiffusionTable, DiffusionError> {
        match self.process {
            Process::Discrete(schedule) if self.spacing() == Spacing::Uniform => {
                DiffusionTable::new(schedule, &self.plan.steps)
            }
            _ => Ok(DiffusionTable::of_grid(&self.grid(false)?)),
        }
    }

    /// The grid in the coordinates of the process, which the state begins in.
    fn own_grid<T: Real>(&self, x: Vec<T>) -> Result<(Grid, Vec<T>), DiffusionError> {
        let grid = self.grid(true)?;
        let first = grid.level(0);
        Ok((grid, self.state(first, first, x)))
    }

    /// The grid in `s/a`.
    fn sigma_grid<T: Real>(&self, x: Vec<T>) -> Result<(Grid, Vec<T>), DiffusionError> {
        let own = self.grid(true)?;
        let grid = own.in_sigma();
        let x = self.state(own.level(0), grid.level(0), x);
        Ok((grid, x))
    }

    /// The grid in the time of a flow: that of the process, else the straight one.
    fn path_grid<T: Real>(
        &self,
        needs_data: bool,
        x: Vec<T>,
    ) -> Result<(FlowPath, Grid, Vec<T>), DiffusionError> {
        let own = self.grid(needs_data)?;
        let (path, grid) = match self.process {
            Process::Flow { path, .. } => (*path, own.clone()),
            _ => (FlowPath::Linear, own.on_path(FlowPath::Linear)),
        };
        let x = self.state(own.level(0), grid.level(0), x);
        Ok((path, grid, x))
    }

    /// The state that noise `x` is at the first level of the process, brought to other coordinates.
    ///
    /// Networks of a noise schedule are begun with noise of variance 1, as they are trained on images of
    /// about that; the others with their `s`.
    fn state<T: Real>(&self, own: NoiseLevel, to: NoiseLevel, mut x: Vec<T>) -> Vec<T> {
        let amount = match self.process {
            Process::Discrete(_) => 1.0,
            Process::Flow { .. } | Process::Edm { .. } => own.s,
        };
        let factor = T::from_f64(amount * (to.a + to.s) / (own.a + own.s));
        x.iter_mut().for_each(|x| *x = factor * *x);
        x
    }

    fn multistep<T: Real>(
        &self,
        form: DpmForm,
        order: usize,
        eta: f64,
        x: Vec<T>,
    ) -> Result<Box<dyn Sampler<T>>, DiffusionError> {
        let (grid, x) = self.own_grid(x)?;
        // As in k-diffusion, the third order of the stochastic one starts with Heun's second.
        let second_order =
            if eta > 0.0 && order == 3 { SecondOrder::Heun } else { SecondOrder::Midpoint };
        let options = DpmOptions { form, order, second_order, eta, final_order: FINAL_ORDER };
        Ok(Box::new(DpmMultistep::new(grid, options, x)?))
    }

    fn two_stage<T: Real>(
        &self,
        method: DpmSdeMethod,
        x: Vec<T>,
    ) -> Result<Box<dyn Sampler<T>>, DiffusionError> {
        let (grid, x) = self.own_grid(x)?;
        Ok(Box::new(DpmSde::new(self.process, &grid, method, 1.0, x)?))
    }

    /// On a flow in its own time; else in `s/a`, where EDM has its churn.
    fn flow<T: Real>(
        &self,
        method: OdeMethod,
        x: Vec<T>,
        noise: &mut dyn NoiseSource<T>,
    ) -> Result<Box<dyn Sampler<T>>, DiffusionError> {
        let amount = if method == OdeMethod::Heun { self.plan.churn } else { 0.0 };
        let end = OdeEnd::Euler;
        if let (Process::Flow { .. }, 0.0) = (self.process, amount) {
            let (path, grid, x) = self.path_grid(false, x)?;
            let options = OdeOptions { path: OdePath::Flow(path), method, end };
            return Ok(Box::new(OdeSampler::new(self.process, &grid, options, x)?));
        }
        let (grid, x) = self.sigma_grid(x)?;
        let options = OdeOptions { path: OdePath::Sigma, method, end };
        if amount == 0.0 {
            return Ok(Box::new(OdeSampler::new(self.process, &grid, options, x)?));
        }
        let churn = Churn { amount, s_min: 0.0, s_max: f64::INFINITY, noise: 1.0 };
        let sampler = OdeSampler::churned(self.process, &grid, options, churn, x, noise)?;
        Ok(Box::new(sampler))
    }

    fn flow_sde<T: Real>(
        &self,
        method: SdeMethod,
        x: Vec<T>,
        noise: &mut dyn NoiseSource<T>,
    ) -> Result<Box<dyn Sampler<T>>, DiffusionError> {
        let form = self.plan.diffusion_form;
        // That of the forward process is infinite where there is no data.
        let (path, grid, x) = self.path_grid(form == DiffusionForm::Sbdm, x)?;
        let last_step = LastStep::Mean;
        let options = FlowSdeOptions { path, form, norm: 1.0, method, last_step };
        Ok(Box::new(FlowSde::new(self.process, &grid, options, x, noise)?))
    }
}

/// Steps of two evaluations, and the rest of one: at least the last, which ends at data.
fn orders_of_two(evaluations: usize) -> Vec<usize> {
    let pairs = evaluations.saturating_sub(1) / 2;
    let mut orders = vec![2; pairs];
    orders.resize(evaluations - pairs, 1);
    orders
}

/// For runs without elements.
struct NoNoise;

impl<T> NoiseSource<T> for NoNoise {
    fn fill(&mut self, _draw_index: u32, _out: &mut [T]) {}
}
