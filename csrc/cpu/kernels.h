// What one instruction set offers in one precision: a table of functions over plain rows.
//
// A row is one position: `channels` elements (fp32 or bf16), channels last, padded with zeros to a
// multiple of `channel_multiple`. All pointers are to char; all strides count bytes.
//
// Files compiled for an instruction set that the machine may lack include nothing but this header,
// C headers and templates in unnamed namespaces: an inline function shared with the rest of the
// program could be emitted here, with instructions that the rest must not run.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace tcnfast {

// Rows [0, rows) of one convolution and what is done to them before they are stored.
struct Conv {
  const char* x;  // row 0, tap 0
  ptrdiff_t x_row, x_tap;
  int taps, inputs, outputs;  // channels; `inputs` padded, `outputs` whole vectors (head: labels)
  const char* weights;        // as Kernels::pack left them
  const float* bias;          // padded as the weights are
  char* out;
  ptrdiff_t out_row;
  long rows;
  const char* residual;  // row 0 of what is added (conv_residual)
  ptrdiff_t residual_row;
  const uint8_t* codes;  // code of row 0 (conv_residual_codes), `codes_row` apart
  ptrdiff_t codes_row;
  const float* code_rows;  // 5 rows of `outputs`
  char* scratch;           // of HalvedKernels, see halved.h
  bool keep;               // all that a halved convolution multiplies stays in `scratch`
};

// The first convolution: row r is the sum over groups g of table[g][words[r + offsets[g]]].
struct Lookup {
  const uint8_t* words;
  const float* tables;  // (groups, words_per_table, channels), bias in the first
  const int* offsets;
  int groups, words_per_table, channels;
  char* out;
  ptrdiff_t out_row;
  long rows;
};

// Rows of a convolution, of whose inputs many are 0: it goes over the others alone. Rows of x lie
// one behind another. A step is what one multiply-add takes of a row: a channel, or a pair in bf16. Bits
// are those of the convolution that takes all inputs, where weights are finite; but a sum of nothing
// keeps a bias of -0, and in bf16 one too small to be normal.
struct SparseConv {
  Conv conv;                // `x`: row 0 of the list; x_row and x_tap unused
  const uint32_t* places;   // row * steps + step of what is not 0, in order
  const uint32_t* begins;   // of each row of x in `places`, and the end
  long first, stride, tap;  // row of x at tap 0 of the first output; from one output to the next;
                            // from one tap to the next
};

// One row of what a change moves, see MovedConv.
struct MovedRow {
  long x;              // row of the list at tap 0; may lie outside
  long from, end;      // rows of the list that are read
  const float* here;   // what the convolution gave before the change, before its ReLU
  const float* added;  // what the block added to it before; null inside a block
  const float* skip;   // by how much that has moved; null for not at all
};

// A convolution of differences: by how much rows move, behind their ReLUs, where their inputs moved
// as listed. The result is listed as well.
struct MovedConv {
  const float* x;          // differences, `inputs` to a row
  const uint32_t* places;  // row * inputs + channel of what moved
  const uint32_t* begins;  // of each row of x in `places`, and the end
  int inputs, outputs;     // channels; outputs whole vectors
  const float* weights;    // (taps, inputs, outputs)
  const MovedRow* rows;
  long n;
  float* out;  // (n, outputs)
  uint32_t *out_places, *out_begins;
};

struct SparseKernels {
  int step;  // channels
  // Lists what of `rows` rows is not 0; `places` has room for all steps and 16 more.
  void (*list)(const char* x, long rows, int inputs, uint32_t* places, uint32_t* begins);
  void (*conv_relu)(const SparseConv&);
  void (*conv_residual)(const SparseConv&);
  void (*conv_residual_codes)(const SparseConv&);
  // `out_places` has room for all of them and 16 more; null for bf16
  void (*moved)(const MovedConv&);
};

// The convolutions of a strand-symmetric layer with half of the products (conv_halved.h). `inputs`
// and `outputs` of Conv are whole rows, `weights` and `scratch` as halved.h says.
struct HalvedKernels {
  int row_block;  // rows that go through together
  void (*conv_relu)(const Conv&);
  void (*conv_residual)(const Conv&);
  void (*conv_residual_codes)(const Conv&);
  void (*conv_plain)(const Conv&);
  // The sums of all pairs: rows of `half` elements, one behind another; `out` may be x.
  void (*pair_sums)(const char* x, ptrdiff_t x_row, long rows, int half, char* out);
  int (*column)(int half, int channel);  // where of `half` inputs the weights want one
};

// sums[input][output] += sum over steps of b[step][input] * a[step][output]; an element of a and b
// is 4 bytes: an fp32 number, or a pair of bf16 of neighbouring positions (see TrainKernels::pair).
struct Outer {
  const char *a, *b;
  ptrdiff_t a_step, b_step;
  long steps;
  int inputs, outputs;  // padded
  float* sums;          // (inputs, outputs)
};

