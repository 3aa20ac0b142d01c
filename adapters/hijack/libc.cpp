// libc.cpp: the C library's generators. They give numbers, not variates: each is a Uniform of which the integer is made.

#include <stdlib.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>

#include "hijack.hpp"

using namespace ppx::hijack;

#define NUMBER(ret, name, declared, passed, value)                    \
  PPX_EXPORT ret name declared noexcept {                             \
    double u;                                                         \
    if (unit(#name, PPX_CALLER, &u)) return static_cast<ret>(value);  \
    return PPX_REAL(name) passed;                                     \
  }

// The forms that give the number to a pointer and return a status.
#define NUMBER_R(name, declared, passed, type, to, value) \
  PPX_EXPORT int name declared noexcept {                 \
    double u;                                             \
    if (unit(#name, PPX_CALLER, &u)) {                    \
      *to = static_cast<type>(value);                     \
      return 0;                                           \
    }                                                     \
    return PPX_REAL(name) passed;                         \
  }

static double below_one(double u) { return u < 1 ? u : 1 - 0x1p-53; }
static double bits31(double u) { return below(u, 0x1p31); }
static double bits32(double u) { return below(u, 0x1p32) - 0x1p31; }  // with a sign

NUMBER(int, rand, (), (), bits31(u))
NUMBER(int, rand_r, (unsigned* seed), (seed), bits31(u))
NUMBER(long, random, (), (), bits31(u))
NUMBER_R(random_r, (random_data * d, std::int32_t* out), (d, out), std::int32_t, out, bits31(u))
NUMBER(double, drand48, (), (), below_one(u))
NUMBER(double, erand48, (unsigned short x[3]), (x), below_one(u))
NUMBER(long, lrand48, (), (), bits31(u))
NUMBER(long, nrand48, (unsigned short x[3]), (x), bits31(u))
NUMBER(long, mrand48, (), (), bits32(u))
NUMBER(long, jrand48, (unsigned short x[3]), (x), bits32(u))
NUMBER_R(drand48_r, (drand48_data * d, double* out), (d, out), double, out, below_one(u))
NUMBER_R(erand48_r, (unsigned short x[3], drand48_data* d, double* out), (x, d, out), double, out, below_one(u))
NUMBER_R(lrand48_r, (drand48_data * d, long* out), (d, out), long, out, bits31(u))
NUMBER_R(nrand48_r, (unsigned short x[3], drand48_data* d, long* out), (x, d, out), long, out, bits31(u))
NUMBER_R(mrand48_r, (drand48_data * d, long* out), (d, out), long, out, bits32(u))
NUMBER_R(jrand48_r, (unsigned short x[3], drand48_data* d, long* out), (x, d, out), long, out, bits32(u))
NUMBER(std::uint32_t, arc4random, (), (), below(u, 0x1p32))
PPX_EXPORT std::uint32_t arc4random_uniform(std::uint32_t n) noexcept {
  double x;
  if (n > 0 && scalar("arc4random_uniform", ppx::Kind::discrete_uniform, PPX_CALLER, &x, 0, n - 1.0)) return static_cast<std::uint32_t>(x);
  return PPX_REAL(arc4random_uniform)(n);
}

// Seeds say nothing any more; one that comes again may mean the same numbers again.
#define SEED(ret, name, kind, declared, passed, seed) \
  PPX_EXPORT ret name declared noexcept {             \
    seeded(kind, static_cast<std::uint64_t>(seed));   \
    return PPX_REAL(name) passed;                     \
  }
SEED(void, srand, 11, (unsigned seed), (seed), seed)
SEED(void, srandom, 11, (unsigned seed), (seed), seed)
SEED(void, srand48, 12, (long seed), (seed), seed)
SEED(unsigned short*, seed48, 13, (unsigned short x[3]), (x), x[0] + (x[1] << 16) + (static_cast<std::uint64_t>(x[2]) << 32))
SEED(int, srandom_r, 14, (unsigned seed, random_data* d), (seed, d), seed)
SEED(int, srand48_r, 15, (long seed, drand48_data* d), (seed, d), seed)
PPX_EXPORT char* setstate(char* state) noexcept {
  if (live_by_caller(PPX_CALLER)) notice(repeats);
  return PPX_REAL(setstate)(state);
}

// Random numbers that nobody here answers.
PPX_EXPORT ssize_t getrandom(void* p, std::size_t n, unsigned flags) {
  if (live_by_caller(PPX_CALLER)) notice(outside);
  return PPX_REAL(getrandom)(p, n, flags);
}
PPX_EXPORT int getentropy(void* p, std::size_t n) {
  if (live_by_caller(PPX_CALLER)) notice(outside);
  return PPX_REAL(getentropy)(p, n);
}

// What the time is differs from run to run.
PPX_EXPORT time_t time(time_t* t) noexcept {
  if (live_by_caller(PPX_CALLER)) notice(clocks);
  return PPX_REAL(time)(t);
}
PPX_EXPORT int gettimeofday(timeval* t, void* zone) noexcept {
  if (live_by_caller(PPX_CALLER)) notice(clocks);
  return PPX_REAL(gettimeofday)(t, zone);
}
