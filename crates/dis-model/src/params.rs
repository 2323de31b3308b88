//! Where each parameter stands in the flat arena.
//!
//! Weights, gradients, optimiser moments and averages are flat arenas of one layout, so clipping,
//! the optimiser and a checkpoint are single passes. Names and order are those of the official
//! `state_dict`.

use crate::config::{Conditioning, DisConfig, Skip};
use std::collections::HashMap;
use std::ops::Range;

/// One named parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Official name.
    pub name: String,
    /// Official shape.
    pub shape: Vec<usize>,
    /// Place in the arena.
    pub range: Range<usize>,
}

impl Param {
    /// Whether weight decay leaves this parameter alone, as the official code marks it.
    pub fn is_no_decay(&self) -> bool {
        self.name == "pos_embed"
            || [".A_log", ".A_b_log", ".D", ".D_b"].iter().any(|end| self.name.ends_with(end))
    }
}

/// Names, shapes and places of all parameters, in official order.
#[derive(Clone, Debug)]
pub struct ParamLayout {
    params: Vec<Param>,
    by_name: HashMap<String, usize>,
    len: usize,
}

impl ParamLayout {
    /// The layout of a network; `config` is taken to be valid.
    pub fn new(config: &DisConfig) -> Self {
        let mut layout = Self { params: Vec::new(), by_name: HashMap::new(), len: 0 };
        layout.add_embeddings(config);
        let half = config.n_in_blocks();
        for i in 0..half {
            layout.add_block(config, &format!("in_blocks.{i}"), false);
        }
        layout.add_block(config, "mid_block", false);
        for i in 0..half {
            layout.add_block(config, &format!("out_blocks.{i}"), config.skip == Skip::Concat);
        }
        layout.add_head(config);
        layout
    }

    /// Elements of an arena.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters, which no network has.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All parameters in arena order.
    pub fn iter(&self) -> impl Iterator<Item = &Param> {
        self.params.iter()
    }

    /// The parameter of that name.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.by_name.get(name).map(|&i| &self.params[i])
    }

    /// Sorted ranges without weight decay.
    pub fn no_decay(&self) -> Vec<Range<usize>> {
        self.params.iter().filter(|p| p.is_no_decay()).map(|p| p.range.clone()).collect()
    }

    /// Place of a parameter that the configuration is known to have.
    ///
    /// # Panics
    /// When it has not.
    pub(crate) fn range(&self, name: &str) -> Range<usize> {
        self.get(name).unwrap_or_else(|| panic!("no parameter {name}")).range.clone()
    }

    fn add(&mut self, name: String, shape: &[usize]) {
        let end = self.len + shape.iter().product::<usize>();
        self.by_name.insert(name.clone(), self.params.len());
        self.params.push(Param { name, shape: shape.to_vec(), range: self.len..end });
        self.len = end;
    }

    fn add_linear(&mut self, name: &str, outputs: usize, inputs: usize) {
        self.add(format!("{name}.weight"), &[outputs, inputs]);
        self.add(format!("{name}.bias"), &[outputs]);
    }

    fn add_embeddings(&mut self, c: &DisConfig) {
        let (d, p) = (c.hidden_size, c.patch_size);
        self.add("pos_embed".into(), &[1, c.seq_len(), d]);
        self.add("patch_embed.proj.weight".into(), &[d, c.channels, p, p]);
        self.add("patch_embed.proj.bias".into(), &[d]);
        self.add_linear("time_embed.0", 4 * d, d);
        self.add_linear("time_embed.2", d, 4 * d);
        if c.is_conditional() {
            self.add("label_emb.embedding_table.weight".into(), &[c.num_classes + 1, d]);
        }
    }

    fn add_block(&mut self, c: &DisConfig, block: &str, has_skip: bool) {
        let (d, e, n, k, r) = (c.hidden_size, c.d_inner(), c.d_state, c.d_conv, c.delta_rank());
        let mixer = format!("{block}.mixer");
        for (a_log, d_skip) in [("A_log", "D"), ("A_b_log", "D_b")] {
            self.add(format!("{mixer}.{a_log}"), &[e, n]);
            self.add(format!("{mixer}.{d_skip}"), &[e]);
        }
        self.add(format!("{mixer}.in_proj.weight"), &[2 * e, d]);
        for copy in ["", "_b"] {
            self.add(format!("{mixer}.conv1d{copy}.weight"), &[e, 1, k]);
            self.add(format!("{mixer}.conv1d{copy}.bias"), &[e]);
            self.add(format!("{mixer}.x_proj{copy}.weight"), &[c.x_proj_width(), e]);
            self.add(format!("{mixer}.dt_proj{copy}.weight"), &[e, r]);
            self.add(format!("{mixer}.dt_proj{copy}.bias"), &[e]);
        }
        self.add(format!("{mixer}.out_proj.weight"), &[d, e]);
        match c.conditioning {
            Conditioning::Token => self.add(format!("{block}.norm.weight"), &[d]),
            Conditioning::Adaln => {
                self.add_linear(&format!("{block}.adaLN_modulation.1"), 2 * d, d)
            }
        }
        if has_skip {
            self.add_linear(&format!("{block}.skip_linear"), d, 2 * d);
        }
    }

    fn add_head(&mut self, c: &DisConfig) {
        let d = c.hidden_size;
        self.add("norm_f.weight".into(), &[d]);
        self.add_linear("final_layer.linear", c.output_channels() * c.patch_size.pow(2), d);
        if c.has_final_adaln() {
            self.add_linear("final_layer.adaLN_modulation.1", 2 * d, d);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DisPreset;

    #[test]
    fn key_counts_are_the_official_ones() {
        for preset in DisPreset::ALL {
            let keys = |classes| {
                ParamLayout::new(&DisConfig::official(preset, 32, 4, 2, classes)).iter().count()
            };
            let blocks = preset.size().1 + 1;
            let expected = 17 * blocks + 2 * (blocks / 2);
            assert_eq!((keys(0), keys(10)), (expected + 10, expected + 13), "{}", preset.name());
        }
    }

    #[test]
    fn ranges_tile_the_arena_in_order() {
        let layout = ParamLayout::new(&DisConfig::official(DisPreset::S, 32, 3, 4, 0));
        let mut end = 0;
        for param in layout.iter() {
            assert_eq!(param.range.start, end, "{}", param.name);
            end = param.range.end;
        }
        assert_eq!(end, layout.len());
        let decay_free = layout.iter().filter(|p| p.is_no_decay()).count();
        assert_eq!(decay_free, 1 + 4 * 25);
    }
}
