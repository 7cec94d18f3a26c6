// The convolution as register tiles of ROWS positions by VECTORS vectors of output channels,
// written once over a vector type V (see avx512.cpp, avx2.cpp, generic.cpp).
//
// V::Reg holds V::lanes fp32 numbers. V::STEP is how many input channels one multiply-add takes
// (1 for fp32, 2 for bf16 pairs); weights of one step and one output are always 4 bytes.
// Every output is bias, then taps in order, then input channels in order, whatever tile it is in:
// results do not depend on how rows are cut.
#pragma once

#include "kernels.h"

namespace tcnfast {
namespace {

enum class Epilogue { Plain, Relu, Residual, ResidualCodes, Linear };

inline constexpr int WEIGHT_BYTES = 4;  // of one output and one step of inputs

template <class V>
inline void store_outputs(const Conv& c, typename V::Reg value, int channel, float* out) {
  if (channel + V::lanes <= c.outputs) {
    V::store_f32(out + channel, value);
    return;
  }
  float lanes[V::lanes];
  V::store_f32(lanes, value);
  for (int i = 0; channel + i < c.outputs; ++i) out[channel + i] = lanes[i];
}

// What happens to one vector of one row between the last multiply-add and memory.
template <class V, Epilogue E>
inline void finish(const Conv& c, typename V::Reg value, int channel, long row) {
  char* out = c.out + row * c.out_row;
  if constexpr (E == Epilogue::Linear) {
    store_outputs<V>(c, value, channel, reinterpret_cast<float*>(out));
    return;
  }
  if constexpr (E != Epilogue::Plain) value = V::relu(value);
  if constexpr (E == Epilogue::Residual) {
    const char* residual = c.residual + row * c.residual_row;
    value = V::relu(V::add(value, V::load_row(residual + channel * V::element_bytes)));
  }
  if constexpr (E == Epilogue::ResidualCodes) {
    const float* residual = c.code_rows + c.codes[row * c.codes_row] * c.outputs;
    value = V::relu(V::add(value, V::load_f32(residual + channel)));
  }
  V::store_row(out + channel * V::element_bytes, value);
}

// Adds the products of `steps` steps of inputs of ROWS rows, `stride` apart, and returns where the
// weights go on.
template <class V, int ROWS, int VECTORS>
inline __attribute__((always_inline)) const char* multiply(typename V::Reg (&sum)[ROWS][VECTORS],
                                                           const char* x, ptrdiff_t stride,
                                                           int steps, const char* w) {
  constexpr int REACH = 3;  // rows that one pointer serves: base, base + stride, base + 2 stride
  constexpr int BASES = (ROWS + REACH - 1) / REACH;
  const char* base[BASES];
#pragma GCC unroll 32
  for (int i = 0; i < BASES; ++i) base[i] = x + i * REACH * stride;
  for (; steps > 0; --steps) {
    typename V::Weights weights[VECTORS];
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n)
      weights[n] = V::load_weights(w + n * V::lanes * WEIGHT_BYTES);
#pragma GCC unroll 32
    for (int m = 0; m < ROWS; ++m) {
      const auto input = V::broadcast(base[m / REACH] + m % REACH * stride);
#pragma GCC unroll 8
      for (int n = 0; n < VECTORS; ++n) sum[m][n] = V::madd(sum[m][n], input, weights[n]);
    }
    w += VECTORS * V::lanes * WEIGHT_BYTES;
#pragma GCC unroll 32
    for (int i = 0; i < BASES; ++i) base[i] += WEIGHT_BYTES;
  }
  return w;
}

template <class V, int ROWS, int VECTORS, Epilogue E>
inline void tile(const Conv& c, const char* w, int channel, long row) {
  typename V::Reg sum[ROWS][VECTORS];
#pragma GCC unroll 32
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) sum[m][n] = V::load_f32(c.bias + channel + n * V::lanes);

  const char* x = c.x + row * c.x_row;
  for (int tap = 0; tap < c.taps; ++tap, x += c.x_tap)
    w = multiply<V, ROWS, VECTORS>(sum, x, c.x_row, c.inputs / V::STEP, w);
#pragma GCC unroll 32
  for (int m = 0; m < ROWS; ++m) {
    if (row + m >= c.rows) break;
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) finish<V, E>(c, sum[m][n], channel + n * V::lanes, row + m);
  }
}

