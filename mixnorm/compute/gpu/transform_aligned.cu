// The transform and its gradient where a channel's positions lie side by side
// in memory, in whole fours: a thread has four neighbouring positions, and
// one load or store moves them all.
//
// What belongs to points is (B, J, L) or (B, C, L), of less than 2^31
// elements, with length_stride 1; all other strides and addresses are whole
// fours. A four has the number b * fours + l / 4, with fours = L / 4.

#include "tile.h"

// A thread block's channels, and those of one of its warps. Lanes are
// neighbouring fours.
const int kAlignedChannels = MIXNORM_ALIGNED_CHANNELS;
const int kAlignedSumChannels = MIXNORM_ALIGNED_SUM_CHANNELS;
const int kWarps = kThreads / kWarp;

// Channels that a thread reads before it computes with any: as many as its
// registers hold.
const int kAhead = sizeof(Working) == 4 ? 2 : 1;

// Fours between which sums in the working type go into float64.
const int kFoursOfRun = 16;

template <class T>
__device__ inline Four<Working> load_four(const T* from) {
  Four<T> four = *reinterpret_cast<const Four<T>*>(from);
  Four<Working> values;
#pragma unroll
  for (int i = 0; i < kFour; ++i) values.at[i] = to_working(four.at[i]);
  return values;
}

template <class T>
__device__ inline void store_four(T* to, const Working* values) {
  Four<T> four;
#pragma unroll
  for (int i = 0; i < kFour; ++i) assign(&four.at[i], values[i]);
  *reinterpret_cast<Four<T>*>(to) = four;
}

// Of the columns [first, + kQuad), the coefficients of a four of points; 0
// from n_columns on.
__device__ inline void load_coefficients(
    Four<Working>* shares, const Working* tau, int tau_column, int first,
    int n_columns) {
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    shares[j] = {};
    if (first + j < n_columns) {
      shares[j] = load_four(tau + (first + j) * tau_column);
    }
  }
}

// With kGradient, of the point i and the channel c,
//
//     out = g * sum_j tau_ij slope_jc
//           + (x - origin) * sum_j tau_ij quadratic_jc     } if kTerms is 3
//           + sum_j tau_ij offset_jc
//
// and without, where kTerms is 2,
//
//     out = (x - origin) * sum_j tau_ij slope_jc
//           + sum_j tau_ij offset_jc + shift_c.
//
template <bool kGradient, int kTerms>
__device__ void combine_fours(
    const Input* __restrict__ x, int x_batch, int x_channel,
    const Input* __restrict__ g, int g_batch, int g_channel, int fours,
    int n_fours, int n_dims, const Working* __restrict__ tau, int tau_batch,
    int tau_column, int n_columns, const Working* __restrict__ slope,
    const Working* __restrict__ offset, const Working* __restrict__ quadratic,
    const Working* __restrict__ origin, const Working* __restrict__ shift,
    Input* __restrict__ out) {
  const bool kReadsX = !kGradient || kTerms == 3;
  const Working* sources[3] = {slope, offset, quadratic};
  int first_channel = blockIdx.y * kAlignedChannels;
  int n_channels = min_int(kAlignedChannels, n_dims - first_channel);
  int n_quads = (n_columns + kQuad - 1) / kQuad;

  // matrices: (quads, kTerms, kAlignedChannels), of kQuad columns each.
  Arena arena = {dynamic_shared};
  Quad* matrices = arena.take<Quad>(n_quads * kTerms * kAlignedChannels);
  Working* origins = arena.take<Working>(kAlignedChannels);
  Working* shifts = arena.take<Working>(kAlignedChannels);
  for (int item = threadIdx.x; item < n_quads * kQuad * kAlignedChannels;
       item += kThreads) {
    int c = item % kAlignedChannels;
    int j = item / kAlignedChannels;
    bool inside = j < n_columns && c < n_channels;
#pragma unroll
    for (int term = 0; term < kTerms; ++term) {
      int row = j / kQuad * kTerms + term;
      matrices[row * kAlignedChannels + c].at[j % kQuad] =
          inside ? sources[term][(Index)j * n_dims + first_channel + c]
                 : Working(0);
    }
  }
  for (int c = threadIdx.x; c < n_channels; c += kThreads) {
    origins[c] = origin == nullptr ? Working(0) : origin[first_channel + c];
    shifts[c] = shift == nullptr ? Working(0) : shift[first_channel + c];
  }
  __syncthreads();

  for (int number = blockIdx.x * kWarp + threadIdx.x % kWarp;
       number < n_fours; number += gridDim.x * kWarp) {
    int b = number / fours;
    int l = (number - b * fours) * kFour;
    const Working* coefficients = tau + (b * tau_batch + l);
    int x_start = b * x_batch + first_channel * x_channel + l;
    int g_start = b * g_batch + first_channel * g_channel + l;
    int out_start = (b * n_dims + first_channel) * fours * kFour + l;
#pragma unroll 1
    for (int c = threadIdx.x / kWarp; c < n_channels; c += kWarps * kAhead) {
      Four<Working> value[kAhead];
      Four<Working> upstream[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        int channel = c + i * kWarps;
        if (channel >= n_channels) continue;
        if (kReadsX) value[i] = load_four(x + (x_start + channel * x_channel));
        if (kGradient) {
          upstream[i] = load_four(g + (g_start + channel * g_channel));
        }
      }
      Working sums[kAhead][kTerms][kFour] = {};
#pragma unroll 1
      for (int q = 0; q < n_quads; ++q) {
        Four<Working> shares[kQuad];
        load_coefficients(
            shares, coefficients, tau_column, q * kQuad, n_columns);
        const Quad* rows = matrices + q * kTerms * kAlignedChannels + c;
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
          if (c + i * kWarps >= n_channels) continue;
#pragma unroll
          for (int term = 0; term < kTerms; ++term) {
            Quad row = rows[term * kAlignedChannels + i * kWarps];
#pragma unroll
            for (int j = 0; j < kQuad; ++j) {
#pragma unroll
              for (int p = 0; p < kFour; ++p) {
                sums[i][term][p] += row.at[j] * shares[j].at[p];
              }
            }
          }
        }
      }
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        int channel = c + i * kWarps;
        if (channel >= n_channels) continue;
        Working results[kFour];
#pragma unroll
        for (int p = 0; p < kFour; ++p) {
          Working point = kReadsX ? value[i].at[p] - origins[channel]
                                  : Working(0);
          results[p] = (kGradient ? upstream[i].at[p] : point) *
                       sums[i][0][p];
          if (kTerms > 1) results[p] += sums[i][1][p];
          if (kTerms > 2) results[p] += point * sums[i][kTerms - 1][p];
          if (!kGradient) results[p] += shifts[channel];
        }
        store_four(out + (out_start + channel * fours * kFour), results);
      }
    }
  }
}

