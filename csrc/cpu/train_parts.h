// What the forward and the backward pass of a block in training share.
#pragma once

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "buffer.h"
#include "first_layer.h"
#include "halved.h"
#include "threads.h"
#include "../params.h"
#include "train.h"

namespace tcnfast {

// Positions [from, to) of one sequence: as many as stay in the second-level cache with everything
// that is computed from them.
struct Span {
  long sequence, from, to;
};

inline std::vector<Span> spans_of(long sequences, long length) {
  constexpr long MOST = 512;
  const long pieces = (length + MOST - 1) / MOST;
  std::vector<Span> spans;
  for (long n = 0; n < sequences; ++n)
    for (long p = 0; p < pieces; ++p)
      spans.push_back({n, length * p / pieces, length * (p + 1) / pieces});
  return spans;
}

// Neighbouring spans whose sums over positions are kept together, in order.
struct Groups {
  static constexpr long MOST = 16;
  explicit Groups(long n_spans) : spans(n_spans), count(std::min(MOST, n_spans)) {}
  long first(long group) const { return spans * group / count; }
  long last(long group) const { return spans * (group + 1) / count; }
  const long spans, count;
};

// fp32 vectors of `channels`, padded with zeros.
class Padded {
 public:
  Padded(long rows, int padded) : padded_(padded), data_(rows * padded * sizeof(float)) {}
  Padded(const float* values, long rows, int channels, int padded) : Padded(rows, padded) {
    for (long r = 0; r < rows; ++r) std::copy_n(values + r * channels, channels, row(r));
  }
  float* row(long r = 0) const { return data_.floats() + r * padded_; }

 private:
  int padded_;
  Buffer data_;
};

// Two fp64 sums per channel of every span, added up in order.
class SpanSums {
 public:
  SpanSums(size_t spans, int padded) : padded_(padded), data_(spans * 2 * padded) {}
  double* sum(size_t span) { return data_.data() + span * 2 * padded_; }
  double* products(size_t span) { return sum(span) + padded_; }
  double total(int which, int channel) const {
    double total = 0;
    for (size_t at = which * padded_ + channel; at < data_.size(); at += 2 * padded_)
      total += data_[at];
    return total;
  }

 private:
  int padded_;
  std::vector<double> data_;
};

// The columns whose positions a batch norm takes together: of a symmetric block those of a pair.
struct Pooled {
  explicit Pooled(const BlockShape& shape)
      : columns(shape.symmetric ? 2 : 1), norms(shape.channels / columns) {}
  // The sum of of_column(column) over the columns of norm `c`.
  template <class F>
  double sum(int c, F of_column) const {
    const double first = of_column(c);
    return columns == 1 ? first : first + of_column(c + norms);
  }
  const int columns, norms;
};

// A batch norm with the statistics of a batch, or the bias in its place: a * scale + shift.
struct Norm {
  Norm(const BlockShape& shape, int padded, const float* gain, const float* bias, const float* mean,
       const float* var)
      : scale(1, padded), shift(1, padded), centre(1, padded) {
    for (int c = 0; c < shape.channels; ++c) {
      const double g = shape.batch_norm ? gain[c] / std::sqrt(var[c] + shape.eps) : 1.0;
      scale.row()[c] = float(g);
      shift.row()[c] = float(shape.batch_norm ? bias[c] - mean[c] * g : bias[c]);
      if (shape.batch_norm) centre.row()[c] = mean[c];
    }
  }
  Activation with(const float* mask) const {
    return {scale.row(), shift.row(), mask, centre.row()};
  }
  Padded scale, shift, centre;
};

// What dropout multiplies by: ones where there is none.
inline Padded make_mask(const float* mask, const BlockShape& shape, int padded) {
  if (mask) return Padded(mask, shape.sequences, shape.channels, padded);
  Padded ones(shape.sequences, padded);
  std::fill_n(ones.row(), shape.sequences * padded, 1.f);
  return ones;
}

// The order of channels in the rows of a convolution, and whether it is its own flip (halved.h).
enum class Form { Plain, Pairs, Halved };

// A convolution without bias, packed; weight(output, input, tap), channels in natural order.
class Packed {
 public:
  template <class F>
  Packed(const Kernels& kernels, Form form, int channels, int padded, int n_taps, F weight)
      : taps(n_taps),
        halved(form == Form::Halved),
        kernels_(kernels),
        padded_(padded),
        weights_(halved ? packed_bytes_halved(kernels, padded, taps)
                         : kernels.packed_bytes(channels, padded, taps)),
        zeros_(padded * sizeof(float)) {
    const int half = channels / 2, outputs = halved ? half : channels;
    const auto natural = [&](int column) {
      return form == Form::Pairs && column >= half ? channels - 1 - (column - half) : column;
    };
    Scratch plain(size_t(outputs) * channels * taps * sizeof(float));
    float* at = plain.floats();
    for (int o = 0; o < outputs; ++o)
      for (int i = 0; i < channels; ++i)
        for (int t = 0; t < taps; ++t) *at++ = weight(natural(o), natural(i), t);
    if (halved)
      pack_halved(kernels, plain.floats(), channels, padded, taps, weights_.data());
    else
      kernels.pack(plain.floats(), channels, channels, padded, taps, weights_.data());
  }

