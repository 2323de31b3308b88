// Selective scan, value pass: both scan orders, softplus of the step size, direct path, sum of the orders and gate in one launch.
//
//   delta = softplus(delta_raw + delta_bias)
//   h     = exp(delta A) h + delta u B,   A = -exp(a_log)
//   y     = <C, h> + d_skip u
//   gated = direction_sum (y_first + y_second) silu(z)
//
// One thread is one channel of one image and holds its 16 states. A block walks the tokens in tiles; B and C of a tile stand in
// shared memory, where all channels read the same words. With two orders the block walks twice: the first walk parks its y, and the
// second, which meets the youngest of them first, adds, gates and writes.
#include "device.cuh"
#include "selective_scan.h"

// Names of one file stay in it: the emulator puts all kernels into one library.
namespace {

constexpr int STATES = DIS_SCAN_STATES;
constexpr int TILE = DIS_SCAN_TILE;
constexpr int THREADS = DIS_SCAN_FORWARD_CHANNELS;
// A token's [B | C] in vectors of four.
constexpr int ROW = 2 * STATES / 4;

// What a walk does with its y.
enum Role { ONLY, FIRST, SECOND };

// One image as all threads of the block see it. Offsets inside an image fit 32 bits.
template <class T>
struct Image {
  const T *u, *delta_raw, *bc, *z;
  float* parked;
  T *pre_gate, *gated;
  float* states;
};

// The row a walk is at, in elements from the start of the image: the same for all threads.
struct Place {
  int at, z_at;
};

// Constants of a walk.
struct Walk {
  float d_skip, delta_bias, direction_sum;
  // The channel, and elements from a token to the next.
  int e, step, z_step;
  // Whether this thread writes results, and what the gradient pass needs.
  bool writes, keeps;
};

template <class T, Role ROLE>
__device__ __forceinline__ void put(const Image<T>& image, const Walk& walk, const Place& place, float y) {
  if (ROLE == FIRST) {
    if (walk.writes) image.parked[place.at + walk.e] = y;
    return;
  }
  if (ROLE == SECOND) y += image.parked[place.at + walk.e];
  const float sum = walk.direction_sum * y;
  const float out = sum * silu(load(image.z + (place.z_at + walk.e)));
  if (walk.writes) store(image.gated + (place.at + walk.e), out);
  if (walk.keeps) store(image.pre_gate + (place.at + walk.e), sum);
}

// One token: advances the states and writes its result. `row` is its [B | C]. As soon as its operands are used they make room for those
// of the next token, where there is one. One token a trip, and one ahead: more of either costs registers, and so warps.
template <class T, Role ROLE, bool HAS_NEXT>
__device__ __forceinline__ void walk_token(const Image<T>& image, const Walk& walk, Place& place, float& u, float& raw,
                                           const float4* row, const float* rate, float* h) {
  const float delta = softplus(raw + walk.delta_bias), drive = delta * u;
  float y = walk.d_skip * u;
  if (HAS_NEXT) {
    u = load(image.u + (place.at + walk.step + walk.e));
    raw = load(image.delta_raw + (place.at + walk.step + walk.e));
  }
#pragma unroll
  for (int n = 0; n < STATES; n += 4) {
    const float4 b = row[n / 4], c = row[(STATES + n) / 4];
    h[n] = fmaf(exp2_approx(delta * rate[n]), h[n], drive * b.x);
    h[n + 1] = fmaf(exp2_approx(delta * rate[n + 1]), h[n + 1], drive * b.y);
    h[n + 2] = fmaf(exp2_approx(delta * rate[n + 2]), h[n + 2], drive * b.z);
    h[n + 3] = fmaf(exp2_approx(delta * rate[n + 3]), h[n + 3], drive * b.w);
    y = fmaf(h[n], c.x, y);
    y = fmaf(h[n + 1], c.y, y);
    y = fmaf(h[n + 2], c.z, y);
    y = fmaf(h[n + 3], c.w, y);
  }
  put<T, ROLE>(image, walk, place, y);
  place.at += walk.step;
  if (ROLE != FIRST) place.z_at += walk.z_step;
}

// The tile of [B | C] that starts at `place`; a warp brings one token at a time. `row` is where the first token starts, `step` the
// way from a token to the next.
template <class T>
__device__ __forceinline__ void bring_bc(const T* bc, int row, int step, int left, float* tile) {
  constexpr int WARPS = THREADS / WARP;
  static_assert(2 * STATES == WARP, "a lane is a column of [B | C]");
  const int warp = threadIdx.x / WARP, at = row + warp * step + threadIdx.x % WARP;
#pragma unroll
  for (int i = 0; i < TILE / WARPS; i++)
    if (warp + i * WARPS < left) tile[threadIdx.x + i * THREADS] = load(bc + (at + i * WARPS * step));
}

// Four states of a channel together: what one thread of the gradient pass holds.
__device__ __forceinline__ void keep(float* states, int channels, int e, const float* h) {
#pragma unroll
  for (int n = 0; n < STATES; n += 4)
    *reinterpret_cast<float4*>(states + n * channels + 4 * e) = make_float4(h[n], h[n + 1], h[n + 2], h[n + 3]);
}

template <class T>
__device__ __forceinline__ Image<T> image_of(const DisScanForward& p, int order) {
  const int64_t row = int64_t(blockIdx.y) * p.seq_len, first = row * p.channels;
  const int64_t kept = (int64_t(order) * gridDim.y + blockIdx.y) * ((p.seq_len - 1) / TILE) * STATES * p.channels;
  return {
      settled(static_cast<const T*>(p.u[order]) + first),
      settled(static_cast<const T*>(p.delta_raw[order]) + first),
      settled(static_cast<const T*>(p.bc[order]) + row * p.bc_stride),
      settled(static_cast<const T*>(p.z) + row * p.z_stride),
      settled(p.parked + first),
      settled(static_cast<T*>(p.pre_gate) + first),
      settled(static_cast<T*>(p.gated) + first),
      p.states + kept,
  };
}

template <class T, Role ROLE>
__device__ __forceinline__ void walk_image(const DisScanForward& p, int order, int e, bool is_mine, float* tile) {
  const int seq_len = p.seq_len;
  const bool right_to_left = p.right_to_left[order];
  const Image<T> image = image_of<T>(p, order);
  const Walk walk = {
      p.d_skip[order][e],
      p.delta_bias[order][e],
      p.direction_sum,
      e,
      right_to_left ? -p.channels : p.channels,
      int(right_to_left ? -p.z_stride : p.z_stride),
      is_mine,
      is_mine && p.pre_gate,
  };
  const int start_token = token_at(0, seq_len, right_to_left);
  Place place = {start_token * p.channels, start_token * int(p.z_stride)};

  // exp(delta A) = 2^(delta rate)
  float rate[STATES], h[STATES];
#pragma unroll
  for (int n = 0; n < STATES; n++) {
    rate[n] = -expf(p.a_log[order][e * STATES + n]) * LOG2_E;
    h[n] = 0.0f;
  }
  float u = load(image.u + (place.at + e)), raw = load(image.delta_raw + (place.at + e));
  const int bc_step = int(right_to_left ? -p.bc_stride : p.bc_stride);
  const int first_row = start_token * int(p.bc_stride);
  for (int start = 0; start < seq_len; start += TILE) {
    if (p.states && start > 0 && is_mine) keep(image.states + int64_t(start / TILE - 1) * STATES * p.channels, p.channels, e, h);
    __syncthreads();
    bring_bc(image.bc, first_row + start * bc_step, bc_step, seq_len - start, tile);
    __syncthreads();
    const float4* row = reinterpret_cast<const float4*>(tile);
    const int end = min(start + TILE, seq_len - 1);
#pragma unroll 1
    for (int from = start; from < end; from++, row += ROW)
      walk_token<T, ROLE, true>(image, walk, place, u, raw, row, rate, h);
    if (start + TILE >= seq_len) walk_token<T, ROLE, false>(image, walk, place, u, raw, row, rate, h);
  }
}

template <class T>
__device__ __forceinline__ void selective_scan(const DisScanForward& p) {
  DIS_SHARED(shared);
  float* tile = reinterpret_cast<float*>(shared);
  const int channel = blockIdx.x * THREADS + threadIdx.x;
  // Threads beyond the last channel repeat it and write nothing: barriers need them.
  const bool is_mine = channel < p.channels;
  const int e = min(channel, p.channels - 1);
  if (p.orders == 1) {
    walk_image<T, ONLY>(p, 0, e, is_mine, tile);
  } else {
    walk_image<T, FIRST>(p, 0, e, is_mine, tile);
    walk_image<T, SECOND>(p, 1, e, is_mine, tile);
  }
}

}  // namespace

DIS_KERNEL(selective_scan_fwd_f32, DisScanForward, THREADS, 6) { selective_scan<float>(p); }
DIS_KERNEL(selective_scan_fwd_bf16, DisScanForward, THREADS, 6) { selective_scan<bf16>(p); }
