// Windows with other bases: the logits of each as it is and with one base changed, or what many
// changes of one window gain.
#pragma once

#include <vector>

#include "stack.h"

namespace tcnfast {

// Rows [first, end).
struct Span {
  long first = 0, end = 0;
  long size() const { return end > first ? end - first : 0; }
};

// The outputs, of `outputs`, that the inputs `moved` of a convolution reach.
Span reached(Span moved, long reach, long stride, long outputs);

// Change i puts bases[j] at places[j], where offsets[i] <= j < offsets[i + 1], places ascending.
struct Changes {
  const int64_t *offsets, *places;
  const uint8_t* bases;
};

// Run i is counts[i] windows, of which the first begins at starts[i] (ascending) and each other one
// `step` bases, a power of two, behind the one before. In all of them base starts[i] + places[i]
// becomes bases[i].
struct Runs {
  const int64_t *starts, *counts, *places;
  const uint8_t* bases;
  long n, step;
};

class Substitutions {
 public:
  // `params`: on the grids of one window, where all dilations are 1 and all
  // strides 2. Throws std::invalid_argument for others, and for kernels that
  // know no sparse rows.
  Substitutions(const Kernels& kernels, const StackParams& params);

  // Logits of the windows of all runs in their order, as they are and as they become: `before` and
  // `after`, both (windows, labels). They depend neither on the other windows nor on `threads`.
  // Throws std::invalid_argument for a code over 4 and for windows or places that are not there,
  // std::bad_alloc.
  void score(const uint8_t* codes, long length, const Runs& runs, float* before, float* after,
             int threads) const;

  // Logits (labels) of the window `codes` (receptive_field), and what each of `n` changes adds to
  // them: `gained` (n, labels), which depends neither on the other changes nor on `threads`. Throws
  // as `score` does.
  void score_changes(const uint8_t* codes, const Changes& changes, long n, float* logits,
                     float* gained, int threads) const;

  // Rows of a layer that one window has: a block's inputs, what is between its convolutions, and
  // its outputs; and weights as differences of rows take them.
  struct Level {
    long inputs, hidden, outputs;
    Buffer first, second;  // (taps, inputs, outputs)
  };

  const Stack stack;
  std::vector<Level> levels;
};

}  // namespace tcnfast
