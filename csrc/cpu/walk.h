// One piece of a sequence from codes to features, for windows with a base as it is and another.
#pragma once

#include <vector>

#include "substitutions.h"

namespace tcnfast {

// Above a block its outputs at even positions and those at odd ones are two sequences that never
// meet again: windows that begin at even positions need the one, others the other. Depth first,
// each is followed as far as windows ask for it, so that every position is computed once that any
// window needs, and no other.
class Walk {
 public:
  explicit Walk(const Substitutions& all);

  // Features (n, padded) of windows that lie one over another, from `codes`, the first one's base
  // 0.
  void run(const uint8_t* codes, const int64_t* starts, const int64_t* places, const uint8_t* bases,
           long n, char* before, char* after);

 private:
  // A window on one level: its first row, the rows of it that its base moves, counted from there,
  // and its number on the level below and in the piece.
  struct Window {
    long start;
    Span moved;
    long parent, number;
  };

  // Of some rows what is not 0, see SparseConv.
  struct Nonzero {
    std::vector<uint32_t> places, begins;
  };

  // What one level holds; it is at work on one sequence at a time.
  struct Space {
    Buffer x, h, moved;  // rows: inputs, between the convolutions, inputs that moved, by window
    Nonzero of_h;
    std::vector<Window> windows;
  };

  // What a convolution reads and writes: `rows` outputs, from row `from` of x on; the residual of
  // the second one, of codes in block 0.
  struct Task {
    const char* x;
    const Nonzero& of_x;
    long from, rows;
    char* out;
    const char* residual = nullptr;
    const uint8_t* codes = nullptr;
  };

  void descend(size_t level, long rows);
  void divide(size_t level, long phase);
  void follow(size_t level, long phase);
  Span substitute(size_t level, const Window& window, const char* moved, char* out);
  void substitute_first(size_t level, const Window& window, const char* moved, Span x, Span changed,
                        char* out);
  void keep(const Space& top);
  void convolve(size_t level, int which, const Task& task);
  void list(const char* x, long rows, Nonzero& out) const;

  long most_moved(size_t level) const;
  ptrdiff_t row() const { return stack_.row_bytes; }
  long ahead() const { return 2 * stack_.kernels.row_block; }  // what a convolution reads too far

  const Substitutions& all_;
  const Stack& stack_;
  std::vector<Space> spaces_;
  Buffer slab_x_, slab_h_;  // what a substitution's rows are computed from
  Nonzero of_x_, of_slab_;
  std::vector<uint8_t> words_, slab_codes_;
  const uint8_t *codes_ = nullptr, *bases_ = nullptr;
  char *before_ = nullptr, *after_ = nullptr;
};

}  // namespace tcnfast
