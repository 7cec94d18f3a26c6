// What the files of the extension module share.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "cpu/kernels.h"

namespace tcnfast {

// Throws std::invalid_argument where this processor or build has none.
const Kernels& find_kernels(const std::string& isa, const std::string& precision);

void bind_training(pybind11::module_& m);

}  // namespace tcnfast
