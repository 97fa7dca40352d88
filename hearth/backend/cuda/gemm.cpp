// cuBLASLt, opened at run time: its entry points, its plans, and what its epilogues take on.
#include "hearth/backend/cuda/gemm.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>

#include "hearth/base/disk_cache.h"
#include "hearth/base/system.h"

namespace hearth::cuda {
namespace {

// clang-format off
#define HEARTH_CUBLASLT(X)                                                                 \
  X(Create)                                                                                \
  X(GetVersion)                                                                            \
  X(Matmul)                                                                                \
  X(MatmulDescCreate)                                                                      \
  X(MatmulDescSetAttribute) X(MatrixLayoutCreate) X(MatrixLayoutSetAttribute)              \
      X(MatmulPreferenceCreate) X(MatmulPreferenceSetAttribute) X(MatmulPreferenceDestroy) \
          X(MatmulAlgoGetHeuristic) X(MatmulAlgoCheck) X(MatmulDescDestroy) X(MatrixLayoutDestroy)
// clang-format on

struct Library {
#define X(name) decltype(&cublasLt##name) name = nullptr;
  HEARTH_CUBLASLT(X)
#undef X
  bool open = false;
};

// HEARTH_CUBLASLT names another file, or is "off".
Library open_library() {
  Library lib;
  const char* named = setting("HEARTH_CUBLASLT");
  void* file = nullptr;
  if (named) {
    if (std::strcmp(named, "off") != 0) file = dlopen(named, RTLD_LAZY | RTLD_LOCAL);
  } else {
    for (const char* name :
         {"libcublasLt.so.13", "libcublasLt.so.12", "/usr/local/cuda/lib64/libcublasLt.so.13"}) {
      file = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
      if (file) break;
    }
  }
  if (!file) return lib;
  bool all = true;
#define X(name)                                                                          \
  lib.name = reinterpret_cast<decltype(&cublasLt##name)>(dlsym(file, "cublasLt" #name)); \
  all = all && lib.name;
  HEARTH_CUBLASLT(X)
#undef X
  lib.open = all;
  return lib;
}
const Library& library() {
  static const Library lib = open_library();
  return lib;
}

void check_lt(cublasStatus_t status, std::string_view what) {
  ensure(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt: ", what, ": status ", int(status));
}

/// What a plan is for: all that cuBLASLt's choice depends on.
struct Key {
  int card, dtype, out_dtype, epilogue, align_a, align_b, align_c, align_d;
  int64_t m, n, k, batch, a_row, a_col, a_batch, b_row, b_col, b_batch, c_row, c_batch, d_row,
      d_batch;
  bool operator<(const Key& o) const { return std::memcmp(this, &o, sizeof(Key)) < 0; }
};
static_assert(std::has_unique_object_representations_v<Key>);

struct Plan {
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr, d = nullptr;
  cublasLtMatmulAlgo_t algo;
  bool asked = false;  // the library was asked for algorithms
  bool known = false;  // there is one
  bool tuned = false;  // it was compared with others
};

int alignment(const void* p) {
  const auto bits = reinterpret_cast<uintptr_t>(p) | 256;
  return int(bits & -bits);
}

cudaDataType_t data_type(Dtype d) {
  switch (d) {
    case float16: return CUDA_R_16F;
    case bfloat16: return CUDA_R_16BF;
    case float64: return CUDA_R_64F;
    case complex64: return CUDA_C_32F;
    default: return CUDA_R_32F;
  }
}
bool is_half_type(Dtype d) { return size_of(d) == 2; }

bool tf32() {
  static const char* const set = setting("HEARTH_TF32");
  return set && std::strcmp(set, "1") == 0;
}

constexpr size_t kWorkspace = size_t{32} << 20;
constexpr double kWorthTuning = 2e8;  // multiplications, or bytes of b / 16
constexpr int kTried = 16;            // algorithms

/// A matrix (rows, cols) as cuBLASLt, whose matrices are column-major, sees its transpose.
struct Lie {
  bool fits = true, turned = false;
  int64_t rows, cols, ld;
};
Lie lie_of(const Gemm::Matrix& x, int64_t rows, int64_t cols) {
  const int64_t row = rows == 1 ? cols : x.row, col = cols == 1 ? 1 : x.col;
  if (col == 1 && row >= cols) return {true, false, cols, rows, row};
  const int64_t turned_col = cols == 1 ? rows : x.col, turned_row = rows == 1 ? 1 : x.row;
  if (turned_row == 1 && turned_col >= rows) return {true, true, rows, cols, turned_col};
  return {false, false, 0, 0, 0};
}

class Handles {
 public:
  std::mutex mutex;
  std::map<Key, Plan> plans;
  /// Null: the library does not work with this driver.
  cublasLtHandle_t of(int card) {
    const auto found = handles_.find(card);
    if (found != handles_.end()) return found->second;
    cublasLtHandle_t handle = nullptr;
    if (library().Create(&handle) != CUBLAS_STATUS_SUCCESS) handle = nullptr;
    return handles_[card] = handle;
  }
  /// Algorithms that were the fastest here, kept on disk for what their choice depends on.
  CachedMap& choices(const Card& card) {
    const auto found = choices_.find(card.index);
    if (found != choices_.end()) return found->second;
    int driver = 0;
    cudaDriverGetVersion(&driver);
    const std::string key =
        concat("cuBLASLt ", library().GetVersion(), ", driver ", driver, ", ", card.name, ", ",
               card.multiprocessors, " multiprocessors, workspace ", kWorkspace, ", ", kTried,
               " tried", tf32() ? ", tf32" : "");
    return choices_.emplace(card.index, CachedMap(key, 4096)).first->second;
  }

 private:
  std::map<int, cublasLtHandle_t> handles_;
  std::map<int, CachedMap> choices_;
};
Handles& handles() {  // never destroyed: queues may still be busy when the process ends
  static Handles& h = *new Handles;
  return h;
}

template <class V>
void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t what, V value) {
  check_lt(library().MatmulDescSetAttribute(desc, what, &value, sizeof value), "attribute");
}
cublasLtMatrixLayout_t layout(cudaDataType_t type, int64_t rows, int64_t cols, int64_t ld,
                              int64_t batch, int64_t stride) {
  cublasLtMatrixLayout_t out;
  check_lt(library().MatrixLayoutCreate(&out, type, uint64_t(rows), uint64_t(cols), ld), "layout");
  if (batch > 1) {
    const int32_t count = int32_t(batch);
    check_lt(library().MatrixLayoutSetAttribute(out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                                sizeof count),
             "layout");
    check_lt(library().MatrixLayoutSetAttribute(out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                &stride, sizeof stride),
             "layout");
  }
  return out;
}

/// One product by cuBLASLt. d's transpose is b's transpose times a's: b is its first operand.
class Product {
 public:
  Product(CudaQueue& queue, const Gemm& job, Dtype out_dtype, void* out, int64_t out_row,
          int64_t out_batch, bool finishes)
      : queue_(queue), job_(job), d_(out), d_type_(data_type(out_dtype)) {
    c_ = finishes ? job.c.data : nullptr;
    bias_ = finishes ? job.bias : nullptr;
    int epilogue = bias_ ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    if (finishes && job.activation == fast::Activation::relu)
      epilogue = bias_ ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    if (finishes && job.activation == fast::Activation::gelu_approx)
      epilogue = bias_ ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    const bool batched = job.batch > 1;
    key_ = {queue.card().index,
            int(job.dtype),
            int(out_dtype),
            epilogue,
            alignment(job.a.data),
            alignment(job.b.data),
            alignment(c_ ? c_ : d_),
            alignment(d_),
            job.m,
            job.n,
            job.k,
            job.batch,
            job.a.row,
            job.a.col,
            batched ? job.a.batch : 0,
            job.b.row,
            job.b.col,
            batched ? job.b.batch : 0,
            c_ ? job.c.row : -1,
            batched && c_ ? job.c.batch : 0,
            out_row,
            batched ? out_batch : 0};
  }
  /// False: cuBLASLt declines.
  bool run(cublasLtHandle_t handle, void* workspace) {
    auto& plans = handles().plans;
    if (plans.size() > 4096) clear(plans);
    auto found = plans.find(key_);
    if (found == plans.end()) found = plans.emplace(key_, make_plan()).first;
    Plan& plan = found->second;
    set_bias(plan);
    const bool tune = !plan.tuned && worth_tuning();
    if (tune && !plan.known) recall(handle, plan);
    if (tune && !plan.tuned && !capturing())
      choose(handle, plan, kTried, workspace);
    else if (!plan.known && !plan.asked)
      choose(handle, plan, 1, workspace);
    return plan.known && start(handle, plan, plan.algo, workspace) == CUBLAS_STATUS_SUCCESS;
  }

 private:
  Plan make_plan() const {
    const Lie a = lie_of(job_.a, job_.m, job_.k), b = lie_of(job_.b, job_.k, job_.n);
    const cudaDataType_t in = data_type(job_.dtype);
    cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
    cudaDataType_t scale = CUDA_R_32F;
    if (job_.dtype == float64) compute = CUBLAS_COMPUTE_64F, scale = CUDA_R_64F;
    if (job_.dtype == complex64) scale = CUDA_C_32F;
    if (job_.dtype == float32 && tf32()) compute = CUBLAS_COMPUTE_32F_FAST_TF32;
    Plan plan;
    check_lt(library().MatmulDescCreate(&plan.desc, compute, scale), "description");
    set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSA, int32_t(b.turned ? CUBLAS_OP_T : CUBLAS_OP_N));
    set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSB, int32_t(a.turned ? CUBLAS_OP_T : CUBLAS_OP_N));
    set(plan.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t(key_.epilogue));
    plan.a = layout(in, b.rows, b.cols, b.ld, key_.batch, key_.b_batch);
    plan.b = layout(in, a.rows, a.cols, a.ld, key_.batch, key_.a_batch);
    const int64_t c_row = job_.m == 1 ? job_.n : key_.c_row;
    const int64_t d_row = job_.m == 1 ? job_.n : key_.d_row;
    plan.d = layout(d_type_, job_.n, job_.m, d_row, key_.batch, key_.d_batch);
    plan.c = c_ ? layout(d_type_, job_.n, job_.m, c_row, key_.batch, key_.c_batch)
                : layout(d_type_, job_.n, job_.m, d_row, key_.batch, key_.d_batch);
    return plan;
  }
  static void clear(std::map<Key, Plan>& plans) {
    for (auto& [key, plan] : plans) {
      library().MatmulDescDestroy(plan.desc);
      for (auto x : {plan.a, plan.b, plan.c, plan.d}) library().MatrixLayoutDestroy(x);
    }
    plans.clear();
  }
  void set_bias(const Plan& plan) const {
    if (bias_) set(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias_);
  }
  bool worth_tuning() const {
    return double(job_.m) * double(job_.n) * double(job_.k) * double(job_.batch) > kWorthTuning ||
           double(job_.n) * double(job_.k) * double(size_of(job_.dtype)) > kWorthTuning / 8;
  }
  bool capturing() const {
    cudaStreamCaptureStatus status;
    check_cuda(cudaStreamIsCapturing(queue_.stream(), &status), "matmul");
    return status != cudaStreamCaptureStatusNone;
  }
  cublasStatus_t start(cublasLtHandle_t handle, const Plan& plan, const cublasLtMatmulAlgo_t& algo,
                       void* workspace) const {
    // Numbers of the scale type: real or complex.
    const float one[2] = {1, 0}, zero[2] = {0, 0};
    const double one64 = 1, zero64 = 0;
    const bool wide = job_.dtype == float64;
    const void* alpha = wide ? static_cast<const void*>(&one64) : one;
    const void* none = wide ? static_cast<const void*>(&zero64) : zero;
    return library().Matmul(handle, plan.desc, alpha, job_.b.data, plan.a, job_.a.data, plan.b,
                            c_ ? alpha : none, c_ ? c_ : d_, plan.c, d_, plan.d, &algo, workspace,
                            kWorkspace, queue_.stream());
  }

