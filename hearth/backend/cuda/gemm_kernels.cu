// Products without a library: tiles by tensor cores for halves, by plain arithmetic for the rest
// and for odd layouts; few rows by streaming the weight; and what follows a product.
#include <mma.h>

#include "hearth/backend/cuda/device.cuh"
#include "hearth/backend/cuda/gemm.h"
#include "hearth/backend/cuda/values.cuh"

namespace hearth::cuda {
namespace {

using fast::Activation;

template <class T>
using Sum = std::conditional_t<std::is_same_v<T, double>, double,
                               std::conditional_t<std::is_same_v<T, Complex>, Complex, float>>;

template <class T>
__device__ inline Sum<T> lift(T x) {
  if constexpr (std::is_same_v<T, Complex>)
    return x;
  else
    return widen(x);
}
template <class T, class A>
__device__ inline T lower(A x) {
  if constexpr (std::is_same_v<T, A>)
    return x;
  else
    return narrow<T>(x);
}
__device__ inline void add_product(float& sum, float a, float b) { sum = fmaf(a, b, sum); }
__device__ inline void add_product(double& sum, double a, double b) { sum = fma(a, b, sum); }
__device__ inline void add_product(Complex& sum, Complex a, Complex b) {
  sum.re = fmaf(a.re, b.re, fmaf(-a.im, b.im, sum.re));
  sum.im = fmaf(a.re, b.im, fmaf(a.im, b.re, sum.im));
}
__device__ inline Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }

template <class A>
__device__ A activate(A x, Activation activation) {
  if constexpr (!std::is_same_v<A, Complex>) {
    switch (activation) {
      case Activation::none: break;
#define X(name) \
  case Activation::name: return math::name##_op::of(x);
        HEARTH_ACTIVATIONS(X)
#undef X
    }
  }
  return x;
}

/// A job for kernels, of elements T.
template <class T>
struct Job {
  int64_t m, n, k, batch;
  const T *a, *b, *c, *bias;
  T* d;
  int64_t a_row, a_col, a_batch, b_row, b_col, b_batch, c_row, c_col, c_batch, d_row, d_batch;
  Activation activation;

  explicit Job(const Gemm& j)
      : m(j.m),
        n(j.n),
        k(j.k),
        batch(j.batch),
        a(static_cast<const T*>(j.a.data)),
        b(static_cast<const T*>(j.b.data)),
        c(static_cast<const T*>(j.c.data)),
        bias(static_cast<const T*>(j.bias)),
        d(static_cast<T*>(j.d)),
        a_row(j.a.row),
        a_col(j.a.col),
        a_batch(j.a.batch),
        b_row(j.b.row),
        b_col(j.b.col),
        b_batch(j.b.batch),
        c_row(j.c.row),
        c_col(j.c.col),
        c_batch(j.c.batch),
        d_row(j.d_row),
        d_batch(j.d_batch),
        activation(j.activation) {}
  /// What follows the product, of element (i, j) of a batch.
  __device__ void store(int64_t at, int64_t i, int64_t j, Sum<T> x) const {
    if (bias) x = x + lift(bias[j]);
    x = activate(x, activation);
    if (c) x = x + lift(c[at * c_batch + i * c_row + j * c_col]);
    d[at * d_batch + i * d_row + j] = lower<T>(x);
  }
};

constexpr int kThreads = 256;

/// Where thread's element `i` of a (rows, cols) tile is, neighbours along the contiguous axis.
template <int rows, int cols>
__device__ inline void place(int i, bool along_cols, int& r, int& c) {
  r = along_cols ? i / cols : i % rows;
  c = along_cols ? i % cols : i / rows;
}

/// Tiles of 64 x 64, 4 x 4 to a thread; any strides.
template <class T>
__global__ void __launch_bounds__(kThreads) plain_kernel(Job<T> job, int64_t tiles_n) {
  constexpr int kTile = 64, kDepth = 16;
  using A = Sum<T>;
  __shared__ A left[kDepth][kTile + 1], right[kDepth][kTile + 1];
  const int64_t m0 = blockIdx.x / tiles_n * kTile, n0 = blockIdx.x % tiles_n * kTile;
  const int t = int(threadIdx.x), row = t / 16 * 4, col = t % 16;
  const bool a_along_k = job.a_col == 1, b_along_n = job.b_col == 1;
  for (int64_t at = blockIdx.y; at < job.batch; at += gridDim.y) {
    const T* a = job.a + at * job.a_batch;
    const T* b = job.b + at * job.b_batch;
    A sum[4][4] = {};
    for (int64_t k0 = 0; k0 < job.k; k0 += kDepth) {
      for (int i = t; i < kTile * kDepth; i += kThreads) {
        int r, c;
        place<kTile, kDepth>(i, a_along_k, r, c);
        const bool in = m0 + r < job.m && k0 + c < job.k;
        left[c][r] = in ? lift(a[(m0 + r) * job.a_row + (k0 + c) * job.a_col]) : A{};
        place<kDepth, kTile>(i, b_along_n, r, c);
        const bool b_in = k0 + r < job.k && n0 + c < job.n;
        right[r][c] = b_in ? lift(b[(k0 + r) * job.b_row + (n0 + c) * job.b_col]) : A{};
      }
      __syncthreads();
#pragma unroll
      for (int k = 0; k < kDepth; ++k)
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j)
            add_product(sum[i][j], left[k][row + i], right[k][col + 16 * j]);
      __syncthreads();
    }
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j)
        if (m0 + row + i < job.m && n0 + col + 16 * j < job.n)
          job.store(at, m0 + row + i, n0 + col + 16 * j, sum[i][j]);
  }
}

