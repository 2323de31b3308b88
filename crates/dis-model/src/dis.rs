//! The network.
//!
//! Tokens of image, time and label pass through in-blocks, a middle block and out-blocks; out-block
//! `j` is joined by the output of in-block `depth/2 - 1 - j`. A residual stream runs underneath.
//!
//! # Source
//! DiS, arXiv 2402.05608, figure 2.

use crate::activations::Activations;
use crate::config::{DisConfig, Skip};
use crate::embed::Embed;
use crate::error::ModelError;
use crate::final_layer::{FinalGrads, FinalInput, FinalLayer};
use crate::net::Net;
use crate::params::ParamLayout;
use crate::ssm_block::{BlockGrads, BlockInput, SsmBlock};
use ssm_kernels::{Backend, Real};
use std::marker::PhantomData;

/// A DiS network that computes on backend `B`. Parameters are passed to every call as one flat
/// arena of [`Dis::layout`].
#[derive(Clone, Debug)]
pub struct Dis<B> {
    config: DisConfig,
    layout: ParamLayout,
    embed: Embed,
    blocks: Vec<SsmBlock>,
    head: FinalLayer,
    backend: PhantomData<B>,
}

/// Inputs of one pass.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, T> {
    /// `[B, C, H, W]`.
    pub x: &'a [T],
    /// `[B]`, diffusion times in steps of the training schedule; fractions are legal.
    pub timesteps: &'a [f64],
    /// `[B]`, classes; the number of classes itself is the null class. Given exactly when the
    /// network is conditional.
    pub labels: Option<&'a [u32]>,
    /// `[blocks + 1, B]`: drop-path factor of every block's addition and of the last one, 0 or
    /// 1 / keep probability. Absent in evaluation.
    pub drop_path: Option<&'a [T]>,
}

impl<B: Backend> Dis<B> {
    /// The network of a configuration.
    ///
    /// # Errors
    /// [`ModelError::Config`] when a value is out of range.
    pub fn new(config: DisConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let layout = ParamLayout::new(&config);
        let half = config.n_in_blocks();
        let names = (0..half)
            .map(|i| format!("in_blocks.{i}"))
            .chain(["mid_block".to_string()])
            .chain((0..half).map(|i| format!("out_blocks.{i}")));
        Ok(Self {
            embed: Embed::new(&config, &layout),
            blocks: names.map(|name| SsmBlock::new(&config, &layout, &name)).collect(),
            head: FinalLayer::new(&config, &layout),
            config,
            layout,
            backend: PhantomData,
        })
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
        params: &[B::Elem],
        input: &Input<'_, B::Elem>,
        activations: &mut Activations<B::Elem>,
    ) -> Result<(), ModelError> {
        self.check(params, input, activations.batch)?;
        on_pool(|| self.forward_checked(params, input, activations))
    }

    fn forward_checked(
        &self,
        params: &[B::Elem],
        input: &Input<'_, B::Elem>,
        activations: &mut Activations<B::Elem>,
    ) -> Result<(), ModelError> {
        let c = &self.config;
        let net = Net { c, params };
        let (x, t, labels) = (input.x, input.timesteps, input.labels);
        self.embed.forward::<B>(net, x, t, labels, &mut activations.embed)?;
        for i in 0..self.blocks.len() {
            self.forward_block(params, input, activations, i)?;
        }
        let last = self.blocks.len() - 1;
        let hidden = activations.hidden_slot(last, c.n_in_blocks());
        let head_input = FinalInput {
            batch: activations.batch,
            hidden: &activations.hidden[hidden],
            residual: &activations.residual[activations.residual_slot(last)],
            drop_path: drop_path(input, last + 1),
            condition: &activations.embed.condition,
        };
        let (saved, out) = (&mut activations.head, &mut activations.output);
        self.head.forward::<B>(net, &head_input, saved, out)
    }

