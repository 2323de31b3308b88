//! Steps on a device, which the host only asks for.
//!
//! ```text
//! images, positions, labels -> x_t and noise -> network -> loss and its gradient -> network backward
//!                           (per micro-batch)  -> sum of squares -> clip, AdamW, averages
//! ```
//!
//! The parameters, moments and averages stay on the device, and what a step measures waits there in a
//! row of [`Records`] until somebody asks: between two requests the host never waits. A step whose loss
//! or gradient is not finite changes nothing there.

mod buffers;
mod loss;

use crate::draw;
use crate::engine::Engine;
use crate::feedback::Draw as LossDraw;
use crate::step::{NonFinite, RunState, StepConfig, StepError, StepReport};
use buffers::{DeviceArenas, Inputs, Records};
use data::Batch;
use diffusion::{LossTerms, Objective};
use dis_model::{Activations, Dis, DisConfig, Input, ModelError, ParamLayout, Params};
use loss::Loss;
use philox::Purpose;
use ssm_kernels::adamw_ema::device::{Clip, step_clipped};
use ssm_kernels::adamw_ema::{Arenas, Average, Hyper};
use ssm_kernels::device::diffusion as device_diffusion;
use ssm_kernels::device::diffusion::{Draw, LossOutput, QSample, QSampleOutput};
use ssm_kernels::device::{Activation, Device, Driver, OnDevice};
use ssm_kernels::sum_squares::device::sum_squares;
use ssm_kernels::{Backend, KernelError, Storage, View, ViewMut};
use std::ops::Range;

/// Steps whose measurements wait on the device at most.
const MOST_WAITING: usize = 128;

/// A stepper and its state, both on a device.
pub(crate) struct DeviceStepper<A: Activation, D: Driver> {
    dis: Dis<Device<A, D>>,
    objective: Objective,
    config: StepConfig,
    name: String,
    no_decay: Vec<Range<usize>>,
    arenas: DeviceArenas<A, D>,
    activations: Activations<Device<A, D>>,
    inputs: Inputs<D>,
    records: Records<D>,
    waiting: Vec<Waiting>,
    /// The state as it was last downloaded; its counters are those of the steps asked for.
    state: RunState,
    /// Drawn on the host for one micro-batch.
    labels: Vec<u32>,
    drop_path: Vec<f32>,
}

/// A step that was asked for.
struct Waiting {
    step: u64,
    samples_seen: u64,
    lr: f64,
    positions: Vec<u64>,
    draw: LossDraw,
}

impl<A: Activation, D: Driver> DeviceStepper<A, D> {
    /// Brings a state to the device and allocates all memory that steps will need.
    pub(crate) fn new(
        dis: Dis<Device<A, D>>,
        objective: Objective,
        config: StepConfig,
        state: RunState,
        name: String,
    ) -> Result<Self, StepError> {
        let (c, micro) = (dis.config(), config.micro_batch);
        let activations = Activations::for_training_with(&dis, micro, config.recompute)?;
        let device = dis.backend();
        let arenas = DeviceArenas::new(device, &state).map_err(ModelError::from)?;
        let inputs = Inputs::new(device, c, micro).map_err(ModelError::from)?;
        Ok(Self {
            no_decay: dis.layout().no_decay(),
            records: Records::new(device, 0).map_err(ModelError::from)?,
            waiting: Vec::new(),
            labels: vec![0; micro],
            drop_path: vec![1.0; (c.n_blocks() + 1) * micro],
            arenas,
            inputs,
            activations,
            dis,
            objective,
            config,
            name,
            state,
        })
    }

    /// Asks for the gradient of one micro-batch to be added.
    fn accumulate(
        &mut self,
        batch: &Batch,
        draw: &LossDraw,
        first: usize,
        row: usize,
    ) -> Result<(), ModelError> {
        let micro = self.config.micro_batch;
        let c = self.dis.config();
        let samples = first..first + micro;
        let positions = &batch.positions[samples.clone()];
        let timesteps = &draw.timesteps[samples.clone()];
        let images = &batch.images[first * c.image_len()..(first + micro) * c.image_len()];
        self.corrupt(images, positions, timesteps)?;
        self.draw(&batch.labels[samples.clone()], positions);

        let Inputs { x0, noise, x_t, grad_output } = &mut self.inputs;
        let network_times: Vec<f64> =
            timesteps.iter().map(|&t| self.objective.network_time(t)).collect();
        let input = Input::<f32, OnDevice<D>> {
            x: x_t.view(),
            timesteps: &network_times,
            labels: self.dis.config().is_conditional().then_some(self.labels.as_slice()),
            drop_path: (self.config.drop_path > 0.0).then_some(self.drop_path.as_slice()),
        };
        let params =
            Params { full: self.arenas.params.view(), compute: self.arenas.compute.view() };
        self.dis.forward(params, &input, &mut self.activations)?;
        let loss = Loss {
            objective: &self.objective,
            timesteps,
            weights: &draw.weights[samples.clone()],
            gradient_factor: 1.0 / batch.len() as f64,
            channels: self.dis.config().channels,
            output: self.activations.output_view(),
            x0: x0.view(),
            noise: noise.view(),
        };
        let terms = self.records.terms_of(row, samples);
        loss.ask(self.dis.backend(), LossOutput { grad_output: grad_output.view_mut(), terms })?;
        let (output, grads) = (grad_output.view(), self.arenas.grads.view_mut());
        self.dis.backward(params, &input, &mut self.activations, output, grads, None)
    }

