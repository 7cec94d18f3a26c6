// One piece of a sequence from codes to features, for windows with a base as it is and another.
#pragma once

#include <vector>

#include "substitutions.h"

namespace tcnfast {

// Above a block its outputs at even positions and those at odd ones are two sequences that never
// meet again: windows that begin at even positions need the one, others the other. Depth first,
// each is followed as far as windows ask for it, so that every position is computed once that any
// window needs, and no other. The windows of a run begin at even and at odd positions in turn, or
// all at one kind: it stays together, or is two, and what its base moves is computed once for it.
class Walk {
 public:
  explicit Walk(const Substitutions& all);

  // Features (windows, padded) of runs that lie one over another, from `codes`, the first one's
  // base 0.
  void run(const uint8_t* codes, const Runs& runs, char* before, char* after);

 private:
  // Windows of one run on one level: the first row of the first, how many there are and how many
  // rows apart; rows that the run's base moves, counted from the first; the number of the run on
  // the level below, and of the first's row there; and the numbers in the piece of the run, of its
  // first window and from each window to the next.
  struct Group {
    long start, count, step;
    Span moved;
    long parent, shift;
    long run, number, next;

    long rows(long of_one) const { return of_one + (count - 1) * step; }
  };

  // Of some rows what is not 0, see SparseConv.
  struct Nonzero {
    std::vector<uint32_t> places, begins;
  };

  // What one level holds; it is at work on one sequence at a time.
  struct Space {
    Buffer x, h, moved;  // rows: inputs, between the convolutions, inputs that moved, by group
    Nonzero of_h;
    std::vector<Group> groups;
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
  Span substitute(size_t level, Group group, const char* moved, char* out);
  void substitute_first(size_t level, const Group& group, const char* moved, Span x, Span changed,
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
