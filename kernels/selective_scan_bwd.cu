// Selective scan, gradient pass: both scan orders in one launch, no atomics, the same bits every time.
//
// With g the gradient of y and dh that of the state, walking the tokens from the last of the order to the first:
//
//   dh       = C g + exp(delta A) dh of the token after
//   dB       = sum over channels of dh delta u,     dC = sum over channels of g h
//   w        = dh exp(delta A) h of the token before
//   du       = delta <dh, B> + d_skip g,            d delta = u <dh, B> + <w, A>
//   da_log   = A sum over tokens of w delta
//
// States are rebuilt in tiles from those that the value pass kept. Four lanes share a channel and hold four states each; a warp has
// eight channels. What needs one lane an element is done around the tiles by all threads together: softplus, gate, and the gradients
// from the sums over the states. Sums over channels go through shuffles and shared memory to one part for each block and token, which
// selective_scan_bwd_bc_* adds in order.
#include "device.cuh"
#include "selective_scan.h"

// Names of one file stay in it: the emulator puts all kernels into one library.
namespace {

constexpr int STATES = DIS_SCAN_STATES;
constexpr int TILE = DIS_SCAN_TILE;
constexpr int CHANNELS = DIS_SCAN_BACKWARD_CHANNELS;
constexpr int THREADS = 4 * CHANNELS;
constexpr int WARPS = THREADS / WARP;
// Elements of a tile that one thread brings and takes away; all of one channel.
constexpr int SHARE = TILE * CHANNELS / THREADS;
constexpr int COLUMNS = 2 * STATES;

static_assert(THREADS % CHANNELS == 0 && TILE * COLUMNS % THREADS == 0, "tiles are divided evenly");
static_assert(DIS_SCAN_BACKWARD_SHARED ==
                  TILE * CHANNELS * (sizeof(float4) + sizeof(float2)) + TILE * COLUMNS * (1 + WARPS) * sizeof(float),
              "what the launch code asks for");

// Shared memory of a block.
struct Tile {
  // [TILE, CHANNELS]: delta, u, g, slope of softplus.
  float4* operands;
  // [TILE, CHANNELS]: <dh, B> and <w, A> log2(e).
  float2* sums;
  // [TILE, 2 STATES]: B and C.
  float* bc;
  // [WARPS, TILE, 2 STATES]: sums over a warp's channels, in the order of lanes.
  float* parts;
};

// A block's image and scan order. Offsets inside an image fit 32 bits.
template <class T>
struct Image {
  const T *u, *delta_raw, *bc, *z, *pre_gate, *grad_gated;
  T *grad_u, *grad_delta_raw, *grad_z, *gated;
  // [L, gridDim.x, 2 STATES], this block's part.
  float* bc_parts;
  int seq_len, channels, z_stride, grad_z_stride, bc_stride, bc_parts_stride;
  bool right_to_left, is_first_order;

