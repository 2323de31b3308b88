// Launch ABI of the root-mean-square normalisation of the segments of each row. Three segments a row, side by side; T is
// f32 or bf16, as the entry's name says.
#pragma once
#include <stdint.h>

#define DIS_SEGMENT_RMS_NORM_THREADS 256
// Neighbouring threads that have one segment.
#define DIS_SEGMENT_RMS_NORM_LANES 8

// Both: grid (ceil(3 rows LANES / THREADS)), THREADS threads, no shared memory.

// segment_rms_norm_fwd_*.
typedef struct DisSegmentRmsNormForward {
  // [rows, sum of widths] T, normalised in place.
  void *x;
  // [rows, 3], overwritten.
  float *rstd;
  int32_t rows;
  // Elements of each segment, 1 or more; fewer than 2^31 in all.
  int32_t widths[3];
  float eps;
  int32_t unused;
} DisSegmentRmsNormForward;

// segment_rms_norm_bwd_*.
typedef struct DisSegmentRmsNormBackward {
  // [rows, sum of widths] T, as the value pass wrote it.
  const void *normed;
  // [rows, 3], as the value pass wrote it.
  const float *rstd;
  // [rows, sum of widths] T: the gradient of normed comes in, that of what it was made from goes out.
  void *grad;
  int32_t rows;
  int32_t widths[3];
} DisSegmentRmsNormBackward;

#ifdef __cplusplus
static_assert(sizeof(DisSegmentRmsNormForward) == 40, "the launch ABI");
static_assert(sizeof(DisSegmentRmsNormBackward) == 40, "the launch ABI");
#endif
