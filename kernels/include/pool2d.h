// Launch ABI of the pooling of images. T is f32 or bf16, as the entry's name says.
#pragma once
#include <stdint.h>

#define DIS_POOL2D_THREADS 256

// pool2d_*: the largest of the pixels below a window, or their mean. Any grid (at most ceil(out_width channels sizeof(T) /
// (16 THREADS)) x rows blocks have work where pixels are whole vectors), THREADS threads, no shared memory.
typedef struct DisPool2d {
  // [batch height width, channels] T, rows `x_stride` apart.
  const void *x;
  // [rows out_width, channels] T, rows `out_stride` apart, overwritten.
  void *out;
  int32_t height;
  int32_t width;
  int32_t channels;
  // Elements from a pixel to the next, channels or more.
  int32_t x_stride;
  int32_t out_stride;
  // Rows and columns of the window.
  int32_t side;
  // Pixels from one window to the next, in both directions.
  int32_t stride;
  // Rows above and columns left of the image where windows begin; what a window has outside of the image does not count.
  // Every window has a pixel inside.
  int32_t pad;
  // 1: the mean; 0: the largest.
  int32_t average;
  int32_t out_height;
  // out_width * channels is less than 2^30.
  int32_t out_width;
  // Rows of outputs of all images.
  int32_t rows;
} DisPool2d;

#ifdef __cplusplus
static_assert(sizeof(DisPool2d) == 64, "the launch ABI");
#endif
