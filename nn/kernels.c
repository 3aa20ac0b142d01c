#include "kernels.h"

#include <string.h>

// Functions are compiled for several instruction sets, of which the loader picks one. Vectors have 16 numbers on all of
// them.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))

enum { W = 16 };
typedef float v16 __attribute__((vector_size(64)));
typedef int i16 __attribute__((vector_size(64)));
typedef float panel __attribute__((vector_size(64), aligned(4), may_alias));

// The first n numbers, n ≤ W; the others are 0.
INLINE v16 load(const float *p, int n) {
  if (n >= W) return *(const panel *)p;
  v16 v = {0};
  memcpy(&v, p, n * sizeof(float));
  return v;
}

INLINE void store(float *p, v16 v, int n) {
  if (n >= W)
    *(panel *)p = v;
  else
    memcpy(p, &v, n * sizeof(float));
}

INLINE v16 pick(i16 mask, v16 yes, v16 no) { return (v16)((mask & (i16)yes) | (~mask & (i16)no)); }

// e to the power of x, to about 2 units in the last place (Cephes' expf); what is not a number stays so.
INLINE v16 exp_(v16 x) {
  v16 lo = {0}, hi = {0};
  lo -= 87.0f;
  hi += 88.0f;
  x = pick(x < lo, lo, x);
  x = pick(x > hi, hi, x);
  v16 n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f; // rounds to an integer
  v16 r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  v16 p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  i16 bits = (__builtin_convertvector(n, i16) + 127) << 23;
  return p * (v16)bits;
}

INLINE v16 sigmoid_(v16 x) { return 1.0f / (1.0f + exp_(-x)); }
INLINE v16 tanh_(v16 x) { return 1.0f - 2.0f / (1.0f + exp_(2.0f * x)); }

// The square root of x ≥ 0: 1/√x by three steps of Newton from the usual first guess.
INLINE v16 sqrt_(v16 x) {
  i16 guess = 0x5f3759df - ((i16)x >> 1);
  v16 y = (v16)guess;
  for (int i = 0; i < 3; i++) y = y * (1.5f - (0.5f * x * y) * y);
  return x * y;
}

CLONES void ppx_lstm_forward(int rows, int h, float *gates, const float *before, float *cs, float *tanh_c, float *out) {
  for (int r = 0; r < rows; r++) {
    float *g = gates + (long)r * 4 * h, *c = cs + (long)r * h;
    for (int k = 0; k < h; k += W) {
      int n = h - k;
      v16 in = sigmoid_(load(g + k, n)), forget = sigmoid_(load(g + h + k, n)), cell = tanh_(load(g + 2 * h + k, n)), o = sigmoid_(load(g + 3 * h + k, n));
      v16 s = in * cell;
      if (before) s += forget * load(before + (long)r * h + k, n);
      v16 th = tanh_(s);
      store(g + k, in, n);
      store(g + h + k, forget, n);
      store(g + 2 * h + k, cell, n);
      store(g + 3 * h + k, o, n);
      store(c + k, s, n);
      store(tanh_c + (long)r * h + k, th, n);
      store(out + (long)r * h + k, o * th, n);
    }
  }
}

CLONES void ppx_lstm_backward(int rows, int h, const float *gates, const float *before, const float *tanh_c, const float *d_out,
                              const float *dhs, float *dcs, float *d_gates) {
  for (int r = 0; r < rows; r++) {
    const float *g = gates + (long)r * 4 * h;
    float *d = d_gates + (long)r * 4 * h;
    for (int k = 0; k < h; k += W) {
      int n = h - k;
      long at = (long)r * h + k;
      v16 in = load(g + k, n), forget = load(g + h + k, n), cell = load(g + 2 * h + k, n), o = load(g + 3 * h + k, n), th = load(tanh_c + at, n);
      v16 dh = load(d_out + at, n) + load(dhs + at, n);
      v16 dc = load(dcs + at, n) + dh * o * (1.0f - th * th);
      store(d + k, dc * cell * in * (1.0f - in), n);
      v16 f = {0};
      if (before) f = dc * load(before + at, n) * forget * (1.0f - forget);
      store(d + h + k, f, n);
      store(d + 2 * h + k, dc * in * (1.0f - cell * cell), n);
      store(d + 3 * h + k, dh * th * o * (1.0f - o), n);
      store(dcs + at, dc * forget, n);
    }
  }
}

