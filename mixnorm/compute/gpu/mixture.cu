// Lloyd's and EM's iterations, posteriors and the moments under them.
//
// A thread block works through tiles of points: responsibilities of the
// components for them, then the sums that new parameters come from. Each has
// its own sums, a row of `partial`,
//
//     first (K, C), second (K, C), counts (K,), log density,
//
// and mixnorm_moments adds the rows up in their order: the same input gives
// the same bits.

#include "densities.h"
#include "moments.h"

// Where the responsibilities come from.
enum Source { kPosterior, kNearest, kGiven };

// Where a tile has all channels and values are copied, the next tile's are on
// their way from when the present ones have been read for the last time: while
// sums are added up, which takes about as long as memory takes to answer. For
// a second buffer there is no room: a tile is as large as 48 KB allow, and
// twice that would leave a multiprocessor with two thread blocks.

__device__ inline void set_offsets(
    const Tile& tile, const Stack<const Input>& x, Index start,
    Index n_points) {
  Index point = start + threadIdx.x;
  if (threadIdx.x < tile.points) {
    tile.offsets[threadIdx.x] = point < n_points ? x.offset(point) : 0;
  }
}

// Starts to copy the tile from `start` on, if there is one.
__device__ inline void start_tile(
    const Tile& tile, const Stack<const Input>& x, Index start,
    Index n_points, int n_dims, bool channels_fast) {
  if (start < n_points) {
    start_copies(tile.values, tile.offsets, tile.points,
                 min_int(tile.points, n_points - start), x, 0, n_dims,
                 channels_fast);
  }
}

// Component k's deviations are taken from centers[k * center_stride ...].
// `tau` (B, K, L) is read if the responsibilities are given, and written if
// they are a posterior that is wanted (not null).
template <Source kSource>
__device__ void mixture_moments(
    Stack<const Input> x, Index n_points, int n_dims, bool channels_fast,
    const Working* weights, const Working* centers, const Working* variances,
    int n_components, Stack<Working> tau, int tile_points, int tile_channels,
    double* partial) {
  Arena arena = {dynamic_shared};
  int columns = (n_components + kQuad - 1) / kQuad * kQuad;
  Tile tile = make_tile(&arena, tile_points, tile_channels, columns);
  Working* constants = arena.take<Working>(columns);
  Working* log_density = arena.take<Working>(tile_points);

  Index start = (Index)blockIdx.x * tile_points;
  Index step = (Index)gridDim.x * tile_points;
  bool whole = n_dims <= tile_channels;
  bool ahead = kCopies && whole;
  if (ahead) {
    set_offsets(tile, x, start, n_points);
    __syncthreads();
    start_tile(tile, x, start, n_points, n_dims, channels_fast);
  }

  Sums sums(partial, blockIdx.x, n_components, n_dims);
  Index n_sums = 2 * (Index)n_components * n_dims + n_components + 1;
  for (Index i = threadIdx.x; i < n_sums; i += kThreads) sums.first[i] = 0;

  if (kSource == kPosterior) {
    log_constants(constants, weights, variances, n_components, n_dims);
  }
  // Parameters of all channels at once stay for all the tiles.
  if (whole) {
    load_centers(tile, centers, n_components, n_dims, 0, n_dims);
    if (kSource == kPosterior) {
      load_precisions(
          tile, weights, variances, n_components, n_dims, 0, n_dims);
    }
  }
  for (; start < n_points; start += step) {
    int n = min_int(tile_points, n_points - start);
    if (ahead) {
      finish_copies();
      __syncthreads();
      set_offsets(tile, x, start + step, n_points);
    } else {
      set_offsets(tile, x, start, n_points);
      __syncthreads();
      if (whole) {
        load_values(tile.values, tile.offsets, tile_points, n, x, 0, n_dims,
                    channels_fast, true);
        __syncthreads();
      }
    }

    // Responsibilities.
    if (kSource == kGiven) {
      for (int item = threadIdx.x; item < columns * tile_points;
           item += kThreads) {
        int p = item % tile_points;
        int k = item / tile_points;
        tile.rows[p * columns + k] =
            p < n && k < n_components
                ? tau.data[tau.offset(start + p) + k * tau.channel_stride]
                : Working(0);
      }
      if (threadIdx.x < tile_points) log_density[threadIdx.x] = 0;
      __syncthreads();
    } else {
      for (int first = 0; first < n_dims; first += tile_channels) {
        int n_channels = min_int(tile_channels, n_dims - first);
        if (!whole) {
          load_values(tile.values, tile.offsets, tile_points, n, x, first,
                      n_channels, channels_fast, true);
          load_centers(
              tile, centers, n_components, n_dims, first, n_channels);
          if (kSource == kPosterior) {
            load_precisions(tile, weights, variances, n_components, n_dims,
                            first, n_channels);
          }
          __syncthreads();
        }
        quadratic_forms<kSource == kPosterior>(tile, n_channels, first > 0);
      }
      if (threadIdx.x < n) {
        Working* row = tile.rows + threadIdx.x * columns;
        log_density[threadIdx.x] = 0;
        if (kSource == kNearest) {
          choose_nearest(row, n_components);
        } else {
          log_density[threadIdx.x] =
              normalize_row(row, constants, n_components);
          if (tau.data != nullptr) {
            Working* out = tau.data + tau.offset(start + threadIdx.x);
            for (int k = 0; k < n_components; ++k) {
              out[k * tau.channel_stride] = row[k];
            }
          }
        }
        for (int k = n_components; k < columns; ++k) row[k] = 0;
      }
      __syncthreads();
    }

    // Sums.
    add_counts(tile, log_density, n, n_components, sums.counts);
    for (int first = 0; first < n_dims; first += tile_channels) {
      int n_channels = min_int(tile_channels, n_dims - first);
      if (!whole) {
        load_values(tile.values, tile.offsets, tile_points, n, x, first,
                    n_channels, channels_fast, true);
        load_centers(tile, centers, n_components, n_dims, first, n_channels);
        __syncthreads();
      }
      add_moments(tile, n, n_channels, n_components, sums.first + first,
                  sums.second + first, n_dims, [&] {
                    if (ahead) {
                      start_tile(tile, x, start + step, n_points, n_dims,
                                 channels_fast);
                    }
                  });
    }
  }
}

