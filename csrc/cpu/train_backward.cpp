#include <cstring>

#include "letter_counts.h"
#include "train_halved.h"
#include "train_pairs.h"

namespace tcnfast {
namespace {

// Coefficients of a norm's input gradient and the gradients of its parameters, from the sums over
// all positions of g and of g * (a - mean):
//   batch norm, a^ = (a - mean) rstd:  da = gain rstd (g - <g> - a^ <g a^>)
//   bias:                              da = g
// Means <> are over the positions of all processes; gradients of parameters are those of this one's.
struct NormBackward {
  NormBackward(const BlockShape& shape, int padded, const SpanSums& sums, long positions,
               const float* gain, const float* mean, const float* var, float* dgain, float* dshift,
               const AddUp& add_up)
      : by_grad(1, padded), by_input(1, padded), constant(1, padded) {
    const Pooled pooled(shape);
    const int n = shape.channels;
    std::vector<double> own(2 * n + 1);  // of each channel g, then g * (a - mean)
    for (int c = 0; c < n; ++c) {
      // of one column, where a pair shares a norm the mean of both
      const auto total = [&](int which) {
        const auto of_column = [&](int column) { return sums.total(which, column); };
        return pooled.sum(c % pooled.norms, of_column) / pooled.columns;
      };
      own[c] = total(0);
      own[n + c] = total(1);
    }
    own[2 * n] = double(positions);
    std::vector<double> all = own;
    if (add_up && shape.batch_norm) add_up(all.data(), long(all.size()));
    const double everywhere = all[2 * n];
    for (int c = 0; c < n; ++c) {
      if (dshift) dshift[c] = float(own[c]);
      by_grad.row()[c] = 1.f;
      if (!shape.batch_norm) continue;
      const double rstd = 1 / std::sqrt(var[c] + shape.eps);
      if (dgain) dgain[c] = float(own[n + c] * rstd);
      const double normalised = all[n + c] * rstd;  // sum of g a^
      const double scale = gain[c] * rstd, slope = -scale * rstd * normalised / everywhere;
      by_grad.row()[c] = float(scale);
      by_input.row()[c] = float(slope);
      constant.row()[c] = float(-scale * all[c] / everywhere - slope * mean[c]);
    }
  }
  NormGradient get() const { return {by_grad.row(), by_input.row(), constant.row()}; }
  Padded by_grad, by_input, constant;
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

// The backward pass, one method a layer from the last to the first.
class Backward {
 public:
  Backward(const Kernels& kernels, const BlockShape& shape, const BlockTensors& tensors,
           const BlockGradients& gradients, int threads, const AddUp& add_up)
      : add_up_(add_up),
        kernels_(kernels),
        train_(*kernels.train),
        s_(shape),
        t_(tensors),
        d_(gradients),
        threads_(threads),
        at_(kernels, shape),
        length1_(shape.length1()),
        length2_(shape.length2()),
        weights_(gradients.dweight2),
        spans1_(spans_of(shape.sequences, length1_)),
        spans2_(spans_of(shape.sequences, length2_)),
        groups1_(spans1_.size()),
        groups2_(spans2_.size()),
        norm1_(shape, at_.padded, t_.gain1, t_.shift1, t_.mean1, t_.var1),
        norm2_(shape, at_.padded, t_.gain2, t_.shift2, t_.mean2, t_.var2),
        mask1_(make_mask(t_.mask1, shape, at_.padded)),
        mask2_(make_mask(t_.mask2, shape, at_.padded)),
        first_(kernels, shape, tensors, at_.padded) {}

  void run() {
    const NormBackward back2 = second_norm();
    const NormBackward back1 = second_convolution(back2.get());
    if (!s_.codes) return first_convolution(back1.get());
    if (d_.one_hot) one_hot(back1.get());
    if (!weights_) return;
    first_layer(back1.get());
    code_residual();
  }

 private:
  Activation active1(long n) const { return norm1_.with(mask1_.row(n)); }
  Activation active2(long n) const { return norm2_.with(mask2_.row(n)); }
  const char* dy(long n, long row) const { return at_.at(d_.dy, length2_, n, row); }
  const char* y(long n, long row) const {
    return at_.at(static_cast<const char*>(t_.y), length2_, n, row);
  }
  const char* a2(long n, long row) const { return at_.at(t_.a2, length2_, n, row); }
  const char* a1(long n, long row) const { return at_.at(t_.a1, length1_, n, row); }
  char* g1(long n, long row) const { return at_.at(d_.workspace, length1_, n, row); }
  long longest(const std::vector<Span>& spans) const { return spans.back().to - spans.back().from; }

  NormBackward second_norm();
  NormBackward second_convolution(NormGradient back2);
  void first_convolution(NormGradient back1);
  void first_layer(NormGradient back1);
  void one_hot(NormGradient back1);
  void code_residual();

