// AdamW and exponential moving averages in one pass over flat arenas, clipping included.
//
//   norm = grad_scale sqrt(sum_squares),   g = grad_scale min(1, clip / (norm + 1e-6)) grad
//   m   += (1 - beta1)(g - m),   v += (1 - beta2)(g^2 - v)
//   p   -= lr weight_decay p + lr / (1 - beta1^step) m / (sqrt(v / (1 - beta2^step)) + eps)
//   e   += (1 - decay)(p - e)            for every average
//
// The norm stays on the device: nobody waits for it, and a step that must not be made is skipped here. Decays enter as
// what they leave, since 1 - beta has all its digits in f32 where beta near 1 has not. Every operation is rounded as
// written, in the order of the CPU: with one clip factor both make the same bits where the CPU fuses multiply-adds.
//
// A block takes a tile, finds out once where weight decay is skipped in it, and updates four elements a thread at once.
#include "adamw_ema.h"
#include "tail.cuh"

namespace {

constexpr int THREADS = DIS_ADAMW_THREADS;
constexpr int TILE = DIS_ADAMW_TILE;
constexpr int AVERAGES = DIS_ADAMW_AVERAGES;
constexpr int N = FULL_VECTOR<float>;
// Added to the norm when clipping.
constexpr double CLIP_EPS = 1e-6;
constexpr double LARGEST = 1.7976931348623157e308;

static_assert(TILE % (THREADS * N) == 0, "a block updates a tile in whole turns");

__device__ __forceinline__ float grad_factor(const DisAdamwEma& p) {
  if (!p.sum_squares) return float(p.grad_scale);
  const double norm = p.grad_scale * sqrt(*p.sum_squares);
  return float(p.grad_scale * fmin(p.clip / (norm + CLIP_EPS), 1.0));
}

// First range that ends behind `at`.
__device__ __forceinline__ int range_behind(const DisAdamwEma& p, int64_t at) {
  int low = 0, high = p.no_decay_count;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (p.no_decay[2 * middle + 1] <= at)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

// Weight decay of the elements from `at` on, where the ranges from `range` on may hold some of them.
__device__ __forceinline__ Values<N> decays_at(const DisAdamwEma& p, int64_t at, int range) {
  Values<N> decay;
#pragma unroll
  for (int i = 0; i < N; i++) {
    while (range < p.no_decay_count && p.no_decay[2 * range + 1] <= at + i) range++;
    const bool skips = range < p.no_decay_count && p.no_decay[2 * range] <= at + i;
    decay.at[i] = skips ? 0.0f : p.decay;
  }
  return decay;
}

__device__ __forceinline__ float difference(float a, float b) { return __fadd_rn(a, -b); }

__device__ __forceinline__ void update(const DisAdamwEma& p, int64_t at, int count, bool together, float factor,
                                       const Values<N>& decay) {
  Values<N> params = load_values<N>(p.params + at, count, together);
  Values<N> m = load_values<N>(p.m + at, count, together), v = load_values<N>(p.v + at, count, together);
  const Values<N> grads = load_values<N>(p.grads + at, count, together);
  Values<N> averages[AVERAGES];
#pragma unroll
  for (int a = 0; a < AVERAGES; a++) {
    if (a < p.average_count) averages[a] = load_values<N>(p.averages[a] + at, count, together);
  }
#pragma unroll
  for (int i = 0; i < N; i++) {
    const float grad = __fmul_rn(factor, grads.at[i]);
    m.at[i] = fmaf(p.m_rest, difference(grad, m.at[i]), m.at[i]);
    v.at[i] = fmaf(p.v_rest, difference(__fmul_rn(grad, grad), v.at[i]), v.at[i]);
    const float root = fmaf(sqrtf(v.at[i]), p.v_root, p.eps);
    const float change = fmaf(decay.at[i], params.at[i], __fmul_rn(p.rate, m.at[i]) / root);
    params.at[i] = difference(params.at[i], change);
  }
  store_values<N>(p.params + at, count, together, params);
  store_values<N>(p.m + at, count, together, m);
  store_values<N>(p.v + at, count, together, v);
  if (p.compute_copy) store_values<N>(static_cast<bf16*>(p.compute_copy) + at, count, together, params);
#pragma unroll
  for (int a = 0; a < AVERAGES; a++) {
    if (a >= p.average_count) continue;
#pragma unroll
    for (int i = 0; i < N; i++) {
      float& average = averages[a].at[i];
      average = fmaf(p.average_rest[a], difference(params.at[i], average), average);
    }
    store_values<N>(p.averages[a] + at, count, together, averages[a]);
  }
}

__device__ __forceinline__ bool addresses_allow(const DisAdamwEma& p) {
  bool all = allows<N>(p.params) && allows<N>(p.grads) && allows<N>(p.m) && allows<N>(p.v);
  all = all && allows<N>(static_cast<const bf16*>(p.compute_copy));
#pragma unroll
  for (int a = 0; a < AVERAGES; a++) all = all && (a >= p.average_count || allows<N>(p.averages[a]));
  return all;
}

}  // namespace

DIS_KERNEL(adamw_ema, DisAdamwEma, THREADS, 4) {
  // Squares add up to no negative number; NaN compares as false.
  const bool finite = (!p.sum_squares || *p.sum_squares <= LARGEST) && (!p.not_finite || *p.not_finite == 0);
  if (blockIdx.x == 0 && threadIdx.x == 0) *p.skipped = finite ? 0 : 1;
  const int64_t end = finite ? p.len : 0;
  const float factor = grad_factor(p);
  const bool together = addresses_allow(p);

  for (int64_t tile = int64_t(blockIdx.x) * TILE; tile < end; tile += int64_t(gridDim.x) * TILE) {
    const int range = range_behind(p, tile);
    const bool all_decay = range == p.no_decay_count || p.no_decay[2 * range] >= tile + TILE;
    for (int turn = 0; turn < TILE; turn += THREADS * N) {
      const int64_t at = tile + turn + int(threadIdx.x) * N;
      Values<N> decay;
#pragma unroll
      for (int i = 0; i < N; i++) decay.at[i] = p.decay;
      if (!all_decay) decay = decays_at(p, at, range);
      // None beyond the end.
      const int count = end - at < N ? int(end - at) : N;
      update(p, at, count, together, factor, decay);
    }
  }
}
