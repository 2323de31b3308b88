// Launch ABI of layer normalisation with a shift and a factor per image. B images, L tokens, D columns, rows = B L.
// An entry's name says T and, where it is another, the format X of x: _f32, _bf16, _x32_bf16.
#pragma once
#include <stdint.h>

#include "norm.h"

// layer_norm_modulate_fwd_*: grid (ceil(rows / rows of a block)), NORM_THREADS threads, 2 * 8 * 4 bytes of shared
// memory.
typedef struct DisLayerNormForward {
  // [B, L, D] X.
  const void *x;
  // [B, 2 D] T: shift and factor; or null.
  const void *modulation;
  // [B, L, D] T.
  void *out;
  // [B, L, 2]: mean and reciprocal standard deviation.
  float *stats;
  int32_t rows;
  int32_t seq_len;
  int32_t width;
  int32_t row_warps;
  int32_t vectors;
  // [factor | shift] instead of [shift | factor].
  int32_t factor_first;
  float eps;
  int32_t unused;
} DisLayerNormForward;

// layer_norm_modulate_bwd_*: grid (strips, B), where a strip is `strip_tokens` tokens of an image and strips =
// ceil(L / strip_tokens); NORM_THREADS threads, (4 * 8 + rows of a block * 2 D) * 4 bytes of shared memory.
typedef struct DisLayerNormBackward {
  // [B, L, D] X.
  const void *x;
  // [B, 2 D] T, or null.
  const void *modulation;
  // [B, L, 2], as the value pass wrote it.
  const float *stats;
  // [B, L, D] T.
  const void *grad_out;
  // [B, L, D] T, overwritten.
  void *grad_x;
  // [B, strips, 2 D], for layer_norm_modulate_bwd_modulation; null without modulation.
  float *modulation_parts;
  int32_t seq_len;
  int32_t width;
  int32_t strip_tokens;
  int32_t row_warps;
  int32_t vectors;
  int32_t factor_first;
} DisLayerNormBackward;

// layer_norm_modulate_bwd_modulation_*: adds the parts. Grid (ceil(2 D / NORM_THREADS), B), NORM_THREADS threads, no
// shared memory.
typedef struct DisLayerNormBackwardModulation {
  // [B, strips, 2 D].
  const float *modulation_parts;
  // [B, 2 D] T, overwritten.
  void *grad_modulation;
  int32_t width;
  int32_t strips;
} DisLayerNormBackwardModulation;

#ifdef __cplusplus
static_assert(sizeof(DisLayerNormForward) == 64, "the launch ABI");
static_assert(sizeof(DisLayerNormBackward) == 72, "the launch ABI");
static_assert(sizeof(DisLayerNormBackwardModulation) == 24, "the launch ABI");
#endif
