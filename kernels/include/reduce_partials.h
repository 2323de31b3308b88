// Launch ABI of the sum of partial results.
#pragma once
#include <stdint.h>

// Most threads of a block.
#define DIS_REDUCE_THREADS 1024
// Most sums of one launch.
#define DIS_REDUCE_JOBS 8

// reduce_partials: grid (ceil(max len / columns), jobs), `warps` warps a block, warps * 32 * 4 bytes of dynamic
// shared memory, where `strips` divides `warps` and columns = 32 * warps / strips. The order of a sum depends on
// `strips` alone. Good choices: rows <= 16: 1 strip, 8 warps; rows <= 256: 8 strips, 8 warps; more: 32 strips, 32
// warps.
typedef struct DisReducePartials {
  // Per job: `rows` rows of len[job] partial results, row_stride[job] apart.
  const float *partials[DIS_REDUCE_JOBS];
  // Per job [len], added to.
  float *sums[DIS_REDUCE_JOBS];
  int64_t row_stride[DIS_REDUCE_JOBS];
  int64_t len[DIS_REDUCE_JOBS];
  int32_t rows;
  int32_t strips;
} DisReducePartials;

#ifdef __cplusplus
static_assert(sizeof(DisReducePartials) == 264, "the launch ABI");
#endif
