#include <cstring>

#include "train_parts.h"

namespace tcnfast {
namespace {

// Coefficients of a norm's input gradient and the gradients of its parameters, from the sums over
// all positions of g and of g * a:
//   batch norm, a^ = (a - mean) rstd:  da = gain rstd (g - <g> - a^ <g a^>)
//   bias:                              da = g
struct NormBackward {
  NormBackward(const BlockShape& shape, int padded, const SpanSums& sums, long positions,
               const float* gain, const float* mean, const float* var, float* dgain, float* dshift)
      : by_grad(1, shape.channels, padded),
        by_input(1, shape.channels, padded),
        constant(1, shape.channels, padded) {
    for (int c = 0; c < shape.channels; ++c) {
      const double g = sums.total(0, c);
      dshift[c] = float(g);
      by_grad.row()[c] = 1.f;
      if (!shape.batch_norm) continue;
      const double rstd = 1 / std::sqrt(var[c] + shape.eps);
      const double normalised = (sums.total(1, c) - mean[c] * g) * rstd;  // sum of g a^
      dgain[c] = float(normalised);
      const double scale = gain[c] * rstd, slope = -scale * rstd * normalised / positions;
      by_grad.row()[c] = float(scale);
      by_input.row()[c] = float(slope);
      constant.row()[c] = float(-scale * g / positions - slope * mean[c]);
    }
  }
  NormGradient get() const { return {by_grad.row(), by_input.row(), constant.row()}; }
  Padded by_grad, by_input, constant;
};

// Sums over positions of (gradient of an output) x (input), per tap, for each group of spans.
class WeightSums {
 public:
  WeightSums(const Kernels& kernels, long groups, int taps, const Layout& at)
      : kernels_(kernels),
        at_(at),
        taps_(taps),
        size_(size_t(taps) * at.padded * at.padded),
        data_(groups * size_ * sizeof(float)) {}

  // Bytes that `add` needs to arrange `rows` rows of both sides in.
  size_t room(long rows) const {
    return kernels_.train->pair ? 2 * size_t(rows + 1) / 2 * at_.padded * 4 : 0;
  }

