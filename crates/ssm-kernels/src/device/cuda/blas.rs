//! Matrix products by cuBLAS.

use crate::KernelError;
use crate::device::driver::{Format, Operand, Product};
use cudarc::cublas::result::{self, CublasError};
use cudarc::cublas::sys::{
    cublasComputeType_t, cublasGemmAlgo_t, cublasHandle_t, cublasOperation_t, cudaDataType,
};
use cudarc::driver::CudaStream;
use std::sync::Arc;

/// A handle of cuBLAS that works on one stream.
pub(super) struct Blas {
    handle: cublasHandle_t,
    stream: Arc<CudaStream>,
}

// SAFETY: a handle may be used by any thread, one at a time, which the lock around it sees to.
unsafe impl Send for Blas {}

impl Blas {
    pub(super) fn new(stream: &Arc<CudaStream>) -> Result<Self, KernelError> {
        let handle = result::create_handle().map_err(failed)?;
        let blas = Self { handle, stream: stream.clone() };
        // SAFETY: a handle and a stream of the current context.
        unsafe { result::set_stream(handle, stream.cu_stream().cast()) }.map_err(failed)?;
        Ok(blas)
    }

    /// `out = a b`, or `out += a b`; sums in f32. A second product goes with the first where all its
    /// matrices lie behind those of the first.
    ///
    /// # Safety
    /// The addresses of `product` are valid, and the stream's context is current.
    pub(super) unsafe fn gemm(&self, product: &Product) -> Result<(), KernelError> {
        match strides_to_second(product) {
            // SAFETY: the caller's promise; the strides lead to the matrices of the second product.
            Some(strides) => unsafe { self.multiply(product, strides, 2) },
            None => product.each().try_for_each(|product| {
                // SAFETY: the caller's promise.
                unsafe { self.multiply(&product, [0; 3], 1) }
            }),
        }
    }

    /// `count` products, whose matrices `a`, `b` and `out` lie `strides` elements apart.
    ///
    /// cuBLAS has column-major matrices, to which ours are transposed: it computes
    /// `out^T = b^T a^T` where they stand.
    ///
    /// # Safety
    /// As [`Blas::gemm`], for all `count` products.
    unsafe fn multiply(
        &self,
        product: &Product,
        strides: [i64; 3],
        count: i32,
    ) -> Result<(), KernelError> {
        let (alpha, beta) = (1.0f32, if product.accumulate { 1.0f32 } else { 0.0 });
        let format = data_type(product.format);
        let [stride_a, stride_b, stride_out] = strides;
        // SAFETY: the caller's promise; the factors are on the host, where cuBLAS expects them.
        unsafe {
            result::gemm_strided_batched_ex(
                self.handle,
                operation(product.b),
                operation(product.a),
                int("columns", product.cols)?,
                int("rows", product.rows)?,
                int("terms", product.terms)?,
                (&raw const alpha).cast(),
                product.b.address as _,
                format,
                int("row stride of b", product.b.stride)?,
                stride_b,
                product.a.address as _,
                format,
                int("row stride of a", product.a.stride)?,
                stride_a,
                (&raw const beta).cast(),
                product.out as _,
                data_type(product.out_format),
                int("row stride of out", product.out_stride)?,
                stride_out,
                count,
                cublasComputeType_t::CUBLAS_COMPUTE_32F,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(failed)
    }
}

/// Elements from `a`, `b` and `out` of the first product to those of the second, where there is one and
/// all of them lie behind.
fn strides_to_second(product: &Product) -> Option<[i64; 3]> {
    let second = product.second?;
    let elements = |first: u64, second: u64, format: Format| {
        let bytes = second.checked_sub(first)?;
        let size = match format {
            Format::F32 => 4,
            Format::Bf16 => 2,
        };
        bytes.is_multiple_of(size).then(|| (bytes / size) as i64)
    };
    Some([
        elements(product.a.address, second.a, product.format)?,
        elements(product.b.address, second.b, product.format)?,
        elements(product.out, second.out, product.out_format)?,
    ])
}

impl Drop for Blas {
    fn drop(&mut self) {
        if self.stream.context().bind_to_thread().is_ok() {
            // SAFETY: made once, destroyed once. The error of a lost device has nobody to hear it.
            let _lost = unsafe { result::destroy_handle(self.handle) };
        }
    }
}

fn operation(operand: Operand) -> cublasOperation_t {
    if operand.transposed { cublasOperation_t::CUBLAS_OP_T } else { cublasOperation_t::CUBLAS_OP_N }
}

fn data_type(format: Format) -> cudaDataType {
    match format {
        Format::F32 => cudaDataType::CUDA_R_32F,
        Format::Bf16 => cudaDataType::CUDA_R_16BF,
    }
}

fn int(what: &'static str, value: usize) -> Result<i32, KernelError> {
    crate::device::int("gemm", what, value)
}

fn failed(error: CublasError) -> KernelError {
    KernelError::Device { op: "gemm".into(), message: format!("cuBLAS reports {:?}", error.0) }
}
