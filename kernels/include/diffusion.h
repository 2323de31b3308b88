// Launch ABI of noising and of the losses. B samples of M elements (C channels of H x W pixels).
#pragma once
#include <stdint.h>

#define DIS_DIFFUSION_THREADS 256
// Elements of a sample that a block takes, or pixels of a channel.
#define DIS_DIFFUSION_TILE 1024
// Dynamic shared memory of a loss: two f64 a warp.
#define DIS_LOSS_SHARED (DIS_DIFFUSION_THREADS / 32 * 16)
// Samples of a block of loss_terms, one a warp.
#define DIS_LOSS_TERMS_SAMPLES 4
// Dynamic shared memory of loss_finite: one word a warp.
#define DIS_LOSS_FINITE_SHARED (DIS_DIFFUSION_THREADS / 32 * 4)

// q_sample: grid (ceil(M / TILE), any number up to B), THREADS threads, no shared memory.
typedef struct DisQSample {
  // [B, M]. Null: the noise alone is written.
  const float *x0;
  // [B, M], the noisy image. Null with x0.
  float *x_t;
  // [B, M], the noise that was drawn. May be null.
  float *noise;
  // [B, 2]: factors of x0 and noise, (sqrt(ab), sqrt(1 - ab)). Null with x0.
  const float *levels;
  // [B]: position of each sample in the address of its random numbers.
  const uint64_t *positions;
  uint64_t seed;
  // M, at most 2^34.
  int64_t sample_len;
  int32_t batch;
  // What the numbers are for, below 2^8, and the second part of their address, below 2^24.
  uint32_t purpose;
  uint32_t sub;
  uint32_t unused;
} DisQSample;

// What hybrid_loss needs to know of the timestep of one sample. l is the posterior log variance, M the elements, g the
// factor on the gradient; weights are of the mean squared error, of the bound, and of the bound in the gradient of the
// mean.
typedef struct DisLossRow {
  // 2 g weight_mse / M.
  double error_slope;
  // g weight_bound_to_mean / (M ln 2).
  double mean_slope;
  // g weight_bound / (M ln 2).
  double variance_slope;
  // (ln beta - l) / 2.
  double half_range;
  // l.
  double log_variance;
  // (posterior factor of x0 * noise_per_data)^2 exp(-l).
  double precision;
  // sqrt(1 / ab - 1).
  double noise_per_data;
  // 1 at the first timestep, where the bound is the likelihood of an 8-bit pixel.
  int32_t is_first;
  int32_t unused;
} DisLossRow;

// hybrid_loss: grid (ceil(M / TILE), any number up to B), THREADS threads, LOSS_SHARED bytes.
typedef struct DisHybridLoss {
  // [B, 2 M]: noise as the network sees it, then variance.
  const float *output;
  // [B, M].
  const float *x0;
  const float *noise;
  // [B].
  const DisLossRow *rows;
  // [B, 2 M], overwritten.
  float *grad_output;
  // [B, gridDim.x, 2], overwritten: sums of squared error and bound (nats).
  double *partials;
  int64_t sample_len;
  int32_t batch;
  int32_t unused;
} DisHybridLoss;

// What the squared error needs to know of one sample. g is the factor on the gradient.
typedef struct DisSquaredErrorRow {
  // Factors of x0 and noise in the target.
  float data;
  float noise;
  // 2 g weight / M.
  float slope;
  // g weight of the cosine / (H W). Only squared_error_cosine_loss reads it.
  float cosine_slope;
} DisSquaredErrorRow;

// squared_error_loss: grid and shared memory as hybrid_loss.
// squared_error_cosine_loss: grid (ceil(H W / TILE), any number up to B), THREADS threads, LOSS_SHARED bytes.
typedef struct DisSquaredErrorLoss {
  // [B, M].
  const float *output;
  const float *x0;
  const float *noise;
  // [B].
  const DisSquaredErrorRow *rows;
  // [B, M], overwritten.
  float *grad_output;
  // [B, gridDim.x, 2], overwritten: sums of squared error, and of 1 - cos over pixels (0 without a cosine).
  double *partials;
  int64_t sample_len;
  // H W, which divides M. Only squared_error_cosine_loss reads it.
  int64_t pixels;
  int32_t batch;
  int32_t unused;
} DisSquaredErrorLoss;

// loss_terms: grid ceil(B / TERMS_SAMPLES), 32 TERMS_SAMPLES threads, no shared memory.
typedef struct DisLossTerms {
  // [B, parts, 2].
  const double *partials;
  // [B, 2], overwritten: the first sum divided by M, the second times its factor.
  double *terms;
  int64_t sample_len;
  // 1 / (M ln 2) of a bound, 1 / (H W) of a cosine.
  double second_factor;
  int32_t batch;
  int32_t parts;
} DisLossTerms;

// loss_finite: grid 1, THREADS threads, LOSS_FINITE_SHARED bytes.
typedef struct DisLossFinite {
  // [len].
  const double *terms;
  // [1]: set to 1 when a term is not finite, else left as it is.
  uint32_t *not_finite;
  int64_t len;
} DisLossFinite;

#ifdef __cplusplus
static_assert(sizeof(DisQSample) == 72, "the launch ABI");
static_assert(sizeof(DisLossRow) == 64, "the launch ABI");
static_assert(sizeof(DisHybridLoss) == 64, "the launch ABI");
static_assert(sizeof(DisSquaredErrorRow) == 16, "the launch ABI");
static_assert(sizeof(DisSquaredErrorLoss) == 72, "the launch ABI");
static_assert(sizeof(DisLossTerms) == 40, "the launch ABI");
static_assert(sizeof(DisLossFinite) == 24, "the launch ABI");
#endif