/// Tiles of 128 x 128 by tensor cores, 32 x 64 to a warp; f32 sums. `whole`: rows of a and columns
/// of b are contiguous along k, in 16-byte pieces.
template <class T>
__global__ void __launch_bounds__(kThreads)
    tensor_kernel(Job<T> job, int64_t tiles_n, bool a_whole, bool b_whole) {
  namespace wmma = nvcuda::wmma;
  constexpr int kTile = 128, kDepth = 32, kPitch = kDepth + 8;
  __shared__ __align__(32) T left[kTile * kPitch];
  __shared__ __align__(32) T right[kTile * kPitch];  // (n, k)
  __shared__ __align__(32) float staged[kThreads / 32][16 * 16];
  const int64_t m0 = blockIdx.x / tiles_n * kTile, n0 = blockIdx.x % tiles_n * kTile;
  const int t = int(threadIdx.x), warp = t / 32, lane = t % 32;
  const int row = warp / 2 * 32, col = warp % 2 * 64;
  // A tile (128, 32) of x, whose strides are those along the tile and along k.
  const auto load = [&](T* to, const T* x, int64_t first, int64_t count, int64_t stride,
                        int64_t k_stride, int64_t k0, bool whole) {
    if (whole) {
      for (int i = t; i < kTile * kDepth / 8; i += kThreads) {
        const int r = i / (kDepth / 8), c = i % (kDepth / 8) * 8;
        uint4 v = {};
        if (first + r < count && k0 + c < job.k)
          v = *reinterpret_cast<const uint4*>(x + (first + r) * stride + k0 + c);
        *reinterpret_cast<uint4*>(to + r * kPitch + c) = v;
      }
    } else {
      for (int i = t; i < kTile * kDepth; i += kThreads) {
        int r, c;
        place<kTile, kDepth>(i, k_stride == 1, r, c);
        const bool in = first + r < count && k0 + c < job.k;
        to[r * kPitch + c] = in ? x[(first + r) * stride + (k0 + c) * k_stride] : narrow<T>(0.0f);
      }
    }
  };
  for (int64_t at = blockIdx.y; at < job.batch; at += gridDim.y) {
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum[2][4];
    for (auto& line : sum)
      for (auto& s : line) wmma::fill_fragment(s, 0.0f);
    for (int64_t k0 = 0; k0 < job.k; k0 += kDepth) {
      load(left, job.a + at * job.a_batch, m0, job.m, job.a_row, job.a_col, k0, a_whole);
      load(right, job.b + at * job.b_batch, n0, job.n, job.b_col, job.b_row, k0, b_whole);
      __syncthreads();
#pragma unroll
      for (int k = 0; k < kDepth; k += 16) {
        wmma::fragment<wmma::matrix_a, 16, 16, 16, T, wmma::row_major> a[2];
        wmma::fragment<wmma::matrix_b, 16, 16, 16, T, wmma::col_major> b[4];
        for (int i = 0; i < 2; ++i)
          wmma::load_matrix_sync(a[i], left + (row + 16 * i) * kPitch + k, kPitch);
        for (int j = 0; j < 4; ++j)
          wmma::load_matrix_sync(b[j], right + (col + 16 * j) * kPitch + k, kPitch);
        for (int i = 0; i < 2; ++i)
          for (int j = 0; j < 4; ++j) wmma::mma_sync(sum[i][j], a[i], b[j], sum[i][j]);
      }
      __syncthreads();
    }
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 4; ++j) {
        wmma::store_matrix_sync(staged[warp], sum[i][j], 16, wmma::mem_row_major);
        __syncwarp();
        for (int e = lane; e < 256; e += 32) {
          const int64_t r = m0 + row + 16 * i + e / 16, c = n0 + col + 16 * j + e % 16;
          if (r < job.m && c < job.n) job.store(at, r, c, staged[warp][e]);
        }
        __syncwarp();
      }
  }
}