  __device__ __forceinline__ int token(int place) const { return token_at(place, seq_len, right_to_left); }
};

// The channel for which a thread brings operands and takes gradients away.
struct Mine {
  int e;
  bool exists;
  float d_skip, delta_bias, direction_sum;
};

// Gradient of z and the gated output, both for one element. They belong to no order: the first does them.
template <class T>
__device__ __forceinline__ void put_gate(const Image<T>& image, int token, int e, float z, float grad_gated) {
  const int at = token * image.channels + e;
  const float s = sigmoid(z), pre_gate = load(image.pre_gate + at);
  store(image.grad_z + (token * image.grad_z_stride + e), grad_gated * pre_gate * s * fmaf(z, 1.0f - s, 1.0f));
  store(image.gated + at, pre_gate * z * s);
}

// Brings the tile that starts at `start`. Elements outside the sequence and the channels get delta = u = g = 0: the state stays as it
// is and nothing is added.
template <class T>
__device__ __forceinline__ void bring(const Image<T>& image, const Mine& mine, const Tile& tile, int start) {
#pragma unroll
  for (int i = 0; i < SHARE; i++) {
    const int element = threadIdx.x + i * THREADS, place = start + element / CHANNELS;
    float4 operands = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (mine.exists && place < image.seq_len) {
      const int token = image.token(place), at = token * image.channels + mine.e;
      const float raw = load(image.delta_raw + at), z = load(image.z + (token * image.z_stride + mine.e));
      const float grad_gated = load(image.grad_gated + at);
      operands.x = softplus_with_slope(raw + mine.delta_bias, &operands.w);
      operands.y = load(image.u + at);
      operands.z = mine.direction_sum * grad_gated * silu(z);
      if (image.is_first_order) put_gate<T>(image, token, mine.e, z, grad_gated);
    }
    tile.operands[element] = operands;
  }
#pragma unroll
  for (int i = 0; i < TILE * COLUMNS / THREADS; i++) {
    const int element = threadIdx.x + i * THREADS, place = start + element / COLUMNS;
    const bool exists = place < image.seq_len;
    tile.bc[element] = exists ? load(image.bc + (image.token(place) * image.bc_stride + element % COLUMNS)) : 0.0f;
  }
}

// Sums eight values over the eight channels of a warp. Every step halves the values that a lane is left with: in the end lane r has the
// sum of value 4 bit4(r) + 2 bit3(r) + bit2(r).
__device__ __forceinline__ float sum_over_channels(float* values, int lane) {
#pragma unroll
  for (int count = 4, distance = 16; count > 0; count /= 2, distance /= 2) {
    const bool upper = lane & distance;
#pragma unroll
    for (int i = 0; i < count; i++) {
      const float sent = select(upper, values[i], values[i + count]), kept = select(upper, values[i + count], values[i]);
      values[i] = kept + __shfl_xor_sync(ALL_LANES, sent, distance);
    }
  }
  return values[0];
}

// The states of one lane: four of one channel.
struct Lane {
  // exp(delta A) = 2^(delta rate)
  float rate[4];
  // Gradient of the state, and of A.
  float grad_h[4] = {0, 0, 0, 0}, grad_a[4] = {0, 0, 0, 0};
};

// Rebuilds the states of a tile from `h`, those before it, and walks back through it. `channel` is the lane's among the block's.
__device__ __forceinline__ void walk_back(const Tile& tile, Lane& lane, float4 h, int channel) {
  const int index = threadIdx.x % WARP, quarter = index % 4;
  const float4* operands = tile.operands + channel;
  const float4* bc = reinterpret_cast<const float4*>(tile.bc) + quarter;
  constexpr int ROW = COLUMNS / 4;
  float before[TILE][4], now[4] = {h.x, h.y, h.z, h.w};
#pragma unroll
  for (int t = 0; t < TILE; t++) {
    const float4 o = operands[t * CHANNELS], b = bc[t * ROW];
    const float drive = o.x * o.y, bs[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (int n = 0; n < 4; n++) {
      before[t][n] = now[n];
      now[n] = fmaf(exp2_approx(o.x * lane.rate[n]), now[n], drive * bs[n]);
    }
  }
#pragma unroll
  for (int t = TILE - 1; t >= 0; t--) {
    const float4 o = operands[t * CHANNELS], b = bc[t * ROW], c = bc[t * ROW + ROW / 2];
    const float drive = o.x * o.y, bs[4] = {b.x, b.y, b.z, b.w}, cs[4] = {c.x, c.y, c.z, c.w};
    float through_b = 0.0f, through_a = 0.0f, values[8];
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const float grad = fmaf(cs[n], o.z, lane.grad_h[n]);
      values[n] = grad * drive;
      values[4 + n] = now[n] * o.z;
      through_b = fmaf(grad, bs[n], through_b);
      lane.grad_h[n] = grad * exp2_approx(o.x * lane.rate[n]);
      now[n] = before[t][n];
      const float w = lane.grad_h[n] * now[n];
      through_a = fmaf(w, lane.rate[n], through_a);
      lane.grad_a[n] = fmaf(w, o.x, lane.grad_a[n]);
    }
    tile.parts[(threadIdx.x / WARP * TILE + t) * COLUMNS + index] = sum_over_channels(values, index);
    // Over the four lanes of the channel: even lanes end with one sum, odd lanes with the other.
    const bool odd = quarter & 1;
    float sum = select(odd, through_a, through_b) + __shfl_xor_sync(ALL_LANES, select(odd, through_b, through_a), 1);
    sum += __shfl_xor_sync(ALL_LANES, sum, 2);
    if (quarter < 2) reinterpret_cast<float*>(tile.sums + t * CHANNELS + channel)[quarter] = sum;
  }
}

// Sums over tokens for one channel.
struct ChannelSums {
  float d_skip = 0.0f, delta_bias = 0.0f;
};

// Takes the gradients of a tile away.
template <class T>
__device__ __forceinline__ void take(const Image<T>& image, const Mine& mine, const Tile& tile, int start,
                                     ChannelSums& sums) {
#pragma unroll
  for (int i = 0; i < SHARE; i++) {
    const int element = threadIdx.x + i * THREADS, place = start + element / CHANNELS;
    if (mine.exists && place < image.seq_len) {
      const int at = image.token(place) * image.channels + mine.e;
      const float4 o = tile.operands[element];
      const float2 through = tile.sums[element];
      const float grad_raw = fmaf(o.y, through.x, LN_2 * through.y) * o.w;
      store(image.grad_u + at, fmaf(o.x, through.x, mine.d_skip * o.z));
      store(image.grad_delta_raw + at, grad_raw);
      sums.d_skip = fmaf(o.z, o.y, sums.d_skip);
      sums.delta_bias += grad_raw;
    }
  }
  // From the order of lanes to that of columns: the value, and the quarter of the states.
  const int lane = threadIdx.x % COLUMNS, value = (lane >> 4 & 1) * 4 + (lane >> 3 & 1) * 2 + (lane >> 2 & 1);
  const int column = value / 4 * STATES + lane % 4 * 4 + value % 4;
#pragma unroll
  for (int i = 0; i < TILE * COLUMNS / THREADS; i++) {
    const int element = threadIdx.x + i * THREADS, place = start + element / COLUMNS;
    if (place < image.seq_len) {
      float sum = 0.0f;
#pragma unroll
      for (int warp = 0; warp < WARPS; warp++) sum += tile.parts[warp * TILE * COLUMNS + element];
      image.bc_parts[image.token(place) * image.bc_parts_stride + column] = sum;
    }
  }
}

// Adds the sums of the threads that share a channel, and writes the image's part of the parameters' gradients.
__device__ __forceinline__ void put_parameters(const DisScanBackward& p, const Mine& mine, const Tile& tile,
                                               const ChannelSums& sums, const Lane& lane, int channel) {
  float* parts = p.parameter_parts[blockIdx.z] + int64_t(blockIdx.y) * (STATES + 2) * p.channels;
  const int e = blockIdx.x * CHANNELS + channel, quarter = threadIdx.x % 4;
  if (e < p.channels) {
#pragma unroll
    for (int n = 0; n < 4; n++) parts[e * STATES + quarter * 4 + n] = lane.grad_a[n] * lane.rate[n] * LN_2;
  }
  // Where this thread alone has read.
  tile.sums[threadIdx.x] = make_float2(sums.d_skip, sums.delta_bias);
  __syncthreads();
  if (threadIdx.x < CHANNELS && mine.exists) {
    float d_skip = 0.0f, delta_bias = 0.0f;
#pragma unroll
    for (int i = 0; i < THREADS / CHANNELS; i++) {
      const float2 part = tile.sums[threadIdx.x + i * CHANNELS];
      d_skip += part.x;
      delta_bias += part.y;
    }
    parts[p.channels * STATES + mine.e] = d_skip;
    parts[p.channels * (STATES + 1) + mine.e] = delta_bias;
  }
}

template <class T>
__device__ __forceinline__ Image<T> image_of(const DisScanBackward& p) {
  const int order = blockIdx.z;
  const int64_t row = int64_t(blockIdx.y) * p.seq_len, first = row * p.channels;
  return {
      settled(static_cast<const T*>(p.u[order]) + first),
      settled(static_cast<const T*>(p.delta_raw[order]) + first),
      settled(static_cast<const T*>(p.bc[order]) + row * p.bc_stride),
      settled(static_cast<const T*>(p.z) + row * p.z_stride),
      settled(static_cast<const T*>(p.pre_gate) + first),
      settled(static_cast<const T*>(p.grad_gated) + first),
      settled(static_cast<T*>(p.grad_u[order]) + first),
      settled(static_cast<T*>(p.grad_delta_raw[order]) + first),
      settled(static_cast<T*>(p.grad_z) + row * p.grad_z_stride),
      settled(static_cast<T*>(p.gated) + first),
      settled(p.bc_parts + ((int64_t(order) * gridDim.y * p.seq_len + row) * gridDim.x + blockIdx.x) * COLUMNS),
      p.seq_len,
      p.channels,
      int(p.z_stride),
      int(p.grad_z_stride),
      int(p.bc_stride),
      int(gridDim.x) * COLUMNS,
      p.right_to_left[order] != 0,
      order == 0,
  };
}

template <class T>
__device__ __forceinline__ void selective_scan_backward(const DisScanBackward& p) {
  DIS_SHARED(shared);
  Tile tile;
  tile.operands = reinterpret_cast<float4*>(shared);
  tile.sums = reinterpret_cast<float2*>(tile.operands + TILE * CHANNELS);
  tile.bc = reinterpret_cast<float*>(tile.sums + TILE * CHANNELS);
  tile.parts = tile.bc + TILE * COLUMNS;

  const int order = blockIdx.z, e = blockIdx.x * CHANNELS + threadIdx.x % CHANNELS, last = p.channels - 1;
  const Image<T> image = image_of<T>(p);
  const Mine mine = {e, e <= last, p.d_skip[order][min(e, last)], p.delta_bias[order][min(e, last)], p.direction_sum};
  // Eight channels a warp, four lanes a channel. Channels beyond the last hold numbers of the last one, and add nothing.
  const int channel = threadIdx.x / WARP * 8 + threadIdx.x % WARP / 4, quarter = threadIdx.x % 4;
  const int lane_e = min(int(blockIdx.x) * CHANNELS + channel, last);
  Lane lane;
#pragma unroll
  for (int n = 0; n < 4; n++) lane.rate[n] = -expf(p.a_log[order][lane_e * STATES + quarter * 4 + n]) * LOG2_E;

  const int tiles = ceil_div(p.seq_len, TILE);
  const int64_t kept = (int64_t(order) * gridDim.y + blockIdx.y) * (tiles - 1) * STATES * p.channels;
  const float* states = p.states + kept + (quarter * p.channels + lane_e) * 4;
  ChannelSums sums;
#pragma unroll 1
  for (int k = tiles - 1; k >= 0; k--) {
    float4 h = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (k > 0) h = *reinterpret_cast<const float4*>(states + int64_t(k - 1) * STATES * p.channels);
    __syncthreads();
    bring<T>(image, mine, tile, k * TILE);
    __syncthreads();
    walk_back(tile, lane, h, channel);
    __syncthreads();
    take<T>(image, mine, tile, k * TILE, sums);
  }
  put_parameters(p, mine, tile, sums, lane, channel);
}

// Adds the blocks' parts of the gradient of [B | C]: a warp a token, a lane a column.
template <class T>
__device__ __forceinline__ void add_bc(const DisScanBackwardBc& p) {
  const int order = blockIdx.y, lane = threadIdx.x % WARP;
  const int64_t row = int64_t(blockIdx.x) * (blockDim.x / WARP) + threadIdx.x / WARP;
  if (row >= p.rows) return;
  const float* parts = p.bc_parts + (order * p.rows + row) * p.parts * COLUMNS + lane;
  float sum = 0.0f;
  for (int part = 0; part < p.parts; part++) sum += parts[int64_t(part) * COLUMNS];
  store(static_cast<T*>(p.grad_bc[order]) + row * p.grad_bc_stride + lane, sum);
}

}  // namespace

DIS_KERNEL(selective_scan_bwd_f32, DisScanBackward, THREADS, 2) { selective_scan_backward<float>(p); }
DIS_KERNEL(selective_scan_bwd_bf16, DisScanBackward, THREADS, 2) { selective_scan_backward<bf16>(p); }
DIS_KERNEL(selective_scan_bwd_bc_f32, DisScanBackwardBc, 256, 1) { add_bc<float>(p); }
DIS_KERNEL(selective_scan_bwd_bc_bf16, DisScanBackwardBc, 256, 1) { add_bc<bf16>(p); }
