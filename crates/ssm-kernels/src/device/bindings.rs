// @generated from kernels/include/*.h by `cargo xtask kernels bindings`; do not edit.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    reason = "generated: C names, and zeroed memory as the default of a struct of pointers"
)]

pub const DIS_ABI_VERSION: u32 = 3;
pub const DIS_ADAMW_THREADS: u32 = 256;
pub const DIS_ADAMW_TILE: u32 = 4096;
pub const DIS_ADAMW_AVERAGES: u32 = 4;
pub const DIS_NORM_THREADS: u32 = 256;
pub const DIS_NORM_WARP_WIDTH: u32 = 512;
pub const DIS_NORM_MAX_WIDTH: u32 = 4096;
pub const DIS_NORM_VECTOR: u32 = 4;
pub const DIS_CONV_WIDTH: u32 = 4;
pub const DIS_CONV_FORWARD_VECTOR: u32 = 16;
pub const DIS_CONV_BACKWARD_VECTOR: u32 = 8;
pub const DIS_CONV_FORWARD_THREADS: u32 = 256;
pub const DIS_CONV_BACKWARD_THREADS: u32 = 128;
pub const DIS_CONV2D_THREADS: u32 = 256;
pub const DIS_CONV2D_VECTOR: u32 = 8;
pub const DIS_CONV2D_COLUMNS: u32 = 128;
pub const DIS_DIFFUSION_THREADS: u32 = 256;
pub const DIS_DIFFUSION_TILE: u32 = 1024;
pub const DIS_LOSS_SHARED: u32 = 128;
pub const DIS_LOSS_TERMS_SAMPLES: u32 = 4;
pub const DIS_LOSS_FINITE_SHARED: u32 = 32;
pub const DIS_ELEMENTWISE_THREADS: u32 = 256;
pub const DIS_ELEMENTWISE_TILE: u32 = 2048;
pub const DIS_COLUMN_SUMS_COLUMNS: u32 = 128;
pub const DIS_COLUMN_SUMS_SHARED: u32 = 8192;
pub const DIS_EMBED_THREADS: u32 = 256;
pub const DIS_EMBED_VECTOR: u32 = 8;
pub const DIS_EMBED_POSITION_ELEMENTS: u32 = 256;
pub const DIS_EMBED_POSITION_THREADS: u32 = 64;
pub const DIS_EMBED_BIAS_COLUMNS: u32 = 32;
pub const DIS_EMBED_BIAS_SHARED: u32 = 1024;
pub const DIS_GROUP_NORM_THREADS: u32 = 256;
pub const DIS_GROUP_NORM_COLUMNS: u32 = 128;
pub const DIS_GROUP_NORM_PARTS_SHARED: u32 = 16384;
pub const DIS_GROUP_NORM_STATISTICS_SHARED: u32 = 72;
pub const DIS_PATCHIFY_THREADS: u32 = 256;
pub const DIS_PATCHIFY_VECTOR: u32 = 4;
pub const DIS_POOL2D_THREADS: u32 = 256;
pub const DIS_REDUCE_THREADS: u32 = 1024;
pub const DIS_REDUCE_JOBS: u32 = 8;
pub const DIS_SEGMENT_RMS_NORM_THREADS: u32 = 256;
pub const DIS_SEGMENT_RMS_NORM_LANES: u32 = 8;
pub const DIS_SCAN_STATES: u32 = 16;
pub const DIS_SCAN_TILE: u32 = 16;
pub const DIS_SCAN_FORWARD_CHANNELS: u32 = 128;
pub const DIS_SCAN_BACKWARD_CHANNELS: u32 = 64;
pub const DIS_SCAN_BACKWARD_SHARED: u32 = 43008;
pub const DIS_SCAN_SPLIT_CHANNELS: u32 = 32;
pub const DIS_SCAN_SPLIT_SHARED: u32 = 8192;
pub const DIS_SOFTMAX_ROWS_THREADS: u32 = 256;
pub const DIS_SOFTMAX_ROWS_SHARED: u32 = 64;
pub const DIS_SUM_SQUARES_THREADS: u32 = 256;
pub const DIS_SUM_SQUARES_BLOCKS: u32 = 1024;
pub const DIS_SUM_SQUARES_SHARED: u32 = 64;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisAdamwEma {
    pub params: *mut f32,
    pub grads: *const f32,
    pub m: *mut f32,
    pub v: *mut f32,
    pub averages: [*mut f32; 4usize],
    pub compute_copy: *mut ::core::ffi::c_void,
    pub no_decay: *const i64,
    pub sum_squares: *const f64,
    pub not_finite: *const u32,
    pub skipped: *mut u32,
    pub len: i64,
    pub grad_scale: f64,
    pub clip: f64,
    pub average_rest: [f32; 4usize],
    pub m_rest: f32,
    pub v_rest: f32,
    pub rate: f32,
    pub v_root: f32,
    pub eps: f32,
    pub decay: f32,
    pub average_count: i32,
    pub no_decay_count: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisAdamwEma"][::core::mem::size_of::<DisAdamwEma>() - 176usize];
    ["Alignment of DisAdamwEma"][::core::mem::align_of::<DisAdamwEma>() - 8usize];
    ["Offset of field: DisAdamwEma::params"][::core::mem::offset_of!(DisAdamwEma, params) - 0usize];
    ["Offset of field: DisAdamwEma::grads"][::core::mem::offset_of!(DisAdamwEma, grads) - 8usize];
    ["Offset of field: DisAdamwEma::m"][::core::mem::offset_of!(DisAdamwEma, m) - 16usize];
    ["Offset of field: DisAdamwEma::v"][::core::mem::offset_of!(DisAdamwEma, v) - 24usize];
    ["Offset of field: DisAdamwEma::averages"]
        [::core::mem::offset_of!(DisAdamwEma, averages) - 32usize];
    ["Offset of field: DisAdamwEma::compute_copy"]
        [::core::mem::offset_of!(DisAdamwEma, compute_copy) - 64usize];
    ["Offset of field: DisAdamwEma::no_decay"]
        [::core::mem::offset_of!(DisAdamwEma, no_decay) - 72usize];
    ["Offset of field: DisAdamwEma::sum_squares"]
        [::core::mem::offset_of!(DisAdamwEma, sum_squares) - 80usize];
    ["Offset of field: DisAdamwEma::not_finite"]
        [::core::mem::offset_of!(DisAdamwEma, not_finite) - 88usize];
    ["Offset of field: DisAdamwEma::skipped"]
        [::core::mem::offset_of!(DisAdamwEma, skipped) - 96usize];
    ["Offset of field: DisAdamwEma::len"][::core::mem::offset_of!(DisAdamwEma, len) - 104usize];
    ["Offset of field: DisAdamwEma::grad_scale"]
        [::core::mem::offset_of!(DisAdamwEma, grad_scale) - 112usize];
    ["Offset of field: DisAdamwEma::clip"][::core::mem::offset_of!(DisAdamwEma, clip) - 120usize];
    ["Offset of field: DisAdamwEma::average_rest"]
        [::core::mem::offset_of!(DisAdamwEma, average_rest) - 128usize];
    ["Offset of field: DisAdamwEma::m_rest"]
        [::core::mem::offset_of!(DisAdamwEma, m_rest) - 144usize];
    ["Offset of field: DisAdamwEma::v_rest"]
        [::core::mem::offset_of!(DisAdamwEma, v_rest) - 148usize];
    ["Offset of field: DisAdamwEma::rate"][::core::mem::offset_of!(DisAdamwEma, rate) - 152usize];
    ["Offset of field: DisAdamwEma::v_root"]
        [::core::mem::offset_of!(DisAdamwEma, v_root) - 156usize];
    ["Offset of field: DisAdamwEma::eps"][::core::mem::offset_of!(DisAdamwEma, eps) - 160usize];
    ["Offset of field: DisAdamwEma::decay"][::core::mem::offset_of!(DisAdamwEma, decay) - 164usize];
    ["Offset of field: DisAdamwEma::average_count"]
        [::core::mem::offset_of!(DisAdamwEma, average_count) - 168usize];
    ["Offset of field: DisAdamwEma::no_decay_count"]
        [::core::mem::offset_of!(DisAdamwEma, no_decay_count) - 172usize];
};
impl Default for DisAdamwEma {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisAddRmsNormForward {
    pub hidden: *const ::core::ffi::c_void,
    pub residual: *const f32,
    pub drop_path: *const f32,
    pub weight: *const f32,
    pub new_residual: *mut f32,
    pub normed: *mut ::core::ffi::c_void,
    pub rstd: *mut f32,
    pub rows: i32,
    pub seq_len: i32,
    pub width: i32,
    pub row_warps: i32,
    pub vectors: i32,
    pub eps: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisAddRmsNormForward"][::core::mem::size_of::<DisAddRmsNormForward>() - 80usize];
    ["Alignment of DisAddRmsNormForward"][::core::mem::align_of::<DisAddRmsNormForward>() - 8usize];
    ["Offset of field: DisAddRmsNormForward::hidden"]
        [::core::mem::offset_of!(DisAddRmsNormForward, hidden) - 0usize];
    ["Offset of field: DisAddRmsNormForward::residual"]
        [::core::mem::offset_of!(DisAddRmsNormForward, residual) - 8usize];
    ["Offset of field: DisAddRmsNormForward::drop_path"]
        [::core::mem::offset_of!(DisAddRmsNormForward, drop_path) - 16usize];
    ["Offset of field: DisAddRmsNormForward::weight"]
        [::core::mem::offset_of!(DisAddRmsNormForward, weight) - 24usize];
    ["Offset of field: DisAddRmsNormForward::new_residual"]
        [::core::mem::offset_of!(DisAddRmsNormForward, new_residual) - 32usize];
    ["Offset of field: DisAddRmsNormForward::normed"]
        [::core::mem::offset_of!(DisAddRmsNormForward, normed) - 40usize];
    ["Offset of field: DisAddRmsNormForward::rstd"]
        [::core::mem::offset_of!(DisAddRmsNormForward, rstd) - 48usize];
    ["Offset of field: DisAddRmsNormForward::rows"]
        [::core::mem::offset_of!(DisAddRmsNormForward, rows) - 56usize];
    ["Offset of field: DisAddRmsNormForward::seq_len"]
        [::core::mem::offset_of!(DisAddRmsNormForward, seq_len) - 60usize];
    ["Offset of field: DisAddRmsNormForward::width"]
        [::core::mem::offset_of!(DisAddRmsNormForward, width) - 64usize];
    ["Offset of field: DisAddRmsNormForward::row_warps"]
        [::core::mem::offset_of!(DisAddRmsNormForward, row_warps) - 68usize];
    ["Offset of field: DisAddRmsNormForward::vectors"]
        [::core::mem::offset_of!(DisAddRmsNormForward, vectors) - 72usize];
    ["Offset of field: DisAddRmsNormForward::eps"]
        [::core::mem::offset_of!(DisAddRmsNormForward, eps) - 76usize];
};
impl Default for DisAddRmsNormForward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisAddRmsNormBackward {
    pub residual: *const f32,
    pub rstd: *const f32,
    pub weight: *const f32,
    pub drop_path: *const f32,
    pub grad_normed: *const ::core::ffi::c_void,
    pub grad_residual: *mut f32,
    pub grad_hidden: *mut ::core::ffi::c_void,
    pub weight_parts: *mut f32,
    pub rows: i32,
    pub seq_len: i32,
    pub width: i32,
    pub row_warps: i32,
    pub vectors: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisAddRmsNormBackward"][::core::mem::size_of::<DisAddRmsNormBackward>() - 88usize];
    ["Alignment of DisAddRmsNormBackward"]
        [::core::mem::align_of::<DisAddRmsNormBackward>() - 8usize];
    ["Offset of field: DisAddRmsNormBackward::residual"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, residual) - 0usize];
    ["Offset of field: DisAddRmsNormBackward::rstd"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, rstd) - 8usize];
    ["Offset of field: DisAddRmsNormBackward::weight"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, weight) - 16usize];
    ["Offset of field: DisAddRmsNormBackward::drop_path"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, drop_path) - 24usize];
    ["Offset of field: DisAddRmsNormBackward::grad_normed"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, grad_normed) - 32usize];
    ["Offset of field: DisAddRmsNormBackward::grad_residual"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, grad_residual) - 40usize];
    ["Offset of field: DisAddRmsNormBackward::grad_hidden"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, grad_hidden) - 48usize];
    ["Offset of field: DisAddRmsNormBackward::weight_parts"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, weight_parts) - 56usize];
    ["Offset of field: DisAddRmsNormBackward::rows"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, rows) - 64usize];
    ["Offset of field: DisAddRmsNormBackward::seq_len"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, seq_len) - 68usize];
    ["Offset of field: DisAddRmsNormBackward::width"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, width) - 72usize];
    ["Offset of field: DisAddRmsNormBackward::row_warps"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, row_warps) - 76usize];
    ["Offset of field: DisAddRmsNormBackward::vectors"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, vectors) - 80usize];
    ["Offset of field: DisAddRmsNormBackward::unused"]
        [::core::mem::offset_of!(DisAddRmsNormBackward, unused) - 84usize];
};
impl Default for DisAddRmsNormBackward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisConvForward {
    pub x: *const ::core::ffi::c_void,
    pub weight: [*const f32; 2usize],
    pub bias: [*const f32; 2usize],
    pub out: [*mut ::core::ffi::c_void; 2usize],
    pub x_stride: i64,
    pub seq_len: i32,
    pub channels: i32,
    pub strip_tokens: i32,
    pub vectors: i32,
    pub right_to_left: [i32; 2usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisConvForward"][::core::mem::size_of::<DisConvForward>() - 88usize];
    ["Alignment of DisConvForward"][::core::mem::align_of::<DisConvForward>() - 8usize];
    ["Offset of field: DisConvForward::x"][::core::mem::offset_of!(DisConvForward, x) - 0usize];
    ["Offset of field: DisConvForward::weight"]
        [::core::mem::offset_of!(DisConvForward, weight) - 8usize];
    ["Offset of field: DisConvForward::bias"]
        [::core::mem::offset_of!(DisConvForward, bias) - 24usize];
    ["Offset of field: DisConvForward::out"]
        [::core::mem::offset_of!(DisConvForward, out) - 40usize];
    ["Offset of field: DisConvForward::x_stride"]
        [::core::mem::offset_of!(DisConvForward, x_stride) - 56usize];
    ["Offset of field: DisConvForward::seq_len"]
        [::core::mem::offset_of!(DisConvForward, seq_len) - 64usize];
    ["Offset of field: DisConvForward::channels"]
        [::core::mem::offset_of!(DisConvForward, channels) - 68usize];
    ["Offset of field: DisConvForward::strip_tokens"]
        [::core::mem::offset_of!(DisConvForward, strip_tokens) - 72usize];
    ["Offset of field: DisConvForward::vectors"]
        [::core::mem::offset_of!(DisConvForward, vectors) - 76usize];
    ["Offset of field: DisConvForward::right_to_left"]
        [::core::mem::offset_of!(DisConvForward, right_to_left) - 80usize];
};
impl Default for DisConvForward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisConvBackward {
    pub x: *const ::core::ffi::c_void,
    pub weight: [*const f32; 2usize],
    pub bias: [*const f32; 2usize],
    pub grad_out: [*const ::core::ffi::c_void; 2usize],
    pub grad_x: *mut ::core::ffi::c_void,
    pub parameter_parts: [*mut f32; 2usize],
    pub x_stride: i64,
    pub grad_x_stride: i64,
    pub seq_len: i32,
    pub channels: i32,
    pub strip_tokens: i32,
    pub vectors: i32,
    pub right_to_left: [i32; 2usize],
    pub directions: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisConvBackward"][::core::mem::size_of::<DisConvBackward>() - 128usize];
    ["Alignment of DisConvBackward"][::core::mem::align_of::<DisConvBackward>() - 8usize];
    ["Offset of field: DisConvBackward::x"][::core::mem::offset_of!(DisConvBackward, x) - 0usize];
    ["Offset of field: DisConvBackward::weight"]
        [::core::mem::offset_of!(DisConvBackward, weight) - 8usize];
    ["Offset of field: DisConvBackward::bias"]
        [::core::mem::offset_of!(DisConvBackward, bias) - 24usize];
    ["Offset of field: DisConvBackward::grad_out"]
        [::core::mem::offset_of!(DisConvBackward, grad_out) - 40usize];
    ["Offset of field: DisConvBackward::grad_x"]
        [::core::mem::offset_of!(DisConvBackward, grad_x) - 56usize];
    ["Offset of field: DisConvBackward::parameter_parts"]
        [::core::mem::offset_of!(DisConvBackward, parameter_parts) - 64usize];
    ["Offset of field: DisConvBackward::x_stride"]
        [::core::mem::offset_of!(DisConvBackward, x_stride) - 80usize];
    ["Offset of field: DisConvBackward::grad_x_stride"]
        [::core::mem::offset_of!(DisConvBackward, grad_x_stride) - 88usize];
    ["Offset of field: DisConvBackward::seq_len"]
        [::core::mem::offset_of!(DisConvBackward, seq_len) - 96usize];
    ["Offset of field: DisConvBackward::channels"]
        [::core::mem::offset_of!(DisConvBackward, channels) - 100usize];
    ["Offset of field: DisConvBackward::strip_tokens"]
        [::core::mem::offset_of!(DisConvBackward, strip_tokens) - 104usize];
    ["Offset of field: DisConvBackward::vectors"]
        [::core::mem::offset_of!(DisConvBackward, vectors) - 108usize];
    ["Offset of field: DisConvBackward::right_to_left"]
        [::core::mem::offset_of!(DisConvBackward, right_to_left) - 112usize];
    ["Offset of field: DisConvBackward::directions"]
        [::core::mem::offset_of!(DisConvBackward, directions) - 120usize];
    ["Offset of field: DisConvBackward::unused"]
        [::core::mem::offset_of!(DisConvBackward, unused) - 124usize];
};
impl Default for DisConvBackward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisConv2dGather {
    pub x: *const ::core::ffi::c_void,
    pub patches: *mut ::core::ffi::c_void,
    pub height: i32,
    pub width: i32,
    pub channels: i32,
    pub x_stride: i32,
    pub kernel_height: i32,
    pub kernel_width: i32,
    pub stride: i32,
    pub pad_top: i32,
    pub pad_left: i32,
    pub doubled: i32,
    pub out_height: i32,
    pub out_width: i32,
    pub row_len: i32,
    pub rows: i32,
    pub first_row: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisConv2dGather"][::core::mem::size_of::<DisConv2dGather>() - 80usize];
    ["Alignment of DisConv2dGather"][::core::mem::align_of::<DisConv2dGather>() - 8usize];
    ["Offset of field: DisConv2dGather::x"][::core::mem::offset_of!(DisConv2dGather, x) - 0usize];
    ["Offset of field: DisConv2dGather::patches"]
        [::core::mem::offset_of!(DisConv2dGather, patches) - 8usize];
    ["Offset of field: DisConv2dGather::height"]
        [::core::mem::offset_of!(DisConv2dGather, height) - 16usize];
    ["Offset of field: DisConv2dGather::width"]
        [::core::mem::offset_of!(DisConv2dGather, width) - 20usize];
    ["Offset of field: DisConv2dGather::channels"]
        [::core::mem::offset_of!(DisConv2dGather, channels) - 24usize];
    ["Offset of field: DisConv2dGather::x_stride"]
        [::core::mem::offset_of!(DisConv2dGather, x_stride) - 28usize];
    ["Offset of field: DisConv2dGather::kernel_height"]
        [::core::mem::offset_of!(DisConv2dGather, kernel_height) - 32usize];
    ["Offset of field: DisConv2dGather::kernel_width"]
        [::core::mem::offset_of!(DisConv2dGather, kernel_width) - 36usize];
    ["Offset of field: DisConv2dGather::stride"]
        [::core::mem::offset_of!(DisConv2dGather, stride) - 40usize];
    ["Offset of field: DisConv2dGather::pad_top"]
        [::core::mem::offset_of!(DisConv2dGather, pad_top) - 44usize];
    ["Offset of field: DisConv2dGather::pad_left"]
        [::core::mem::offset_of!(DisConv2dGather, pad_left) - 48usize];
    ["Offset of field: DisConv2dGather::doubled"]
        [::core::mem::offset_of!(DisConv2dGather, doubled) - 52usize];
    ["Offset of field: DisConv2dGather::out_height"]
        [::core::mem::offset_of!(DisConv2dGather, out_height) - 56usize];
    ["Offset of field: DisConv2dGather::out_width"]
        [::core::mem::offset_of!(DisConv2dGather, out_width) - 60usize];
    ["Offset of field: DisConv2dGather::row_len"]
        [::core::mem::offset_of!(DisConv2dGather, row_len) - 64usize];
    ["Offset of field: DisConv2dGather::rows"]
        [::core::mem::offset_of!(DisConv2dGather, rows) - 68usize];
    ["Offset of field: DisConv2dGather::first_row"]
        [::core::mem::offset_of!(DisConv2dGather, first_row) - 72usize];
    ["Offset of field: DisConv2dGather::unused"]
        [::core::mem::offset_of!(DisConv2dGather, unused) - 76usize];
};
impl Default for DisConv2dGather {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisConv2dFinish {
    pub sums: *const f32,
    pub bias: *const f32,
    pub add: *const ::core::ffi::c_void,
    pub out: *mut ::core::ffi::c_void,
    pub pixels: i64,
    pub pixels_per_part: i32,
    pub channels: i32,
    pub sums_stride: i32,
    pub out_stride: i32,
    pub relu: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisConv2dFinish"][::core::mem::size_of::<DisConv2dFinish>() - 64usize];
    ["Alignment of DisConv2dFinish"][::core::mem::align_of::<DisConv2dFinish>() - 8usize];
    ["Offset of field: DisConv2dFinish::sums"]
        [::core::mem::offset_of!(DisConv2dFinish, sums) - 0usize];
    ["Offset of field: DisConv2dFinish::bias"]
        [::core::mem::offset_of!(DisConv2dFinish, bias) - 8usize];
    ["Offset of field: DisConv2dFinish::add"]
        [::core::mem::offset_of!(DisConv2dFinish, add) - 16usize];
    ["Offset of field: DisConv2dFinish::out"]
        [::core::mem::offset_of!(DisConv2dFinish, out) - 24usize];
    ["Offset of field: DisConv2dFinish::pixels"]
        [::core::mem::offset_of!(DisConv2dFinish, pixels) - 32usize];
    ["Offset of field: DisConv2dFinish::pixels_per_part"]
        [::core::mem::offset_of!(DisConv2dFinish, pixels_per_part) - 40usize];
    ["Offset of field: DisConv2dFinish::channels"]
        [::core::mem::offset_of!(DisConv2dFinish, channels) - 44usize];
    ["Offset of field: DisConv2dFinish::sums_stride"]
        [::core::mem::offset_of!(DisConv2dFinish, sums_stride) - 48usize];
    ["Offset of field: DisConv2dFinish::out_stride"]
        [::core::mem::offset_of!(DisConv2dFinish, out_stride) - 52usize];
    ["Offset of field: DisConv2dFinish::relu"]
        [::core::mem::offset_of!(DisConv2dFinish, relu) - 56usize];
    ["Offset of field: DisConv2dFinish::unused"]
        [::core::mem::offset_of!(DisConv2dFinish, unused) - 60usize];
};
impl Default for DisConv2dFinish {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisQSample {
    pub x0: *const f32,
    pub x_t: *mut f32,
    pub noise: *mut f32,
    pub levels: *const f32,
    pub positions: *const u64,
    pub seed: u64,
    pub sample_len: i64,
    pub batch: i32,
    pub purpose: u32,
    pub sub: u32,
    pub unused: u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisQSample"][::core::mem::size_of::<DisQSample>() - 72usize];
    ["Alignment of DisQSample"][::core::mem::align_of::<DisQSample>() - 8usize];
    ["Offset of field: DisQSample::x0"][::core::mem::offset_of!(DisQSample, x0) - 0usize];
    ["Offset of field: DisQSample::x_t"][::core::mem::offset_of!(DisQSample, x_t) - 8usize];
    ["Offset of field: DisQSample::noise"][::core::mem::offset_of!(DisQSample, noise) - 16usize];
    ["Offset of field: DisQSample::levels"][::core::mem::offset_of!(DisQSample, levels) - 24usize];
    ["Offset of field: DisQSample::positions"]
        [::core::mem::offset_of!(DisQSample, positions) - 32usize];
    ["Offset of field: DisQSample::seed"][::core::mem::offset_of!(DisQSample, seed) - 40usize];
    ["Offset of field: DisQSample::sample_len"]
        [::core::mem::offset_of!(DisQSample, sample_len) - 48usize];
    ["Offset of field: DisQSample::batch"][::core::mem::offset_of!(DisQSample, batch) - 56usize];
    ["Offset of field: DisQSample::purpose"]
        [::core::mem::offset_of!(DisQSample, purpose) - 60usize];
    ["Offset of field: DisQSample::sub"][::core::mem::offset_of!(DisQSample, sub) - 64usize];
    ["Offset of field: DisQSample::unused"][::core::mem::offset_of!(DisQSample, unused) - 68usize];
};
impl Default for DisQSample {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct DisLossRow {
    pub error_slope: f64,
    pub mean_slope: f64,
    pub variance_slope: f64,
    pub half_range: f64,
    pub log_variance: f64,
    pub precision: f64,
    pub noise_per_data: f64,
    pub is_first: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisLossRow"][::core::mem::size_of::<DisLossRow>() - 64usize];
    ["Alignment of DisLossRow"][::core::mem::align_of::<DisLossRow>() - 8usize];
    ["Offset of field: DisLossRow::error_slope"]
        [::core::mem::offset_of!(DisLossRow, error_slope) - 0usize];
    ["Offset of field: DisLossRow::mean_slope"]
        [::core::mem::offset_of!(DisLossRow, mean_slope) - 8usize];
    ["Offset of field: DisLossRow::variance_slope"]
        [::core::mem::offset_of!(DisLossRow, variance_slope) - 16usize];
    ["Offset of field: DisLossRow::half_range"]
        [::core::mem::offset_of!(DisLossRow, half_range) - 24usize];
    ["Offset of field: DisLossRow::log_variance"]
        [::core::mem::offset_of!(DisLossRow, log_variance) - 32usize];
    ["Offset of field: DisLossRow::precision"]
        [::core::mem::offset_of!(DisLossRow, precision) - 40usize];
    ["Offset of field: DisLossRow::noise_per_data"]
        [::core::mem::offset_of!(DisLossRow, noise_per_data) - 48usize];
    ["Offset of field: DisLossRow::is_first"]
        [::core::mem::offset_of!(DisLossRow, is_first) - 56usize];
    ["Offset of field: DisLossRow::unused"][::core::mem::offset_of!(DisLossRow, unused) - 60usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisHybridLoss {
    pub output: *const f32,
    pub x0: *const f32,
    pub noise: *const f32,
    pub rows: *const DisLossRow,
    pub grad_output: *mut f32,
    pub partials: *mut f64,
    pub sample_len: i64,
    pub batch: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisHybridLoss"][::core::mem::size_of::<DisHybridLoss>() - 64usize];
    ["Alignment of DisHybridLoss"][::core::mem::align_of::<DisHybridLoss>() - 8usize];
    ["Offset of field: DisHybridLoss::output"]
        [::core::mem::offset_of!(DisHybridLoss, output) - 0usize];
    ["Offset of field: DisHybridLoss::x0"][::core::mem::offset_of!(DisHybridLoss, x0) - 8usize];
    ["Offset of field: DisHybridLoss::noise"]
        [::core::mem::offset_of!(DisHybridLoss, noise) - 16usize];
    ["Offset of field: DisHybridLoss::rows"]
        [::core::mem::offset_of!(DisHybridLoss, rows) - 24usize];
    ["Offset of field: DisHybridLoss::grad_output"]
        [::core::mem::offset_of!(DisHybridLoss, grad_output) - 32usize];
    ["Offset of field: DisHybridLoss::partials"]
        [::core::mem::offset_of!(DisHybridLoss, partials) - 40usize];
    ["Offset of field: DisHybridLoss::sample_len"]
        [::core::mem::offset_of!(DisHybridLoss, sample_len) - 48usize];
    ["Offset of field: DisHybridLoss::batch"]
        [::core::mem::offset_of!(DisHybridLoss, batch) - 56usize];
    ["Offset of field: DisHybridLoss::unused"]
        [::core::mem::offset_of!(DisHybridLoss, unused) - 60usize];
};
impl Default for DisHybridLoss {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct DisSquaredErrorRow {
    pub data: f32,
    pub noise: f32,
    pub slope: f32,
    pub cosine_slope: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisSquaredErrorRow"][::core::mem::size_of::<DisSquaredErrorRow>() - 16usize];
    ["Alignment of DisSquaredErrorRow"][::core::mem::align_of::<DisSquaredErrorRow>() - 4usize];
    ["Offset of field: DisSquaredErrorRow::data"]
        [::core::mem::offset_of!(DisSquaredErrorRow, data) - 0usize];
    ["Offset of field: DisSquaredErrorRow::noise"]
        [::core::mem::offset_of!(DisSquaredErrorRow, noise) - 4usize];
    ["Offset of field: DisSquaredErrorRow::slope"]
        [::core::mem::offset_of!(DisSquaredErrorRow, slope) - 8usize];
    ["Offset of field: DisSquaredErrorRow::cosine_slope"]
        [::core::mem::offset_of!(DisSquaredErrorRow, cosine_slope) - 12usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisSquaredErrorLoss {
    pub output: *const f32,
    pub x0: *const f32,
    pub noise: *const f32,
    pub rows: *const DisSquaredErrorRow,
    pub grad_output: *mut f32,
    pub partials: *mut f64,
    pub sample_len: i64,
    pub pixels: i64,
    pub batch: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisSquaredErrorLoss"][::core::mem::size_of::<DisSquaredErrorLoss>() - 72usize];
    ["Alignment of DisSquaredErrorLoss"][::core::mem::align_of::<DisSquaredErrorLoss>() - 8usize];
    ["Offset of field: DisSquaredErrorLoss::output"]
        [::core::mem::offset_of!(DisSquaredErrorLoss, output) - 0usize];
    ["Offset of field: DisSquaredErrorLoss::x0"]
        [::core::mem::offset_of!(DisSquaredErrorLoss, x0) - 8usize];
    ["Offset of field: DisSquaredErrorLoss::noise"]
        [::core::mem::offset_of!(DisSquaredErrorLoss, noise) - 16usize];
    ["Offset of field: DisSquaredErrorLoss::rows"]
        [::core::mem::offset_of!(DisSquaredErrorLoss, rows) - 24usize];
    ["Offset of field: DisSquaredErrorLoss::grad_output"]
        [::core::mem::offset_of!(DisSquaredErrorLoss, grad_output) - 32usize];
    ["Offset of field: DisSquaredErrorLoss::partials"]
        [::core::mem::offset_of!(DisSquaredErrorLoss, partials) - 40usize];
    ["Offset of field: DisSquaredErrorLoss::sample_len"]
        [::core::mem::offset_of!(DisSquaredErrorLoss, sample_len) - 48usize];
    ["Offset of field: DisSquaredErrorLoss::pixels"]
        [::core::mem::offset_of!(DisSquaredErrorLoss, pixels) - 56usize];
    ["Offset of field: DisSquaredErrorLoss::batch"]
        [::core::mem::offset_of!(DisSquaredErrorLoss, batch) - 64usize];
    ["Offset of field: DisSquaredErrorLoss::unused"]
        [::core::mem::offset_of!(DisSquaredErrorLoss, unused) - 68usize];
};
impl Default for DisSquaredErrorLoss {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisLossTerms {
    pub partials: *const f64,
    pub terms: *mut f64,
    pub sample_len: i64,
    pub second_factor: f64,
    pub batch: i32,
    pub parts: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisLossTerms"][::core::mem::size_of::<DisLossTerms>() - 40usize];
    ["Alignment of DisLossTerms"][::core::mem::align_of::<DisLossTerms>() - 8usize];
    ["Offset of field: DisLossTerms::partials"]
        [::core::mem::offset_of!(DisLossTerms, partials) - 0usize];
    ["Offset of field: DisLossTerms::terms"][::core::mem::offset_of!(DisLossTerms, terms) - 8usize];
    ["Offset of field: DisLossTerms::sample_len"]
        [::core::mem::offset_of!(DisLossTerms, sample_len) - 16usize];
    ["Offset of field: DisLossTerms::second_factor"]
        [::core::mem::offset_of!(DisLossTerms, second_factor) - 24usize];
    ["Offset of field: DisLossTerms::batch"]
        [::core::mem::offset_of!(DisLossTerms, batch) - 32usize];
    ["Offset of field: DisLossTerms::parts"]
        [::core::mem::offset_of!(DisLossTerms, parts) - 36usize];
};
impl Default for DisLossTerms {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisLossFinite {
    pub terms: *const f64,
    pub not_finite: *mut u32,
    pub len: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisLossFinite"][::core::mem::size_of::<DisLossFinite>() - 24usize];
    ["Alignment of DisLossFinite"][::core::mem::align_of::<DisLossFinite>() - 8usize];
    ["Offset of field: DisLossFinite::terms"]
        [::core::mem::offset_of!(DisLossFinite, terms) - 0usize];
    ["Offset of field: DisLossFinite::not_finite"]
        [::core::mem::offset_of!(DisLossFinite, not_finite) - 8usize];
    ["Offset of field: DisLossFinite::len"][::core::mem::offset_of!(DisLossFinite, len) - 16usize];
};
impl Default for DisLossFinite {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisFillRows {
    pub row: *const f32,
    pub out: *mut ::core::ffi::c_void,
    pub rows: i64,
    pub columns: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisFillRows"][::core::mem::size_of::<DisFillRows>() - 32usize];
    ["Alignment of DisFillRows"][::core::mem::align_of::<DisFillRows>() - 8usize];
    ["Offset of field: DisFillRows::row"][::core::mem::offset_of!(DisFillRows, row) - 0usize];
    ["Offset of field: DisFillRows::out"][::core::mem::offset_of!(DisFillRows, out) - 8usize];
    ["Offset of field: DisFillRows::rows"][::core::mem::offset_of!(DisFillRows, rows) - 16usize];
    ["Offset of field: DisFillRows::columns"]
        [::core::mem::offset_of!(DisFillRows, columns) - 24usize];
    ["Offset of field: DisFillRows::unused"]
        [::core::mem::offset_of!(DisFillRows, unused) - 28usize];
};
impl Default for DisFillRows {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisColumnSums {
    pub x: *const ::core::ffi::c_void,
    pub partials: *mut f32,
    pub stride: i64,
    pub rows: i64,
    pub rows_per_part: i32,
    pub columns: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisColumnSums"][::core::mem::size_of::<DisColumnSums>() - 40usize];
    ["Alignment of DisColumnSums"][::core::mem::align_of::<DisColumnSums>() - 8usize];
    ["Offset of field: DisColumnSums::x"][::core::mem::offset_of!(DisColumnSums, x) - 0usize];
    ["Offset of field: DisColumnSums::partials"]
        [::core::mem::offset_of!(DisColumnSums, partials) - 8usize];
    ["Offset of field: DisColumnSums::stride"]
        [::core::mem::offset_of!(DisColumnSums, stride) - 16usize];
    ["Offset of field: DisColumnSums::rows"]
        [::core::mem::offset_of!(DisColumnSums, rows) - 24usize];
    ["Offset of field: DisColumnSums::rows_per_part"]
        [::core::mem::offset_of!(DisColumnSums, rows_per_part) - 32usize];
    ["Offset of field: DisColumnSums::columns"]
        [::core::mem::offset_of!(DisColumnSums, columns) - 36usize];
};
impl Default for DisColumnSums {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisAdd {
    pub a: *const ::core::ffi::c_void,
    pub b: *const ::core::ffi::c_void,
    pub out: *mut ::core::ffi::c_void,
    pub len: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisAdd"][::core::mem::size_of::<DisAdd>() - 32usize];
    ["Alignment of DisAdd"][::core::mem::align_of::<DisAdd>() - 8usize];
    ["Offset of field: DisAdd::a"][::core::mem::offset_of!(DisAdd, a) - 0usize];
    ["Offset of field: DisAdd::b"][::core::mem::offset_of!(DisAdd, b) - 8usize];
    ["Offset of field: DisAdd::out"][::core::mem::offset_of!(DisAdd, out) - 16usize];
    ["Offset of field: DisAdd::len"][::core::mem::offset_of!(DisAdd, len) - 24usize];
};
impl Default for DisAdd {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisAccumulate {
    pub from: *const ::core::ffi::c_void,
    pub to: *mut f32,
    pub len: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisAccumulate"][::core::mem::size_of::<DisAccumulate>() - 24usize];
    ["Alignment of DisAccumulate"][::core::mem::align_of::<DisAccumulate>() - 8usize];
    ["Offset of field: DisAccumulate::from"][::core::mem::offset_of!(DisAccumulate, from) - 0usize];
    ["Offset of field: DisAccumulate::to"][::core::mem::offset_of!(DisAccumulate, to) - 8usize];
    ["Offset of field: DisAccumulate::len"][::core::mem::offset_of!(DisAccumulate, len) - 16usize];
};
impl Default for DisAccumulate {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisSilu {
    pub x: *const ::core::ffi::c_void,
    pub out: *mut ::core::ffi::c_void,
    pub len: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisSilu"][::core::mem::size_of::<DisSilu>() - 24usize];
    ["Alignment of DisSilu"][::core::mem::align_of::<DisSilu>() - 8usize];
    ["Offset of field: DisSilu::x"][::core::mem::offset_of!(DisSilu, x) - 0usize];
    ["Offset of field: DisSilu::out"][::core::mem::offset_of!(DisSilu, out) - 8usize];
    ["Offset of field: DisSilu::len"][::core::mem::offset_of!(DisSilu, len) - 16usize];
};
impl Default for DisSilu {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisSiluBackward {
    pub x: *const ::core::ffi::c_void,
    pub grad: *mut ::core::ffi::c_void,
    pub len: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisSiluBackward"][::core::mem::size_of::<DisSiluBackward>() - 24usize];
    ["Alignment of DisSiluBackward"][::core::mem::align_of::<DisSiluBackward>() - 8usize];
    ["Offset of field: DisSiluBackward::x"][::core::mem::offset_of!(DisSiluBackward, x) - 0usize];
    ["Offset of field: DisSiluBackward::grad"]
        [::core::mem::offset_of!(DisSiluBackward, grad) - 8usize];
    ["Offset of field: DisSiluBackward::len"]
        [::core::mem::offset_of!(DisSiluBackward, len) - 16usize];
};
impl Default for DisSiluBackward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisNarrow {
    pub from: *const f32,
    pub to: *mut ::core::ffi::c_void,
    pub len: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisNarrow"][::core::mem::size_of::<DisNarrow>() - 24usize];
    ["Alignment of DisNarrow"][::core::mem::align_of::<DisNarrow>() - 8usize];
    ["Offset of field: DisNarrow::from"][::core::mem::offset_of!(DisNarrow, from) - 0usize];
    ["Offset of field: DisNarrow::to"][::core::mem::offset_of!(DisNarrow, to) - 8usize];
    ["Offset of field: DisNarrow::len"][::core::mem::offset_of!(DisNarrow, len) - 16usize];
};
impl Default for DisNarrow {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisWiden {
    pub from: *const ::core::ffi::c_void,
    pub to: *mut f32,
    pub len: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisWiden"][::core::mem::size_of::<DisWiden>() - 24usize];
    ["Alignment of DisWiden"][::core::mem::align_of::<DisWiden>() - 8usize];
    ["Offset of field: DisWiden::from"][::core::mem::offset_of!(DisWiden, from) - 0usize];
    ["Offset of field: DisWiden::to"][::core::mem::offset_of!(DisWiden, to) - 8usize];
    ["Offset of field: DisWiden::len"][::core::mem::offset_of!(DisWiden, len) - 16usize];
};
impl Default for DisWiden {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisResidualAdd {
    pub hidden: *const ::core::ffi::c_void,
    pub residual: *const f32,
    pub drop_path: *const f32,
    pub out: *mut f32,
    pub image_len: i64,
    pub batch: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisResidualAdd"][::core::mem::size_of::<DisResidualAdd>() - 48usize];
    ["Alignment of DisResidualAdd"][::core::mem::align_of::<DisResidualAdd>() - 8usize];
    ["Offset of field: DisResidualAdd::hidden"]
        [::core::mem::offset_of!(DisResidualAdd, hidden) - 0usize];
    ["Offset of field: DisResidualAdd::residual"]
        [::core::mem::offset_of!(DisResidualAdd, residual) - 8usize];
    ["Offset of field: DisResidualAdd::drop_path"]
        [::core::mem::offset_of!(DisResidualAdd, drop_path) - 16usize];
    ["Offset of field: DisResidualAdd::out"]
        [::core::mem::offset_of!(DisResidualAdd, out) - 24usize];
    ["Offset of field: DisResidualAdd::image_len"]
        [::core::mem::offset_of!(DisResidualAdd, image_len) - 32usize];
    ["Offset of field: DisResidualAdd::batch"]
        [::core::mem::offset_of!(DisResidualAdd, batch) - 40usize];
    ["Offset of field: DisResidualAdd::unused"]
        [::core::mem::offset_of!(DisResidualAdd, unused) - 44usize];
};
impl Default for DisResidualAdd {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisDropPath {
    pub x: *const f32,
    pub drop_path: *const f32,
    pub out: *mut ::core::ffi::c_void,
    pub image_len: i64,
    pub batch: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisDropPath"][::core::mem::size_of::<DisDropPath>() - 40usize];
    ["Alignment of DisDropPath"][::core::mem::align_of::<DisDropPath>() - 8usize];
    ["Offset of field: DisDropPath::x"][::core::mem::offset_of!(DisDropPath, x) - 0usize];
    ["Offset of field: DisDropPath::drop_path"]
        [::core::mem::offset_of!(DisDropPath, drop_path) - 8usize];
    ["Offset of field: DisDropPath::out"][::core::mem::offset_of!(DisDropPath, out) - 16usize];
    ["Offset of field: DisDropPath::image_len"]
        [::core::mem::offset_of!(DisDropPath, image_len) - 24usize];
    ["Offset of field: DisDropPath::batch"][::core::mem::offset_of!(DisDropPath, batch) - 32usize];
    ["Offset of field: DisDropPath::unused"]
        [::core::mem::offset_of!(DisDropPath, unused) - 36usize];
};
impl Default for DisDropPath {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisEmbedPhases {
    pub timesteps: *const f64,
    pub phases: *mut ::core::ffi::c_void,
    pub batch: i32,
    pub width: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisEmbedPhases"][::core::mem::size_of::<DisEmbedPhases>() - 24usize];
    ["Alignment of DisEmbedPhases"][::core::mem::align_of::<DisEmbedPhases>() - 8usize];
    ["Offset of field: DisEmbedPhases::timesteps"]
        [::core::mem::offset_of!(DisEmbedPhases, timesteps) - 0usize];
    ["Offset of field: DisEmbedPhases::phases"]
        [::core::mem::offset_of!(DisEmbedPhases, phases) - 8usize];
    ["Offset of field: DisEmbedPhases::batch"]
        [::core::mem::offset_of!(DisEmbedPhases, batch) - 16usize];
    ["Offset of field: DisEmbedPhases::width"]
        [::core::mem::offset_of!(DisEmbedPhases, width) - 20usize];
};
impl Default for DisEmbedPhases {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisEmbedCondition {
    pub time: *const ::core::ffi::c_void,
    pub table: *const f32,
    pub labels: *const u32,
    pub sum: *mut ::core::ffi::c_void,
    pub condition: *mut ::core::ffi::c_void,
    pub batch: i32,
    pub width: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisEmbedCondition"][::core::mem::size_of::<DisEmbedCondition>() - 48usize];
    ["Alignment of DisEmbedCondition"][::core::mem::align_of::<DisEmbedCondition>() - 8usize];
    ["Offset of field: DisEmbedCondition::time"]
        [::core::mem::offset_of!(DisEmbedCondition, time) - 0usize];
    ["Offset of field: DisEmbedCondition::table"]
        [::core::mem::offset_of!(DisEmbedCondition, table) - 8usize];
    ["Offset of field: DisEmbedCondition::labels"]
        [::core::mem::offset_of!(DisEmbedCondition, labels) - 16usize];
    ["Offset of field: DisEmbedCondition::sum"]
        [::core::mem::offset_of!(DisEmbedCondition, sum) - 24usize];
    ["Offset of field: DisEmbedCondition::condition"]
        [::core::mem::offset_of!(DisEmbedCondition, condition) - 32usize];
    ["Offset of field: DisEmbedCondition::batch"]
        [::core::mem::offset_of!(DisEmbedCondition, batch) - 40usize];
    ["Offset of field: DisEmbedCondition::width"]
        [::core::mem::offset_of!(DisEmbedCondition, width) - 44usize];
};
impl Default for DisEmbedCondition {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisEmbedTokens {
    pub tokens: *mut ::core::ffi::c_void,
    pub bias: *const f32,
    pub position: *const f32,
    pub time: *const ::core::ffi::c_void,
    pub table: *const f32,
    pub labels: *const u32,
    pub batch: i32,
    pub seq_len: i32,
    pub width: i32,
    pub extra: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisEmbedTokens"][::core::mem::size_of::<DisEmbedTokens>() - 64usize];
    ["Alignment of DisEmbedTokens"][::core::mem::align_of::<DisEmbedTokens>() - 8usize];
    ["Offset of field: DisEmbedTokens::tokens"]
        [::core::mem::offset_of!(DisEmbedTokens, tokens) - 0usize];
    ["Offset of field: DisEmbedTokens::bias"]
        [::core::mem::offset_of!(DisEmbedTokens, bias) - 8usize];
    ["Offset of field: DisEmbedTokens::position"]
        [::core::mem::offset_of!(DisEmbedTokens, position) - 16usize];
    ["Offset of field: DisEmbedTokens::time"]
        [::core::mem::offset_of!(DisEmbedTokens, time) - 24usize];
    ["Offset of field: DisEmbedTokens::table"]
        [::core::mem::offset_of!(DisEmbedTokens, table) - 32usize];
    ["Offset of field: DisEmbedTokens::labels"]
        [::core::mem::offset_of!(DisEmbedTokens, labels) - 40usize];
    ["Offset of field: DisEmbedTokens::batch"]
        [::core::mem::offset_of!(DisEmbedTokens, batch) - 48usize];
    ["Offset of field: DisEmbedTokens::seq_len"]
        [::core::mem::offset_of!(DisEmbedTokens, seq_len) - 52usize];
    ["Offset of field: DisEmbedTokens::width"]
        [::core::mem::offset_of!(DisEmbedTokens, width) - 56usize];
    ["Offset of field: DisEmbedTokens::extra"]
        [::core::mem::offset_of!(DisEmbedTokens, extra) - 60usize];
};
impl Default for DisEmbedTokens {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisEmbedPositionBackward {
    pub grad_tokens: *const ::core::ffi::c_void,
    pub grad_position: *mut f32,
    pub token_sums: *mut f32,
    pub batch: i32,
    pub seq_len: i32,
    pub width: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisEmbedPositionBackward"]
        [::core::mem::size_of::<DisEmbedPositionBackward>() - 40usize];
    ["Alignment of DisEmbedPositionBackward"]
        [::core::mem::align_of::<DisEmbedPositionBackward>() - 8usize];
    ["Offset of field: DisEmbedPositionBackward::grad_tokens"]
        [::core::mem::offset_of!(DisEmbedPositionBackward, grad_tokens) - 0usize];
    ["Offset of field: DisEmbedPositionBackward::grad_position"]
        [::core::mem::offset_of!(DisEmbedPositionBackward, grad_position) - 8usize];
    ["Offset of field: DisEmbedPositionBackward::token_sums"]
        [::core::mem::offset_of!(DisEmbedPositionBackward, token_sums) - 16usize];
    ["Offset of field: DisEmbedPositionBackward::batch"]
        [::core::mem::offset_of!(DisEmbedPositionBackward, batch) - 24usize];
    ["Offset of field: DisEmbedPositionBackward::seq_len"]
        [::core::mem::offset_of!(DisEmbedPositionBackward, seq_len) - 28usize];
    ["Offset of field: DisEmbedPositionBackward::width"]
        [::core::mem::offset_of!(DisEmbedPositionBackward, width) - 32usize];
    ["Offset of field: DisEmbedPositionBackward::unused"]
        [::core::mem::offset_of!(DisEmbedPositionBackward, unused) - 36usize];
};
impl Default for DisEmbedPositionBackward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisEmbedBiasBackward {
    pub token_sums: *const f32,
    pub grad_bias: *mut f32,
    pub seq_len: i32,
    pub width: i32,
    pub extra: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisEmbedBiasBackward"][::core::mem::size_of::<DisEmbedBiasBackward>() - 32usize];
    ["Alignment of DisEmbedBiasBackward"][::core::mem::align_of::<DisEmbedBiasBackward>() - 8usize];
    ["Offset of field: DisEmbedBiasBackward::token_sums"]
        [::core::mem::offset_of!(DisEmbedBiasBackward, token_sums) - 0usize];
    ["Offset of field: DisEmbedBiasBackward::grad_bias"]
        [::core::mem::offset_of!(DisEmbedBiasBackward, grad_bias) - 8usize];
    ["Offset of field: DisEmbedBiasBackward::seq_len"]
        [::core::mem::offset_of!(DisEmbedBiasBackward, seq_len) - 16usize];
    ["Offset of field: DisEmbedBiasBackward::width"]
        [::core::mem::offset_of!(DisEmbedBiasBackward, width) - 20usize];
    ["Offset of field: DisEmbedBiasBackward::extra"]
        [::core::mem::offset_of!(DisEmbedBiasBackward, extra) - 24usize];
    ["Offset of field: DisEmbedBiasBackward::unused"]
        [::core::mem::offset_of!(DisEmbedBiasBackward, unused) - 28usize];
};
impl Default for DisEmbedBiasBackward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisEmbedTableBackward {
    pub grad_condition: *const ::core::ffi::c_void,
    pub sum: *const ::core::ffi::c_void,
    pub grad_tokens: *const ::core::ffi::c_void,
    pub labels: *const u32,
    pub grad_table: *mut f32,
    pub batch: i32,
    pub seq_len: i32,
    pub width: i32,
    pub extra: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisEmbedTableBackward"][::core::mem::size_of::<DisEmbedTableBackward>() - 56usize];
    ["Alignment of DisEmbedTableBackward"]
        [::core::mem::align_of::<DisEmbedTableBackward>() - 8usize];
    ["Offset of field: DisEmbedTableBackward::grad_condition"]
        [::core::mem::offset_of!(DisEmbedTableBackward, grad_condition) - 0usize];
    ["Offset of field: DisEmbedTableBackward::sum"]
        [::core::mem::offset_of!(DisEmbedTableBackward, sum) - 8usize];
    ["Offset of field: DisEmbedTableBackward::grad_tokens"]
        [::core::mem::offset_of!(DisEmbedTableBackward, grad_tokens) - 16usize];
    ["Offset of field: DisEmbedTableBackward::labels"]
        [::core::mem::offset_of!(DisEmbedTableBackward, labels) - 24usize];
    ["Offset of field: DisEmbedTableBackward::grad_table"]
        [::core::mem::offset_of!(DisEmbedTableBackward, grad_table) - 32usize];
    ["Offset of field: DisEmbedTableBackward::batch"]
        [::core::mem::offset_of!(DisEmbedTableBackward, batch) - 40usize];
    ["Offset of field: DisEmbedTableBackward::seq_len"]
        [::core::mem::offset_of!(DisEmbedTableBackward, seq_len) - 44usize];
    ["Offset of field: DisEmbedTableBackward::width"]
        [::core::mem::offset_of!(DisEmbedTableBackward, width) - 48usize];
    ["Offset of field: DisEmbedTableBackward::extra"]
        [::core::mem::offset_of!(DisEmbedTableBackward, extra) - 52usize];
};
impl Default for DisEmbedTableBackward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisEmbedTimeBackward {
    pub grad_condition: *mut ::core::ffi::c_void,
    pub sum: *const ::core::ffi::c_void,
    pub grad_tokens: *const ::core::ffi::c_void,
    pub batch: i32,
    pub seq_len: i32,
    pub width: i32,
    pub extra: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisEmbedTimeBackward"][::core::mem::size_of::<DisEmbedTimeBackward>() - 40usize];
    ["Alignment of DisEmbedTimeBackward"][::core::mem::align_of::<DisEmbedTimeBackward>() - 8usize];
    ["Offset of field: DisEmbedTimeBackward::grad_condition"]
        [::core::mem::offset_of!(DisEmbedTimeBackward, grad_condition) - 0usize];
    ["Offset of field: DisEmbedTimeBackward::sum"]
        [::core::mem::offset_of!(DisEmbedTimeBackward, sum) - 8usize];
    ["Offset of field: DisEmbedTimeBackward::grad_tokens"]
        [::core::mem::offset_of!(DisEmbedTimeBackward, grad_tokens) - 16usize];
    ["Offset of field: DisEmbedTimeBackward::batch"]
        [::core::mem::offset_of!(DisEmbedTimeBackward, batch) - 24usize];
    ["Offset of field: DisEmbedTimeBackward::seq_len"]
        [::core::mem::offset_of!(DisEmbedTimeBackward, seq_len) - 28usize];
    ["Offset of field: DisEmbedTimeBackward::width"]
        [::core::mem::offset_of!(DisEmbedTimeBackward, width) - 32usize];
    ["Offset of field: DisEmbedTimeBackward::extra"]
        [::core::mem::offset_of!(DisEmbedTimeBackward, extra) - 36usize];
};
impl Default for DisEmbedTimeBackward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisGroupNormParts {
    pub x: *const ::core::ffi::c_void,
    pub parts: *mut f32,
    pub pixels: i64,
    pub pixels_per_part: i32,
    pub channels: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisGroupNormParts"][::core::mem::size_of::<DisGroupNormParts>() - 32usize];
    ["Alignment of DisGroupNormParts"][::core::mem::align_of::<DisGroupNormParts>() - 8usize];
    ["Offset of field: DisGroupNormParts::x"]
        [::core::mem::offset_of!(DisGroupNormParts, x) - 0usize];
    ["Offset of field: DisGroupNormParts::parts"]
        [::core::mem::offset_of!(DisGroupNormParts, parts) - 8usize];
    ["Offset of field: DisGroupNormParts::pixels"]
        [::core::mem::offset_of!(DisGroupNormParts, pixels) - 16usize];
    ["Offset of field: DisGroupNormParts::pixels_per_part"]
        [::core::mem::offset_of!(DisGroupNormParts, pixels_per_part) - 24usize];
    ["Offset of field: DisGroupNormParts::channels"]
        [::core::mem::offset_of!(DisGroupNormParts, channels) - 28usize];
};
impl Default for DisGroupNormParts {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisGroupNormStatistics {
    pub parts: *const f32,
    pub statistics: *mut f32,
    pub pixels: i64,
    pub pixels_per_part: i32,
    pub part_count: i32,
    pub channels: i32,
    pub groups: i32,
    pub eps: f32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisGroupNormStatistics"][::core::mem::size_of::<DisGroupNormStatistics>() - 48usize];
    ["Alignment of DisGroupNormStatistics"]
        [::core::mem::align_of::<DisGroupNormStatistics>() - 8usize];
    ["Offset of field: DisGroupNormStatistics::parts"]
        [::core::mem::offset_of!(DisGroupNormStatistics, parts) - 0usize];
    ["Offset of field: DisGroupNormStatistics::statistics"]
        [::core::mem::offset_of!(DisGroupNormStatistics, statistics) - 8usize];
    ["Offset of field: DisGroupNormStatistics::pixels"]
        [::core::mem::offset_of!(DisGroupNormStatistics, pixels) - 16usize];
    ["Offset of field: DisGroupNormStatistics::pixels_per_part"]
        [::core::mem::offset_of!(DisGroupNormStatistics, pixels_per_part) - 24usize];
    ["Offset of field: DisGroupNormStatistics::part_count"]
        [::core::mem::offset_of!(DisGroupNormStatistics, part_count) - 28usize];
    ["Offset of field: DisGroupNormStatistics::channels"]
        [::core::mem::offset_of!(DisGroupNormStatistics, channels) - 32usize];
    ["Offset of field: DisGroupNormStatistics::groups"]
        [::core::mem::offset_of!(DisGroupNormStatistics, groups) - 36usize];
    ["Offset of field: DisGroupNormStatistics::eps"]
        [::core::mem::offset_of!(DisGroupNormStatistics, eps) - 40usize];
    ["Offset of field: DisGroupNormStatistics::unused"]
        [::core::mem::offset_of!(DisGroupNormStatistics, unused) - 44usize];
};
impl Default for DisGroupNormStatistics {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisGroupNormApply {
    pub x: *const ::core::ffi::c_void,
    pub statistics: *const f32,
    pub weight: *const f32,
    pub bias: *const f32,
    pub out: *mut ::core::ffi::c_void,
    pub pixels: i64,
    pub pixels_per_part: i32,
    pub channels: i32,
    pub groups: i32,
    pub silu: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisGroupNormApply"][::core::mem::size_of::<DisGroupNormApply>() - 64usize];
    ["Alignment of DisGroupNormApply"][::core::mem::align_of::<DisGroupNormApply>() - 8usize];
    ["Offset of field: DisGroupNormApply::x"]
        [::core::mem::offset_of!(DisGroupNormApply, x) - 0usize];
    ["Offset of field: DisGroupNormApply::statistics"]
        [::core::mem::offset_of!(DisGroupNormApply, statistics) - 8usize];
    ["Offset of field: DisGroupNormApply::weight"]
        [::core::mem::offset_of!(DisGroupNormApply, weight) - 16usize];
    ["Offset of field: DisGroupNormApply::bias"]
        [::core::mem::offset_of!(DisGroupNormApply, bias) - 24usize];
    ["Offset of field: DisGroupNormApply::out"]
        [::core::mem::offset_of!(DisGroupNormApply, out) - 32usize];
    ["Offset of field: DisGroupNormApply::pixels"]
        [::core::mem::offset_of!(DisGroupNormApply, pixels) - 40usize];
    ["Offset of field: DisGroupNormApply::pixels_per_part"]
        [::core::mem::offset_of!(DisGroupNormApply, pixels_per_part) - 48usize];
    ["Offset of field: DisGroupNormApply::channels"]
        [::core::mem::offset_of!(DisGroupNormApply, channels) - 52usize];
    ["Offset of field: DisGroupNormApply::groups"]
        [::core::mem::offset_of!(DisGroupNormApply, groups) - 56usize];
    ["Offset of field: DisGroupNormApply::silu"]
        [::core::mem::offset_of!(DisGroupNormApply, silu) - 60usize];
};
impl Default for DisGroupNormApply {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisLayerNormForward {
    pub x: *const ::core::ffi::c_void,
    pub modulation: *const ::core::ffi::c_void,
    pub out: *mut ::core::ffi::c_void,
    pub stats: *mut f32,
    pub rows: i32,
    pub seq_len: i32,
    pub width: i32,
    pub row_warps: i32,
    pub vectors: i32,
    pub factor_first: i32,
    pub eps: f32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisLayerNormForward"][::core::mem::size_of::<DisLayerNormForward>() - 64usize];
    ["Alignment of DisLayerNormForward"][::core::mem::align_of::<DisLayerNormForward>() - 8usize];
    ["Offset of field: DisLayerNormForward::x"]
        [::core::mem::offset_of!(DisLayerNormForward, x) - 0usize];
    ["Offset of field: DisLayerNormForward::modulation"]
        [::core::mem::offset_of!(DisLayerNormForward, modulation) - 8usize];
    ["Offset of field: DisLayerNormForward::out"]
        [::core::mem::offset_of!(DisLayerNormForward, out) - 16usize];
    ["Offset of field: DisLayerNormForward::stats"]
        [::core::mem::offset_of!(DisLayerNormForward, stats) - 24usize];
    ["Offset of field: DisLayerNormForward::rows"]
        [::core::mem::offset_of!(DisLayerNormForward, rows) - 32usize];
    ["Offset of field: DisLayerNormForward::seq_len"]
        [::core::mem::offset_of!(DisLayerNormForward, seq_len) - 36usize];
    ["Offset of field: DisLayerNormForward::width"]
        [::core::mem::offset_of!(DisLayerNormForward, width) - 40usize];
    ["Offset of field: DisLayerNormForward::row_warps"]
        [::core::mem::offset_of!(DisLayerNormForward, row_warps) - 44usize];
    ["Offset of field: DisLayerNormForward::vectors"]
        [::core::mem::offset_of!(DisLayerNormForward, vectors) - 48usize];
    ["Offset of field: DisLayerNormForward::factor_first"]
        [::core::mem::offset_of!(DisLayerNormForward, factor_first) - 52usize];
    ["Offset of field: DisLayerNormForward::eps"]
        [::core::mem::offset_of!(DisLayerNormForward, eps) - 56usize];
    ["Offset of field: DisLayerNormForward::unused"]
        [::core::mem::offset_of!(DisLayerNormForward, unused) - 60usize];
};
impl Default for DisLayerNormForward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisLayerNormBackward {
    pub x: *const ::core::ffi::c_void,
    pub modulation: *const ::core::ffi::c_void,
    pub stats: *const f32,
    pub grad_out: *const ::core::ffi::c_void,
    pub grad_x: *mut ::core::ffi::c_void,
    pub modulation_parts: *mut f32,
    pub seq_len: i32,
    pub width: i32,
    pub strip_tokens: i32,
    pub row_warps: i32,
    pub vectors: i32,
    pub factor_first: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisLayerNormBackward"][::core::mem::size_of::<DisLayerNormBackward>() - 72usize];
    ["Alignment of DisLayerNormBackward"][::core::mem::align_of::<DisLayerNormBackward>() - 8usize];
    ["Offset of field: DisLayerNormBackward::x"]
        [::core::mem::offset_of!(DisLayerNormBackward, x) - 0usize];
    ["Offset of field: DisLayerNormBackward::modulation"]
        [::core::mem::offset_of!(DisLayerNormBackward, modulation) - 8usize];
    ["Offset of field: DisLayerNormBackward::stats"]
        [::core::mem::offset_of!(DisLayerNormBackward, stats) - 16usize];
    ["Offset of field: DisLayerNormBackward::grad_out"]
        [::core::mem::offset_of!(DisLayerNormBackward, grad_out) - 24usize];
    ["Offset of field: DisLayerNormBackward::grad_x"]
        [::core::mem::offset_of!(DisLayerNormBackward, grad_x) - 32usize];
    ["Offset of field: DisLayerNormBackward::modulation_parts"]
        [::core::mem::offset_of!(DisLayerNormBackward, modulation_parts) - 40usize];
    ["Offset of field: DisLayerNormBackward::seq_len"]
        [::core::mem::offset_of!(DisLayerNormBackward, seq_len) - 48usize];
    ["Offset of field: DisLayerNormBackward::width"]
        [::core::mem::offset_of!(DisLayerNormBackward, width) - 52usize];
    ["Offset of field: DisLayerNormBackward::strip_tokens"]
        [::core::mem::offset_of!(DisLayerNormBackward, strip_tokens) - 56usize];
    ["Offset of field: DisLayerNormBackward::row_warps"]
        [::core::mem::offset_of!(DisLayerNormBackward, row_warps) - 60usize];
    ["Offset of field: DisLayerNormBackward::vectors"]
        [::core::mem::offset_of!(DisLayerNormBackward, vectors) - 64usize];
    ["Offset of field: DisLayerNormBackward::factor_first"]
        [::core::mem::offset_of!(DisLayerNormBackward, factor_first) - 68usize];
};
impl Default for DisLayerNormBackward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisLayerNormBackwardModulation {
    pub modulation_parts: *const f32,
    pub grad_modulation: *mut ::core::ffi::c_void,
    pub width: i32,
    pub strips: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisLayerNormBackwardModulation"]
        [::core::mem::size_of::<DisLayerNormBackwardModulation>() - 24usize];
    ["Alignment of DisLayerNormBackwardModulation"]
        [::core::mem::align_of::<DisLayerNormBackwardModulation>() - 8usize];
    ["Offset of field: DisLayerNormBackwardModulation::modulation_parts"]
        [::core::mem::offset_of!(DisLayerNormBackwardModulation, modulation_parts) - 0usize];
    ["Offset of field: DisLayerNormBackwardModulation::grad_modulation"]
        [::core::mem::offset_of!(DisLayerNormBackwardModulation, grad_modulation) - 8usize];
    ["Offset of field: DisLayerNormBackwardModulation::width"]
        [::core::mem::offset_of!(DisLayerNormBackwardModulation, width) - 16usize];
    ["Offset of field: DisLayerNormBackwardModulation::strips"]
        [::core::mem::offset_of!(DisLayerNormBackwardModulation, strips) - 20usize];
};
impl Default for DisLayerNormBackwardModulation {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisPatchGather {
    pub image: *const f32,
    pub tokens: *mut ::core::ffi::c_void,
    pub batch: i32,
    pub channels: i32,
    pub height: i32,
    pub width: i32,
    pub patch: i32,
    pub extra: i32,
    pub channel_last: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisPatchGather"][::core::mem::size_of::<DisPatchGather>() - 48usize];
    ["Alignment of DisPatchGather"][::core::mem::align_of::<DisPatchGather>() - 8usize];
    ["Offset of field: DisPatchGather::image"]
        [::core::mem::offset_of!(DisPatchGather, image) - 0usize];
    ["Offset of field: DisPatchGather::tokens"]
        [::core::mem::offset_of!(DisPatchGather, tokens) - 8usize];
    ["Offset of field: DisPatchGather::batch"]
        [::core::mem::offset_of!(DisPatchGather, batch) - 16usize];
    ["Offset of field: DisPatchGather::channels"]
        [::core::mem::offset_of!(DisPatchGather, channels) - 20usize];
    ["Offset of field: DisPatchGather::height"]
        [::core::mem::offset_of!(DisPatchGather, height) - 24usize];
    ["Offset of field: DisPatchGather::width"]
        [::core::mem::offset_of!(DisPatchGather, width) - 28usize];
    ["Offset of field: DisPatchGather::patch"]
        [::core::mem::offset_of!(DisPatchGather, patch) - 32usize];
    ["Offset of field: DisPatchGather::extra"]
        [::core::mem::offset_of!(DisPatchGather, extra) - 36usize];
    ["Offset of field: DisPatchGather::channel_last"]
        [::core::mem::offset_of!(DisPatchGather, channel_last) - 40usize];
    ["Offset of field: DisPatchGather::unused"]
        [::core::mem::offset_of!(DisPatchGather, unused) - 44usize];
};
impl Default for DisPatchGather {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisPatchScatter {
    pub tokens: *const ::core::ffi::c_void,
    pub image: *mut f32,
    pub batch: i32,
    pub channels: i32,
    pub height: i32,
    pub width: i32,
    pub patch: i32,
    pub extra: i32,
    pub channel_last: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisPatchScatter"][::core::mem::size_of::<DisPatchScatter>() - 48usize];
    ["Alignment of DisPatchScatter"][::core::mem::align_of::<DisPatchScatter>() - 8usize];
    ["Offset of field: DisPatchScatter::tokens"]
        [::core::mem::offset_of!(DisPatchScatter, tokens) - 0usize];
    ["Offset of field: DisPatchScatter::image"]
        [::core::mem::offset_of!(DisPatchScatter, image) - 8usize];
    ["Offset of field: DisPatchScatter::batch"]
        [::core::mem::offset_of!(DisPatchScatter, batch) - 16usize];
    ["Offset of field: DisPatchScatter::channels"]
        [::core::mem::offset_of!(DisPatchScatter, channels) - 20usize];
    ["Offset of field: DisPatchScatter::height"]
        [::core::mem::offset_of!(DisPatchScatter, height) - 24usize];
    ["Offset of field: DisPatchScatter::width"]
        [::core::mem::offset_of!(DisPatchScatter, width) - 28usize];
    ["Offset of field: DisPatchScatter::patch"]
        [::core::mem::offset_of!(DisPatchScatter, patch) - 32usize];
    ["Offset of field: DisPatchScatter::extra"]
        [::core::mem::offset_of!(DisPatchScatter, extra) - 36usize];
    ["Offset of field: DisPatchScatter::channel_last"]
        [::core::mem::offset_of!(DisPatchScatter, channel_last) - 40usize];
    ["Offset of field: DisPatchScatter::unused"]
        [::core::mem::offset_of!(DisPatchScatter, unused) - 44usize];
};
impl Default for DisPatchScatter {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisPool2d {
    pub x: *const ::core::ffi::c_void,
    pub out: *mut ::core::ffi::c_void,
    pub height: i32,
    pub width: i32,
    pub channels: i32,
    pub x_stride: i32,
    pub out_stride: i32,
    pub side: i32,
    pub stride: i32,
    pub pad: i32,
    pub average: i32,
    pub out_height: i32,
    pub out_width: i32,
    pub rows: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisPool2d"][::core::mem::size_of::<DisPool2d>() - 64usize];
    ["Alignment of DisPool2d"][::core::mem::align_of::<DisPool2d>() - 8usize];
    ["Offset of field: DisPool2d::x"][::core::mem::offset_of!(DisPool2d, x) - 0usize];
    ["Offset of field: DisPool2d::out"][::core::mem::offset_of!(DisPool2d, out) - 8usize];
    ["Offset of field: DisPool2d::height"][::core::mem::offset_of!(DisPool2d, height) - 16usize];
    ["Offset of field: DisPool2d::width"][::core::mem::offset_of!(DisPool2d, width) - 20usize];
    ["Offset of field: DisPool2d::channels"]
        [::core::mem::offset_of!(DisPool2d, channels) - 24usize];
    ["Offset of field: DisPool2d::x_stride"]
        [::core::mem::offset_of!(DisPool2d, x_stride) - 28usize];
    ["Offset of field: DisPool2d::out_stride"]
        [::core::mem::offset_of!(DisPool2d, out_stride) - 32usize];
    ["Offset of field: DisPool2d::side"][::core::mem::offset_of!(DisPool2d, side) - 36usize];
    ["Offset of field: DisPool2d::stride"][::core::mem::offset_of!(DisPool2d, stride) - 40usize];
    ["Offset of field: DisPool2d::pad"][::core::mem::offset_of!(DisPool2d, pad) - 44usize];
    ["Offset of field: DisPool2d::average"][::core::mem::offset_of!(DisPool2d, average) - 48usize];
    ["Offset of field: DisPool2d::out_height"]
        [::core::mem::offset_of!(DisPool2d, out_height) - 52usize];
    ["Offset of field: DisPool2d::out_width"]
        [::core::mem::offset_of!(DisPool2d, out_width) - 56usize];
    ["Offset of field: DisPool2d::rows"][::core::mem::offset_of!(DisPool2d, rows) - 60usize];
};
impl Default for DisPool2d {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisReducePartials {
    pub partials: [*const f32; 8usize],
    pub sums: [*mut f32; 8usize],
    pub row_stride: [i64; 8usize],
    pub len: [i64; 8usize],
    pub rows: i32,
    pub strips: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisReducePartials"][::core::mem::size_of::<DisReducePartials>() - 264usize];
    ["Alignment of DisReducePartials"][::core::mem::align_of::<DisReducePartials>() - 8usize];
    ["Offset of field: DisReducePartials::partials"]
        [::core::mem::offset_of!(DisReducePartials, partials) - 0usize];
    ["Offset of field: DisReducePartials::sums"]
        [::core::mem::offset_of!(DisReducePartials, sums) - 64usize];
    ["Offset of field: DisReducePartials::row_stride"]
        [::core::mem::offset_of!(DisReducePartials, row_stride) - 128usize];
    ["Offset of field: DisReducePartials::len"]
        [::core::mem::offset_of!(DisReducePartials, len) - 192usize];
    ["Offset of field: DisReducePartials::rows"]
        [::core::mem::offset_of!(DisReducePartials, rows) - 256usize];
    ["Offset of field: DisReducePartials::strips"]
        [::core::mem::offset_of!(DisReducePartials, strips) - 260usize];
};
impl Default for DisReducePartials {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisSegmentRmsNormForward {
    pub x: *mut ::core::ffi::c_void,
    pub rstd: *mut f32,
    pub rows: i32,
    pub widths: [i32; 3usize],
    pub eps: f32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisSegmentRmsNormForward"]
        [::core::mem::size_of::<DisSegmentRmsNormForward>() - 40usize];
    ["Alignment of DisSegmentRmsNormForward"]
        [::core::mem::align_of::<DisSegmentRmsNormForward>() - 8usize];
    ["Offset of field: DisSegmentRmsNormForward::x"]
        [::core::mem::offset_of!(DisSegmentRmsNormForward, x) - 0usize];
    ["Offset of field: DisSegmentRmsNormForward::rstd"]
        [::core::mem::offset_of!(DisSegmentRmsNormForward, rstd) - 8usize];
    ["Offset of field: DisSegmentRmsNormForward::rows"]
        [::core::mem::offset_of!(DisSegmentRmsNormForward, rows) - 16usize];
    ["Offset of field: DisSegmentRmsNormForward::widths"]
        [::core::mem::offset_of!(DisSegmentRmsNormForward, widths) - 20usize];
    ["Offset of field: DisSegmentRmsNormForward::eps"]
        [::core::mem::offset_of!(DisSegmentRmsNormForward, eps) - 32usize];
    ["Offset of field: DisSegmentRmsNormForward::unused"]
        [::core::mem::offset_of!(DisSegmentRmsNormForward, unused) - 36usize];
};
impl Default for DisSegmentRmsNormForward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisSegmentRmsNormBackward {
    pub normed: *const ::core::ffi::c_void,
    pub rstd: *const f32,
    pub grad: *mut ::core::ffi::c_void,
    pub rows: i32,
    pub widths: [i32; 3usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisSegmentRmsNormBackward"]
        [::core::mem::size_of::<DisSegmentRmsNormBackward>() - 40usize];
    ["Alignment of DisSegmentRmsNormBackward"]
        [::core::mem::align_of::<DisSegmentRmsNormBackward>() - 8usize];
    ["Offset of field: DisSegmentRmsNormBackward::normed"]
        [::core::mem::offset_of!(DisSegmentRmsNormBackward, normed) - 0usize];
    ["Offset of field: DisSegmentRmsNormBackward::rstd"]
        [::core::mem::offset_of!(DisSegmentRmsNormBackward, rstd) - 8usize];
    ["Offset of field: DisSegmentRmsNormBackward::grad"]
        [::core::mem::offset_of!(DisSegmentRmsNormBackward, grad) - 16usize];
    ["Offset of field: DisSegmentRmsNormBackward::rows"]
        [::core::mem::offset_of!(DisSegmentRmsNormBackward, rows) - 24usize];
    ["Offset of field: DisSegmentRmsNormBackward::widths"]
        [::core::mem::offset_of!(DisSegmentRmsNormBackward, widths) - 28usize];
};
impl Default for DisSegmentRmsNormBackward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisScanForward {
    pub u: [*const ::core::ffi::c_void; 2usize],
    pub delta_raw: [*const ::core::ffi::c_void; 2usize],
    pub bc: [*const ::core::ffi::c_void; 2usize],
    pub a_log: [*const f32; 2usize],
    pub d_skip: [*const f32; 2usize],
    pub delta_bias: [*const f32; 2usize],
    pub z: *const ::core::ffi::c_void,
    pub parked: *mut f32,
    pub pre_gate: *mut ::core::ffi::c_void,
    pub gated: *mut ::core::ffi::c_void,
    pub states: *mut f32,
    pub bc_stride: i64,
    pub z_stride: i64,
    pub seq_len: i32,
    pub channels: i32,
    pub orders: i32,
    pub right_to_left: [i32; 2usize],
    pub direction_sum: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisScanForward"][::core::mem::size_of::<DisScanForward>() - 176usize];
    ["Alignment of DisScanForward"][::core::mem::align_of::<DisScanForward>() - 8usize];
    ["Offset of field: DisScanForward::u"][::core::mem::offset_of!(DisScanForward, u) - 0usize];
    ["Offset of field: DisScanForward::delta_raw"]
        [::core::mem::offset_of!(DisScanForward, delta_raw) - 16usize];
    ["Offset of field: DisScanForward::bc"][::core::mem::offset_of!(DisScanForward, bc) - 32usize];
    ["Offset of field: DisScanForward::a_log"]
        [::core::mem::offset_of!(DisScanForward, a_log) - 48usize];
    ["Offset of field: DisScanForward::d_skip"]
        [::core::mem::offset_of!(DisScanForward, d_skip) - 64usize];
    ["Offset of field: DisScanForward::delta_bias"]
        [::core::mem::offset_of!(DisScanForward, delta_bias) - 80usize];
    ["Offset of field: DisScanForward::z"][::core::mem::offset_of!(DisScanForward, z) - 96usize];
    ["Offset of field: DisScanForward::parked"]
        [::core::mem::offset_of!(DisScanForward, parked) - 104usize];
    ["Offset of field: DisScanForward::pre_gate"]
        [::core::mem::offset_of!(DisScanForward, pre_gate) - 112usize];
    ["Offset of field: DisScanForward::gated"]
        [::core::mem::offset_of!(DisScanForward, gated) - 120usize];
    ["Offset of field: DisScanForward::states"]
        [::core::mem::offset_of!(DisScanForward, states) - 128usize];
    ["Offset of field: DisScanForward::bc_stride"]
        [::core::mem::offset_of!(DisScanForward, bc_stride) - 136usize];
    ["Offset of field: DisScanForward::z_stride"]
        [::core::mem::offset_of!(DisScanForward, z_stride) - 144usize];
    ["Offset of field: DisScanForward::seq_len"]
        [::core::mem::offset_of!(DisScanForward, seq_len) - 152usize];
    ["Offset of field: DisScanForward::channels"]
        [::core::mem::offset_of!(DisScanForward, channels) - 156usize];
    ["Offset of field: DisScanForward::orders"]
        [::core::mem::offset_of!(DisScanForward, orders) - 160usize];
    ["Offset of field: DisScanForward::right_to_left"]
        [::core::mem::offset_of!(DisScanForward, right_to_left) - 164usize];
    ["Offset of field: DisScanForward::direction_sum"]
        [::core::mem::offset_of!(DisScanForward, direction_sum) - 172usize];
};
impl Default for DisScanForward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisScanSplit {
    pub u: [*const ::core::ffi::c_void; 2usize],
    pub delta_raw: [*const ::core::ffi::c_void; 2usize],
    pub bc: [*const ::core::ffi::c_void; 2usize],
    pub a_log: [*const f32; 2usize],
    pub d_skip: [*const f32; 2usize],
    pub delta_bias: [*const f32; 2usize],
    pub z: *const ::core::ffi::c_void,
    pub ends: *mut f32,
    pub delta_sums: *mut f32,
    pub y: *mut f32,
    pub pre_gate: *mut ::core::ffi::c_void,
    pub gated: *mut ::core::ffi::c_void,
    pub states: *mut f32,
    pub bc_stride: i64,
    pub z_stride: i64,
    pub seq_len: i32,
    pub channels: i32,
    pub orders: i32,
    pub batch: i32,
    pub parts: i32,
    pub part_len: i32,
    pub right_to_left: [i32; 2usize],
    pub direction_sum: f32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisScanSplit"][::core::mem::size_of::<DisScanSplit>() - 208usize];
    ["Alignment of DisScanSplit"][::core::mem::align_of::<DisScanSplit>() - 8usize];
    ["Offset of field: DisScanSplit::u"][::core::mem::offset_of!(DisScanSplit, u) - 0usize];
    ["Offset of field: DisScanSplit::delta_raw"]
        [::core::mem::offset_of!(DisScanSplit, delta_raw) - 16usize];
    ["Offset of field: DisScanSplit::bc"][::core::mem::offset_of!(DisScanSplit, bc) - 32usize];
    ["Offset of field: DisScanSplit::a_log"]
        [::core::mem::offset_of!(DisScanSplit, a_log) - 48usize];
    ["Offset of field: DisScanSplit::d_skip"]
        [::core::mem::offset_of!(DisScanSplit, d_skip) - 64usize];
    ["Offset of field: DisScanSplit::delta_bias"]
        [::core::mem::offset_of!(DisScanSplit, delta_bias) - 80usize];
    ["Offset of field: DisScanSplit::z"][::core::mem::offset_of!(DisScanSplit, z) - 96usize];
    ["Offset of field: DisScanSplit::ends"][::core::mem::offset_of!(DisScanSplit, ends) - 104usize];
    ["Offset of field: DisScanSplit::delta_sums"]
        [::core::mem::offset_of!(DisScanSplit, delta_sums) - 112usize];
    ["Offset of field: DisScanSplit::y"][::core::mem::offset_of!(DisScanSplit, y) - 120usize];
    ["Offset of field: DisScanSplit::pre_gate"]
        [::core::mem::offset_of!(DisScanSplit, pre_gate) - 128usize];
    ["Offset of field: DisScanSplit::gated"]
        [::core::mem::offset_of!(DisScanSplit, gated) - 136usize];
    ["Offset of field: DisScanSplit::states"]
        [::core::mem::offset_of!(DisScanSplit, states) - 144usize];
    ["Offset of field: DisScanSplit::bc_stride"]
        [::core::mem::offset_of!(DisScanSplit, bc_stride) - 152usize];
    ["Offset of field: DisScanSplit::z_stride"]
        [::core::mem::offset_of!(DisScanSplit, z_stride) - 160usize];
    ["Offset of field: DisScanSplit::seq_len"]
        [::core::mem::offset_of!(DisScanSplit, seq_len) - 168usize];
    ["Offset of field: DisScanSplit::channels"]
        [::core::mem::offset_of!(DisScanSplit, channels) - 172usize];
    ["Offset of field: DisScanSplit::orders"]
        [::core::mem::offset_of!(DisScanSplit, orders) - 176usize];
    ["Offset of field: DisScanSplit::batch"]
        [::core::mem::offset_of!(DisScanSplit, batch) - 180usize];
    ["Offset of field: DisScanSplit::parts"]
        [::core::mem::offset_of!(DisScanSplit, parts) - 184usize];
    ["Offset of field: DisScanSplit::part_len"]
        [::core::mem::offset_of!(DisScanSplit, part_len) - 188usize];
    ["Offset of field: DisScanSplit::right_to_left"]
        [::core::mem::offset_of!(DisScanSplit, right_to_left) - 192usize];
    ["Offset of field: DisScanSplit::direction_sum"]
        [::core::mem::offset_of!(DisScanSplit, direction_sum) - 200usize];
    ["Offset of field: DisScanSplit::unused"]
        [::core::mem::offset_of!(DisScanSplit, unused) - 204usize];
};
impl Default for DisScanSplit {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisScanBackward {
    pub u: [*const ::core::ffi::c_void; 2usize],
    pub delta_raw: [*const ::core::ffi::c_void; 2usize],
    pub bc: [*const ::core::ffi::c_void; 2usize],
    pub a_log: [*const f32; 2usize],
    pub d_skip: [*const f32; 2usize],
    pub delta_bias: [*const f32; 2usize],
    pub z: *const ::core::ffi::c_void,
    pub pre_gate: *const ::core::ffi::c_void,
    pub states: *const f32,
    pub grad_gated: *const ::core::ffi::c_void,
    pub grad_u: [*mut ::core::ffi::c_void; 2usize],
    pub grad_delta_raw: [*mut ::core::ffi::c_void; 2usize],
    pub grad_z: *mut ::core::ffi::c_void,
    pub gated: *mut ::core::ffi::c_void,
    pub bc_parts: *mut f32,
    pub parameter_parts: [*mut f32; 2usize],
    pub bc_stride: i64,
    pub z_stride: i64,
    pub grad_z_stride: i64,
    pub seq_len: i32,
    pub channels: i32,
    pub batch: i32,
    pub right_to_left: [i32; 2usize],
    pub direction_sum: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisScanBackward"][::core::mem::size_of::<DisScanBackward>() - 248usize];
    ["Alignment of DisScanBackward"][::core::mem::align_of::<DisScanBackward>() - 8usize];
    ["Offset of field: DisScanBackward::u"][::core::mem::offset_of!(DisScanBackward, u) - 0usize];
    ["Offset of field: DisScanBackward::delta_raw"]
        [::core::mem::offset_of!(DisScanBackward, delta_raw) - 16usize];
    ["Offset of field: DisScanBackward::bc"]
        [::core::mem::offset_of!(DisScanBackward, bc) - 32usize];
    ["Offset of field: DisScanBackward::a_log"]
        [::core::mem::offset_of!(DisScanBackward, a_log) - 48usize];
    ["Offset of field: DisScanBackward::d_skip"]
        [::core::mem::offset_of!(DisScanBackward, d_skip) - 64usize];
    ["Offset of field: DisScanBackward::delta_bias"]
        [::core::mem::offset_of!(DisScanBackward, delta_bias) - 80usize];
    ["Offset of field: DisScanBackward::z"][::core::mem::offset_of!(DisScanBackward, z) - 96usize];
    ["Offset of field: DisScanBackward::pre_gate"]
        [::core::mem::offset_of!(DisScanBackward, pre_gate) - 104usize];
    ["Offset of field: DisScanBackward::states"]
        [::core::mem::offset_of!(DisScanBackward, states) - 112usize];
    ["Offset of field: DisScanBackward::grad_gated"]
        [::core::mem::offset_of!(DisScanBackward, grad_gated) - 120usize];
    ["Offset of field: DisScanBackward::grad_u"]
        [::core::mem::offset_of!(DisScanBackward, grad_u) - 128usize];
    ["Offset of field: DisScanBackward::grad_delta_raw"]
        [::core::mem::offset_of!(DisScanBackward, grad_delta_raw) - 144usize];
    ["Offset of field: DisScanBackward::grad_z"]
        [::core::mem::offset_of!(DisScanBackward, grad_z) - 160usize];
    ["Offset of field: DisScanBackward::gated"]
        [::core::mem::offset_of!(DisScanBackward, gated) - 168usize];
    ["Offset of field: DisScanBackward::bc_parts"]
        [::core::mem::offset_of!(DisScanBackward, bc_parts) - 176usize];
    ["Offset of field: DisScanBackward::parameter_parts"]
        [::core::mem::offset_of!(DisScanBackward, parameter_parts) - 184usize];
    ["Offset of field: DisScanBackward::bc_stride"]
        [::core::mem::offset_of!(DisScanBackward, bc_stride) - 200usize];
    ["Offset of field: DisScanBackward::z_stride"]
        [::core::mem::offset_of!(DisScanBackward, z_stride) - 208usize];
    ["Offset of field: DisScanBackward::grad_z_stride"]
        [::core::mem::offset_of!(DisScanBackward, grad_z_stride) - 216usize];
    ["Offset of field: DisScanBackward::seq_len"]
        [::core::mem::offset_of!(DisScanBackward, seq_len) - 224usize];
    ["Offset of field: DisScanBackward::channels"]
        [::core::mem::offset_of!(DisScanBackward, channels) - 228usize];
    ["Offset of field: DisScanBackward::batch"]
        [::core::mem::offset_of!(DisScanBackward, batch) - 232usize];
    ["Offset of field: DisScanBackward::right_to_left"]
        [::core::mem::offset_of!(DisScanBackward, right_to_left) - 236usize];
    ["Offset of field: DisScanBackward::direction_sum"]
        [::core::mem::offset_of!(DisScanBackward, direction_sum) - 244usize];
};
impl Default for DisScanBackward {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisScanBackwardBc {
    pub bc_parts: *const f32,
    pub grad_bc: [*mut ::core::ffi::c_void; 2usize],
    pub grad_bc_stride: i64,
    pub rows: i64,
    pub parts: i32,
    pub unused: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisScanBackwardBc"][::core::mem::size_of::<DisScanBackwardBc>() - 48usize];
    ["Alignment of DisScanBackwardBc"][::core::mem::align_of::<DisScanBackwardBc>() - 8usize];
    ["Offset of field: DisScanBackwardBc::bc_parts"]
        [::core::mem::offset_of!(DisScanBackwardBc, bc_parts) - 0usize];
    ["Offset of field: DisScanBackwardBc::grad_bc"]
        [::core::mem::offset_of!(DisScanBackwardBc, grad_bc) - 8usize];
    ["Offset of field: DisScanBackwardBc::grad_bc_stride"]
        [::core::mem::offset_of!(DisScanBackwardBc, grad_bc_stride) - 24usize];
    ["Offset of field: DisScanBackwardBc::rows"]
        [::core::mem::offset_of!(DisScanBackwardBc, rows) - 32usize];
    ["Offset of field: DisScanBackwardBc::parts"]
        [::core::mem::offset_of!(DisScanBackwardBc, parts) - 40usize];
    ["Offset of field: DisScanBackwardBc::unused"]
        [::core::mem::offset_of!(DisScanBackwardBc, unused) - 44usize];
};
impl Default for DisScanBackwardBc {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisSoftmaxRows {
    pub x: *mut ::core::ffi::c_void,
    pub stride: i64,
    pub len: i32,
    pub factor: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisSoftmaxRows"][::core::mem::size_of::<DisSoftmaxRows>() - 24usize];
    ["Alignment of DisSoftmaxRows"][::core::mem::align_of::<DisSoftmaxRows>() - 8usize];
    ["Offset of field: DisSoftmaxRows::x"][::core::mem::offset_of!(DisSoftmaxRows, x) - 0usize];
    ["Offset of field: DisSoftmaxRows::stride"]
        [::core::mem::offset_of!(DisSoftmaxRows, stride) - 8usize];
    ["Offset of field: DisSoftmaxRows::len"]
        [::core::mem::offset_of!(DisSoftmaxRows, len) - 16usize];
    ["Offset of field: DisSoftmaxRows::factor"]
        [::core::mem::offset_of!(DisSoftmaxRows, factor) - 20usize];
};
impl Default for DisSoftmaxRows {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisSumSquares {
    pub x: *const f32,
    pub partials: *mut f64,
    pub len: i64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisSumSquares"][::core::mem::size_of::<DisSumSquares>() - 24usize];
    ["Alignment of DisSumSquares"][::core::mem::align_of::<DisSumSquares>() - 8usize];
    ["Offset of field: DisSumSquares::x"][::core::mem::offset_of!(DisSumSquares, x) - 0usize];
    ["Offset of field: DisSumSquares::partials"]
        [::core::mem::offset_of!(DisSumSquares, partials) - 8usize];
    ["Offset of field: DisSumSquares::len"][::core::mem::offset_of!(DisSumSquares, len) - 16usize];
};
impl Default for DisSumSquares {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct DisSumSquaresTotal {
    pub partials: *const f64,
    pub sum: *mut f64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of DisSumSquaresTotal"][::core::mem::size_of::<DisSumSquaresTotal>() - 16usize];
    ["Alignment of DisSumSquaresTotal"][::core::mem::align_of::<DisSumSquaresTotal>() - 8usize];
    ["Offset of field: DisSumSquaresTotal::partials"]
        [::core::mem::offset_of!(DisSumSquaresTotal, partials) - 0usize];
    ["Offset of field: DisSumSquaresTotal::sum"]
        [::core::mem::offset_of!(DisSumSquaresTotal, sum) - 8usize];
};
impl Default for DisSumSquaresTotal {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
