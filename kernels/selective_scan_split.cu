// Selective scan, value pass for few images, where a thread a channel would leave most of the device idle.
//
// Four lanes share a channel and hold four states each, both orders run side by side, and the sequence is split into parts:
//
//   ends    scans every part but the last from zeros and keeps the state at its end and the sum of its delta
//   split   finds the state before its part, then scans the part: through a part with sum S of delta a state h becomes
//           exp(S A) h + its end
//   gate    adds the orders and applies the gate
//
// One number for each part and channel, S, stands for a product of as many factors as the part has tokens.
#include "device.cuh"
#include "selective_scan.h"

// Names of one file stay in it: the emulator puts all kernels into one library.
namespace {

constexpr int STATES = DIS_SCAN_STATES;
constexpr int TILE = DIS_SCAN_TILE;
constexpr int CHANNELS = DIS_SCAN_SPLIT_CHANNELS;
constexpr int THREADS = 4 * CHANNELS;
constexpr int COLUMNS = 2 * STATES;
constexpr int SHARE = TILE * CHANNELS / THREADS;

static_assert(DIS_SCAN_SPLIT_SHARED ==
                  TILE * CHANNELS * (sizeof(float2) + sizeof(float)) + TILE * COLUMNS * sizeof(float),
              "what the launch code asks for");

// Shared memory of a block.
struct Tile {
  // [TILE, CHANNELS]: delta and u.
  float2* operands;
  // [TILE, CHANNELS].
  float* y;
  // [TILE, 2 STATES]: B and C.
  float* bc;
};

// What a block walks through.
struct Part {
  int order, image, index, first, end;
  bool right_to_left;
  // The channel for which this thread brings operands and takes results away.
  int e;
  bool exists;
  float d_skip, delta_bias;
};

// Four states of one channel.
struct Lane {
  float rate[4];
  float h[4] = {0, 0, 0, 0};
  float delta_sum = 0;
};

// Row of a token among those of all images.
__device__ __forceinline__ int64_t row_of(const DisScanSplit& p, const Part& part, int place) {
  return int64_t(part.image) * p.seq_len + token_at(place, p.seq_len, part.right_to_left);
}

// Tokens beyond the part and channels beyond the last get delta = u = 0, which leaves the state as it is.
template <class T>
__device__ __forceinline__ void bring(const DisScanSplit& p, const Part& part, const Tile& tile, int start) {
#pragma unroll
  for (int i = 0; i < SHARE; i++) {
    const int element = threadIdx.x + i * THREADS, place = start + element / CHANNELS;
    float2 operands = make_float2(0.0f, 0.0f);
    if (part.exists && place < part.end) {
      const int64_t at = row_of(p, part, place) * p.channels + part.e;
      operands.x = softplus(load(static_cast<const T*>(p.delta_raw[part.order]) + at) + part.delta_bias);
      operands.y = load(static_cast<const T*>(p.u[part.order]) + at);
    }
    tile.operands[element] = operands;
  }
#pragma unroll
  for (int i = 0; i < TILE * COLUMNS / THREADS; i++) {
    const int element = threadIdx.x + i * THREADS, place = start + element / COLUMNS;
    const T* bc = static_cast<const T*>(p.bc[part.order]);
    const bool exists = place < part.end;
    tile.bc[element] = exists ? load(bc + row_of(p, part, place) * p.bc_stride + element % COLUMNS) : 0.0f;
  }
}

template <bool WITH_Y>
__device__ __forceinline__ void walk(const Tile& tile, Lane& lane, int channel) {
  const int quarter = threadIdx.x % 4;
  const float2* operands = tile.operands + channel;
  const float4* bc = reinterpret_cast<const float4*>(tile.bc) + quarter;
#pragma unroll 4
  for (int t = 0; t < TILE; t++) {
    const float2 o = operands[t * CHANNELS];
    const float4 b = bc[t * COLUMNS / 4], c = bc[t * COLUMNS / 4 + STATES / 4];
    const float drive = o.x * o.y, bs[4] = {b.x, b.y, b.z, b.w}, cs[4] = {c.x, c.y, c.z, c.w};
    float y = 0.0f;
#pragma unroll
    for (int n = 0; n < 4; n++) {
      lane.h[n] = fmaf(exp2_approx(o.x * lane.rate[n]), lane.h[n], drive * bs[n]);
      y = fmaf(lane.h[n], cs[n], y);
    }
    lane.delta_sum += o.x;
    if (WITH_Y) {
      y += __shfl_xor_sync(ALL_LANES, y, 1);
      y += __shfl_xor_sync(ALL_LANES, y, 2);
      if (quarter == 0) tile.y[t * CHANNELS + channel] = y;
    }
  }
}

__device__ __forceinline__ void take(const DisScanSplit& p, const Part& part, const Tile& tile, int start) {
#pragma unroll
  for (int i = 0; i < SHARE; i++) {
    const int element = threadIdx.x + i * THREADS, place = start + element / CHANNELS;
    if (part.exists && place < part.end) {
      const int64_t row = int64_t(part.order) * p.batch * p.seq_len + row_of(p, part, place);
      p.y[row * p.channels + part.e] = fmaf(part.d_skip, tile.operands[element].y, tile.y[element]);
    }
  }
}

// Where a lane's four states stand in an array [.., count, 4, E, 4] of this order and image.
__device__ __forceinline__ int64_t states_at(const DisScanSplit& p, const Part& part, int count, int index, int e) {
  const int64_t set = (int64_t(part.order) * p.batch + part.image) * count + index;
  return (set * 4 + threadIdx.x % 4) * p.channels * 4 + e * 4;
}

// The state before the part, from the ends of those before it.
__device__ __forceinline__ void begin(const DisScanSplit& p, const Part& part, Lane& lane, int e) {
  const float* sums = p.delta_sums + (int64_t(part.order) * p.batch + part.image) * (p.parts - 1) * p.channels + e;
  for (int before = 0; before < part.index; before++) {
    const float sum = sums[int64_t(before) * p.channels];
    const float4 end = *reinterpret_cast<const float4*>(p.ends + states_at(p, part, p.parts - 1, before, e));
    const float ends[4] = {end.x, end.y, end.z, end.w};
#pragma unroll
    for (int n = 0; n < 4; n++) lane.h[n] = fmaf(exp2_approx(sum * lane.rate[n]), lane.h[n], ends[n]);
  }
}

__device__ __forceinline__ void put_states(float* at, const Lane& lane) {
  *reinterpret_cast<float4*>(at) = make_float4(lane.h[0], lane.h[1], lane.h[2], lane.h[3]);
}

// With ENDS the state at the end of a part, otherwise y of its tokens.
template <class T, bool ENDS>
__device__ __forceinline__ void selective_scan_split(const DisScanSplit& p) {
  DIS_SHARED(shared);
  Tile tile;
  tile.operands = reinterpret_cast<float2*>(shared);
  tile.y = reinterpret_cast<float*>(tile.operands + TILE * CHANNELS);
  tile.bc = tile.y + TILE * CHANNELS;

  const int parts = ENDS ? p.parts - 1 : p.parts, order = blockIdx.z / parts, index = blockIdx.z % parts;
  const int e = blockIdx.x * CHANNELS + threadIdx.x % CHANNELS, last = p.channels - 1;
  const Part part = {
      order,
      int(blockIdx.y),
      index,
      index * p.part_len,
      min((index + 1) * p.part_len, p.seq_len),
      p.right_to_left[order] != 0,
      e,
      e <= last,
      p.d_skip[order][min(e, last)],
      p.delta_bias[order][min(e, last)],
  };
  // Eight channels a warp, four lanes a channel. Channels beyond the last hold numbers of the last one, and keep nothing.
  const int channel = threadIdx.x / 4, lane_e = min(int(blockIdx.x) * CHANNELS + channel, last);
  const bool keeps = int(blockIdx.x) * CHANNELS + channel <= last;
  Lane lane;
#pragma unroll
  for (int n = 0; n < 4; n++)
    lane.rate[n] = -expf(p.a_log[order][lane_e * STATES + threadIdx.x % 4 * 4 + n]) * LOG2_E;
  if (!ENDS) begin(p, part, lane, lane_e);

  for (int start = part.first; start < part.end; start += TILE) {
    if (!ENDS && p.states && keeps && start > 0)
      put_states(p.states + states_at(p, part, (p.seq_len - 1) / TILE, start / TILE - 1, lane_e), lane);
    __syncthreads();
    bring<T>(p, part, tile, start);
    __syncthreads();
    walk<!ENDS>(tile, lane, channel);
    if (ENDS) continue;
    __syncthreads();
    take(p, part, tile, start);
  }
  if (ENDS && keeps) {
    put_states(p.ends + states_at(p, part, parts, index, lane_e), lane);
    const int64_t set = (int64_t(order) * p.batch + part.image) * parts + index;
    if (threadIdx.x % 4 == 0) p.delta_sums[set * p.channels + lane_e] = lane.delta_sum;
  }
}

template <class T>
__device__ __forceinline__ void gate(const DisScanSplit& p) {
  const int e = blockIdx.x * blockDim.x + threadIdx.x;
  if (e >= p.channels) return;
  const int64_t rows = int64_t(p.batch) * p.seq_len;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const int64_t at = row * p.channels + e;
    float y = p.y[at];
    if (p.orders == 2) y += p.y[rows * p.channels + at];
    const float sum = p.direction_sum * y;
    store(static_cast<T*>(p.gated) + at, sum * silu(load(static_cast<const T*>(p.z) + row * p.z_stride + e)));
    if (p.pre_gate) store(static_cast<T*>(p.pre_gate) + at, sum);
  }
}

}  // namespace

DIS_KERNEL(selective_scan_split_ends_f32, DisScanSplit, THREADS, 8) { selective_scan_split<float, true>(p); }
DIS_KERNEL(selective_scan_split_ends_bf16, DisScanSplit, THREADS, 8) { selective_scan_split<bf16, true>(p); }
DIS_KERNEL(selective_scan_split_f32, DisScanSplit, THREADS, 8) { selective_scan_split<float, false>(p); }
DIS_KERNEL(selective_scan_split_bf16, DisScanSplit, THREADS, 8) { selective_scan_split<bf16, false>(p); }
DIS_KERNEL(selective_scan_gate_f32, DisScanSplit, 256, 1) { gate<float>(p); }
DIS_KERNEL(selective_scan_gate_bf16, DisScanSplit, 256, 1) { gate<bf16>(p); }
