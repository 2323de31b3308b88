// Launch ABI of the optimiser step.
#pragma once
#include <stdint.h>

#define DIS_ADAMW_THREADS 256
// Elements that a block updates before it moves on.
#define DIS_ADAMW_TILE 4096
// Most averages.
#define DIS_ADAMW_AVERAGES 4

// adamw_ema: any grid (at most ceil(len / TILE) blocks have work), THREADS threads, no shared memory.
typedef struct DisAdamwEma {
  // [len], updated.
  float *params;
  // [len].
  const float *grads;
  // [len], updated: first and second moments.
  float *m;
  float *v;
  // Each [len], updated after the parameters; null from `average_count` on.
  float *averages[DIS_ADAMW_AVERAGES];
  // [len] bf16, overwritten with the parameters. May be null.
  void *compute_copy;
  // [no_decay_count, 2]: first and last plus one of the ranges without weight decay, sorted and disjoint.
  const int64_t *no_decay;
  // [1]: sum of the squares of `grads`. Null: gradients are multiplied by `grad_scale` and not clipped.
  const double *sum_squares;
  // [1]: not 0 where the loss is not finite. May be null.
  const uint32_t *not_finite;
  // [1], overwritten: 1 when the sum of squares or the loss is not finite and nothing was updated, else 0.
  uint32_t *skipped;
  int64_t len;
  // Factor on gradients before the norm is compared: 1, or 1 / count where `grads` are sums.
  double grad_scale;
  // Largest norm of the scaled gradient.
  double clip;
  // 1 - decay of every average, of the first and of the second moment.
  float average_rest[DIS_ADAMW_AVERAGES];
  float m_rest;
  float v_rest;
  // Learning rate / (1 - beta1^step).
  float rate;
  // (1 - beta2^step)^(-1/2).
  float v_root;
  float eps;
  // Learning rate * weight decay.
  float decay;
  int32_t average_count;
  int32_t no_decay_count;
} DisAdamwEma;

#ifdef __cplusplus
static_assert(sizeof(DisAdamwEma) == 176, "the launch ABI");
#endif
