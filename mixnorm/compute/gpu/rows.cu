// Rows: what a sample holds of a channel, L values each.
//
// x is (N, C, L) in any order of memory. Some threads share a row, as many
// rows as fit share a thread block, and what lies side by side in memory is
// read by threads side by side: a row's values, or the rows of adjacent
// channels.

#include "points.h"

// The row that a thread works on, and its part of it.
struct Row {
  Index number;  // n * C + c
  Index n;
  int c;
  int part;      // of `parts`: values part, part + parts, ...
  int parts;
  bool inside;   // There is such a row.
  int slot;      // Where the thread's sums go, so that a row's are
  int step;      // `step` apart.
};

__device__ inline Row make_row(
    Index n_rows, int n_dims, int parts, int channels_fast) {
  int rows = kThreads / parts;
  int t = threadIdx.x;
  int local = channels_fast ? t % rows : t / parts;
  Row row;
  row.part = channels_fast ? t / rows : t % parts;
  row.parts = parts;
  row.number = (Index)blockIdx.x * rows + local;
  row.inside = row.number < n_rows;
  row.n = row.inside ? row.number / n_dims : 0;
  row.c = row.inside ? (int)(row.number - row.n * n_dims) : 0;
  row.step = rows;
  row.slot = row.part * rows + local;
  return row;
}

template <class T>
__device__ T* row_start(Stack<T> x, const Row& row) {
  return x.data + row.n * x.batch_stride + row.c * x.channel_stride;
}

// Values that a thread reads before it uses any: they are on their way at
// once.
const int kRowAhead = 4;

// Reads values l, l + parts, ... of a row; 0 from `end` on.
template <class T>
__device__ void read_ahead(
    Working* ahead, const T* values, Index stride, Index l, Index end,
    int parts) {
#pragma unroll
  for (int i = 0; i < kRowAhead; ++i) {
    Index at = l + i * parts;
    ahead[i] = at < end ? to_working(values[at * stride]) : Working(0);
  }
}

// Few values are added up in the working type, many in float64: so many times
// kRowAhead.
const int kRun = 16;

// Adds up what the threads of a row have, in a fixed order; every thread gets
// its row's sum. All of a thread block's threads call it.
__device__ inline double sum_of_row(const Row& row, double value) {
  __shared__ double sums[kThreads];
  __syncthreads();
  sums[row.slot] = value;
  for (int half = row.parts / 2; half > 0; half /= 2) {
    __syncthreads();
    if (row.part < half) sums[row.slot] += sums[row.slot + half * row.step];
  }
  __syncthreads();
  return sums[row.slot - row.part * row.step];
}

// Means (N, C), and variances (N, C) unless that is null.
MIXNORM_KERNEL mixnorm_row_moments(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_rows, int n_dims, int parts, int channels_fast,
    Working* means, double* variances) {
  Stack<const Input> in = make_stack(x, x_batch, x_channel, x_length, length);
  Row row = make_row(n_rows, n_dims, parts, channels_fast);
  Index end = row.inside ? length : 0;
  const Input* values = row_start(in, row);

  double total = 0;
  for (Index l = row.part; l < end;) {
    Working sum = 0;
    for (int run = 0; run < kRun && l < end;
         ++run, l += kRowAhead * parts) {
      Working ahead[kRowAhead];
      read_ahead(ahead, values, x_length, l, end, parts);
#pragma unroll
      for (int i = 0; i < kRowAhead; ++i) sum += ahead[i];
    }
    total += sum;
  }
  Working mean = Working(sum_of_row(row, total) / length);
  if (row.inside && row.part == 0) means[row.number] = mean;
  if (variances == nullptr) return;

  total = 0;
  for (Index l = row.part; l < end;) {
    Working sum = 0;
    for (int run = 0; run < kRun && l < end;
         ++run, l += kRowAhead * parts) {
      Working ahead[kRowAhead];
      read_ahead(ahead, values, x_length, l, end, parts);
#pragma unroll
      for (int i = 0; i < kRowAhead; ++i) {
        Working deviation = ahead[i] - mean;
        if (l + i * parts < end) sum += deviation * deviation;
      }
    }
    total += sum;
  }
  total = sum_of_row(row, total);
  if (row.inside && row.part == 0) variances[row.number] = total / length;
}

