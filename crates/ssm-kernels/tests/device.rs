//! The operators of devices against the definitions, on every device at hand: the emulator's fast build in
//! several schedules, its checked build on small shapes, and a GPU where there is one.
#![cfg(feature = "device")]

#[path = "device/adamw_ema.rs"]
mod adamw_ema;
#[path = "device/add_rms_norm.rs"]
mod add_rms_norm;
#[path = "device/causal_conv1d.rs"]
mod causal_conv1d;
#[path = "device/conv2d.rs"]
mod conv2d;
#[path = "device/cosine_loss.rs"]
mod cosine_loss;
#[path = "device/diffusion.rs"]
mod diffusion;
#[path = "device/elementwise.rs"]
mod elementwise;
#[path = "device/embed.rs"]
mod embed;
#[path = "device/framed.rs"]
mod framed;
#[path = "device/gemm.rs"]
mod gemm;
#[path = "device/group_norm.rs"]
mod group_norm;
#[path = "device/image_network.rs"]
mod image_network;
#[path = "device/layer_norm_modulate.rs"]
mod layer_norm_modulate;
#[path = "device/patchify.rs"]
mod patchify;
#[cfg(feature = "emulated")]
#[path = "device/planted.rs"]
mod planted;
#[path = "device/pool2d.rs"]
mod pool2d;
#[path = "device/segment_rms_norm.rs"]
mod segment_rms_norm;
#[path = "device/selective_scan.rs"]
mod selective_scan;
#[path = "device/softmax_rows.rs"]
mod softmax_rows;
#[path = "device/support.rs"]
mod support;
