// ppx/detail/address.hpp: where in the code a statement is; part of ppx.hpp.

#ifndef PPX_DETAIL_ADDRESS_HPP
#define PPX_DETAIL_ADDRESS_HPP

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

// How call stacks are walked. The CMake target sets one of the first two; without either, glibc does it.
#if defined(PPX_USE_LIBUNWIND)
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#elif defined(PPX_USE_FRAME_POINTERS)
#include <pthread.h>
#else
#include <execinfo.h>
#endif

namespace ppx {

// How this build finds addresses; part of the name under which it introduces itself.
#if defined(PPX_USE_LIBUNWIND)
inline constexpr const char* stack_walker = "libunwind";
#elif defined(PPX_USE_FRAME_POINTERS)
inline constexpr const char* stack_walker = "frame pointers";
#else
inline constexpr const char* stack_walker = "glibc backtrace";
#endif

namespace detail {

// ---- Addresses

// An address is the call stack from the model down to the statement: for each function its demangled name
// and the offset in it, or its module and the offset in that where there is no symbol (link with -rdynamic
// for names). Neither depends on where the system has loaded the program. Describing a stack takes
// microseconds, so descriptions are kept by the stack's return addresses.
class Addresses {
 public:
  static constexpr int max_depth = 256;
  static constexpr std::size_t max_known = 1 << 16;

  std::uint64_t generation = 0;

  // Notes how deep the stack is where the model is called.
  // inlined: the model may be part of its caller.
#if defined(PPX_USE_FRAME_POINTERS)
  void begin(void* frame, bool inlined) {
    root_ = reinterpret_cast<std::uintptr_t>(frame);
    inlined_ = inlined;
  }
#else
  [[gnu::noinline]] void begin(void*, bool inlined) {
    base_ = walk(nullptr) - 1;  // this function apart
    inlined_ = inlined;
  }
#endif

  // The address of the statement whose implementation has this frame. It stays where it is until the next
  // generation.
  [[gnu::noinline]] std::string_view at(void* frame) {
    int n = walk(frame);
    if (n < max_depth) n = n > base_ ? n - base_ : 1;
    std::uint64_t h = 0x9E3779B97F4A7C15u;
    for (int i = 0; i < n; i++) {
      h = (h ^ reinterpret_cast<std::uintptr_t>(pcs_[i])) * 0xFF51AFD7ED558CCDu;
      h ^= h >> 32;
    }
    auto range = known_.equal_range(h);
    for (auto it = range.first; it != range.second; ++it) {
      const auto& k = it->second.pcs;
      if (static_cast<int>(k.size()) == n && std::memcmp(k.data(), pcs_, sizeof(void*) * k.size()) == 0) return it->second.text;
    }
    if (known_.size() >= max_known) {  // stacks without end: recursion that branches at random
      known_.clear();
      generation++;
    }
    auto it = known_.emplace(h, Known{std::vector<void*>(pcs_, pcs_ + n), describe(n)});
    return it->second.text;
  }

 private:
  struct Known {
    std::vector<void*> pcs;
    std::string text;
  };

  // Innermost frames that are not the model's: at() and the statement, unless the walk begins above them.
#if defined(PPX_USE_FRAME_POINTERS)
  static constexpr int own_frames = 0;
#else
  static constexpr int own_frames = 2;
#endif

  void* pcs_[max_depth];
  int base_ = 0;
  bool inlined_ = false;
  std::unordered_multimap<std::uint64_t, Known> known_;

#if defined(PPX_USE_LIBUNWIND)
  [[gnu::always_inline]] int walk(void*) { return unw_backtrace(pcs_, max_depth); }
#elif defined(PPX_USE_FRAME_POINTERS)
  std::uintptr_t root_ = 0;

  // Follows the saved frame pointers up to the model's caller. They must go up the stack, or the chain is
  // broken (by code without frame pointers) and ends.
  int walk(void* frame) {
    int n = 0;
    for (auto fp = reinterpret_cast<std::uintptr_t>(frame); n < max_depth;) {
      auto* f = reinterpret_cast<void**>(fp);
      auto next = reinterpret_cast<std::uintptr_t>(f[0]);
      if (n > 0 && next >= root_) break;
      pcs_[n++] = f[1];
      if (next <= fp || next >= root_ || next % sizeof(void*) != 0) break;
      fp = next;
    }
    return n;
  }
#else
  [[gnu::always_inline]] int walk(void*) { return backtrace(pcs_, max_depth); }
#endif

  // All frames but this class's and the statement's own. What is left out is the same for all statements,
  // so different stacks have different descriptions.
  std::string describe(int n) const {
    std::string out = "[";
    for (int i = n - 1; i >= own_frames; i--) {
      std::string name = frame_name(pcs_[i]);
      if (i == n - 1 && n < max_depth) {
        // In invoke: the model itself where the compiler has put it into its caller, else always the same.
        if (!inlined_) continue;
        name = "model" + name.substr(name.rfind('+'));
      }
      if (out.size() > 1) out += "; ";
      out += name;
    }
    return out + "]";
  }

  static std::string frame_name(void* pc) {
    char offset[32];
    Dl_info info;
    // The return address may be the first of the next function: look at the call itself.
    auto p = static_cast<char*>(pc) - 1;
    if (!dladdr(p, &info)) {
      std::snprintf(offset, sizeof offset, "?+%p", pc);
      return offset;
    }
    if (info.dli_sname == nullptr) {
      const char* slash = std::strrchr(info.dli_fname, '/');
      std::snprintf(offset, sizeof offset, "+0x%zx", static_cast<std::size_t>(static_cast<char*>(pc) - static_cast<char*>(info.dli_fbase)));
      return std::string(slash ? slash + 1 : info.dli_fname) + offset;
    }
    std::snprintf(offset, sizeof offset, "+0x%zx", static_cast<std::size_t>(static_cast<char*>(pc) - static_cast<char*>(info.dli_saddr)));
    int status = 0;
    std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status), std::free);
    return std::string(status == 0 ? name.get() : info.dli_sname) + offset;
  }
};

}  // namespace detail
}  // namespace ppx

#endif  // PPX_DETAIL_ADDRESS_HPP
