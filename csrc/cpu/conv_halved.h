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
// multiplies is written to Conv::scratch, once for all panels of outputs. Sums are taken in the same
// order in every block.
#pragma once

#include "conv.h"

namespace tcnfast {
namespace {

// What one row multiplies: taps * h elements each.
template <class V>
inline void prepare_row(const Conv& c, const char* x, char* sums, char* differences) {
  const ptrdiff_t half = ptrdiff_t(c.inputs / 2) * V::element_bytes;
  constexpr ptrdiff_t VECTOR = V::lanes * V::element_bytes;
  for (ptrdiff_t at = 0; at < half; at += VECTOR) {
    char *s = sums + at, *d = differences + at;
    const auto load = [&](int tap) {
      const char* row = x + tap * c.x_tap + at;
      const auto u = V::load_row(row), v = V::load_row(row + half);
      struct {
        typename V::Reg s, d;
      } both{V::add(u, v), V::sub(u, v)};
      return both;
    };
    if (c.taps % 2) {
      const auto middle = load(c.taps / 2);
      V::store_row(s, middle.s);
      V::store_row(d, middle.d);
      s += half;
      d += half;
    }
    for (int tap = 0; tap < c.taps / 2; ++tap, s += 2 * half, d += 2 * half) {
      const auto a = load(tap), b = load(c.taps - 1 - tap);
      V::store_row(s, V::add(a.s, b.s));
      V::store_row(s + half, V::sub(b.d, a.d));
      V::store_row(d, V::add(a.d, b.d));
      V::store_row(d + half, V::sub(b.s, a.s));
    }
  }
}

// Where the two halves of a block's scratch are, and how far apart its rows.
template <class V>
struct Prepared {
  Prepared(const Conv& c, int block)
      : row(ptrdiff_t(c.taps) * (c.inputs / 2) * V::element_bytes),
        sums(c.scratch),
        differences(c.scratch + block * row) {}
  void rows(const Conv& c, long first, int n) const {
    for (int r = 0; r < n; ++r)
      prepare_row<V>(c, c.x + (first + r) * c.x_row, sums + r * row, differences + r * row);
  }
  const ptrdiff_t row;
  char *const sums, *const differences;
};

// VECTORS vectors of pairs of ROWS rows; `w_d` are the weights of the differences.
template <class V, int ROWS, int VECTORS, Epilogue E>
inline void halved_tile(const Conv& c, const Prepared<V>& prepared, const char* w_s,
                        const char* w_d, int channel, long row) {
  const int half = c.inputs / 2, steps = c.taps * half / V::STEP;
  typename V::Reg sum[ROWS][VECTORS];
#pragma GCC unroll 32
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) sum[m][n] = V::load_f32(c.bias + channel + n * V::lanes);
  multiply<V, ROWS, VECTORS>(sum, prepared.sums, prepared.row, steps, w_s);
  alignas(64) float kept[ROWS][VECTORS][V::lanes];
#pragma GCC unroll 32
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) {
      V::store_f32(kept[m][n], sum[m][n]);
      sum[m][n] = typename V::Reg{};
    }
  multiply<V, ROWS, VECTORS>(sum, prepared.differences, prepared.row, steps, w_d);
#pragma GCC unroll 32
  for (int m = 0; m < ROWS; ++m) {
    if (row + m >= c.rows) break;
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
inline void halved_panel(const Conv& c, const Prepared<V>& prepared, const char* w_s,
                         const char* w_d, int channel, long row) {
  if (row + V::ROWS / 2 < c.rows)
    halved_tile<V, V::ROWS, VECTORS, E>(c, prepared, w_s, w_d, channel, row);
  else
    halved_tile<V, V::ROWS / 2, VECTORS, E>(c, prepared, w_s, w_d, channel, row);
}

template <class V, Epilogue E>
void conv_halved(const Conv& c) {
  const int half = c.inputs / 2;
  const size_t vector_bytes = size_t(c.taps) * (half / V::STEP) * V::lanes * WEIGHT_BYTES;
  const ptrdiff_t to_differences = half / V::lanes * vector_bytes;
  const Prepared<V> prepared(c, V::ROWS);
  for (long row = 0; row < c.rows; row += V::ROWS) {
    const long left = c.rows - row;
    prepared.rows(c, row, left < V::ROWS ? int(left) : V::ROWS);
    const char* w = c.weights;
    for (int channel = 0; channel < half;) {
      const int vectors = panel_vectors<V>(channel, half);
      const auto panel = vectors == V::VECTORS ? halved_panel<V, V::VECTORS, E>
                                               : halved_panel<V, 1, E>;
      panel(c, prepared, w, w + to_differences, channel, row);
      channel += vectors * V::lanes;
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
    conv_halved<V, Epilogue::Relu>, conv_halved<V, Epilogue::Residual>,
    conv_halved<V, Epilogue::ResidualCodes>, conv_halved<V, Epilogue::Plain>, pair_sums<V>};

}  // namespace
}  // namespace tcnfast
