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
