#include <cstring>

#include "letter_counts.h"
#include "train_pairs.h"
#include "train_parts.h"

namespace tcnfast {
namespace {

// The forward pass, one method a layer; each needs all positions of the one before.
class Forward {
 public:
  Forward(const Kernels& kernels, const BlockShape& shape, const BlockTensors& tensors, int threads,
          const AddUp& add_up)
      : add_up_(add_up),
        kernels_(kernels),
        train_(*kernels.train),
        s_(shape),
        t_(tensors),
        threads_(threads),
        at_(kernels, shape),
        form_(shape.symmetric ? Form::Halved : Form::Plain),
        length1_(shape.length1()),
        length2_(shape.length2()),
        spans1_(spans_of(shape.sequences, length1_)),
        spans2_(spans_of(shape.sequences, length2_)),
        mask1_(make_mask(t_.mask1, shape, at_.padded)),
        mask2_(make_mask(t_.mask2, shape, at_.padded)),
        first_(kernels, shape, tensors, at_.padded) {}

  void run() {
    if (s_.codes && kernels_.element_bytes == sizeof(float))
      look_up_statistics();
    else
      first_convolution();
    second_convolution(Norm(s_, at_.padded, t_.gain1, t_.shift1, t_.mean1, t_.var1));
    output(Norm(s_, at_.padded, t_.gain2, t_.shift2, t_.mean2, t_.var2));
  }

 private:
  void first_convolution();
  void look_up_statistics();
  void second_convolution(const Norm& norm1);
  void output(const Norm& norm2);
  const char* readable(const Span& span, char* copy) const;
  void sum_up(const char* rows, const Span& span, SpanSums& sums, long index) const;
  void statistics(SpanSums& sums, const std::vector<Span>& spans, float* mean, float* var) const;
  template <class Sum, class Squares>
  void set_statistics(double positions, Sum sum, Squares squares_about, float* mean,
                      float* var) const;
  template <class Sum, class Squares>
  void set_pooled(double positions, Sum sum, Squares squares_about, float* mean, float* var) const;