// The E- and M-step's sums. With tau, writes the posterior as well.
MIXNORM_LARGE_KERNEL mixnorm_em_step(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_points, int n_dims, int channels_fast,
    const Working* weights, const Working* means, const Working* variances,
    int n_components, Working* tau, int tile_points, int tile_channels,
    double* partial) {
  mixture_moments<kPosterior>(
      make_stack(x, x_batch, x_channel, x_length, length), n_points, n_dims,
      channels_fast, weights, means, variances, n_components,
      make_stack(tau, n_components * length, length, 1, length), tile_points,
      tile_channels, partial);
}

// The sums of the clusters of the points nearest to each centre.
MIXNORM_KERNEL mixnorm_lloyd_step(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_points, int n_dims, int channels_fast,
    const Working* centers, int n_components, int tile_points,
    int tile_channels, double* partial) {
  Working* none = nullptr;
  mixture_moments<kNearest>(
      make_stack(x, x_batch, x_channel, x_length, length), n_points, n_dims,
      channels_fast, nullptr, centers, nullptr, n_components,
      make_stack(none, 0, 0, 0, length), tile_points, tile_channels, partial);
}

// The sums under responsibilities that are given.
MIXNORM_LARGE_KERNEL mixnorm_statistics(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_points, int n_dims, int channels_fast,
    const Working* centers, int n_components, Working* tau, Index tau_batch,
    Index tau_component, Index tau_length, int tile_points,
    int tile_channels, double* partial) {
  mixture_moments<kGiven>(
      make_stack(x, x_batch, x_channel, x_length, length), n_points, n_dims,
      channels_fast, nullptr, centers, nullptr, n_components,
      make_stack(tau, tau_batch, tau_component, tau_length, length),
      tile_points, tile_channels, partial);
}

// Parameters from the sums of the thread blocks. Thread blocks of kWarp channels
// (x) of a component (y).
MIXNORM_KERNEL mixnorm_moments(
    const double* partial, Index n_rows, Index n_points, int n_components,
    int n_dims, const Working* centers, double regularization,
    Working* weights, Working* means, Working* variances,
    double* log_density) {
  combine_moments(
      blockIdx.x, blockIdx.y, partial, n_rows, n_points, n_components, n_dims,
      centers, regularization, weights, means, variances, log_density);
}

