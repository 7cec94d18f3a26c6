// What training does to rows between convolutions, written once over a vector type V (see conv.h).
// All arithmetic is fp32; sums over rows are fp32 within a block of rows and fp64 beyond.
#pragma once

#include "kernels.h"

namespace tcnfast {
namespace {

inline constexpr long ROW_BLOCK = 64;  // rows that stay in the first-level cache

// f(channel, from, to) for every vector of channels of every block of rows.
template <class V, class F>
inline void by_blocks(long rows, int channels, F f) {
  for (long from = 0; from < rows; from += ROW_BLOCK) {
    const long to = from + ROW_BLOCK < rows ? from + ROW_BLOCK : rows;
    for (int channel = 0; channel < channels; channel += V::lanes) f(channel, from, to);
  }
}

template <class V>
inline void add_to(double* sums, typename V::Reg value) {
  float lanes[V::lanes];
  V::store_f32(lanes, value);
  for (int i = 0; i < V::lanes; ++i) sums[i] += lanes[i];
}

// Rows next to each other in memory, seen from one vector of channels.
template <class V>
struct Column {
  ptrdiff_t row_bytes, at;
  Column(int channels, int channel)
      : row_bytes(ptrdiff_t(channels) * V::element_bytes), at(channel * V::element_bytes) {}
  typename V::Reg load(const char* rows, long row) const {
    return V::load_row(rows + row * row_bytes + at);
  }
  void store(char* rows, long row, typename V::Reg value) const {
    V::store_row(rows + row * row_bytes + at, value);
  }
};

template <class V>
struct Active {
  typename V::Reg scale, shift, mask;
  Active(const Activation& a, int channel)
      : scale(V::load_f32(a.scale + channel)),
        shift(V::load_f32(a.shift + channel)),
        mask(V::load_f32(a.mask + channel)) {}
  typename V::Reg normalised(typename V::Reg a) const { return V::fma(a, scale, shift); }
  typename V::Reg operator()(typename V::Reg a) const {
    return V::mul(V::relu(normalised(a)), mask);
  }
  typename V::Reg gradient(typename V::Reg a, typename V::Reg g) const {
    return V::where_positive(normalised(a), V::mul(g, mask));
  }
};

template <class V>
struct NormBack {
  typename V::Reg by_grad, by_input, constant;
  NormBack(const NormGradient& n, int channel)
      : by_grad(V::load_f32(n.by_grad + channel)),
        by_input(V::load_f32(n.by_input + channel)),
        constant(V::load_f32(n.constant + channel)) {}
  typename V::Reg operator()(typename V::Reg g, typename V::Reg a) const {
    return V::fma(g, by_grad, V::fma(a, by_input, constant));
  }
};

template <class V>
void sums(const char* a, long rows, int channels, double* sum, double* squares) {
  by_blocks<V>(rows, channels, [&](int channel, long from, long to) {
    const Column<V> column(channels, channel);
    typename V::Reg s{}, q{};
    for (long r = from; r < to; ++r) {
      const auto v = column.load(a, r);
      s = V::add(s, v);
      q = V::fma(v, v, q);
    }
    add_to<V>(sum + channel, s);
    add_to<V>(squares + channel, q);
  });
}

template <class V>
void activate(const char* a, Activation activation, char* out, long rows, int channels) {
  by_blocks<V>(rows, channels, [&](int channel, long from, long to) {
    const Column<V> column(channels, channel);
    const Active<V> active(activation, channel);
    for (long r = from; r < to; ++r) column.store(out, r, active(column.load(a, r)));
  });
}

template <class V>
void combine(const char* a, Activation activation, const char* residual, ptrdiff_t residual_row,
             char* out, long rows, int channels) {
  by_blocks<V>(rows, channels, [&](int channel, long from, long to) {
    const Column<V> column(channels, channel);
    const Active<V> active(activation, channel);
    for (long r = from; r < to; ++r) {
      const auto x = V::load_row(residual + r * residual_row + column.at);
      column.store(out, r, V::relu(V::add(active(column.load(a, r)), x)));
    }
  });
}

template <class V>
void combine_codes(const char* a, Activation activation, const uint8_t* codes, ptrdiff_t codes_row,
                   const float* code_rows, char* out, long rows, int channels) {
  by_blocks<V>(rows, channels, [&](int channel, long from, long to) {
    const Column<V> column(channels, channel);
    const Active<V> active(activation, channel);
    for (long r = from; r < to; ++r) {
      const auto x = V::load_f32(code_rows + codes[r * codes_row] * channels + channel);
      column.store(out, r, V::relu(V::add(active(column.load(a, r)), x)));
    }
  });
}

template <class V>
void branch_sums(const char* dy, const char* y, const char* a, Activation activation, long rows,
                 int channels, double* sum, double* products) {
  by_blocks<V>(rows, channels, [&](int channel, long from, long to) {
    const Column<V> column(channels, channel);
    const Active<V> active(activation, channel);
    typename V::Reg s{}, p{};
    for (long r = from; r < to; ++r) {
      const auto dz = V::where_positive(column.load(y, r), column.load(dy, r));
      const auto v = column.load(a, r);
      const auto g = active.gradient(v, dz);
      s = V::add(s, g);
      p = V::fma(g, v, p);
    }
    add_to<V>(sum + channel, s);
    add_to<V>(products + channel, p);
  });
}

template <class V>
void branch_gradient(const char* dy, const char* y, const char* a, Activation activation,
                     NormGradient norm, char* da, long rows, int channels) {
  by_blocks<V>(rows, channels, [&](int channel, long from, long to) {
    const Column<V> column(channels, channel);
    const Active<V> active(activation, channel);
    const NormBack<V> back(norm, channel);
    for (long r = from; r < to; ++r) {
      const auto dz = V::where_positive(column.load(y, r), column.load(dy, r));
      const auto v = column.load(a, r);
      column.store(da, r, back(active.gradient(v, dz), v));
    }
  });
}

template <class V>
void inner_gradient(char* dh, const char* a, Activation activation, long rows, int channels,
                    double* sum, double* products) {
  by_blocks<V>(rows, channels, [&](int channel, long from, long to) {
    const Column<V> column(channels, channel);
    const Active<V> active(activation, channel);
    typename V::Reg s{}, p{};
    for (long r = from; r < to; ++r) {
      const auto v = column.load(a, r);
      const auto g = active.gradient(v, column.load(dh, r));
      s = V::add(s, g);
      p = V::fma(g, v, p);
      column.store(dh, r, g);
    }
    add_to<V>(sum + channel, s);
    add_to<V>(products + channel, p);
  });
}

template <class V>
void norm_gradient(const char* g, const char* a, NormGradient norm, char* da, long rows,
                   int channels) {
  by_blocks<V>(rows, channels, [&](int channel, long from, long to) {
    const Column<V> column(channels, channel);
    const NormBack<V> back(norm, channel);
    for (long r = from; r < to; ++r)
      column.store(da, r, back(column.load(g, r), column.load(a, r)));
  });
}

template <class V>
void add_residual(const char* dy, const char* y, char* dx, ptrdiff_t dx_row, long rows,
                  int channels) {
  by_blocks<V>(rows, channels, [&](int channel, long from, long to) {
    const Column<V> column(channels, channel);
    for (long r = from; r < to; ++r) {
      char* at = dx + r * dx_row + column.at;
      const auto dz = V::where_positive(column.load(y, r), column.load(dy, r));
      V::store_row(at, V::add(V::load_row(at), dz));
    }
  });
}

template <class V>
inline void add_row(float* sums, typename V::Reg value) {
  V::store_f32(sums, V::add(V::load_f32(sums), value));
}

template <class V>
void sum_words(const char* da, const uint8_t* words, float* table, long rows, int channels) {
  for (long r = 0; r < rows; ++r)
    for (int channel = 0; channel < channels; channel += V::lanes)
      add_row<V>(table + ptrdiff_t(words[r]) * channels + channel,
                 Column<V>(channels, channel).load(da, r));
}

template <class V>
void sum_codes(const char* dy, const char* y, const uint8_t* codes, ptrdiff_t codes_row,
               float* table, long rows, int channels) {
  for (long r = 0; r < rows; ++r)
    for (int channel = 0; channel < channels; channel += V::lanes) {
      const Column<V> column(channels, channel);
      add_row<V>(table + codes[r * codes_row] * channels + channel,
                 V::where_positive(column.load(y, r), column.load(dy, r)));
    }
}

// INPUTS rows of sums by VECTORS vectors of outputs, over all steps.
template <class V, int INPUTS, int VECTORS>
inline void outer_tile(const Outer& o, const char* a, const char* b, long steps, float* sums) {
  typename V::Reg sum[INPUTS][VECTORS];
#pragma GCC unroll 16
  for (int m = 0; m < INPUTS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) sum[m][n] = V::load_f32(sums + m * o.outputs + n * V::lanes);
  for (long step = 0; step < steps; ++step, a += o.a_step, b += o.b_step) {
    typename V::Weights weights[VECTORS];
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) weights[n] = V::load_weights(a + n * V::lanes * 4);
#pragma GCC unroll 16
    for (int m = 0; m < INPUTS; ++m) {
      const auto input = V::broadcast(b + m * 4);
#pragma GCC unroll 8
      for (int n = 0; n < VECTORS; ++n) sum[m][n] = V::madd(sum[m][n], input, weights[n]);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < INPUTS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) V::store_f32(sums + m * o.outputs + n * V::lanes, sum[m][n]);
}

template <class V>
void outer(const Outer& o) {
  constexpr int INPUTS = V::OUTER_INPUTS;
  for (long from = 0; from < o.steps; from += ROW_BLOCK) {
    const long steps = from + ROW_BLOCK < o.steps ? ROW_BLOCK : o.steps - from;
    const char *a = o.a + from * o.a_step, *b = o.b + from * o.b_step;
    for (int input = 0; input < o.inputs; input += INPUTS) {
      float* sums = o.sums + ptrdiff_t(input) * o.outputs;
      int output = 0;
      for (; output + 2 * V::lanes <= o.outputs; output += 2 * V::lanes)
        outer_tile<V, INPUTS, 2>(o, a + output * 4, b + input * 4, steps, sums + output);
      for (; output < o.outputs; output += V::lanes)
        outer_tile<V, INPUTS, 1>(o, a + output * 4, b + input * 4, steps, sums + output);
    }
  }
}

template <class V>
void pair_rows(const char* x, ptrdiff_t x_row, long rows, int channels, char* out) {
  for (long r = 0; r < rows; r += 2)
    for (int channel = 0; channel < channels; channel += V::lanes, out += V::lanes * 4) {
      const char* first = x + r * x_row + channel * V::element_bytes;
      V::store_pairs(out, first, r + 1 < rows ? first + x_row : nullptr);
    }
}

template <class V>
constexpr TrainKernels train_kernels() {
  TrainKernels table = {sums<V>,           activate<V>,     combine<V>,      combine_codes<V>,
                        branch_sums<V>,    branch_gradient<V>, inner_gradient<V>,
                        norm_gradient<V>,  add_residual<V>, sum_words<V>,    sum_codes<V>,
                        nullptr,           outer<V>};
  if constexpr (V::STEP == 2) table.pair = pair_rows<V>;
  return table;
}

template <class V>
constexpr TrainKernels train_table = train_kernels<V>();

}  // namespace
}  // namespace tcnfast
