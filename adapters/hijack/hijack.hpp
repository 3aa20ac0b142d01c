// hijack.hpp: what the hooks of a hijacked process call. No exception, no allocation, no library but libc: the process is somebody else's.

#ifndef PPX_HIJACK_HPP
#define PPX_HIJACK_HPP

#include <ppx/random.hpp>

#include <cerrno>
#include <cstring>

#include "link.hpp"

#define PPX_EXPORT extern "C" __attribute__((visibility("default")))

namespace ppx::hijack {

// Where a hooked function was called: the first frame that is the program's.
struct Caller {
  void* pc;
  void* sp;
  void* bp;
};

// The caller of the function in which it stands.
#define PPX_CALLER \
  ::ppx::hijack::Caller { __builtin_return_address(0), static_cast<char*>(__builtin_frame_address(0)) + 16, *static_cast<void**>(__builtin_frame_address(0)) }

// A parameter, or a value: a number where rank is 0.
struct Array {
  const double* data;
  std::uint32_t rank;
  const std::uint64_t* shape;
};

// Whether the draws of this thread are those of a run. A program that is to be forked at its first draw is forked here.
bool live();

// The same without forking: whether a call by this caller is one of a run's program, and not of a library's.
bool live_by_caller(const Caller& at);

// A draw is on its way: what it calls is not hooked.
struct Within {
  Within();
  ~Within();
  int error = errno;
};

// The place of a draw, by the call stack.
std::uint32_t place(const char* what, Kind kind, const Caller& at);

// Whether a draw by that caller is one that is not told, whatever else is on the stack.
bool bulk_by(const Caller& at, const char* what);

// Such a draw, of valid parameters.
double bulk_number(Kind kind, const double* p);

// Draws, into value: false where the parameters are none of the family's.
bool draw(std::uint32_t site, Kind kind, int parameters, const Array* p, const Array& shape, double* value);

// The draw of a hooked function that was called there: false where the function's own code is to make it.
bool drawn(const char* what, const Caller& at, Kind kind, int parameters, const Array* p, const Array& shape, double* value);

void notice(Notice n);

// A generator of a kind is seeded: by a seed that this run has had before, the program may mean the same numbers again.
void seeded(std::uint64_t kind, std::uint64_t seed);

// Whether this process is one of ppx wrap's.
bool hijacked();

// The function that we stand before; the other form is null where there is none.
void* real(const char* name);
void* real_or_null(const char* name);
#define PPX_REAL(name)                                     \
  ([] {                                                    \
    static void* known;                                    \
    if (known == nullptr) known = ::ppx::hijack::real(#name); \
    return reinterpret_cast<decltype(&name)>(known);       \
  }())

// A draw of a number by a scalar family: false where the function's own code is to make it.
template <class... P>
inline bool scalar(const char* what, Kind kind, const Caller& at, double* value, P... p) {
  if (!live()) return false;
  double numbers[] = {static_cast<double>(p)..., 0, 0, 0, 0};
  if (!rng::valid(kind, numbers[0], numbers[1], numbers[2], numbers[3])) return false;
  if (bulk_by(at, what)) {
    *value = bulk_number(kind, numbers);
    return true;
  }
  Within w;
  Array arrays[sizeof...(P)];
  for (std::size_t i = 0; i < sizeof...(P); i++) arrays[i] = {numbers + i, 0, nullptr};
  return draw(place(what, kind, at), kind, static_cast<int>(sizeof...(P)), arrays, {nullptr, 0, nullptr}, value);
}

// A number between 0 and 1, neither of them.
inline bool unit(const char* what, const Caller& at, double* value) { return scalar(what, Kind::uniform, at, value, 0.0, 1.0); }

// A whole number of [0, n).
inline double below(double u, double n) {
  double k = __builtin_floor(u * n);
  return k < 0 ? 0 : k < n ? k : n - 1;
}

}  // namespace ppx::hijack

#endif  // PPX_HIJACK_HPP
