// fortran.cpp: libgfortran's random numbers: random_number of scalars and arrays, and the older rand and irand.

#include <stdlib.h>

#include "hijack.hpp"

using namespace ppx::hijack;
using ppx::Kind;

namespace {

// An array as gfortran describes it (GCC 9 and later).
struct Dimension {
  std::ptrdiff_t stride, lower, upper;
};
struct Descriptor {
  void* base;
  std::size_t offset;
  struct {
    std::size_t length;
    int version;
    signed char rank, type;
    short attribute;
  } dtype;
  std::ptrdiff_t span;
  Dimension dim[15];
};

// u in T, which must stay below 1.
template <class T>
T rounded(double u) {
  constexpr T most = sizeof(T) == 4 ? T(1) - T(0x1p-24) : sizeof(T) == 8 ? T(1) - T(0x1p-53) : T(1) - T(0x1p-64);
  T v = static_cast<T>(u);
  return v < most ? v : most;
}

template <class T>
bool number(const Caller& at, T* x) {
  double u;
  if (!unit("random_number", at, &u)) return false;
  *x = rounded<T>(u);
  return true;
}

// An array is one statement; its shape has the fastest dimension last, as everywhere here.
template <class T>
bool array(const Caller& at, Descriptor* a) {
  if (!live()) return false;
  int rank = a->dtype.rank;
  std::uint64_t shape[15], n = 1;
  for (int k = 0; k < rank; k++) {
    std::ptrdiff_t extent = a->dim[k].upper - a->dim[k].lower + 1;
    if (extent <= 0) return true;
    shape[rank - 1 - k] = static_cast<std::uint64_t>(extent);
    n *= static_cast<std::uint64_t>(extent);
  }
  auto* u = static_cast<double*>(malloc(n * sizeof(double)));
  if (u == nullptr) return false;
  double ends[2] = {0, 1};
  Array p[2] = {{ends, 0, nullptr}, {ends + 1, 0, nullptr}};
  bool ok = drawn("random_number", at, Kind::uniform, 2, p, {nullptr, static_cast<std::uint32_t>(rank), shape}, u);
  if (ok) {
    std::ptrdiff_t index[15] = {};
    for (std::uint64_t i = 0; i < n; i++) {
      std::ptrdiff_t offset = 0;
      for (int k = 0; k < rank; k++) offset += index[k] * a->dim[k].stride;
      static_cast<T*>(a->base)[offset] = rounded<T>(u[i]);
      for (int k = 0; k < rank && ++index[k] > a->dim[k].upper - a->dim[k].lower; k++) index[k] = 0;
    }
  }
  free(u);
  return ok;
}

}  // namespace

#define RANDOM_NUMBER(kind, T)                                  \
  PPX_EXPORT void _gfortran_random_##kind(T* x) {               \
    if (!number(PPX_CALLER, x)) PPX_REAL(_gfortran_random_##kind)(x); \
  }                                                             \
  PPX_EXPORT void _gfortran_arandom_##kind(Descriptor* a) {     \
    if (!array<T>(PPX_CALLER, a)) PPX_REAL(_gfortran_arandom_##kind)(a); \
  }
RANDOM_NUMBER(r4, float)
RANDOM_NUMBER(r8, double)
#if defined(__x86_64__)
RANDOM_NUMBER(r10, long double)
RANDOM_NUMBER(r16, __float128)
#endif

PPX_EXPORT float _gfortran_rand(std::int32_t* i) {
  double u;
  if (unit("rand", PPX_CALLER, &u)) return rounded<float>(u);
  return PPX_REAL(_gfortran_rand)(i);
}

PPX_EXPORT std::int32_t _gfortran_irand(std::int32_t* i) {
  double u;
  if (unit("irand", PPX_CALLER, &u)) return static_cast<std::int32_t>(below(u, 0x1p31 - 1));
  return PPX_REAL(_gfortran_irand)(i);
}

// A seed that is put again may mean the same numbers again.
template <class T>
static void put_seed(const Descriptor* put) {
  if (put == nullptr || put->base == nullptr) return;
  std::uint64_t h = 0;
  const Dimension& d = put->dim[0];
  for (std::ptrdiff_t i = 0; i <= d.upper - d.lower && i < 64; i++) h = h * 0x9E3779B97F4A7C15u + static_cast<std::uint64_t>(static_cast<const T*>(put->base)[i * d.stride]);
  seeded(20, h);
}
PPX_EXPORT void _gfortran_random_seed_i4(std::int32_t* size, Descriptor* put, Descriptor* get) {
  put_seed<std::int32_t>(put);
  PPX_REAL(_gfortran_random_seed_i4)(size, put, get);
}
PPX_EXPORT void _gfortran_random_seed_i8(std::int64_t* size, Descriptor* put, Descriptor* get) {
  put_seed<std::int64_t>(put);
  PPX_REAL(_gfortran_random_seed_i8)(size, put, get);
}
PPX_EXPORT void _gfortran_srand(std::int32_t* i) {
  if (i != nullptr) seeded(21, static_cast<std::uint64_t>(*i));
  PPX_REAL(_gfortran_srand)(i);
}
