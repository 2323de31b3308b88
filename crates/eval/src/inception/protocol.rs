//! What an image goes through before the network, and which features are compared behind it.

use crate::EvalError;
use crate::resize::Resize;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A way of making features that published figures share. Features of two protocols are never
/// compared.
///
/// | | resize | input of the network for a value `v` of 0 .. 255 | features |
/// |---|---|---|---|
/// | `adm` | [`Resize::TensorFlow1`] | `(v - 128) / 128` | pool, spatial, logits |
/// | `pytorch-fid` | [`Resize::HalfPixel`] | `v / 127.5 - 1` | pool |
/// | `clean` | [`Resize::Bicubic`] | `(v - 128) / 128` | pool |
///
/// # Source
/// `adm` is `evaluator.py` of guided-diffusion (arXiv 2105.05233), with which ImageNet is scored.
/// `pytorch-fid` is what U-ViT (arXiv 2209.12152) and DiS score CIFAR-10 and CelebA with. `clean` is
/// clean-fid (arXiv 2104.11222).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The evaluation suite of ADM.
    Adm,
    /// pytorch-fid.
    #[serde(alias = "uvit")]
    PytorchFid,
    /// clean-fid.
    Clean,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Adm, Self::PytorchFid, Self::Clean];

    /// The name that files and flags have.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adm => "adm",
            Self::PytorchFid => "pytorch-fid",
            Self::Clean => "clean",
        }
    }

    /// How images get the size of the network.
    pub const fn resize(self) -> Resize {
        match self {
            Self::Adm => Resize::TensorFlow1,
            Self::PytorchFid => Resize::HalfPixel,
            Self::Clean => Resize::Bicubic,
        }
    }

    /// The input of the network for a resized value of 0 .. 255.
    pub fn input(self, value: f32) -> f64 {
        let value = f64::from(value);
        match self {
            Self::Adm | Self::Clean => (value - 128.0) / 128.0,
            Self::PytorchFid => value / 127.5 - 1.0,
        }
    }

    /// Whether it has spatial features and logits, for sFID and the Inception Score.
    pub const fn has_spatial_and_logits(self) -> bool {
        matches!(self, Self::Adm)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Protocol {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        let found = Self::ALL.into_iter().find(|protocol| protocol.name() == text);
        let found = found.or_else(|| (text == "uvit").then_some(Self::PytorchFid));
        let expected = "adm, pytorch-fid (or uvit) or clean";
        found.ok_or_else(|| EvalError::input("protocol", format!("{text:?}"), expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_files_and_flags() {
        for protocol in Protocol::ALL {
            let name = protocol.to_string();
            assert_eq!(name.parse::<Protocol>().unwrap(), protocol);
            assert_eq!(serde_json::to_string(&protocol).unwrap(), format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Protocol>(&format!("\"{name}\"")).unwrap(), protocol);
        }
        assert_eq!("uvit".parse::<Protocol>().unwrap(), Protocol::PytorchFid);
        assert_eq!(serde_json::from_str::<Protocol>("\"uvit\"").unwrap(), Protocol::PytorchFid);
        assert_eq!(
            "tf".parse::<Protocol>().unwrap_err().to_string(),
            "protocol is \"tf\", expected adm, pytorch-fid (or uvit) or clean"
        );
    }

    #[test]
    fn black_grey_and_white_are_where_the_protocols_have_them() {
        let ends = |protocol: Protocol| [0.0, 128.0, 255.0].map(|value| protocol.input(value));
        assert_eq!(ends(Protocol::Adm), [-1.0, 0.0, 127.0 / 128.0]);
        assert_eq!(ends(Protocol::Clean), ends(Protocol::Adm));
        assert_eq!(ends(Protocol::PytorchFid), [-1.0, 128.0 / 127.5 - 1.0, 1.0]);
    }
}
