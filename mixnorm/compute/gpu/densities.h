// Log densities of diagonal Gaussian mixtures, and posteriors.

#ifndef MIXNORM_DENSITIES_H
#define MIXNORM_DENSITIES_H

#include "tile.h"

__device__ inline Working minus_infinity() { return log(Working(0)); }

// Computes the part of a component's log density that no point enters,
//
//     log lambda_k - (C log(2 pi) + sum_c log s_kc^2) / 2
//
// which is minus infinity for an absent component. A warp per component.
__device__ inline void log_constants(
    Working* constants, const Working* weights, const Working* variances,
    int n_columns, int n_dims) {
  const double kLogTwoPi = 1.8378770664093453;
  int lane = threadIdx.x % kWarp;
  for (int k = threadIdx.x / kWarp; k < n_columns; k += kThreads / kWarp) {
    double sum = 0;
    for (int c = lane; c < n_dims; c += kWarp) {
      Working variance = variances[(Index)k * n_dims + c];
      // An infinitely wide component says nothing in this channel; a NaN
      // makes its precision one.
      if (variance - variance == 0) sum += log(variance);
    }
    sum = warp_sum(sum);
    if (lane == 0) {
      // Of weight 0, minus infinity, whatever the variances.
      constants[k] = weights[k] == 0
          ? minus_infinity()
          : Working(log(weights[k]) - .5 * (n_dims * kLogTwoPi + sum));
    }
  }
}

// Turns the quadratic forms of one point under one mixture into its
// posterior, eq. (31) of Kalayeh & Shah. Returns the log density. Of a point
// too far from all components to tell, they have equal shares.
__device__ inline Working normalize_row(
    Working* row, const Working* constants, int n_components) {
  Working top = minus_infinity();
  bool far = true;
  for (int k = 0; k < n_components; ++k) {
    // Not by its form, which can be 0 times infinity.
    row[k] = constants[k] == minus_infinity()
        ? minus_infinity()
        : constants[k] - Working(.5) * row[k];
    if (row[k] > top) top = row[k];
    if (row[k] != minus_infinity()) far = false;
  }
  if (far) {
    top = 0;
    for (int k = 0; k < n_components; ++k) {
      if (constants[k] != minus_infinity()) row[k] = 0;
    }
  }
  Working total = 0;
  for (int k = 0; k < n_components; ++k) {
    row[k] = exp(row[k] - top);
    total += row[k];
  }
  for (int k = 0; k < n_components; ++k) row[k] /= total;
  return far ? minus_infinity() : log(total) + top;
}

#endif  // MIXNORM_DENSITIES_H
