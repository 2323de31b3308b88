// Launch ABI of patchify. B images, C channels of H x W pixels, patches of P x P; T is f32 or bf16, as the entry's name
// says.
#pragma once
#include <stdint.h>

#define DIS_PATCHIFY_THREADS 256
// Elements of one image that a thread moves.
#define DIS_PATCHIFY_VECTOR 4

// Both entries: grid (ceil(elements written of one image / (THREADS * VECTOR)), any number up to B), THREADS threads,
// no shared memory. Fewer than B rows of blocks share the work on places among images. One image has fewer than 2^30
// elements on each side.

// patchify_gather_*.
typedef struct DisPatchGather {
  // [B, C, H, W].
  const float *image;
  // [B, extra + (H / P)(W / P), C P P] T.
  void *tokens;
  int32_t batch;
  int32_t channels;
  int32_t height;
  int32_t width;
  int32_t patch;
  // Leading tokens, written with zeros.
  int32_t extra;
  // Order of the elements of one patch: 0 is (c, row, column), 1 is (row, column, c).
  int32_t channel_last;
  int32_t unused;
} DisPatchGather;

// patchify_scatter_*.
typedef struct DisPatchScatter {
  // [B, extra + (H / P)(W / P), C P P] T.
  const void *tokens;
  // [B, C, H, W].
  float *image;
  int32_t batch;
  int32_t channels;
  int32_t height;
  int32_t width;
  int32_t patch;
  // Leading tokens, not read.
  int32_t extra;
  int32_t channel_last;
  int32_t unused;
} DisPatchScatter;

#ifdef __cplusplus
static_assert(sizeof(DisPatchGather) == 48, "the launch ABI");
static_assert(sizeof(DisPatchScatter) == 48, "the launch ABI");
#endif
