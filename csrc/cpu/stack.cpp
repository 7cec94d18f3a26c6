#include "stack.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "stream.h"
#include "threads.h"

namespace tcnfast {
namespace {

constexpr int BIAS_MULTIPLE = 32;  // the widest panel of outputs

long round_up(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace

void Seconds::add(const Seconds& other) {
  lookup += other.lookup;
  convolutions += other.convolutions;
  history += other.history;
  head += other.head;
}

Stack::Stack(const Kernels& k, const StackParams& params, long wanted_chunk)
    : kernels(k),
      channels(params.channels),
      padded(round_up(params.channels, k.channel_multiple)),
      labels(params.labels),
      row_bytes(ptrdiff_t(padded) * k.element_bytes),
      stride(params.stride),
      sample(params.sample),
      receptive_field(params.receptive_field),
      first(params.blocks[0].weight1, params.blocks[0].bias1, channels, padded,
            params.blocks[0].taps1) {
  code_residual = Buffer(N_CODES * padded * sizeof(float));
  for (int code = 0; code < N_CODES; ++code)
    std::copy_n(params.code_residual + code * channels, channels,
                code_residual.floats() + code * padded);
  for (size_t i = 0; i < params.blocks.size(); ++i) {
    const BlockParams& p = params.blocks[i];
    Block block{p.dilation, p.stride, p.tap, {p.taps1, Buffer(), Buffer()}, {}};
    if (i > 0) block.first = pack(p.weight1, p.bias1, channels, p.taps1);
    block.second = pack(p.weight2, p.bias2, channels, p.taps2);
    blocks.push_back(std::move(block));
  }
  head = pack(params.head_weight, params.head_bias, labels, 1);
  chunk = wanted_chunk > 0 ? wanted_chunk : chunk_for(blocks, row_bytes, k.row_block);
}

Stack::~Stack() = default;

Convolution Stack::pack(const float* weights, const float* bias, int outputs, int taps) const {
  Convolution conv{taps, Buffer(kernels.packed_bytes(outputs, padded, taps)),
                   Buffer(round_up(std::max(outputs, padded), BIAS_MULTIPLE) * sizeof(float))};
  kernels.pack(weights, outputs, channels, padded, taps, conv.weights.data());
  std::copy_n(bias, outputs, conv.bias.floats());
  return conv;
}

// Pieces that one sequence is cut into. Every piece reads the receptive field again, so they are
// long; but there are as many for every thread, and several where the work is long enough, so that
// nobody waits long for a thread that was held up.
static long pieces_of(long scores, long batch, const Stack& stack, int threads) {
  constexpr long FIELDS = 64;  // receptive fields to a piece: 1.6 % are read twice
  const long fields = scores * stack.stride / stack.receptive_field;
  const long rounds = std::max(1L, batch * fields / FIELDS / threads);
  const long pieces = (rounds * threads + batch - 1) / batch;
  return threads == 1 ? 1 : std::clamp(pieces, 1L, std::max(1L, std::min(fields, scores)));
}

void Stack::score(const uint8_t* codes, long batch, long length, float* logits, int threads) const {
  if (batch == 0) return;
  const long scores = (length - receptive_field) / stride + 1;
  const long pieces = pieces_of(scores, batch, *this, threads);
  share(threads, batch * pieces, [&](Tasks& tasks) {
    std::unique_ptr<Stream> stream = borrow();
    const Entered entered(kernels);
    for (long task; tasks.take(task);) {
      const long row = task / pieces, piece = task % pieces;
      const long first = scores * piece / pieces, last = scores * (piece + 1) / pieces;
      stream->run(codes + row * length + first * stride, last - first,
                  logits + (row * scores + first) * labels);
    }
    give_back(std::move(stream));
  });
}

void Stack::look_up(const uint8_t* codes, long rows, void (*kernel)(const Lookup&),
                    std::vector<uint8_t>& words, char* out) const {
  words.resize(rows + first.offsets.back());
  if (!first.make_words(codes, rows, words.data()))
    throw std::invalid_argument("codes: a base is coded by more than 4 (A 0, C 1, G 2, T 3, N 4)");
  Lookup l{};
  l.words = words.data();
  l.tables = first.tables.floats();
  l.offsets = first.offsets.data();
  l.groups = first.groups;
  l.words_per_table = first.words_per_table;
  l.channels = padded;
  l.out = out;
  l.out_row = row_bytes;
  l.rows = rows;
  kernel(l);
}

Seconds Stack::seconds() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(seconds_, Seconds());
}

std::unique_ptr<Stream> Stack::borrow() const {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Stream> stream = std::move(idle_.back());
      idle_.pop_back();
      return stream;
    }
  }
  return std::make_unique<Stream>(*this);
}

void Stack::give_back(std::unique_ptr<Stream> stream) const {
  std::lock_guard<std::mutex> lock(mutex_);
  seconds_.add(std::exchange(stream->seconds, Seconds()));
  idle_.push_back(std::move(stream));
}

}  // namespace tcnfast