  /// The name of the choice: what the key says, but for the card and for small differences of m,
  /// so that prompts of about the same length share it.
  std::string choice_name() const {
    Key key = key_;
    int64_t step = 1;  // a quarter of m at most
    while (key.m >= 8 * step) step *= 2;
    key.card = 0, key.m = (key.m + step - 1) / step * step;
    return {reinterpret_cast<const char*>(&key), sizeof key};
  }
  /// Takes the algorithm of an earlier run, if the library says that it can do this.
  void recall(cublasLtHandle_t handle, Plan& plan) const {
    const auto choice = handles().choices(queue_.card()).find(choice_name());
    if (!choice || choice->size() != sizeof plan.algo) return;
    cublasLtMatmulAlgo_t algo;
    std::memcpy(&algo, choice->data(), sizeof algo);
    cublasLtMatmulHeuristicResult_t result;
    if (library().MatmulAlgoCheck(handle, plan.desc, plan.a, plan.b, plan.c, plan.d, &algo,
                                  &result) != CUBLAS_STATUS_SUCCESS ||
        result.workspaceSize > kWorkspace)
      return;
    plan.algo = algo, plan.known = plan.tuned = true;
  }

  /// Asks for up to `count` algorithms; of several, the fastest by the clock.
  void choose(cublasLtHandle_t handle, Plan& plan, int count, void* workspace) const {
    cublasLtMatmulPreference_t preference;
    check_lt(library().MatmulPreferenceCreate(&preference), "preference");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t what, auto value) {
      check_lt(library().MatmulPreferenceSetAttribute(preference, what, &value, sizeof value),
               "preference");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t(kWorkspace));
    // Parts of a sum are not to be rounded to the output's type.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t(key_.align_b));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, uint32_t(key_.align_a));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, uint32_t(key_.align_c));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, uint32_t(key_.align_d));
    cublasLtMatmulHeuristicResult_t found[kTried];
    int got = 0;
    const cublasStatus_t status = library().MatmulAlgoGetHeuristic(
        handle, plan.desc, plan.a, plan.b, plan.c, plan.d, preference, count, found, &got);
    library().MatmulPreferenceDestroy(preference);
    plan.asked = true, plan.tuned = count > 1;
    if (status != CUBLAS_STATUS_SUCCESS || got == 0) return;
    if (!plan.known) plan.algo = found[0].algo, plan.known = true;
    if (count == 1) return;
    cudaEvent_t from, to;
    check_cuda(cudaEventCreate(&from), "event");
    check_cuda(cudaEventCreate(&to), "event");
    float best = 0;
    for (int i = 0; i < got; ++i) {
      if (found[i].state != CUBLAS_STATUS_SUCCESS) continue;
      constexpr int kRuns = 8;
      if (start(handle, plan, found[i].algo, workspace) != CUBLAS_STATUS_SUCCESS) continue;
      check_cuda(cudaEventRecord(from, queue_.stream()), "event");
      for (int r = 0; r < kRuns; ++r) start(handle, plan, found[i].algo, workspace);
      check_cuda(cudaEventRecord(to, queue_.stream()), "event");
      check_cuda(cudaEventSynchronize(to), "matmul");
      float time = 0;
      check_cuda(cudaEventElapsedTime(&time, from, to), "event");
      if (best == 0 || time < best) best = time, plan.algo = found[i].algo;
    }
    check_cuda(cudaEventDestroy(from), "event");
    check_cuda(cudaEventDestroy(to), "event");
    handles()
        .choices(queue_.card())
        .put(choice_name(), {reinterpret_cast<const char*>(&plan.algo), sizeof plan.algo});
  }

