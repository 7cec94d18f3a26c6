#include "isa.h"

#include <cerrno>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace tcnfast {
namespace {

#if defined(__x86_64__)
struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
  return r;
}

bool bit(unsigned word, int index) { return word >> index & 1; }

// Register files that the operating system saves: bits of XCR0.
unsigned long saved_state() {
  if (!bit(cpuid(1, 0).c, 27)) return 0;  // OSXSAVE
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | static_cast<unsigned long>(high) << 32;
}

constexpr unsigned long YMM = 0x6, ZMM = 0xe6;
[[maybe_unused]] constexpr unsigned long TILES = 0x60000;

bool saves(unsigned long state) { return (saved_state() & state) == state; }

bool has_avx2() { return bit(cpuid(7, 0).b, 5) && bit(cpuid(1, 0).c, 12) && saves(YMM); }

bool has_avx512() {  // F, DQ, BW, VL: what every AVX-512 server has had since Skylake
  const unsigned b = cpuid(7, 0).b;
  return has_avx2() && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31) && saves(ZMM);
}

bool has_avx512_bf16() { return has_avx512() && bit(cpuid(7, 1).a, 5); }

std::string missing(bool has, const Kernels* built) {
  if (!has) return "this processor does not have it";
  if (!built) return "the compiler of this build did not know it";
  return "";
}

#if defined(TCNFAST_EMULATED_AMX)
std::string why_not_amx() { return missing(has_avx512_bf16(), amx_bf16()); }
#else
bool has_amx_bf16() {
  const unsigned d = cpuid(7, 0).d;
  return has_avx512_bf16() && bit(d, 22) && bit(d, 24) && saves(TILES);
}

// Linux gives a process the tile registers only when asked; threads inherit them.
std::string ask_for_tiles() {
#if defined(__linux__)
  constexpr long ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18;
  if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0) return "";
  return std::string("the system refuses the tile registers (") + std::strerror(errno) + ")";
#else
  return "only Linux is asked for the tile registers";
#endif
}

std::string why_not_amx() {
  const std::string reason = missing(has_amx_bf16(), amx_bf16());
  return reason.empty() ? ask_for_tiles() : reason;
}
#endif
#endif

std::vector<Isa> look() {
  std::vector<Isa> found;
#if defined(__x86_64__)
  found.push_back({"amx", avx512_fp32, amx_bf16, why_not_amx()});
  found.push_back(
      {"avx512_bf16", avx512_fp32, avx512_bf16, missing(has_avx512_bf16(), avx512_bf16())});
  found.push_back({"avx512", avx512_fp32, nullptr, missing(has_avx512(), avx512_fp32())});
  found.push_back({"avx2", avx2_fp32, nullptr, missing(has_avx2(), avx2_fp32())});
#endif
  found.push_back({"generic", generic_fp32, nullptr, ""});
  return found;
}

}  // namespace

const std::vector<Isa>& isas() {
  static const std::vector<Isa> list = look();
  return list;
}

}  // namespace tcnfast