// Posteriors under several mixtures: tau (B, T * K, L) and log densities
// (T, B, L). As many mixtures at a time as fill the tile's columns.
MIXNORM_LARGE_KERNEL mixnorm_posterior(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_points, int n_dims, int channels_fast,
    const Working* weights, const Working* means, const Working* variances,
    int n_mixtures, int n_components, int mixtures_at_a_time,
    int tile_points, int tile_channels, Working* tau, Working* log_density) {
  Stack<const Input> points =
      make_stack(x, x_batch, x_channel, x_length, length);
  Arena arena = {dynamic_shared};
  int n_columns = n_mixtures * n_components;
  int columns =
      (mixtures_at_a_time * n_components + kQuad - 1) / kQuad * kQuad;
  Tile tile = make_tile(&arena, tile_points, tile_channels, columns);
  Working* constants = arena.take<Working>(n_columns);

  Index start = (Index)blockIdx.x * tile_points;
  Index step = (Index)gridDim.x * tile_points;
  bool values_stay = n_dims <= tile_channels;
  bool ahead = kCopies && values_stay;
  if (ahead) {
    set_offsets(tile, points, start, n_points);
    __syncthreads();
    start_tile(tile, points, start, n_points, n_dims, channels_fast);
  }

  log_constants(constants, weights, variances, n_columns, n_dims);
  bool components_stay = values_stay && mixtures_at_a_time >= n_mixtures;
  if (components_stay) {
    load_centers(tile, means, n_columns, n_dims, 0, n_dims);
    load_precisions(tile, weights, variances, n_columns, n_dims, 0, n_dims);
  }
  for (; start < n_points; start += step) {
    int n = min_int(tile_points, n_points - start);
    if (ahead) {
      finish_copies();
      __syncthreads();
      set_offsets(tile, points, start + step, n_points);
    } else {
      set_offsets(tile, points, start, n_points);
      __syncthreads();
      if (values_stay) {
        load_values(tile.values, tile.offsets, tile_points, n, points, 0,
                    n_dims, channels_fast, true);
        __syncthreads();
      }
    }
    for (int t = 0; t < n_mixtures; t += mixtures_at_a_time) {
      int n_now = min_int(mixtures_at_a_time, n_mixtures - t);
      int column = t * n_components;
      for (int first = 0; first < n_dims; first += tile_channels) {
        int n_channels = min_int(tile_channels, n_dims - first);
        if (!values_stay) {
          load_values(tile.values, tile.offsets, tile_points, n, points,
                      first, n_channels, channels_fast, true);
        }
        if (!components_stay) {
          Index entry = (Index)column * n_dims;
          load_centers(tile, means + entry, n_now * n_components, n_dims,
                       first, n_channels);
          load_precisions(tile, weights + column, variances + entry,
                          n_now * n_components, n_dims, first, n_channels);
        }
        __syncthreads();
        quadratic_forms<true>(tile, n_channels, first > 0, [&] {
          if (ahead && t + mixtures_at_a_time >= n_mixtures) {
            start_tile(tile, points, start + step, n_points, n_dims,
                       channels_fast);
          }
        });
      }
      for (int item = threadIdx.x; item < n_now * tile_points;
           item += kThreads) {
        int p = item % tile_points;
        int i = item / tile_points;
        if (p >= n) continue;
        Working* row = tile.rows + p * columns + i * n_components;
        Index point = start + p;
        Index b = point / length;
        Working* out = tau +
            (b * n_columns + column + i * n_components) * length +
            (point - b * length);
        log_density[(t + i) * n_points + point] = normalize_row(
            row, constants + column + i * n_components, n_components);
        for (int k = 0; k < n_components; ++k) out[k * length] = row[k];
      }
    }
  }
}

// The same, by kThreads channels in a thread block.
MIXNORM_KERNEL mixnorm_discard_and_rescale(
    const Working* weights, const Working* means, const Working* variances,
    int n_components, int n_dims, double min_weight, const Working* location,
    const Working* scale, Working* new_weights, Working* new_means,
    Working* new_variances) {
  discard_and_rescale(
      blockIdx.x, weights, means, variances, n_components, n_dims, min_weight,
      location, scale, new_weights, new_means, new_variances);
}
