// A stack of convolutions (with ReLU) and max-pools by oneDNN, for one batch size. Functions return 0, or
// oneDNN's status.
#pragma once
#include <stddef.h>

typedef struct ppx_cnn ppx_cnn;

// Stages are given by 13 numbers each: channels out (0: a pool), then three each for size in, size out, width and padding.
// Images have one channel.
int ppx_cnn_new(ppx_cnn **out, int threads, int rows, int stages, const int *spec);
void ppx_cnn_free(ppx_cnn *c);
// x: rows × size in; weights and biases of the convolutions one after the other; y: rows × channels × size out.
int ppx_cnn_forward(ppx_cnn *c, int threads, const float *x, float **weights, float **biases, float *y);
// For the last forward, of the same x and weights: the gradients are written to d_weights and d_biases.
int ppx_cnn_backward(ppx_cnn *c, int threads, const float *x, float **weights, const float *dy, float **d_weights, float **d_biases);
