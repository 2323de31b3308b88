//! The oracle: the network in candle's differentiable f64 operations, nothing fused, nothing fast.
//!
//! These lines define the model. Formulas: DiS, arXiv 2402.05608, and the official code where the
//! two differ. Every parameter is a flat variable that is given its shape where it is used, so the
//! shapes here are a second opinion on [`dis_model::ParamLayout`].

use crate::support::Values;
use candle_core::{Device, Result, Tensor, Var};
use dis_model::{Conditioning, DisConfig, Input, Skip};
use std::collections::BTreeMap;

/// A network and its parameters.
pub(crate) struct Oracle {
    c: DisConfig,
    params: BTreeMap<String, Var>,
}

/// Everything one evaluation computed, still connected to the parameters.
pub(crate) struct Pass {
    pub(crate) output: Tensor,
    pub(crate) mids: Mids,
    x: Var,
}

/// Intermediates, named as in the goldens.
type Mids = BTreeMap<String, Tensor>;

impl Oracle {
    pub(crate) fn new(config: &DisConfig, params: &Values) -> Self {
        let variable = |(name, values): (&String, &Vec<f64>)| {
            (name.clone(), Var::new(values.as_slice(), &Device::Cpu).unwrap())
        };
        Self { c: config.clone(), params: params.iter().map(variable).collect() }
    }

    fn param(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let var = self.params.get(name).unwrap_or_else(|| panic!("the oracle wants {name}"));
        var.as_tensor().reshape(shape)
    }

    /// `x W^T + b` with the parameters of a linear layer.
    fn linear(&self, name: &str, x: &Tensor, out: usize) -> Result<Tensor> {
        let weight = self.param(&format!("{name}.weight"), &[out, last(x)])?;
        matmul(x, &weight)?.broadcast_add(&self.param(&format!("{name}.bias"), &[out])?)
    }

    /// The whole network. A drop-path factor of the first block is without effect.
    pub(crate) fn forward(&self, input: &Input<'_, f64>) -> Result<Pass> {
        let (c, b) = (&self.c, input.timesteps.len());
        let mut mids = BTreeMap::new();
        let x =
            Var::from_slice(input.x, (b, c.channels, c.image_size, c.image_size), &Device::Cpu)?;
        let (mut hidden, condition) = self.embed(x.as_tensor(), input, &mut mids)?;

        let (mut residual, mut shallow) = (None, Vec::new());
        let half = c.depth / 2;
        for i in 0..=2 * half {
            let block = match i {
                i if i < half => format!("in_blocks.{i}"),
                i if i == half => "mid_block".into(),
                i => format!("out_blocks.{}", i - half - 1),
            };
            if i > half {
                hidden = self.join(&block, hidden, shallow.pop().unwrap())?;
            }
            let r = match residual {
                Some(r) => (r + keep(input, i, &hidden)?)?,
                None => hidden,
            };
            hidden = self.mixer(&format!("{block}.mixer"), &self.norm(&block, &r, &condition)?)?;
            if i < half {
                shallow.push(hidden.clone());
            }
            mids.insert(format!("{block}.hidden"), hidden.clone());
            mids.insert(format!("{block}.residual"), r.clone());
            residual = Some(r);
        }
        let r = (residual.unwrap() + keep(input, 2 * half + 1, &hidden)?)?;
        let output = self.head(&r, &condition, &mut mids)?;
        Ok(Pass { output, mids, x })
    }

    /// Tokens `[B, L, D]`, and time plus label `[B, D]`.
    fn embed(
        &self,
        x: &Tensor,
        input: &Input<'_, f64>,
        mids: &mut Mids,
    ) -> Result<(Tensor, Tensor)> {
        let (c, d, b) = (&self.c, self.c.hidden_size, input.timesteps.len());
        let (side, p) = (c.image_size / c.patch_size, c.patch_size);
        let patches = x.reshape(vec![b, c.channels, side, p, side, p])?;
        let patches = patches.permute(vec![0, 2, 4, 1, 3, 5])?;
        let patches = patches.reshape((b, side * side, c.channels * p * p))?;
        let patches = self.linear("patch_embed.proj", &patches, d)?;
        mids.insert("patch_embed".into(), patches.clone());

        let time = self.linear("time_embed.0", &time_features(input.timesteps, d)?, 4 * d)?;
        let time = self.linear("time_embed.2", &time.silu()?, d)?;
        mids.insert("time_embed".into(), time.clone());
        let (mut condition, mut tokens) = (time.clone(), vec![time.unsqueeze(1)?]);
        if c.num_classes > 0 {
            let labels = Tensor::new(input.labels.expect("labels"), &Device::Cpu)?;
            let table = self.param("label_emb.embedding_table.weight", &[c.num_classes + 1, d])?;
            let label = table.index_select(&labels, 0)?;
            mids.insert("label_emb".into(), label.clone());
            condition = (time + &label)?;
            tokens.insert(0, label.unsqueeze(1)?);
        }
        if c.conditioning == Conditioning::Adaln {
            tokens.clear();
        }
        let seq_len = tokens.len() + side * side;
        tokens.push(patches);
        let position = self.param("pos_embed", &[1, seq_len, d])?;
        Ok((Tensor::cat(&tokens, 1)?.broadcast_add(&position)?, condition))
    }

