// What mode normalization computes between its passes over rows: arithmetic
// on (N, C), (N, K) and (K, C).
//
// A row's mean is `means`, (N, C), its variance `variances`. Gates of samples
// are (N, K), those of channels (N, K, C). What is added up is added up in an
// order that depends on shapes alone.

#include "points.h"

// Channels side by side that a thread block adds up over samples: their
// means are what memory moves at once.
const int kModeChannels = MIXNORM_MODE_CHANNELS;
const int kModeParts = kThreads / kModeChannels;

// A smaller sum of gates cannot be divided by.
const double kLeastCount = 1e-290;

// Adds up what threads t, t + lanes, t + 2 lanes, ... have. All of a thread
// block's threads call it.
template <int lanes>
__device__ inline double block_sum(double value) {
  __shared__ double sums[kThreads];
  __syncthreads();
  sums[threadIdx.x] = value;
  for (int half = kThreads / 2; half >= lanes; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  __syncthreads();
  return sums[threadIdx.x % lanes];
}

// Modes, or each sample's modes: means relative to the origin, variances,
// 1 / sum of gates, and what they map a row by.
struct Modes {
  double* mean;
  double* variance;
  double* scale;
  double* factor;
  double* constant;

  __device__ Modes(double* memory, Index size)
      : mean(memory), variance(memory + size), scale(memory + 2 * size),
        factor(memory + 3 * size), constant(memory + 4 * size) {}

  // From sums of gates, and of those times the rows' moments.
  __device__ void set(Index i, double count, double first, double second)
      const {
    // Without any gates mean and variance are 0.
    scale[i] = count < kLeastCount ? 1. : 1 / count;
    mean[i] = first * scale[i];
    double difference = second * scale[i] - mean[i] * mean[i];
    variance[i] = difference < 0 ? 0. : difference;
  }
};

// The gradient of a gate is linear mean + quadratic (mean^2 + variance) +
// constant, by the row's moments, as far as it acts through the mode's.
struct ModeGradients {
  double* linear;
  double* quadratic;
  double* constant;

  __device__ ModeGradients(double* memory, Index size)
      : linear(memory), quadratic(memory + size),
        constant(memory + 2 * size) {}

  // From the gradients of factor and of factor * mean.
  __device__ void set(Index i, const Modes& modes, double factor_gradient,
                      double shift_gradient, double eps) const {
    double mean = modes.mean[i];
    double factor = modes.factor[i];
    double of_mean = factor * shift_gradient;
    double of_variance =
        -.5 * factor / (modes.variance[i] + eps) * factor_gradient;
    linear[i] = (of_mean - 2 * of_variance * mean) * modes.scale[i];
    quadratic[i] = of_variance * modes.scale[i];
    constant[i] = (of_variance * (mean * mean - modes.variance[i]) -
                   of_mean * mean) * modes.scale[i];
  }
};

// Turns scores, `step` apart, into their softmax.
__device__ inline void softmax(double* scores, int n, Index step) {
  double largest = scores[0];
  for (int k = 1; k < n; ++k) {
    if (scores[k * step] > largest) largest = scores[k * step];
  }
  double sum = 0;
  for (int k = 0; k < n; ++k) {
    scores[k * step] = exp(scores[k * step] - largest);
    sum += scores[k * step];
  }
  for (int k = 0; k < n; ++k) scores[k * step] /= sum;
}

// Turns the gradients of a softmax into those of its scores.
__device__ inline void softmax_gradient(
    const double* gates, double* gradients, int n, Index step) {
  double sum = 0;
  for (int k = 0; k < n; ++k) sum += gates[k * step] * gradients[k * step];
  for (int k = 0; k < n; ++k) {
    gradients[k * step] = gates[k * step] * (gradients[k * step] - sum);
  }
}

// --- Modes of samples -------------------------------------------------------

// gates_n = softmax(W means_n + b), a warp for each sample.
MIXNORM_KERNEL mixnorm_sample_gates(
    const Working* means, Index n_samples, int n_dims, int n_modes,
    const Working* weight, const Working* bias, double* gates) {
  int lane = threadIdx.x % kWarp;
  Index n = (Index)blockIdx.x * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (n >= n_samples) return;
  for (int k = 0; k < n_modes; ++k) {
    double sum = 0;
    for (int c = lane; c < n_dims; c += kWarp) {
      sum += (double)weight[(Index)k * n_dims + c] * means[n * n_dims + c];
    }
    sum = warp_sum(sum);
    if (lane == 0) gates[n * n_modes + k] = sum + bias[k];
  }
  if (lane == 0) softmax(gates + n * n_modes, n_modes, 1);
}

// The coefficients of the output, (x - means_nc) slope_nc + offset_nc, by
//
//     factor_kc = gamma_kc / sqrt(variance_kc + eps),
//     constant_kc = beta_kc - factor_kc mean_kc,
//     slope_nc = sum_k gates_nk factor_kc,
//     offset_nc = sum_k gates_nk constant_kc + slope_nc (means_nc - origin_c),
//
// where gamma and beta of shape (C,) are the same for all modes, and beta is
// added to the sum then. `averages` and `square_averages`, (K, C), are the
// modes' means of x and of x^2: they are found, or, where `is_fixed`, given.
// That `variances` are null does not tell: so are those of no samples.
MIXNORM_KERNEL mixnorm_sample_modes(
    const Working* means, const double* variances, const double* gates,
    Index n_samples, int n_dims, int n_modes, double eps,
    const Working* gamma, const Working* beta, int per_mode, int is_fixed,
    double* averages, double* square_averages, double* origin, double* memory,
    Working* slope, Working* offset) {
  Modes modes(memory, (Index)n_modes * n_dims);
  int c = blockIdx.x * kModeChannels + threadIdx.x % kModeChannels;
  int part = threadIdx.x / kModeChannels;
  bool inside = c < n_dims;
  Index end = inside ? n_samples : 0;

  double center = 0;
  if (is_fixed) {
    for (int k = 0; inside && k < n_modes; ++k) {
      center += averages[(Index)k * n_dims + c];
    }
    center /= n_modes;
  } else {
    for (Index n = part; n < end; n += kModeParts) {
      center += means[n * n_dims + c];
    }
    center = block_sum<kModeChannels>(center);
    if (n_samples > 0) center /= n_samples;
  }
  bool writes = inside && part == 0;
  if (writes) origin[c] = center;

  for (int k = 0; k < n_modes; ++k) {
    Index i = (Index)k * n_dims + c;
    if (!is_fixed) {
      double count = 0;
      double first = 0;
      double second = 0;
      for (Index n = part; n < end; n += kModeParts) {
        double gate = gates[n * n_modes + k];
        double mean = means[n * n_dims + c] - center;
        count += gate;
        first += gate * mean;
        second += gate * (mean * mean + variances[n * n_dims + c]);
      }
      count = block_sum<kModeChannels>(count);
      first = block_sum<kModeChannels>(first);
      second = block_sum<kModeChannels>(second);
      if (writes) {
        modes.set(i, count, first, second);
        double mean = modes.mean[i] + center;
        averages[i] = mean;
        square_averages[i] = modes.variance[i] + mean * mean;
      }
    } else if (writes) {
      double mean = averages[i];
      double variance = square_averages[i] - mean * mean;
      modes.mean[i] = mean - center;
      modes.variance[i] = variance < 0 ? 0. : variance;
      modes.scale[i] = 0;  // The modes do not follow from the rows.
    }
    if (writes) {
      modes.factor[i] =
          gamma[per_mode ? i : c] / sqrt(modes.variance[i] + eps);
      modes.constant[i] =
          (per_mode ? beta[i] : 0.) - modes.factor[i] * modes.mean[i];
    }
  }
  __syncthreads();

  for (Index n = part; n < end; n += kModeParts) {
    double a = 0;
    double b = 0;
    for (int k = 0; k < n_modes; ++k) {
      double gate = gates[n * n_modes + k];
      a += gate * modes.factor[(Index)k * n_dims + c];
      b += gate * modes.constant[(Index)k * n_dims + c];
    }
    if (!per_mode) b += beta[c];
    Index i = n * n_dims + c;
    slope[i] = Working(a);
    offset[i] = Working((means[i] - center) * a + b);
  }
}

// The gradients of gamma and beta, and of the modes, from sums over rows of
// gy (x - means_nc) and of gy.
MIXNORM_LARGE_KERNEL mixnorm_sample_mode_sums(
    const double* sum_gx, const double* sum_g, const Working* means,
    const double* gates, Index n_samples, int n_dims, int n_modes, double eps,
    int per_mode, const double* origin, double* memory,
    double* gradient_memory, Working* gamma_gradient,
    Working* beta_gradient) {
  Index size = (Index)n_modes * n_dims;
  Modes modes(memory, size);
  ModeGradients gradients(gradient_memory, size);
  int c = blockIdx.x * kModeChannels + threadIdx.x % kModeChannels;
  int part = threadIdx.x / kModeChannels;
  Index end = c < n_dims ? n_samples : 0;
  bool writes = c < n_dims && part == 0;

  double total_g = 0;
  for (Index n = part; n < end; n += kModeParts) {
    total_g += sum_g[n * n_dims + c];
  }
  total_g = block_sum<kModeChannels>(total_g);
  double total_gamma = 0;
  for (int k = 0; k < n_modes; ++k) {
    double g = 0;
    double gx = 0;
    for (Index n = part; n < end; n += kModeParts) {
      Index i = n * n_dims + c;
      double gate = gates[n * n_modes + k];
      g += gate * sum_g[i];
      gx += gate * (sum_gx[i] + sum_g[i] * (means[i] - origin[c]));
    }
    g = block_sum<kModeChannels>(g);
    gx = block_sum<kModeChannels>(gx);
    if (writes) {
      Index i = (Index)k * n_dims + c;
      double of_factor = gx - g * modes.mean[i];
      double of_gamma = of_factor / sqrt(modes.variance[i] + eps);
      gradients.set(i, modes, of_factor, -g, eps);
      total_gamma += of_gamma;
      if (per_mode) {
        gamma_gradient[i] = Working(of_gamma);
        beta_gradient[i] = Working(g);
      }
    }
  }
  if (writes && !per_mode) {
    gamma_gradient[c] = Working(total_gamma);
    beta_gradient[c] = Working(total_g);
  }
}

// The gradients of gates (N, K), or of their scores, a warp for each sample.
// `variances` is null where the modes do not follow from the rows.
MIXNORM_LARGE_KERNEL mixnorm_sample_gate_gradients(
    const double* sum_gx, const double* sum_g, const Working* means,
    const double* variances, const double* gates, Index n_samples, int n_dims,
    int n_modes, int of_scores, const double* origin, double* memory,
    double* gradient_memory, double* gate_gradients) {
  Index size = (Index)n_modes * n_dims;
  Modes modes(memory, size);
  ModeGradients gradients(gradient_memory, size);
  int lane = threadIdx.x % kWarp;
  Index n = (Index)blockIdx.x * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (n >= n_samples) return;
  double* own = gate_gradients + n * n_modes;
  for (int k = 0; k < n_modes; ++k) {
    double sum = 0;
    for (int c = lane; c < n_dims; c += kWarp) {
      Index row = n * n_dims + c;
      Index i = (Index)k * n_dims + c;
      double mean = means[row] - origin[c];
      sum += (sum_gx[row] + sum_g[row] * mean) * modes.factor[i] +
             sum_g[row] * modes.constant[i];
      if (variances != nullptr) {
        sum += gradients.linear[i] * mean +
               gradients.quadratic[i] * (mean * mean + variances[row]) +
               gradients.constant[i];
      }
    }
    sum = warp_sum(sum);
    if (lane == 0) own[k] = sum;
  }
  if (of_scores && lane == 0) {
    softmax_gradient(gates + n * n_modes, own, n_modes, 1);
  }
}

// The coefficients of the input's gradient, and the gradients of W and b. W is
// null where the gates do not follow from the rows, `quadratic` where the
// modes do not.
MIXNORM_KERNEL mixnorm_sample_row_gradients(
    const Working* means, const double* gates, const double* gate_gradients,
    Index n_samples, int n_dims, int n_modes, double length,
    const Working* weight, const double* origin, double* gradient_memory,
    Working* quadratic, Working* offset, Working* weight_gradient,
    Working* bias_gradient) {
  ModeGradients gradients(gradient_memory, (Index)n_modes * n_dims);
  int c = blockIdx.x * kModeChannels + threadIdx.x % kModeChannels;
  int part = threadIdx.x / kModeChannels;
  Index end = c < n_dims ? n_samples : 0;
  for (Index n = part; n < end; n += kModeParts) {
    double of_mean = 0;
    double of_variance = 0;
    for (int k = 0; k < n_modes; ++k) {
      Index i = (Index)k * n_dims + c;
      if (quadratic != nullptr) {
        of_mean += gates[n * n_modes + k] * gradients.linear[i];
        of_variance += gates[n * n_modes + k] * gradients.quadratic[i];
      }
      if (weight != nullptr) {
        of_mean += gate_gradients[n * n_modes + k] * weight[i];
      }
    }
    Index row = n * n_dims + c;
    of_mean += 2 * (means[row] - origin[c]) * of_variance;
    if (quadratic != nullptr) {
      quadratic[row] = Working(2 / length * of_variance);
    }
    offset[row] = Working(of_mean / length);
  }
  // W is null as well if there are no channels.
  if (bias_gradient == nullptr) return;

  for (int k = 0; k < n_modes; ++k) {
    double sum = 0;
    for (Index n = part; n < end; n += kModeParts) {
      sum += gate_gradients[n * n_modes + k] * means[n * n_dims + c];
    }
    sum = block_sum<kModeChannels>(sum);
    if (c < n_dims && part == 0) {
      weight_gradient[(Index)k * n_dims + c] = Working(sum);
    }
    if (blockIdx.x > 0) continue;
    sum = 0;
    for (Index n = threadIdx.x; n < n_samples; n += kThreads) {
      sum += gate_gradients[n * n_modes + k];
    }
    sum = block_sum<1>(sum);
    if (threadIdx.x == 0) bias_gradient[k] = Working(sum);
  }
}

__device__ inline double average(double old, double value, double decay) {
  return decay * old + (1 - decay) * value;
}

// Running averages of x and of x^2: decay old + (1 - decay) found, if all of
// them are finite, and else the old ones. Every thread block looks at all, and
// writes its share.
MIXNORM_KERNEL mixnorm_mode_averages(
    const double* old, const double* old_square, const double* found,
    const double* found_square, Index size, double decay, double* averages,
    double* square_averages, bool* is_finite) {
  bool finite = true;
  for (Index i = threadIdx.x; i < size; i += kThreads) {
    double value = average(old[i], found[i], decay);
    double square = average(old_square[i], found_square[i], decay);
    finite = finite && value - value == 0 && square - square == 0;
  }
  finite = __syncthreads_and(finite);
  if (blockIdx.x == 0 && threadIdx.x == 0) *is_finite = finite;
  for (Index i = (Index)blockIdx.x * kThreads + threadIdx.x; i < size;
       i += (Index)gridDim.x * kThreads) {
    averages[i] = finite ? average(old[i], found[i], decay) : old[i];
    square_averages[i] = finite
        ? average(old_square[i], found_square[i], decay) : old_square[i];
  }
}

// --- Modes of each sample's channels ----------------------------------------

// Gates, unless W is null, and the coefficients of the output; a thread block
// for each sample. With the modes' numbers K,
//
//     factor_nk = 1 / sqrt(variance_nk + eps) / K,
//     constant_nk = -factor_nk mean_nk,
//     slope_nc = sum_k factor_nk gamma_kc,
//     offset_nc = sum_k constant_nk gamma_kc + mean_k beta_kc
//                 + slope_nc (means_nc - origin_n).
MIXNORM_LARGE_KERNEL mixnorm_channel_modes(
    const Working* means, const double* variances, Index n_samples,
    int n_dims, int n_modes, const Working* weight, const Working* bias,
    double eps, const Working* gamma, const Working* beta, int per_mode,
    double* gates, double* origin, double* memory, Working* slope,
    Working* offset) {
  Modes modes(memory, n_samples * n_modes);
  Index n = blockIdx.x;
  Index row = n * n_dims;
  double* own_gates = gates + row * n_modes;
  double center = 0;
  for (int c = threadIdx.x; c < n_dims; c += kThreads) {
    center += means[row + c];
  }
  center = block_sum<1>(center) / n_dims;
  if (threadIdx.x == 0) origin[n] = center;

  if (weight != nullptr) {
    for (int c = threadIdx.x; c < n_dims; c += kThreads) {
      for (int k = 0; k < n_modes; ++k) {
        own_gates[(Index)k * n_dims + c] =
            (double)weight[k] * means[row + c] + bias[k];
      }
      softmax(own_gates + c, n_modes, n_dims);
    }
  }
  for (int k = 0; k < n_modes; ++k) {
    double count = 0;
    double first = 0;
    double second = 0;
    for (int c = threadIdx.x; c < n_dims; c += kThreads) {
      double gate = own_gates[(Index)k * n_dims + c];
      double mean = means[row + c] - center;
      count += gate;
      first += gate * mean;
      second += gate * (mean * mean + variances[row + c]);
    }
    count = block_sum<1>(count);
    first = block_sum<1>(first);
    second = block_sum<1>(second);
    if (threadIdx.x == 0) {
      Index i = n * n_modes + k;
      modes.set(i, count, first, second);
      modes.factor[i] = 1 / sqrt(modes.variance[i] + eps) / n_modes;
      modes.constant[i] = -modes.factor[i] * modes.mean[i];
    }
  }
  __syncthreads();

  for (int c = threadIdx.x; c < n_dims; c += kThreads) {
    double a = 0;
    double b = 0;
    for (int k = 0; k < n_modes; ++k) {
      Index parameter = per_mode ? (Index)k * n_dims + c : c;
      a += modes.factor[n * n_modes + k] * gamma[parameter];
      b += modes.constant[n * n_modes + k] * gamma[parameter] +
           (double)beta[parameter] / n_modes;
    }
    slope[row + c] = Working(a);
    offset[row + c] = Working((means[row + c] - center) * a + b);
  }
}

// The coefficients of the input's gradient, and the gradients of gates
// (N, K, C), or of their scores; a thread block for each sample. W is null
// where the gates do not follow from the rows; else `scores`, (2, N, K), are
// the sample's gradients of W and b.
MIXNORM_KERNEL mixnorm_channel_mode_gradients(
    const double* sum_gx, const double* sum_g, const Working* means,
    const double* variances, const double* gates, Index n_samples, int n_dims,
    int n_modes, const Working* weight, double eps, const Working* gamma,
    int per_mode, double length, const double* origin, double* memory,
    double* gradient_memory, double* gate_gradients, double* scores,
    Working* quadratic, Working* offset) {
  Modes modes(memory, n_samples * n_modes);
  ModeGradients gradients(gradient_memory, n_samples * n_modes);
  Index n = blockIdx.x;
  Index row = n * n_dims;
  const double* own_gates = gates + row * n_modes;
  double* own = gate_gradients + row * n_modes;
  for (int k = 0; k < n_modes; ++k) {
    double g = 0;
    double gx = 0;
    for (int c = threadIdx.x; c < n_dims; c += kThreads) {
      double scale = gamma[per_mode ? (Index)k * n_dims + c : c];
      double mean = means[row + c] - origin[n];
      g += scale * sum_g[row + c];
      gx += scale * (sum_gx[row + c] + sum_g[row + c] * mean);
    }
    g = block_sum<1>(g);
    gx = block_sum<1>(gx);
    if (threadIdx.x == 0) {
      Index i = n * n_modes + k;
      gradients.set(i, modes, gx - g * modes.mean[i], -g, eps);
    }
  }
  __syncthreads();

  for (int c = threadIdx.x; c < n_dims; c += kThreads) {
    double mean = means[row + c] - origin[n];
    double square = mean * mean + variances[row + c];
    double of_mean = 0;
    double of_variance = 0;
    for (int k = 0; k < n_modes; ++k) {
      Index i = n * n_modes + k;
      double gate = own_gates[(Index)k * n_dims + c];
      of_mean += gate * gradients.linear[i];
      of_variance += gate * gradients.quadratic[i];
      own[(Index)k * n_dims + c] = gradients.linear[i] * mean +
          gradients.quadratic[i] * square + gradients.constant[i];
    }
    of_mean += 2 * mean * of_variance;
    if (weight != nullptr) {
      softmax_gradient(own_gates + c, own + c, n_modes, n_dims);
      for (int k = 0; k < n_modes; ++k) {
        of_mean += weight[k] * own[(Index)k * n_dims + c];
      }
    }
    quadratic[row + c] = Working(2 / length * of_variance);
    offset[row + c] = Working(of_mean / length);
  }
  if (weight == nullptr) return;

  for (int k = 0; k < n_modes; ++k) {
    double of_weight = 0;
    double of_bias = 0;
    for (int c = threadIdx.x; c < n_dims; c += kThreads) {
      double of_score = own[(Index)k * n_dims + c];
      of_weight += of_score * means[row + c];
      of_bias += of_score;
    }
    of_weight = block_sum<1>(of_weight);
    of_bias = block_sum<1>(of_bias);
    if (threadIdx.x == 0) {
      scores[n * n_modes + k] = of_weight;
      scores[(n_samples + n) * n_modes + k] = of_bias;
    }
  }
}

// The gradients of gamma and beta, and of W and b unless that of b is null;
// `scores` of no samples are null as well.
MIXNORM_KERNEL mixnorm_channel_parameter_gradients(
    const double* sum_gx, const double* sum_g, const Working* means,
    Index n_samples, int n_dims, int n_modes, int per_mode,
    const double* origin, double* memory, const double* scores,
    Working* gamma_gradient, Working* beta_gradient, Working* weight_gradient,
    Working* bias_gradient) {
  Modes modes(memory, n_samples * n_modes);
  int c = blockIdx.x * kModeChannels + threadIdx.x % kModeChannels;
  int part = threadIdx.x / kModeChannels;
  Index end = c < n_dims ? n_samples : 0;
  bool writes = c < n_dims && part == 0;
  double total_g = 0;
  for (Index n = part; n < end; n += kModeParts) {
    total_g += sum_g[n * n_dims + c];
  }
  total_g = block_sum<kModeChannels>(total_g);
  double total_gamma = 0;
  for (int k = 0; k < n_modes; ++k) {
    double sum = 0;
    for (Index n = part; n < end; n += kModeParts) {
      Index i = n * n_dims + c;
      sum += modes.factor[n * n_modes + k] *
                 (sum_gx[i] + sum_g[i] * (means[i] - origin[n])) +
             modes.constant[n * n_modes + k] * sum_g[i];
    }
    sum = block_sum<kModeChannels>(sum);
    total_gamma += sum;
    if (writes && per_mode) {
      gamma_gradient[(Index)k * n_dims + c] = Working(sum);
      beta_gradient[(Index)k * n_dims + c] = Working(total_g / n_modes);
    }
  }
  if (writes && !per_mode) {
    gamma_gradient[c] = Working(total_gamma);
    beta_gradient[c] = Working(total_g);
  }
  if (bias_gradient == nullptr || blockIdx.x > 0) return;

  for (int k = 0; k < n_modes; ++k) {
    double of_weight = 0;
    double of_bias = 0;
    for (Index n = threadIdx.x; n < n_samples; n += kThreads) {
      of_weight += scores[n * n_modes + k];
      of_bias += scores[(n_samples + n) * n_modes + k];
    }
    of_weight = block_sum<1>(of_weight);
    of_bias = block_sum<1>(of_bias);
    if (threadIdx.x == 0) {
      weight_gradient[k] = Working(of_weight);
      bias_gradient[k] = Working(of_bias);
    }
  }
}