// All rows of one panel of output channels: its weights stay in the first-level cache.
template <class V, int ROWS, int VECTORS, Epilogue E>
inline void panel(const Conv& c, const char* w, int channel) {
  long row = 0;
  for (; row + ROWS / 2 < c.rows; row += ROWS) tile<V, ROWS, VECTORS, E>(c, w, channel, row);
  if (row < c.rows) tile<V, ROWS / 2, VECTORS, E>(c, w, channel, row);
}

// Vectors of the panel that starts at `channel`: V::VECTORS, or 1 where fewer are left.
template <class V>
inline int panel_vectors(int channel, int outputs) {
  return outputs - channel > (V::VECTORS - 1) * V::lanes ? V::VECTORS : 1;
}

template <class V, Epilogue E>
void conv(const Conv& c) {
  const size_t vector_bytes = size_t(c.taps) * (c.inputs / V::STEP) * V::lanes * WEIGHT_BYTES;
  const char* w = c.weights;
  for (int channel = 0; channel < c.outputs;) {
    const int vectors = panel_vectors<V>(channel, c.outputs);
    if (vectors == V::VECTORS)
      panel<V, V::ROWS, V::VECTORS, E>(c, w, channel);
    else
      panel<V, V::ROWS, 1, E>(c, w, channel);
    channel += vectors * V::lanes;
    w += vectors * vector_bytes;
  }
}

template <class V>
size_t packed_bytes(int outputs, int padded, int taps) {
  const size_t vectors = (outputs + V::lanes - 1) / V::lanes;
  return vectors * V::lanes * taps * (padded / V::STEP) * WEIGHT_BYTES;
}

// Panel by panel: [tap][step of inputs][output of the panel][input of the step].
template <class V>
void pack(const float* weights, int outputs, int inputs, int padded, int taps, char* packed) {
  for (int channel = 0; channel < outputs;) {
    const int width = panel_vectors<V>(channel, outputs) * V::lanes;
    for (int tap = 0; tap < taps; ++tap)
      for (int k = 0; k < padded; k += V::STEP)
        for (int o = channel; o < channel + width; ++o)
          for (int i = k; i < k + V::STEP; ++i, packed += V::element_bytes) {
            const bool real = o < outputs && i < inputs;
            V::store_element(packed, real ? weights[(size_t(o) * inputs + i) * taps + tap] : 0.f);
          }
    channel += width;
  }
}

// VECTORS vectors of channels of every row, from its inputs that are not 0. The processor runs
// ahead into the next row, so one row at a time fills its units.
template <class V, int VECTORS, Epilogue E>
inline void sparse_panel(const SparseConv& s, int channel) {
  const Conv& c = s.conv;
  const ptrdiff_t inputs_row = ptrdiff_t(c.inputs) * c.outputs;
  const float* weights = reinterpret_cast<const float*>(c.weights) + channel;
  for (long row = 0; row < c.rows; ++row) {
    const long from = s.first + row * s.stride;
    const float* w = weights - from * inputs_row;
    typename V::Reg sum[VECTORS];
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) sum[n] = V::load_f32(c.bias + channel + n * V::lanes);
    const auto add = [&](size_t place) {
      const auto input = V::broadcast(c.x + place * V::element_bytes);
      const float* of_input = w + place * c.outputs;
#pragma GCC unroll 8
      for (int n = 0; n < VECTORS; ++n)
        sum[n] = V::madd(sum[n], input, V::load_f32(of_input + n * V::lanes));
    };
    const uint32_t* place = s.places + s.begins[from];
    const uint32_t* end = s.places + s.begins[from + c.taps];
    for (; end - place >= 2; place += 2) {  // two in one load: loads bound this loop
      uint64_t two;
      __builtin_memcpy(&two, place, sizeof two);
      add(uint32_t(two));
      add(two >> 32);
    }
    if (place < end) add(*place);
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) finish<V, E>(c, sum[n], channel + n * V::lanes, row);
  }
}

template <class V, Epilogue E>
void sparse_conv(const SparseConv& s) {
  constexpr int WIDE = 4;
  int channel = 0;
  for (; channel + WIDE * V::lanes <= s.conv.outputs; channel += WIDE * V::lanes)
    sparse_panel<V, WIDE, E>(s, channel);
  for (; channel < s.conv.outputs; channel += V::lanes) sparse_panel<V, 1, E>(s, channel);
}

