// The transform and its gradient: sums over columns j (components, or those
// of several mixtures) of coefficients tau_j times rows of (J, C) matrices.

#include "tile.h"

// A thread block of the element-wise kernels has one tile of kPoints points
// and kChannels channels: kElements a thread, along whichever axis is the slow
// one in memory. Columns come by kSome.
const int kPoints = MIXNORM_TRANSFORM_POINTS;
const int kChannels = MIXNORM_TRANSFORM_CHANNELS;
const int kElements = kPoints * kChannels / kThreads;
const int kSome = 8;

// What a thread block shares, declared once in a kernel for all its variants.
struct Shared {
  Quad taus[kSome][kPoints / kQuad];
  Quad matrices[3][kSome][kChannels / kQuad];
  Index x_offsets[kPoints];
  Index g_offsets[kPoints];
  Index tau_offsets[kPoints];
  Index out_offsets[kPoints];
};

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
template <bool kGradient, int kTerms, bool kChannelsFast>
__device__ void combine(
    Stack<const Input> x, Stack<const Input> g, Index n_points, int n_dims,
    Stack<const Working> tau, int n_columns, const Working* slope,
    const Working* offset, const Working* quadratic, const Working* origin,
    const Working* shift, Stack<Input> out, Shared* shared) {
  const Working* sources[3] = {slope, offset, quadratic};
  const bool kReadsX = !kGradient || kTerms == 3;

  Index first_point = (Index)blockIdx.x * kPoints;
  int first_channel = blockIdx.y * kChannels;
  int n = min_int(kPoints, n_points - first_point);
  int n_channels = min_int(kChannels, n_dims - first_channel);
  if (threadIdx.x < n) {
    Index point = first_point + threadIdx.x;
    shared->x_offsets[threadIdx.x] = x.offset(point);
    shared->g_offsets[threadIdx.x] = g.offset(point);
    shared->tau_offsets[threadIdx.x] = tau.offset(point);
    shared->out_offsets[threadIdx.x] = out.offset(point);
  }
  __syncthreads();

  // This thread's elements: points p + i * point_step, channels likewise.
  const int kPointStep = kChannelsFast;
  const int kChannelStep = !kChannelsFast;
  int p, c;
  if (kChannelsFast) {
    c = threadIdx.x % kChannels;
    p = threadIdx.x / kChannels * kElements;
  } else {
    p = threadIdx.x % kPoints;
    c = threadIdx.x / kPoints * kElements;
  }
  Working value[kElements];
  Working upstream[kElements];
#pragma unroll
  for (int i = 0; i < kElements; ++i) {
    int point = p + i * kPointStep;
    int channel = c + i * kChannelStep;
    value[i] = upstream[i] = 0;
    if (point < n && channel < n_channels) {
      Index at = first_channel + channel;
      if (kReadsX) {
        value[i] = to_working(
            x.data[shared->x_offsets[point] + at * x.channel_stride]);
      }
      if (kGradient) {
        upstream[i] = to_working(
            g.data[shared->g_offsets[point] + at * g.channel_stride]);
      }
    }
  }

  // Not while loading: all eight loads are to be on their way at once.
  if (kReadsX && origin != nullptr) {
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      int channel = c + i * kChannelStep;
      if (channel < n_channels) value[i] -= origin[first_channel + channel];
    }
  }

  Working sums[kTerms][kElements] = {};
