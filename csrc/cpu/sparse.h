// Convolutions that leave out inputs that are 0, written once like conv.h.
//
// A row's inputs are listed by steps, what one multiply-add takes: a channel, or a pair in bf16. An
// output starts from the bias and takes taps and steps in the order of conv.h, so leaving out
// products with 0 changes no bit. Weights are those of conv.h: a step's are a line in each panel.
#pragma once

#include "conv.h"

namespace tcnfast {
namespace {

// One vector too far may be written.
template <class V>
void list_nonzero(const char* x, long rows, int inputs, uint32_t* places, uint32_t* begins) {
  constexpr int VECTOR = V::lanes * WEIGHT_BYTES;
  const int steps = inputs / V::STEP;
  uint32_t n = 0, place = 0;
  for (long row = 0; row < rows; ++row) {
    begins[row] = n;
    int k = 0;
    for (; k + V::lanes <= steps; k += V::lanes, x += VECTOR, place += V::lanes)
      n += V::list_nonzero(x, place, places + n);
    if (k == steps) continue;
    char last[VECTOR] = {};  // rows of bf16 may end within a vector
    const int left = steps - k;
    __builtin_memcpy(last, x, left * WEIGHT_BYTES);
    n += V::list_nonzero(last, place, places + n);
    x += left * WEIGHT_BYTES;
    place += left;
  }
  begins[rows] = n;
}

// PANELS panels of outputs of ROWS rows. A row's sums wait for each other, so rows take turns as
// long as all have inputs left.
template <class V, int ROWS, int PANELS, int VECTORS, Epilogue E>
inline void sparse_rows(const SparseConv& s, const char* weights, int channel, long row) {
  constexpr int STEP_BYTES = VECTORS * V::lanes * WEIGHT_BYTES, SUMS = PANELS * VECTORS;
  const Conv& c = s.conv;
  const ptrdiff_t row_bytes = ptrdiff_t(c.inputs / V::STEP) * STEP_BYTES;  // of weights, a tap's
  const ptrdiff_t panel_bytes = c.taps * row_bytes;
  typename V::Reg sum[ROWS][SUMS];
#pragma GCC unroll 8
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < SUMS; ++n) sum[m][n] = V::load_f32(c.bias + channel + n * V::lanes);

  // taps that read neighbouring rows are one stretch of the list
  const int stretch = s.tap == 1 ? c.taps : 1;
  for (int tap = 0; tap < c.taps; tap += stretch) {
    const uint32_t *place[ROWS], *end[ROWS];
    const char* w[ROWS];
    ptrdiff_t all = PTRDIFF_MAX;
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; ++m) {
      const long from = s.first + (row + m) * s.stride + tap * s.tap;
      w[m] = weights + (tap - from) * row_bytes;
      place[m] = s.places + s.begins[from];
      end[m] = s.places + s.begins[from + stretch];
      if (end[m] - place[m] < all) all = end[m] - place[m];
    }
    const auto add = [&](int m, size_t place) {
      const auto input = V::broadcast(c.x + place * WEIGHT_BYTES);
      const char* of_step = w[m] + place * STEP_BYTES;
#pragma GCC unroll 8
      for (int n = 0; n < SUMS; ++n) {
        const ptrdiff_t at = n / VECTORS * panel_bytes + n % VECTORS * V::lanes * WEIGHT_BYTES;
        sum[m][n] = V::madd(sum[m][n], input, V::load_weights(of_step + at));
      }
    };
    for (ptrdiff_t i = 0; i < all; ++i)
#pragma GCC unroll 8
      for (int m = 0; m < ROWS; ++m) add(m, place[m][i]);
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; ++m)
      for (const uint32_t* p = place[m] + all; p < end[m]; ++p) add(m, *p);
  }
#pragma GCC unroll 8
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < SUMS; ++n) finish<V, E>(c, sum[m][n], channel + n * V::lanes, row + m);
}

template <class V, int PANELS, int VECTORS, Epilogue E>
inline void sparse_panels(const SparseConv& s, const char* weights, int channel) {
  constexpr int ROWS = V::lanes < 16 ? 2 : 3;  // of sums for which there are registers
  long row = 0;
  for (; row + ROWS <= s.conv.rows; row += ROWS)
    sparse_rows<V, ROWS, PANELS, VECTORS, E>(s, weights, channel, row);
  for (; row < s.conv.rows; ++row) sparse_rows<V, 1, PANELS, VECTORS, E>(s, weights, channel, row);
}

