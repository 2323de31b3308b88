//! The network.
//!
//! Tokens of image, time and label pass through in-blocks, a middle block and out-blocks; out-block
//! `j` is joined by the output of in-block `depth/2 - 1 - j`. A residual stream runs underneath.
//!
//! # Source
//! DiS, arXiv 2402.05608, figure 2.

use crate::activations::{Activations, Recompute};
use crate::config::{DisConfig, Skip};
use crate::embed::{Embed, EmbedGrads};
use crate::error::ModelError;
use crate::final_layer::{FinalGrads, FinalInput, FinalLayer};
use crate::net::{Net, Params, WideBuf};
use crate::params::ParamLayout;
use crate::ssm_block::{BlockGrads, BlockInput, SsmBlock};
use ssm_kernels::{Backend, Element, Host, KernelError, Memory, Mut, Ref, Storage, View, ViewMut};

/// A DiS network that computes on backend `B`. Parameters are passed to every call as one flat
/// arena of [`Dis::layout`].
#[derive(Clone, Debug)]
pub struct Dis<B> {
    backend: B,
    config: DisConfig,
    layout: ParamLayout,
    embed: Embed,
    blocks: Vec<SsmBlock>,
    head: FinalLayer,
}

/// Inputs of one pass; all but the image are on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, W: Element, M: Memory = Host> {
    /// `[B, C, H, W]`.
    pub x: M::Ref<'a, W>,
    /// `[B]`, diffusion times in steps of the training schedule; fractions are legal.
    pub timesteps: &'a [f64],
    /// `[B]`, classes; the number of classes itself is the null class. Given exactly when the
    /// network is conditional.
    pub labels: Option<&'a [u32]>,
    /// `[blocks + 1, B]`: drop-path factor of every block's addition and of the last one, 0 or
    /// 1 / keep probability. Absent in evaluation.
    pub drop_path: Option<&'a [W]>,
}

impl<B: Backend + Default> Dis<B> {
    /// The network of a configuration.
    ///
    /// # Errors
    /// [`ModelError::Config`] when a value is out of range.
    pub fn new(config: DisConfig) -> Result<Self, ModelError> {
        Self::on(B::default(), config)
    }
}

impl<B: Backend> Dis<B> {
    /// The network of a configuration on a backend.
    ///
    /// # Errors
    /// [`ModelError::Config`] when a value is out of range.
    pub fn on(backend: B, config: DisConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let layout = ParamLayout::new(&config);
        let half = config.n_in_blocks();
        let names = (0..half)
            .map(|i| format!("in_blocks.{i}"))
            .chain(["mid_block".to_string()])
            .chain((0..half).map(|i| format!("out_blocks.{i}")));
        Ok(Self {
            backend,
            embed: Embed::new(&config, &layout),
            blocks: names.map(|name| SsmBlock::new(&config, &layout, &name)).collect(),
            head: FinalLayer::new(&config, &layout),
            config,
            layout,
        })
    }

    /// Who computes.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Sizes and switches.
    pub fn config(&self) -> &DisConfig {
        &self.config
    }

    /// Names and places of the parameters.
    pub fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    /// Value pass; the result is [`Activations::output`].
    ///
    /// # Errors
    /// [`ModelError::Input`] names an input that does not fit the network or `activations`.
    pub fn forward(
        &self,
        params: Params<'_, B>,
        input: &Input<'_, B::Wide, B::Memory>,
        activations: &mut Activations<B>,
    ) -> Result<(), ModelError> {
        self.check(&params, input, activations.batch)?;
        let net = self.net(&params, activations.batch);
        self.backend.run(|| self.forward_checked(&net, input, activations))
    }