  CudaQueue& queue_;
  const Gemm& job_;
  const void *c_, *bias_;
  void* const d_;
  const cudaDataType_t d_type_;
  Key key_;
};

bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

/// Can cuBLASLt's epilogue do all that follows the product?
bool epilogue_fits(const Gemm& job) {
  using fast::Activation;
  const bool half = is_half_type(job.dtype);
  if (job.bias && (!(half || job.dtype == float32) || !aligned16(job.bias))) return false;
  if (job.c.data) {  // it adds c before the activation, we after
    if (job.activation != Activation::none) return false;
    if (job.n > 1 && job.c.col != 1) return false;
    if (job.m > 1 && job.c.row < job.n) return false;
    if (job.batch > 1 && job.c.batch < 0) return false;
  }
  switch (job.activation) {
    case Activation::none: return true;
    case Activation::relu: return half || job.dtype == float32;
    case Activation::gelu_approx: return half;  // its tanh is as exact as a half
    default: return false;
  }
}

bool by_library(CudaQueue& queue, const Gemm& job) {
  if (!library().open || job.k == 0) return false;
  if (!lie_of(job.a, job.m, job.k).fits || !lie_of(job.b, job.k, job.n).fits) return false;
  if (job.batch > INT32_MAX) return false;
  if (job.batch > 1 && (job.a.batch < 0 || job.b.batch < 0)) return false;
  std::lock_guard lock(handles().mutex);
  const cublasLtHandle_t handle = handles().of(queue.card().index);
  if (!handle) return false;
  if (epilogue_fits(job)) {
    auto* workspace = queue.scratch<std::byte>(kWorkspace);
    return Product(queue, job, job.dtype, job.d, job.d_row, job.d_batch, true)
        .run(handle, workspace);
  }
  const bool half = is_half_type(job.dtype);
  const bool gaps = job.d_row != job.n || (job.batch > 1 && job.d_batch != job.m * job.n);
  const size_t product_bytes =
      half || gaps ? size_t(job.batch * job.m * job.n) * (half ? 4 : size_of(job.dtype)) : 0;
  auto* workspace = queue.scratch<std::byte>(kWorkspace + product_bytes);
  void* product = product_bytes ? workspace + kWorkspace : job.d;
  if (!Product(queue, job, half ? float32 : job.dtype, product, job.n, job.m * job.n, false)
           .run(handle, workspace))
    return false;
  gemm_finish(queue, job, product);
  return true;
}

}  // namespace

void gemm(CudaQueue& queue, const Gemm& given) {
  Gemm job = given;
  if (job.batch == 0 || job.m == 0 || job.n == 0) return;
  // One row of c for all: a bias.
  if (job.c.data && !job.bias && job.activation == fast::Activation::none &&
      (job.m == 1 || job.c.row == 0) && (job.n == 1 || job.c.col == 1) &&
      (job.batch == 1 || job.c.batch == 0) && job.dtype != complex64) {
    job.bias = job.c.data;
    job.c = {};
  }
  if (gemm_rows(queue, job) || by_library(queue, job)) return;
  gemm_tiles(queue, job);
}

}  // namespace hearth::cuda
