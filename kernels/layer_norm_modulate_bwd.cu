// Layer normalisation without parameters, then a shift and a factor per image, gradient pass. With g = (1 + factor)
// grad_out:
//
//   grad x      = rstd (g - mean(g) - x^ mean(g x^))
//   grad shift  = sum over the image's tokens of grad_out
//   grad factor = sum over the image's tokens of grad_out x^
//
// A team of warps has a row in registers, so that every operand is moved once. A block walks a strip of tokens of one
// image: a thread has the same columns of all of them, and keeps their factors and the sums of their gradients in
// registers. In the end the block's teams add their sums in order; a second kernel adds the strips of an image and
// rounds.
#include "layer_norm_modulate.h"
#include "rows.cuh"

// Names of one file stay in it: the emulator puts all kernels into one library.
namespace {

// Columns of the modulation in one thread.
struct Modulation {
  Columns factor, grad_shift, grad_factor;
};

template <class X, class T, bool WHOLE>
__device__ __forceinline__ void layer_norm_token(const DisLayerNormBackward& p, const Team& team, bool inside,
                                                 int64_t row, float* slots, Modulation& modulation) {
  // Beyond the strip there are no columns.
  const int columns = inside ? team.columns : 0;
  const int64_t at = row * p.width + team.first;
  Vector<X, VECTOR> x[VECTORS];
  Vector<T, VECTOR> grad_out[VECTORS];
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    x[i] = load_columns<WHOLE>(static_cast<const X*>(p.x) + at, i, columns);
    grad_out[i] = load_columns<WHOLE>(static_cast<const T*>(p.grad_out) + at, i, columns);
  }
  const float mean = inside ? p.stats[2 * row] : 0.0f, rstd = inside ? p.stats[2 * row + 1] : 0.0f;
  // Of g and of g x^. Beyond the row grad_out is 0.
  float sums[2] = {0.0f, 0.0f};
  Columns normed, grad;
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    widen(x[i], normed[i]);
    widen(grad_out[i], grad[i]);
#pragma unroll
    for (int n = 0; n < VECTOR; n++) {
      normed[i][n] = (normed[i][n] - mean) * rstd;
      modulation.grad_shift[i][n] += grad[i][n];
      modulation.grad_factor[i][n] = fmaf(grad[i][n], normed[i][n], modulation.grad_factor[i][n]);
      grad[i][n] *= 1.0f + modulation.factor[i][n];
      sums[0] += grad[i][n];
      sums[1] = fmaf(grad[i][n], normed[i][n], sums[1]);
    }
  }
  team_sum(team, slots, sums);
  const float mean_grad = sums[0] / float(p.width), mean_dot = sums[1] / float(p.width);
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
#pragma unroll
    for (int n = 0; n < VECTOR; n++) grad[i][n] = rstd * (grad[i][n] - fmaf(normed[i][n], mean_dot, mean_grad));
    store_columns<WHOLE>(static_cast<T*>(p.grad_x) + at, i, columns, grad[i]);
  }
}

template <class X, class T, bool WHOLE>
__device__ __forceinline__ void layer_norm_strip(const DisLayerNormBackward& p, float* shared) {
  float *slots = shared, *sums = shared + 4 * BLOCK_WARPS;
  const Team team = team_of(p.row_warps, p.width);
  const int begin = blockIdx.x * p.strip_tokens, end = min(begin + p.strip_tokens, p.seq_len);
  const int64_t image = blockIdx.y;
  const int shift_at = p.factor_first ? p.width : 0, factor_at = p.width - shift_at;
  Modulation modulation = {};
  const int modulated = p.modulation ? team.columns : 0;
  const T* factor = static_cast<const T*>(p.modulation) + image * 2 * p.width + factor_at + team.first;
#pragma unroll
  for (int i = 0; i < VECTORS; i++) widen(load_columns<WHOLE>(factor, i, modulated), modulation.factor[i]);
  // All teams of a block make the same number of rounds, because they meet in the sums.
  int round = 0;
  for (int first = begin; first < end; first += team.count, round++) {
    const int token = first + team.index;
    float* round_slots = slots_of_round<2>(slots, round);
    layer_norm_token<X, T, WHOLE>(p, team, token < end, image * p.seq_len + token, round_slots, modulation);
  }
  if (p.modulation) {
    float* team_row = sums + team.index * 2 * p.width;
    put_column_sums<WHOLE>(team, modulation.grad_shift, team_row + shift_at);
    put_column_sums<WHOLE>(team, modulation.grad_factor, team_row + factor_at);
    __syncthreads();
    add_team_rows(sums, team.count, 2 * p.width, p.modulation_parts + (image * gridDim.x + blockIdx.x) * 2 * p.width);
  }
}

template <class X, class T>
__device__ __forceinline__ void layer_norm_modulate_backward(const DisLayerNormBackward& p) {
  DIS_SHARED(shared);
  float* floats = reinterpret_cast<float*>(shared);
  if (p.vectors) {
    layer_norm_strip<X, T, true>(p, floats);
  } else {
    layer_norm_strip<X, T, false>(p, floats);
  }
}

template <class T>
__device__ __forceinline__ void add_strips(const DisLayerNormBackwardModulation& p) {
  const int column = blockIdx.x * blockDim.x + threadIdx.x, row_len = 2 * p.width;
  const int64_t image = blockIdx.y;
  if (column < row_len) {
    const float* parts = p.modulation_parts + image * p.strips * row_len + column;
    float sum = 0.0f;
    for (int strip = 0; strip < p.strips; strip++) sum += parts[int64_t(strip) * row_len];
    store(static_cast<T*>(p.grad_modulation) + image * row_len + column, sum);
  }
}

}  // namespace

DIS_KERNEL(layer_norm_modulate_bwd_f32, DisLayerNormBackward, DIS_NORM_THREADS, 2) {
  layer_norm_modulate_backward<float, float>(p);
}
DIS_KERNEL(layer_norm_modulate_bwd_bf16, DisLayerNormBackward, DIS_NORM_THREADS, 2) {
  layer_norm_modulate_backward<bf16, bf16>(p);
}
DIS_KERNEL(layer_norm_modulate_bwd_x32_bf16, DisLayerNormBackward, DIS_NORM_THREADS, 2) {
  layer_norm_modulate_backward<float, bf16>(p);
}
DIS_KERNEL(layer_norm_modulate_bwd_modulation_f32, DisLayerNormBackwardModulation, DIS_NORM_THREADS, 4) {
  add_strips<float>(p);
}
DIS_KERNEL(layer_norm_modulate_bwd_modulation_bf16, DisLayerNormBackwardModulation, DIS_NORM_THREADS, 4) {
  add_strips<bf16>(p);
}
