#include "substitutions.h"

#include <algorithm>
#include <stdexcept>

#include "differences.h"
#include "threads.h"
#include "walk.h"

namespace tcnfast {
namespace {

// Of runs that lie one over another a thread takes so many bases, runs and windows at a time: a
// receptive field is computed again for each.
constexpr long PIECE_BASES = 1 << 14, PIECE_RUNS = 1 << 10, PIECE_WINDOWS = 1 << 14;

// Changes of one window that pass through the layers together: a layer's weights and their rows
// stay in the nearest caches.
constexpr long CHANGES = 32;

// (outputs, inputs, taps) -> (taps, inputs as given, padded), zeros where there is no channel.
Buffer plain(const float* weights, int channels, int inputs, int padded_inputs, int padded,
             int taps) {
  Buffer out(size_t(taps) * padded_inputs * padded * sizeof(float));
  for (int tap = 0; tap < taps; ++tap)
    for (int i = 0; i < inputs; ++i)
      for (int o = 0; o < channels; ++o)
        out.floats()[(size_t(tap) * padded_inputs + i) * padded + o] =
            weights[(size_t(o) * inputs + i) * taps + tap];
  return out;
}

// The first run of every piece, and how many there are; `windows`: the number of each run's first.
std::vector<long> pieces(const Runs& runs, const std::vector<long>& windows, long field) {
  std::vector<long> firsts;
  long end = 0;  // of the runs before
  for (long i = 0; i < runs.n; ++i) {
    const bool apart = i == 0 || runs.starts[i] >= end;
    if (apart || runs.starts[i] >= runs.starts[firsts.back()] + PIECE_BASES ||
        i >= firsts.back() + PIECE_RUNS || windows[i + 1] > windows[firsts.back()] + PIECE_WINDOWS)
      firsts.push_back(i);
    end = std::max(end, runs.starts[i] + field + (runs.counts[i] - 1) * runs.step);
  }
  firsts.push_back(runs.n);
  return firsts;
}

// Products of `n` rows of features with the head, and its bias or another.
void write_head(const Stack& stack, const char* features, long n, const float* bias,
                float* logits) {
  Conv c{};
  c.x = features;
  c.x_row = stack.row_bytes;
  c.taps = 1;
  c.inputs = stack.padded;
  c.outputs = stack.labels;
  c.weights = stack.head.weights.data();
  c.bias = bias;
  c.out = reinterpret_cast<char*>(logits);
  c.out_row = stack.labels * sizeof(float);
  c.rows = n;
  stack.kernels.head(c);
}

// Of a symmetric stack, too, the lists go over channels in their own order.
StackParams direct(StackParams params) {
  params.symmetric = false;
  return params;
}

}  // namespace

Span reached(Span moved, long reach, long stride, long outputs) {
  if (moved.size() == 0) return {};
  const long lowest = std::max(0L, moved.first - reach);
  return {(lowest + stride - 1) / stride, std::min(outputs, (moved.end - 1) / stride + 1)};
}

Substitutions::Substitutions(const Kernels& kernels, const StackParams& params)
    : stack(kernels, direct(params)) {
  if (!kernels.sparse || !kernels.sparse->moved)
    throw std::invalid_argument("substitutions: fp32 alone");
  long rows = stack.receptive_field;
  for (size_t i = 0; i < stack.blocks.size(); ++i) {
    const Block& block = stack.blocks[i];
    if (block.dilation != 1 || block.stride != 2 || stack.sample != 1)
      throw std::invalid_argument("substitutions: the grids must be those of one window");
    const long hidden = rows - block.first.taps + 1;
    const long outputs = (hidden - block.second.taps) / 2 + 1;
    const BlockParams& p = params.blocks[i];
    const auto rows_of_weights = [&](const float* weights, int taps, bool codes) {
      return plain(weights, stack.channels, codes ? N_BASES : stack.channels,
                   codes ? N_BASES : stack.padded, stack.padded, taps);
    };
    levels.push_back({rows, hidden, outputs, rows_of_weights(p.weight1, p.taps1, i == 0),
                      rows_of_weights(p.weight2, p.taps2, false)});
    rows = outputs;
  }
}

void Substitutions::score(const uint8_t* codes, long length, const Runs& runs, float* before,
                          float* after, int threads) const {
  std::vector<long> windows{0};
  for (long i = 0; i < runs.n; ++i) {
    const long start = runs.starts[i], count = runs.counts[i];
    const long last = count < 1 || count > length ? -1 : (count - 1) * runs.step;
    if (runs.step < 1 || runs.step & (runs.step - 1) || last < 0 || start < (i ? runs.starts[i - 1] : 0) ||
        start + last + stack.receptive_field > length || runs.places[i] < 0 ||
        runs.places[i] >= last + stack.receptive_field || runs.bases[i] >= N_CODES)
      throw std::invalid_argument("substitutions: no such window, place or base, or not in order");
    windows.push_back(windows.back() + count);
  }
  const float* bias = stack.head.bias.floats();
  const std::vector<long> firsts = pieces(runs, windows, stack.receptive_field);
  share(threads, long(firsts.size()) - 1, [&](Tasks& tasks) {
    Walk walk(*this);
    Buffer same, other;
    const Entered entered(stack.kernels);
    for (long task; tasks.take(task);) {
      const long from = firsts[task], first = windows[from];
      const long count = windows[firsts[task + 1]] - first;
      const size_t bytes = (count + stack.kernels.row_block) * stack.row_bytes;
      const Runs piece{runs.starts + from, runs.counts + from, runs.places + from,
                       runs.bases + from,  firsts[task + 1] - from, runs.step};
      walk.run(codes + runs.starts[from], piece, same.room(bytes), other.room(bytes));
      write_head(stack, same.data(), count, bias, before + first * stack.labels);
      write_head(stack, other.data(), count, bias, after + first * stack.labels);
    }
  });
}

void Substitutions::score_changes(const uint8_t* codes, const Changes& changes, long n,
                                  float* logits, float* gained, int threads) const {
  const int64_t* at = changes.offsets;
  for (long i = 0; i < n; ++i) {
    bool wrong = at[i] < 0 || at[i + 1] < at[i];
    for (int64_t j = at[i]; !wrong && j < at[i + 1]; ++j)
      wrong = changes.places[j] < (j > at[i] ? changes.places[j - 1] + 1 : 0) ||
              changes.places[j] >= stack.receptive_field || changes.bases[j] >= N_CODES;
    if (wrong)
      throw std::invalid_argument("substitutions: no such place or base, or places not in order");
  }
  const Unchanged window(*this, codes);
  write_head(stack, window.features.data(), 1, stack.head.bias.floats(), logits);
  const Buffer no_bias(stack.head.bias.size());
  share(threads, (n + CHANGES - 1) / CHANGES, [&](Tasks& tasks) {
    Differences differences(*this);
    Buffer features((CHANGES + stack.kernels.row_block) * stack.row_bytes);
    for (long task; tasks.take(task);) {
      const long first = task * CHANGES, count = std::min(CHANGES, n - first);
      differences.run(window, changes, first, count, features.floats());
      write_head(stack, features.data(), count, no_bias.floats(), gained + first * stack.labels);
    }
  });
}

}  // namespace tcnfast
