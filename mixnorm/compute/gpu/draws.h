// Draws of points in proportion to what each has.

#ifndef MIXNORM_DRAWS_H
#define MIXNORM_DRAWS_H

#include "points.h"

// Finds the first i with before + values[0] + ... + values[i] >= target, by
// a warp; n - 1 if there is none. Adds the values before it to `before`.
template <class T>
__device__ Index search(
    const T* values, Index n, double target, double* before) {
  int lane = threadIdx.x % kWarp;
  Index share = (n + kWarp - 1) / kWarp;
  Index first = lane * share < n ? lane * share : n;
  Index last = first + share < n ? first + share : n;
  double sum = 0;
  for (Index i = first; i < last; ++i) sum += values[i];
  double end = sum;  // of the lane's share: an inclusive scan
  for (int step = 1; step < kWarp; step *= 2) {
    double other = __shfl_up_sync(0xffffffffu, end, step);
    if (lane >= step) end += other;
  }
  // Lane 0's start is 0 exactly.
  double start = __shfl_up_sync(0xffffffffu, end, 1);
  if (lane == 0) start = 0;
  unsigned reached =
      __ballot_sync(0xffffffffu, first < last && *before + end >= target);
  // Nowhere: by rounding, or because of what is not a number.
  int owner = reached ? __ffs(reached) - 1 : (int)((n - 1) / share);
  Index found = n - 1;
  double sum_before = *before + start;
  if (lane == owner) {
    found = first;
    while (found < last - 1 && !(sum_before + values[found] >= target)) {
      sum_before += values[found];
      ++found;
    }
  }
  *before = __shfl_sync(0xffffffffu, sum_before, owner);
  return __shfl_sync(0xffffffffu, found, owner);
}

// The sum of values[0], values[1], ...: the same in every thread.
__device__ inline double thread_block_sum(
    const double* values, int n, double* shared) {
  double sum = 0;
  for (int i = threadIdx.x; i < n; i += kThreads) sum += values[i];
  sum = warp_sum(sum);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = sum;
  __syncthreads();
  sum = 0;
  for (int w = 0; w < kThreads / kWarp; ++w) sum += shared[w];
  return sum;
}

#endif  // MIXNORM_DRAWS_H
