#include "halved.h"

namespace tcnfast {

int padded_pairs(int channels, int multiple) {
  return 2 * ((channels / 2 + multiple - 1) / multiple * multiple);
}

std::vector<int> pair_order(int channels, int padded) {
  std::vector<int> order(padded, -1);
  for (int c = 0; c < channels / 2; ++c) {
    order[c] = c;
    order[padded / 2 + c] = channels - 1 - c;
  }
  return order;
}

size_t packed_bytes_halved(const Kernels& kernels, int padded, int taps) {
  return 2 * kernels.packed_bytes(padded / 2, taps * (padded / 2), 1);
}

// A channel u gets u[i] * a + v[i] * b from pair i at one tap, and at the mirrored tap b' and a'
// reach its partner. In terms of s and d, with p = a + b and q = a - b, and p', q' of the mirrored
// tap: S gets (p + p') / 4 of both taps' s and (q' - q) / 4 of dd, D (q + q') / 4 of ds and
// (p' - p) / 4 of sd; a middle tap is its own mirror image.
void pack_halved(const Kernels& kernels, const float* weights, int channels, int padded, int taps,
                 char* packed) {
  const int half = padded / 2, inputs = taps * half;
  std::vector<float> sums(size_t(half) * inputs), differences(size_t(half) * inputs);
  for (int o = 0; o < channels / 2; ++o)
    for (int i = 0; i < channels / 2; ++i) {
      const float* u = weights + (ptrdiff_t(o) * channels + i) * taps;
      const float* v = weights + (ptrdiff_t(o) * channels + channels - 1 - i) * taps;
      const auto p = [&](int tap) { return double(u[tap]) + v[tap]; };
      const auto q = [&](int tap) { return double(u[tap]) - v[tap]; };
      const size_t first = size_t(o) * inputs + kernels.halved->column(half, i);
      float *s = &sums[first], *d = &differences[first];
      if (taps % 2) {
        *s = float(p(taps / 2) / 2);
        *d = float(q(taps / 2) / 2);
        s += half;
        d += half;
      }
      for (int tap = 0; tap < taps / 2; ++tap, s += 2 * half, d += 2 * half) {
        const int mirror = taps - 1 - tap;
        s[0] = float((p(tap) + p(mirror)) / 4);
        s[half] = float((q(mirror) - q(tap)) / 4);
        d[0] = float((q(tap) + q(mirror)) / 4);
        d[half] = float((p(mirror) - p(tap)) / 4);
      }
    }
  kernels.pack(sums.data(), half, inputs, inputs, 1, packed);
  kernels.pack(differences.data(), half, inputs, inputs, 1,
               packed + packed_bytes_halved(kernels, padded, taps) / 2);
}

size_t halved_scratch_bytes(const Kernels& kernels, int padded, int taps) {
  return size_t(kernels.halved->row_block) * taps * padded * kernels.element_bytes;
}

size_t halved_kept_bytes(const Kernels& kernels, int padded, int taps, long rows) {
  const size_t row = size_t(taps) * (padded / 2) * kernels.element_bytes;
  return (2 * rows + kernels.halved->row_block) * row;
}

}  // namespace tcnfast