template <class V>
void list_nonzero(const char* x, long rows, int inputs, uint32_t* places, uint32_t* begins) {
  const float* values = reinterpret_cast<const float*>(x);
  uint32_t n = 0;
  for (long row = 0; row < rows; ++row) {
    begins[row] = n;
    for (int k = 0; k < inputs; k += V::lanes, values += V::lanes)
      n += V::list_nonzero(values, uint32_t(row * inputs + k), places + n);
  }
  begins[rows] = n;
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
    n += V::list_nonzero(out + at, uint32_t(index * m.outputs + channel + at), m.out_places + n);
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

template <class V>
inline constexpr SparseKernels sparse_table = {list_nonzero<V>, sparse_conv<V, Epilogue::Relu>,
                                               sparse_conv<V, Epilogue::Residual>,
                                               sparse_conv<V, Epilogue::ResidualCodes>, moved<V>};

template <class V>
constexpr const SparseKernels* sparse_kernels() {
  if constexpr (V::element_bytes == sizeof(float)) return &sparse_table<V>;
  return nullptr;
}

// VECTORS vectors of channels of every row.
template <class V, int VECTORS, Epilogue E>
inline void lookup_panel(const Lookup& l, int channel) {
  const ptrdiff_t table = ptrdiff_t(l.words_per_table) * l.channels;
  for (long row = 0; row < l.rows; ++row) {
    typename V::Reg sum[VECTORS];
    const float* entry = l.tables + channel + ptrdiff_t(l.words[row]) * l.channels;
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) sum[n] = V::load_f32(entry + n * V::lanes);
    for (int g = 1; g < l.groups; ++g) {
      entry = l.tables + channel + g * table + ptrdiff_t(l.words[row + l.offsets[g]]) * l.channels;
#pragma GCC unroll 8
      for (int n = 0; n < VECTORS; ++n) sum[n] = V::add(sum[n], V::load_f32(entry + n * V::lanes));
    }
    char* out = l.out + row * l.out_row + channel * V::element_bytes;
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n)
      V::store_row(out + n * V::lanes * V::element_bytes,
                   E == Epilogue::Relu ? V::relu(sum[n]) : sum[n]);
  }
}

template <class V, Epilogue E>
void lookup(const Lookup& l) {
  constexpr int WIDE = 4;
  int channel = 0;
  for (; channel + WIDE * V::lanes <= l.channels; channel += WIDE * V::lanes)
    lookup_panel<V, WIDE, E>(l, channel);
  for (; channel < l.channels; channel += V::lanes) lookup_panel<V, 1, E>(l, channel);
}

// Multiply-adds on registers alone: what the same instructions do when nothing else is asked of
// them. Numbers come from and go to volatile memory, so that no compiler leaves any of them out.
template <class V>
double peak(long iterations) {
  volatile float numbers[V::ROWS * V::VECTORS];
  float one[V::lanes];
  for (int i = 0; i < V::ROWS * V::VECTORS; ++i) numbers[i] = float(i);
  for (int i = 0; i < V::lanes; ++i) one[i] = numbers[1];
  const auto input = V::broadcast(reinterpret_cast<const char*>(one));
  const auto weights = V::load_weights(reinterpret_cast<const char*>(one));
  typename V::Reg sum[V::ROWS][V::VECTORS];
#pragma GCC unroll 32
  for (int m = 0; m < V::ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < V::VECTORS; ++n) {
      one[0] = numbers[m * V::VECTORS + n];
      sum[m][n] = V::load_f32(one);
    }
  for (long i = 0; i < iterations; ++i)
#pragma GCC unroll 32
    for (int m = 0; m < V::ROWS; ++m)
#pragma GCC unroll 8
      for (int n = 0; n < V::VECTORS; ++n) sum[m][n] = V::madd(sum[m][n], input, weights);
#pragma GCC unroll 32
  for (int m = 0; m < V::ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < V::VECTORS; ++n) {
      V::store_f32(one, sum[m][n]);
      numbers[m * V::VECTORS + n] = one[0];
    }
  return 2.0 * V::STEP * V::lanes * V::ROWS * V::VECTORS * iterations;
}

}  // namespace
}  // namespace tcnfast
