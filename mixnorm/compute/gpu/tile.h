// Tiles: some points in shared memory, for all the steps on them.
//
// The densities run along a point's channels, the moments along a channel's
// points. A tile is read from global memory along whichever axis lies
// closest together there, and then serves both, in any order of memory.

#ifndef MIXNORM_TILE_H
#define MIXNORM_TILE_H

#include "loading.h"

// Components are worked on four at a time: their parameters then come from
// shared memory in one load.
const int kQuad = MIXNORM_QUAD;

struct __align__(16) Quad {
  Working at[kQuad];
};

// A tile has `points` points (a power of two, at most kThreads) and
// `channels` channels; where points have more channels, they come by turns.
// `columns` is the number of components, rounded up to whole quads.
struct Tile {
  int points;
  int channels;
  int columns;
  Working* values;      // (channels, points + 1)
  Working* centers;     // (channels, columns)
  Working* precisions;  // (channels, columns)
  Working* rows;        // (points, columns): forms, then responsibilities
  Working* scratch;     // (2 kQuad, kThreads)
  Index* offsets;       // (points,)

  __device__ Working value(int channel, int point) const {
    return values[channel * (points + 1) + point];
  }
};

// A thread block's dynamic shared memory.
extern __shared__ __align__(16) unsigned char dynamic_shared[];

// Hands out shared memory piece by piece, each aligned to 16 bytes.
struct Arena {
  unsigned char* next;

  template <class T>
  __device__ T* take(int n) {
    T* piece = reinterpret_cast<T*>(next);
    next += (n * sizeof(T) + 15) / 16 * 16;
    return piece;
  }
};

__device__ inline Tile make_tile(
    Arena* arena, int points, int channels, int columns) {
  Tile tile;
  tile.points = points;
  tile.channels = channels;
  tile.columns = columns;
  tile.values = arena->take<Working>(channels * (points + 1));
  tile.centers = arena->take<Working>(channels * columns);
  tile.precisions = arena->take<Working>(channels * columns);
  tile.rows = arena->take<Working>(points * columns);
  tile.scratch = arena->take<Working>(2 * kQuad * kThreads);
  tile.offsets = arena->take<Index>(points);
  return tile;
}

// Reads channels [first, first + n_channels) of the components' centres
// (n_columns, n_dims). What pads the columns is 0.
__device__ inline void load_centers(
    const Tile& tile, const Working* centers, int n_columns, int n_dims,
    int first, int n_channels) {
  for (int k = 0; k < tile.columns; ++k) {
    for (int c = threadIdx.x; c < n_channels; c += kThreads) {
      tile.centers[c * tile.columns + k] =
          k < n_columns ? centers[(Index)k * n_dims + first + c] : Working(0);
    }
  }
}

// Reads the components' inverse variances likewise. An absent component
// (weight 0) has precision 0, whatever its variance.
__device__ inline void load_precisions(
    const Tile& tile, const Working* weights, const Working* variances,
    int n_columns, int n_dims, int first, int n_channels) {
  for (int k = 0; k < tile.columns; ++k) {
    bool present = k < n_columns && !(weights[k] == 0);
    for (int c = threadIdx.x; c < n_channels; c += kThreads) {
      tile.precisions[c * tile.columns + k] =
          present ? 1 / variances[(Index)k * n_dims + first + c] : Working(0);
    }
  }
}

struct Nothing {
  __device__ void operator()() const {}
};