    /// Brings the images, and mixes noise into them.
    fn corrupt(
        &mut self,
        images: &[f32],
        positions: &[u64],
        timesteps: &[f64],
    ) -> Result<(), KernelError> {
        let device = self.dis.backend();
        device.upload(images, self.inputs.x0.view_mut())?;
        let levels: Vec<[f32; 2]> = timesteps
            .iter()
            .map(|&t| self.objective.input_level(t))
            .map(|level| [level.a as f32, level.s as f32])
            .collect();
        let purpose = Purpose::DiffusionNoise as u8;
        let draw = Draw { seed: self.config.seed, purpose, sub: 0, positions };
        let args = QSample { draw, levels: &levels, x0: self.inputs.x0.view() };
        let (x_t, noise) = (self.inputs.x_t.view_mut(), self.inputs.noise.view_mut());
        device_diffusion::q_sample(device, &args, QSampleOutput { x_t, noise })
    }

    /// Draws dropped labels and drop-path factors.
    fn draw(&mut self, labels: &[u32], positions: &[u64]) {
        let (seed, c) = (self.config.seed, self.dis.config());
        let (dropout, null) = (self.config.label_dropout, c.num_classes as u32);
        draw::labels(seed, dropout, null, labels, positions, &mut self.labels);
        if self.config.drop_path > 0.0 {
            let rates = c.drop_path_rates(self.config.drop_path);
            draw::drop_path(seed, rates, positions, &mut self.drop_path);
        }
    }

    /// Asks for the update of parameters and averages.
    fn update(&mut self, row: usize, lr: f64, decays: &[f64]) -> Result<(), KernelError> {
        let device = self.dis.backend();
        let Records { sum_squares: sums, not_finite, skipped, .. } = &mut self.records;
        sum_squares(device, self.arenas.grads.view(), sums.view_mut().part(row..row + 1))?;
        let config = &self.config;
        let hyper = Hyper {
            lr,
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.adam_eps,
            weight_decay: config.weight_decay,
            step: self.state.step + 1,
            grad_factor: 1.0,
            no_decay: &self.no_decay,
        };
        let clip = Clip {
            sum_squares: sums.view().part(row..row + 1),
            most: config.grad_clip,
            not_finite: Some(not_finite.view().part(row..row + 1)),
            skipped: skipped.view_mut().part(row..row + 1),
        };
        let DeviceArenas { params, compute, grads, m, v, averages } = &mut self.arenas;
        let pairs = decays.iter().zip(averages);
        let mut averages: Vec<Average<'_, f32, OnDevice<D>>> =
            pairs.map(|(&decay, buffer)| Average { decay, values: buffer.view_mut() }).collect();
        let arenas = Arenas::<f32, A, OnDevice<D>> {
            params: params.view_mut(),
            grads: grads.view(),
            m: m.view_mut(),
            v: v.view_mut(),
            averages: &mut averages,
            compute_copy: Some(compute.view_mut()),
        };
        step_clipped(device, &hyper, clip, arenas)
    }

    fn ask(&mut self, batch: &Batch, lr: f64, decays: &[f64]) -> Result<(), ModelError> {
        let row = self.waiting.len();
        let device = self.dis.backend();
        if self.records.batch != batch.len() {
            self.records = Records::new(device, batch.len())?;
        }
        device.fill_zero(self.arenas.grads.view_mut())?;
        device.fill_zero(self.records.not_finite.view_mut().part(row..row + 1))?;
        let draw = self.state.feedback.draw(&self.objective, self.config.seed, &batch.positions);
        for first in (0..batch.len()).step_by(self.config.micro_batch) {
            self.accumulate(batch, &draw, first, row)?;
        }
        let (terms, flag) = self.records.terms_and_flag(row);
        device_diffusion::flag_not_finite(self.dis.backend(), terms, flag)?;
        self.update(row, lr, decays)?;
        self.state.step += 1;
        self.state.samples_seen += batch.len() as u64;
        self.waiting.push(Waiting {
            step: self.state.step,
            samples_seen: self.state.samples_seen,
            lr,
            positions: batch.positions.clone(),
            draw,
        });
        Ok(())
    }

