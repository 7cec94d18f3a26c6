// A stack packed for one instruction set and precision, and its scores: depth first, chunk by
// chunk.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "../params.h"
#include "buffer.h"
#include "first_layer.h"
#include "kernels.h"

namespace tcnfast {

struct Convolution {
  int taps;
  Buffer weights, bias;
  double density = -1;  // share of the steps it reads that are not 0 (lists.h), -1 if not measured
  bool listed = false;  // goes over lists of them
};

struct Block {
  long dilation, stride, tap;
  Convolution first, second;  // the first of block 0 is the tables instead
  long reach1() const { return (first.taps - 1) * dilation; }
  long reach2() const { return (second.taps - 1) * dilation; }
};

// Where the time of all threads went, in seconds.
struct Seconds {
  double lookup = 0, convolutions = 0, history = 0, head = 0;
  void add(const Seconds& other);
};

// Which convolutions go over lists of inputs that are not 0: those where a measurement says that it
// is faster, none, or all that may.
enum class Lists { Measured, Never, Always };

class Stream;

class Stack {
 public:
  // `chunk`: positions of the first convolution that pass through all layers at once; 0 picks what
  // fits the second-level cache. Scores do not depend on it, nor on `lists`, unless the stack is
  // symmetric: what goes over lists has all products, and rounds otherwise than halved ones.
  Stack(const Kernels& kernels, const StackParams& params, long chunk = 0,
        Lists lists = Lists::Never);
  ~Stack();

  // codes (batch, length), values 0 to 4, length >= receptive_field, to logits
  // (batch, (length - receptive_field) / stride + 1, labels). Scores do not depend on `threads`.
  // Throws std::invalid_argument for a code over 4, std::bad_alloc.
  void score(const uint8_t* codes, long batch, long length, float* logits, int threads) const;

  // The first convolution at `rows` positions into `out`, by `kernel`, one of the kernels' look-ups;
  // `words` is room for it. Throws std::invalid_argument for a code over 4.
  void look_up(const uint8_t* codes, long rows, void (*kernel)(const Lookup&),
               std::vector<uint8_t>& words, char* out) const;

  // What has been spent since the last call.
  Seconds seconds() const;

  const Kernels& kernels;
  const bool symmetric;                // rows in pair order, convolutions halved: halved.h
  const int channels, padded, labels;  // `padded` elements to a row
  const std::vector<int> order;        // the channel of each, -1 for a zero
  const ptrdiff_t row_bytes;
  const long stride, sample, receptive_field;
  long chunk;

  // the convolutions of its blocks, the kernels' own or halved
  void (*const conv_relu)(const Conv&);
  void (*const conv_residual)(const Conv&);
  void (*const conv_residual_codes)(const Conv&);

  FirstLayer first;
  Buffer code_residual;  // (5, padded)
  std::vector<Block> blocks;
  Convolution head;

 private:
  Buffer in_order(const float* values, int rows) const;
  Convolution pack(const float* weights, const float* bias, int taps) const;
  Convolution pack_head(const float* weights, const float* bias) const;
  Buffer pack_direct(const float* weights, int taps) const;
  void choose_lists(const StackParams& params, Lists lists);
  std::unique_ptr<Stream> borrow() const;
  void give_back(std::unique_ptr<Stream> stream) const;

  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Stream>> idle_;  // workspaces outlive calls
  mutable Seconds seconds_;
};

}  // namespace tcnfast
