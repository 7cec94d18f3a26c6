// Both gradients of a convolution in a block, of its input and of its weights. Of a symmetric block
// they are made of the same numbers: the convolution that gives the input's gradient forms sums and
// differences over pairs and mirrored taps of the output's gradient (conv_halved.h), and products of
// these with sums and differences over pairs of the input are the gradient of the weights, half as
// many as of single channels.
#pragma once

#include "train_gradients.h"

namespace tcnfast {

class ConvGradients {
 public:
  // `groups` of spans whose weight gradients are kept apart; 0 where those are not wanted.
  ConvGradients(const Kernels& kernels, const float* weight, const BlockShape& shape, int taps,
                long stride, long groups, const Layout& at)
      : kernels_(kernels),
        at_(at),
        stride_(stride),
        half_(at.padded / 2),
        wanted_(groups > 0),
        input_(kernels, weight, shape, taps, stride, at),
        halved_(wanted_ && shape.symmetric && input_.halved()),
        plain_(kernels, shape, halved_ ? 0 : groups, taps, at),
        channels_(shape.channels),
        taps_(taps),
        reach_((taps - 1) * shape.dilation),
        size_(size_t(taps) * at.padded * half_),
        sums_(halved_ ? groups * size_ * sizeof(float) : 0) {}

  // Rows of da that come before the row of the first input asked for, and after that of the last.
  long reach() const { return input_.reach(); }

  // Room to work in, for spans of up to `rows` outputs.
  size_t room(long rows) const {
    if (!wanted_) return 0;
    if (halved_) return kept_bytes() + (kernels_.train->pair ? 2 : 1) * pairs_bytes(taps_) + pairs_bytes(1);
    return inputs_bytes(rows) + plain_.room(rows);
  }

  // da: `rows` rows of the output's gradient, and around them what `reach` says, zeros where there is
  // no output. x: input [first, last), of which row 0 of da reads the first ones, and what else its
  // rows read; the convolution has read their activations where there is one (not null). Writes the
  // gradient of these inputs.
  void run(long group, const char* da, long rows, const char* x, const Activation* activation,
           long first, long last, char* out, char* room) {
    if (halved_) return run_halved(group, da, x, activation, last - first, out, room);
    if (wanted_) {
      const char* read = x;
      if (activation) {
        kernels_.train->activate(x, *activation, room, (rows - 1) * stride_ + reach_ + 1,
                                 at_.padded);
        read = room;
      }
      plain_.add(group, da, read, stride_, rows, room + inputs_bytes(rows));
    }
    input_.run(da, last - first, out);
  }

  // weight (channels, channels, taps), the groups added up in order.
  void total(long groups, float* weight) {
    if (!halved_) return plain_.total(groups, weight);
    for (long g = 1; g < groups; ++g)
      for (size_t i = 0; i < size_; ++i) sums_.floats()[i] += sums_.floats()[g * size_ + i];
    const float* from = sums_.floats();
    for (int phase = 0; phase < stride_; ++phase) {
      const int n = input_.phase(phase).taps;
      unfold(from, n, phase, weight);
      from += 2 * size_t(n) * half_ * half_;
    }
  }

 private:
  // Rows whose sums and differences stay in the cache, enough for what Outer adds up to be loaded
  // and stored rarely.
  long chunk() const { return 128 / kernels_.halved->row_block * kernels_.halved->row_block; }
  size_t kept_bytes() const { return halved_kept_bytes(kernels_, at_.padded, taps_, chunk()); }
  size_t pairs_bytes(int taps) const { return size_t(chunk() + 1) * taps * at_.padded * 4; }
  size_t inputs_bytes(long rows) const { return (rows * stride_ + reach_ + 1) * at_.row; }