  // da: `rows` rows; x: the input of row 0 at tap 0, rows `stride` and taps `dilation` rows apart.
  void add(long group, const char* da, const char* x, long stride, long dilation, long rows,
           char* pairs) {
    Outer o{};
    o.inputs = o.outputs = at_.padded;
    const ptrdiff_t pair_row = ptrdiff_t(at_.padded) * 4;
    char* x_pairs = pairs + (rows + 1) / 2 * pair_row;
    const auto pair = kernels_.train->pair;
    if (pair) pair(da, at_.row, rows, at_.padded, pairs);
    for (int tap = 0; tap < taps_; ++tap) {
      const char* from = x + tap * dilation * at_.row;
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
  void total(long groups, int channels, float* weight) {
    for (long g = 1; g < groups; ++g)
      for (size_t i = 0; i < size_; ++i) data_.floats()[i] += data_.floats()[g * size_ + i];
    for (int tap = 0; tap < taps_; ++tap)
      for (int i = 0; i < channels; ++i) {
        const float* row = data_.floats() + (size_t(tap) * at_.padded + i) * at_.padded;
        for (int o = 0; o < channels; ++o) weight[(size_t(o) * channels + i) * taps_ + tap] = row[o];
      }
  }

 private:
  const Kernels& kernels_;
  const Layout& at_;
  const int taps_;
  const size_t size_;
  Buffer data_;
};

// Gradient of a convolution's input, position by position a sum over the outputs that read it. With
// a stride, input u is read by outputs through every stride-th tap only: one convolution on
// transposed, reversed weights for each phase u mod stride.
class InputGradient {
 public:
  InputGradient(const Kernels& kernels, const float* weight, int channels, int taps, long dilation,
                long stride, const Layout& at)
      : at_(at), dilation_(dilation), stride_(stride) {
    for (int phase = 0; phase < stride; ++phase) {
      const int n = (taps - phase + stride - 1) / stride;
      phases_.emplace_back(kernels, channels, at.padded, n, [&](int o, int i, int t) {
        return weight[(ptrdiff_t(i) * channels + o) * taps + phase + (n - 1 - t) * stride];
      });
    }
  }

  // Rows of da that come before the row of the first input asked for, and after that of the last.
  long reach() const { return (phases_[0].taps - 1) * dilation_; }

  // Inputs [first, last) to `out`, where first is a multiple of the stride and da points to the row
  // of output first / stride. Rows that no output has must be zeros.
  void run(const char* da, long first, long last, char* out) const {
    for (int phase = 0; phase < stride_; ++phase) {
      const Packed& packed = phases_[phase];
      const long rows = (last - first - phase + stride_ - 1) / stride_;
      if (rows <= 0) continue;
      packed.run(da - (packed.taps - 1) * dilation_ * at_.row, at_.row, dilation_ * at_.row,
                 out + phase * at_.row, stride_ * at_.row, rows);
    }
  }

 private:
  const Layout& at_;
  const long dilation_, stride_;
  std::vector<Packed> phases_;
};

// A stretch of gradient rows with zeros where the sequence has none: rows [from - before, to +
// after) of which those outside [0, length) are zeros. fill(row, to, out) makes the rest.
template <class F>
void fill_rows(long from, long to, long before, long after, long length, ptrdiff_t row, char* out,
               F fill) {
  const long first = std::max(0L, from - before), last = std::min(length, to + after);
  const long start = from - before;
  std::memset(out, 0, (first - start) * row);
  fill(first, last, out + (first - start) * row);
  std::memset(out + (last - start) * row, 0, (to + after - last) * row);
}

}  // namespace

void block_backward(const Kernels& kernels, const BlockShape& s, const BlockTensors& t,
                    const BlockGradients& d, int threads) {
  const Layout at(kernels, s);
  const TrainKernels& train = *kernels.train;
  const long length1 = s.length1(), length2 = s.length2();
  const std::vector<Span> spans1 = spans_of(s.sequences, length1);
  const std::vector<Span> spans2 = spans_of(s.sequences, length2);
  const long longest1 = spans1.back().to - spans1.back().from;
  const long longest2 = spans2.back().to - spans2.back().from;
  const Groups groups1(spans1.size()), groups2(spans2.size());

  const Norm norm1(s, at.padded, t.gain1, t.shift1, t.mean1, t.var1);
  const Norm norm2(s, at.padded, t.gain2, t.shift2, t.mean2, t.var2);
  const Padded mask1 = make_mask(t.mask1, s, at.padded), mask2 = make_mask(t.mask2, s, at.padded);
  const auto activation1 = [&](long n) -> Activation {
    return {norm1.scale.row(), norm1.shift.row(), mask1.row(n)};
  };
  const auto activation2 = [&](long n) -> Activation {
    return {norm2.scale.row(), norm2.shift.row(), mask2.row(n)};
  };

  // what the second norm's gradient needs of all positions
  SpanSums sums2(spans2.size(), at.padded);
  share(threads, spans2.size(), [&](Tasks& tasks) {
    for (long i; tasks.take(i);) {
      const auto [n, from, to] = spans2[i];
      train.branch_sums(at.at(d.dy, length2, n, from), at.at(t.y, length2, n, from),
                        at.at(t.a2, length2, n, from), activation2(n), to - from, at.padded,
                        sums2.sum(i), sums2.products(i));
    }
  });
  const NormBackward back2(s, at.padded, sums2, s.sequences * length2, t.gain2, t.mean2, t.var2,
                           d.gain2, d.shift2);

  // through the second convolution: its weights, and g1 = the gradient of the first norm's output
  const InputGradient to_h(kernels, t.weight2, s.channels, s.taps2, s.dilation, s.stride, at);
  WeightSums weight2(kernels, groups2.count, s.taps2, at);
  Padded code_sums(groups2.count * N_CODES, at.padded, at.padded);
  const FirstRows first(kernels, s, t, at.padded);
  SpanSums sums1(spans2.size(), at.padded);
  share(threads, groups2.count, [&](Tasks& tasks) {
    const Entered entered(kernels);
    const long before = to_h.reach(), after = s.reach2() / s.stride + 1;
    const Scratch da2((before + longest2 + after + at.ahead) * at.row);
    const long most = (longest2 + 1) * s.stride + s.reach2();
    const Scratch h(most * at.row), pairs(weight2.room(longest2));
    const Scratch looked_up(s.codes ? most * at.row : 0), words(s.codes ? most + s.taps1 : 0);
    for (long group; tasks.take(group);)
      for (long i = groups2.first(group); i < groups2.last(group); ++i) {
        const auto [n, from, to] = spans2[i];
        const Activation active1 = activation1(n), active2 = activation2(n);
        const long sequence = n, rows = to - from;
        fill_rows(from, to, before, to == length2 ? after : 0, length2, at.row, da2.data(),
                  [&](long first, long last, char* out) {
                    train.branch_gradient(at.at(d.dy, length2, sequence, first),
                                          at.at(t.y, length2, sequence, first),
                                          at.at(t.a2, length2, sequence, first), active2,
                                          back2.get(), out, last - first, at.padded);
                  });
        const char* da = da2.data() + before * at.row;
        const long u = from * s.stride, end = to == length2 ? length1 : to * s.stride;
        const long needed = (rows - 1) * s.stride + s.reach2() + 1;
        const char* a1 = s.codes ? looked_up.data() : at.at(t.a1, length1, n, u);
        if (s.codes)
          first.look_up(n, u, std::max(needed, end - u), words.bytes(), looked_up.data());
        train.activate(a1, active1, h.data(), needed, at.padded);
        weight2.add(group, da, h.data(), s.stride, s.dilation, rows, pairs.data());

        char* g1 = at.at(d.workspace, length1, n, u);
        to_h.run(da, u, end, g1);
        train.inner_gradient(g1, a1, active1, end - u, at.padded, sums1.sum(i), sums1.products(i));
        if (s.codes)
          train.sum_codes(at.at(d.dy, length2, n, from), at.at(t.y, length2, n, from),
                          t.codes + n * s.length + s.tap + u, s.stride,
                          code_sums.row(group * N_CODES), rows, at.padded);
      }
  });
  weight2.total(groups2.count, s.channels, d.weight2);
  const NormBackward back1(s, at.padded, sums1, s.sequences * length1, t.gain1, t.mean1, t.var1,
                           d.gain1, d.shift1);

  // through the first convolution: its weights, and the gradient of the block's input
  std::unique_ptr<InputGradient> to_x;
  if (!s.codes)
    to_x = std::make_unique<InputGradient>(kernels, t.weight1, s.channels, s.taps1, s.dilation, 1, at);
  WeightSums weight1(kernels, s.codes ? 0 : groups1.count, s.taps1, at);
  const long table = long(first.layer.groups) * first.layer.words_per_table;
  Padded word_sums(s.codes ? groups1.count * table : 0, at.padded, at.padded);
  share(threads, groups1.count, [&](Tasks& tasks) {
    const Entered entered(kernels);
    const long before = s.codes ? 0 : to_x->reach(), after = s.codes ? 0 : s.reach1();
    const Scratch da1((before + longest1 + after + at.ahead) * at.row);
    const Scratch pairs(s.codes ? 0 : weight1.room(longest1));
    const Scratch words(s.codes ? longest1 + s.taps1 : 0);
    for (long group; tasks.take(group);)
      for (long i = groups1.first(group); i < groups1.last(group); ++i) {
        const auto [n, from, to] = spans1[i];
        const long sequence = n, rows = to - from;
        fill_rows(from, to, before, to == length1 ? after : 0, length1, at.row, da1.data(),
                  [&](long begin, long last, char* out) {
                    if (s.codes) first.look_up(sequence, begin, last - begin, words.bytes(), out);
                    train.norm_gradient(at.at(d.workspace, length1, sequence, begin),
                                        s.codes ? out : at.at(t.a1, length1, sequence, begin),
                                        back1.get(), out, last - begin, at.padded);
                  });
        const char* da = da1.data() + before * at.row;
        if (s.codes) {
          const FirstLayer& layer = first.layer;  // the words are still those of these rows
          for (int g = 0; g < layer.groups; ++g)
            train.sum_words(da, words.bytes() + layer.offsets[g],
                            word_sums.row(group * table + long(g) * layer.words_per_table), rows,
                            at.padded);
          continue;
        }
        weight1.add(group, da, at.at(t.x, s.length, n, from), 1, s.dilation, rows, pairs.data());
        const long end = to == length1 ? s.length : to;
        to_x->run(da, from, end, at.at(d.dx, s.length, n, from));
        // the residual's share of inputs [from, end)
        const long begin = std::max(0L, (from - s.tap + s.stride - 1) / s.stride);
        const long last = std::min(length2, (end - s.tap + s.stride - 1) / s.stride);
        if (begin < last)
          train.add_residual(at.at(d.dy, length2, n, begin), at.at(t.y, length2, n, begin),
                             at.at(d.dx, s.length, n, s.tap + begin * s.stride),
                             s.stride * at.row, last - begin, at.padded);
      }
  });
  if (!s.codes) {
    weight1.total(groups1.count, s.channels, d.weight1);
    return;
  }
  for (long group = 1; group < groups1.count; ++group)
    for (long i = 0; i < table * at.padded; ++i)
      word_sums.row()[i] += word_sums.row(group * table)[i];
  first.layer.weight_gradient(word_sums.row(), s.channels, at.padded, d.weight1);
  for (int code = 0; code < N_CODES; ++code)
    for (int c = 0; c < s.channels; ++c) {
      double sum = 0;
      for (long group = 0; group < groups2.count; ++group)
        sum += code_sums.row(group * N_CODES + code)[c];
      d.code_residual[code * s.channels + c] = float(sum);
    }
}

}  // namespace tcnfast
