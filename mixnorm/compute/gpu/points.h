// Points in global memory: element types, strides, numbering.
//
// A stack (B, C, L) holds B * L points in C dimensions, in any order of
// memory; point b * L + l is at b * batch_stride + l * length_stride, and its
// channels are channel_stride apart.

#ifndef MIXNORM_POINTS_H
#define MIXNORM_POINTS_H

#include <cuda_fp16.h>

// MIXNORM_INPUT is the type of activations: __half, float or double.
typedef MIXNORM_INPUT Input;

// Statistics of float16 are computed in float32.
template <class T>
struct WorkingType {
  typedef T Type;
};
template <>
struct WorkingType<__half> {
  typedef float Type;
};
typedef WorkingType<Input>::Type Working;

// An activation may hold more than 2^31 elements.
typedef long long Index;

// Every thread block has this many threads, and so few registers that several
// fit on a multiprocessor: while one waits for memory, another computes. Four
// leave a thread 64 registers, and three leave it 80; numbers of float64 take
// two each.
const int kThreads = MIXNORM_THREADS;
const int kWarp = MIXNORM_WARP;

#define MIXNORM_KERNEL       \
  extern "C" __global__ void \
  __launch_bounds__(kThreads, sizeof(Working) == 4 ? 4 : 2)
#define MIXNORM_LARGE_KERNEL \
  extern "C" __global__ void \
  __launch_bounds__(kThreads, sizeof(Working) == 4 ? 3 : 2)

__device__ inline float to_working(__half value) {
  return __half2float(value);
}
__device__ inline float to_working(float value) { return value; }
__device__ inline double to_working(double value) { return value; }

__device__ inline void assign(__half* out, float value) {
  *out = __float2half_rn(value);
}
__device__ inline void assign(float* out, float value) { *out = value; }
__device__ inline void assign(double* out, double value) { *out = value; }

// So many neighbouring values one load or store moves.
const int kFour = MIXNORM_FOUR;

template <class T>
struct alignas(kFour * sizeof(T) < 16 ? kFour * sizeof(T) : 16) Four {
  T at[kFour];
};

template <class T>
struct Stack {
  T* data;
  Index batch_stride;
  Index channel_stride;
  Index length_stride;
  Index length;

  // Where a point's first channel is.
  __device__ Index offset(Index point) const {
    Index b;
    if (point >> 31) {
      b = point / length;
    } else {  // 64-bit division is many times as slow
      b = (unsigned)point / (unsigned)(length >> 31 ? 1u << 31 : length);
    }
    return b * batch_stride + (point - b * length) * length_stride;
  }
};

template <class T>
__device__ inline Stack<T> make_stack(
    T* data, Index batch_stride, Index channel_stride, Index length_stride,
    Index length) {
  Stack<T> x = {data, batch_stride, channel_stride, length_stride, length};
  return x;
}

__device__ inline int min_int(Index a, Index b) {
  return (int)(a < b ? a : b);
}

// The sum of the lanes' values, the same in every lane.
__device__ inline double warp_sum(double value) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, step);
  }
  return value;
}

#endif  // MIXNORM_POINTS_H