#pragma unroll 1
  for (int j = 0; j < n_columns; j += kSome) {
    int n_now = min_int(kSome, n_columns - j);
#pragma unroll 1
    for (int item = threadIdx.x; item < n_now * kPoints; item += kThreads) {
      int point = item % kPoints;
      shared->taus[item / kPoints][point / kQuad].at[point % kQuad] =
          point < n ? tau.data[shared->tau_offsets[point] +
                               (j + item / kPoints) * tau.channel_stride]
                    : Working(0);
    }
    for (int item = threadIdx.x; item < n_now * kChannels;
         item += kThreads) {
      int channel = item % kChannels;
      Index entry = (Index)(j + item / kChannels) * n_dims + first_channel +
                    channel;
#pragma unroll
      for (int term = 0; term < kTerms; ++term) {
        shared->matrices[term][item / kChannels][channel / kQuad]
            .at[channel % kQuad] =
            channel < n_channels ? sources[term][entry] : Working(0);
      }
    }
    __syncthreads();
#pragma unroll 1
    for (int i = 0; i < n_now; ++i) {
#pragma unroll
      for (int term = 0; term < kTerms; ++term) {
        const Quad* row = shared->matrices[term][i];
        // Eight neighbours of one operand, and one of the other.
        const Quad* many =
            kChannelsFast ? shared->taus[i] + p / kQuad : row + c / kQuad;
        Working one = kChannelsFast ? row[c / kQuad].at[c % kQuad]
                                    : shared->taus[i][p / kQuad].at[p % kQuad];
        Quad low = many[0];
        Quad high = many[1];
#pragma unroll
        for (int e = 0; e < kQuad; ++e) {
          sums[term][e] += one * low.at[e];
          sums[term][kQuad + e] += one * high.at[e];
        }
      }
    }
    __syncthreads();
  }

#pragma unroll
  for (int i = 0; i < kElements; ++i) {
    int point = p + i * kPointStep;
    int channel = c + i * kChannelStep;
    if (point < n && channel < n_channels) {
      Index at = first_channel + channel;
      Working result = (kGradient ? upstream[i] : value[i]) * sums[0][i];
      if (kTerms > 1) result += sums[1][i];
      if (kTerms > 2) result += value[i] * sums[kTerms - 1][i];
      if (shift != nullptr) result += shift[at];
      assign(out.data + shared->out_offsets[point] +
                 at * out.channel_stride,
             result);
    }
  }
}

MIXNORM_KERNEL mixnorm_affine(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_points, int n_dims, int channels_fast,
    const Working* tau, Index tau_batch, Index tau_column, Index tau_length,
    int n_columns, const Working* slope, const Working* offset,
    const Working* origin, const Working* shift, Input* y, Index y_batch,
    Index y_channel, Index y_length) {
  __shared__ Shared shared;
  Stack<const Input> in = make_stack(x, x_batch, x_channel, x_length, length);
  Stack<const Working> coefficients =
      make_stack(tau, tau_batch, tau_column, tau_length, length);
  Stack<Input> out = make_stack(y, y_batch, y_channel, y_length, length);
  if (channels_fast) {
    combine<false, 2, true>(in, in, n_points, n_dims, coefficients, n_columns,
                            slope, offset, nullptr, origin, shift, out,
                            &shared);
  } else {
    combine<false, 2, false>(in, in, n_points, n_dims, coefficients,
                             n_columns, slope, offset, nullptr, origin,
                             shift, out, &shared);
  }
}

// The gradient through the statistics as well.
MIXNORM_LARGE_KERNEL mixnorm_gradient_input(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_points, int n_dims, int channels_fast,
    const Input* gy, Index gy_batch, Index gy_channel, Index gy_length,
    const Working* tau, Index tau_batch, Index tau_column, Index tau_length,
    int n_columns, const Working* slope, const Working* offset,
    const Working* quadratic, const Working* origin, Input* gx,
    Index gx_batch, Index gx_channel, Index gx_length) {
  __shared__ Shared shared;
  Stack<const Input> in = make_stack(x, x_batch, x_channel, x_length, length);
  Stack<const Input> upstream =
      make_stack(gy, gy_batch, gy_channel, gy_length, length);
  Stack<const Working> coefficients =
      make_stack(tau, tau_batch, tau_column, tau_length, length);
  Stack<Input> out = make_stack(gx, gx_batch, gx_channel, gx_length, length);
  if (channels_fast) {
    combine<true, 3, true>(in, upstream, n_points, n_dims, coefficients,
                           n_columns, slope, offset, quadratic, origin,
                           nullptr, out, &shared);
  } else {
    combine<true, 3, false>(in, upstream, n_points, n_dims, coefficients,
                            n_columns, slope, offset, quadratic, origin,
                            nullptr, out, &shared);
  }
}

