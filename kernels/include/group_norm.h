// Launch ABI of the normalisation of groups of channels. T is f32 or bf16, as the entry's name says.
#pragma once
#include <stdint.h>

#define DIS_GROUP_NORM_THREADS 256
// Columns of a block of group_norm_parts and group_norm_apply.
#define DIS_GROUP_NORM_COLUMNS 128
// Dynamic shared memory of group_norm_parts: two f32 for each of up to eight columns of a thread.
#define DIS_GROUP_NORM_PARTS_SHARED (DIS_GROUP_NORM_THREADS * 8 * 8)
// Dynamic shared memory of group_norm_statistics: one f64 a warp, and one for all.
#define DIS_GROUP_NORM_STATISTICS_SHARED (DIS_GROUP_NORM_THREADS / 32 * 8 + 8)

// group_norm_parts_*: mean and sum of squared deviations of every channel over a part of the pixels. Grid (ceil(channels /
// COLUMNS), ceil(pixels / pixels_per_part), batch), THREADS threads, PARTS_SHARED bytes.
typedef struct DisGroupNormParts {
  // [batch, pixels, channels] T.
  const void *x;
  // [batch, gridDim.y, 2, channels], overwritten: the means, and the sums.
  float *parts;
  int64_t pixels;
  int32_t pixels_per_part;
  int32_t channels;
} DisGroupNormParts;

// group_norm_statistics: grid (groups, batch), THREADS threads, STATISTICS_SHARED bytes.
typedef struct DisGroupNormStatistics {
  // [batch, part_count, 2, channels], as group_norm_parts wrote it.
  const float *parts;
  // [batch, groups, 2], overwritten: mean and (variance + eps)^(-1/2).
  float *statistics;
  int64_t pixels;
  int32_t pixels_per_part;
  int32_t part_count;
  int32_t channels;
  // gridDim.x, a divisor of channels.
  int32_t groups;
  float eps;
  int32_t unused;
} DisGroupNormStatistics;

// group_norm_apply_*: grid (ceil(channels / COLUMNS), ceil(pixels / pixels_per_part), batch), THREADS threads, no shared
// memory. Its parts need not be those of group_norm_parts.
typedef struct DisGroupNormApply {
  // [batch, pixels, channels] T.
  const void *x;
  // [batch, groups, 2], as group_norm_statistics wrote it.
  const float *statistics;
  // [channels].
  const float *weight;
  // [channels].
  const float *bias;
  // [batch, pixels, channels] T, overwritten; may be x.
  void *out;
  int64_t pixels;
  int32_t pixels_per_part;
  int32_t channels;
  int32_t groups;
  // 1: silu of the result; else 0.
  int32_t silu;
} DisGroupNormApply;

#ifdef __cplusplus
static_assert(sizeof(DisGroupNormParts) == 32, "the launch ABI");
static_assert(sizeof(DisGroupNormStatistics) == 48, "the launch ABI");
static_assert(sizeof(DisGroupNormApply) == 64, "the launch ABI");
#endif
