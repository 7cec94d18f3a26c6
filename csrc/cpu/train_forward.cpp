#include <cstring>

#include "train_parts.h"

namespace tcnfast {
namespace {

void statistics(const SpanSums& sums, long positions, int channels, float* mean, float* var) {
  for (int c = 0; c < channels; ++c) {
    const double m = sums.total(0, c) / positions;
    mean[c] = float(m);
    var[c] = float(std::max(0.0, sums.total(1, c) / positions - m * m));
  }
}

}  // namespace

void block_forward(const Kernels& kernels, const BlockShape& s, const BlockTensors& t, int threads) {
  const Layout at(kernels, s);
  const TrainKernels& train = *kernels.train;
  const long length1 = s.length1(), length2 = s.length2();
  const std::vector<Span> spans1 = spans_of(s.sequences, length1);
  const std::vector<Span> spans2 = spans_of(s.sequences, length2);
  const long longest1 = spans1.back().to - spans1.back().from;  // the last is never the shorter
  const long longest2 = spans2.back().to - spans2.back().from;

  const FirstRows first(kernels, s, t, at.padded);
  std::unique_ptr<Packed> conv1;
  if (!s.codes)
    conv1 = std::make_unique<Packed>(kernels, s.channels, at.padded, s.taps1, [&](int o, int i, int k) {
      return t.weight1[(ptrdiff_t(o) * s.channels + i) * s.taps1 + k];
    });
  const Packed conv2(kernels, s.channels, at.padded, s.taps2, [&](int o, int i, int k) {
    return t.weight2[(ptrdiff_t(o) * s.channels + i) * s.taps2 + k];
  });

  SpanSums sums1(spans1.size(), at.padded);
  share(threads, spans1.size(), [&](Tasks& tasks) {
    const Entered entered(kernels);
    const Scratch copy((longest1 + s.reach1() + at.ahead) * at.row);
    const Scratch words(s.codes ? longest1 + s.taps1 : 0);
    for (long i; tasks.take(i);) {
      const Span span = spans1[i];
      const long rows = span.to - span.from;
      char* out = s.codes ? copy.data() : at.at(t.a1, length1, span.sequence, span.from);
      if (s.codes) {
        first.look_up(span.sequence, span.from, rows, words.bytes(), out);
      } else {
        const char* x = at.at(t.x, s.length, span.sequence, span.from);
        // a convolution reads on behind its last row: not behind the last of the tensor
        const char* end = at.at(t.x, s.length, s.sequences, 0);
        const long needed = rows + s.reach1();
        if (end - x < (needed + at.ahead) * at.row) {
          std::memcpy(copy.data(), x, needed * at.row);
          x = copy.data();
        }
        conv1->run(x, at.row, s.dilation * at.row, out, at.row, rows);
      }
      train.sums(out, rows, at.padded, sums1.sum(i), sums1.products(i));
    }
  });
  if (s.batch_norm) statistics(sums1, s.sequences * length1, s.channels, t.mean1, t.var1);
  const Norm norm1(s, at.padded, t.gain1, t.shift1, t.mean1, t.var1);
  const Padded mask1 = make_mask(t.mask1, s, at.padded), mask2 = make_mask(t.mask2, s, at.padded);

  SpanSums sums2(spans2.size(), at.padded);
  share(threads, spans2.size(), [&](Tasks& tasks) {
    const Entered entered(kernels);
    const long most = longest2 * s.stride + s.reach2();
    const Scratch h((most + at.ahead) * at.row), words(s.codes ? most + s.taps1 : 0);
    for (long i; tasks.take(i);) {
      const Span span = spans2[i];
      const long rows = span.to - span.from, from = span.from * s.stride;
      const long needed = (rows - 1) * s.stride + s.reach2() + 1;
      char* out = at.at(t.a2, length2, span.sequence, span.from);
      if (s.codes) first.look_up(span.sequence, from, needed, words.bytes(), h.data());
      train.activate(s.codes ? h.data() : at.at(t.a1, length1, span.sequence, from),
                     {norm1.scale.row(), norm1.shift.row(), mask1.row(span.sequence)}, h.data(),
                     needed, at.padded);
      conv2.run(h.data(), s.stride * at.row, s.dilation * at.row, out, at.row, rows);
      train.sums(out, rows, at.padded, sums2.sum(i), sums2.products(i));
    }
  });
  if (s.batch_norm) statistics(sums2, s.sequences * length2, s.channels, t.mean2, t.var2);
  const Norm norm2(s, at.padded, t.gain2, t.shift2, t.mean2, t.var2);
  const Padded code_residual(s.codes ? t.code_residual : nullptr, s.codes ? N_CODES : 0, s.channels,
                             at.padded);

  share(threads, spans2.size(), [&](Tasks& tasks) {
    for (long i; tasks.take(i);) {
      const Span span = spans2[i];
      const Activation activation = {norm2.scale.row(), norm2.shift.row(), mask2.row(span.sequence)};
      const char* a2 = at.at(t.a2, length2, span.sequence, span.from);
      char* y = at.at(t.y, length2, span.sequence, span.from);
      const long rows = span.to - span.from, from = s.tap + span.from * s.stride;
      if (s.codes)
        train.combine_codes(a2, activation, t.codes + span.sequence * s.length + from, s.stride,
                            code_residual.row(), y, rows, at.padded);
      else
        train.combine(a2, activation, at.at(t.x, s.length, span.sequence, from),
                      s.stride * at.row, y, rows, at.padded);
    }
  });
}

}  // namespace tcnfast