/// R columns of b to a warp, M rows of a; both contiguous along k, in 16-byte pieces.
template <class T, int M, int R>
__global__ void __launch_bounds__(128) rows_kernel(Job<T> job) {
  constexpr int V = 16 / sizeof(T);
  const int lane = int(threadIdx.x) % 32;
  const int64_t first = (int64_t(blockIdx.x) * 4 + threadIdx.x / 32) * R;
  if (first >= job.n) return;
  const int64_t last = job.n - 1, vectors = job.k / V;
  const uint4* b[R];
#pragma unroll
  for (int r = 0; r < R; ++r)
    b[r] = reinterpret_cast<const uint4*>(job.b + min(first + r, last) * job.b_col);
  float sum[M][R] = {};
  const auto add = [&](const uint4(&w)[R], int64_t i) {
#pragma unroll
    for (int m = 0; m < M; ++m) {
      const int64_t row = m < job.m ? m : 0;
      const uint4 x = reinterpret_cast<const uint4*>(job.a + row * job.a_row)[i];
      const T* xs = reinterpret_cast<const T*>(&x);
#pragma unroll
      for (int r = 0; r < R; ++r) {
        const T* ws = reinterpret_cast<const T*>(&w[r]);
#pragma unroll
        for (int e = 0; e < V; ++e) sum[m][r] = fmaf(widen(xs[e]), widen(ws[e]), sum[m][r]);
      }
    }
  };
  int64_t i = lane;
  constexpr int U = 4 / R;  // pieces in flight
  for (; i + 32 * (U - 1) < vectors; i += 32 * U) {
    uint4 w[U][R];
#pragma unroll
    for (int u = 0; u < U; ++u)
#pragma unroll
      for (int r = 0; r < R; ++r) w[u][r] = __ldcs(b[r] + i + 32 * u);
#pragma unroll
    for (int u = 0; u < U; ++u) add(w[u], i + 32 * u);
  }
  for (; i < vectors; i += 32) {
    uint4 w[R];
#pragma unroll
    for (int r = 0; r < R; ++r) w[r] = __ldcs(b[r] + i);
    add(w, i);
  }
#pragma unroll
  for (int m = 0; m < M; ++m)
#pragma unroll
    for (int r = 0; r < R; ++r) {
      for (int o = 16; o > 0; o /= 2) sum[m][r] += __shfl_xor_sync(~0u, sum[m][r], o);
      if (lane == 0 && m < job.m && first + r < job.n) job.store(0, m, first + r, sum[m][r]);
    }
}

