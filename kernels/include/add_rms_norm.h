// Launch ABI of residual addition with root-mean-square normalisation. B images, L tokens, D columns, rows = B L; T
// is f32 or bf16, as the entry's name says.
#pragma once
#include <stdint.h>

#include "norm.h"

// add_rms_norm_fwd_*: grid (ceil(rows / rows of a block)), NORM_THREADS threads, 8 * 4 bytes of shared memory.
typedef struct DisAddRmsNormForward {
  // [B, L, D] T.
  const void *hidden;
  // [B, L, D], or null; may be new_residual itself.
  const float *residual;
  // [B], or null; not applied without residual.
  const float *drop_path;
  // [D].
  const float *weight;
  // [B, L, D].
  float *new_residual;
  // [B, L, D] T.
  void *normed;
  // [B, L].
  float *rstd;
  int32_t rows;
  int32_t seq_len;
  int32_t width;
  int32_t row_warps;
  int32_t vectors;
  float eps;
} DisAddRmsNormForward;

// add_rms_norm_bwd_*: any number of blocks, each of which walks its share of the rows (two a multiprocessor are
// resident), NORM_THREADS threads, (2 * 8 + rows of a block * D) * 4 bytes of shared memory.
typedef struct DisAddRmsNormBackward {
  // [B, L, D], as the value pass wrote it.
  const float *residual;
  // [B, L].
  const float *rstd;
  // [D].
  const float *weight;
  // [B], or null.
  const float *drop_path;
  // [B, L, D] T.
  const void *grad_normed;
  // [B, L, D]: what reaches the new residual comes in, the gradient of the old one goes out.
  float *grad_residual;
  // [B, L, D] T, overwritten.
  void *grad_hidden;
  // [blocks, D]: parts of the gradient of weight, for reduce_partials.
  float *weight_parts;
  int32_t rows;
  int32_t seq_len;
  int32_t width;
  int32_t row_warps;
  int32_t vectors;
  int32_t unused;
} DisAddRmsNormBackward;

#ifdef __cplusplus
static_assert(sizeof(DisAddRmsNormForward) == 80, "the launch ABI");
static_assert(sizeof(DisAddRmsNormBackward) == 88, "the launch ABI");
#endif
