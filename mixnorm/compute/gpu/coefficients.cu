// What a training pass computes of a mixture between its passes over points:
// arithmetic on (K, C), a kernel before the output and one before the
// gradient of the input.

#include "points.h"

const int kMaxComponents = MIXNORM_MAX_COMPONENTS;

// The statistics of a mini-batch under its posterior.
struct Statistics {
  const Working* weights;    // (K,)
  const Working* means;      // (K, C)
  const Working* variances;  // (K, C)
  Index n_points;
  int n_components;
  int n_dims;

  // 1 / sqrt(lambda_k), 0 for an absent component.
  __device__ double fisher(int k) const {
    return weights[k] == 0 ? 0. : 1 / sqrt((double)weights[k]);
  }

  // 1 / sqrt(sigma_kc^2 + eps), 1 for an absent component.
  __device__ double inv_std(int k, int c, double eps) const {
    return weights[k] > 0
        ? 1 / sqrt((double)variances[(Index)k * n_dims + c] + eps) : 1.;
  }

  // The variance of what the n points of the component are a sample of.
  __device__ Working unbiased(int k, int c) const {
    double count = (double)weights[k] * n_points;
    if (count < 1) count = 1;
    double degrees = count - 1 < 1 ? 1 : count - 1;
    return Working(variances[(Index)k * n_dims + c] * (count / degrees));
  }
};

__device__ inline bool is_finite(double value) { return value - value == 0; }

// Numbers the components, by weight, the heaviest 0 and what is not a number
// last, or as they are. rank[k] is component k's number, order[number] is the
// component.
__device__ inline void number_components(
    const Statistics& statistics, bool by_weight, int* rank, int* order) {
  int k = threadIdx.x;
  if (k < statistics.n_components) {
    int number = k;
    if (by_weight) {
      const Working* weights = statistics.weights;
      number = 0;
      for (int j = 0; j < statistics.n_components; ++j) {
        bool own_is_number = weights[k] == weights[k];
        bool is_number = weights[j] == weights[j];
        bool equal = own_is_number ? weights[j] == weights[k] : !is_number;
        bool before = own_is_number ? weights[j] > weights[k] : is_number;
        number += before || (equal && j < k);
      }
    }
    rank[k] = number;
    order[number] = k;
  }
  __syncthreads();
}

// The arrays of a queue, newest first, and those of the next one.
template <class T>
struct Queue {
  const T* factors;    // (T,)
  const T* weights;    // (T, K)
  const T* means;      // (T, K, C)
  const T* variances;  // (T, K, C)
  T* new_factors;
  T* new_weights;
  T* new_means;
  T* new_variances;
  int n_entries;
};

// Puts the mini-batch at the head of the queue, if it is finite there. Every
// thread block looks at all of it, and writes its share.
template <class T>
__device__ void push(
    const Statistics& statistics, Queue<T> queue, double decay,
    const int* order) {
  int n_dims = statistics.n_dims;
  int row = statistics.n_components;
  int matrix = row * n_dims;
  bool finite = true;
  for (int i = threadIdx.x; i < matrix; i += kThreads) {
    finite = finite && is_finite(T(statistics.means[i])) &&
             is_finite(T(statistics.unbiased(i / n_dims, i % n_dims)));
  }
  if (threadIdx.x < row) {
    finite = finite && is_finite(T(statistics.weights[threadIdx.x]));
  }
  finite = __syncthreads_and(finite);

  Index step = (Index)gridDim.x * kThreads;
  Index first = (Index)blockIdx.x * kThreads + threadIdx.x;
  for (Index i = first; i < (Index)queue.n_entries * matrix; i += step) {
    Index source = finite ? i - matrix : i;
    if (source < 0) {
      int k = order[i / n_dims];
      int c = i % n_dims;
      queue.new_means[i] = T(statistics.means[(Index)k * n_dims + c]);
      queue.new_variances[i] = T(statistics.unbiased(k, c));
    } else {
      queue.new_means[i] = queue.means[source];
      queue.new_variances[i] = queue.variances[source];
    }
  }
  for (Index i = first; i < (Index)queue.n_entries * row; i += step) {
    Index source = finite ? i - row : i;
    queue.new_weights[i] = source < 0 ? T(statistics.weights[order[i]])
                                      : queue.weights[source];
  }
  for (Index i = first; i < queue.n_entries; i += step) {
    if (!finite) {
      queue.new_factors[i] = queue.factors[i];
    } else {
      queue.new_factors[i] = i == 0 ? T(1) : queue.factors[i - 1] * T(decay);
    }
  }
}