template <class T, class P>
__global__ void finish_kernel(Job<T> job, const P* product) {
  const int64_t size = job.m * job.n, total = job.batch * size;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < total;
       i += int64_t(gridDim.x) * blockDim.x) {
    const int64_t at = i / size, rest = i - at * size, row = rest / job.n;
    job.store(at, row, rest - row * job.n, product[i]);
  }
}

using Matrices = Types<float16_t, bfloat16_t, float, double, complex64_t>;

bool in_pieces(const void* p, int64_t stride, int64_t batch, int64_t k, size_t size) {
  const int64_t piece = 16 / int64_t(size);
  return reinterpret_cast<uintptr_t>(p) % 16 == 0 && stride % piece == 0 && batch % piece == 0 &&
         k % piece == 0;
}

}  // namespace

void gemm_tiles(CudaQueue& queue, const Gemm& job) {
  const unsigned batch = unsigned(std::min<int64_t>(job.batch, 65535));
  const auto grid = [&](int64_t tile) {
    const int64_t count = (job.m + tile - 1) / tile * ((job.n + tile - 1) / tile);
    ensure(count < INT32_MAX, "matmul: a product of ", job.m, " x ", job.n, " is too large");
    return dim3(unsigned(count), batch);
  };
  visit(Matrices{}, job.dtype, "matmul", [&]<class H>() {
    using T = OnDevice<H>;
    if constexpr (sizeof(T) == 2) {
      const auto whole = [&](const Gemm::Matrix& x, int64_t along, int64_t stride) {
        return along == 1 &&
               in_pieces(x.data, stride, job.batch > 1 ? x.batch : 0, job.k, sizeof(T));
      };
      launch(queue, tensor_kernel<T>, grid(128), kThreads, 0, Job<T>(job), (job.n + 127) / 128,
             whole(job.a, job.a.col, job.a.row), whole(job.b, job.b.row, job.b.col));
    } else {
      launch(queue, plain_kernel<T>, grid(64), kThreads, 0, Job<T>(job), (job.n + 63) / 64);
    }
  });
}

bool gemm_rows(CudaQueue& queue, const Gemm& job) {
  if (job.m > 4 || job.batch != 1 || job.n < 256 || job.k < 64 || job.b.row != 1 ||
      job.a.col != 1 || job.dtype == float64 || job.dtype == complex64)
    return false;
  const size_t size = size_of(job.dtype);
  if (!in_pieces(job.a.data, job.m > 1 ? job.a.row : 0, 0, job.k, size) ||
      !in_pieces(job.b.data, job.b.col, 0, job.k, size))
    return false;
  visit(Types<float16_t, bfloat16_t, float>{}, job.dtype, "matmul", [&]<class H>() {
    using T = OnDevice<H>;
    const auto start = [&](auto kernel, int64_t columns) {
      launch(queue, kernel, dim3(unsigned((job.n + 4 * columns - 1) / (4 * columns))), dim3(128), 0,
             Job<T>(job));
    };
    if (job.m == 1)
      start(rows_kernel<T, 1, 1>, 1);
    else if (job.m == 2)
      start(rows_kernel<T, 2, 2>, 2);
    else
      start(rows_kernel<T, 4, 2>, 2);
  });
  return true;
}

void gemm_finish(CudaQueue& queue, const Gemm& job, const void* product) {
  visit(Matrices{}, job.dtype, "matmul", [&]<class H>() {
    using T = OnDevice<H>;
    using P = Sum<T>;
    launch(queue, finish_kernel<T, P>, blocks_for(job.batch * job.m * job.n, 256), 256, 0,
           Job<T>(job), static_cast<const P*>(product));
  });
}

}  // namespace hearth::cuda
