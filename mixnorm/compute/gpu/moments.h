// Sums that new parameters come from, and the parameters that come from them.
//
// A row of sums is
//
//     first (K, C), second (K, C), counts (K,), log density.

#ifndef MIXNORM_MOMENTS_H
#define MIXNORM_MOMENTS_H

#include "tile.h"

struct Sums {
  double* first;
  double* second;
  double* counts;  // the log density follows

  __device__ Sums(double* partial, Index row, int n_components, int n_dims) {
    Index matrix = (Index)n_components * n_dims;
    first = partial + row * (2 * matrix + n_components + 1);
    second = first + matrix;
    counts = second + matrix;
  }
};

// One-hot rows: the nearest centre, the first of equals.
__device__ inline void choose_nearest(Working* row, int n_components) {
  int nearest = 0;
  for (int k = 1; k < n_components; ++k) {
    if (row[k] < row[nearest]) nearest = k;
  }
  for (int k = 0; k < n_components; ++k) row[k] = k == nearest;
}

// Adds up each component's responsibilities, and the log densities. A warp
// per sum.
__device__ inline void add_counts(
    const Tile& tile, const Working* log_density, int n_points,
    int n_components, double* counts) {
  int lane = threadIdx.x % kWarp;
  for (int k = threadIdx.x / kWarp; k <= n_components;
       k += kThreads / kWarp) {
    double sum = 0;
    for (int p = lane; p < n_points; p += kWarp) {
      sum += k < n_components ? tile.rows[p * tile.columns + k]
                              : log_density[p];
    }
    sum = warp_sum(sum);
    if (lane == 0) counts[k] += sum;
  }
}

// Turns the thread blocks' sums into parameters,
//
//     lambda_k = n_k / M,  mu_kc = m_kc + first / n_k,
//     s_kc^2 = second / n_k - (first / n_k)^2 + regularization,
//
// where m is what deviations were taken from. A component that no point
// belongs to stays at m, with the variance 0 + regularization. It does so
// for the channels of number `chunk`, kWarp of them, of component k; eight
// groups of threads share the rows.
__device__ inline void combine_moments(
    int chunk, int k, const double* partial, Index n_rows, Index n_points,
    int n_components, int n_dims, const Working* centers,
    double regularization, Working* weights, Working* means,
    Working* variances, double* log_density) {
  __shared__ double totals[3][kThreads];
  int lane = threadIdx.x % kWarp;
  int c = chunk * kWarp + lane;
  Index row_length = 2 * (Index)n_components * n_dims + n_components + 1;
  Sums sums(const_cast<double*>(partial), 0, n_components, n_dims);

  double first = 0;
  double second = 0;
  if (c < n_dims) {
    const double* entry = sums.first + (Index)k * n_dims + c;
    Index other = sums.second - sums.first;
#pragma unroll 4
    for (Index row = threadIdx.x / kWarp; row < n_rows;
         row += kThreads / kWarp) {
      first += entry[row * row_length];
      second += entry[row * row_length + other];
    }
  }
  double count = 0;
  for (Index row = threadIdx.x; row < n_rows; row += kThreads) {
    count += sums.counts[row * row_length + k];
  }
  totals[0][threadIdx.x] = first;
  totals[1][threadIdx.x] = second;
  totals[2][threadIdx.x] = count;
  // Eight rows of lanes are left to the first two sums, one to the count.
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      if (half >= kWarp) {
        totals[0][threadIdx.x] += totals[0][threadIdx.x + half];
        totals[1][threadIdx.x] += totals[1][threadIdx.x + half];
      }
      totals[2][threadIdx.x] += totals[2][threadIdx.x + half];
    }
  }
  __syncthreads();

  count = totals[2][0];
  if (threadIdx.x < kWarp && c < n_dims) {
    Index entry = (Index)k * n_dims + c;
    double mean = 0;
    double variance = 0;
    if (!(count == 0)) {
      mean = totals[0][lane] / count;
      variance = totals[1][lane] / count - mean * mean;
      if (variance < 0) variance = 0;
    }
    means[entry] = Working(centers[entry] + mean);
    variances[entry] = Working(variance + regularization);
  }
  if (chunk == 0 && threadIdx.x == 0) {
    weights[k] = Working(n_points > 0 ? count / n_points : 0);
  }
  if (chunk == 0 && k == 0 && log_density != nullptr &&
      threadIdx.x < kWarp) {
    double sum = 0;
    for (Index row = lane; row < n_rows; row += kWarp) {
      sum += sums.counts[row * row_length + n_components];
    }
    sum = warp_sum(sum);
    if (lane == 0) *log_density = sum / n_points;
  }
}

// Drops light components, and returns to the units the sample was
// standardized from, for the channels of number `chunk`, kThreads of them.
__device__ inline void discard_and_rescale(
    int chunk, const Working* weights, const Working* means,
    const Working* variances, int n_components, int n_dims, double min_weight,
    const Working* location, const Working* scale, Working* new_weights,
    Working* new_means, Working* new_variances) {
  Working heaviest = weights[0];
  for (int k = 1; k < n_components; ++k) {
    if (weights[k] > heaviest) heaviest = weights[k];
  }
  Working limit = heaviest < Working(min_weight) ? heaviest
                                                 : Working(min_weight);
  double total = 0;
  for (int k = 0; k < n_components; ++k) {
    if (weights[k] >= limit) total += weights[k];
  }
  int c = chunk * kThreads + threadIdx.x;
  for (int k = 0; k < n_components; ++k) {
    if (chunk == 0 && threadIdx.x == 0) {
      // What is not a number is not kept.
      new_weights[k] =
          Working((weights[k] >= limit ? weights[k] : Working(0)) / total);
    }
    if (c < n_dims) {
      Index i = (Index)k * n_dims + c;
      Working unit = scale == nullptr ? Working(1) : scale[c];
      Working zero = location == nullptr ? Working(0) : location[c];
      new_means[i] = means[i] * unit + zero;
      new_variances[i] = variances[i] * unit * unit;
    }
  }
}

#endif  // MIXNORM_MOMENTS_H
