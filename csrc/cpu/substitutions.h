// Windows of a sequence, each as it is and with another base somewhere: the
// logits of both.
#pragma once

#include <vector>

#include "stack.h"

namespace tcnfast {

class Substitutions {
 public:
  // `params`: on the grids of one window, where all dilations are 1 and all
  // strides 2. Throws std::invalid_argument for others, and for kernels that
  // know no sparse rows.
  Substitutions(const Kernels& kernels, const StackParams& params);

  // Window i is codes [starts[i], starts[i] + receptive_field), `starts` in
  // ascending order, its base places[i] becomes bases[i]; `before` and `after`,
  // both (n, labels), are its logits. They depend neither on the other windows
  // nor on `threads`. Throws std::invalid_argument for a code over 4 and for
  // windows or places that are not there, std::bad_alloc.
  void score(const uint8_t* codes, long length, const int64_t* starts, const int64_t* places,
             const uint8_t* bases, long n, float* before, float* after, int threads) const;

  // Rows of a layer that one window has: a block's inputs, what is between its
  // convolutions, and its outputs; and weights as the sparse kernels take them.
  struct Level {
    long inputs, hidden, outputs;
    Buffer first,
        second;  // (taps, inputs, outputs); the first of block 0 is tables
  };

  const Stack stack;
  std::vector<Level> levels;
};

}  // namespace tcnfast
