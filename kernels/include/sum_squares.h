// Launch ABI of the sum of squares of an arena, the square of a global gradient norm.
#pragma once
#include <stdint.h>

#define DIS_SUM_SQUARES_THREADS 256
// Blocks of sum_squares, whatever the length: the order of the sum depends on nothing else.
#define DIS_SUM_SQUARES_BLOCKS 1024
// Dynamic shared memory of both entries: one f64 a warp.
#define DIS_SUM_SQUARES_SHARED (DIS_SUM_SQUARES_THREADS / 32 * 8)

// sum_squares: grid BLOCKS, THREADS threads, SHARED bytes.
typedef struct DisSumSquares {
  // [len].
  const float *x;
  // [BLOCKS], overwritten.
  double *partials;
  int64_t len;
} DisSumSquares;

// sum_squares_total: grid 1, THREADS threads, SHARED bytes.
typedef struct DisSumSquaresTotal {
  // [BLOCKS].
  const double *partials;
  // [1], overwritten.
  double *sum;
} DisSumSquaresTotal;

#ifdef __cplusplus
static_assert(sizeof(DisSumSquares) == 24, "the launch ABI");
static_assert(sizeof(DisSumSquaresTotal) == 16, "the launch ABI");
#endif
