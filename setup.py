"""Where the packages lie and how the C++ engine is built; everything else is in pyproject.toml.

The engine is optional: without a C++17 compiler the install goes through, and ``tcnfast info`` says
that the backend ``cpu`` is not built.
"""

import platform
import tempfile
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension
from setuptools import find_packages, setup
from setuptools.command.build_ext import build_ext

AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]
# what each file may use beyond the baseline; chosen at run time, see csrc/cpu/isa.cpp
FLAGS = {
    "csrc/cpu/avx2.cpp": ["-mavx2", "-mfma"],
    "csrc/cpu/avx512.cpp": AVX512,
    "csrc/cpu/avx512_bf16.cpp": [*AVX512, "-mavx512bf16"],
    "csrc/cpu/amx.cpp": [*AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
}
OPENMP = ["-fopenmp"]  # where the compiler has it, see csrc/cpu/threads.h


class BuildEngine(build_ext):
    """Adds FLAGS file by file, where the compiler knows them."""

    def build_extension(self, extension):
        compile_one = self.compiler._compile
        if self._links(OPENMP):
            extension.extra_compile_args += OPENMP
            extension.extra_link_args += OPENMP

        def compile_with_flags(target, source, suffix, cc_args, extra, pp_opts):
            flags = FLAGS.get(source, [])
            if not self._knows(compile_one, flags):
                flags = []  # the file then leaves its kernels out, and isa.cpp says so
            compile_one(target, source, suffix, cc_args, [*extra, *flags], pp_opts)

        self.compiler._compile = compile_with_flags
        try:
            super().build_extension(extension)
        except Exception as error:
            print(f"tcnfast: the C++ engine could not be built: {error}")
            print("tcnfast: scans will run in PyTorch, several times slower; see `tcnfast info`")
            raise
        finally:
            self.compiler._compile = compile_one

    def _links(self, flags):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "empty.cpp")
            source.write_text("int main() {}")
            try:
                made = self.compiler.compile([str(source)], folder, extra_postargs=flags)
                self.compiler.link_executable(
                    made, f"{folder}/empty", extra_postargs=flags, target_lang="c++"
                )
            except Exception:
                return False
        return True

    def _knows(self, compile_one, flags):
        if not flags:
            return True
        if platform.machine().lower() not in ("x86_64", "amd64"):
            return False
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "empty.cpp")
            source.write_text("")
            try:
                compile_one(f"{folder}/empty.o", str(source), ".cpp", ["-c"], flags, [])
            except Exception:
                return False
        return True


setup(
    # tcnfast/kernels is a link to kernels/: a package where it is expected, so that an editable
    # install is a plain path, which type checkers and editors can follow
    packages=find_packages(include=["tcnfast", "tcnfast.*"]),
    package_dir={"": "."},
    package_data={
        "tcnfast": [
            "py.typed",
            "*.pyi",
            "model/bundled/*/*",
            "pwm/databases/*",
            "base/templates/*",
            "scan/igv/*",
        ],
        "tcnfast.cobind": ["*.pyi"],
        "tcnfast.windows": ["*.pyi"],
        "tcnfast.kernels": ["README.md"],
    },
    ext_modules=[
        Pybind11Extension(
            "tcnfast._C",
            sorted(str(path) for path in Path("csrc").rglob("*.cpp")),
            depends=sorted(str(path) for path in Path("csrc").rglob("*.h")),
            cxx_std=17,
            extra_compile_args=["-O3", "-Wall", "-Wextra", "-Wno-maybe-uninitialized"],
            extra_link_args=["-pthread"],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildEngine},
)