    fn net<'a>(&'a self, params: &'a Params<'_, B>, batch: usize) -> Net<'a, B> {
        let params = params.reborrow();
        Net { backend: &self.backend, c: &self.config, batch, params }
    }

    fn forward_checked(
        &self,
        net: &Net<'_, B>,
        input: &Input<'_, B::Wide, B::Memory>,
        activations: &mut Activations<B>,
    ) -> Result<(), ModelError> {
        self.upload(input, activations)?;
        let (x, labels) = (input.x.reborrow(), &activations.labels);
        self.embed.forward(net, x, input.timesteps, labels, &mut activations.embed)?;
        let keep = activations.keeps && activations.recompute == Recompute::None;
        for i in 0..self.blocks.len() {
            self.forward_block(net, input.drop_path.is_some(), activations, i, keep)?;
        }
        let last = self.blocks.len() - 1;
        let hidden = activations.hidden_slot(last, self.config.n_in_blocks());
        let head_input = FinalInput {
            hidden: &activations.hidden[hidden],
            residual: &activations.residual[activations.residual_slot(last)],
            drop_path: input.drop_path.map(|_| drop_path(net, &activations.drop_path, last + 1)),
            condition: &activations.embed.condition,
        };
        let (saved, out) = (&mut activations.head, activations.output.view_mut());
        self.head.forward(net, &head_input, saved, out)
    }

    /// Brings labels and drop-path factors to where the backend computes.
    fn upload(
        &self,
        input: &Input<'_, B::Wide, B::Memory>,
        activations: &mut Activations<B>,
    ) -> Result<(), KernelError> {
        if let Some(labels) = input.labels {
            self.backend.upload(labels, activations.labels.view_mut())?;
        }
        if let Some(factors) = input.drop_path {
            self.backend.upload(factors, activations.drop_path.view_mut())?;
        }
        Ok(())
    }

    fn forward_block(
        &self,
        net: &Net<'_, B>,
        drops: bool,
        activations: &mut Activations<B>,
        i: usize,
        keep: bool,
    ) -> Result<(), ModelError> {
        let half = self.config.n_in_blocks();
        let saved = activations.saved_slot(i);
        // Taking the outputs out of their slots leaves the inputs free to be borrowed.
        let out_slot = activations.hidden_slot(i, half);
        let mut out = std::mem::take(&mut activations.hidden[out_slot]);
        let residual_slot = activations.residual_slot(i);
        let mut residual = std::mem::take(&mut activations.residual[residual_slot]);
        let before = i.checked_sub(1).map(|before| {
            (activations.hidden_slot(before, half), activations.residual_slot(before))
        });
        let block_input = BlockInput {
            hidden: match before {
                Some((hidden, _)) => &activations.hidden[hidden],
                None => &activations.embed.tokens,
            },
            skip: self.skip_of(i).map(|shallow| &activations.hidden[shallow]),
            residual: before.map(|(_, residual)| &activations.residual[residual]),
            drop_path: drops.then(|| drop_path(net, &activations.drop_path, i)),
            condition: &activations.embed.condition,
        };
        let result = self.blocks[i].forward(
            net,
            &block_input,
            &mut activations.blocks[saved],
            &mut activations.scratch.ssm,
            keep,
            &mut residual,
            &mut out,
        );
        activations.hidden[out_slot] = out;
        activations.residual[residual_slot] = residual;
        result
    }

    /// Gradient pass of the last [`Dis::forward`] with the same `params` and `input`.
    ///
    /// Adds the gradients of all parameters to `grads` and overwrites `grad_x`, `[B, C, H, W]`.
    ///
    /// # Errors
    /// [`ModelError::Input`] when `activations` are for inference or an operand does not fit.
    pub fn backward(
        &self,
        params: Params<'_, B>,
        input: &Input<'_, B::Wide, B::Memory>,
        activations: &mut Activations<B>,
        grad_output: Ref<'_, B, B::Wide>,
        grads: Mut<'_, B, B::Wide>,
        grad_x: Option<Mut<'_, B, B::Wide>>,
    ) -> Result<(), ModelError> {
        let (c, batch) = (&self.config, activations.batch);
        self.check(&params, input, batch)?;
        check_len("grad_output", grad_output.len(), batch * c.output_len())?;
        check_len("grads", grads.len(), self.layout.len())?;
        if let Some(grad_x) = &grad_x {
            check_len("grad_x", grad_x.len(), batch * c.image_len())?;
        }
        let (net, drops) = (self.net(&params, batch), input.drop_path.is_some());
        self.backend
            .run(|| self.backward_checked(&net, drops, activations, grad_output, grads, grad_x))
    }

    fn backward_checked(
        &self,
        net: &Net<'_, B>,
        drops: bool,
        activations: &mut Activations<B>,
        grad_output: Ref<'_, B, B::Wide>,
        mut grads: Mut<'_, B, B::Wide>,
        mut grad_x: Option<Mut<'_, B, B::Wide>>,
    ) -> Result<(), ModelError> {
        self.backward_head(net, drops, activations, grad_output, &mut grads)?;
        for i in (0..self.blocks.len()).rev() {
            if activations.recompute == Recompute::Block {
                self.forward_block(net, drops, activations, i, true)?;
            }
            self.backward_block(net, drops, activations, i, &mut grads)?;
        }
        let Activations { labels, embed, backward, .. } = activations;
        let travelling = backward.as_mut().ok_or_else(for_inference)?;
        let embed_grads = EmbedGrads {
            tokens: &travelling.hidden,
            condition: &mut travelling.condition,
            params: grads.reborrow(),
            x: grad_x.as_mut().map(ViewMut::reborrow),
        };
        self.embed.backward(net, labels, embed, &mut travelling.embed, embed_grads)
    }

    fn backward_head(
        &self,
        net: &Net<'_, B>,
        drops: bool,
        activations: &mut Activations<B>,
        grad_output: Ref<'_, B, B::Wide>,
        grads: &mut Mut<'_, B, B::Wide>,
    ) -> Result<(), ModelError> {
        let Activations { embed, hidden, residual, head, backward, drop_path: factors, .. } =
            activations;
        let travelling = backward.as_mut().ok_or_else(for_inference)?;
        self.backend.fill_zero(travelling.condition.view_mut())?;
        let last = self.blocks.len() - 1;
        let head_input = FinalInput {
            hidden: &hidden[last],
            residual: &residual[last],
            drop_path: drops.then(|| drop_path(net, factors, last + 1)),
            condition: &embed.condition,
        };
        let head_grads = FinalGrads {
            hidden: &mut travelling.hidden,
            residual: &mut travelling.residual,
            condition: &mut travelling.condition,
            params: grads.reborrow(),
        };
        let head_scratch = &mut travelling.head;
        self.head.backward(net, &head_input, head, grad_output, head_scratch, head_grads)
    }

    fn backward_block(
        &self,
        net: &Net<'_, B>,
        drops: bool,
        activations: &mut Activations<B>,
        i: usize,
        grads: &mut Mut<'_, B, B::Wide>,
    ) -> Result<(), ModelError> {
        let saved = activations.saved_slot(i);
        let Activations { embed, blocks, hidden, residual, scratch, backward, .. } = activations;
        let travelling = backward.as_mut().ok_or_else(for_inference)?;
        if let Some(grad_skip) = travelling.skips.get(i) {
            self.backend.add_assign(travelling.hidden.view_mut(), grad_skip.view())?;
        }
        let skip = self.skip_of(i);
        let block_input = BlockInput {
            hidden: if i == 0 { &embed.tokens } else { &hidden[i - 1] },
            skip: skip.map(|shallow| &hidden[shallow]),
            residual: (i > 0).then(|| &residual[i - 1]),
            drop_path: drops.then(|| drop_path(net, &activations.drop_path, i)),
            condition: &embed.condition,
        };
        let block_grads = BlockGrads {
            hidden: &mut travelling.hidden,
            residual: &mut travelling.residual,
            skip: skip.map(|shallow| &mut travelling.skips[shallow]),
            condition: &mut travelling.condition,
            params: grads.reborrow(),
        };
        let (residual, saved) = (&residual[i], &blocks[saved]);
        self.blocks[i].backward(net, &block_input, residual, saved, scratch, block_grads)
    }

    /// The in-block whose output joins block `i`.
    fn skip_of(&self, i: usize) -> Option<usize> {
        let half = self.config.n_in_blocks();
        (self.config.skip != Skip::None && i > half).then(|| self.blocks.len() - 1 - i)
    }

    /// Checks what comes from outside.
    fn check(
        &self,
        params: &Params<'_, B>,
        input: &Input<'_, B::Wide, B::Memory>,
        batch: usize,
    ) -> Result<(), ModelError> {
        let c = &self.config;
        check_len("params", params.full.len(), self.layout.len())?;
        check_len("params.compute", params.compute.len(), self.layout.len())?;
        if batch == 0 {
            return Err(ModelError::input("x", "no image", "one or more"));
        }
        check_len("x", input.x.len(), batch * c.image_len())?;
        check_len("timesteps", input.timesteps.len(), batch)?;
        if let Some(bad) = input.timesteps.iter().find(|t| !t.is_finite()) {
            return Err(ModelError::input("timesteps", bad.to_string(), "finite numbers"));
        }
        match (input.labels, c.is_conditional()) {
            (None, true) => {
                let expected = format!("one of {} classes per image", c.num_classes);
                return Err(ModelError::input("labels", "absent", expected));
            }
            (Some(_), false) => {
                let expected = "none: the network is unconditional";
                return Err(ModelError::input("labels", "given", expected));
            }
            (Some(labels), true) => {
                check_len("labels", labels.len(), batch)?;
                if let Some(bad) = labels.iter().find(|&&y| y as usize > c.num_classes) {
                    let expected =
                        format!("0 to {} ({} is the null class)", c.num_classes, c.num_classes);
                    return Err(ModelError::input("labels", bad.to_string(), expected));
                }
            }
            (None, false) => {}
        }
        match input.drop_path {
            Some(factors) => check_len("drop_path", factors.len(), (c.n_blocks() + 1) * batch),
            None => Ok(()),
        }
    }
}

fn for_inference() -> ModelError {
    ModelError::input("activations", "for inference", "for training")
}

/// Drop-path factors of one addition, `[B]`.
fn drop_path<'a, B: Backend>(
    net: &Net<'_, B>,
    factors: &'a WideBuf<B>,
    addition: usize,
) -> Ref<'a, B, B::Wide> {
    factors.view().part(addition * net.batch..(addition + 1) * net.batch)
}

fn check_len(operand: &'static str, got: usize, expected: usize) -> Result<(), ModelError> {
    if got == expected {
        return Ok(());
    }
    Err(ModelError::input(operand, format!("{got} elements"), format!("{expected} elements")))
}
