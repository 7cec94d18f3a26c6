// tcnfast._C: a residual block in training. Tensors come as addresses, which engines/ops.py checks.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "bindings.h"
#include "cpu/train.h"

namespace py = pybind11;

namespace tcnfast {
namespace {

// add_up(address, count) adds fp64 numbers up over processes, or is None.
template <void (*run)(const Kernels&, const BlockArguments&, int, const AddUp&)>
void run_block(const std::string& isa, const std::string& precision, const BlockArguments& a,
               int threads, const py::object& add_up) {
  const Kernels& kernels = find_kernels(isa, precision);
  AddUp call;
  if (!add_up.is_none())
    call = [&](double* values, long count) {
      py::gil_scoped_acquire acquire;
      add_up(reinterpret_cast<std::uintptr_t>(values), count);
    };
  py::gil_scoped_release release;
  run(kernels, a, threads, call);
}

// An attribute of Python's class for every field; another name raises AttributeError there.
py::class_<BlockArguments> bind_arguments(py::module_& m) {
  py::class_<BlockArguments> bound(m, "BlockArguments");
  bound.def(py::init<>());
  py::list sizes, addresses;
  each_size([&](const char* name, auto field, int) {
    using T = std::decay_t<decltype(std::declval<BlockArguments>().*field)>;
    bound.def_property(
        name, [field](const BlockArguments& a) { return a.*field; },
        [field](BlockArguments& a, T value) { a.*field = value; });
    sizes.append(name);
  });
  const auto address = [&](const char* name, auto field, bool) {
    using T = std::decay_t<decltype(std::declval<BlockArguments>().*field)>;
    bound.def_property(
        name,
        [field](const BlockArguments& a) { return reinterpret_cast<std::uintptr_t>(a.*field); },
        [field](BlockArguments& a, std::uintptr_t at) { a.*field = reinterpret_cast<T>(at); });
    addresses.append(name);
  };
  each_tensor({}, address);
  each_gradient({}, address);
  bound.attr("SIZES") = py::tuple(sizes);
  bound.attr("ADDRESSES") = py::tuple(addresses);
  return bound;
}

}  // namespace

void bind_training(py::module_& m) {
  bind_arguments(m);
  m.def("block_forward", run_block<block_forward>);
  m.def("block_backward", run_block<block_backward>);
  m.def("padded_channels", [](const std::string& isa, const std::string& precision, int channels) {
    const int multiple = find_kernels(isa, precision).channel_multiple;
    return (channels + multiple - 1) / multiple * multiple;
  });
}

}  // namespace tcnfast