// Computes, for every point p of the tile and every column k,
//
//     rows[p, k] (+)= sum_c (x_pc - m_kc)^2 / s_kc^2
//
// over the channels in the tile, or without the 1 / s_kc^2. Differences come
// before squares: x^2 - 2 x m + m^2 cancels in float32 where the mean exceeds
// the deviation. Groups of threads share a point's channels. All threads call
// `when_read` as soon as none of them needs the tile's values any more.
template <bool kWeighted, class Callback = Nothing>
__device__ void quadratic_forms(
    const Tile& tile, int n_channels, bool accumulate,
    Callback when_read = Callback()) {
  int p = threadIdx.x % tile.points;
  int group = threadIdx.x / tile.points;
  int n_groups = kThreads / tile.points;
  for (int k = 0; k < tile.columns; k += kQuad) {
    Working sums[kQuad] = {0, 0, 0, 0};
    for (int c = group; c < n_channels; c += n_groups) {
      Working value = tile.value(c, p);
      Quad center =
          *reinterpret_cast<Quad*>(tile.centers + c * tile.columns + k);
      Quad precision;
      if (kWeighted) {
        precision =
            *reinterpret_cast<Quad*>(tile.precisions + c * tile.columns + k);
      }
#pragma unroll
      for (int i = 0; i < kQuad; ++i) {
        Working difference = value - center.at[i];
        Working square = difference * difference;
        sums[i] += kWeighted ? square * precision.at[i] : square;
      }
    }
    for (int i = 0; i < kQuad; ++i) {
      tile.scratch[i * kThreads + threadIdx.x] = sums[i];
    }
    __syncthreads();
    if (k + kQuad == tile.columns) when_read();
    for (int item = threadIdx.x; item < kQuad * tile.points;
         item += kThreads) {
      int point = item % tile.points;
      int i = item / tile.points;
      Working sum = 0;
      for (int g = 0; g < n_groups; ++g) {
        sum += tile.scratch[i * kThreads + g * tile.points + point];
      }
      Working* row = tile.rows + point * tile.columns + k + i;
      *row = accumulate ? *row + sum : sum;
    }
    __syncthreads();
  }
}

// Adds to the sums in global memory, which are this thread block's
// own, the tile's
//
//     first[k, c] = sum_p t_pk (x_pc - m_kc)
//     second[k, c] = sum_p t_pk (x_pc - m_kc)^2
//
// with the responsibilities t in rows. Within a tile sums are in the working
// type, over tiles in float64. Groups of threads share a channel's points.
// See quadratic_forms() for `when_read`.
template <class Callback = Nothing>
__device__ void add_moments(
    const Tile& tile, int n_points, int n_channels, int n_columns,
    double* first, double* second, int n_dims,
    Callback when_read = Callback()) {
  int width = power_of_two(min_int(n_channels, kThreads));
  int lane = threadIdx.x % width;
  int group = threadIdx.x / width;
  int n_groups = kThreads / width;
  for (int base = 0; base < n_channels; base += width) {
    int c = base + lane;
    for (int k = 0; k < n_columns; k += kQuad) {
      Working sums[2 * kQuad] = {0, 0, 0, 0, 0, 0, 0, 0};
      if (c < n_channels) {
        Quad center =
            *reinterpret_cast<Quad*>(tile.centers + c * tile.columns + k);
        for (int p = group; p < n_points; p += n_groups) {
          Working value = tile.value(c, p);
          Quad share =
              *reinterpret_cast<Quad*>(tile.rows + p * tile.columns + k);
#pragma unroll
          for (int i = 0; i < kQuad; ++i) {
            Working difference = value - center.at[i];
            Working weighted = share.at[i] * difference;
            sums[i] += weighted;
            sums[kQuad + i] += weighted * difference;
          }
        }
      }
      for (int i = 0; i < 2 * kQuad; ++i) {
        tile.scratch[i * kThreads + threadIdx.x] = sums[i];
      }
      __syncthreads();
      if (base + width >= n_channels && k + kQuad >= n_columns) when_read();
      for (int half = n_groups / 2; half > 0; half /= 2) {
        if (group < half) {
          for (int i = 0; i < 2 * kQuad; ++i) {
            tile.scratch[i * kThreads + threadIdx.x] +=
                tile.scratch[i * kThreads + threadIdx.x + half * width];
          }
        }
        __syncthreads();
      }
      for (int item = threadIdx.x; item < 2 * kQuad * width;
           item += kThreads) {
        int channel = base + item % width;
        int i = item / width;
        if (channel < n_channels && k + i % kQuad < n_columns) {
          double* sum = i < kQuad ? first : second;
          sum[(Index)(k + i % kQuad) * n_dims + channel] +=
              tile.scratch[i * kThreads + item % width];
        }
      }
      __syncthreads();
    }
  }
}

#endif  // MIXNORM_TILE_H