  void run_halved(long group, const char* da, const char* x, const Activation* activation,
                  long inputs, char* out, char* room) {
    float* sums = sums_.floats() + group * size_;
    for (int phase = 0; phase < stride_; ++phase) {
      const int n = input_.phase(phase).taps;
      const long rows = (inputs - phase + stride_ - 1) / stride_;
      for (long from = 0; from < rows; from += chunk()) {
        const long here = std::min(chunk(), rows - from);
        const ptrdiff_t to_input = (phase + from * stride_) * at_.row;
        input_.run_phase(phase, da + from * at_.row, here, out + to_input, room);
        add(n, here, x + to_input, activation, room, sums);
      }
      sums += 2 * size_t(n) * half_ * half_;
    }
  }

  // What the convolution of a phase has kept, times the sums and differences of its inputs.
  void add(int taps, long rows, const char* x, const Activation* activation, char* room,
           float* sums) const {
    const TrainKernels& train = *kernels_.train;
    Outer o{};
    o.inputs = half_;
    o.outputs = taps * half_;
    o.a_step = ptrdiff_t(o.outputs) * 4;
    o.b_step = ptrdiff_t(o.inputs) * 4;
    o.steps = train.pair ? (rows + 1) / 2 : rows;
    char* of_da = room;  // S's, then D's
    char* of_x = room + kept_bytes();
    if (train.pair) {
      const ptrdiff_t row = ptrdiff_t(o.outputs) * kernels_.element_bytes;
      of_da = of_x;
      of_x += 2 * pairs_bytes(taps_) / 2;
      train.pair(room, row, rows, o.outputs, of_da);
      train.pair(room + rows * row, row, rows, o.outputs, of_da + o.steps * o.a_step);
    }
    char* differences = of_x + o.steps * o.b_step;
    train.halves(x, stride_ * at_.row, activation, rows, at_.padded, of_x, differences);
    o.a = of_da;
    o.b = of_x;
    o.sums = sums;
    train.outer(o);
    o.a += o.steps * o.a_step;
    o.b = differences;
    o.sums += size_t(o.inputs) * o.outputs;
    train.outer(o);
  }

  // The mean of the full weight's gradient and its flip, which both get, at the taps of a phase, from
  // its sums (inputs, taps * h), those of S and those of D. By the chain rule over pack_halved.
  void unfold(const float* sums, int n, int phase, float* weight) const {
    const auto put = [&](int o, int i, int tap, float value) {
      weight[(size_t(o) * channels_ + i) * taps_ + tap] = value;
      weight[(size_t(channels_ - 1 - o) * channels_ + channels_ - 1 - i) * taps_ + taps_ - 1 -
             tap] = value;
    };
    const size_t to_differences = size_t(half_) * n * half_;
    for (int i = 0; i < channels_ / 2; ++i)
      for (int o = 0; o < channels_ / 2; ++o) {
        const float* s = sums + size_t(i) * n * half_ + kernels_.halved->column(half_, o);
        const float* d = s + to_differences;
        const int partner = channels_ - 1 - i;
        if (n % 2) {
          put(o, i, taps_ / 2, (*s + *d) / 4);
          put(o, partner, taps_ / 2, (*s - *d) / 4);
          s += half_;
          d += half_;
        }
        // the convolution's first tap is the phase's last one
        for (int t = 0; t < n / 2; ++t, s += 2 * half_, d += 2 * half_) {
          const int last = phase + (n - 1 - t) * int(stride_), first = phase + t * int(stride_);
          const float ss = s[0], dd = s[half_], ds = d[0], sd = d[half_];
          put(o, i, first, (ss + dd + ds + sd) / 8);
          put(o, partner, first, (ss + dd - ds - sd) / 8);
          put(o, i, last, (ss - dd + ds - sd) / 8);
          put(o, partner, last, (ss - dd - ds + sd) / 8);
        }
      }
  }

  const Kernels& kernels_;
  const Layout& at_;
  const long stride_;
  const int half_;
  const bool wanted_;
  const InputGradient input_;
  const bool halved_;
  WeightSums plain_;
  const int channels_, taps_;
  const long reach_;
  const size_t size_;
  Buffer sums_;
};

}  // namespace tcnfast
