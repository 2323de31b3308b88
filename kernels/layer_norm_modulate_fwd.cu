// Layer normalisation without parameters, then a shift and a factor per image, value pass.
//
//   x^  = (x - mean) (variance + eps)^(-1/2)
//   out = x^ (1 + factor[b]) + shift[b]
//
// A team of warps has a row and keeps it in registers: the variance is the mean square of x - mean, not a difference
// of sums, and x is still read once.
#include "layer_norm_modulate.h"
#include "rows.cuh"

// Names of one file stay in it: the emulator puts all kernels into one library.
namespace {

template <class X, class T, bool WHOLE>
__device__ __forceinline__ void layer_norm_row(const DisLayerNormForward& p, float* slots) {
  const Team team = team_of(p.row_warps, p.width);
  const int row = blockIdx.x * team.count + team.index;
  // Beyond the last row there are no columns.
  const bool inside = row < p.rows;
  const int columns = inside ? team.columns : 0;
  const int64_t at = int64_t(row) * p.width + team.first;
  Vector<X, VECTOR> loaded[VECTORS];
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    loaded[i] = load_columns<WHOLE>(static_cast<const X*>(p.x) + at, i, columns);
  }
  Columns x;
  float sum[1] = {0.0f}, squares[1] = {0.0f};
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    widen(loaded[i], x[i]);
#pragma unroll
    for (int n = 0; n < VECTOR; n++) sum[0] += x[i][n];
  }
  team_sum(team, slots, sum);
  const float mean = sum[0] / float(p.width);
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
#pragma unroll
    for (int n = 0; n < VECTOR; n++) {
      // What stands beyond the row is no deviation.
      x[i][n] = i * NEXT_VECTOR + n < columns ? x[i][n] - mean : 0.0f;
      squares[0] = fmaf(x[i][n], x[i][n], squares[0]);
    }
  }
  team_sum(team, slots + BLOCK_WARPS, squares);
  const float rstd = rsqrtf(squares[0] / float(p.width) + p.eps);
  const T* modulation = static_cast<const T*>(p.modulation) + int64_t(row / p.seq_len) * 2 * p.width + team.first;
  const int modulated = p.modulation ? columns : 0;
  const int shift_at = p.factor_first ? p.width : 0, factor_at = p.width - shift_at;
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    float shift[VECTOR], factor[VECTOR];
    widen(load_columns<WHOLE>(modulation + shift_at, i, modulated), shift);
    widen(load_columns<WHOLE>(modulation + factor_at, i, modulated), factor);
#pragma unroll
    for (int n = 0; n < VECTOR; n++) x[i][n] = fmaf(x[i][n] * rstd, 1.0f + factor[n], shift[n]);
    store_columns<WHOLE>(static_cast<T*>(p.out) + at, i, columns, x[i]);
  }
  if (inside && team.leads) {
    p.stats[2 * int64_t(row)] = mean;
    p.stats[2 * int64_t(row) + 1] = rstd;
  }
}

template <class X, class T>
__device__ __forceinline__ void layer_norm_modulate_forward(const DisLayerNormForward& p) {
  DIS_SHARED(shared);
  float* slots = reinterpret_cast<float*>(shared);
  if (p.vectors) {
    layer_norm_row<X, T, true>(p, slots);
  } else {
    layer_norm_row<X, T, false>(p, slots);
  }
}

}  // namespace

DIS_KERNEL(layer_norm_modulate_fwd_f32, DisLayerNormForward, DIS_NORM_THREADS, 4) {
  layer_norm_modulate_forward<float, float>(p);
}
DIS_KERNEL(layer_norm_modulate_fwd_bf16, DisLayerNormForward, DIS_NORM_THREADS, 4) {
  layer_norm_modulate_forward<bf16, bf16>(p);
}
DIS_KERNEL(layer_norm_modulate_fwd_x32_bf16, DisLayerNormForward, DIS_NORM_THREADS, 4) {
  layer_norm_modulate_forward<float, bf16>(p);
}