template <class V, Epilogue E>
void sparse_conv(const SparseConv& s) {
  constexpr int PANEL = V::VECTORS * V::lanes;
  const Conv& c = s.conv;
  const ptrdiff_t vector_bytes =
      ptrdiff_t(c.taps) * (c.inputs / V::STEP) * V::lanes * WEIGHT_BYTES;
  const char* w = c.weights;
  int channel = 0;
  for (; channel + 2 * PANEL <= c.outputs; channel += 2 * PANEL, w += 2 * V::VECTORS * vector_bytes)
    sparse_panels<V, 2, V::VECTORS, E>(s, w, channel);
  while (channel < c.outputs) {
    const int vectors = panel_vectors<V>(channel, c.outputs);
    if (vectors == V::VECTORS)
      sparse_panels<V, 1, V::VECTORS, E>(s, w, channel);
    else
      sparse_panels<V, 1, 1, E>(s, w, channel);
    channel += vectors * V::lanes;
    w += vectors * vector_bytes;
  }
}

// By how much one vector of a row moves, where the convolution's result moves by `moved`.
template <class V>
inline typename V::Reg let_through(const MovedRow& row, typename V::Reg moved, int channel) {
  const auto here = V::load_f32(row.here + channel);
  const auto was = V::relu(here), is = V::relu(V::add(here, moved));
  if (!row.added) return V::sub(is, was);
  const auto added = V::load_f32(row.added + channel);
  const auto now = row.skip ? V::add(added, V::load_f32(row.skip + channel)) : added;
  return V::sub(V::relu(V::add(is, now)), V::relu(V::add(was, added)));
}

// VECTORS vectors of channels of one row; returns the end of the list. Inputs take turns with two
// sums for each vector, because one would wait for itself.
template <class V, int VECTORS>
inline uint32_t moved_panel(const MovedConv& m, long index, int channel, uint32_t n) {
  const MovedRow& row = m.rows[index];
  const float* w = m.weights + channel - row.x * m.inputs * ptrdiff_t(m.outputs);
  typename V::Reg sum[VECTORS] = {}, other[VECTORS] = {};
  const auto add = [&](typename V::Reg* to, size_t place) {
    const auto input = V::broadcast(reinterpret_cast<const char*>(m.x + place));
    const float* of_input = w + place * m.outputs;
#pragma GCC unroll 8
    for (int i = 0; i < VECTORS; ++i)
      to[i] = V::madd(to[i], input, V::load_f32(of_input + i * V::lanes));
  };
  const uint32_t* place = m.places + m.begins[row.from];
  const uint32_t* end = m.places + m.begins[row.end];
  for (; end - place >= 2; place += 2) {
    add(sum, place[0]);
    add(other, place[1]);
  }
  if (place < end) add(sum, *place);
  float* out = m.out + index * m.outputs + channel;
#pragma GCC unroll 8
  for (int i = 0; i < VECTORS; ++i) {
    const int at = i * V::lanes;
    V::store_f32(out + at, let_through<V>(row, V::add(sum[i], other[i]), channel + at));
    n += V::list_nonzero(reinterpret_cast<const char*>(out + at),
                         uint32_t(index * m.outputs + channel + at), m.out_places + n);
  }
  return n;
}

template <class V>
void moved(const MovedConv& m) {
  constexpr int WIDE = 4;
  uint32_t n = 0;
  for (long index = 0; index < m.n; ++index) {
    m.out_begins[index] = n;
    int channel = 0;
    for (; channel + WIDE * V::lanes <= m.outputs; channel += WIDE * V::lanes)
      n = moved_panel<V, WIDE>(m, index, channel, n);
    for (; channel < m.outputs; channel += V::lanes) n = moved_panel<V, 1>(m, index, channel, n);
  }
  m.out_begins[m.n] = n;
}

// `moved` adds fp32 numbers.
template <class V>
constexpr void (*moved_kernel())(const MovedConv&) {
  if constexpr (V::STEP == 1) return moved<V>;
  return nullptr;
}

template <class V>
inline constexpr SparseKernels sparse_table = {
    V::STEP,
    list_nonzero<V>,
    sparse_conv<V, Epilogue::Relu>,
    sparse_conv<V, Epilogue::Residual>,
    sparse_conv<V, Epilogue::ResidualCodes>,
    moved_kernel<V>()};

}  // namespace
}  // namespace tcnfast
