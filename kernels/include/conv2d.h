// Launch ABI of the convolution of images: rows of patches before a matrix product, bias, residual and activation after
// it. T is f32 or bf16, as the entry's name says.
#pragma once
#include <stdint.h>

#define DIS_CONV2D_THREADS 256
// Elements of the vectors in which patches are written: a row of patches is a multiple of them.
#define DIS_CONV2D_VECTOR 8
// Columns of a block of conv2d_finish.
#define DIS_CONV2D_COLUMNS 128

// conv2d_gather_*: any grid (at most ceil(out_width row_len sizeof(T) / (16 THREADS)) x rows blocks have work), THREADS threads, no
// shared memory.
typedef struct DisConv2dGather {
  // [batch height width, channels] T, rows `x_stride` apart.
  const void *x;
  // [rows, out_width, row_len] T, overwritten: for each output pixel kernel_height * kernel_width * channels elements, then
  // zeros. 16-byte aligned.
  void *patches;
  int32_t height;
  int32_t width;
  int32_t channels;
  // Elements from a pixel of x to the next, channels or more.
  int32_t x_stride;
  int32_t kernel_height;
  int32_t kernel_width;
  // Pixels from one output to the next, in both directions.
  int32_t stride;
  // Rows of zeros above and columns of zeros left of the image; what else is outside of it is zero too.
  int32_t pad_top;
  int32_t pad_left;
  // 1: the image is read as if every pixel stood there twice in both directions; else 0.
  int32_t doubled;
  int32_t out_height;
  // out_width * row_len is less than 2^30.
  int32_t out_width;
  // A multiple of VECTOR.
  int32_t row_len;
  // Rows of output pixels, and the first of them, counted through all images.
  int32_t rows;
  int32_t first_row;
  int32_t unused;
} DisConv2dGather;

// conv2d_finish_*: out = activation(sums + bias + add). Grid (ceil(channels / COLUMNS), ceil(pixels / pixels_per_part)), THREADS
// threads, no shared memory.
typedef struct DisConv2dFinish {
  // [pixels, channels], rows `sums_stride` apart.
  const float *sums;
  // [channels]. Null: 0.
  const float *bias;
  // [pixels, channels] T. Null: 0.
  const void *add;
  // [pixels, channels] T, rows `out_stride` apart, overwritten; may be sums, with their stride.
  void *out;
  int64_t pixels;
  int32_t pixels_per_part;
  int32_t channels;
  // Elements from a row to the next, channels or more.
  int32_t sums_stride;
  int32_t out_stride;
  // 1: the activation is 0 where a sum is negative; 0: it is the sum.
  int32_t relu;
  int32_t unused;
} DisConv2dFinish;

#ifdef __cplusplus
static_assert(sizeof(DisConv2dGather) == 80, "the launch ABI");
static_assert(sizeof(DisConv2dFinish) == 64, "the launch ABI");
#endif