// out = (x - center) * slope + offset
MIXNORM_KERNEL mixnorm_row_affine(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_rows, int n_dims, int parts, int channels_fast,
    const Working* center, const Working* slope, const Working* offset,
    Input* out, Index out_batch, Index out_channel, Index out_length) {
  Stack<const Input> in = make_stack(x, x_batch, x_channel, x_length, length);
  Stack<Input> result =
      make_stack(out, out_batch, out_channel, out_length, length);
  Row row = make_row(n_rows, n_dims, parts, channels_fast);
  if (!row.inside) return;
  const Input* values = row_start(in, row);
  Input* results = row_start(result, row);
  Working m = center[row.number];
  Working a = slope[row.number];
  Working b = offset[row.number];
  for (Index l = row.part; l < length; l += kRowAhead * parts) {
    Working ahead[kRowAhead];
    read_ahead(ahead, values, x_length, l, length, parts);
#pragma unroll
    for (int i = 0; i < kRowAhead; ++i) {
      Index at = l + i * parts;
      if (at < length) {
        assign(results + at * out_length, (ahead[i] - m) * a + b);
      }
    }
  }
}

// The gradients of slope and offset (N, C): sums of gy * (x - center), and of
// gy.
MIXNORM_KERNEL mixnorm_row_gradient_sums(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_rows, int n_dims, int parts, int channels_fast,
    const Input* gy, Index gy_batch, Index gy_channel, Index gy_length,
    const Working* center, double* slope, double* offset) {
  Stack<const Input> in = make_stack(x, x_batch, x_channel, x_length, length);
  Stack<const Input> upstream =
      make_stack(gy, gy_batch, gy_channel, gy_length, length);
  Row row = make_row(n_rows, n_dims, parts, channels_fast);
  Index end = row.inside ? length : 0;
  const Input* values = row_start(in, row);
  const Input* gradients = row_start(upstream, row);
  Working m = row.inside ? center[row.number] : Working(0);

  double total = 0;
  double total_product = 0;
  for (Index l = row.part; l < end;) {
    Working sum = 0;
    Working product = 0;
    for (int run = 0; run < kRun && l < end;
         ++run, l += kRowAhead * parts) {
      Working ahead[kRowAhead];
      Working g[kRowAhead];
      read_ahead(ahead, values, x_length, l, end, parts);
      read_ahead(g, gradients, gy_length, l, end, parts);
#pragma unroll
      for (int i = 0; i < kRowAhead; ++i) {
        sum += g[i];
        product += g[i] * (ahead[i] - m);
      }
    }
    total += sum;
    total_product += product;
  }
  total = sum_of_row(row, total);
  total_product = sum_of_row(row, total_product);
  if (row.inside && row.part == 0) {
    slope[row.number] = total_product;
    offset[row.number] = total;
  }
}

// out = gy * slope + (x - center) * quadratic + offset; without the second
// term where quadratic is null.
MIXNORM_KERNEL mixnorm_row_gradient_input(
    const Input* x, Index x_batch, Index x_channel, Index x_length,
    Index length, Index n_rows, int n_dims, int parts, int channels_fast,
    const Input* gy, Index gy_batch, Index gy_channel, Index gy_length,
    const Working* center, const Working* slope, const Working* quadratic,
    const Working* offset,
    Input* out, Index out_batch, Index out_channel, Index out_length) {
  Stack<const Input> in = make_stack(x, x_batch, x_channel, x_length, length);
  Stack<const Input> upstream =
      make_stack(gy, gy_batch, gy_channel, gy_length, length);
  Stack<Input> result =
      make_stack(out, out_batch, out_channel, out_length, length);
  Row row = make_row(n_rows, n_dims, parts, channels_fast);
  if (!row.inside) return;
  const Input* values = row_start(in, row);
  const Input* gradients = row_start(upstream, row);
  Input* results = row_start(result, row);
  Working m = center[row.number];
  Working a = slope[row.number];
  Working b = offset[row.number];
  Working q = quadratic == nullptr ? Working(0) : quadratic[row.number];
  for (Index l = row.part; l < length; l += kRowAhead * parts) {
    Working g[kRowAhead];
    Working ahead[kRowAhead];
    read_ahead(g, gradients, gy_length, l, length, parts);
    if (quadratic != nullptr) {
      read_ahead(ahead, values, x_length, l, length, parts);
    }
#pragma unroll
    for (int i = 0; i < kRowAhead; ++i) {
      Index at = l + i * parts;
      if (at < length) {
        Working result = g[i] * a;
        result += quadratic == nullptr ? b : (ahead[i] - m) * q + b;
        assign(results + at * out_length, result);
      }
    }
  }
}
