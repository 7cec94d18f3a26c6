#include "stack.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "halved.h"
#include "lists.h"
#include "stream.h"
#include "threads.h"

namespace tcnfast {
namespace {

constexpr int BIAS_MULTIPLE = 32;  // the widest panel of outputs

long round_up(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

// Elements of a row.
int padded_row(const StackParams& params, int multiple) {
  return params.symmetric ? padded_pairs(params.channels, multiple)
                          : round_up(params.channels, multiple);
}

std::vector<int> order_of(const StackParams& params, int padded) {
  if (params.symmetric) return pair_order(params.channels, padded);
  std::vector<int> order(padded, -1);
  std::iota(order.begin(), order.begin() + params.channels, 0);
  return order;
}

}  // namespace

void Seconds::add(const Seconds& other) {
  lookup += other.lookup;
  convolutions += other.convolutions;
  history += other.history;
  head += other.head;
}

Stack::Stack(const Kernels& k, const StackParams& params, long wanted_chunk, Lists lists)
    : kernels(k),
      symmetric(params.symmetric),
      channels(params.channels),
      padded(padded_row(params, k.channel_multiple)),
      labels(params.labels),
      order(order_of(params, padded)),
      row_bytes(ptrdiff_t(padded) * k.element_bytes),
      stride(params.stride),
      sample(params.sample),
      receptive_field(params.receptive_field),
      conv_relu(symmetric ? k.halved->conv_relu : k.conv_relu),
      conv_residual(symmetric ? k.halved->conv_residual : k.conv_residual),
      conv_residual_codes(symmetric ? k.halved->conv_residual_codes : k.conv_residual_codes) {
  const int taps1 = params.blocks[0].taps1;
  const Buffer weight1 = in_order(params.blocks[0].weight1, N_BASES * taps1);
  const Buffer bias1 = in_order(params.blocks[0].bias1, 1);
  first = FirstLayer(weight1.floats(), bias1.floats(), padded, padded, taps1);
  code_residual = Buffer(N_CODES * padded * sizeof(float));
  for (int code = 0; code < N_CODES; ++code)
    for (int column = 0; column < padded; ++column)
      if (order[column] >= 0)
        code_residual.floats()[code * padded + column] =
            params.code_residual[code * channels + order[column]];
  for (size_t i = 0; i < params.blocks.size(); ++i) {
    const BlockParams& p = params.blocks[i];
    Block block{p.dilation, p.stride, p.tap, {p.taps1, Buffer(), Buffer()}, {}};
    if (i > 0) block.first = pack(p.weight1, p.bias1, p.taps1);
    block.second = pack(p.weight2, p.bias2, p.taps2);
    blocks.push_back(std::move(block));
  }
  head = pack_head(params.head_weight, params.head_bias);
  const int row_block = symmetric ? k.halved->row_block : k.row_block;
  chunk = wanted_chunk > 0 ? wanted_chunk : chunk_for(blocks, row_bytes, row_block);
  choose_lists(params, lists);
}

Stack::~Stack() = default;

// (channels, n) values as (padded, n), channels in the order of a row; room for a whole panel.
Buffer Stack::in_order(const float* values, int n) const {
  Buffer out(round_up(padded, BIAS_MULTIPLE) * n * sizeof(float));
  for (int column = 0; column < padded; ++column)
    if (order[column] >= 0)
      std::copy_n(values + ptrdiff_t(order[column]) * n, n, out.floats() + ptrdiff_t(column) * n);
  return out;
}

Convolution Stack::pack(const float* weights, const float* bias, int taps) const {
  Buffer packed(symmetric ? packed_bytes_halved(kernels, padded, taps)
                          : kernels.packed_bytes(channels, padded, taps));
  if (symmetric)
    pack_halved(kernels, weights, channels, padded, taps, packed.data());
  else
    kernels.pack(weights, channels, channels, padded, taps, packed.data());
  return {taps, std::move(packed), in_order(bias, 1)};
}

// All weights, those of a symmetric stack for rows in pair order.
Buffer Stack::pack_direct(const float* weights, int taps) const {
  std::vector<float> ordered(size_t(padded) * padded * taps);
  for (int o = 0; o < padded; ++o)
    for (int i = 0; i < padded; ++i)
      if (order[o] >= 0 && order[i] >= 0)
        std::copy_n(weights + (ptrdiff_t(order[o]) * channels + order[i]) * taps, taps,
                    &ordered[(size_t(o) * padded + i) * taps]);
  Buffer packed(kernels.packed_bytes(padded, padded, taps));
  kernels.pack(ordered.data(), padded, padded, padded, taps, packed.data());
  return packed;
}

// An infinite weight times 0 is not 0: lists may not leave it out.
static bool may_list(const float* weights, size_t n) {
  constexpr float MOST = 3e38f;  // what is more may be infinite in bf16
  return std::all_of(weights, weights + n, [](float w) { return std::abs(w) < MOST; });
}

void Stack::choose_lists(const StackParams& params, Lists lists) {
  if (lists == Lists::Never || !kernels.sparse) return;
  const size_t square = size_t(channels) * channels;
  if (lists == Lists::Measured) measure_density(*this);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto choose = [&](Convolution& convolution, const float* weights) {
      if (!may_list(weights, square * convolution.taps)) return;
      convolution.listed = lists == Lists::Always || faster_listed(*this, convolution);
      if (convolution.listed && symmetric)
        convolution.weights = pack_direct(weights, convolution.taps);
    };
    if (i > 0) choose(blocks[i].first, params.blocks[i].weight1);
    choose(blocks[i].second, params.blocks[i].weight2);
  }
}

// Of symmetric weights it takes the sums of the pairs.
Convolution Stack::pack_head(const float* weights, const float* bias) const {
  const int features = symmetric ? padded / 2 : padded;
  const int inputs = symmetric ? channels / 2 : channels;
  std::vector<float> of_inputs;
  for (int label = 0; label < labels; ++label)
    of_inputs.insert(of_inputs.end(), weights + ptrdiff_t(label) * channels,
                     weights + ptrdiff_t(label) * channels + inputs);
  Convolution conv{1, Buffer(kernels.packed_bytes(labels, features, 1)),
                   Buffer(round_up(std::max(labels, padded), BIAS_MULTIPLE) * sizeof(float))};
  kernels.pack(of_inputs.data(), labels, inputs, features, 1, conv.weights.data());
  std::copy_n(bias, labels, conv.bias.floats());
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
