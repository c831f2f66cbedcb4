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

// Where the responsibilities come from.
enum Source { kPosterior, kNearest, kGiven };

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

  Sums sums(partial, blockIdx.x, n_components, n_dims);
  Index n_sums = 2 * (Index)n_components * n_dims + n_components + 1;
  for (Index i = threadIdx.x; i < n_sums; i += kThreads) sums.first[i] = 0;

  if (kSource == kPosterior) {
    log_constants(constants, weights, variances, n_components, n_dims);
  }
  // Parameters of all channels at once stay for all the tiles.
  bool whole = n_dims <= tile_channels;
  if (whole) {
    load_centers(tile, centers, n_components, n_dims, 0, n_dims);
    if (kSource == kPosterior) {
      load_precisions(
          tile, weights, variances, n_components, n_dims, 0, n_dims);
    }
  }
  for (Index start = (Index)blockIdx.x * tile_points; start < n_points;
       start += (Index)gridDim.x * tile_points) {
    int n = min_int(tile_points, n_points - start);
    if (threadIdx.x < tile_points) {
      tile.offsets[threadIdx.x] =
          threadIdx.x < n ? x.offset(start + threadIdx.x) : 0;
    }
    __syncthreads();

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
      if (whole) {
        load_values(tile.values, tile.offsets, tile_points, n, x, 0, n_dims,
                    channels_fast);
      }
      __syncthreads();
    } else {
      for (int first = 0; first < n_dims; first += tile_channels) {
        int n_channels = min_int(tile_channels, n_dims - first);
        load_values(tile.values, tile.offsets, tile_points, n, x, first,
                    n_channels, channels_fast);
        if (!whole) {
          load_centers(
              tile, centers, n_components, n_dims, first, n_channels);
          if (kSource == kPosterior) {
            load_precisions(tile, weights, variances, n_components, n_dims,
                            first, n_channels);
          }
        }
        __syncthreads();
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
                    n_channels, channels_fast);
        load_centers(tile, centers, n_components, n_dims, first, n_channels);
        __syncthreads();
      }
      add_moments(tile, n, n_channels, n_components, sums.first + first,
                  sums.second + first, n_dims);
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

// Turns the thread blocks' sums into parameters,
//
//     lambda_k = n_k / M,  mu_kc = m_kc + first / n_k,
//     s_kc^2 = second / n_k - (first / n_k)^2 + regularization,
//
// where m is what deviations were taken from. A component that no point
// belongs to stays at m, with the variance 0 + regularization. Thread blocks
// of kWarp channels (x) of a component (y); eight groups of threads share the
// rows.
MIXNORM_KERNEL mixnorm_moments(
    const double* partial, Index n_rows, Index n_points, int n_components,
    int n_dims, const Working* centers, double regularization,
    Working* weights, Working* means, Working* variances,
    double* log_density) {
  __shared__ double totals[3][kThreads];
  int k = blockIdx.y;
  int lane = threadIdx.x % kWarp;
  int c = blockIdx.x * kWarp + lane;
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
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    weights[k] = Working(n_points > 0 ? count / n_points : 0);
  }
  if (blockIdx.x == 0 && k == 0 && log_density != nullptr &&
      threadIdx.x < kWarp) {
    double sum = 0;
    for (Index row = lane; row < n_rows; row += kWarp) {
      sum += sums.counts[row * row_length + n_components];
    }
    sum = warp_sum(sum);
    if (lane == 0) *log_density = sum / n_points;
  }
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
  log_constants(constants, weights, variances, n_columns, n_dims);

  bool values_stay = n_dims <= tile_channels;
  bool components_stay = values_stay && mixtures_at_a_time >= n_mixtures;
  if (components_stay) {
    load_centers(tile, means, n_columns, n_dims, 0, n_dims);
    load_precisions(tile, weights, variances, n_columns, n_dims, 0, n_dims);
  }
  for (Index start = (Index)blockIdx.x * tile_points; start < n_points;
       start += (Index)gridDim.x * tile_points) {
    int n = min_int(tile_points, n_points - start);
    if (threadIdx.x < tile_points) {
      tile.offsets[threadIdx.x] =
          threadIdx.x < n ? points.offset(start + threadIdx.x) : 0;
    }
    __syncthreads();
    if (values_stay) {
      load_values(tile.values, tile.offsets, tile_points, n, points, 0,
                  n_dims, channels_fast);
    }
    for (int t = 0; t < n_mixtures; t += mixtures_at_a_time) {
      int n_now = min_int(mixtures_at_a_time, n_mixtures - t);
      int column = t * n_components;
      for (int first = 0; first < n_dims; first += tile_channels) {
        int n_channels = min_int(tile_channels, n_dims - first);
        if (!values_stay) {
          load_values(tile.values, tile.offsets, tile_points, n, points,
                      first, n_channels, channels_fast);
        }
        if (!components_stay) {
          Index entry = (Index)column * n_dims;
          load_centers(tile, means + entry, n_now * n_components, n_dims,
                       first, n_channels);
          load_precisions(tile, weights + column, variances + entry,
                          n_now * n_components, n_dims, first, n_channels);
        }
        __syncthreads();
        quadratic_forms<true>(tile, n_channels, first > 0);
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

// Drops light components, and returns to the units the sample was
// standardized from. A thread per channel.
MIXNORM_KERNEL mixnorm_discard_and_rescale(
    const Working* weights, const Working* means, const Working* variances,
    int n_components, int n_dims, double min_weight, const Working* location,
    const Working* scale, Working* new_weights, Working* new_means,
    Working* new_variances) {
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
  int c = blockIdx.x * kThreads + threadIdx.x;
  for (int k = 0; k < n_components; ++k) {
    if (blockIdx.x == 0 && threadIdx.x == 0) {
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