// The gradient without them, gx = gy * (tau slope).
MIXNORM_KERNEL mixnorm_gradient_direct(
    const Input* gy, Index gy_batch, Index gy_channel, Index gy_length,
    Index length, Index n_points, int n_dims, int channels_fast,
    const Working* tau, Index tau_batch, Index tau_column, Index tau_length,
    int n_columns, const Working* slope, Input* gx, Index gx_batch,
    Index gx_channel, Index gx_length) {
  __shared__ Shared shared;
  Stack<const Input> upstream =
      make_stack(gy, gy_batch, gy_channel, gy_length, length);
  Stack<const Working> coefficients =
      make_stack(tau, tau_batch, tau_column, tau_length, length);
  Stack<Input> out = make_stack(gx, gx_batch, gx_channel, gx_length, length);
  if (channels_fast) {
    combine<true, 1, true>(upstream, upstream, n_points, n_dims, coefficients,
                           n_columns, slope, nullptr, nullptr, nullptr,
                           nullptr, out, &shared);
  } else {
    combine<true, 1, false>(upstream, upstream, n_points, n_dims,
                            coefficients, n_columns, slope, nullptr, nullptr,
                            nullptr, nullptr, out, &shared);
  }
}

// A thread block's sums over its points of columns
// [first_column, + 4 kQuads) and of kChannels channels. Warps share the
// points; lanes are channels.
template <int kQuads>
__device__ void add_gradients(
    Stack<const Input> x, Stack<const Input> g, Index n_points, int n_dims,
    bool x_channels_fast, bool g_channels_fast, Stack<const Working> tau,
    int n_columns, int first_column, const Working* origin, int tile_points,
    double* partial) {
  Arena arena = {dynamic_shared};
  Working* x_values = arena.take<Working>(kChannels * (tile_points + 1));
  Working* g_values = arena.take<Working>(kChannels * (tile_points + 1));
  Working* taus = arena.take<Working>(tile_points * kQuads * kQuad);
  Index* x_offsets = arena.take<Index>(tile_points);
  Index* g_offsets = arena.take<Index>(tile_points);
  double* sums = arena.take<double>(kThreads);
  const int kColumns = kQuads * kQuad;
  const int kSums = 2 * kColumns + 1;

  int first_channel = blockIdx.y * kChannels;
  int n_channels = min_int(kChannels, n_dims - first_channel);
  int c = threadIdx.x % kWarp;
  int warp = threadIdx.x / kWarp;
  Working zero = 0;
  if (origin != nullptr && c < n_channels) zero = origin[first_channel + c];

  // Within a tile sums are in the working type, over tiles in float64.
  double totals[kSums] = {};
  for (Index start = (Index)blockIdx.x * tile_points; start < n_points;
       start += (Index)gridDim.x * tile_points) {
    int n = min_int(tile_points, n_points - start);
    if (threadIdx.x < tile_points) {
      int p = threadIdx.x;
      x_offsets[p] = p < n ? x.offset(start + p) : 0;
      g_offsets[p] = p < n ? g.offset(start + p) : 0;
    }
    for (int item = threadIdx.x; item < tile_points * kColumns;
         item += kThreads) {
      int p = item % tile_points;
      int j = item / tile_points;
      taus[p * kColumns + j] =
          p < n && first_column + j < n_columns
              ? tau.data[tau.offset(start + p) +
                         (first_column + j) * tau.channel_stride]
              : Working(0);
    }
    __syncthreads();
    load_values(x_values, x_offsets, tile_points, n, x, first_channel,
                n_channels, x_channels_fast, false);
    load_values(g_values, g_offsets, tile_points, n, g, first_channel,
                n_channels, g_channels_fast, false);
    __syncthreads();
    Working tile_sums[kSums] = {};
    if (c < n_channels) {
      for (int p = warp; p < n; p += kThreads / kWarp) {
        Working upstream = g_values[c * (tile_points + 1) + p];
        Working product =
            upstream * (x_values[c * (tile_points + 1) + p] - zero);
        tile_sums[2 * kColumns] += upstream;
#pragma unroll
        for (int q = 0; q < kQuads; ++q) {
          Quad share = *reinterpret_cast<const Quad*>(
              taus + p * kColumns + q * kQuad);
#pragma unroll
          for (int i = 0; i < kQuad; ++i) {
            tile_sums[q * kQuad + i] += share.at[i] * upstream;
            tile_sums[kColumns + q * kQuad + i] += share.at[i] * product;
          }
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kSums; ++i) totals[i] += tile_sums[i];
    __syncthreads();
  }

  // partial: (thread blocks, 2 J + 1, C).
  double* row = partial + (Index)blockIdx.x * (2 * n_columns + 1) * n_dims;
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    sums[threadIdx.x] = totals[i];
    for (int half = kThreads / 2; half >= kWarp; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    int column = first_column + i % kColumns;
    int sum = i == 2 * kColumns ? 2 * n_columns
              : i < kColumns    ? column
                                : n_columns + column;
    bool wanted = i == 2 * kColumns ? first_column == 0 : column < n_columns;
    if (wanted && threadIdx.x < n_channels) {
      row[(Index)sum * n_dims + first_channel + threadIdx.x] =
          sums[threadIdx.x];
    }
    __syncthreads();
  }
}

// Thread blocks' rows (2 J + 1, C) of sum_i tau_ij g_ic, of
// sum_i tau_ij g_ic (x_ic - origin_c), and of sum_i g_ic. Thread blocks
// share points (x), channels (y) and columns by 4 n_quads (z).
MIXNORM_LARGE_KERNEL mixnorm_gradient_sums(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_points, int n_dims, int channels_fast,
    const Input* gy, Index gy_batch, Index gy_channel, Index gy_length,
    int gy_channels_fast, const Working* tau, Index tau_batch,
    Index tau_column, Index tau_length, int n_columns, const Working* origin,
    int n_quads, int tile_points, double* partial) {
  Stack<const Input> in = make_stack(x, x_batch, x_channel, x_length, length);
  Stack<const Input> upstream =
      make_stack(gy, gy_batch, gy_channel, gy_length, length);
  Stack<const Working> coefficients =
      make_stack(tau, tau_batch, tau_column, tau_length, length);
  int first_column = blockIdx.z * n_quads * kQuad;
  if (n_quads == 1) {
    add_gradients<1>(in, upstream, n_points, n_dims, channels_fast,
                     gy_channels_fast, coefficients, n_columns, first_column,
                     origin, tile_points, partial);
  } else {
    add_gradients<2>(in, upstream, n_points, n_dims, channels_fast,
                     gy_channels_fast, coefficients, n_columns, first_column,
                     origin, tile_points, partial);
  }
}

// Adds up the rows of partial (n_rows, n_columns), in their order. Thread
// blocks of kWarp columns; warps share the rows.
MIXNORM_KERNEL mixnorm_sum_rows(
    const double* partial, Index n_rows, Index n_columns, double* sums) {
  __shared__ double totals[kThreads];
  Index column = (Index)blockIdx.x * kWarp + threadIdx.x % kWarp;
  double sum = 0;
  if (column < n_columns) {
#pragma unroll 4
    for (Index row = threadIdx.x / kWarp; row < n_rows;
         row += kThreads / kWarp) {
      sum += partial[row * n_columns + column];
    }
  }
  totals[threadIdx.x] = sum;
  for (int half = kThreads / 2; half >= kWarp; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) totals[threadIdx.x] += totals[threadIdx.x + half];
  }
  if (threadIdx.x < kWarp && column < n_columns) {
    sums[column] = totals[threadIdx.x];
  }
}

// Points that the origin is the median of, at most.
const int kOriginPoints = MIXNORM_ORIGIN_POINTS;

// A point (C,) amid the data: the median of a few, from all over it, so that
// those far from the others have no say.
MIXNORM_KERNEL mixnorm_find_origin(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_points, int n_dims, int n_samples,
    Working* origin) {
  Stack<const Input> points =
      make_stack(x, x_batch, x_channel, x_length, length);
  int c = blockIdx.x * kThreads + threadIdx.x;
  if (c >= n_dims) return;
  Working sorted[kOriginPoints];
  for (int i = 0; i < n_samples; ++i) {
    // In no regular steps, which might meet the same position every time.
    double turns = i * 0.61803398874989484820;
    Index number = Index((turns - floor(turns)) * n_points);
    Working value = to_working(x[points.offset(number) + c * x_channel]);
    // What is not finite is left out by the median.
    if (!(value - value == 0)) value = 0;
    int place = i;
    for (; place > 0 && sorted[place - 1] > value; --place) {
      sorted[place] = sorted[place - 1];
    }
    sorted[place] = value;
  }
  origin[c] = sorted[n_samples / 2];
}
