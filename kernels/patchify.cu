// Images to rows of patches and back: two permutations, each the gradient of the other.
//
//   tokens[b, extra + (y / P)(W / P) + x / P, element of (c, y % P, x % P)] = image[b, c, y, x],   leading tokens 0
//
// A thread writes neighbouring elements with one access and reads where they come from; neighbours in a warp read
// neighbours, so that what one leaves of a sector the others take. Where elements come from is the same in every image:
// a thread finds it once and walks the images.
#include "patchify.h"
#include "tail.cuh"

namespace {

constexpr int THREADS = DIS_PATCHIFY_THREADS;
constexpr int N = DIS_PATCHIFY_VECTOR;

// Place of an element in the tokens of one image.
struct Place {
  int token, channel, row, column;
};

__device__ __forceinline__ Place place_of(const DisPatchGather& p, int at) {
  const int token_len = p.channels * p.patch * p.patch;
  const int element = at % token_len;
  if (p.channel_last) {
    const int pixel = element / p.channels;
    return {at / token_len, element % p.channels, pixel / p.patch, pixel % p.patch};
  }
  const int line = element / p.patch;
  return {at / token_len, line / p.patch, line % p.patch, element % p.patch};
}

// The place after `place`.
__device__ __forceinline__ void advance(const DisPatchGather& p, Place& place) {
  if (p.channel_last) {
    if (++place.channel < p.channels) return;
    place.channel = 0;
  }
  if (++place.column < p.patch) return;
  place.column = 0;
  if (++place.row < p.patch) return;
  place.row = 0;
  if (!p.channel_last) {
    if (++place.channel < p.channels) return;
    place.channel = 0;
  }
  place.token++;
}

// Pixel of a place in the image; -1 in leading tokens.
__device__ __forceinline__ int pixel_at(const DisPatchGather& p, const Place& place) {
  const int across = p.width / p.patch, patch = place.token - p.extra;
  if (patch < 0) return -1;
  const int y = patch / across * p.patch + place.row, x = patch % across * p.patch + place.column;
  return (place.channel * p.height + y) * p.width + x;
}

template <class T>
__device__ __forceinline__ void gather(const DisPatchGather& p) {
  T* const tokens = static_cast<T*>(p.tokens);
  const int image_len = p.channels * p.height * p.width;
  const int tokens_len = image_len + p.extra * p.channels * p.patch * p.patch;
  const int at = (blockIdx.x * THREADS + threadIdx.x) * N;
  // None beyond the end.
  const int count = min(N, tokens_len - at);
  const bool together = tokens_len % N == 0 && allows<N>(tokens);

  int pixels[N];
  Place place = place_of(p, at);
#pragma unroll
  for (int i = 0; i < N; i++) {
    pixels[i] = i < count ? pixel_at(p, place) : -1;
    advance(p, place);
  }
  for (int b = blockIdx.y; b < p.batch && count > 0; b += gridDim.y) {
    const float* const image = p.image + int64_t(b) * image_len;
    Values<N> x;
#pragma unroll
    for (int i = 0; i < N; i++) x.at[i] = pixels[i] < 0 ? 0.0f : image[pixels[i]];
    store_values<N>(tokens + int64_t(b) * tokens_len + at, count, together, x);
  }
}

// Element of a pixel in the tokens of one image.
__device__ __forceinline__ int element_at(const DisPatchScatter& p, int channel, int y, int x) {
  const int row = y % p.patch, column = x % p.patch;
  const int token = p.extra + y / p.patch * (p.width / p.patch) + x / p.patch;
  const int element = p.channel_last ? (row * p.patch + column) * p.channels + channel
                                     : (channel * p.patch + row) * p.patch + column;
  return token * p.channels * p.patch * p.patch + element;
}

template <class T>
__device__ __forceinline__ void scatter(const DisPatchScatter& p) {
  const T* const tokens = static_cast<const T*>(p.tokens);
  const int image_len = p.channels * p.height * p.width;
  const int tokens_len = image_len + p.extra * p.channels * p.patch * p.patch;
  const int at = (blockIdx.x * THREADS + threadIdx.x) * N;
  // None beyond the end.
  const int count = min(N, image_len - at);
  const bool together = image_len % N == 0 && allows<N>(p.image);

  int elements[N];
  int x = at % p.width, y = at / p.width % p.height, channel = at / p.width / p.height;
#pragma unroll
  for (int i = 0; i < N; i++) {
    elements[i] = i < count ? element_at(p, channel, y, x) : -1;
    if (++x == p.width) {
      x = 0;
      if (++y == p.height) y = 0, channel++;
    }
  }
  for (int b = blockIdx.y; b < p.batch && count > 0; b += gridDim.y) {
    const T* const from = tokens + int64_t(b) * tokens_len;
    Values<N> values;
#pragma unroll
    for (int i = 0; i < N; i++) values.at[i] = elements[i] < 0 ? 0.0f : load(from + elements[i]);
    store_values<N>(p.image + int64_t(b) * image_len + at, count, together, values);
  }
}

}  // namespace

DIS_KERNEL(patchify_gather_f32, DisPatchGather, THREADS, 4) { gather<float>(p); }
DIS_KERNEL(patchify_gather_bf16, DisPatchGather, THREADS, 4) { gather<bf16>(p); }
DIS_KERNEL(patchify_scatter_f32, DisPatchScatter, THREADS, 4) { scatter<float>(p); }
DIS_KERNEL(patchify_scatter_bf16, DisPatchScatter, THREADS, 4) { scatter<bf16>(p); }
