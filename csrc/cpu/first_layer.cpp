#include "first_layer.h"

#include <algorithm>

#include "../params.h"

namespace tcnfast {

constexpr int WORD = 3;  // codes to a word: 5^3 rows to a table

FirstLayer::FirstLayer(const float* weight, const float* bias, int channels, int padded, int n_taps)
    : taps(n_taps), word(std::min(WORD, n_taps)), groups((taps + word - 1) / word) {
  for (int i = 0; i < word; ++i) words_per_table *= N_CODES;
  // the last word may reach back over taps that another group has
  for (int g = 0; g < groups; ++g) offsets.push_back(std::min(g * word, taps - word));
  tables = Buffer(size_t(groups) * words_per_table * padded * sizeof(float));
  std::vector<double> sums(size_t(groups) * words_per_table * channels);
  each([&](int group, int w, int tap, int code) {
    double* sum = sums.data() + (size_t(group) * words_per_table + w) * channels;
    for (int c = 0; c < channels; ++c)
      sum[c] += weight[(ptrdiff_t(c) * N_BASES + code) * taps + tap];
  });
  for (size_t row = 0; row < size_t(groups) * words_per_table; ++row)
    for (int c = 0; c < channels; ++c) {
      const bool first = row < size_t(words_per_table);
      const double b = first && bias ? bias[c] : 0.0;
      tables.floats()[row * padded + c] = float(sums[row * channels + c] + b);
    }
}

template <class F>
void FirstLayer::each(F f) const {
  int next = 0;  // first tap that no group has yet
  for (int g = 0; g < groups; ++g) {
    for (int w = 0; w < words_per_table; ++w)
      for (int i = word - 1, rest = w; i >= 0; --i, rest /= N_CODES) {
        const int tap = offsets[g] + i, code = rest % N_CODES;
        if (tap >= next && code < N_BASES) f(g, w, tap, code);
      }
    next = offsets[g] + word;
  }
}

bool FirstLayer::make_words(const uint8_t* codes, long positions, uint8_t* words) const {
  const long n = positions + offsets.back();
  uint8_t largest = 0;
  for (long i = 0; i < n + word - 1; ++i) largest = std::max(largest, codes[i]);
  if (word == 1)
    for (long i = 0; i < n; ++i) words[i] = codes[i];
  else if (word == 2)
    for (long i = 0; i < n; ++i) words[i] = uint8_t(5 * codes[i] + codes[i + 1]);
  else
    for (long i = 0; i < n; ++i)
      words[i] = uint8_t(25 * codes[i] + 5 * codes[i + 1] + codes[i + 2]);
  return largest < N_CODES;
}

std::vector<double> FirstLayer::weight_gradient(const float* sums, int channels,
                                                int padded) const {
  std::vector<double> total(size_t(channels) * N_BASES * taps);
  each([&](int group, int w, int tap, int code) {
    const float* sum = sums + (size_t(group) * words_per_table + w) * padded;
    for (int c = 0; c < channels; ++c) total[(size_t(c) * N_BASES + code) * taps + tap] += sum[c];
  });
  return total;
}

}  // namespace tcnfast
