// Sum of the partial results that blocks of another kernel have left, in an order that never changes.
//
//   sums[m] += sum over k of partials[k, m]
//
// A lane is a column m, a warp 32 neighbouring ones. Few columns with many rows would leave the device empty, so
// `strips` warps share the rows of the same columns: strip s adds up rows s, s + strips, ..., and the strips are then
// added in order.
#include "device.cuh"
#include "reduce_partials.h"

// Names of one file stay in it: the emulator puts all kernels into one library.
namespace {

// Loads in flight in a thread.
constexpr int BATCH = 8;

// Sum of rows `first`, `first` + step, ... of one column, in that order.
__device__ __forceinline__ float sum_rows(const float* column, int64_t row_stride, int first, int step, int rows) {
  float sum = 0.0f;
  const float* at = column + first * row_stride;
  const int64_t stride = step * row_stride;
  int row = first;
  for (; row + (BATCH - 1) * step < rows; row += BATCH * step) {
    float values[BATCH];
#pragma unroll
    for (int i = 0; i < BATCH; i++) {
      values[i] = *at;
      at += stride;
    }
#pragma unroll
    for (int i = 0; i < BATCH; i++) sum += values[i];
  }
  for (; row < rows; row += step) {
    sum += *at;
    at += stride;
  }
  return sum;
}

}  // namespace

DIS_KERNEL(reduce_partials, DisReducePartials, DIS_REDUCE_THREADS, 1) {
  DIS_SHARED(shared);
  // [warps, 32]: what each thread has summed.
  float* strip_sums = reinterpret_cast<float*>(shared);
  const int job = blockIdx.y, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  const int strip = warp % p.strips, group = warp / p.strips, groups = blockDim.x / WARP / p.strips;
  const int64_t column = (int64_t(blockIdx.x) * groups + group) * WARP + lane;
  const bool inside = column < p.len[job];
  strip_sums[threadIdx.x] =
      inside ? sum_rows(p.partials[job] + column, p.row_stride[job], strip, p.strips, p.rows) : 0.0f;
  __syncthreads();
  if (strip == 0 && inside) {
    float sum = 0.0f;
    for (int s = 0; s < p.strips; s++) sum += strip_sums[threadIdx.x + s * WARP];
    p.sums[job][column] += sum;
  }
}
