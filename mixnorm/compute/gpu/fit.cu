// A whole fit in one launch: sample, seeding, K-means, EM, discard.
//
// The sample is divided into tiles as the kernels of single steps divide it,
// but each tile stays in its thread block's shared memory from the gathering
// on. What belongs to a tile is computed and added up as by those kernels, in
// the same order: the same parameters come out, to the bit, however many
// thread blocks there are.
//
// Thread blocks wait for one another, so that all have to run at once: the
// launch is a cooperative one.

#include "densities.h"
#include "draws.h"
#include "moments.h"

// Of these a multiprocessor has few: shared memory allows no more.
#define MIXNORM_COOPERATIVE_KERNEL \
  extern "C" __global__ void __launch_bounds__(kThreads, 2)

// Waits until all thread blocks have come as often as this one, and shows
// each what the others had written by then. `arrived` counts, from 0.
//
// The thread blocks' arrivals are told by one thread each. What the others
// of a thread block wrote is before its fence, by the barrier; the fence
// before the count, and the one behind the wait, order it with what any
// thread of another thread block reads behind its second barrier.
__device__ inline void wait_for_grid(unsigned* arrived, unsigned* n_waits) {
  __syncthreads();
  if (threadIdx.x == 0) {
    *n_waits += 1;
    __threadfence();
    atomicAdd(arrived, 1u);
    while (*(volatile unsigned*)arrived < *n_waits * gridDim.x) {
#if __CUDA_ARCH__ >= 700  // before, there is no such instruction
      __nanosleep(32);
#endif
    }
    __threadfence();
  }
  __syncthreads();
}

// The points of the sample: numbers `indices` of x; null for all.
struct Sampled {
  Stack<const Input> x;
  const Index* indices;
  Index n_points;
  int n_dims;
  const Working* location;
  const Working* variance;
  Working smallest;  // deviation that a channel is scaled by

  __device__ Index offset(Index point) const {
    return x.offset(indices == nullptr ? point : indices[point]);
  }
  __device__ Working raw(Index offset, int c) const {
    return to_working(x.data[offset + c * x.channel_stride]);
  }
  __device__ Working scale(int c) const {
    Working deviation = sqrt(variance[c]);
    return deviation > smallest ? deviation : Working(1);
  }
};

// Reads standardized points as a tile's centres; what pads them is the first.
__device__ inline void load_points(
    const Tile& tile, const Sampled& sample, const Index* points,
    int n_points) {
  for (int item = threadIdx.x; item < tile.columns * sample.n_dims;
       item += kThreads) {
    int c = item % sample.n_dims;
    int k = item / sample.n_dims;
    Index offset = sample.offset(points[k < n_points ? k : 0]);
    tile.centers[c * tile.columns + k] =
        (sample.raw(offset, c) - sample.location[c]) / sample.scale(c);
  }
}

// Sets a tile's sums to 0.
__device__ inline void clear_sums(const Sums& sums, Index n_sums) {
  for (Index i = threadIdx.x; i < n_sums; i += kThreads) sums.first[i] = 0;
}

