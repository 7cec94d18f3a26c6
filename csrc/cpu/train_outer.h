// Products of rows for the gradients of weights, and what they take their inputs from, written once
// over a vector type V (see conv.h); and the table of all that training needs of V.
#pragma once

#include "train_rows.h"

namespace tcnfast {
namespace {

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

// What Outer takes in one step: a vector of a row, or of a pair of rows next to each other.
template <class V, class F>
inline void store_step(char* out, F of_row, bool second) {
  if constexpr (V::STEP == 2)
    V::store_pairs(out, of_row(0), second ? of_row(1) : typename V::Reg{});
  else
    V::store_row(out, of_row(0));
}

template <class V>
struct AsItIs {
  AsItIs(const Activation&, int) {}
  typename V::Reg operator()(typename V::Reg a) const { return a; }
};

template <class V, class Active>
void halves_of(const char* a, ptrdiff_t a_row, Activation activation, long rows, int channels,
               char* sums, char* differences) {
  using Reg = typename V::Reg;
  const int half = channels / 2;
  each_row<V>((rows + V::STEP - 1) / V::STEP, half, [=](int channel) {
    const Active of_u(activation, channel), of_v(activation, half + channel);
    const ptrdiff_t at = channel * V::element_bytes, partner = ptrdiff_t(half) * V::element_bytes;
    return Each{[=](long step) {
      const long first = step * V::STEP;
      const bool second = first + 1 < rows;
      Reg u[V::STEP], v[V::STEP];
      for (int r = 0; r < (second ? V::STEP : 1); ++r) {
        const char* row = a + (first + r) * a_row + at;
        u[r] = of_u(V::load_row(row));
        v[r] = of_v(V::load_row(row + partner));
      }
      const ptrdiff_t to = (step * half + channel) * 4;
      store_step<V>(sums + to, [&](int r) { return V::add(u[r], v[r]); }, second);
      store_step<V>(differences + to, [&](int r) { return V::sub(u[r], v[r]); }, second);
    }};
  });
}

template <class V>
void halves(const char* a, ptrdiff_t a_row, const Activation* activation, long rows, int channels,
            char* sums, char* differences) {
  if (activation)
    halves_of<V, Active<V>>(a, a_row, *activation, rows, channels, sums, differences);
  else
    halves_of<V, AsItIs<V>>(a, a_row, {}, rows, channels, sums, differences);
}

template <class V>
constexpr TrainKernels train_kernels() {
  TrainKernels table = {sum<V>,           squares<V>,      activate<V>,        combine<V>,
                        combine_codes<V>, branch_sums<V>,  branch_gradient<V>, inner_gradient<V>,
                        norm_gradient<V>, add_residual<V>, sum_words<V>,       sum_codes<V>,
                        meetings<V>,      nullptr,         halves<V>,          outer<V>};
  if constexpr (V::STEP == 2) table.pair = pair_rows<V>;
  return table;
}

template <class V>
constexpr TrainKernels train_table = train_kernels<V>();

}  // namespace
}  // namespace tcnfast
