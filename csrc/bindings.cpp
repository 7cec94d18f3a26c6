// tcnfast._C: raw buffers in, raw buffers out. It knows no torch, so one build serves every torch.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#if defined(__linux__)
#include <malloc.h>
#endif

#include "bindings.h"
#include "cpu/isa.h"
#include "cpu/stack.h"
#include "cpu/substitutions.h"

namespace py = pybind11;
using namespace tcnfast;

namespace tcnfast {

const Kernels& find_kernels(const std::string& isa, const std::string& precision) {
  for (const Isa& candidate : isas()) {
    if (candidate.name != isa) continue;
    if (!candidate.why_not.empty()) throw std::invalid_argument(isa + ": " + candidate.why_not);
    const auto make = precision == "fp32"   ? candidate.fp32
                      : precision == "bf16" ? candidate.bf16
                                            : nullptr;
    if (!make) throw std::invalid_argument(isa + ": does not compute in " + precision);
    return *make();
  }
  throw std::invalid_argument("no instruction set is called " + isa);
}

}  // namespace tcnfast

namespace {

using Floats = py::array_t<float, py::array::c_style>;

const float* checked(const Floats& array, std::vector<long> shape, const std::string& name) {
  if (std::vector<long>(array.shape(), array.shape() + array.ndim()) != shape)
    throw std::invalid_argument(name + ": has another shape than the stack asks for");
  return array.data();
}

// A block's parameters, and the arrays that they point into: casts may have copied.
struct BoundBlock : BlockParams {
  Floats arrays[4];
};

BoundBlock make_block(int taps1, int taps2, long dilation, long stride, long tap,
                      const Floats& weight1, const Floats& bias1, const Floats& weight2,
                      const Floats& bias2) {
  BoundBlock b;
  b.taps1 = taps1;
  b.taps2 = taps2;
  b.dilation = dilation;
  b.stride = stride;
  b.tap = tap;
  b.arrays[0] = weight1;
  b.arrays[1] = bias1;
  b.arrays[2] = weight2;
  b.arrays[3] = bias2;
  return b;
}

// The same of a stack.
struct BoundStack : StackParams {
  std::vector<BoundBlock> bound;
  Floats arrays[3];
};

// Throws std::invalid_argument unless (outputs, inputs, taps) values are their own mirror image:
// equal to their flip along every axis, or along the last two where `outputs` have no partners.
void check_flip(const float* values, long outputs, long inputs, long taps, bool partners,
                const std::string& name) {
  const long n = inputs * taps;
  for (long o = 0; o < outputs; ++o)
    for (long i = 0; i < n; ++i) {
      const float here = values[o * n + i];
      const float there = values[(partners ? outputs - 1 - o : o) * n + n - 1 - i];
      if (here != there && (here == here || there == there))  // a pair of NaN is one
        throw std::invalid_argument(name + ": of a symmetric stack, must equal its flip");
    }
}

// Throws std::invalid_argument where the halved form would give other numbers than the weights.
void check_symmetric(const StackParams& p) {
  const long C = p.channels;
  if (C % 2) throw std::invalid_argument("channels: of a symmetric stack, must be even");
  for (size_t i = 0; i < p.blocks.size(); ++i) {
    const BlockParams& b = p.blocks[i];
    const std::string block = "block " + std::to_string(i) + ": ";
    check_flip(b.weight1, C, i ? C : N_BASES, b.taps1, true, block + "weight1");
    check_flip(b.bias1, C, 1, 1, true, block + "bias1");
    check_flip(b.weight2, C, C, b.taps2, true, block + "weight2");
    check_flip(b.bias2, C, 1, 1, true, block + "bias2");
  }
  check_flip(p.code_residual, N_BASES, C, 1, true, "code_residual");
  check_flip(p.code_residual + (N_CODES - 1) * C, 1, C, 1, true, "code_residual");
  check_flip(p.head_weight, p.labels, C, 1, false, "head_weight");
}

BoundStack make_params(const std::vector<BoundBlock>& blocks, const Floats& code_residual,
                       const Floats& head_weight, const Floats& head_bias, long stride, long sample,
                       long receptive_field, bool symmetric) {
  if (head_weight.ndim() != 2) throw std::invalid_argument("head_weight: must be 2-D");
  if (blocks.empty()) throw std::invalid_argument("blocks: there must be one at least");
  BoundStack p;
  p.symmetric = symmetric;
  p.labels = int(head_weight.shape(0));
  p.channels = int(head_weight.shape(1));
  const long C = p.channels;
  p.stride = stride;
  p.sample = sample;
  p.receptive_field = receptive_field;
  p.code_residual = checked(code_residual, {N_CODES, C}, "code_residual");
  p.head_weight = head_weight.data();
  p.head_bias = checked(head_bias, {p.labels}, "head_bias");
  p.arrays[0] = code_residual;
  p.arrays[1] = head_weight;
  p.arrays[2] = head_bias;
  p.bound = blocks;
  for (const BoundBlock& block : blocks) {
    BlockParams b = block;
    b.weight1 = checked(block.arrays[0], {C, p.blocks.empty() ? N_BASES : C, b.taps1}, "weight1");
    b.bias1 = checked(block.arrays[1], {C}, "bias1");
    b.weight2 = checked(block.arrays[2], {C, C, b.taps2}, "weight2");
    b.bias2 = checked(block.arrays[3], {C}, "bias2");
    p.blocks.push_back(b);
  }
  if (symmetric) check_symmetric(p);
  return p;
}

std::unique_ptr<Stack> make_stack(const std::string& isa, const std::string& precision,
                                  const BoundStack& params, long chunk, const std::string& lists) {
  const auto chosen = lists == "measured" ? Lists::Measured
                      : lists == "always" ? Lists::Always
                                          : Lists::Never;
  if (chosen == Lists::Never && lists != "never")
    throw std::invalid_argument("lists: must be measured, never or always");
  return std::make_unique<Stack>(find_kernels(isa, precision), params, chunk, chosen);
}

// Of every convolution in order: its block, which of the block's it is, the share of its inputs
// that are not 0, -1 if it was not measured, and whether it goes over lists of them.
std::vector<std::tuple<int, int, double, bool>> convolutions(const Stack& stack) {
  std::vector<std::tuple<int, int, double, bool>> all;
  for (size_t i = 0; i < stack.blocks.size(); ++i) {
    const Convolution &first = stack.blocks[i].first, &second = stack.blocks[i].second;
    if (i > 0) all.emplace_back(i, 1, first.density, first.listed);
    all.emplace_back(i, 2, second.density, second.listed);
  }
  return all;
}

std::unique_ptr<Substitutions> make_substitutions(const std::string& isa,
                                                  const BoundStack& params) {
  return std::make_unique<Substitutions>(find_kernels(isa, "fp32"), params);
}

// `codes` uint8 (length), `starts`, `counts` and `places` int64 (n), `bases` uint8 (n), `before` and
// `after` fp32 (sum of counts, labels), all C-ordered and there for the whole call.
void substitute(const Substitutions& all, std::uintptr_t codes, long length, std::uintptr_t starts,
                std::uintptr_t counts, std::uintptr_t places, std::uintptr_t bases, long n,
                long step, std::uintptr_t before, std::uintptr_t after, int threads) {
  if (threads < 1) throw std::invalid_argument("score: no thread");
  py::gil_scoped_release release;
  const Runs runs{reinterpret_cast<const std::int64_t*>(starts),
                  reinterpret_cast<const std::int64_t*>(counts),
                  reinterpret_cast<const std::int64_t*>(places),
                  reinterpret_cast<const std::uint8_t*>(bases),
                  n,
                  step};
  all.score(reinterpret_cast<const std::uint8_t*>(codes), length, runs,
            reinterpret_cast<float*>(before), reinterpret_cast<float*>(after), threads);
}

// `codes` uint8 (receptive field), `offsets` int64 (n + 1), `places` int64 and `bases` uint8
// (offsets[n]), `logits` fp32 (labels), `gained` fp32 (n, labels).
void score_changes(const Substitutions& all, std::uintptr_t codes, std::uintptr_t offsets,
                   std::uintptr_t places, std::uintptr_t bases, long n, std::uintptr_t logits,
                   std::uintptr_t gained, int threads) {
  if (threads < 1) throw std::invalid_argument("score: no thread");
  py::gil_scoped_release release;
  const Changes changes{reinterpret_cast<const std::int64_t*>(offsets),
                        reinterpret_cast<const std::int64_t*>(places),
                        reinterpret_cast<const std::uint8_t*>(bases)};
  all.score_changes(reinterpret_cast<const std::uint8_t*>(codes), changes, n,
                    reinterpret_cast<float*>(logits), reinterpret_cast<float*>(gained), threads);
}

// Addresses, as torch and numpy give them: `codes` uint8 (batch, length), `logits` fp32
// (batch, scores, labels), both C-ordered and there for the whole call.
void score(const Stack& stack, std::uintptr_t codes, long batch, long length, std::uintptr_t logits,
           int threads) {
  if (length < stack.receptive_field || threads < 1)
    throw std::invalid_argument("score: length under the receptive field, or no thread");
  py::gil_scoped_release release;
  stack.score(reinterpret_cast<const std::uint8_t*>(codes), batch, length,
              reinterpret_cast<float*>(logits), threads);
}

py::dict seconds(const Stack& stack) {
  const Seconds s = stack.seconds();
  py::dict shares;
  shares["lookup"] = s.lookup;
  shares["convolutions"] = s.convolutions;
  shares["history"] = s.history;
  shares["head"] = s.head;
  return shares;
}

std::vector<std::pair<std::string, std::string>> list_isas() {
  std::vector<std::pair<std::string, std::string>> list;
  for (const Isa& isa : isas()) list.emplace_back(isa.name, isa.why_not);
  return list;
}

// FLOP/s of a register-only loop in `threads` threads, for at least `seconds`.
double peak(const std::string& isa, const std::string& precision, double seconds, int threads) {
  const Kernels& kernels = find_kernels(isa, precision);
  py::gil_scoped_release release;
  std::vector<double> rates(threads);
  std::vector<std::thread> pool;
  for (double& rate : rates)
    pool.emplace_back([&rate, &kernels, seconds] {
      const auto now = [] { return std::chrono::steady_clock::now(); };
      const auto start = now();
      std::chrono::duration<double> spent{0};
      double flop = 0;
      while (spent.count() < seconds) {
        flop += kernels.peak(100000);
        spent = now() - start;
      }
      rate = flop / spent.count();
    });
  for (std::thread& thread : pool) thread.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

// The C library gives large freed blocks back to the system at once, which pages them in again for
// the next step of a training. True where it can be told to keep them.
bool keep_freed_memory() {
#if defined(__GLIBC__)
  constexpr int BLOCK = 1 << 30, SPARE = 2000 << 20;  // the largest that is kept, and how much
  return mallopt(M_MMAP_THRESHOLD, BLOCK) == 1 && mallopt(M_TRIM_THRESHOLD, SPARE) == 1;
#else
  return false;
#endif
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "The C++ engine; tcnfast/engines/cpu_engine.py says how it is called.";
  m.def("isas", list_isas, "(name, reason why not or '') of every instruction set, best first");
  m.def("peak", peak, py::arg("isa"), py::arg("precision"), py::arg("seconds"), py::arg("threads"));
  m.def("keep_freed_memory", keep_freed_memory);
  // a name that is missing or misspelt raises TypeError
  py::class_<BoundBlock>(m, "BlockParams")
      .def(py::init(&make_block), py::kw_only(), py::arg("taps1"), py::arg("taps2"),
           py::arg("dilation"), py::arg("stride"), py::arg("tap"), py::arg("weight1"),
           py::arg("bias1"), py::arg("weight2"), py::arg("bias2"));
  py::class_<BoundStack>(m, "StackParams")
      .def(py::init(&make_params), py::kw_only(), py::arg("blocks"), py::arg("code_residual"),
           py::arg("head_weight"), py::arg("head_bias"), py::arg("stride"), py::arg("sample"),
           py::arg("receptive_field"), py::arg("symmetric") = false);
  py::class_<Stack>(m, "Stack")
      .def(py::init(&make_stack), py::kw_only(), py::arg("isa"), py::arg("precision"),
           py::arg("params"), py::arg("chunk") = 0, py::arg("lists") = "never")
      .def("score", score)
      .def("seconds", seconds)
      .def("convolutions", convolutions)
      .def_readonly("chunk", &Stack::chunk);
  py::class_<Substitutions>(m, "Substitutions")
      .def(py::init(&make_substitutions), py::kw_only(), py::arg("isa"), py::arg("params"))
      .def("score", substitute, py::kw_only(), py::arg("codes"), py::arg("length"),
           py::arg("starts"), py::arg("counts"), py::arg("places"), py::arg("bases"), py::arg("n"),
           py::arg("step"), py::arg("before"), py::arg("after"), py::arg("threads"))
      .def("score_changes", score_changes, py::kw_only(), py::arg("codes"), py::arg("offsets"),
           py::arg("places"), py::arg("bases"), py::arg("n"), py::arg("logits"), py::arg("gained"),
           py::arg("threads"));
  bind_training(m);
}
