//! The configuration that the shapes of weights describe.

use super::TensorMap;
use super::mismatch::{Difference, DifferenceKind, Mismatch};
use crate::config::{Conditioning, DisConfig, DisPreset, Skip};
use crate::error::ModelError;
use std::collections::{BTreeMap, BTreeSet};

/// Shapes by official name.
type Shapes<'a> = BTreeMap<&'a str, &'a [usize]>;

/// The configuration of the network that `tensors` are the weights of.
///
/// Shapes do not show `direction_sum`, `normalize_ssm_inputs` and the two eps, which get their
/// official values: a file that says nothing else is taken to be without these norms. Nor do shapes
/// tell [`Skip::Add`] from [`Skip::None`] where there is no skip linear: the result is then
/// [`Skip::Add`]. Whoever knows better overrides these. The image is taken to be square.
///
/// # Errors
/// [`ModelError::Weights`] names a tensor that is absent or whose shape contradicts the others;
/// [`ModelError::Config`] a size out of range.
pub fn infer_config(tensors: &TensorMap) -> Result<DisConfig, ModelError> {
    infer(&shapes(tensors))
}

/// Checks that `tensors` can be the weights of a network of `config`, as far as shapes show.
///
/// # Errors
/// Those of [`infer_config`], and [`ModelError::Config`] with the first value that differs.
pub fn cross_check(config: &DisConfig, tensors: &TensorMap) -> Result<(), ModelError> {
    let found = infer(&shapes(tensors))?;
    for ((field, given), (_, found)) in visible(config).into_iter().zip(visible(&found)) {
        if given != found {
            return Err(ModelError::config(
                field,
                given,
                format!("{found}, as the weights have it"),
            ));
        }
    }
    Ok(())
}

/// The values that shapes show.
fn visible(c: &DisConfig) -> [(&'static str, String); 12] {
    let skip = match c.skip {
        Skip::Concat => "concat",
        Skip::Add | Skip::None => "add or none",
    };
    let conditioning = match c.conditioning {
        Conditioning::Token => "token",
        Conditioning::Adaln => "adaln",
    };
    [
        ("image_size", c.image_size.to_string()),
        ("channels", c.channels.to_string()),
        ("patch_size", c.patch_size.to_string()),
        ("num_classes", c.num_classes.to_string()),
        ("hidden_size", c.hidden_size.to_string()),
        ("depth", c.depth.to_string()),
        ("d_state", c.d_state.to_string()),
        ("d_conv", c.d_conv.to_string()),
        ("learned_variance", c.learned_variance.to_string()),
        ("skip", skip.to_string()),
        ("conditioning", conditioning.to_string()),
        ("final_adaln", c.has_final_adaln().to_string()),
    ]
}

fn shapes(tensors: &TensorMap) -> Shapes<'_> {
    tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())).collect()
}

fn infer(shapes: &Shapes<'_>) -> Result<DisConfig, ModelError> {
    let [d] = shape(shapes, "norm_f.weight", "[width]")?;
    let depth = 2 * n_in_blocks(shapes)?;
    let patch = "patch_embed.proj.weight";
    let [_, channels, p, _] = shape(shapes, patch, "[width, channels, patch, patch]")?;
    let num_classes = num_classes(shapes)?;
    let conditioning = match shapes.contains_key("mid_block.adaLN_modulation.1.weight") {
        true => Conditioning::Adaln,
        false => Conditioning::Token,
    };
    let [_, d_state] = shape(shapes, "mid_block.mixer.A_log", "[2 width, states]")?;
    let [_, _, d_conv] = shape(shapes, "mid_block.mixer.conv1d.weight", "[2 width, 1, taps]")?;
    let skip = match shapes.contains_key("out_blocks.0.skip_linear.weight") {
        true => Skip::Concat,
        false => Skip::Add,
    };
    let mut config = DisConfig {
        hidden_size: d,
        depth,
        d_state,
        d_conv,
        skip,
        conditioning,
        // Without effect when unconditional, so the official value is as good as any.
        final_adaln: num_classes == 0
            || shapes.contains_key("final_layer.adaLN_modulation.1.weight"),
        ..DisConfig::official(DisPreset::S, p, channels, p, num_classes)
    };
    check_rank(shapes, &config)?;
    config.image_size = p * side(shapes, &config)?;
    config.learned_variance = learned_variance(shapes, &config)?;
    config.validate()?;
    Ok(config)
}

/// Different numbers after `in_blocks.`.
fn n_in_blocks(shapes: &Shapes<'_>) -> Result<usize, ModelError> {
    let numbers: BTreeSet<&str> = shapes
        .keys()
        .filter_map(|name| Some(name.strip_prefix("in_blocks.")?.split_once('.')?.0))
        .collect();
    if numbers.is_empty() {
        let (kind, name) = (DifferenceKind::Missing, "in_blocks.0.mixer.A_log");
        return Err(mismatch(kind, name, "[2 width, states]".into(), String::new()));
    }
    Ok(numbers.len())
}

