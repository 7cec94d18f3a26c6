// The convolution of a strand-symmetric layer with half of its products, written once like conv.h.
//
// Rows hold h channels u and then their partners v, the channels of the other strand. A layer that
// is its own mirror image treats sums and differences apart: with s = u + v and d = u - v, and for
// each pair of mirrored taps (a, b) ss = s[a] + s[b], dd = d[b] - d[a], ds = d[a] + d[b],
// sd = s[b] - s[a],
//
//   S = [s of the middle tap | ss | dd | ...] times one matrix     u = S + D
//   D = [d of the middle tap | ds | sd | ...] times another        v = S - D
//
// Each has h outputs from taps * h inputs (halved.cpp makes them from the weights). What a row block
// multiplies is written to Conv::scratch, once for all panels of outputs; with Conv::keep that of all
// rows stays there. Sums are taken in the same order in every block.
#pragma once

#include "conv.h"

namespace tcnfast {
namespace {

// One vector of a row.
template <class V>
struct OneVector {
  static constexpr int CHANNELS = V::lanes;
  typename V::Reg value;
  static OneVector load(const char* p) { return {V::load_row(p)}; }
  void store(char* p) const { V::store_row(p, value); }
  OneVector operator+(OneVector b) const { return {V::add(value, b.value)}; }
  OneVector operator-(OneVector b) const { return {V::sub(value, b.value)}; }
};

// u + v of a group of channels, or u - v.
template <class Group, bool DIFFERENCE>
inline Group of_pair(const char* u, ptrdiff_t half) {
  const auto a = Group::load(u), b = Group::load(u + half);
  return DIFFERENCE ? a - b : a + b;
}

// What one group of channels of S gets to multiply, or of D.
template <class Group, bool DIFFERENCES>
inline void prepare_group(const Conv& c, const char* x, ptrdiff_t half, char* to) {
  const char *a = x, *b = x + (c.taps - 1) * c.x_tap;
  if (c.taps % 2) {
    of_pair<Group, DIFFERENCES>(x + c.taps / 2 * c.x_tap, half).store(to);
    to += half;
  }
  for (; a < b; a += c.x_tap, b -= c.x_tap, to += 2 * half) {
    (of_pair<Group, DIFFERENCES>(a, half) + of_pair<Group, DIFFERENCES>(b, half)).store(to);
    (of_pair<Group, !DIFFERENCES>(b, half) - of_pair<Group, !DIFFERENCES>(a, half))
        .store(to + half);
  }
}

template <class Group, class V, bool DIFFERENCES>
inline __attribute__((always_inline)) ptrdiff_t prepare_groups(const Conv& c, const char* x,
                                                               ptrdiff_t at, char* out) {
  constexpr ptrdiff_t BYTES = Group::CHANNELS * V::element_bytes;
  const ptrdiff_t half = ptrdiff_t(c.inputs / 2) * V::element_bytes;
  for (; at + BYTES <= half; at += BYTES)
    prepare_group<Group, DIFFERENCES>(c, x + at, half, out + at);
  return at;
}

// What one row of S multiplies, or of D: taps * h elements, in the order of `column`.
template <class V, bool DIFFERENCES>
inline __attribute__((always_inline)) void prepare_row(const Conv& c, const char* x, char* out) {
  ptrdiff_t at = 0;
  if constexpr (V::STEP == 2)
    at = prepare_groups<typename V::EvenOdd, V, DIFFERENCES>(c, x, at, out);
  prepare_groups<OneVector<V>, V, DIFFERENCES>(c, x, at, out);
}

// Where of h channels one stands.
template <class V>
int column(int half, int channel) {
  if constexpr (V::STEP == 2) {
    constexpr int GROUP = V::EvenOdd::CHANNELS;
    if (channel < half / GROUP * GROUP)
      return channel / GROUP * GROUP + channel % 2 * (GROUP / 2) + channel % GROUP / 2;
  }
  return channel;
}

// Where the two sides of the block that starts at a row are in the scratch.
template <class V>
struct Prepared {
  Prepared(const Conv& conv, int block)
      : c(conv),
        row(ptrdiff_t(c.taps) * (c.inputs / 2) * V::element_bytes),
        to_differences((c.keep ? c.rows : block) * row) {}
  char* sums(long first) const { return c.scratch + (c.keep ? first * row : 0); }
  char* differences(long first) const { return sums(first) + to_differences; }
  __attribute__((always_inline)) void sums_of(long first, int r) const {
    prepare_row<V, false>(c, c.x + (first + r) * c.x_row, sums(first) + r * row);
  }
  __attribute__((always_inline)) void differences_of(long first, int r) const {
    prepare_row<V, true>(c, c.x + (first + r) * c.x_row, differences(first) + r * row);
  }
  const Conv& c;
  const ptrdiff_t row, to_differences;
};

// The products of one side, and between them prepare(r) of `rows` rows: additions and stores go
// through parts of the processor that the multiply-adds leave idle.
template <class V, int ROWS, int VECTORS, class F>
inline __attribute__((always_inline)) void multiply_and_prepare(
    typename V::Reg (&sum)[ROWS][VECTORS], const char* x, ptrdiff_t stride, int steps,
    const char* w, int rows, F prepare) {
  for (int r = 0, from = 0; r < ROWS; ++r) {
    if (r < rows) prepare(r);
    const int to = steps * (r + 1) / ROWS;
    w = multiply<V, ROWS, VECTORS>(sum, x + from * WEIGHT_BYTES, stride, to - from, w);
    from = to;
  }
}

// VECTORS vectors of pairs of ROWS rows; `w_d` are the weights of the differences. The first panel
// of a block prepares its differences, the last one `next` rows of sums of the next block.
template <class V, int ROWS, int VECTORS, Epilogue E>
inline void halved_tile(const Prepared<V>& prepared, const char* w_s, const char* w_d, int channel,
                        long row, int next) {
  const Conv& c = prepared.c;
  const int half = c.inputs / 2, steps = c.taps * half / V::STEP;
  const int rows = c.rows - row < ROWS ? int(c.rows - row) : ROWS;
  typename V::Reg sum[ROWS][VECTORS];
#pragma GCC unroll 32
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) sum[m][n] = V::load_f32(c.bias + channel + n * V::lanes);
  multiply_and_prepare<V, ROWS, VECTORS>(sum, prepared.sums(row), prepared.row, steps, w_s,
                                         channel == 0 ? rows : 0,
                                         [&](int r) { prepared.differences_of(row, r); });
  alignas(64) float kept[ROWS][VECTORS][V::lanes];
#pragma GCC unroll 32
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) {
      V::store_f32(kept[m][n], sum[m][n]);
      sum[m][n] = typename V::Reg{};
    }
  multiply_and_prepare<V, ROWS, VECTORS>(sum, prepared.differences(row), prepared.row, steps, w_d, next,
                                         [&](int r) { prepared.sums_of(row + ROWS, r); });
#pragma GCC unroll 32
  for (int m = 0; m < ROWS; ++m) {
    if (m >= rows) break;
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) {
      const auto s = V::load_f32(kept[m][n]);
      const int at = channel + n * V::lanes;
      finish<V, E>(c, V::add(s, sum[m][n]), at, row + m);
      finish<V, E>(c, V::sub(s, sum[m][n]), half + at, row + m);
    }
  }
}