  const AddUp& add_up_;
  const Kernels& kernels_;
  const TrainKernels& train_;
  const BlockShape& s_;
  const BlockTensors& t_;
  const BlockGradients& d_;
  const int threads_;
  const Layout at_;
  const long length1_, length2_;
  const bool weights_;  // wanted, and not the input's gradient alone
  const std::vector<Span> spans1_, spans2_;
  const Groups groups1_, groups2_;
  const Norm norm1_, norm2_;
  const Padded mask1_, mask2_;
  const FirstRows first_;
};

// What the second norm's gradient needs of all positions.
NormBackward Backward::second_norm() {
  SpanSums sums(spans2_.size(), at_.padded);
  if (weights_ || s_.batch_norm)
    share(threads_, spans2_.size(), [&](Tasks& tasks) {
      for (long i; tasks.take(i);) {
        const auto [n, from, to] = spans2_[i];
        train_.branch_sums(dy(n, from), y(n, from), a2(n, from), active2(n), to - from, at_.padded,
                           sums.sum(i), sums.products(i));
      }
    });
  return NormBackward(s_, at_.padded, sums, s_.sequences * length2_, t_.gain2, t_.mean2, t_.var2,
                      d_.dgain2, d_.dshift2, add_up_);
}

// The second convolution's weights, and the gradient of the first norm's output in the workspace.
NormBackward Backward::second_convolution(NormGradient back2) {
  ConvGradients gradients(kernels_, t_.weight2, s_, s_.taps2, s_.stride,
                          weights_ ? groups2_.count : 0, at_);
  SpanSums sums1(spans2_.size(), at_.padded);
  share(threads_, groups2_.count, [&](Tasks& tasks) {
    const Entered entered(kernels_);
    const long rows_most = longest(spans2_), most = (rows_most + 1) * s_.stride + s_.reach2();
    const long before = gradients.reach(), after = s_.reach2() / s_.stride + 1;
    const Scratch da2((before + rows_most + after + at_.ahead) * at_.row);
    const Scratch room(gradients.room(rows_most));
    const Scratch looked_up(s_.codes ? most * at_.row : 0), words(s_.codes ? most + s_.taps1 : 0);
    for (long group; tasks.take(group);)
      for (long i = groups2_.first(group); i < groups2_.last(group); ++i) {
        const Span span = spans2_[i];
        const long n = span.sequence, from = span.from, to = span.to, rows = to - from;
        fill_rows(from, to, before, to == length2_ ? after : 0, length2_, at_.row, da2.data(),
                  [&](long first, long last, char* out) {
                    train_.branch_gradient(dy(n, first), y(n, first), a2(n, first), active2(n),
                                           back2, out, last - first, at_.padded);
                  });
        const char* da = da2.data() + before * at_.row;
        const long u = from * s_.stride, end = to == length2_ ? length1_ : to * s_.stride;
        const long needed = (rows - 1) * s_.stride + s_.reach2() + 1;
        if (s_.codes)
          first_.look_up(n, u, std::max(needed, end - u), words.bytes(), looked_up.data());
        const char* a = s_.codes ? looked_up.data() : a1(n, u);
        const Activation active = active1(n);
        gradients.run(group, da, rows, a, &active, u, end, g1(n, u), room.data());
        train_.inner_gradient(g1(n, u), a, active1(n), end - u, at_.padded, sums1.sum(i),
                              sums1.products(i));
      }
  });
  if (weights_) gradients.total(groups2_.count, d_.dweight2);
  return NormBackward(s_, at_.padded, sums1, s_.sequences * length1_, t_.gain1, t_.mean1, t_.var1,
                      d_.dgain1, d_.dshift1, add_up_);
}

// The first convolution's weights, and the gradient of the block's input.
void Backward::first_convolution(NormGradient back1) {
  ConvGradients gradients(kernels_, t_.weight1, s_, s_.taps1, 1, weights_ ? groups1_.count : 0, at_);
  share(threads_, groups1_.count, [&](Tasks& tasks) {
    const Entered entered(kernels_);
    const long rows_most = longest(spans1_), before = gradients.reach(), after = s_.reach1();
    const Scratch da1((before + rows_most + after + at_.ahead) * at_.row);
    const Scratch room(gradients.room(rows_most));
    for (long group; tasks.take(group);)
      for (long i = groups1_.first(group); i < groups1_.last(group); ++i) {
        const Span span = spans1_[i];
        const long n = span.sequence, from = span.from, to = span.to;
        fill_rows(from, to, before, to == length1_ ? after : 0, length1_, at_.row, da1.data(),
                  [&](long first, long last, char* out) {
                    train_.norm_gradient(g1(n, first), a1(n, first), back1, out, last - first,
                                         at_.padded);
                  });
        const char* da = da1.data() + before * at_.row;
        const long end = to == length1_ ? s_.length : to;
        gradients.run(group, da, to - from, at_.at(t_.x, s_.length, n, from), nullptr, from, end,
                      at_.at(d_.dx, s_.length, n, from), room.data());
        // the residual's share of inputs [from, end)
        const long first = std::max(0L, (from - s_.tap + s_.stride - 1) / s_.stride);
        const long last = std::min(length2_, (end - s_.tap + s_.stride - 1) / s_.stride);
        if (first < last)
          train_.add_residual(dy(n, first), y(n, first),
                              at_.at(d_.dx, s_.length, n, s_.tap + first * s_.stride),
                              s_.stride * at_.row, last - first, at_.padded);
      }
  });
  if (weights_) gradients.total(groups1_.count, d_.dweight1);
}

// The same for codes: sums by word, of what reaches the norm. What the norm passes on,
// g by_grad + a by_input + constant, is in the sums of products with letters only: those of a are
// products of weights with how often letters meet, so that nothing has to be looked up.
void Backward::first_layer(NormGradient back1) {
  const FirstLayer& layer = first_.layer;
  const long table = long(layer.groups) * layer.words_per_table;
  const Padded word_sums(groups1_.count * table, at_.padded);
  share(threads_, groups1_.count, [&](Tasks& tasks) {
    const Scratch words(longest(spans1_) + s_.taps1);
    for (long group; tasks.take(group);)
      for (long i = groups1_.first(group); i < groups1_.last(group); ++i) {
        const auto [n, from, to] = spans1_[i];
        first_.make_words(n, from, to - from, words.bytes());
        for (int g = 0; g < layer.groups; ++g)
          train_.sum_words(g1(n, from), words.bytes() + layer.offsets[g],
                           word_sums.row(group * table + long(g) * layer.words_per_table),
                           to - from, at_.padded);
      }
  });
  for (long group = 1; group < groups1_.count; ++group)
    for (long i = 0; i < table * at_.padded; ++i)
      word_sums.row()[i] += word_sums.row(group * table)[i];
  const auto sums = layer.weight_gradient(word_sums.row(), s_.channels, at_.padded);
  if (!s_.batch_norm) {
    std::copy(sums.begin(), sums.end(), d_.dweight1);
    return;
  }
  const LetterCounts counts(kernels_, t_.code_input, s_.sequences, s_.length, s_.taps1, threads_);
  const int width = counts.width();
  for (int c = 0; c < s_.channels; ++c) {
    const float* weight = t_.weight1 + size_t(c) * width;
    for (int i = 0; i < width; ++i) {
      double looked_up = 0;
      for (int j = 0; j < width; ++j) looked_up += counts.row(i)[j] * weight[j];
      d_.dweight1[size_t(c) * width + i] =
          float(back1.by_grad[c] * sums[size_t(c) * width + i] + back1.by_input[c] * looked_up +
                back1.constant[c] * counts.once(i));
    }
  }
}

// The gradient of the one-hot form of codes.
void Backward::one_hot(NormGradient back1) {
  OneHotGradient gradient(kernels_, s_, t_, at_);
  share(threads_, groups1_.count, [&](Tasks& tasks) {
    const Entered entered(kernels_);
    const long rows_most = longest(spans1_), before = gradient.before();
    const Scratch da1((before + rows_most + at_.ahead) * at_.row);
    const Scratch words(before + rows_most + s_.taps1);
    for (long group; tasks.take(group);)
      for (long i = groups1_.first(group); i < groups1_.last(group); ++i) {
        const auto [n, from, to] = spans1_[i];
        fill_rows(from, to, before, 0, length1_, at_.row, da1.data(),
                  [&, n = n](long first, long last, char* out) {
                    first_.look_up(n, first, last - first, words.bytes(), out);
                    train_.norm_gradient(g1(n, first), out, back1, out, last - first, at_.padded);
                  });
        const long end = to == length1_ ? s_.length : to;
        gradient.run(da1.data(), dy(n, 0), y(n, 0), from, to, end, train_,
                     d_.one_hot + (n * s_.length + from) * N_BASES);
      }
  });
}

// The gradient of what codes add to the block: sums by letter.
void Backward::code_residual() {
  const long row = N_CODES * at_.padded;
  std::vector<double> sums(groups2_.count * row);
  share(threads_, groups2_.count, [&](Tasks& tasks) {
    for (long group; tasks.take(group);)
      for (long i = groups2_.first(group); i < groups2_.last(group); ++i) {
        const auto [n, from, to] = spans2_[i];
        const uint8_t* codes = t_.code_input + n * s_.length + s_.tap + from * s_.stride;
        const Padded of_span(N_CODES, at_.padded);
        train_.sum_codes(dy(n, from), y(n, from), codes, s_.stride, of_span.row(), to - from,
                         at_.padded);
        for (long k = 0; k < row; ++k) sums[group * row + k] += of_span.row()[k];
      }
  });
  for (int code = 0; code < N_CODES; ++code)
    for (int c = 0; c < s_.channels; ++c) {
      double sum = 0;
      for (long group = 0; group < groups2_.count; ++group)
        sum += sums[group * row + code * at_.padded + c];
      d_.dcode_residual[code * s_.channels + c] = float(sum);
    }
}

}  // namespace

void block_backward(const Kernels& kernels, const BlockArguments& arguments, int threads,
                    const AddUp& add_up) {
  check(arguments, true);
  if (!arguments.symmetric)
    return Backward(kernels, arguments, arguments, arguments, threads, add_up).run();
  const Whole whole(arguments);
  InPairOrder paired(kernels, whole.arguments);
  Backward(kernels, paired.arguments, paired.arguments, paired.arguments, threads, add_up).run();
  paired.give_gradients();
  whole.give_gradients();
}

}  // namespace tcnfast
