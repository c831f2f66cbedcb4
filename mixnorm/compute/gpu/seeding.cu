// K-means++ with local trials, one launch for each centre.
//
// A launch tries some points as the next centre: it computes the squared
// distance that each point would be left with. The thread block that ends last
// takes the trial with the least sum, and draws the next launch's trials in
// proportion to those distances. Sums are added up in a fixed order.

#include "draws.h"
#include "tile.h"

// Launch number `round` tries the points `candidates` as centre number
// `round`; the first tries only the point `first_point`.
//
// remaining (n_trials or more, M): squared distances left by each trial; on
// entry, after the first launch, those of the trial `chosen`, the best of the
// launch before. block_sums (n_trials, thread blocks): their sums by thread
// block; number i has the points from i * block_points on. Of the draws,
// `next_draws` give the next launch its n_next candidates. `finished` counts
// the thread blocks that have ended, from 0.
MIXNORM_KERNEL mixnorm_seed(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_points, int n_dims, int channels_fast, int round,
    Index first_point, int n_trials, const double* next_draws, int n_next,
    int tile_points, int tile_channels, int columns, Index block_points,
    Index* candidates, int* chosen, unsigned* finished, Working* remaining,
    double* block_sums, Working* centers, Index* indices) {
  Stack<const Input> points =
      make_stack(x, x_batch, x_channel, x_length, length);
  Arena arena = {dynamic_shared};
  Tile tile = make_tile(&arena, tile_points, tile_channels, columns);
  Working* closest = arena.take<Working>(tile_points);
  double* sums = arena.take<double>(kThreads / kWarp);
  int* flags = arena.take<int>(1);

  int warp = threadIdx.x / kWarp;
  int lane = threadIdx.x % kWarp;
  bool stay = n_dims <= tile_channels;
  Index begin = blockIdx.x * block_points;
  Index end = begin + block_points < n_points ? begin + block_points
                                              : n_points;
  for (Index start = begin; start < end; start += tile_points) {
    int n = min_int(tile_points, end - start);
    if (threadIdx.x < tile_points) {
      int p = threadIdx.x;
      tile.offsets[p] = p < n ? points.offset(start + p) : 0;
      if (round > 0 && p < n) {
        closest[p] = remaining[*chosen * n_points + start + p];
      }
    }
    __syncthreads();
    for (int t = 0; t < n_trials; t += columns) {
      int n_now = min_int(columns, n_trials - t);
      for (int first = 0; first < n_dims; first += tile_channels) {
        int n_channels = min_int(tile_channels, n_dims - first);
        if (t == 0 || !stay) {
          load_values(tile.values, tile.offsets, tile_points, n, points,
                      first, n_channels, channels_fast, true);
        }
        if (start == begin || n_trials > columns || !stay) {
          for (int item = threadIdx.x; item < columns * n_channels;
               item += kThreads) {
            int c = item % n_channels;
            int k = item / n_channels;
            Index point = first_point;
            if (round > 0 && k < n_now) point = candidates[t + k];
            tile.centers[c * columns + k] = to_working(
                x[points.offset(point) + (first + c) * x_channel]);
          }
        }
        __syncthreads();
        quadratic_forms<false>(tile, n_channels, first > 0);
      }
      for (int k = warp; k < n_now; k += kThreads / kWarp) {
        double sum = 0;
        for (int p = lane; p < n; p += kWarp) {
          Working distance = tile.rows[p * columns + k];
          if (round > 0 && !(distance < closest[p])) distance = closest[p];
          remaining[(t + k) * n_points + start + p] = distance;
          sum += distance;
        }
        sum = warp_sum(sum);
        if (lane == 0) {
          double* total = block_sums + (Index)(t + k) * gridDim.x + blockIdx.x;
          *total = start == begin ? sum : *total + sum;
        }
      }
      __syncthreads();
    }
  }

  // What this thread block wrote is to be seen by the one that ends last. The
  // thread that counts stands between the barriers for all the others: its
  // fences order what they wrote before the count, and what they read after.
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    flags[0] = atomicAdd(finished, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (!flags[0]) return;

  int best = 0;
  double least = thread_block_sum(block_sums, gridDim.x, sums);
  for (int t = 1; t < n_trials; ++t) {
    double sum =
        thread_block_sum(block_sums + (Index)t * gridDim.x, gridDim.x, sums);
    if (sum < least) {
      best = t;
      least = sum;
    }
  }
  Index point = round > 0 ? candidates[best] : first_point;
  for (int c = threadIdx.x; c < n_dims; c += kThreads) {
    centers[(Index)round * n_dims + c] =
        to_working(x[points.offset(point) + c * x_channel]);
  }
  __syncthreads();  // every thread has read its candidate
  if (threadIdx.x == 0) {
    indices[round] = point;
    *chosen = best;
  }
  for (int t = warp; t < n_next; t += kThreads / kWarp) {
    double target = next_draws[t] * least;
    double before = 0;
    Index block = search(
        block_sums + (Index)best * gridDim.x, gridDim.x, target, &before);
    Index first = block * block_points;
    Index n = first + block_points < n_points ? block_points
                                              : n_points - first;
    Index found = first + search(
        remaining + best * n_points + first, n, target, &before);
    if (lane == 0) candidates[t] = found;
  }
}
