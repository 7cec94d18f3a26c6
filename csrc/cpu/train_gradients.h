// What a convolution of a block passes back: the gradients of its weights and of its input.
#pragma once

#include <cstring>

#include "train_parts.h"

namespace tcnfast {

// Sums over positions of (gradient of an output) x (input), per tap, for each group of spans.
class WeightSums {
 public:
  WeightSums(const Kernels& kernels, const BlockShape& shape, long groups, int taps,
             const Layout& at)
      : kernels_(kernels),
        shape_(shape),
        at_(at),
        taps_(taps),
        size_(size_t(taps) * at.padded * at.padded),
        data_(groups * size_ * sizeof(float)) {}

  // Bytes that `add` needs to arrange `rows` rows of both sides in.
  size_t room(long rows) const {
    return kernels_.train->pair ? 2 * size_t(rows + 1) / 2 * at_.padded * 4 : 0;
  }

  // da: `rows` rows; x: the input of row 0 at tap 0, rows `stride` apart.
  void add(long group, const char* da, const char* x, long stride, long rows, char* pairs) {
    Outer o{};
    o.inputs = o.outputs = at_.padded;
    const ptrdiff_t pair_row = ptrdiff_t(at_.padded) * 4;
    char* x_pairs = pairs + (rows + 1) / 2 * pair_row;
    const auto pair = kernels_.train->pair;
    if (pair) pair(da, at_.row, rows, at_.padded, pairs);
    for (int tap = 0; tap < taps_; ++tap) {
      const char* from = x + tap * shape_.dilation * at_.row;
      o.sums = data_.floats() + group * size_ + size_t(tap) * at_.padded * at_.padded;
      if (pair) {
        pair(from, stride * at_.row, rows, at_.padded, x_pairs);
        o.a = pairs;
        o.b = x_pairs;
        o.a_step = o.b_step = pair_row;
        o.steps = (rows + 1) / 2;
      } else {
        o.a = da;
        o.b = from;
        o.a_step = at_.row;
        o.b_step = stride * at_.row;
        o.steps = rows;
      }
      kernels_.train->outer(o);
    }
  }

  // weight (channels, channels, taps), the groups added up in order.
  void total(long groups, float* weight) {
    for (long g = 1; g < groups; ++g)
      for (size_t i = 0; i < size_; ++i) data_.floats()[i] += data_.floats()[g * size_ + i];
    if (shape_.symmetric)
      average(weight);
    else
      transpose(weight);
  }

 private:
  void transpose(float* weight) const {
    const int channels = shape_.channels;
    for (int tap = 0; tap < taps_; ++tap)
      for (int i = 0; i < channels; ++i) {
        const float* row = data_.floats() + (size_t(tap) * at_.padded + i) * at_.padded;
        for (int o = 0; o < channels; ++o)
          weight[(size_t(o) * channels + i) * taps_ + tap] = row[o];
      }
  }

  // The mean of the full weight's gradient and its flip, which both get, from sums over columns.
  void average(float* weight) const {
    const int channels = shape_.channels, half = at_.padded / 2;
    const auto sum = [&](int o, int i, int tap) {
      const auto column = [&](int c) { return c < half ? c : half + channels - 1 - c; };
      return data_.floats()[(size_t(tap) * at_.padded + column(i)) * at_.padded + column(o)];
    };
    for (int o = 0; o < channels; ++o)
      for (int i = 0; i < channels; ++i)
        for (int tap = 0; tap < taps_; ++tap)
          *weight++ =
              (sum(o, i, tap) + sum(channels - 1 - o, channels - 1 - i, taps_ - 1 - tap)) / 2;
  }

  const Kernels& kernels_;
  const BlockShape& shape_;
  const Layout& at_;
  const int taps_;
  const size_t size_;
  Buffer data_;
};

// Gradient of a convolution's input, position by position a sum over the outputs that read it. With
// a stride, input u is read by outputs through every stride-th tap only: one convolution on
// transposed, reversed weights for each phase u mod stride. Those of a symmetric block are their own
// flip if the phase's taps are: of an even kernel with a stride of 2 each phase has the flips of the
// other's, and runs on full weights.
class InputGradient {
 public:
  InputGradient(const Kernels& kernels, const float* weight, const BlockShape& shape, int taps,
                long stride, const Layout& at)
      : at_(at), dilation_(shape.dilation), stride_(stride) {
    const int channels = shape.channels;
    for (int phase = 0; phase < stride; ++phase) {
      const int n = (taps - phase + stride - 1) / stride;
      const bool own_flip = 2 * phase + (n - 1) * stride == taps - 1;
      const Form halves = own_flip ? Form::Halved : Form::Pairs;
      phases_.emplace_back(
          kernels, shape.symmetric ? halves : Form::Plain, channels, at.padded, n,
          [&](int o, int i, int t) {
            return weight[(ptrdiff_t(i) * channels + o) * taps + phase + (n - 1 - t) * stride];
          });
    }
  }

  // Rows of da that come before the row of the first input asked for, and after that of the last.
  long reach() const { return (phases_[0].taps - 1) * dilation_; }

