// A symmetric block as its rows hold it. Statistics, norms, dropout, look-ups and sums act on one
// column of a row at a time, so they are those of any block, on parameters in the order of the
// columns (halved.h). Kernels stay in natural order, with zeros in their middle where a row has some:
// its channels c and C'-1-c are still a pair.
#pragma once

#include <algorithm>
#include <vector>

#include "buffer.h"
#include "halved.h"
#include "train.h"
#include "../params.h"

namespace tcnfast {

// A block of halves made whole: what is its own flip is a half and then the same in reverse.
class Whole {
 public:
  explicit Whole(const BlockArguments& halves) : arguments(halves), halves_(halves) {
    if (!halves.halves) return;
    each([&](auto parameter, auto gradient, size_t size) {
      if (const float* half = halves.*parameter) {
        float* whole = room(2 * size);
        std::copy_n(half, size, whole);
        std::reverse_copy(half, half + size, whole + size);
        arguments.*parameter = whole;
      }
      if (halves.*gradient) arguments.*gradient = room(2 * size);
    });
  }

  // What the backward pass has written to `arguments`: a half counts twice.
  void give_gradients() const {
    if (halves_.halves) each([&](auto, auto gradient, size_t size) {
      if (float* half = halves_.*gradient)
        for (size_t i = 0; i < size; ++i) half[i] = 2 * (arguments.*gradient)[i];
    });
  }

  BlockArguments arguments;

 private:
  template <class F>
  void each(F f) const {
    const BlockArguments& a = halves_;
    const size_t half = a.channels / 2;
    f(&BlockTensors::weight1, &BlockGradients::dweight1,
      half * (a.codes ? N_BASES : a.channels) * a.taps1);
    f(&BlockTensors::weight2, &BlockGradients::dweight2, half * a.channels * a.taps2);
    f(&BlockTensors::gain1, &BlockGradients::dgain1, half);
    f(&BlockTensors::shift1, &BlockGradients::dshift1, half);
    f(&BlockTensors::gain2, &BlockGradients::dgain2, half);
    f(&BlockTensors::shift2, &BlockGradients::dshift2, half);
  }
  float* room(size_t size) {
    kept_.emplace_back(size * sizeof(float));
    return kept_.back().floats();
  }

  const BlockArguments& halves_;
  std::vector<Buffer> kept_;
};

class InPairOrder {
 public:
  InPairOrder(const Kernels& kernels, const BlockArguments& natural)
      : arguments(natural),
        natural_(natural),
        order_(pair_order(natural.channels,
                          padded_pairs(natural.channels, kernels.channel_multiple))) {
    BlockArguments& a = arguments;
    a.channels = int(order_.size());
    for (auto field : {&BlockArguments::gain1, &BlockArguments::shift1, &BlockArguments::gain2,
                       &BlockArguments::shift2})
      a.*field = in_columns(a.*field, 1, 1);
    for (auto field : STATISTICS) a.*field = in_columns(a.*field, 1, 1);
    for (auto field : {&BlockArguments::mask1, &BlockArguments::mask2})
      a.*field = in_columns(a.*field, a.sequences, 1);
    a.code_residual = in_columns(a.code_residual, N_CODES, 1);
    a.weight1 = a.codes ? in_columns(a.weight1, 1, N_BASES * a.taps1) : widened(a.weight1, a.taps1);
    a.weight2 = widened(a.weight2, a.taps2);

    for (auto field : VECTOR_GRADIENTS) a.*field = room(a.*field, a.channels);
    a.dcode_residual = room(a.dcode_residual, N_CODES * a.channels);
    const int inputs = a.codes ? N_BASES : a.channels;
    if (a.codes || !same()) a.dweight1 = room(a.dweight1, size_t(a.channels) * inputs * a.taps1);
    if (!same()) a.dweight2 = room(a.dweight2, size_t(a.channels) * a.channels * a.taps2);
  }