// The arrays that the fit started from, and those that the next one does.
template <class T>
struct Start {
  const T* weights;    // (K,)
  const T* means;      // (K, C)
  const T* variances;  // (K, C)
  T* new_weights;
  T* new_means;
  T* new_variances;
  bool* is_whole;
};

// A channel in which distances are in deviations of the mini-batch. One whose
// variance is not above `smallest` keeps its unit.
struct Unit {
  double mean;
  double inverse;  // of the variance

  __device__ Unit(const Statistics& statistics, int c, double smallest) {
    mean = 0;
    for (int k = 0; k < statistics.n_components; ++k) {
      mean += (double)statistics.weights[k] *
              statistics.means[(Index)k * statistics.n_dims + c];
    }
    double total = 0;
    for (int k = 0; k < statistics.n_components; ++k) {
      Index i = (Index)k * statistics.n_dims + c;
      double deviation = statistics.means[i] - mean;
      total += statistics.weights[k] *
               (statistics.variances[i] + deviation * deviation);
    }
    inverse = 1 / (total > smallest ? total : 1.);
  }
};

// Takes the mini-batch's mixture as the next start, if it is finite there. A
// component of less than one point is lost: it gets weight 0.
template <class T>
__device__ void follow(
    const Statistics& statistics, Start<T> start, double smallest,
    const int* order) {
  int n_dims = statistics.n_dims;
  bool finite = true;
  for (int c = threadIdx.x; c < n_dims; c += kThreads) {
    Unit unit(statistics, c, smallest);
    for (int k = 0; k < statistics.n_components; ++k) {
      Index i = (Index)k * n_dims + c;
      finite = finite &&
          is_finite(T((statistics.means[i] - unit.mean) *
                      sqrt(unit.inverse))) &&
          is_finite(T(statistics.variances[i] * unit.inverse));
    }
  }
  if (threadIdx.x < statistics.n_components) {
    finite = finite && is_finite(T(statistics.weights[threadIdx.x]));
  }
  finite = __syncthreads_and(finite);

  for (int c = blockIdx.x * kThreads + threadIdx.x; c < n_dims;
       c += gridDim.x * kThreads) {
    Unit unit(statistics, c, smallest);
    for (int k = 0; k < statistics.n_components; ++k) {
      Index to = (Index)k * n_dims + c;
      Index i = (Index)order[k] * n_dims + c;
      start.new_means[to] = finite
          ? T((statistics.means[i] - unit.mean) * sqrt(unit.inverse))
          : start.means[to];
      start.new_variances[to] = finite
          ? T(statistics.variances[i] * unit.inverse) : start.variances[to];
    }
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    bool is_whole = true;
    for (int k = 0; k < statistics.n_components; ++k) {
      T weight = start.weights[k];
      if (finite) {
        weight = T(statistics.weights[order[k]]);
        if (weight * statistics.n_points < 1) weight = 0;
      }
      start.new_weights[k] = weight;
      is_whole = is_whole && weight > 0;
    }
    *start.is_whole = is_whole;
  }
}