    /// What the device measured of the steps that wait.
    fn measurements(&self) -> Result<Measurements, KernelError> {
        let (device, rows, batch) = (self.dis.backend(), self.waiting.len(), self.records.batch);
        let mut measured = Measurements {
            terms: vec![0.0; rows * batch * 2],
            sum_squares: vec![0.0; rows],
            skipped: vec![0; rows],
        };
        let Records { terms, sum_squares, skipped, .. } = &self.records;
        device.download(terms.view().part(0..rows * batch * 2), &mut measured.terms)?;
        device.download(sum_squares.view().part(0..rows), &mut measured.sum_squares)?;
        device.download(skipped.view().part(0..rows), &mut measured.skipped)?;
        Ok(measured)
    }

    /// The losses of a step from what the device measured, `[batch, 2]`.
    fn loss_terms(&self, draw: &LossDraw, measured: &[f64]) -> Vec<LossTerms> {
        let samples = measured.chunks_exact(2).zip(draw.timesteps.iter().zip(&draw.weights));
        samples
            .map(|(term, (&timestep, &weight))| {
                self.objective.terms(timestep, weight, term[0], term[1])
            })
            .collect()
    }

    fn report(&self, waiting: &Waiting, terms: &[LossTerms], sum_squares: f64) -> StepReport {
        let count = terms.len() as f64;
        let mut report = StepReport {
            step: waiting.step,
            samples_seen: waiting.samples_seen,
            loss: 0.0,
            mse: 0.0,
            vb: None,
            grad_norm: sum_squares.sqrt(),
            lr: waiting.lr,
        };
        for (sample, log_variance) in terms.iter().zip(&waiting.draw.log_variances) {
            report.loss += (sample.loss + log_variance) / count;
            report.mse += sample.mse / count;
            if let Some(vb) = sample.vb {
                *report.vb.get_or_insert(0.0) += vb / count;
            }
        }
        report
    }
}

impl<A: Activation, D: Driver> Engine for DeviceStepper<A, D> {
    fn step(&mut self, batch: &Batch, lr: f64, decays: &[f64]) -> Result<(), StepError> {
        let micro = self.config.micro_batch;
        assert!(batch.len().is_multiple_of(micro), "batch {} in parts of {micro}", batch.len());
        assert_eq!(decays.len(), self.arenas.averages.len(), "one decay an average");
        Ok(self.ask(batch, lr, decays)?)
    }

    fn reports(&mut self) -> Result<Vec<StepReport>, StepError> {
        if self.waiting.is_empty() {
            return Ok(Vec::new());
        }
        let measured = self.measurements().map_err(ModelError::from)?;
        let of_step = 2 * self.records.batch;
        let mut reports = Vec::with_capacity(self.waiting.len());
        for (row, waiting) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            let numbers = &measured.terms[row * of_step..][..of_step];
            let terms = self.loss_terms(&waiting.draw, numbers);
            let report = self.report(&waiting, &terms, measured.sum_squares[row]);
            if measured.skipped[row] != 0 {
                return Err(Box::new(non_finite(&report, &waiting, numbers)).into());
            }
            self.state.feedback.learn(&self.objective, waiting.step, &waiting.draw, &terms);
            reports.push(report);
        }
        Ok(reports)
    }

    fn reports_at_once(&self) -> bool {
        // What the losses teach must be known before the next step is drawn.
        self.state.feedback.is_active() || self.waiting.len() == MOST_WAITING
    }

    fn state(&mut self) -> Result<&RunState, StepError> {
        let device = self.dis.backend();
        let DeviceArenas { params, m, v, averages, .. } = &self.arenas;
        let state = &mut self.state;
        let pairs = [(params, &mut state.params), (m, &mut state.m), (v, &mut state.v)];
        for (from, to) in pairs.into_iter().chain(averages.iter().zip(&mut state.averages)) {
            device.download(from.view(), to).map_err(ModelError::from)?;
        }
        Ok(state)
    }

    fn steps(&self) -> u64 {
        self.state.step
    }

    fn config(&self) -> &DisConfig {
        self.dis.config()
    }

    fn layout(&self) -> &ParamLayout {
        self.dis.layout()
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// What waits on the device, on this machine.
struct Measurements {
    terms: Vec<f64>,
    sum_squares: Vec<f64>,
    skipped: Vec<u32>,
}

fn non_finite(report: &StepReport, waiting: &Waiting, terms: &[f64]) -> NonFinite {
    let samples = terms.chunks_exact(2).zip(&waiting.positions);
    let bad = samples.filter(|(term, _)| !term.iter().all(|x| x.is_finite()));
    NonFinite {
        step: report.step,
        loss: report.loss,
        grad_norm: report.grad_norm,
        positions: bad.map(|(_, &position)| position).take(16).collect(),
        params: Vec::new(),
    }
}