  // `kept`: where all that a halved one multiplies is to stay (halved.h).
  void run(const char* x, ptrdiff_t x_row, ptrdiff_t x_tap, char* out, ptrdiff_t out_row,
           long rows, char* kept = nullptr) const {
    Conv c{};
    c.x = x;
    c.x_row = x_row;
    c.x_tap = x_tap;
    c.taps = taps;
    c.inputs = c.outputs = padded_;
    c.weights = weights_.data();
    c.bias = zeros_.floats();
    c.out = out;
    c.out_row = out_row;
    c.rows = rows;
    const Scratch scratch(halved && !kept ? halved_scratch_bytes(kernels_, padded_, taps) : 0);
    c.scratch = kept ? kept : scratch.data();
    c.keep = kept;
    (halved ? kernels_.halved->conv_plain : kernels_.conv_plain)(c);
  }

  const int taps;
  const bool halved;

 private:
  const Kernels& kernels_;
  const int padded_;
  Buffer weights_, zeros_;
};

// What the first convolution of the first block gives, without bias: looked up wherever it is asked
// for, which costs less than to keep it.
class FirstRows {
 public:
  FirstRows(const Kernels& kernels, const BlockShape& shape, const BlockTensors& tensors,
            int padded)
      : kernels_(kernels), shape_(shape), codes_(tensors.code_input), padded_(padded) {
    if (shape.codes)
      layer = FirstLayer(tensors.weight1, nullptr, shape.channels, padded, shape.taps1);
  }

  // Words of `rows` positions of a sequence, with those of every group.
  void make_words(long sequence, long from, long rows, uint8_t* words) const {
    if (!layer.make_words(codes_ + sequence * shape_.length + from, rows, words))
      throw std::invalid_argument(
          "codes: a base is coded by more than 4 (A 0, C 1, G 2, T 3, N 4)");
  }

  // Rows [from, from + rows) of a sequence to `out`; `words` has room for rows + taps.
  void look_up(long sequence, long from, long rows, uint8_t* words, char* out) const {
    make_words(sequence, from, rows, words);
    kernels_.lookup_plain({words, layer.tables.floats(), layer.offsets.data(), layer.groups,
                           layer.words_per_table, padded_, out,
                           ptrdiff_t(padded_) * kernels_.element_bytes, rows});
  }

  FirstLayer layer;

 private:
  const Kernels& kernels_;
  const BlockShape& shape_;
  const uint8_t* codes_;
  const int padded_;
};

// Sizes of rows, and where they are.
struct Layout {
  Layout(const Kernels& kernels, const BlockShape& shape)
      : padded((shape.channels + kernels.channel_multiple - 1) / kernels.channel_multiple *
               kernels.channel_multiple),
        row(ptrdiff_t(padded) * kernels.element_bytes),
        ahead(2 * kernels.row_block) {
    if (shape.sequences < 1 || shape.length1() < 1 || shape.length1() <= shape.reach2())
      throw std::invalid_argument("block: no sequence, or none long enough for one output");
    if (shape.stride > 1 && shape.dilation > 1)
      throw std::invalid_argument("block: a stride over 1 has dilation 1");
  }
  template <class T>
  T* at(T* rows, long length, long sequence, long position) const {
    return rows + (sequence * length + position) * row;
  }
  const int padded;
  const ptrdiff_t row;
  const long ahead;  // rows that a convolution may read too far
};

}  // namespace tcnfast
