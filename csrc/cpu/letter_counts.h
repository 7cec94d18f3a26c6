// How often letters meet in DNA: sums over positions of what the first convolution gives, and of its
// products with what it reads, are sums of weights times these counts.
#pragma once

#include <stdint.h>

#include <vector>

#include "kernels.h"

namespace tcnfast {

// Of all windows of `taps` codes, how many have letter a at tap i and letter b at tap j. Rows and
// columns are (letter, tap), as the convolution's weights are (channel, letter, tap).
class LetterCounts {
 public:
  LetterCounts(const Kernels& kernels, const uint8_t* codes, long sequences, long length, int taps,
               int threads);

  int width() const { return width_; }
  const double* row(int place) const { return counts_.data() + size_t(place) * width_; }
  double once(int place) const { return row(place)[place]; }

 private:
  int width_;
  std::vector<double> counts_;
};

}  // namespace tcnfast
