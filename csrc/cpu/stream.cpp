#include "stream.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "halved.h"

namespace tcnfast {
namespace {

// N in a row that are looked at: shorter runs hold no row of a layer that is worth a copy.
constexpr long GAP_BASES = 64;

long outputs(long inputs, long reach, long stride) {
  return inputs > reach ? (inputs - 1 - reach) / stride + 1 : 0;
}

// Adds the time since the last lap to a counter.
class Laps {
 public:
  void lap(double& seconds) {
    const auto now = std::chrono::steady_clock::now();
    seconds += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

void copy_rows(char* to, const char* from, long rows, ptrdiff_t bytes) {
  if (rows > 0) std::memcpy(to, from, rows * bytes);
}

// Largest numbers of rows that arenas hold when `chunk` positions go through at once.
struct Demand {
  long x = 0, h = 0;
  Demand(const std::vector<Block>& blocks, long chunk, long row_block) {
    long rows = chunk;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const Block& block = blocks[i];
      const long ahead = 2 * row_block;  // what a convolution reads too far; strides are 1 or 2
      h = std::max(h, block.reach2() + rows + ahead);
      rows = rows / block.stride + 1;
      const long history =
          i + 1 < blocks.size() ? blocks[i + 1].reach1() + blocks[i + 1].reach2() : 0;
      x = std::max(x, history + rows + ahead);
    }
  }
};

}  // namespace

long chunk_for(const std::vector<Block>& blocks, ptrdiff_t row_bytes, long row_block) {
  const Demand few(blocks, 1024, 0), many(blocks, 2048, 0);
  const double rows = double(2 * (many.x - few.x) + many.h - few.h) / 1024;  // per position
  const long chunk = long(CHUNK_BYTES / (rows * row_bytes));
  // whole row blocks even on the coarsest grid, or as far down as a chunk holds one
  long multiple = row_block;
  for (const Block& block : blocks)
    if (2 * multiple <= chunk) multiple *= block.stride;
  return std::max(chunk / multiple, 1L) * multiple;
}

Stream::Stream(const Stack& stack)
    : stack_(stack), states_(stack.blocks.size()), alike_(2 * stack.blocks.size()) {
  const size_t row = stack.row_bytes;
  const Demand demand(stack.blocks, stack.chunk, stack.kernels.row_block);
  x_ = Buffer(demand.x * row);
  y_ = Buffer(demand.x * row);
  h_ = Buffer(demand.h * row);
  int taps = 0;
  for (const Block& block : stack.blocks)
    taps = std::max({taps, block.first.taps, block.second.taps});
  if (stack.symmetric)
    scratch_ = Buffer(halved_scratch_bytes(stack.kernels, stack.padded, taps));
  for (size_t i = 0; i < states_.size(); ++i) {
    const Block& block = stack.blocks[i];
    if (i > 0) states_[i].x = Buffer((block.reach1() + block.reach2()) * row);
    states_[i].h = Buffer(block.reach2() * row);
  }
}

void Stream::run(const uint8_t* codes, long scores, float* logits) {
  if (stack_.stride >= stack_.receptive_field && scores > 1) {  // windows share no base
    for (long i = 0; i < scores; ++i) run(codes + i * stack_.stride, 1, logits + i * stack_.labels);
    return;
  }
  for (State& state : states_) state.x_first = state.h_first = state.done1 = state.done2 = 0;
  find_gaps(codes, (scores - 1) * stack_.stride + stack_.receptive_field);
  const long reach = stack_.blocks[0].first.taps - 1;
  const long positions = (scores - 1) * stack_.stride + stack_.receptive_field - reach;
  for (long end = 0; end < positions;) {
    end = std::min(end + stack_.chunk, positions);
    advance(end, codes, logits);
  }
}

// Runs of N that are worth it.
void Stream::find_gaps(const uint8_t* codes, long length) {
  constexpr uint8_t N = N_CODES - 1;
  gaps_.clear();
  const uint8_t *at = codes, *end = codes + length;
  while ((at = static_cast<const uint8_t*>(std::memchr(at, N, end - at)))) {
    const uint8_t* first = at;
    at = std::find_if(at, end, [](uint8_t code) { return code != N; });
    if (at - first >= GAP_BASES) gaps_.push_back({first - codes, at - codes});
  }
}

// Rows [from, out.end) of what a convolution gives, each of which sees `field` codes from its number
// times `grid` on. Those that see nothing but N are all alike: one is computed, once, and copied.
template <class Compute>
void Stream::fill(size_t convolution, long grid, long field, const Rows& out, long from,
                  Compute compute) {
  const auto behind = [&](const Gap& gap) { return gap.end <= from * grid; };
  auto gap = std::partition_point(gaps_.begin(), gaps_.end(), behind);
  std::vector<char>& alike = alike_[convolution];
  for (; gap != gaps_.end() && gap->first < out.end * grid; ++gap) {
    if (gap->end - gap->first < field) continue;
    const long first = std::max(from, (gap->first + grid - 1) / grid);
    const long end = std::min(out.end, (gap->end - field) / grid + 1);
    if (end - first < stack_.kernels.row_block / 2) continue;
    if (from < first) compute(from, first);
    if (alike.empty()) {
      compute(first, first + 1);
      alike.assign(out.at(first), out.at(first + 1));
    }
    for (long row = first; row < end; ++row) std::memcpy(out.at(row), alike.data(), out.bytes);
    from = end;
  }
  if (from < out.end) compute(from, out.end);
}

// Take every layer as far as the first `end` outputs of the first convolution allow.
void Stream::advance(long end, const uint8_t* codes, float*& logits) {
  const ptrdiff_t row = stack_.row_bytes;
  Laps time;
  Rows x{nullptr, 0, 0, row};
  long grid = 1, field = 1;  // of x, see fill
  for (size_t i = 0; i < states_.size(); ++i) {
    const Block& block = stack_.blocks[i];
    State& state = states_[i];

    const long done1 = i == 0 ? end : std::max(0L, x.end - block.reach1());
    const Rows h{h_.data(), state.h_first, done1, row};
    copy_rows(h.data, state.h.data(), state.done1 - state.h_first, row);
    time.lap(seconds.history);
    field += block.reach1() * grid;
    if (i == 0) {
      fill(0, grid, field, h, state.done1, [&](long first, long last) {
        stack_.look_up(codes + first, last - first, stack_.kernels.lookup, words_, h.at(first));
      });
      time.lap(seconds.lookup);
    } else {
      fill(2 * i, grid, field, h, state.done1, [&](long first, long last) {
        const Conv c = call(block, block.first, x.at(first), 1, h.at(first), last - first);
        convolve(block.first, c, stack_.conv_relu, &SparseKernels::conv_relu);
      });
      time.lap(seconds.convolutions);
    }

    count(2 * i + 1, h.at(state.done1), done1 - state.done1);
    const long done2 = outputs(done1, block.reach2(), block.stride);
    State* next = i + 1 < states_.size() ? &states_[i + 1] : nullptr;
    const Rows y{y_.data(), next ? next->x_first : state.done2, done2, row};
    if (next) copy_rows(y.data, next->x.data(), state.done2 - y.first, row);
    time.lap(seconds.history);
    field += block.reach2() * grid;
    grid *= block.stride;
    fill(2 * i + 1, grid, field, y, state.done2,
         [&](long first, long last) { end_block(i, codes, x, h, y, first, last); });
    time.lap(seconds.convolutions);

    count(2 * i + 2, y.at(state.done2), done2 - state.done2);
    const long from = state.done2;
    keep(i, x, h, done2);
    time.lap(seconds.history);
    if (!next) {
      write_head(y, from, logits);
      time.lap(seconds.head);
    }
    std::swap(x_, y_);
    x = y;
  }
}

// Rows [first, last) of what block i gives: its second convolution, and its residual.
void Stream::end_block(size_t i, const uint8_t* codes, const Rows& x, const Rows& h, const Rows& y,
                       long first, long last) {
  const Block& block = stack_.blocks[i];
  const long from = first * block.stride;
  Conv c = call(block, block.second, h.at(from), block.stride, y.at(first), last - first);
  if (i == 0) {
    c.codes = codes + block.tap + from;
    c.codes_row = block.stride;
    c.code_rows = stack_.code_residual.floats();
    convolve(block.second, c, stack_.conv_residual_codes, &SparseKernels::conv_residual_codes);
  } else {
    c.residual = x.at(block.tap + from);
    c.residual_row = block.stride * x.bytes;
    convolve(block.second, c, stack_.conv_residual, &SparseKernels::conv_residual);
  }
}

// What the next chunk will ask for again of a block's inputs and of what is between its convolutions.
void Stream::keep(size_t i, const Rows& x, const Rows& h, long done2) {
  const Block& block = stack_.blocks[i];
  State& state = states_[i];
  state.done1 = h.end;
  state.done2 = done2;
  state.h_first = std::min(done2 * block.stride, h.end);
  copy_rows(state.h.data(), h.at(state.h_first), h.end - state.h_first, h.bytes);
  if (i == 0) return;
  state.x_first = std::min({h.end, block.tap + done2 * block.stride, x.end});
  copy_rows(state.x.data(), x.at(state.x_first), x.end - state.x_first, x.bytes);
}

// A convolution in the form that its stack chose.
void Stream::convolve(const Convolution& convolution, const Conv& c, void (*dense)(const Conv&),
                      void (*SparseKernels::*listed)(const SparseConv&)) {
  if (!convolution.listed) return dense(c);
  const long stride = c.x_row / stack_.row_bytes, tap = c.x_tap / stack_.row_bytes;
  list(c.x, (c.rows - 1) * stride + (c.taps - 1) * tap + 1);
  (stack_.kernels.sparse->*listed)({c, reinterpret_cast<uint32_t*>(places_.data()),
                                    reinterpret_cast<uint32_t*>(begins_.data()), 0, stride, tap});
}

// Lists what of `rows` rows is not 0, and counts it.
uint32_t Stream::list(const char* x, long rows) {
  constexpr size_t VECTOR = 16;  // what a kernel may write too far
  const size_t steps = rows * (stack_.padded / stack_.kernels.sparse->step);
  uint32_t* places = reinterpret_cast<uint32_t*>(places_.room((steps + VECTOR) * sizeof(uint32_t)));
  uint32_t* begins = reinterpret_cast<uint32_t*>(begins_.room((rows + 1) * sizeof(uint32_t)));
  stack_.kernels.sparse->list(x, rows, stack_.padded, places, begins);
  return begins[rows];
}

std::vector<double> Stream::densities(const uint8_t* codes, long scores, float* logits) {
  nonzero_.assign(2 * states_.size() + 1, 0);
  steps_ = nonzero_;
  run(codes, scores, logits);
  for (size_t i = 0; i < nonzero_.size(); ++i)
    if (steps_[i] > 0) nonzero_[i] /= steps_[i];
  steps_.clear();
  return std::move(nonzero_);
}

void Stream::count(size_t convolution, const char* x, long rows) {
  if (steps_.empty() || rows <= 0) return;
  nonzero_[convolution] += list(x, rows);
  steps_[convolution] += double(rows) * (stack_.padded / stack_.kernels.sparse->step);
}

// Rows of a convolution of a block; its inputs are `stride` rows apart.
Conv Stream::call(const Block& block, const Convolution& convolution, const char* x, long stride,
                  char* out, long rows) const {
  Conv c{};
  c.x = x;
  c.x_row = stride * stack_.row_bytes;
  c.x_tap = block.dilation * stack_.row_bytes;
  c.taps = convolution.taps;
  c.inputs = c.outputs = stack_.padded;
  c.weights = convolution.weights.data();
  c.bias = convolution.bias.floats();
  c.out = out;
  c.out_row = stack_.row_bytes;
  c.rows = rows;
  c.scratch = scratch_.data();
  return c;
}

// Logits of the wanted among the stack's outputs [from, y.end).
void Stream::write_head(const Rows& y, long from, float*& logits) {
  const long sample = stack_.sample;
  const long first = (from + sample - 1) / sample * sample;
  const long rows = outputs(y.end - first, 0, sample);
  if (rows <= 0) return;
  const int features = stack_.symmetric ? stack_.padded / 2 : stack_.padded;
  // move the wanted rows together: a convolution may read on behind them
  if (stack_.symmetric)
    stack_.kernels.halved->pair_sums(y.at(first), sample * y.bytes, rows, features, y.at(from));
  else if (sample > 1)
    for (long i = 0; i < rows; ++i) std::memmove(y.at(from + i), y.at(first + i * sample), y.bytes);
  Conv c{};
  c.x = y.at(from);
  c.x_row = features * stack_.kernels.element_bytes;
  c.taps = 1;
  c.inputs = features;
  c.outputs = stack_.labels;
  c.weights = stack_.head.weights.data();
  c.bias = stack_.head.bias.floats();
  c.out = reinterpret_cast<char*>(logits);
  c.out_row = stack_.labels * sizeof(float);
  c.rows = rows;
  stack_.kernels.head(c);
  logits += rows * stack_.labels;
}

}  // namespace tcnfast
