#include "substitutions.h"

#include <stdexcept>

#include "threads.h"
#include "walk.h"

namespace tcnfast {
namespace {

// Of windows that lie one over another a thread takes so many bases, and substitutions, at a time:
// a receptive field is computed again for each.
constexpr long PIECE_BASES = 1 << 14, PIECE_WINDOWS = 1 << 10;

// (outputs, inputs, taps) -> (taps, padded, padded), zeros where there is no channel.
Buffer plain(const float* weights, int channels, int padded, int taps) {
  Buffer out(size_t(taps) * padded * padded * sizeof(float));
  for (int tap = 0; tap < taps; ++tap)
    for (int i = 0; i < channels; ++i)
      for (int o = 0; o < channels; ++o)
        out.floats()[(size_t(tap) * padded + i) * padded + o] =
            weights[(size_t(o) * channels + i) * taps + tap];
  return out;
}

// The first window of every piece, and n.
std::vector<long> pieces(const int64_t* starts, long n, long receptive_field) {
  std::vector<long> firsts;
  for (long i = 0; i < n; ++i) {
    const bool apart = i == 0 || starts[i] >= starts[i - 1] + receptive_field;
    if (apart || starts[i] >= starts[firsts.back()] + PIECE_BASES ||
        i >= firsts.back() + PIECE_WINDOWS)
      firsts.push_back(i);
  }
  firsts.push_back(n);
  return firsts;
}

// Logits of `n` rows of features.
void write_head(const Stack& stack, const char* features, long n, float* logits) {
  Conv c{};
  c.x = features;
  c.x_row = stack.row_bytes;
  c.taps = 1;
  c.inputs = stack.padded;
  c.outputs = stack.labels;
  c.weights = stack.head.weights.data();
  c.bias = stack.head.bias.floats();
  c.out = reinterpret_cast<char*>(logits);
  c.out_row = stack.labels * sizeof(float);
  c.rows = n;
  stack.kernels.head(c);
}

}  // namespace

Substitutions::Substitutions(const Kernels& kernels, const StackParams& params)
    : stack(kernels, params) {
  if (!kernels.sparse) throw std::invalid_argument("substitutions: fp32 alone");
  long rows = stack.receptive_field;
  for (size_t i = 0; i < stack.blocks.size(); ++i) {
    const Block& block = stack.blocks[i];
    if (block.dilation != 1 || block.stride != 2 || stack.sample != 1)
      throw std::invalid_argument("substitutions: the grids must be those of one window");
    const long hidden = rows - block.first.taps + 1;
    const long outputs = (hidden - block.second.taps) / 2 + 1;
    const BlockParams& p = params.blocks[i];
    levels.push_back({rows, hidden, outputs,
                      i ? plain(p.weight1, stack.channels, stack.padded, p.taps1) : Buffer(),
                      plain(p.weight2, stack.channels, stack.padded, p.taps2)});
    rows = outputs;
  }
}

void Substitutions::score(const uint8_t* codes, long length, const int64_t* starts,
                          const int64_t* places, const uint8_t* bases, long n, float* before,
                          float* after, int threads) const {
  const long field = stack.receptive_field;
  for (long i = 0; i < n; ++i)
    if (starts[i] < (i ? starts[i - 1] : 0) || starts[i] + field > length || places[i] < 0 ||
        places[i] >= field || bases[i] >= N_CODES)
      throw std::invalid_argument("substitutions: no such window, place or base, or not in order");
  const std::vector<long> firsts = pieces(starts, n, field);
  share(threads, long(firsts.size()) - 1, [&](Tasks& tasks) {
    Walk walk(*this);
    Buffer same, other;
    const Entered entered(stack.kernels);
    for (long task; tasks.take(task);) {
      const long first = firsts[task], count = firsts[task + 1] - first;
      const size_t bytes = (count + stack.kernels.row_block) * stack.row_bytes;
      walk.run(codes + starts[first], starts + first, places + first, bases + first, count,
               same.room(bytes), other.room(bytes));
      write_head(stack, same.data(), count, before + first * stack.labels);
      write_head(stack, other.data(), count, after + first * stack.labels);
    }
  });
}

}  // namespace tcnfast
