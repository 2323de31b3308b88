// Root-mean-square normalisation of the three segments of each row, in place, without weight; both passes.
//
//   rstd = (mean(x^2) + eps)^(-1/2),   x = x rstd               the mean over one segment
//   grad = rstd (grad - x mean(grad x))                         x the normed segment
//
// Segments are short, 16 to a hundred elements, and of any length: eight lanes have one, so that a warp has four under
// way and leaves few lanes without work. A segment is read twice, the second time from the cache.
#include "segment_rms_norm.h"

#include "device.cuh"

namespace {

constexpr int THREADS = DIS_SEGMENT_RMS_NORM_THREADS;
constexpr int LANES = DIS_SEGMENT_RMS_NORM_LANES;
constexpr int SEGMENTS = 3;

static_assert(WARP % LANES == 0, "a segment stays inside a warp");

// A thread's segment.
struct Segment {
  // Of all segments, row by row.
  int64_t index;
  // Its first element, of all rows.
  int64_t first;
  // 0 beyond the last row: its threads go on, because sums name the whole warp.
  int width;
};

template <class Params>
__device__ __forceinline__ Segment segment_of(const Params& p) {
  const int64_t index = (int64_t(blockIdx.x) * THREADS + threadIdx.x) / LANES;
  const int64_t row = index / SEGMENTS;
  const int which = int(index % SEGMENTS);
  const int before = (which > 0 ? p.widths[0] : 0) + (which > 1 ? p.widths[1] : 0);
  const int width = which == 0 ? p.widths[0] : which == 1 ? p.widths[1] : p.widths[2];
  const int row_len = p.widths[0] + p.widths[1] + p.widths[2];
  return {index, row * row_len + before, row < p.rows ? width : 0};
}

// Sum over the lanes of a segment, the same bits in every lane.
__device__ __forceinline__ float segment_sum(float x) {
#pragma unroll
  for (int distance = LANES / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
  return x;
}

template <class T>
__device__ __forceinline__ void segment_rms_norm_forward(const DisSegmentRmsNormForward& p) {
  const Segment segment = segment_of(p);
  const int lane = int(threadIdx.x) % LANES;
  T* const x = static_cast<T*>(p.x) + segment.first;
  float squares = 0.0f;
#pragma unroll 4
  for (int i = lane; i < segment.width; i += LANES) {
    const float value = load(x + i);
    squares = fmaf(value, value, squares);
  }
  const float rstd = rsqrtf(segment_sum(squares) / float(segment.width) + p.eps);
#pragma unroll 4
  for (int i = lane; i < segment.width; i += LANES) store(x + i, load(x + i) * rstd);
  if (segment.width > 0 && lane == 0) p.rstd[segment.index] = rstd;
}

template <class T>
__device__ __forceinline__ void segment_rms_norm_backward(const DisSegmentRmsNormBackward& p) {
  const Segment segment = segment_of(p);
  const int lane = int(threadIdx.x) % LANES;
  const T* const normed = static_cast<const T*>(p.normed) + segment.first;
  T* const grad = static_cast<T*>(p.grad) + segment.first;
  const float rstd = segment.width > 0 ? p.rstd[segment.index] : 0.0f;
  float dot = 0.0f;
#pragma unroll 4
  for (int i = lane; i < segment.width; i += LANES) dot = fmaf(load(grad + i), load(normed + i), dot);
  const float mean = segment_sum(dot) / float(segment.width);
#pragma unroll 4
  for (int i = lane; i < segment.width; i += LANES) {
    store(grad + i, rstd * fmaf(-mean, load(normed + i), load(grad + i)));
  }
}

}  // namespace

DIS_KERNEL(segment_rms_norm_fwd_f32, DisSegmentRmsNormForward, THREADS, 8) { segment_rms_norm_forward<float>(p); }
DIS_KERNEL(segment_rms_norm_fwd_bf16, DisSegmentRmsNormForward, THREADS, 8) { segment_rms_norm_forward<bf16>(p); }
DIS_KERNEL(segment_rms_norm_bwd_f32, DisSegmentRmsNormBackward, THREADS, 5) { segment_rms_norm_backward<float>(p); }
DIS_KERNEL(segment_rms_norm_bwd_bf16, DisSegmentRmsNormBackward, THREADS, 5) { segment_rms_norm_backward<bf16>(p); }
