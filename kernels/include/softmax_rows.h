// Launch ABI of the softmax of rows. T is f32 or bf16, as the entry's name says.
#pragma once
#include <stdint.h>

// Most threads of a block.
#define DIS_SOFTMAX_ROWS_THREADS 256
// Dynamic shared memory: two f32 a warp.
#define DIS_SOFTMAX_ROWS_SHARED (DIS_SOFTMAX_ROWS_THREADS / 32 * 8)

// softmax_rows_*: row = softmax(factor row), in place. Grid (rows), any number of whole warps up to THREADS threads, SHARED
// bytes. The order of a sum depends on the number of threads.
typedef struct DisSoftmaxRows {
  // [rows, len] T, rows `stride` apart.
  void *x;
  int64_t stride;
  // 1 or more.
  int32_t len;
  float factor;
} DisSoftmaxRows;

#ifdef __cplusplus
static_assert(sizeof(DisSoftmaxRows) == 24, "the launch ABI");
#endif
