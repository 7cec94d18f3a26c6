// tcnfast._C: a residual block in training. Tensors come as addresses; tcnfast/ops.py checks them.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <map>
#include <string>

#include "bindings.h"
#include "cpu/train.h"

namespace py = pybind11;

namespace tcnfast {
namespace {

// Addresses by name; a name that is not there is null.
class Addresses {
 public:
  explicit Addresses(const std::map<std::string, std::uintptr_t>& map) : map_(map) {}
  template <class T>
  void set(T*& pointer, const char* name) const {
    const auto found = map_.find(name);
    pointer = found == map_.end() ? nullptr : reinterpret_cast<T*>(found->second);
  }

 private:
  const std::map<std::string, std::uintptr_t>& map_;
};

BlockShape make_shape(const py::dict& d) {
  BlockShape s;
  s.sequences = d["sequences"].cast<long>();
  s.length = d["length"].cast<long>();
  s.channels = d["channels"].cast<int>();
  s.taps1 = d["taps1"].cast<int>();
  s.taps2 = d["taps2"].cast<int>();
  s.dilation = d["dilation"].cast<long>();
  s.stride = d["stride"].cast<long>();
  s.tap = d["tap"].cast<long>();
  s.codes = d["codes"].cast<bool>();
  s.batch_norm = d["batch_norm"].cast<bool>();
  s.eps = d["eps"].cast<double>();
  return s;
}

BlockTensors make_tensors(const Addresses& at) {
  BlockTensors t;
  at.set(t.x, "x");
  at.set(t.codes, "codes");
  at.set(t.weight1, "weight1");
  at.set(t.weight2, "weight2");
  at.set(t.gain1, "gain1");
  at.set(t.shift1, "shift1");
  at.set(t.gain2, "gain2");
  at.set(t.shift2, "shift2");
  at.set(t.mask1, "mask1");
  at.set(t.mask2, "mask2");
  at.set(t.code_residual, "code_residual");
  at.set(t.a1, "a1");
  at.set(t.a2, "a2");
  at.set(t.y, "y");
  at.set(t.mean1, "mean1");
  at.set(t.var1, "var1");
  at.set(t.mean2, "mean2");
  at.set(t.var2, "var2");
  return t;
}

using Map = std::map<std::string, std::uintptr_t>;

void forward(const std::string& isa, const std::string& precision, const py::dict& shape,
             const Map& tensors, int threads) {
  const Kernels& kernels = find_kernels(isa, precision);
  const BlockShape s = make_shape(shape);
  const BlockTensors t = make_tensors(Addresses(tensors));
  py::gil_scoped_release release;
  block_forward(kernels, s, t, threads);
}

void backward(const std::string& isa, const std::string& precision, const py::dict& shape,
              const Map& tensors, const Map& gradients, int threads) {
  const Kernels& kernels = find_kernels(isa, precision);
  const BlockShape s = make_shape(shape);
  const BlockTensors t = make_tensors(Addresses(tensors));
  const Addresses at(gradients);
  BlockGradients d;
  at.set(d.dy, "dy");
  at.set(d.dx, "dx");
  at.set(d.one_hot, "one_hot");
  at.set(d.workspace, "workspace");
  at.set(d.weight1, "weight1");
  at.set(d.weight2, "weight2");
  at.set(d.gain1, "gain1");
  at.set(d.shift1, "shift1");
  at.set(d.gain2, "gain2");
  at.set(d.shift2, "shift2");
  at.set(d.code_residual, "code_residual");
  py::gil_scoped_release release;
  block_backward(kernels, s, t, d, threads);
}

}  // namespace

void bind_training(py::module_& m) {
  m.def("block_forward", forward);
  m.def("block_backward", backward);
  m.def("padded_channels", [](const std::string& isa, const std::string& precision, int channels) {
    const int multiple = find_kernels(isa, precision).channel_multiple;
    return (channels + multiple - 1) / multiple * multiple;
  });
}

}  // namespace tcnfast
