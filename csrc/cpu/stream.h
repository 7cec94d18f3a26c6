// One pass over one sequence, in one thread.
#pragma once

#include "stack.h"

namespace tcnfast {

// Memory of the arenas that a chunk goes through. Little depends on it from 256 KiB to 4 MiB on an
// AMD EPYC (Zen 5) with 1 MiB of second-level cache a core, C=64, k=3, 8 blocks, strides 1 and 32
// (benchmarks/results/chunk.csv); this is the middle.
inline constexpr size_t CHUNK_BYTES = 512 << 10;

// Positions per chunk that keep the arenas of a stream within CHUNK_BYTES.
long chunk_for(const std::vector<Block>& blocks, ptrdiff_t row_bytes, long row_block);

class Stream {
 public:
  explicit Stream(const Stack& stack);

  // Scores [0, scores) of windows `stack.stride` apart, the first at codes[0].
  void run(const uint8_t* codes, long scores, float* logits);

  // The same, and the shares of steps that were not 0 in what both convolutions of every block
  // read; 0 where the first one reads codes.
  std::vector<double> densities(const uint8_t* codes, long scores, float* logits);

  Seconds seconds;

 private:
  // Rows of a layer in an arena, numbered from the first of the sequence.
  struct Rows {
    char* data;       // row `first`
    long first, end;  // [first, end) are there
    ptrdiff_t bytes;  // from row to row
    char* at(long row) const { return data + (row - first) * bytes; }
  };

  // What a block still needs of the chunks before: inputs from `x_first` on and outputs of its
  // first convolution from `h_first` on; how many outputs of both convolutions are done.
  struct State {
    Buffer x, h;
    long x_first, h_first, done1, done2;
  };

  // Codes [first, end), all of them N.
  struct Gap {
    long first, end;
  };

  void find_gaps(const uint8_t* codes, long length);
  void advance(long end, const uint8_t* codes, float*& logits);
  template <class Compute>
  void fill(size_t convolution, long grid, long field, const Rows& out, long from, Compute compute);
  void end_block(size_t block, const uint8_t* codes, const Rows& x, const Rows& h, const Rows& y,
                 long first, long last);
  void keep(size_t block, const Rows& x, const Rows& h, long done2);
  void convolve(const Convolution& convolution, const Conv& c, void (*dense)(const Conv&),
                void (*SparseKernels::*listed)(const SparseConv&));
  uint32_t list(const char* x, long rows);
  void count(size_t convolution, const char* x, long rows);
  Conv call(const Block& block, const Convolution& convolution, const char* x, long stride,
            char* out, long rows) const;
  void write_head(const Rows& y, long from, float*& logits);

  const Stack& stack_;
  std::vector<State> states_;
  std::vector<Gap> gaps_;                 // of the sequence, in order
  std::vector<std::vector<char>> alike_;  // of each convolution the row that sees nothing but N
  std::vector<uint8_t> words_;
  Buffer x_, h_, y_;  // y_ becomes x_ from block to block
  Buffer scratch_;    // of halved convolutions
  Buffer places_, begins_;  // of what is not 0 in the rows that a convolution reads
  // of two convolutions a block, while densities are measured: steps that are not 0, and all
  std::vector<double> nonzero_, steps_;
};

}  // namespace tcnfast