  // What the forward pass has written to `arguments`, in natural order.
  void give_statistics() const {
    for (auto field : STATISTICS) from_columns(arguments.*field, natural_.*field, 1, 1);
  }

  // The same of the backward pass, means of gradients and their flips.
  void give_gradients() const {
    const BlockArguments &a = arguments, &to = natural_;
    const int channels = to.channels;
    for (auto field : VECTOR_GRADIENTS) from_columns(a.*field, to.*field, 1, 1);
    from_columns(a.dcode_residual, to.dcode_residual, N_CODES, 1);
    average_with_flip(to.dcode_residual, N_BASES * channels);
    if (to.dcode_residual) average_with_flip(to.dcode_residual + N_BASES * channels, channels);
    if (a.codes) {
      from_columns(a.dweight1, to.dweight1, 1, N_BASES * a.taps1);
      average_with_flip(to.dweight1, size_t(channels) * N_BASES * a.taps1);
    } else {
      narrowed(a.dweight1, to.dweight1, a.taps1);
    }
    narrowed(a.dweight2, to.dweight2, a.taps2);
  }

  BlockArguments arguments;

 private:
  static constexpr float* BlockTensors::*STATISTICS[] = {
      &BlockTensors::mean1, &BlockTensors::var1, &BlockTensors::mean2, &BlockTensors::var2};
  static constexpr float* BlockGradients::*VECTOR_GRADIENTS[] = {
      &BlockGradients::dgain1, &BlockGradients::dshift1, &BlockGradients::dgain2,
      &BlockGradients::dshift2};

  bool same() const { return arguments.channels == natural_.channels; }

  // Room for what is wanted: zeros.
  float* room(const float* wanted, size_t size) {
    if (!wanted) return nullptr;
    kept_.emplace_back(size * sizeof(float));
    return kept_.back().floats();
  }

  // (rows, channels, width) -> (rows, columns, width), and back
  float* in_columns(const float* values, long rows, int width) {
    float* out = room(values, rows * order_.size() * width);
    if (out) each_column(rows, width, [&](size_t natural, size_t column) {
      std::copy_n(values + natural, width, out + column);
    });
    return out;
  }
  void from_columns(const float* columns, float* out, long rows, int width) const {
    if (out) each_column(rows, width, [&](size_t natural, size_t column) {
      std::copy_n(columns + column, width, out + natural);
    });
  }
  template <class F>
  void each_column(long rows, int width, F f) const {
    const size_t columns = order_.size();
    for (long row = 0; row < rows; ++row)
      for (size_t column = 0; column < columns; ++column)
        if (order_[column] >= 0)
          f((row * natural_.channels + order_[column]) * width, (row * columns + column) * width);
  }

  // (channels, channels, taps) -> (columns, columns, taps), and back
  const float* widened(const float* values, int taps) {
    if (same()) return values;
    float* out = room(values, order_.size() * order_.size() * taps);
    each_pair(taps, [&](size_t narrow, size_t wide) {
      std::copy_n(values + narrow, taps, out + wide);
    });
    return out;
  }
  void narrowed(const float* values, float* out, int taps) const {
    if (out && !same()) each_pair(taps, [&](size_t narrow, size_t wide) {
      std::copy_n(values + wide, taps, out + narrow);
    });
  }
  template <class F>
  void each_pair(int taps, F f) const {
    const int channels = natural_.channels, zeros = arguments.channels - channels;
    const auto wide = [&](int c) { return size_t(c < channels / 2 ? c : c + zeros); };
    for (int o = 0; o < channels; ++o)
      for (int i = 0; i < channels; ++i)
        f((size_t(o) * channels + i) * taps, (wide(o) * arguments.channels + wide(i)) * taps);
  }

  static void average_with_flip(float* values, size_t size) {
    for (size_t i = 0; values && i < size / 2; ++i)
      values[i] = values[size - 1 - i] = (values[i] + values[size - 1 - i]) / 2;
  }

  const BlockArguments& natural_;
  const std::vector<int> order_;
  std::vector<Buffer> kept_;
};

}  // namespace tcnfast
