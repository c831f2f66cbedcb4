// How points come from global to shared memory.
//
// Below, values are (channels, points + 1); the rows' odd length spreads both
// directions over the banks. `offsets` say where the points are, and points
// from n_points on are 0. Threads side by side read what lies side by side.
//
// A multiprocessor of an H100 needs some 18 KB on their way to keep its share
// of the memory busy (3.35 TB/s x 700 ns / 132), one of an A100 9 KB. Three
// thread blocks that copy have three tiles on their way, up to 100 KB. Three
// that read ahead have 24 KB of float32 or of fours of float16, and 12 KB of
// single values of float16.

#ifndef MIXNORM_LOADING_H
#define MIXNORM_LOADING_H

#include "points.h"

// From compute capability 8.0 on, values that keep their type are copied
// without a stop in registers, and a thread need not wait for them.
#if __CUDA_ARCH__ >= 800 && __has_include(<cuda_pipeline_primitives.h>)
#include <cuda_pipeline_primitives.h>
const bool kCopies = sizeof(Input) == sizeof(Working);
#else
const bool kCopies = false;
__device__ inline void __pipeline_memcpy_async(void*, const void*, size_t) {}
__device__ inline void __pipeline_commit() {}
__device__ inline void __pipeline_wait_prior(size_t) {}
#endif

// Values, or fours of them, that a thread otherwise reads before it writes
// any to shared memory: they are on their way at once.
const int kReadAhead = 8;
const int kFoursAhead = 4;

// The smallest power of two that is at least n.
__device__ inline int power_of_two(int n) {
  int power = 1;
  while (power < n) power *= 2;
  return power;
}

// Starts to copy channels [first, first + n_channels) of points. They are
// there after finish_copies() and a barrier.
__device__ inline void start_copies(
    Working* values, const Index* offsets, int points, int n_points,
    Stack<const Input> x, int first, int n_channels, bool channels_fast) {
  const Input* data = x.data + first * x.channel_stride;
  int width =
      channels_fast ? power_of_two(min_int(n_channels, kThreads)) : points;
  int lane = threadIdx.x % width;
  int step = kThreads / width;
  if (channels_fast) {
    for (int c = lane; c < n_channels; c += width) {
      for (int p = threadIdx.x / width; p < points; p += step) {
        Working* value = values + c * (points + 1) + p;
        if (p < n_points) {
          const Input* from = data + (offsets[p] + c * x.channel_stride);
          __pipeline_memcpy_async(value, from, sizeof(Input));
        } else {
          *value = 0;
        }
      }
    }
  } else {
    const Input* point = data + offsets[lane];
    for (int c = threadIdx.x / width; c < n_channels; c += step) {
      Working* value = values + c * (points + 1) + lane;
      if (lane < n_points) {
        const Input* from = point + c * x.channel_stride;
        __pipeline_memcpy_async(value, from, sizeof(Input));
      } else {
        *value = 0;
      }
    }
  }
  __pipeline_commit();
}

// Waits for what the thread copies.
__device__ inline void finish_copies() { __pipeline_wait_prior(0); }

__device__ inline void read_values(
    Working* values, const Index* offsets, int points, int n_points,
    Stack<const Input> x, int first, int n_channels, bool channels_fast) {
  const Input* data = x.data + first * x.channel_stride;
  int width =
      channels_fast ? power_of_two(min_int(n_channels, kThreads)) : points;
  int lane = threadIdx.x % width;
  int step = kThreads / width;
  if (channels_fast) {
    for (int c = lane; c < n_channels; c += width) {
      for (int start = threadIdx.x / width; start < points;
           start += kReadAhead * step) {
        Working ahead[kReadAhead];
#pragma unroll
        for (int i = 0; i < kReadAhead; ++i) {
          int p = start + i * step;
          ahead[i] = p < n_points
                         ? to_working(data[offsets[p] + c * x.channel_stride])
                         : Working(0);
        }
#pragma unroll
        for (int i = 0; i < kReadAhead; ++i) {
          int p = start + i * step;
          if (p < points) values[c * (points + 1) + p] = ahead[i];
        }
      }
    }
  } else {
    const Input* point = data + offsets[lane];
    bool inside = lane < n_points;
    for (int start = threadIdx.x / width; start < n_channels;
         start += kReadAhead * step) {
      Working ahead[kReadAhead];
#pragma unroll
      for (int i = 0; i < kReadAhead; ++i) {
        int c = start + i * step;
        ahead[i] = inside && c < n_channels
                       ? to_working(point[c * x.channel_stride])
                       : Working(0);
      }
#pragma unroll
      for (int i = 0; i < kReadAhead; ++i) {
        int c = start + i * step;
        if (c < n_channels) values[c * (points + 1) + lane] = ahead[i];
      }
    }
  }
}

// Whether consecutive points lie side by side in whole fours, each of which
// one load can move.
__device__ inline bool in_fours(const Stack<const Input>& x) {
  return x.length_stride == 1 && x.length % kFour == 0 &&
         x.batch_stride % kFour == 0 && x.channel_stride % kFour == 0 &&
         (size_t)x.data % sizeof(Four<Input>) == 0;
}

// A warp reads eight neighbouring fours of four neighbouring channels, whose
// rows begin one bank after the other: what it writes at once is in 32 banks.
__device__ inline void read_fours(
    Working* values, const Index* offsets, int points, int n_points,
    Stack<const Input> x, int first, int n_channels) {
  const Input* data = x.data + first * x.channel_stride;
  int width = min_int(8, points / kFour);
  int step = kThreads / width;
  for (int p = threadIdx.x % width * kFour; p < points; p += width * kFour) {
    const Input* point = data + offsets[p];
    bool inside = p < n_points;
    for (int start = threadIdx.x / width; start < n_channels;
         start += kFoursAhead * step) {
      Four<Input> ahead[kFoursAhead] = {};
#pragma unroll
      for (int i = 0; i < kFoursAhead; ++i) {
        int c = start + i * step;
        if (inside && c < n_channels) {
          ahead[i] = *reinterpret_cast<const Four<Input>*>(
              point + c * x.channel_stride);
        }
      }
#pragma unroll
      for (int i = 0; i < kFoursAhead; ++i) {
        int c = start + i * step;
        if (c >= n_channels) continue;
#pragma unroll
        for (int j = 0; j < kFour; ++j) {
          values[c * (points + 1) + p + j] = to_working(ahead[i].at[j]);
        }
      }
    }
  }
}

// Loads channels [first, first + n_channels) of points; they are there behind
// a barrier. `consecutive` is whether each point is the next one's neighbour
// by number.
__device__ inline void load_values(
    Working* values, const Index* offsets, int points, int n_points,
    Stack<const Input> x, int first, int n_channels, bool channels_fast,
    bool consecutive) {
  if (kCopies) {
    start_copies(values, offsets, points, n_points, x, first, n_channels,
                 channels_fast);
    finish_copies();
  } else if (consecutive && in_fours(x)) {
    read_fours(values, offsets, points, n_points, x, first, n_channels);
  } else {
    read_values(values, offsets, points, n_points, x, first, n_channels,
                channels_fast);
  }
}

#endif  // MIXNORM_LOADING_H
