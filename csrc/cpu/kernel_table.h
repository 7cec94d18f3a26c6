// The table of kernels.h for one vector type.
#pragma once

#include "conv.h"
#include "conv_halved.h"
#include "sparse.h"
#include "train_outer.h"

namespace tcnfast {
namespace {

template <class V>
constexpr Kernels kernels() {
  return {V::element_bytes,
          V::CHANNELS,
          V::ROWS,
          packed_bytes<V>,
          pack<V>,
          conv<V, Epilogue::Relu>,
          conv<V, Epilogue::Residual>,
          conv<V, Epilogue::ResidualCodes>,
          conv<V, Epilogue::Plain>,
          conv<V, Epilogue::Linear>,
          lookup<V, Epilogue::Relu>,
          lookup<V, Epilogue::Plain>,
          peak<V>,
          nullptr,
          nullptr,
          &train_table<V>,
          &sparse_table<V>,
          &halved_table<V>};
}

}  // namespace
}  // namespace tcnfast
