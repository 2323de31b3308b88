// Residual addition and root-mean-square normalisation, gradient pass. With g = weight grad_normed:
//
//   grad residual = grad residual' + rstd g - residual' rstd^3 mean(g residual')
//   grad hidden   = drop_path[b] grad residual
//   grad weight   = sum over rows of grad_normed residual' rstd
//
// A team of warps has a row in registers, so that every operand is moved once. A block walks many rows: a thread has
// the same columns of all of them, and keeps their weights and the sums of their gradients in registers. In the end
// the block's teams add their sums in order, and the block leaves one row of parts.
#include "add_rms_norm.h"
#include "rows.cuh"

// Names of one file stay in it: the emulator puts all kernels into one library.
namespace {

// What a thread loads of one row.
template <class T>
struct Row {
  Vector<float, VECTOR> residual[VECTORS], grad_residual[VECTORS];
  Vector<T, VECTOR> grad_normed[VECTORS];
};

template <class T, bool WHOLE>
__device__ __forceinline__ void load_row(const DisAddRmsNormBackward& p, const Team& team, int row, Row<T>& values) {
  // Beyond the last row there are no columns.
  const int columns = row < p.rows ? team.columns : 0;
  const int64_t at = int64_t(row) * p.width + team.first;
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    values.residual[i] = load_columns<WHOLE>(p.residual + at, i, columns);
    values.grad_normed[i] = load_columns<WHOLE>(static_cast<const T*>(p.grad_normed) + at, i, columns);
    values.grad_residual[i] = load_columns<WHOLE>(p.grad_residual + at, i, columns);
  }
}

// This thread's part of the sum of g residual'.
template <class T>
__device__ __forceinline__ float dot_of(const Row<T>& values, const Columns& weight) {
  float dot = 0.0f;
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    float residual[VECTOR], grad_normed[VECTOR];
    widen(values.residual[i], residual);
    widen(values.grad_normed[i], grad_normed);
#pragma unroll
    for (int n = 0; n < VECTOR; n++) dot = fmaf(weight[i][n] * grad_normed[n], residual[n], dot);
  }
  return dot;
}

template <class T, bool WHOLE>
__device__ __forceinline__ void add_rms_norm_rows(const DisAddRmsNormBackward& p, float* shared) {
  float *slots = shared, *sums = shared + 2 * BLOCK_WARPS;
  const Team team = team_of(p.row_warps, p.width);
  Columns weight, grad_weight = {};
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    widen(load_columns<WHOLE>(p.weight + team.first, i, team.columns), weight[i]);
  }
  // All teams of a block make the same number of rounds, because they meet in the sums.
  int round = 0;
  for (int first = blockIdx.x * team.count; first < p.rows; first += gridDim.x * team.count, round++) {
    const int row = first + team.index;
    const bool inside = row < p.rows;
    Row<T> values;
    load_row<T, WHOLE>(p, team, row, values);
    const float rstd = inside ? p.rstd[row] : 0.0f;
    const float factor = inside && p.drop_path ? p.drop_path[row / p.seq_len] : 1.0f;
    float dot[1] = {dot_of(values, weight)};
    team_sum(team, slots_of_round<1>(slots, round), dot);
    const float pull = rstd * rstd * rstd * (dot[0] / float(p.width));
    const int columns = inside ? team.columns : 0;
    const int64_t at = int64_t(row) * p.width + team.first;
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
      float residual[VECTOR], grad_normed[VECTOR], grad[VECTOR];
      widen(values.residual[i], residual);
      widen(values.grad_normed[i], grad_normed);
      widen(values.grad_residual[i], grad);
#pragma unroll
      for (int n = 0; n < VECTOR; n++) {
        const float scaled = rstd * grad_normed[n];
        grad[n] += fmaf(scaled, weight[i][n], -(pull * residual[n]));
        grad_weight[i][n] = fmaf(scaled, residual[n], grad_weight[i][n]);
      }
      store_columns<WHOLE>(p.grad_residual + at, i, columns, grad);
#pragma unroll
      for (int n = 0; n < VECTOR; n++) grad[n] *= factor;
      store_columns<WHOLE>(static_cast<T*>(p.grad_hidden) + at, i, columns, grad);
    }
  }
  put_column_sums<WHOLE>(team, grad_weight, sums + team.index * p.width);
  __syncthreads();
  add_team_rows(sums, team.count, p.width, p.weight_parts + int64_t(blockIdx.x) * p.width);
}

template <class T>
__device__ __forceinline__ void add_rms_norm_backward(const DisAddRmsNormBackward& p) {
  DIS_SHARED(shared);
  float* floats = reinterpret_cast<float*>(shared);
  if (p.vectors) {
    add_rms_norm_rows<T, true>(p, floats);
  } else {
    add_rms_norm_rows<T, false>(p, floats);
  }
}

}  // namespace

DIS_KERNEL(add_rms_norm_bwd_f32, DisAddRmsNormBackward, DIS_NORM_THREADS, 2) { add_rms_norm_backward<float>(p); }
DIS_KERNEL(add_rms_norm_bwd_bf16, DisAddRmsNormBackward, DIS_NORM_THREADS, 2) { add_rms_norm_backward<bf16>(p); }
