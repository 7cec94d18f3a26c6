// What one residual block in training is told: the C++ side of tcnfast/engines/block_call.py. Each
// field is set from Python by its own name (bindings_train.cpp), and what is missing is named before
// any work.
#pragma once

#include <stdint.h>

#include <stdexcept>
#include <string>

namespace tcnfast {

struct BlockShape {
  long sequences = 0, length = 0;  // of the input, in positions of its grid; of codes, in bases
  int channels = 0;
  int taps1 = 0, taps2 = 0;
  long dilation = 0, stride = 0, tap = 0;  // as in BlockParams; a stride over 1 has dilation 1
  bool codes = false;                      // the input is DNA: the first block
  bool batch_norm = false;                 // else convolutions have biases and norms do nothing
  bool symmetric = false;                  // of pairs of channels: rows in pair order (halved.h)
  bool halves = false;                     // its parameters are halves, see below
  double eps = 0;

  long reach1() const { return (taps1 - 1) * dilation; }
  long reach2() const { return (taps2 - 1) * dilation; }
  long length1() const { return length - reach1(); }
  long length2() const { return (length1() - 1 - reach2()) / stride + 1; }
};

// Rows are (sequences, positions, padded channels) of the kernels' elements; the rest is fp32 with
// `channels` channels in natural order. Null where there is none. Weights of a symmetric block equal
// their flip along every axis, gains and shifts are equal over a pair; of `halves` there is only the
// first half of each of these, which says all.
struct BlockTensors {
  const char* x = nullptr;              // rows of length
  const uint8_t* code_input = nullptr;  // (sequences, length), 0 to 4
  const float *weight1 = nullptr, *weight2 = nullptr;  // (channels, inputs, taps)
  // of the batch norms; without, shifts are biases
  const float *gain1 = nullptr, *shift1 = nullptr, *gain2 = nullptr, *shift2 = nullptr;
  // (sequences, channels), what dropout multiplies by; or null
  const float *mask1 = nullptr, *mask2 = nullptr;
  const float* code_residual = nullptr;  // (5, channels)
  // rows of length1, length2, length2; of codes no a1: it is looked up again
  char *a1 = nullptr, *a2 = nullptr, *y = nullptr;
  // of the batch norms, var biased
  float *mean1 = nullptr, *var1 = nullptr, *mean2 = nullptr, *var2 = nullptr;
};

struct BlockGradients {
  const char* dy = nullptr;   // rows of length2
  char* dx = nullptr;         // rows of length; null for codes
  float* one_hot = nullptr;   // of codes (sequences, length, 4): of their one-hot form; or null
  char* workspace = nullptr;  // rows of length1
  // all null where only the input's gradient is wanted; of what is not there, null. Of a symmetric
  // block the means of gradients and their flips, of halves those of the halves, twice as much
  float *dweight1 = nullptr, *dweight2 = nullptr, *dgain1 = nullptr, *dshift1 = nullptr;
  float *dgain2 = nullptr, *dshift2 = nullptr, *dcode_residual = nullptr;
};

struct BlockArguments : BlockShape, BlockTensors, BlockGradients {
  bool of_parameters() const { return dweight1 || dweight2 || dshift1 || dshift2; }
};

// visit(name, field, least) for every number; `least`: under it nothing was set.
template <class F>
void each_size(F visit) {
  visit("sequences", &BlockArguments::sequences, 0);
  visit("length", &BlockArguments::length, 1);
  visit("channels", &BlockArguments::channels, 1);
  visit("taps1", &BlockArguments::taps1, 1);
  visit("taps2", &BlockArguments::taps2, 1);
  visit("dilation", &BlockArguments::dilation, 1);
  visit("stride", &BlockArguments::stride, 1);
  visit("tap", &BlockArguments::tap, 0);
  visit("codes", &BlockArguments::codes, 0);
  visit("batch_norm", &BlockArguments::batch_norm, 0);
  visit("symmetric", &BlockArguments::symmetric, 0);
  visit("halves", &BlockArguments::halves, 0);
  visit("eps", &BlockArguments::eps, 0);
}

// visit(name, field, needed) for every address of the forward pass.
template <class F>
void each_tensor(const BlockArguments& a, F visit) {
  const bool rows = a.sequences > 0;
  visit("x", &BlockArguments::x, rows && !a.codes);
  visit("code_input", &BlockArguments::code_input, rows && a.codes);
  visit("weight1", &BlockArguments::weight1, true);
  visit("weight2", &BlockArguments::weight2, true);
  visit("gain1", &BlockArguments::gain1, a.batch_norm);
  visit("shift1", &BlockArguments::shift1, true);
  visit("gain2", &BlockArguments::gain2, a.batch_norm);
  visit("shift2", &BlockArguments::shift2, true);
  visit("mask1", &BlockArguments::mask1, false);
  visit("mask2", &BlockArguments::mask2, false);
  visit("code_residual", &BlockArguments::code_residual, a.codes);
  visit("a1", &BlockArguments::a1, rows && !a.codes);
  visit("a2", &BlockArguments::a2, rows);
  visit("y", &BlockArguments::y, rows);
  visit("mean1", &BlockArguments::mean1, a.batch_norm);
  visit("var1", &BlockArguments::var1, a.batch_norm);
  visit("mean2", &BlockArguments::mean2, a.batch_norm);
  visit("var2", &BlockArguments::var2, a.batch_norm);
}

// The same for what the backward pass takes more.
template <class F>
void each_gradient(const BlockArguments& a, F visit) {
  const bool rows = a.sequences > 0, all = a.of_parameters();
  visit("dy", &BlockArguments::dy, rows);
  visit("workspace", &BlockArguments::workspace, rows);
  visit("dx", &BlockArguments::dx, rows && !a.codes);
  visit("one_hot", &BlockArguments::one_hot, rows && a.codes && !all);
  visit("dweight1", &BlockArguments::dweight1, all);
  visit("dweight2", &BlockArguments::dweight2, all);
  visit("dgain1", &BlockArguments::dgain1, all && a.batch_norm);
  visit("dshift1", &BlockArguments::dshift1, all);
  visit("dgain2", &BlockArguments::dgain2, all && a.batch_norm);
  visit("dshift2", &BlockArguments::dshift2, all);
  visit("dcode_residual", &BlockArguments::dcode_residual, all && a.codes);
}

// Throws std::invalid_argument that names the first argument that is missing.
inline void check(const BlockArguments& a, bool backward) {
  const auto refuse = [](const std::string& name) {
    throw std::invalid_argument("block: " + name + " is not set");
  };
  each_size([&](const char* name, auto field, int least) {
    if (a.*field < least) refuse(name);
  });
  const auto address = [&](const char* name, auto field, bool needed) {
    if (needed && !(a.*field)) refuse(name);
  };
  if (a.symmetric && a.channels % 2)
    throw std::invalid_argument("block: channels: of a symmetric block, must be even");
  if (a.halves && !a.symmetric)
    throw std::invalid_argument("block: halves: of a symmetric block alone");
  each_tensor(a, address);
  if (backward) each_gradient(a, address);
}

}  // namespace tcnfast
