// One window with some of its bases changed, in many ways: the logits that each way gains.
#pragma once

#include <vector>

#include "substitutions.h"

namespace tcnfast {

// A window as it is, layer by layer. Threads share it.
class Unchanged {
 public:
  // `codes`: the window, which must outlive this. Throws std::invalid_argument for a code over 4.
  Unchanged(const Substitutions& all, const uint8_t* codes);

  // Rows of floats of one block: its inputs (none for block 0), and what its convolutions give
  // before their ReLUs.
  struct Level {
    Buffer x, first, second;
  };

  const uint8_t* const codes;
  std::vector<Level> levels;
  Buffer features;  // a row
};

// What moves is taken as a difference from the unchanged window, layer by layer: only rows that the
// changed bases reach enter a product, and of these only the channels that moved. Behind a ReLU
// most did not. Nothing is approximated: a channel that is left out differs by exactly 0.
class Differences {
 public:
  explicit Differences(const Substitutions& all);

  // By how much features (count, padded) move, of changes [first, first + count).
  void run(const Unchanged& window, const Changes& changes, long first, long count, float* out);

 private:
  // Rows of a layer that one change reaches; the first is row `at` of Moved.
  struct Reach {
    Span rows;
    long at;
  };

  // Differences of all changes on one layer, a row after another, and where they are not 0.
  struct Moved {
    Buffer values, places, begins;
    void resize(long rows, int channels);
    uint32_t* list() const { return reinterpret_cast<uint32_t*>(places.data()); }
    uint32_t* of_rows() const { return reinterpret_cast<uint32_t*>(begins.data()); }
  };

  void read(const Unchanged& window, const Changes& changes, long first, long count);
  void convolve(size_t level, int which, const Unchanged& window);
  const float* skip(size_t level, const Reach& reach, long row) const;

  const Substitutions& all_;
  const Stack& stack_;
  std::vector<Reach> reach_, between_, next_;  // what the block takes, between its convolutions
  std::vector<MovedRow> rows_;
  Moved x_, h_, y_;   // of a block: what it takes, what is between its convolutions, what it gives
  Buffer residual_;   // in block 0, by how much what it adds moves
};

}  // namespace tcnfast
