//! Both normalisations.

use super::case::{Call, Case, Lab, label};
use super::costs::BlockCosts;
use super::shapes::BlockShape;
use ssm_kernels::device::{Activation, Device, DeviceBuffer, Driver};
use ssm_kernels::{Backend, KernelError, Storage, add_rms_norm, layer_norm_modulate};

struct Rms<A: Activation, D: Driver> {
    device: Device<A, D>,
    shape: add_rms_norm::Shape,
    /// The branch, or what reaches it.
    hidden: DeviceBuffer<A, D>,
    normed: DeviceBuffer<A, D>,
    /// The stream before and after, or the gradient of it.
    residuals: [DeviceBuffer<f32, D>; 2],
    rstd: DeviceBuffer<f32, D>,
    drop_path: DeviceBuffer<f32, D>,
    weights: [DeviceBuffer<f32, D>; 2],
}

impl<A: Activation, D: Driver> Rms<A, D> {
    fn new(lab: &Lab<A, D>, s: BlockShape) -> Result<Self, KernelError> {
        let elements = s.outer_elements();
        let BlockShape { batch, seq_len, width, .. } = s;
        Ok(Self {
            shape: add_rms_norm::Shape { batch, seq_len, width },
            hidden: lab.act(1, elements)?,
            normed: lab.act(2, elements)?,
            residuals: [lab.wide(3, elements, |x| x)?, lab.wide_zeros(elements)?],
            rstd: lab.wide(4, s.rows(), |_| 1.0)?,
            drop_path: lab.wide(5, batch, |_| 1.1)?,
            weights: [lab.wide(6, width, |_| 1.0)?, lab.wide_zeros(width)?],
            device: lab.device.clone(),
        })
    }

    fn forward(&mut self) -> Result<(), KernelError> {
        let [old, new] = &mut self.residuals;
        let args = add_rms_norm::Args {
            shape: self.shape,
            hidden: self.hidden.view(),
            residual: Some(old.view()),
            drop_path: Some(self.drop_path.view()),
            weight: self.weights[0].view(),
            eps: 1e-5,
        };
        let (normed, rstd) = (self.normed.view_mut(), self.rstd.view_mut());
        let out = add_rms_norm::Output { residual: new.view_mut(), normed, rstd };
        self.device.add_rms_norm(&args, out)
    }

    fn backward(&mut self) -> Result<(), KernelError> {
        let [residual, grad_residual] = &mut self.residuals;
        let [weight, grad_weight] = &mut self.weights;
        let args = add_rms_norm::BackwardArgs {
            shape: self.shape,
            residual: residual.view(),
            rstd: self.rstd.view(),
            weight: weight.view(),
            drop_path: Some(self.drop_path.view()),
            grad_normed: self.normed.view(),
        };
        let grads = add_rms_norm::Grads {
            residual: grad_residual.view_mut(),
            hidden: self.hidden.view_mut(),
            weight: grad_weight.view_mut(),
        };
        self.device.add_rms_norm_backward(&args, grads, &mut ())
    }
}

struct LayerNorm<A: Activation, D: Driver> {
    device: Device<A, D>,
    shape: layer_norm_modulate::Shape,
    /// Input, result or what reaches it, gradient.
    rows: [DeviceBuffer<A, D>; 3],
    /// Shift and factor of each image, and their gradients.
    modulations: [DeviceBuffer<A, D>; 2],
    stats: DeviceBuffer<f32, D>,
}

impl<A: Activation, D: Driver> LayerNorm<A, D> {
    fn new(lab: &Lab<A, D>, s: BlockShape) -> Result<Self, KernelError> {
        let elements = s.outer_elements();
        let BlockShape { batch, seq_len, width, .. } = s;
        let modulation = |seed| lab.act(seed, 2 * batch * width);
        let mut norm = Self {
            shape: layer_norm_modulate::Shape { batch, seq_len, width },
            rows: [lab.act(1, elements)?, lab.act(2, elements)?, lab.act_zeros(elements)?],
            modulations: [modulation(3)?, modulation(4)?],
            stats: lab.wide_zeros(2 * s.rows())?,
            device: lab.device.clone(),
        };
        norm.forward()?;
        Ok(norm)
    }

    fn forward(&mut self) -> Result<(), KernelError> {
        let [x, out, _] = &mut self.rows;
        let args = layer_norm_modulate::Args {
            shape: self.shape,
            x: x.view(),
            modulation: Some(self.modulations[0].view()),
            halves: layer_norm_modulate::Halves::ShiftFirst,
            eps: 1e-6,
        };
        let stats = self.stats.view_mut();
        let out = layer_norm_modulate::Output { out: out.view_mut(), stats };
        self.device.layer_norm_modulate(&args, out)
    }

    fn backward(&mut self) -> Result<(), KernelError> {
        let [x, grad_out, grad_x] = &mut self.rows;
        let [modulation, grad_modulation] = &mut self.modulations;
        let args = layer_norm_modulate::Args {
            shape: self.shape,
            x: x.view(),
            modulation: Some(modulation.view()),
            halves: layer_norm_modulate::Halves::ShiftFirst,
            eps: 1e-6,
        };
        let modulation = Some(grad_modulation.view_mut());
        let grads = layer_norm_modulate::Grads { x: grad_x.view_mut(), modulation };
        let (stats, grad_out) = (self.stats.view(), grad_out.view());
        self.device.layer_norm_modulate_backward(&args, stats, grad_out, grads, &mut ())
    }
}

pub(super) fn cases<A: Activation, D: Driver>(lab: &Lab<A, D>, s: BlockShape) -> Vec<Case> {
    let costs = BlockCosts { shape: s, act: Lab::<A, D>::act_bytes() };
    let shape = label(&s, s.width);
    vec![
        lab.case("add_rms_norm", &*shape, costs.add_rms_norm(), move |lab| {
            let mut norm = Rms::new(lab, s)?;
            Ok(Box::new(move || norm.forward()) as Call)
        }),
        lab.case("add_rms_norm backward", &*shape, costs.add_rms_norm_backward(), move |lab| {
            let mut norm = Rms::new(lab, s)?;
            Ok(Box::new(move || norm.backward()) as Call)
        }),
        lab.case("layer_norm_modulate", &*shape, costs.layer_norm_modulate(), move |lab| {
            let mut norm = LayerNorm::new(lab, s)?;
            Ok(Box::new(move || norm.forward()) as Call)
        }),
        lab.case(
            "layer_norm_modulate backward",
            &*shape,
            costs.layer_norm_modulate_backward(),
            move |lab| {
                let mut norm = LayerNorm::new(lab, s)?;
                Ok(Box::new(move || norm.backward()) as Call)
            },
        ),
    ]
}
