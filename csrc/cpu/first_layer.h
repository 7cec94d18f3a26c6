// The first convolution as a sum of tables: words of up to three codes, a table for each.
#pragma once

#include <stdint.h>

#include <vector>

#include "buffer.h"

namespace tcnfast {

struct FirstLayer {
  FirstLayer() = default;
  // weight (channels, 4, taps); bias (channels) goes into the first table, null for none.
  FirstLayer(const float* weight, const float* bias, int channels, int padded, int taps);

  // Words of codes [0, n + reach), as many as the sums of n positions ask for; false if a code is
  // over 4.
  bool make_words(const uint8_t* codes, long n, uint8_t* words) const;

  // Gradient of the weight (channels, 4, taps) from sums (groups, words_per_table, padded) of the
  // output's gradient by word.
  std::vector<double> weight_gradient(const float* sums, int channels, int padded) const;

  int taps = 0, word = 0, groups = 0, words_per_table = 1;
  std::vector<int> offsets;  // of each group's word
  Buffer tables;             // (groups, words_per_table, padded)

 private:
  // f(group, word, tap, code) for every tap of every word but N, each tap in one group alone.
  template <class F>
  void each(F f) const;
};

}  // namespace tcnfast
