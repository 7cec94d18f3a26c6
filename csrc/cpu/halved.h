// Strand-symmetric layers in halved form (conv_halved.h): the order of a row's channels, and the
// weights. Channels c and C-1-c are a pair, of which each strand of the DNA has one.
#pragma once

#include <vector>

#include "kernels.h"

namespace tcnfast {

// Elements of a row: the first channels of all pairs, zeros up to a multiple of what the kernels
// want, their partners, zeros again.
int padded_pairs(int channels, int multiple);

// The channel of each column of such a row, -1 for a zero.
std::vector<int> pair_order(int channels, int padded);

// Bytes of weights of a halved convolution, and packing (channels, channels, taps) into them.
// The weights equal their flip along every axis; half of them are read.
size_t packed_bytes_halved(const Kernels& kernels, int padded, int taps);
void pack_halved(const Kernels& kernels, const float* weights, int channels, int padded, int taps,
                 char* packed);

// Bytes of Conv::scratch, and with Conv::keep: (rows, taps * padded / 2) that S multiplies, as many
// that D does, and what is read too far. Channels in the order of HalvedKernels::column.
size_t halved_scratch_bytes(const Kernels& kernels, int padded, int taps);
size_t halved_kept_bytes(const Kernels& kernels, int padded, int taps, long rows);

}  // namespace tcnfast