CLONES void ppx_lstm_step(int size, float *g, float *h, float *c) {
  for (int k = 0; k < size; k += W) {
    int n = size - k;
    v16 s = sigmoid_(load(g + k, n)) * tanh_(load(g + 2 * size + k, n));
    s += sigmoid_(load(g + size + k, n)) * load(c + k, n);
    store(c + k, s, n);
    store(h + k, sigmoid_(load(g + 3 * size + k, n)) * tanh_(s), n);
  }
}

CLONES void ppx_adam(long size, float *value, float *grad, float *first, float *second, float rate, float correction, float b1,
                     float b2, float eps, float keep, float scale) {
  for (long i = 0; i < size; i += W) {
    int n = size - i < W ? (int)(size - i) : W;
    v16 g = load(grad + i, n) * scale;
    v16 m = b1 * load(first + i, n) + (1.0f - b1) * g;
    v16 v = b2 * load(second + i, n) + (1.0f - b2) * g * g;
    store(first + i, m, n);
    store(second + i, v, n);
    store(value + i, keep * load(value + i, n) - rate * m / (sqrt_(v) * correction + eps), n);
    store(grad + i, (v16){0}, n);
  }
}

CLONES double ppx_sum_squares(long n, const float *restrict x) {
  double lanes[16] = {0};
  long i = 0;
  for (; i + 16 <= n; i += 16)
    for (int k = 0; k < 16; k++) lanes[k] += (double)x[i + k] * (double)x[i + k];
  for (int k = 0; i < n; i++, k++) lanes[k] += (double)x[i] * (double)x[i];
  double sum = 0;
  for (int k = 0; k < 16; k++) sum += lanes[k];
  return sum;
}

CLONES void ppx_relu(long n, float *restrict x) {
  for (long i = 0; i < n; i++) x[i] = x[i] < 0.0f ? 0.0f : x[i]; // not a number stays so
}

CLONES void ppx_relu_backward(long n, const float *restrict y, float *restrict dy) {
  for (long i = 0; i < n; i++) dy[i] = y[i] <= 0.0f ? 0.0f : dy[i];
}

CLONES void ppx_add(long n, float *restrict sum, const float *restrict x) {
  for (long i = 0; i < n; i++) sum[i] += x[i];
}

// TILE makes a function for R rows and P panels. Each row's sums are made by the same operations in all of them.
#define TILE(R, P)                                                                                                    \
  CLONES static void tile_##R##_##P(int in, int outs, const float *restrict x, const float *restrict w, float *restrict out) { \
    panel acc[R][P];                                                                                                  \
    for (int r = 0; r < R; r++)                                                                                       \
      for (int p = 0; p < P; p++) acc[r][p] = (panel){0};                                                             \
    for (int k = 0; k < in; k++)                                                                                      \
      for (int p = 0; p < P; p++) {                                                                                   \
        panel wk = *(const panel *)(w + ((long)p * in + k) * 16);                                                     \
        for (int r = 0; r < R; r++) acc[r][p] += wk * x[(long)r * in + k];                                            \
      }                                                                                                               \
    for (int r = 0; r < R; r++)                                                                                       \
      for (int p = 0; p < P; p++) *(panel *)(out + (long)r * outs + p * 16) += acc[r][p];                             \
  }
TILE(1, 4)
TILE(1, 1)
TILE(2, 1)
TILE(4, 1)

static void last_panel(int rows, int in, int outs, int width, const float *x, const float *w, float *out) {
  for (int r = 0; r < rows; r++) {
    float room[16] = {0};
    memcpy(room, out + (long)r * outs, width * sizeof(float));
    tile_1_1(in, 16, x + (long)r * in, w, room);
    memcpy(out + (long)r * outs, room, width * sizeof(float));
  }
}

void ppx_dense(int rows, int in, int outs, const float *x, const float *packed, float *out) {
  int whole = outs / 16, p = 0;
  if (rows == 1) {
    for (; p + 4 <= whole; p += 4) tile_1_4(in, outs, x, packed + (long)p * in * 16, out + p * 16);
    for (; p < whole; p++) tile_1_1(in, outs, x, packed + (long)p * in * 16, out + p * 16);
  } else {
    for (; p < whole; p++) {
      const float *w = packed + (long)p * in * 16;
      float *o = out + p * 16;
      int r = 0;
      for (; r + 4 <= rows; r += 4) tile_4_1(in, outs, x + (long)r * in, w, o + (long)r * outs);
      for (; r + 2 <= rows; r += 2) tile_2_1(in, outs, x + (long)r * in, w, o + (long)r * outs);
      for (; r < rows; r++) tile_1_1(in, outs, x + (long)r * in, w, o + (long)r * outs);
    }
  }
  if (outs % 16) last_panel(rows, in, outs, outs % 16, x, packed + (long)whole * in * 16, out + whole * 16);
}
