// Softmax of rows, in place: x_i = exp(factor x_i - top) / sum_j exp(factor x_j - top), where top is the largest factor x_j.
//
// A block has a row and reads it twice, the second time from the cache: at first every thread keeps the largest of its
// elements so far and the sum of powers relative to it, which shrinks whenever a larger one comes.
#include <float.h>

#include "softmax_rows.h"
#include "tail.cuh"

namespace {

constexpr int THREADS = DIS_SOFTMAX_ROWS_THREADS;

// The largest of some exponents, and the sum of 2^(exponent - top) over them.
struct Powers {
  float top, sum;
};

__device__ __forceinline__ Powers join(const Powers& a, const Powers& b) {
  const float top = fmaxf(a.top, b.top);
  return {top, fmaf(a.sum, exp2_approx(a.top - top), b.sum * exp2_approx(b.top - top))};
}

// The same bits in every thread of the block. `slots` is shared memory, one Powers a warp.
__device__ __forceinline__ Powers block_powers(Powers powers, Powers* slots) {
#pragma unroll
  for (int distance = WARP / 2; distance > 0; distance /= 2) {
    powers = join(powers, {__shfl_xor_sync(ALL_LANES, powers.top, distance),
                           __shfl_xor_sync(ALL_LANES, powers.sum, distance)});
  }
  if (threadIdx.x % WARP == 0) slots[threadIdx.x / WARP] = powers;
  __syncthreads();
  powers = slots[0];
  for (int warp = 1; warp < int(blockDim.x) / WARP; warp++) powers = join(powers, slots[warp]);
  return powers;
}

template <class T>
__device__ __forceinline__ void softmax_rows(const DisSoftmaxRows& p) {
  DIS_SHARED(shared);
  constexpr int N = FULL_VECTOR<T>;
  T* const row = static_cast<T*>(p.x) + int64_t(blockIdx.x) * p.stride;
  const bool together = p.stride % N == 0 && allows<N>(static_cast<const T*>(p.x));
  const int first = int(threadIdx.x) * N, step = int(blockDim.x) * N;
  // Powers of two. The product inside each exponent is not rounded, so what `top` is rounded by is common to all.
  const float factor = p.factor * LOG2_E;

  // Not minus infinity, which has no difference from itself.
  Powers powers = {-FLT_MAX, 0.0f};
  for (int at = first; at < p.len; at += step) {
    const int count = min(N, p.len - at);
    const Values<N> x = load_values<N>(row + at, count, together);
    float top = powers.top;
#pragma unroll
    for (int i = 0; i < N; i++) top = fmaxf(top, i < count ? x.at[i] * factor : -FLT_MAX);
    float sum = powers.sum * exp2_approx(powers.top - top);
#pragma unroll
    for (int i = 0; i < N; i++) sum += i < count ? exp2_approx(fmaf(x.at[i], factor, -top)) : 0.0f;
    powers = {top, sum};
  }
  powers = block_powers(powers, reinterpret_cast<Powers*>(shared));

  const float share = 1.0f / powers.sum;
  for (int at = first; at < p.len; at += step) {
    const int count = min(N, p.len - at);
    Values<N> x = load_values<N>(row + at, count, together);
#pragma unroll
    for (int i = 0; i < N; i++) x.at[i] = exp2_approx(fmaf(x.at[i], factor, -powers.top)) * share;
    store_values<N>(row + at, count, together, x);
  }
}

}  // namespace

DIS_KERNEL(softmax_rows_f32, DisSoftmaxRows, THREADS, 6) { softmax_rows<float>(p); }
DIS_KERNEL(softmax_rows_bf16, DisSoftmaxRows, THREADS, 6) { softmax_rows<bf16>(p); }