MIXNORM_LARGE_KERNEL mixnorm_aligned_affine(
    const Input* __restrict__ x, int x_batch, int x_channel, int fours,
    int n_fours, int n_dims, const Working* __restrict__ tau, int tau_batch,
    int tau_column, int n_columns, const Working* __restrict__ slope,
    const Working* __restrict__ offset, const Working* __restrict__ origin,
    const Working* __restrict__ shift, Input* __restrict__ y) {
  combine_fours<false, 2>(
      x, x_batch, x_channel, x, 0, 0, fours, n_fours, n_dims, tau, tau_batch,
      tau_column, n_columns, slope, offset, nullptr, origin, shift, y);
}

// The gradient through the statistics as well.
MIXNORM_LARGE_KERNEL mixnorm_aligned_gradient_input(
    const Input* __restrict__ x, int x_batch, int x_channel, int fours,
    int n_fours, int n_dims, const Input* __restrict__ gy, int gy_batch,
    int gy_channel, const Working* __restrict__ tau, int tau_batch,
    int tau_column, int n_columns, const Working* __restrict__ slope,
    const Working* __restrict__ offset, const Working* __restrict__ quadratic,
    const Working* __restrict__ origin, Input* __restrict__ gx) {
  combine_fours<true, 3>(
      x, x_batch, x_channel, gy, gy_batch, gy_channel, fours, n_fours, n_dims,
      tau, tau_batch, tau_column, n_columns, slope, offset, quadratic, origin,
      nullptr, gx);
}

// The gradient without them, gx = gy * (tau slope).
MIXNORM_LARGE_KERNEL mixnorm_aligned_gradient_direct(
    const Input* __restrict__ gy, int gy_batch, int gy_channel, int fours,
    int n_fours, int n_dims, const Working* __restrict__ tau, int tau_batch,
    int tau_column, int n_columns, const Working* __restrict__ slope,
    Input* __restrict__ gx) {
  combine_fours<true, 1>(
      nullptr, 0, 0, gy, gy_batch, gy_channel, fours, n_fours, n_dims, tau,
      tau_batch, tau_column, n_columns, slope, nullptr, nullptr, nullptr,
      nullptr, gx);
}

