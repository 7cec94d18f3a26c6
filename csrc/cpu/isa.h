// Instruction sets, what this processor has of them, and the kernels that each offers.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace tcnfast {

struct Isa {
  const char* name;
  const Kernels* (*fp32)();
  const Kernels* (*bf16)();  // null: this set has no bf16 products
  std::string why_not;       // empty: the processor, the system and the compiler had it
};

// Best first. Each can do what those after it can; the last always runs.
const std::vector<Isa>& isas();

}  // namespace tcnfast