    fn forward_block(
        &self,
        params: &[B::Elem],
        input: &Input<'_, B::Elem>,
        activations: &mut Activations<B::Elem>,
        i: usize,
    ) -> Result<(), ModelError> {
        let half = self.config.n_in_blocks();
        let keep = activations.keeps;
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
            batch: activations.batch,
            hidden: match before {
                Some((hidden, _)) => &activations.hidden[hidden],
                None => &activations.embed.tokens,
            },
            skip: self.skip_of(i).map(|shallow| &*activations.hidden[shallow]),
            residual: before.map(|(_, residual)| &*activations.residual[residual]),
            drop_path: drop_path(input, i),
            condition: &activations.embed.condition,
        };
        let result = self.blocks[i].forward::<B>(
            Net { c: &self.config, params },
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
        params: &[B::Elem],
        input: &Input<'_, B::Elem>,
        activations: &mut Activations<B::Elem>,
        grad_output: &[B::Elem],
        grads: &mut [B::Elem],
        grad_x: Option<&mut [B::Elem]>,
    ) -> Result<(), ModelError> {
        let (c, batch) = (&self.config, activations.batch);
        self.check(params, input, batch)?;
        check_len("grad_output", grad_output.len(), batch * c.output_len())?;
        check_len("grads", grads.len(), self.layout.len())?;
        if let Some(grad_x) = &grad_x {
            check_len("grad_x", grad_x.len(), batch * c.image_len())?;
        }
        on_pool(|| self.backward_checked(params, input, activations, grad_output, grads, grad_x))
    }

    fn backward_checked(
        &self,
        params: &[B::Elem],
        input: &Input<'_, B::Elem>,
        activations: &mut Activations<B::Elem>,
        grad_output: &[B::Elem],
        grads: &mut [B::Elem],
        grad_x: Option<&mut [B::Elem]>,
    ) -> Result<(), ModelError> {
        let (c, batch) = (&self.config, activations.batch);
        let net = Net { c, params };
        let Activations { embed, blocks, hidden, residual, head, scratch, backward, .. } =
            activations;
        let Some(travelling) = backward else {
            return Err(ModelError::input("activations", "for inference", "for training"));
        };
        travelling.condition.fill(<B::Elem as Real>::ZERO);
        let last = self.blocks.len() - 1;
        let head_input = FinalInput {
            batch,
            hidden: &hidden[last],
            residual: &residual[last],
            drop_path: drop_path(input, last + 1),
            condition: &embed.condition,
        };
        let head_grads = FinalGrads {
            hidden: &mut travelling.hidden,
            residual: &mut travelling.residual,
            condition: &mut travelling.condition,
            params: grads,
        };
        let head_scratch = &mut travelling.head;
        self.head.backward::<B>(net, &head_input, head, grad_output, head_scratch, head_grads)?;
        for i in (0..self.blocks.len()).rev() {
            if let Some(grad_skip) = travelling.skips.get(i) {
                crate::linear::add_assign(&mut travelling.hidden, grad_skip);
            }
            let skip = self.skip_of(i);
            let block_input = BlockInput {
                batch,
                hidden: if i == 0 { &embed.tokens } else { &hidden[i - 1] },
                skip: skip.map(|shallow| &*hidden[shallow]),
                residual: (i > 0).then(|| &*residual[i - 1]),
                drop_path: drop_path(input, i),
                condition: &embed.condition,
            };
            let block_grads = BlockGrads {
                hidden: &mut travelling.hidden,
                residual: &mut travelling.residual,
                skip: skip.map(|shallow| &mut *travelling.skips[shallow]),
                condition: &mut travelling.condition,
                params: grads,
            };
            let (residual, saved) = (&residual[i], &blocks[i]);
            self.blocks[i].backward::<B>(
                net,
                &block_input,
                residual,
                saved,
                scratch,
                block_grads,
            )?;
        }
        let (tokens, condition) = (&mut travelling.hidden, &mut travelling.condition);
        self.embed.backward::<B>(net, input.labels, embed, tokens, condition, grads, grad_x)
    }

    /// The in-block whose output joins block `i`.
    fn skip_of(&self, i: usize) -> Option<usize> {
        let half = self.config.n_in_blocks();
        (self.config.skip != Skip::None && i > half).then(|| self.blocks.len() - 1 - i)
    }

    /// Checks what comes from outside.
    fn check(
        &self,
        params: &[B::Elem],
        input: &Input<'_, B::Elem>,
        batch: usize,
    ) -> Result<(), ModelError> {
        let c = &self.config;
        check_len("params", params.len(), self.layout.len())?;
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

/// Runs a pass on a thread of the pool: handing the pool hundreds of operators one by one from
/// outside would put its threads to sleep and wake them as often.
fn on_pool<R: Send>(pass: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| pass())
}

/// Drop-path factors of one addition.
fn drop_path<'a, T>(input: &Input<'a, T>, addition: usize) -> Option<&'a [T]> {
    let batch = input.timesteps.len();
    input.drop_path.map(|factors| &factors[addition * batch..][..batch])
}

fn check_len(operand: &'static str, got: usize, expected: usize) -> Result<(), ModelError> {
    if got == expected {
        return Ok(());
    }
    Err(ModelError::input(operand, format!("{got} elements"), format!("{expected} elements")))
}