// Thread blocks' rows (2 J + 1, C) of sum_i tau_ij g_ic, of
// sum_i tau_ij g_ic (x_ic - origin_c), and of sum_i g_ic. Thread blocks share
// fours (x), channels by kAlignedSumChannels (y) and columns by kQuad (z). A
// warp has some channels, and all fours of its thread block.
MIXNORM_LARGE_KERNEL mixnorm_aligned_gradient_sums(
    const Input* __restrict__ x, int x_batch, int x_channel, int fours,
    int n_fours, int n_dims, const Input* __restrict__ gy, int gy_batch,
    int gy_channel, const Working* __restrict__ tau, int tau_batch,
    int tau_column, int n_columns, const Working* __restrict__ origin,
    double* __restrict__ partial) {
  const int kPerWarp = kAlignedSumChannels / kWarps;
  const int kSums = 2 * kQuad + 1;
  __shared__ double totals[kAlignedSumChannels][kSums];
  int lane = threadIdx.x % kWarp;
  int first_column = blockIdx.z * kQuad;
  int local = threadIdx.x / kWarp * kPerWarp;
  int first_channel = blockIdx.y * kAlignedSumChannels + local;
  int n_channels = min_int(kPerWarp, n_dims - first_channel);
  Working zeros[kPerWarp] = {};
#pragma unroll
  for (int i = 0; i < kPerWarp; ++i) {
    if (i < n_channels && origin != nullptr) {
      zeros[i] = origin[first_channel + i];
    }
#pragma unroll
    for (int s = 0; s < kSums; ++s) {
      if (lane == 0) totals[local + i][s] = 0;
    }
  }

  int start = blockIdx.x * kWarp;
  int step = gridDim.x * kWarp;
  while (start < n_fours) {
    Working sums[kPerWarp][kSums] = {};
#pragma unroll 1
    for (int run = 0; run < kFoursOfRun; ++run, start += step) {
      int number = start + lane;
      if (number >= n_fours) continue;
      int b = number / fours;
      int l = (number - b * fours) * kFour;
      Four<Working> value[kPerWarp];
      Four<Working> upstream[kPerWarp];
#pragma unroll
      for (int i = 0; i < kPerWarp; ++i) {
        value[i] = upstream[i] = {};
        if (i < n_channels) {
          value[i] = load_four(
              x + (b * x_batch + (first_channel + i) * x_channel + l));
          upstream[i] = load_four(
              gy + (b * gy_batch + (first_channel + i) * gy_channel + l));
        }
      }
      Four<Working> shares[kQuad];
      load_coefficients(shares, tau + (b * tau_batch + l), tau_column,
                        first_column, n_columns);
#pragma unroll
      for (int i = 0; i < kPerWarp; ++i) {
#pragma unroll
        for (int p = 0; p < kFour; ++p) {
          Working g = upstream[i].at[p];
          Working product = g * (value[i].at[p] - zeros[i]);
          sums[i][2 * kQuad] += g;
#pragma unroll
          for (int j = 0; j < kQuad; ++j) {
            sums[i][j] += shares[j].at[p] * g;
            sums[i][kQuad + j] += shares[j].at[p] * product;
          }
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kPerWarp; ++i) {
#pragma unroll
      for (int s = 0; s < kSums; ++s) {
        double sum = warp_sum(sums[i][s]);
        if (lane == 0) totals[local + i][s] += sum;
      }
    }
  }
  __syncthreads();

  // partial: (thread blocks, 2 J + 1, C).
  double* row = partial + (Index)blockIdx.x * (2 * n_columns + 1) * n_dims;
  for (int item = threadIdx.x; item < kAlignedSumChannels * kSums;
       item += kThreads) {
    int c = blockIdx.y * kAlignedSumChannels + item % kAlignedSumChannels;
    int s = item / kAlignedSumChannels;
    int column = first_column + s % kQuad;
    int sum = s == 2 * kQuad ? 2 * n_columns
              : s < kQuad    ? column
                             : n_columns + column;
    bool wanted = s == 2 * kQuad ? first_column == 0 : column < n_columns;
    if (wanted && c < n_dims) {
      row[(Index)sum * n_dims + c] = totals[item % kAlignedSumChannels][s];
    }
  }
}