// Tile t is thread block t % gridDim.x's, in its slot t / gridDim.x. What
// thread blocks exchange lies in `doubles` and `workings`; `arrived` is 0 at
// first. Point number `first_point` of the sample is the first centre, `draws`
// (K - 1, n_trials) are for the others. With start_weights, which may be null,
// EM goes on from a mixture, without seeding and K-means; n_lloyd is 0 then,
// and otherwise at least 1.
MIXNORM_COOPERATIVE_KERNEL mixnorm_fit(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_points, int n_dims, int channels_fast,
    const Index* indices, Index first_point, const double* draws,
    int n_trials, int n_components, int n_lloyd, int n_em, double reg_covar,
    double min_weight, Working smallest, const Working* start_weights,
    const Working* start_means, const Working* start_variances,
    int tile_points, int n_slots, unsigned* arrived, double* doubles,
    Working* workings, Working* new_weights, Working* new_means,
    Working* new_variances) {
  int n_tiles = (int)((n_points + tile_points - 1) / tile_points);
  int columns = (n_components + kQuad - 1) / kQuad * kQuad;
  int trial_columns = min_int(n_trials, MIXNORM_MAX_COMPONENTS);
  trial_columns = (trial_columns + kQuad - 1) / kQuad * kQuad;
  int most_columns = columns > trial_columns ? columns : trial_columns;
  Index matrix = (Index)n_components * n_dims;
  Index n_sums = 2 * matrix + n_components + 1;

  // What is exchanged.
  double* partial = doubles;
  double* tile_sums = partial + n_tiles * n_sums;  // (2, trials, tiles)
  Working* remaining = workings;                   // (2, trials, points)
  Working* location = remaining + 2 * (Index)n_trials * n_points;
  Working* variance = location + n_dims;
  Working* weights = variance + n_dims;
  Working* means = weights + n_components;
  Working* variances = means + matrix;

  // What is the thread block's own.
  Arena arena = {dynamic_shared};
  int slot_size = n_dims * (tile_points + 1);
  Working* slots = arena.take<Working>(n_slots * slot_size);
  Tile tile;
  tile.points = tile_points;
  tile.channels = n_dims;
  tile.columns = columns;
  tile.values = slots;
  tile.centers = arena.take<Working>(n_dims * most_columns);
  tile.precisions = arena.take<Working>(n_dims * columns);
  tile.rows = arena.take<Working>(tile_points * most_columns);
  tile.scratch = arena.take<Working>(2 * kQuad * kThreads);
  tile.offsets = arena.take<Index>(tile_points);
  Working* constants = arena.take<Working>(columns);
  Working* log_density = arena.take<Working>(tile_points);
  double* warp_sums = arena.take<double>(kThreads / kWarp);
  Index* candidates = arena.take<Index>(n_trials);
  Index* seeds = arena.take<Index>(n_components);
  unsigned* n_waits = arena.take<unsigned>(1);
  if (threadIdx.x == 0) *n_waits = 0;

  Sampled sample = {
      make_stack(x, x_batch, x_channel, x_length, length), indices, n_points,
      n_dims, location, variance, smallest};
  int warp = threadIdx.x / kWarp;
  int lane = threadIdx.x % kWarp;

  // The sample, and its moments about the first point.
  Tile gathered = tile;
  gathered.columns = kQuad;
  Index origin = sample.offset(0);
  for (int item = threadIdx.x; item < kQuad * n_dims; item += kThreads) {
    gathered.centers[item] = sample.raw(origin, item / kQuad);
  }
  for (int item = threadIdx.x; item < kQuad * tile_points;
       item += kThreads) {
    gathered.rows[item] = item % kQuad == 0;
  }
  if (blockIdx.x == 0) {
    for (int c = threadIdx.x; c < n_dims; c += kThreads) {
      means[c] = sample.raw(origin, c);
    }
  }
  for (int t = blockIdx.x; t < n_tiles; t += gridDim.x) {
    Index start = (Index)t * tile_points;
    int n = min_int(tile_points, n_points - start);
    gathered.values = slots + t / gridDim.x * slot_size;
    Sums sums(partial, t, 1, n_dims);
    clear_sums(sums, 2 * n_dims + 2);
    if (threadIdx.x < tile_points) {
      gathered.offsets[threadIdx.x] =
          threadIdx.x < n ? sample.offset(start + threadIdx.x) : 0;
    }
    __syncthreads();
    load_values(gathered.values, gathered.offsets, tile_points, n, sample.x,
                0, n_dims, channels_fast, indices == nullptr);
    __syncthreads();
    add_moments(gathered, n, n_dims, 1, sums.first, sums.second, n_dims);
    if (threadIdx.x == 0) sums.counts[0] = n;
  }
  wait_for_grid(arrived, n_waits);
  int n_chunks = (n_dims + kWarp - 1) / kWarp;
  for (int chunk = blockIdx.x; chunk < n_chunks; chunk += gridDim.x) {
    combine_moments(chunk, 0, partial, n_tiles, n_points, 1, n_dims, means, 0,
                    weights, location, variance, nullptr);
    __syncthreads();
  }
  wait_for_grid(arrived, n_waits);

  for (int t = blockIdx.x; t < n_tiles; t += gridDim.x) {
    int n = min_int(tile_points, n_points - (Index)t * tile_points);
    Working* values = slots + t / gridDim.x * slot_size;
    for (int item = threadIdx.x; item < n_dims * tile_points;
         item += kThreads) {
      int p = item % tile_points;
      int c = item / tile_points;
      Working* value = values + c * (tile_points + 1) + p;
      if (p < n) *value = (*value - location[c]) / sample.scale(c);
    }
  }

  if (start_weights != nullptr) {
    if (blockIdx.x == 0) {
      for (Index i = threadIdx.x; i < matrix; i += kThreads) {
        means[i] = start_means[i];
        variances[i] = start_variances[i] + Working(reg_covar);
        if (i < n_components) weights[i] = start_weights[i];
      }
    }
    wait_for_grid(arrived, n_waits);
  }

  // K-means++. Rounds use the two halves of what is exchanged by turns: one
  // is written while thread blocks that are behind still read the other.
  if (threadIdx.x == 0 && start_weights == nullptr) seeds[0] = first_point;
  int chosen = 0;
  int n_rounds = n_lloyd > 0 && n_components > 1 ? n_components : 0;
  for (int round = 0; round < n_rounds; ++round) {
    int n_tried = round > 0 ? n_trials : 1;
    Index half = round % 2;
    const Working* before =
        remaining + ((1 - half) * n_trials + chosen) * n_points;
    Working* after = remaining + half * n_trials * n_points;
    double* sums = tile_sums + half * n_trials * n_tiles;
    Tile tried = tile;
    tried.columns = trial_columns;
    for (int first = 0; first < n_tried; first += trial_columns) {
      int n_now = min_int(trial_columns, n_tried - first);
      __syncthreads();
      load_points(tried, sample, round > 0 ? candidates + first : seeds,
                  n_now);
      for (int t = blockIdx.x; t < n_tiles; t += gridDim.x) {
        Index start = (Index)t * tile_points;
        int n = min_int(tile_points, n_points - start);
        tried.values = slots + t / gridDim.x * slot_size;
        __syncthreads();
        quadratic_forms<false>(tried, n_dims, false);
        for (int k = warp; k < n_now; k += kThreads / kWarp) {
          double sum = 0;
          for (int p = lane; p < n; p += kWarp) {
            Working distance = tried.rows[p * trial_columns + k];
            if (round > 0 && !(distance < before[start + p])) {
              distance = before[start + p];
            }
            after[(first + k) * n_points + start + p] = distance;
            sum += distance;
          }
          sum = warp_sum(sum);
          if (lane == 0) sums[(Index)(first + k) * n_tiles + t] = sum;
        }
      }
    }
    wait_for_grid(arrived, n_waits);

    // Every thread block finds the same.
    chosen = 0;
    double least = thread_block_sum(sums, n_tiles, warp_sums);
    for (int k = 1; k < n_tried; ++k) {
      double sum =
          thread_block_sum(sums + (Index)k * n_tiles, n_tiles, warp_sums);
      if (sum < least) {
        chosen = k;
        least = sum;
      }
    }
    if (threadIdx.x == 0 && round > 0) seeds[round] = candidates[chosen];
    __syncthreads();
    if (round == n_rounds - 1) break;
    for (int k = warp; k < n_trials; k += kThreads / kWarp) {
      double target = draws[round * n_trials + k] * least;
      double sum_before = 0;
      Index t = search(sums + (Index)chosen * n_tiles, n_tiles, target,
                       &sum_before);
      Index start = t * tile_points;
      Index found = start + search(
          after + chosen * n_points + start,
          min_int(tile_points, n_points - start), target, &sum_before);
      if (lane == 0) candidates[k] = found;
    }
  }

  // Lloyd's iterations and then EM's.
  for (int step = 0; step < n_lloyd + n_em; ++step) {
    bool is_em = step >= n_lloyd;
    __syncthreads();
    if (step == 0 && !is_em) {
      load_points(tile, sample, seeds, n_components);
      __syncthreads();
      if (blockIdx.x == 0) {  // what the moments are taken about
        for (int c = threadIdx.x; c < n_dims; c += kThreads) {
          for (int k = 0; k < n_components; ++k) {
            means[(Index)k * n_dims + c] = tile.centers[c * columns + k];
          }
        }
      }
    } else {
      load_centers(tile, means, n_components, n_dims, 0, n_dims);
    }
    if (is_em) {
      log_constants(constants, weights, variances, n_components, n_dims);
      load_precisions(
          tile, weights, variances, n_components, n_dims, 0, n_dims);
    }
    for (int t = blockIdx.x; t < n_tiles; t += gridDim.x) {
      int n = min_int(tile_points, n_points - (Index)t * tile_points);
      tile.values = slots + t / gridDim.x * slot_size;
      Sums sums(partial, t, n_components, n_dims);
      clear_sums(sums, n_sums);
      __syncthreads();
      if (is_em) {
        quadratic_forms<true>(tile, n_dims, false);
      } else {
        quadratic_forms<false>(tile, n_dims, false);
      }
      if (threadIdx.x < n) {
        Working* row = tile.rows + threadIdx.x * columns;
        log_density[threadIdx.x] = 0;
        if (is_em) {
          log_density[threadIdx.x] =
              normalize_row(row, constants, n_components);
        } else {
          choose_nearest(row, n_components);
        }
        for (int k = n_components; k < columns; ++k) row[k] = 0;
      }
      __syncthreads();
      add_counts(tile, log_density, n, n_components, sums.counts);
      add_moments(tile, n, n_dims, n_components, sums.first, sums.second,
                  n_dims);
    }
    wait_for_grid(arrived, n_waits);
    for (int i = blockIdx.x; i < n_chunks * n_components; i += gridDim.x) {
      int chunk = i % n_chunks;
      int k = i / n_chunks;
      combine_moments(
          chunk, k, partial, n_tiles, n_points, n_components, n_dims, means,
          is_em ? reg_covar : 0, weights, means, variances, nullptr);
      int c = chunk * kWarp + threadIdx.x;
      if (step == n_lloyd - 1 && threadIdx.x < kWarp && c < n_dims) {
        variances[(Index)k * n_dims + c] += Working(reg_covar);
      }
      __syncthreads();
    }
    wait_for_grid(arrived, n_waits);
  }

  // In the units of the points.
  Working* scale = slots;
  for (int c = threadIdx.x; c < n_dims; c += kThreads) {
    scale[c] = sample.scale(c);
  }
  __syncthreads();
  n_chunks = (n_dims + kThreads - 1) / kThreads;
  for (int chunk = blockIdx.x; chunk < n_chunks; chunk += gridDim.x) {
    discard_and_rescale(
        chunk, weights, means, variances, n_components, n_dims, min_weight,
        location, scale, new_weights, new_means, new_variances);
  }
}