// Normalisation and dropout of one sequence: relu(a * scale + shift) * mask, a vector each. `mean`
// is what the scale and shift take off: sums of products are centred on it.
struct Activation {
  const float *scale, *shift, *mask, *mean;
};

// The gradient of a normalisation's input: g * by_grad + a * by_input + constant, a vector each.
struct NormGradient {
  const float *by_grad, *by_input, *constant;
};

// Training, row by row. `rows` rows of `channels` (padded); arrays of sums are fp64 (channels).
// "Branch gradient" is what reaches the second normalisation of a block with output y:
// g = dy * [y > 0] * mask * [a * scale + shift > 0].
struct TrainKernels {
  void (*sum)(const char* a, long rows, int channels, double* sum);
  void (*squares)(const char* a, const float* mean, long rows, int channels, double* squares);
  void (*activate)(const char* a, Activation, char* out, long rows, int channels);
  // relu(activation + residual), the residual rows, or a row of 5 by code
  void (*combine)(const char* a, Activation, const char* residual, ptrdiff_t residual_row,
                  char* out, long rows, int channels);
  void (*combine_codes)(const char* a, Activation, const uint8_t* codes, ptrdiff_t codes_row,
                        const float* code_rows, char* out, long rows, int channels);

  // sum of g, and of g * (a - mean)
  void (*branch_sums)(const char* dy, const char* y, const char* a, Activation, long rows,
                      int channels, double* sum, double* products);
  void (*branch_gradient)(const char* dy, const char* y, const char* a, Activation, NormGradient,
                          char* da, long rows, int channels);
  // g = dh * mask * [a * scale + shift > 0], stored over dh, and the same two sums
  void (*inner_gradient)(char* dh, const char* a, Activation, long rows, int channels, double* sum,
                         double* products);
  void (*norm_gradient)(const char* g, const char* a, NormGradient, char* da, long rows,
                        int channels);
  // dx += dy * [y > 0], rows of dx `dx_row` apart
  void (*add_residual)(const char* dy, const char* y, char* dx, ptrdiff_t dx_row, long rows,
                       int channels);
  // table[words[row]] += da[row], and table[codes[row]] += dy * [y > 0]; fp32 (., channels)
  void (*sum_words)(const char* da, const uint8_t* words, float* table, long rows, int channels);
  void (*sum_codes)(const char* dy, const char* y, const uint8_t* codes, ptrdiff_t codes_row,
                    float* table, long rows, int channels);

  // counts (4, 4) += of positions [0, positions) those with each letter, and each letter `lag` behind.
  // masks (4, words): bit t is set where position t has the letter; zeros behind the last.
  void (*meetings)(const uint64_t* masks, long words, long positions, long lag, long* counts);

  // Pairs of neighbouring rows for Outer: (rows / 2 rounded up, channels, 2). Null for fp32, whose
  // rows serve as they are.
  void (*pair)(const char* x, ptrdiff_t x_row, long rows, int channels, char* out);
  // Of rows of pairs the activations, or the rows as they are where there is none (null), as sums
  // and as differences over pairs, arranged for Outer: `channels` / 2 of both.
  void (*halves)(const char* a, ptrdiff_t a_row, const Activation*, long rows, int channels,
                 char* sums, char* differences);
  void (*outer)(const Outer&);
};

struct Kernels {
  int element_bytes;
  int channel_multiple;  // of the channels of a row: a whole panel or vector of outputs
  int row_block;         // a convolution reads (never writes) up to this many rows too far

  // Bytes of packed weights, and packing (outputs, inputs, taps) fp32 weights into them.
  // `padded` is the number of inputs as rows hold them.
  size_t (*packed_bytes)(int outputs, int padded, int taps);
  void (*pack)(const float* weights, int outputs, int inputs, int padded, int taps, char* packed);

  void (*conv_relu)(const Conv&);            // relu(x * w + b)
  void (*conv_residual)(const Conv&);        // relu(relu(x * w + b) + residual)
  void (*conv_residual_codes)(const Conv&);  // the same, the residual a row of 5 by code
  void (*conv_plain)(const Conv&);           // x * w + b
  void (*head)(const Conv&);                 // x * w + b, stored as fp32, `outputs` of them
  void (*lookup)(const Lookup&);             // relu(sum of table rows)
  void (*lookup_plain)(const Lookup&);       // sum of table rows
  double (*peak)(long iterations);           // floating-point operations of a register-only loop
  void (*enter)();                           // before the first and after the last call of a
  void (*leave)();                           // thread; null where there is nothing to do

  const TrainKernels* train;
  const SparseKernels* sparse;  // null for AMX
  const HalvedKernels* halved;
};

// Null where the compiler did not know the instructions.
const Kernels* generic_fp32();
const Kernels* avx2_fp32();
const Kernels* avx512_fp32();
const Kernels* avx512_bf16();
const Kernels* amx_bf16();

}  // namespace tcnfast