    /// What an out-block makes of the block before and of its in-block.
    fn join(&self, block: &str, deep: Tensor, shallow: Tensor) -> Result<Tensor> {
        match self.c.skip {
            Skip::Concat => {
                let both = Tensor::cat(&[&deep, &shallow], 2)?;
                self.linear(&format!("{block}.skip_linear"), &both, last(&deep))
            }
            Skip::Add => deep + shallow,
            Skip::None => Ok(deep),
        }
    }

    /// Two norms, modulation, projection and unpatchify.
    fn head(&self, r: &Tensor, condition: &Tensor, mids: &mut Mids) -> Result<Tensor> {
        let (c, (b, l, d)) = (&self.c, r.dims3()?);
        let (side, p) = (c.image_size / c.patch_size, c.patch_size);
        let mut y = layer_norm(&self.rms_norm("norm_f", r)?, c.final_eps)?;
        if c.final_adaln && c.num_classes > 0 {
            let m = self.linear("final_layer.adaLN_modulation.1", &condition.silu()?, 2 * d)?;
            let m = m.unsqueeze(1)?;
            let (shift, factor) = (m.narrow(2, 0, d)?, m.narrow(2, d, d)?);
            y = y.broadcast_mul(&(factor + 1.0)?)?.broadcast_add(&shift)?;
        }
        let channels = if c.learned_variance { 2 * c.channels } else { c.channels };
        let y = self.linear("final_layer.linear", &y, channels * p * p)?;
        mids.insert("final_layer".into(), y.clone());
        let y = y.narrow(1, l - side * side, side * side)?;
        let y = y.reshape(vec![b, side, side, p, p, channels])?.permute(vec![0, 5, 1, 3, 2, 4])?;
        y.reshape((b, channels, c.image_size, c.image_size))
    }

    fn rms_norm(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let weight = self.param(&format!("{name}.weight"), &[last(x)])?;
        over_rms(x, self.c.norm_eps)?.broadcast_mul(&weight)
    }

    /// Low-rank step size, B or C out of `[delta_r | B | C]`; ours where they are normalised.
    fn ssm_input(&self, dbc: &Tensor, first: usize, len: usize) -> Result<Tensor> {
        let part = dbc.narrow(2, first, len)?;
        if self.c.normalize_ssm_inputs { over_rms(&part, self.c.norm_eps) } else { Ok(part) }
    }

    /// The norm in front of a mixer; ours where conditioning is "adaln", with the factor first.
    fn norm(&self, block: &str, r: &Tensor, condition: &Tensor) -> Result<Tensor> {
        let d = last(r);
        match self.c.conditioning {
            Conditioning::Token => self.rms_norm(&format!("{block}.norm"), r),
            Conditioning::Adaln => {
                let name = format!("{block}.adaLN_modulation.1");
                let m = self.linear(&name, &condition.silu()?, 2 * d)?.unsqueeze(1)?;
                let (factor, shift) = (m.narrow(2, 0, d)?, m.narrow(2, d, d)?);
                let x = layer_norm(r, self.c.final_eps)?;
                x.broadcast_mul(&(factor + 1.0)?)?.broadcast_add(&shift)
            }
        }
    }

    /// The bidirectional mixer, `[B, L, D]` to `[B, L, D]`.
    pub(crate) fn mixer(&self, name: &str, n: &Tensor) -> Result<Tensor> {
        let (d, e) = (last(n), 2 * last(n));
        let xz = matmul(n, &self.param(&format!("{name}.in_proj.weight"), &[2 * e, d])?)?;
        let (x, z) = (xz.narrow(2, 0, e)?, xz.narrow(2, e, e)?);
        let left_to_right = self.one_order(name, "", &x, false)?;
        let right_to_left = self.one_order(name, "_b", &x, true)?;
        let sum = ((left_to_right + right_to_left)? * self.c.direction_sum)?;
        matmul(&(sum * z.silu()?)?, &self.param(&format!("{name}.out_proj.weight"), &[d, e])?)
    }

