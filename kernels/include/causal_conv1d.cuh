// What both passes of the causal convolution share: how a walk sees taps and tokens.
//
// Both scan orders walk up the tokens with the same window of four, x[t-3] ... x[t]. Left to right it gives the
// output at t, the last tap on x[t]; right to left the output at t-3, the last tap on x[t-3]. So the orders differ in
// a lag and in which way round the taps lie, and in no arithmetic.
#pragma once
#include "causal_conv1d.h"
#include "vector.cuh"

constexpr int TAPS = DIS_CONV_WIDTH;

// How far the output of a walk is behind the newest token of its window.
__device__ __forceinline__ int lag_of(bool right_to_left) { return right_to_left ? TAPS - 1 : 0; }

// Slot of x[t-3+j] in a window that turns: at step i, which brings x[t], the newest value takes the place of the one
// that left. With loops unrolled by TAPS all slots are known when compiling, and nothing is moved.
__host__ __device__ constexpr int slot(int i, int j) { return (i + j) % TAPS; }

// Taps of N channels in the order of the window: tap[j] belongs to x[t-3+j].
template <int N>
__device__ __forceinline__ void load_taps(const float* weight, bool mirrored, float (&tap)[TAPS][N]) {
#pragma unroll
  for (int n = 0; n < N; n++) {
    float row[TAPS];
    if (N > 1) {
      load_wide<TAPS>(weight + n * TAPS, row);
    } else {
#pragma unroll
      for (int k = 0; k < TAPS; k++) row[k] = weight[k];
    }
#pragma unroll
    for (int j = 0; j < TAPS; j++) tap[j][n] = mirrored ? row[TAPS - 1 - j] : row[j];
  }
}

// The value before SiLU of one channel; `i` is the step of the walk.
template <int N>
__device__ __forceinline__ float before_silu(const float (&tap)[TAPS][N], const float (&window)[TAPS][N], float bias,
                                             int i, int n) {
  float sum = bias;
#pragma unroll
  for (int j = 0; j < TAPS; j++) sum = fmaf(tap[j][n], window[slot(i, j)][n], sum);
  return sum;
}
