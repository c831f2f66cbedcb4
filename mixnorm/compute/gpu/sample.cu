// Gathering of a sample of points, and its standardization.

#include "tile.h"

// Copies points in the working type to z (C, m), and adds up each thread
// block's sums for mixnorm_moments: those of one component that all points
// belong to, of deviations from the first one. `indices` (m,) are the points'
// numbers; null for all.
MIXNORM_KERNEL mixnorm_gather(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_points, int n_dims, int channels_fast,
    const Index* indices, int tile_points, int tile_channels, Working* z,
    Working* first_point, double* partial) {
  Stack<const Input> points =
      make_stack(x, x_batch, x_channel, x_length, length);
  Arena arena = {dynamic_shared};
  Tile tile = make_tile(&arena, tile_points, tile_channels, kQuad);

  double* first_sums =
      partial + (Index)blockIdx.x * (2 * (Index)n_dims + 2);
  double* second_sums = first_sums + n_dims;
  double* counts = second_sums + n_dims;
  for (int i = threadIdx.x; i < 2 * n_dims + 2; i += kThreads) {
    first_sums[i] = 0;
  }
  for (int item = threadIdx.x; item < kQuad * tile_points;
       item += kThreads) {
    tile.rows[item] = item % kQuad == 0;
  }
  Index origin = points.offset(indices == nullptr ? 0 : indices[0]);
  if (blockIdx.x == 0) {
    for (int c = threadIdx.x; c < n_dims; c += kThreads) {
      first_point[c] = to_working(x[origin + c * x_channel]);
    }
  }
  for (Index start = (Index)blockIdx.x * tile_points; start < n_points;
       start += (Index)gridDim.x * tile_points) {
    int n = min_int(tile_points, n_points - start);
    if (threadIdx.x < tile_points) {
      int p = threadIdx.x;
      tile.offsets[p] =
          p < n ? points.offset(indices == nullptr ? start + p
                                                   : indices[start + p])
                : 0;
    }
    for (int first = 0; first < n_dims; first += tile_channels) {
      int n_channels = min_int(tile_channels, n_dims - first);
      __syncthreads();
      load_values(tile.values, tile.offsets, tile_points, n, points, first,
                  n_channels, channels_fast, indices == nullptr);
      for (int item = threadIdx.x; item < kQuad * n_channels;
           item += kThreads) {
        tile.centers[item] =
            to_working(x[origin + (first + item / kQuad) * x_channel]);
      }
      __syncthreads();
      for (int item = threadIdx.x; item < n_channels * tile_points;
           item += kThreads) {
        int p = item % tile_points;
        int c = item / tile_points;
        if (p < n) z[(first + c) * n_points + start + p] = tile.value(c, p);
      }
      add_moments(tile, n, n_channels, 1, first_sums + first,
                  second_sums + first, n_dims);
    }
    if (threadIdx.x == 0) counts[0] += n;
  }
}

// Standardizes z (C, m) in place; thread blocks share channels (x) and points
// (y). A channel without variation keeps its scale, and so does one whose
// variance the type cannot hold (deviations below `smallest`).
MIXNORM_KERNEL mixnorm_standardize(
    Working* z, Index n_points, const Working* location,
    const Working* variance, Working smallest, Working* scale) {
  int c = blockIdx.x;
  Working deviation = sqrt(variance[c]);
  Working unit = deviation > smallest ? deviation : Working(1);
  Working mean = location[c];
  Working* channel = z + c * n_points;
  Index step = (Index)gridDim.y * kThreads;
  for (Index p = (Index)blockIdx.y * kThreads + threadIdx.x; p < n_points;
       p += step) {
    channel[p] = (channel[p] - mean) / unit;
  }
  if (blockIdx.y == 0 && threadIdx.x == 0) scale[c] = unit;
}
