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

struct Kernels {
  int element_bytes;
  int channel_multiple;  // of inputs and outputs of a convolution
  int row_block;         // a convolution reads (never writes) up to this many rows too far

  // Bytes of packed weights, and packing (outputs, inputs, taps) fp32 weights into them.
  // `padded` is the number of inputs as rows hold them.
  size_t (*packed_bytes)(int outputs, int padded, int taps);
  void (*pack)(const float* weights, int outputs, int inputs, int padded, int taps, char* packed);

  void (*conv_relu)(const Conv&);            // relu(x * w + b)
  void (*conv_residual)(const Conv&);        // relu(relu(x * w + b) + residual)
  void (*conv_residual_codes)(const Conv&);  // the same, the residual a row of 5 by code
  void (*head)(const Conv&);                 // x * w + b, stored as fp32, `outputs` of them
  void (*lookup)(const Lookup&);             // relu(sum of table rows)
  double (*peak)(long iterations);           // floating-point operations of a register-only loop
  void (*enter)();                           // before the first and after the last call of a
  void (*leave)();                           // thread; null where there is nothing to do
};

// Null where the compiler did not know the instructions.
const Kernels* generic_fp32();
const Kernels* avx2_fp32();
const Kernels* avx512_fp32();
const Kernels* avx512_bf16();
const Kernels* amx_bf16();

}  // namespace tcnfast
