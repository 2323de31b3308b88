// Launch ABI of the steps between the fused operators. T is f32 or bf16, as the entry's name says.
#pragma once
#include <stdint.h>

#define DIS_ELEMENTWISE_THREADS 256
// Elements that a block takes before it moves on.
#define DIS_ELEMENTWISE_TILE 2048
// Columns of a block of column_sums.
#define DIS_COLUMN_SUMS_COLUMNS 128
// Dynamic shared memory of column_sums.
#define DIS_COLUMN_SUMS_SHARED 8192

// fill_rows_*: out[r, :] = row. Any grid (at most ceil(rows columns / TILE) blocks have work), THREADS threads, no
// shared memory.
typedef struct DisFillRows {
  // [columns].
  const float *row;
  // [rows, columns] T, overwritten.
  void *out;
  int64_t rows;
  // Fewer than 2^30.
  int32_t columns;
  int32_t unused;
} DisFillRows;

// column_sums_*: sums over parts of the rows, to be added by reduce_partials. Grid (ceil(columns / COLUMNS), ceil(rows
// / rows_per_part)), THREADS threads, COLUMN_SUMS_SHARED bytes.
typedef struct DisColumnSums {
  // [rows, columns] T, rows `stride` apart.
  const void *x;
  // [gridDim.y, columns], overwritten.
  float *partials;
  int64_t stride;
  int64_t rows;
  int32_t rows_per_part;
  int32_t columns;
} DisColumnSums;

// The following: any grid (at most ceil(len / TILE) blocks have work), THREADS threads, no shared memory.

// add_*: out = a + b.
typedef struct DisAdd {
  // [len] T.
  const void *a;
  const void *b;
  // [len] T, overwritten; may be a or b.
  void *out;
  int64_t len;
} DisAdd;

// accumulate_*: to += from.
typedef struct DisAccumulate {
  // [len] T.
  const void *from;
  // [len], added to.
  float *to;
  int64_t len;
} DisAccumulate;

// silu_*: out = x sigmoid(x).
typedef struct DisSilu {
  // [len] T.
  const void *x;
  // [len] T, overwritten; may be x.
  void *out;
  int64_t len;
} DisSilu;

// silu_backward_*: grad *= derivative of silu at x.
typedef struct DisSiluBackward {
  // [len] T.
  const void *x;
  // [len] T, multiplied.
  void *grad;
  int64_t len;
} DisSiluBackward;

// narrow_*: f32 to T.
typedef struct DisNarrow {
  // [len].
  const float *from;
  // [len] T, overwritten.
  void *to;
  int64_t len;
} DisNarrow;

// widen_*: T to f32.
typedef struct DisWiden {
  // [len] T.
  const void *from;
  // [len], overwritten.
  float *to;
  int64_t len;
} DisWiden;

// The following: grid (ceil(image_len / TILE), any number up to batch), THREADS threads, no shared memory.

// residual_add_*: out = residual + drop_path hidden.
typedef struct DisResidualAdd {
  // [batch, image_len] T.
  const void *hidden;
  // [batch, image_len].
  const float *residual;
  // [batch]. Null: 1.
  const float *drop_path;
  // [batch, image_len], overwritten; may be residual.
  float *out;
  int64_t image_len;
  int32_t batch;
  int32_t unused;
} DisResidualAdd;

// drop_path_*: out = drop_path x.
typedef struct DisDropPath {
  // [batch, image_len].
  const float *x;
  // [batch]. Null: 1.
  const float *drop_path;
  // [batch, image_len] T, overwritten.
  void *out;
  int64_t image_len;
  int32_t batch;
  int32_t unused;
} DisDropPath;

#ifdef __cplusplus
static_assert(sizeof(DisFillRows) == 32, "the launch ABI");
static_assert(sizeof(DisColumnSums) == 40, "the launch ABI");
static_assert(sizeof(DisAdd) == 32, "the launch ABI");
static_assert(sizeof(DisAccumulate) == 24, "the launch ABI");
static_assert(sizeof(DisSilu) == 24, "the launch ABI");
static_assert(sizeof(DisSiluBackward) == 24, "the launch ABI");
static_assert(sizeof(DisNarrow) == 24, "the launch ABI");
static_assert(sizeof(DisWiden) == 24, "the launch ABI");
static_assert(sizeof(DisResidualAdd) == 48, "the launch ABI");
static_assert(sizeof(DisDropPath) == 40, "the launch ABI");
#endif
