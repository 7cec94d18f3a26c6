#include "differences.h"

#include <algorithm>
#include <cstring>

namespace tcnfast {
namespace {

constexpr size_t VECTOR = 16;  // what a kernel may list too far

// out = relu(x), or relu(relu(x) + added) with a row of `channels` for each.
void activate(const float* x, long rows, int channels, float* out) {
  for (long i = 0; i < rows * channels; ++i) out[i] = std::max(x[i], 0.f);
}

void combine(const float* x, const float* added, int channels, float* out) {
  for (int c = 0; c < channels; ++c) out[c] = std::max(std::max(x[c], 0.f) + added[c], 0.f);
}

// What a block adds to its output `row`.
const float* shortcut(const Stack& stack, size_t level, const Unchanged& window, long row) {
  const Block& block = stack.blocks[level];
  const long source = block.tap + row * block.stride;
  if (level == 0) return stack.code_residual.floats() + window.codes[source] * stack.padded;
  return window.levels[level].x.floats() + source * stack.padded;
}

}  // namespace

Unchanged::Unchanged(const Substitutions& all, const uint8_t* window) : codes(window) {
  const Stack& stack = all.stack;
  const long ahead = 2 * stack.kernels.row_block;  // what a convolution reads too far
  const auto rows_of = [&](long rows) { return Buffer((rows + ahead) * stack.row_bytes); };
  std::vector<uint8_t> words;
  Buffer x, h = rows_of(all.levels[0].hidden);
  for (size_t i = 0; i < stack.blocks.size(); ++i) {
    const Block& block = stack.blocks[i];
    const Substitutions::Level& size = all.levels[i];
    levels.push_back({std::move(x), rows_of(size.hidden), rows_of(size.outputs)});
    Level& level = levels.back();
    const auto convolve = [&](const Convolution& convolution, const Buffer& from, long stride,
                              long rows, const Buffer& to) {
      Conv c{};
      c.x = from.data();
      c.x_row = stride * stack.row_bytes;
      c.x_tap = stack.row_bytes;
      c.taps = convolution.taps;
      c.inputs = c.outputs = stack.padded;
      c.weights = convolution.weights.data();
      c.bias = convolution.bias.floats();
      c.out = to.data();
      c.out_row = stack.row_bytes;
      c.rows = rows;
      stack.kernels.conv_plain(c);
    };
    if (i == 0)
      stack.look_up(codes, size.hidden, stack.kernels.lookup_plain, words, level.first.data());
    else
      convolve(block.first, level.x, 1, size.hidden, level.first);
    activate(level.first.floats(), size.hidden, stack.padded, h.floats());
    convolve(block.second, h, block.stride, size.outputs, level.second);
    x = rows_of(size.outputs);
    for (long row = 0; row < size.outputs; ++row)
      combine(level.second.floats() + row * stack.padded, shortcut(stack, i, *this, row),
              stack.padded, x.floats() + row * stack.padded);
  }
  features = std::move(x);
}

void Differences::Moved::resize(long rows, int channels) {
  values.room(rows * channels * sizeof(float));
  places.room((rows * channels + VECTOR) * sizeof(uint32_t));
  begins.room((rows + 1) * sizeof(uint32_t));
}

Differences::Differences(const Substitutions& all) : all_(all), stack_(all.stack) {}

void Differences::run(const Unchanged& window, const Changes& changes, long first, long count,
                      float* out) {
  read(window, changes, first, count);
  for (size_t level = 0; level < stack_.blocks.size(); ++level) {
    convolve(level, 1, window);
    convolve(level, 2, window);
    std::swap(x_, y_);
  }
  std::fill_n(out, count * stack_.padded, 0.f);
  for (long i = 0; i < count; ++i)
    if (reach_[i].rows.size() > 0)
      std::copy_n(x_.values.floats() + reach_[i].at * stack_.padded, stack_.padded,
                  out + i * stack_.padded);
}

// Differences of one-hot bases, and of what block 0 adds for each.
void Differences::read(const Unchanged& window, const Changes& changes, long first, long count) {
  const int channels = stack_.padded;
  long rows = 0;
  reach_.clear();
  for (long i = first; i < first + count; ++i) {
    const int64_t from = changes.offsets[i], end = changes.offsets[i + 1];
    const Span span = from < end ? Span{changes.places[from], changes.places[end - 1] + 1} : Span{};
    reach_.push_back({span, rows});
    rows += span.size();
  }
  x_.resize(rows, N_BASES);
  residual_.room(rows * channels * sizeof(float));
  std::fill_n(residual_.floats(), rows * channels, 0.f);
  uint32_t n = 0;
  const auto put = [&](long row, int code, float sign) {
    const float* adds = stack_.code_residual.floats() + code * channels;
    float* residual = residual_.floats() + row * channels;
    for (int c = 0; c < channels; ++c) residual[c] += sign * adds[c];
    if (code >= N_BASES) return;
    x_.values.floats()[row * N_BASES + code] = sign;
    x_.list()[n++] = uint32_t(row * N_BASES + code);
  };
  for (long i = 0; i < count; ++i) {
    int64_t j = changes.offsets[first + i];
    for (long place = reach_[i].rows.first; place < reach_[i].rows.end; ++place) {
      const long row = reach_[i].at + place - reach_[i].rows.first;
      x_.of_rows()[row] = n;
      if (changes.places[j] != place) continue;
      const uint8_t base = changes.bases[j++], was = window.codes[place];
      if (base == was) continue;
      put(row, base, 1.f);
      put(row, was, -1.f);
    }
  }
  x_.of_rows()[rows] = n;
}

// By how much `row` of what the block takes has moved; null for not at all.
const float* Differences::skip(size_t level, const Reach& reach, long row) const {
  if (row < reach.rows.first || row >= reach.rows.end) return nullptr;
  const Buffer& from = level == 0 ? residual_ : x_.values;
  return from.floats() + (reach.at + row - reach.rows.first) * stack_.padded;
}

// By how much a convolution's results move behind the ReLU, or behind those of the block's end.
void Differences::convolve(size_t level, int which, const Unchanged& window) {
  const Block& block = stack_.blocks[level];
  const Substitutions::Level& size = all_.levels[level];
  const long taps = which == 1 ? block.first.taps : block.second.taps;
  const long stride = which == 1 ? 1 : block.stride;
  const long outputs = which == 1 ? size.hidden : size.outputs;
  const Unchanged::Level& kept = window.levels[level];
  const float* before = (which == 1 ? kept.first : kept.second).floats();
  rows_.clear();
  next_.clear();
  const std::vector<Reach>& from = which == 1 ? reach_ : between_;
  for (size_t i = 0; i < from.size(); ++i) {
    const Reach& at = from[i];
    const Reach to{reached(at.rows, taps - 1, stride, outputs), long(rows_.size())};
    const long list = at.at - at.rows.first;  // from a row to its number in the list
    for (long row = to.rows.first; row < to.rows.end; ++row) {
      const long tap = row * stride;
      MovedRow moved{list + tap,
                     list + std::max(tap, at.rows.first),
                     list + std::min(tap + taps, at.rows.end),
                     before + row * stack_.padded,
                     nullptr,
                     nullptr};
      if (which == 2) {
        moved.added = shortcut(stack_, level, window, row);
        moved.skip = skip(level, reach_[i], row * stride + block.tap);
      }
      rows_.push_back(moved);
    }
    next_.push_back(to);
  }
  const Moved& x = which == 1 ? x_ : h_;
  Moved& out = which == 1 ? h_ : y_;
  const int inputs = which == 1 && level == 0 ? N_BASES : stack_.padded;
  out.resize(rows_.size(), stack_.padded);
  stack_.kernels.sparse->moved({x.values.floats(), x.list(), x.of_rows(), inputs, stack_.padded,
                                (which == 1 ? size.first : size.second).floats(), rows_.data(),
                                long(rows_.size()), out.values.floats(), out.list(),
                                out.of_rows()});
  std::swap(which == 1 ? between_ : reach_, next_);
}
}  // namespace tcnfast