// The coefficients of the output,
//
//     slope_kc = gamma_c / sqrt(lambda_k (sigma_kc^2 + eps)),
//     offset_kc = -slope_kc (mu_kc - origin_c) + beta_kc / sqrt(lambda_k),
//
// the latter with beta by component only, (K, C), where gamma is so, too; and
// what is carried to the next mini-batch, in `carried_bytes` a number. `rank`
// is the components' numbers; null for those that they have. The origin is
// the points' mean. Without a queue n_entries is 0, without a start
// start_weights is null.
MIXNORM_KERNEL mixnorm_batch_coefficients(
    const Working* weights, const Working* means, const Working* variances,
    Index n_points, int n_components, int n_dims, double eps,
    const Working* gamma, const Working* beta, int per_component,
    Working* slope, Working* offset, Working* origin, Index* rank,
    int carried_bytes, int n_entries, double decay, const void* factors,
    const void* queue_weights, const void* queue_means,
    const void* queue_variances, void* new_factors, void* new_queue_weights,
    void* new_queue_means, void* new_queue_variances, double smallest,
    const void* start_weights, const void* start_means,
    const void* start_variances, void* new_start_weights,
    void* new_start_means, void* new_start_variances, bool* is_whole) {
  __shared__ int numbers[kMaxComponents];
  __shared__ int order[kMaxComponents];
  Statistics statistics = {weights, means, variances, n_points, n_components,
                           n_dims};
  number_components(statistics, rank != nullptr, numbers, order);
  if (blockIdx.x == 0 && threadIdx.x < n_components && rank != nullptr) {
    rank[threadIdx.x] = numbers[threadIdx.x];
  }

  for (int c = blockIdx.x * kThreads + threadIdx.x; c < n_dims;
       c += gridDim.x * kThreads) {
    double sum = 0;
    double total = 0;
    for (int k = 0; k < n_components; ++k) {
      // Not 0 times what an absent component's mean may be.
      if (weights[k] == 0) continue;
      sum += (double)weights[k] * means[(Index)k * n_dims + c];
      total += weights[k];
    }
    Working center = total == 0 ? Working(0) : Working(sum / total);
    origin[c] = center;
    for (int k = 0; k < n_components; ++k) {
      Index i = (Index)k * n_dims + c;
      Index parameter = per_component ? (Index)numbers[k] * n_dims + c : c;
      double factor = statistics.fisher(k);
      Working own_slope = Working(
          factor * statistics.inv_std(k, c, eps) * gamma[parameter]);
      double own_offset = -(double)own_slope * ((double)means[i] - center);
      if (per_component) own_offset += factor * beta[parameter];
      slope[i] = own_slope;
      offset[i] = Working(own_offset);
    }
  }

#define MIXNORM_CARRY(T)                                                     \
  if (n_entries > 0) {                                                       \
    Queue<T> queue = {                                                       \
        (const T*)factors, (const T*)queue_weights, (const T*)queue_means,   \
        (const T*)queue_variances, (T*)new_factors, (T*)new_queue_weights,   \
        (T*)new_queue_means, (T*)new_queue_variances, n_entries};            \
    push(statistics, queue, decay, order);                                   \
  }                                                                          \
  if (start_weights != nullptr) {                                            \
    Start<T> start = {                                                       \
        (const T*)start_weights, (const T*)start_means,                      \
        (const T*)start_variances, (T*)new_start_weights,                    \
        (T*)new_start_means, (T*)new_start_variances, is_whole};             \
    follow(statistics, start, smallest, order);                              \
  }

  if (carried_bytes == sizeof(double)) {
    MIXNORM_CARRY(double)
  } else {
    MIXNORM_CARRY(float)
  }
#undef MIXNORM_CARRY
}

// The gradients of gamma and beta, and the coefficients of the input's. With
//
//     G_kc = sum_i tau_ik gy_ic / sqrt(lambda_k),
//     H_kc = sum_i tau_ik gy_ic xhat_ikc / sqrt(lambda_k),
//
// which come of the sums over the points, and n_k = lambda_k M,
//
//     quadratic_kc = -gamma_c H_kc / (sigma_kc^2 + eps) / n_k,
//     offset_kc = -gamma_c G_kc / sqrt(sigma_kc^2 + eps) / n_k
//                 - quadratic_kc (mu_kc - origin_c).
MIXNORM_KERNEL mixnorm_batch_gradients(
    const double* sum_g, const double* sum_gx, const double* total_g,
    const Working* weights, const Working* means, const Working* variances,
    Index n_points, int n_components, int n_dims, double eps,
    const Working* gamma, int per_component, const Index* rank,
    const Working* origin, Working* quadratic, Working* offset,
    Working* gamma_gradient, Working* beta_gradient) {
  Statistics statistics = {weights, means, variances, n_points, n_components,
                           n_dims};
  int c = blockIdx.x * kThreads + threadIdx.x;
  if (c >= n_dims) return;
  double sum = 0;
  for (int k = 0; k < n_components; ++k) {
    Index i = (Index)k * n_dims + c;
    Index parameter = c;
    if (per_component) {
      parameter += (rank == nullptr ? (Index)k : rank[k]) * n_dims;
    }
    double factor = statistics.fisher(k);
    double inv_std = statistics.inv_std(k, c, eps);
    double mean = (double)means[i] - origin[c];
    double own_sum_g = sum_g[i] * factor;
    double own_sum_gxhat = inv_std * (factor * sum_gx[i] - mean * own_sum_g);
    double count = (double)weights[k] * n_points;
    double scaled = count == 0 ? 0. : -gamma[parameter] * inv_std / count;
    double own_quadratic = scaled * inv_std * own_sum_gxhat;
    quadratic[i] = Working(own_quadratic);
    offset[i] = Working(scaled * own_sum_g - own_quadratic * mean);
    sum += own_sum_gxhat;
    if (per_component) {
      gamma_gradient[parameter] = Working(own_sum_gxhat);
      beta_gradient[parameter] = Working(own_sum_g);
    }
  }
  if (!per_component) {
    gamma_gradient[c] = Working(sum);
    beta_gradient[c] = Working(total_g[c]);
  }
}