fn num_classes(shapes: &Shapes<'_>) -> Result<usize, ModelError> {
    let table = "label_emb.embedding_table.weight";
    if !shapes.contains_key(table) {
        return Ok(0);
    }
    let expected = "[classes + 1, width] with a class";
    match shape(shapes, table, expected)? {
        [rows, _] if rows > 1 => Ok(rows - 1),
        got => Err(contradiction(table, expected.into(), &got)),
    }
}

/// The rank of the step size follows from the width.
fn check_rank(shapes: &Shapes<'_>, config: &DisConfig) -> Result<(), ModelError> {
    let name = "mid_block.mixer.dt_proj.weight";
    let got: [usize; 2] = shape(shapes, name, "[2 width, rank]")?;
    let expected = [2 * config.hidden_size, config.delta_rank()];
    if got == expected {
        return Ok(());
    }
    let expected = format!("{expected:?}, as width {} gives it", config.hidden_size);
    Err(contradiction(name, expected, &got))
}

/// Patches along one side of the square image.
fn side(shapes: &Shapes<'_>, config: &DisConfig) -> Result<usize, ModelError> {
    let got: [usize; 3] = shape(shapes, "pos_embed", "[1, tokens, width]")?;
    let patches = got[1].saturating_sub(config.extra_tokens());
    let side = patches.isqrt();
    if side > 0 && side * side == patches {
        return Ok(side);
    }
    let expected =
        format!("[1, {} + a square number, {}]", config.extra_tokens(), config.hidden_size);
    Err(contradiction("pos_embed", expected, &got))
}

fn learned_variance(shapes: &Shapes<'_>, config: &DisConfig) -> Result<bool, ModelError> {
    let name = "final_layer.linear.weight";
    let got: [usize; 2] = shape(shapes, name, "[out channels x patch x patch, width]")?;
    let rows = config.channels.saturating_mul(config.patch_size).saturating_mul(config.patch_size);
    match got[0] {
        n if n == rows => Ok(false),
        n if n == rows.saturating_mul(2) => Ok(true),
        _ => {
            let expected = format!("[{rows} or twice that, {}]", config.hidden_size);
            Err(contradiction(name, expected, &got))
        }
    }
}

/// Shape of a tensor with `N` axes.
fn shape<const N: usize>(
    shapes: &Shapes<'_>,
    name: &str,
    expected: &str,
) -> Result<[usize; N], ModelError> {
    let Some(&got) = shapes.get(name) else {
        return Err(mismatch(DifferenceKind::Missing, name, expected.into(), String::new()));
    };
    got.try_into().map_err(|_| contradiction(name, expected.into(), got))
}

fn contradiction(name: &str, expected: String, got: &[usize]) -> ModelError {
    mismatch(DifferenceKind::Shape, name, expected, format!("{got:?}"))
}

fn mismatch(kind: DifferenceKind, name: &str, expected: String, got: String) -> ModelError {
    let difference = Difference { kind, name: name.to_string(), expected, got };
    ModelError::Weights(Box::new(Mismatch {
        source_name: "this set of tensors".into(),
        differences: vec![difference],
        hint: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::ParamLayout;

    fn inferred(config: &DisConfig) -> DisConfig {
        let layout = ParamLayout::new(config);
        infer(&layout.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect()).unwrap()
    }

    #[test]
    fn every_preset_comes_back_from_its_shapes() {
        for preset in DisPreset::ALL {
            for (image_size, channels, patch, classes) in
                [(32, 3, 2, 0), (32, 4, 2, 1000), (64, 4, 8, 0), (64, 3, 4, 10), (4, 1, 4, 1)]
            {
                let config = DisConfig::official(preset, image_size, channels, patch, classes);
                assert_eq!(inferred(&config), config);
            }
        }
    }

    #[test]
    fn every_switch_that_shapes_show_comes_back() {
        let official = DisConfig::official(DisPreset::S, 16, 3, 2, 10);
        for config in [
            DisConfig { skip: Skip::Add, ..official.clone() },
            DisConfig { conditioning: Conditioning::Adaln, ..official.clone() },
            DisConfig { conditioning: Conditioning::Adaln, num_classes: 0, ..official.clone() },
            DisConfig { final_adaln: false, ..official.clone() },
            DisConfig { learned_variance: false, ..official.clone() },
            DisConfig { d_state: 8, d_conv: 3, hidden_size: 33, depth: 2, ..official.clone() },
        ] {
            assert_eq!(inferred(&config), config);
        }
        let none = DisConfig { skip: Skip::None, ..official };
        assert_eq!(inferred(&none), DisConfig { skip: Skip::Add, ..none });
    }
}
