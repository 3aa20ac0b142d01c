// Loops over float32 that a compiler makes fast and Go does not. Every function gives each row the same bits
// whatever the other rows are.
#pragma once

// Gates i, f, g, o of rows, 4·h wide, are replaced by their activations; before is the cell state before, or null.
void ppx_lstm_forward(int rows, int h, float *gates, const float *before, float *c, float *tanh_c, float *out);

// d_gates, 4·h wide, are the gradients of the gates' sums; dc is replaced by that of the state before.
void ppx_lstm_backward(int rows, int h, const float *gates, const float *before, const float *tanh_c, const float *d_out,
                       const float *dh, float *dc, float *d_gates);

// One step of an LSTM whose gates' sums are given; h and c are replaced.
void ppx_lstm_step(int n, float *gates, float *h, float *c);

void ppx_adam(long n, float *value, float *grad, float *first, float *second, float rate, float correction, float b1, float b2,
              float eps, float keep, float scale);
double ppx_sum_squares(long n, const float *x);
void ppx_relu(long n, float *x);
void ppx_relu_backward(long n, const float *y, float *dy);
void ppx_add(long n, float *sum, const float *x);

// out[r·outs + o] += Σ_k x[r·in + k]·w, k ascending, for packed weights: panels of 16 outputs, in × 16 each.
void ppx_dense(int rows, int in, int outs, const float *x, const float *packed, float *out);