  // `inputs` inputs to `out`, where da points to the row of the output that reads the first of them
  // through the first tap. Rows that no output has must be zeros.
  void run(const char* da, long inputs, char* out) const {
    for (int phase = 0; phase < stride_; ++phase) {
      const long rows = (inputs - phase + stride_ - 1) / stride_;
      if (rows > 0) run_phase(phase, da, rows, out + phase * at_.row, nullptr);
    }
  }

  // `rows` inputs of one phase; `kept` as halved_kept_bytes has it, or null.
  void run_phase(int phase, const char* da, long rows, char* out, char* kept) const {
    const Packed& packed = phases_[phase];
    packed.run(da - (packed.taps - 1) * dilation_ * at_.row, at_.row, dilation_ * at_.row, out,
               stride_ * at_.row, rows, kept);
  }

  const Packed& phase(int phase) const { return phases_[phase]; }
  bool halved() const {
    return std::all_of(phases_.begin(), phases_.end(), [](const Packed& p) { return p.halved; });
  }

 private:
  const Layout& at_;
  const long dilation_, stride_;
  std::vector<Packed> phases_;
};

// Gradient of the one-hot form of codes: what each position of the first convolution owes to the
// letters it reads, (taps x 4) numbers, added up along the sequence; and what the residual owes.
class OneHotGradient {
 public:
  OneHotGradient(const Kernels& kernels, const BlockShape& s, const BlockTensors& t,
                 const Layout& at)
      : s_(s),
        at_(at),
        letters_(kernels, N_BASES * s.taps1, s.channels, at.padded,
                 [&](int o, int i) {
                   return t.weight1[(ptrdiff_t(i) * N_BASES + o % N_BASES) * s.taps1 + o / N_BASES];
                 }),
        residual_(kernels, N_BASES, s.channels, at.padded, [&](int o, int i) {
          return t.code_residual[o * s.channels + i] - t.code_residual[N_BASES * s.channels + i];
        }) {}

  // Positions before a span whose convolutions read letters of it.
  long before() const { return s_.taps1 - 1; }

  // da: rows [from - before, to) of the first convolution's gradient. Writes the gradients of
  // letters [from, end) of a sequence to `out`.
  void run(const char* da, const char* dy, const char* y, long from, long to, long end,
           const TrainKernels& train, float* out) const {
    const long rows = to - from + before();
    const int width = N_BASES * s_.taps1;
    const Scratch owed(rows * width * sizeof(float));
    letters_.run(da, rows, owed.floats());
    std::vector<float> sums((rows + before()) * N_BASES);
    for (long r = 0; r < rows; ++r)
      for (int i = 0; i < width; ++i) sums[r * N_BASES + i] += owed.floats()[r * width + i];
    std::copy_n(sums.data() + before() * N_BASES, (end - from) * N_BASES, out);

    const long first = std::max(0L, (from - s_.tap + s_.stride - 1) / s_.stride);
    const long last = std::min(s_.length2(), (end - s_.tap + s_.stride - 1) / s_.stride);
    if (first >= last) return;
    const Scratch dz((last - first + at_.ahead) * at_.row);
    std::memset(dz.data(), 0, (last - first) * at_.row);
    train.add_residual(dy + first * at_.row, y + first * at_.row, dz.data(), at_.row, last - first,
                       at_.padded);
    std::vector<float> shares((last - first) * N_BASES);
    residual_.run(dz.data(), last - first, shares.data());
    for (long t = first; t < last; ++t)
      for (int b = 0; b < N_BASES; ++b)
        out[(s_.tap + t * s_.stride - from) * N_BASES + b] += shares[(t - first) * N_BASES + b];
  }

 private:
  // Rows times a matrix, as plain fp32.
  class Matrix {
   public:
    template <class F>
    Matrix(const Kernels& kernels, int outputs, int inputs, int padded, F weight)
        : kernels_(kernels),
          outputs_(outputs),
          padded_(padded),
          weights_(kernels.packed_bytes(outputs, padded, 1)),
          zeros_((outputs + 64) * sizeof(float)) {
      std::vector<float> plain;
      for (int o = 0; o < outputs; ++o)
        for (int i = 0; i < inputs; ++i) plain.push_back(weight(o, i));
      kernels.pack(plain.data(), outputs, inputs, padded, 1, weights_.data());
    }
    void run(const char* x, long rows, float* out) const {
      Conv c{};
      c.x = x;
      c.x_row = ptrdiff_t(padded_) * kernels_.element_bytes;
      c.taps = 1;
      c.inputs = padded_;
      c.outputs = outputs_;
      c.weights = weights_.data();
      c.bias = zeros_.floats();
      c.out = reinterpret_cast<char*>(out);
      c.out_row = outputs_ * sizeof(float);
      c.rows = rows;
      kernels_.head(c);
    }

   private:
    const Kernels& kernels_;
    const int outputs_, padded_;
    Buffer weights_, zeros_;
  };

  const BlockShape& s_;
  const Layout& at_;
  const Matrix letters_, residual_;
};

}  // namespace tcnfast