template <class V, int VECTORS, Epilogue E>
inline void halved_panel(const Prepared<V>& prepared, const char* w_s, const char* w_d, int channel,
                         long row, int next) {
  if (row + V::HALVED_ROWS / 2 < prepared.c.rows)
    halved_tile<V, V::HALVED_ROWS, VECTORS, E>(prepared, w_s, w_d, channel, row, next);
  else
    halved_tile<V, V::HALVED_ROWS / 2, VECTORS, E>(prepared, w_s, w_d, channel, row, next);
}

template <class V, Epilogue E>
void conv_halved(const Conv& c) {
  const int half = c.inputs / 2;
  const size_t vector_bytes = size_t(c.taps) * (half / V::STEP) * V::lanes * WEIGHT_BYTES;
  const ptrdiff_t to_differences = half / V::lanes * vector_bytes;
  const Prepared<V> prepared(c, V::HALVED_ROWS);
  const auto block = [&](long row) {  // rows of it
    const long left = c.rows - row;
    return left < 0 ? 0 : left < V::HALVED_ROWS ? int(left) : V::HALVED_ROWS;
  };
  for (int r = 0; r < block(0); ++r) prepared.sums_of(0, r);
  for (long row = 0; row < c.rows; row += V::HALVED_ROWS) {
    const char* w = c.weights;
    for (int channel = 0; channel < half;) {
      const int vectors = panel_vectors<V>(channel, half);
      const auto panel =
          vectors == V::VECTORS ? halved_panel<V, V::VECTORS, E> : halved_panel<V, 1, E>;
      const int here = channel;
      channel += vectors * V::lanes;
      const int next = channel < half ? 0 : block(row + V::HALVED_ROWS);
      panel(prepared, w, w + to_differences, here, row, next);
      w += vectors * vector_bytes;
    }
  }
}

// Rows of u + v; `out` may be x.
template <class V>
void pair_sums(const char* x, ptrdiff_t x_row, long rows, int half, char* out) {
  constexpr ptrdiff_t VECTOR = V::lanes * V::element_bytes;
  const ptrdiff_t bytes = ptrdiff_t(half) * V::element_bytes;
  for (long row = 0; row < rows; ++row, x += x_row)
    for (ptrdiff_t at = 0; at < bytes; at += VECTOR, out += VECTOR)
      V::store_row(out, V::add(V::load_row(x + at), V::load_row(x + bytes + at)));
}

template <class V>
inline constexpr HalvedKernels halved_table = {
    V::HALVED_ROWS,
    conv_halved<V, Epilogue::Relu>,
    conv_halved<V, Epilogue::Residual>,
    conv_halved<V, Epilogue::ResidualCodes>,
    conv_halved<V, Epilogue::Plain>,
    pair_sums<V>,
    column<V>};

}  // namespace
}  // namespace tcnfast