    /// Convolution, projections and scan of one order; `_b` names the right-to-left copy.
    fn one_order(&self, name: &str, copy: &str, x: &Tensor, reversed: bool) -> Result<Tensor> {
        let (b, l, e) = x.dims3()?;
        let (n, r, taps) = (self.c.d_state, self.c.hidden_size.div_ceil(16), self.c.d_conv);
        let weight = self.param(&format!("{name}.conv1d{copy}.weight"), &[e, taps])?;
        let mut u =
            self.param(&format!("{name}.conv1d{copy}.bias"), &[e])?.broadcast_as((b, l, e))?;
        let padded = match reversed {
            false => x.pad_with_zeros(1, taps - 1, 0)?,
            true => x.pad_with_zeros(1, 0, taps - 1)?,
        };
        for k in 0..taps {
            let from = if reversed { taps - 1 - k } else { k };
            let tap = weight.narrow(1, k, 1)?.reshape(e)?;
            u = (u + padded.narrow(1, from, l)?.broadcast_mul(&tap)?)?;
        }
        let u = u.silu()?;

        let dbc =
            matmul(&u, &self.param(&format!("{name}.x_proj{copy}.weight"), &[r + 2 * n, e])?)?;
        let delta_r = self.ssm_input(&dbc, 0, r)?;
        let (input_map, output_map) =
            (self.ssm_input(&dbc, r, n)?, self.ssm_input(&dbc, r + n, n)?);
        let raw = self.linear(&format!("{name}.dt_proj{copy}"), &delta_r, e)?;
        let delta = (raw.exp()? + 1.0)?.log()?;
        let (a_log, d_skip) = if reversed { ("A_b_log", "D_b") } else { ("A_log", "D") };
        let a = self.param(&format!("{name}.{a_log}"), &[1, e, n])?.exp()?.neg()?;
        let (mut state, mut y) = (Tensor::zeros((b, e, n), u.dtype(), u.device())?, Vec::new());
        for place in 0..l {
            let token = if reversed { l - 1 - place } else { place };
            let delta = delta.narrow(1, token, 1)?.reshape((b, e, 1))?;
            let input = (&delta * u.narrow(1, token, 1)?.reshape((b, e, 1))?)?;
            let input = input.broadcast_mul(&input_map.narrow(1, token, 1)?)?;
            state = ((delta.broadcast_mul(&a)?.exp()? * state)? + input)?;
            let read = state.broadcast_mul(&output_map.narrow(1, token, 1)?)?;
            y.push(read.sum(2)?);
        }
        if reversed {
            y.reverse();
        }
        let d_skip = self.param(&format!("{name}.{d_skip}"), &[e])?;
        Tensor::stack(&y, 1)? + u.broadcast_mul(&d_skip)?
    }

    /// Gradients of `sum(output * grad_output)` by parameter name.
    ///
    /// candle drops what it cannot differentiate without a word, so a missing gradient panics.
    pub(crate) fn gradients(&self, output: &Tensor, grad_output: &[f64], x: &Var) -> Values {
        let grad = Tensor::from_slice(grad_output, output.shape(), output.device()).unwrap();
        let store = (output * grad).unwrap().sum_all().unwrap().backward().unwrap();
        let named = self.params.iter().map(|(name, var)| (name.as_str(), var));
        let gradient = |(name, var): (&str, &Var)| {
            let g = store.get(var).unwrap_or_else(|| panic!("{name} got no gradient"));
            (name.to_string(), numbers(g))
        };
        named.chain([("x", x)]).map(gradient).collect()
    }
}

impl Pass {
    /// Gradients of `sum(output * grad_output)` by parameter name, and of the image as `x`.
    pub(crate) fn gradients(&self, oracle: &Oracle, grad_output: &[f64]) -> Values {
        oracle.gradients(&self.output, grad_output, &self.x)
    }
}

/// Elements in row-major order.
pub(crate) fn numbers(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn last(x: &Tensor) -> usize {
    x.dims()[x.rank() - 1]
}

/// `x W^T` over the last axis.
fn matmul(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let y = x.reshape(((), last(x)))?.matmul(&weight.t()?)?;
    *shape.last_mut().unwrap() = weight.dim(0)?;
    y.reshape(shape)
}

/// `drop_path h` of one addition.
fn keep(input: &Input<'_, f64>, addition: usize, h: &Tensor) -> Result<Tensor> {
    let b = input.timesteps.len();
    match input.drop_path {
        Some(s) => {
            h.broadcast_mul(&Tensor::from_slice(&s[addition * b..][..b], (b, 1, 1), h.device())?)
        }
        None => Ok(h.clone()),
    }
}

/// `x` over the root of its mean square.
fn over_rms(x: &Tensor, eps: f64) -> Result<Tensor> {
    x.broadcast_div(&(x.sqr()?.mean_keepdim(2)? + eps)?.sqrt()?)
}

fn layer_norm(x: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(2)?)?;
    centred.broadcast_div(&(centred.sqr()?.mean_keepdim(2)? + eps)?.sqrt()?)
}

/// `[cos(t f) | sin(t f)]` with `f_i = 10000^(-i / half)`, and a zero column for odd widths.
fn time_features(timesteps: &[f64], d: usize) -> Result<Tensor> {
    let half = d / 2;
    let phase = |t: f64, i: usize| t * (-(10000.0f64.ln()) * i as f64 / half as f64).exp();
    let row = |&t: &f64| {
        let cos = (0..half).map(move |i| phase(t, i).cos());
        let sin = (0..half).map(move |i| phase(t, i).sin());
        cos.chain(sin).chain((2 * half < d).then_some(0.0))
    };
    let rows: Vec<f64> = timesteps.iter().flat_map(row).collect();
    Tensor::from_vec(rows, (timesteps.len(), d), &Device::Cpu)
}
