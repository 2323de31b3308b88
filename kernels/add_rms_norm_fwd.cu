// Residual addition and root-mean-square normalisation, value pass.
//
//   residual' = residual + drop_path[b] hidden         (residual absent: hidden)
//   rstd      = (mean(residual'^2) + eps)^(-1/2)
//   out       = residual' rstd weight
//
// A team of warps has a row and keeps it in registers between the sum and the product, so that every operand is moved
// once. All loads of a row go out before the first is used.
#include "add_rms_norm.h"
#include "rows.cuh"

// Names of one file stay in it: the emulator puts all kernels into one library.
namespace {

template <class T, bool WHOLE>
__device__ __forceinline__ void add_rms_norm_row(const DisAddRmsNormForward& p, float* slots) {
  const Team team = team_of(p.row_warps, p.width);
  const int row = blockIdx.x * team.count + team.index;
  // Beyond the last row there are no columns.
  const bool inside = row < p.rows;
  const int columns = inside ? team.columns : 0;
  const int64_t at = int64_t(row) * p.width + team.first;
  Vector<T, VECTOR> hidden[VECTORS];
  Vector<float, VECTOR> residual[VECTORS];
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    hidden[i] = load_columns<WHOLE>(static_cast<const T*>(p.hidden) + at, i, columns);
    residual[i] = load_columns<WHOLE>(p.residual + at, i, p.residual ? columns : 0);
  }
  // Without residual it is 0 and the factor 1.
  const float factor = p.residual && p.drop_path && inside ? p.drop_path[row / p.seq_len] : 1.0f;
  Columns sum;
  float squares[1] = {0.0f};
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    float stream[VECTOR];
    widen(hidden[i], sum[i]);
    widen(residual[i], stream);
#pragma unroll
    for (int n = 0; n < VECTOR; n++) {
      sum[i][n] = fmaf(factor, sum[i][n], stream[n]);
      squares[0] = fmaf(sum[i][n], sum[i][n], squares[0]);
    }
    store_columns<WHOLE>(p.new_residual + at, i, columns, sum[i]);
  }
  team_sum(team, slots, squares);
  const float rstd = rsqrtf(squares[0] / float(p.width) + p.eps);
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    float weight[VECTOR];
    widen(load_columns<WHOLE>(p.weight + team.first, i, columns), weight);
#pragma unroll
    for (int n = 0; n < VECTOR; n++) sum[i][n] *= rstd * weight[n];
    store_columns<WHOLE>(static_cast<T*>(p.normed) + at, i, columns, sum[i]);
  }
  if (inside && team.leads) p.rstd[row] = rstd;
}

template <class T>
__device__ __forceinline__ void add_rms_norm_forward(const DisAddRmsNormForward& p) {
  DIS_SHARED(shared);
  float* slots = reinterpret_cast<float*>(shared);
  if (p.vectors) {
    add_rms_norm_row<T, true>(p, slots);
  } else {
    add_rms_norm_row<T, false>(p, slots);
  }
}

}  // namespace

DIS_KERNEL(add_rms_norm_fwd_f32, DisAddRmsNormForward, DIS_NORM_THREADS, 4) { add_rms_norm_forward<float>(p); }
DIS_KERNEL(add_rms_norm_fwd_bf16, DisAddRmsNormForward, DIS_NORM_THREADS, 4) { add_rms_norm_forward<bf16>(p); }