  const AddUp& add_up_;
  const Kernels& kernels_;
  const TrainKernels& train_;
  const BlockShape& s_;
  const BlockTensors& t_;
  const int threads_;
  const Layout at_;
  const Form form_;
  const long length1_, length2_;
  const std::vector<Span> spans1_, spans2_;
  const Padded mask1_, mask2_;
  const FirstRows first_;
};

void Forward::first_convolution() {
  std::unique_ptr<Packed> conv;
  if (!s_.codes)
    conv = std::make_unique<Packed>(
        kernels_, form_, s_.channels, at_.padded, s_.taps1, [&](int o, int i, int k) {
          return t_.weight1[(ptrdiff_t(o) * s_.channels + i) * s_.taps1 + k];
        });
  SpanSums sums(spans1_.size(), at_.padded);
  share(threads_, spans1_.size(), [&](Tasks& tasks) {
    const Entered entered(kernels_);
    const long most = spans1_.back().to - spans1_.back().from;  // the last is never the shorter
    const Scratch rows_copy((most + s_.reach1() + at_.ahead) * at_.row);
    const Scratch words(s_.codes ? most + s_.taps1 : 0);
    for (long i; tasks.take(i);) {
      const Span span = spans1_[i];
      const long rows = span.to - span.from;
      char* out = rows_copy.data();
      if (s_.codes) {
        first_.look_up(span.sequence, span.from, rows, words.bytes(), out);
      } else {
        const char* x = readable(span, rows_copy.data());
        out = at_.at(t_.a1, length1_, span.sequence, span.from);
        conv->run(x, at_.row, s_.dilation * at_.row, out, at_.row, rows);
      }
      sum_up(out, span, sums, i);
    }
  });
  statistics(sums, spans1_, t_.mean1, t_.var1);
}

// The statistics of look-ups, without any: a sum of a channel's is one of its weights, and a sum of
// squares one of products of two weights, each as often as their letters meet. Where look-ups are
// rounded, to bf16, their mean must be that of what is left of them, and first_convolution does it.
void Forward::look_up_statistics() {
  if (!s_.batch_norm) return;
  const LetterCounts counts(kernels_, t_.code_input, s_.sequences, s_.length, s_.taps1, threads_);
  const int width = counts.width();
  std::vector<double> sums(s_.channels), squares(s_.channels);
  for (int c = 0; c < s_.channels; ++c) {
    const float* weight = t_.weight1 + size_t(c) * width;
    for (int i = 0; i < width; ++i) {
      double with = 0;
      for (int j = 0; j < width; ++j) with += counts.row(i)[j] * weight[j];
      sums[c] += counts.once(i) * weight[i];
      squares[c] += weight[i] * with;
    }
  }
  const double n = double(s_.sequences) * length1_;
  set_statistics(n, [&](int c) { return sums[c]; },
                 [&](double m, int c) { return squares[c] - 2 * m * sums[c] + n * m * m; },
                 t_.mean1, t_.var1);
}

// The inputs of a span of the first convolution, which reads on behind its last row: in `copy`
// where that would be behind the last of the tensor.
const char* Forward::readable(const Span& span, char* copy) const {
  const char* x = at_.at(t_.x, s_.length, span.sequence, span.from);
  const char* end = at_.at(t_.x, s_.length, s_.sequences, 0);
  const long needed = span.to - span.from + s_.reach1();
  if (end - x >= (needed + at_.ahead) * at_.row) return x;
  std::memcpy(copy, x, needed * at_.row);
  return copy;
}

void Forward::second_convolution(const Norm& norm1) {
  const Packed conv(kernels_, form_, s_.channels, at_.padded, s_.taps2, [&](int o, int i, int k) {
    return t_.weight2[(ptrdiff_t(o) * s_.channels + i) * s_.taps2 + k];
  });
  SpanSums sums(spans2_.size(), at_.padded);
  share(threads_, spans2_.size(), [&](Tasks& tasks) {
    const Entered entered(kernels_);
    const long most = (spans2_.back().to - spans2_.back().from) * s_.stride + s_.reach2();
    const Scratch h((most + at_.ahead) * at_.row), words(s_.codes ? most + s_.taps1 : 0);
    for (long i; tasks.take(i);) {
      const Span span = spans2_[i];
      const long rows = span.to - span.from, from = span.from * s_.stride;
      const long needed = (rows - 1) * s_.stride + s_.reach2() + 1;
      if (s_.codes) first_.look_up(span.sequence, from, needed, words.bytes(), h.data());
      const char* a1 = s_.codes ? h.data() : at_.at(t_.a1, length1_, span.sequence, from);
      train_.activate(a1, norm1.with(mask1_.row(span.sequence)), h.data(), needed, at_.padded);
      char* out = at_.at(t_.a2, length2_, span.sequence, span.from);
      conv.run(h.data(), s_.stride * at_.row, s_.dilation * at_.row, out, at_.row, rows);
      sum_up(out, span, sums, i);
    }
  });
  statistics(sums, spans2_, t_.mean2, t_.var2);
}

void Forward::output(const Norm& norm2) {
  const Padded code_residual(s_.codes ? t_.code_residual : nullptr, s_.codes ? N_CODES : 0,
                             s_.channels, at_.padded);
  share(threads_, spans2_.size(), [&](Tasks& tasks) {
    for (long i; tasks.take(i);) {
      const auto [n, from, to] = spans2_[i];
      const Activation activation = norm2.with(mask2_.row(n));
      const char* a2 = at_.at(t_.a2, length2_, n, from);
      char* y = at_.at(t_.y, length2_, n, from);
      const long x = s_.tap + from * s_.stride;
      if (s_.codes)
        train_.combine_codes(a2, activation, t_.code_input + n * s_.length + x, s_.stride,
                             code_residual.row(), y, to - from, at_.padded);
      else
        train_.combine(a2, activation, at_.at(t_.x, s_.length, n, x), s_.stride * at_.row, y,
                       to - from, at_.padded);
    }
  });
}

// The sum of a span's rows, and that of squares about the span's own mean: a mean far from zero
// takes no digits off the variance.
void Forward::sum_up(const char* rows, const Span& span, SpanSums& sums, long index) const {
  if (!s_.batch_norm) return;
  const long n = span.to - span.from;
  train_.sum(rows, n, at_.padded, sums.sum(index));
  const Scratch mean(at_.padded * sizeof(float));
  for (int c = 0; c < at_.padded; ++c) mean.floats()[c] = float(sums.sum(index)[c] / n);
  train_.squares(rows, mean.floats(), n, at_.padded, sums.products(index));
}

void Forward::statistics(SpanSums& sums, const std::vector<Span>& spans, float* mean,
                         float* var) const {
  if (!s_.batch_norm) return;
  double positions = 0;
  for (const Span& span : spans) positions += span.to - span.from;
  const auto squares_about = [&](double m, int c) {
    double squares = 0;
    for (size_t i = 0; i < spans.size(); ++i) {
      const double n = spans[i].to - spans[i].from, sum = sums.sum(i)[c];
      const double about = float(sum / n);  // as sum_up has it: its squares are about this
      squares +=
          sums.products(i)[c] + 2 * (about - m) * (sum - n * about) + n * (about - m) * (about - m);
    }
    return squares;
  };
  set_statistics(positions, [&](int c) { return sums.total(0, c); }, squares_about, mean, var);
}

// From sum(column) over `positions` positions, and squares_about(m, column), of differences from m.
template <class Sum, class Squares>
void Forward::set_statistics(double positions, Sum sum, Squares squares_about, float* mean,
                             float* var) const {
  if (!add_up_) return set_pooled(positions, sum, squares_about, mean, var);
  // squares about zero, in fp64: once for all processes, whose means are not known before
  std::vector<double> all(2 * s_.channels + 1);
  double *sums = all.data(), *squares = sums + s_.channels;
  for (int c = 0; c < s_.channels; ++c) {
    sums[c] = sum(c);
    const double m = positions ? sums[c] / positions : 0;
    squares[c] = squares_about(m, c) + positions * m * m;
  }
  all.back() = positions;
  add_up_(all.data(), long(all.size()));
  const double n = all.back();
  set_pooled(n, [&](int c) { return sums[c]; },
             [&](double m, int c) { return squares[c] - 2 * m * sums[c] + n * m * m; }, mean, var);
}

template <class Sum, class Squares>
void Forward::set_pooled(double positions, Sum sum, Squares squares_about, float* mean,
                         float* var) const {
  const Pooled pooled(s_);
  for (int c = 0; c < pooled.norms; ++c) {
    const double count = pooled.columns * positions, m = pooled.sum(c, sum) / count;
    const double squares = pooled.sum(c, [&](int column) { return squares_about(m, column); });
    for (int column = c; column < s_.channels; column += pooled.norms) {
      mean[column] = float(m);
      var[column] = float(std::max(0.0, squares / count));
    }
  }
}

}  // namespace

void block_forward(const Kernels& kernels, const BlockArguments& arguments, int threads,
                   const AddUp& add_up) {
  check(arguments, false);
  if (!arguments.symmetric) return Forward(kernels, arguments, arguments, threads, add_up).run();
  const Whole whole(arguments);
  InPairOrder paired(kernels, whole.arguments);
  Forward(kernels, paired.arguments, paired.arguments, threads, add_up).run();
  paired.give_statistics();
}

}  // namespace tcnfast
