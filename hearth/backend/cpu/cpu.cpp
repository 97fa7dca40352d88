#include "hearth/backend/cpu/cpu.h"

#include <chrono>
#include <mutex>
#include <optional>

#include "hearth/backend/cpu/fft.h"
#include "hearth/backend/cpu/isa.h"
#include "hearth/backend/cpu/linalg.h"
#include "hearth/backend/cpu/movement.h"
#include "hearth/backend/pool.h"
#include "hearth/base/system.h"

namespace hearth::cpu {

void CpuQueue::execute(Batch& batch) {
  for (const Event& e : batch.after)
    if (!e->done.load(std::memory_order_acquire)) e->queue->wait(e);
  for (Work& w : batch.work) run(w, *this);
  batch.work.clear();
  batch.done->done.store(1, std::memory_order_release);
}

namespace {

class Cpu : public Backend {
 public:
  Cpu() {
    kernels.add<&map>(map_fits);
    kernels.add<&reduce>().add<&arg_reduce>().add<&scan>().add<&sort>();
    kernels.add<&softmax>().add<&log_sum_exp>();
    kernels.add<&copy>().add<&assign>().add<&contiguous>().add<&reshape>().add<&reinterpret>();
    kernels.add<&concatenate>().add<&slice_update>().add<&arange>();
    kernels.add<&dynamic_slice>().add<&dynamic_slice_update>().add<&random_bits>();
    kernels.add<&gather>().add<&scatter>().add<&gather_axis>().add<&scatter_axis>();
    kernels.add<&masked_scatter>().add<&search_sorted>();
    kernels.add<&matmul_arrays>().add<&linear_arrays>(linear_fits);
    kernels.add<&convolution>(convolution_fits).add<&convolution_weight>(convolution_weight_fits);
    kernels.add<&quantize>().add<&dequantize_arrays>();
    kernels.add<&layer_norm>().add<&rms_norm>();
    kernels.add<&expert_linears>(expert_linears_fit);
    kernels.add<&causal_conv>().add<&gated_delta>(attention_fits);
    kernels.add<&rope>(attention_fits)
        .add<&scaled_dot_product_attention>(attention_fits)
        .add<&cached_attention>(attention_fits);
    kernels.add<&lu>().add<&solve>().add<&cholesky>().add<&qr>();
    kernels.add<&svd>().add<&eigh>().add<&eig>().add<&determinant>().add<&fourier>();
  }
  Device::DeviceType type() const override { return Device::cpu; }
  int device_count() const override { return 1; }
  std::string describe(int) const override {
    return concat(to_string(isa()), ", ", threads(), " threads");
  }
  DeviceMemory memory(int) const override {
    const BufferCache& m = host_memory();
    return {m.active(), m.peak(), m.cached(), free_bytes(m.active() + m.cached()), m.limit()};
  }
  std::unique_ptr<Queue> queue(Stream) override { return std::make_unique<CpuQueue>(); }

 private:
  /// 0 where the system does not say. Asking it takes 0.2 ms, a token of a small model: an answer
  /// is good for 0.1 s, less what hearth took since.
  static size_t free_bytes(size_t held) {
    using Clock = std::chrono::steady_clock;
    static std::mutex mutex;
    static std::optional<Clock::time_point> asked;
    static size_t free_and_held = 0;
    const std::lock_guard lock(mutex);
    if (!asked || Clock::now() - *asked > std::chrono::milliseconds(100)) {
      const auto free = available_memory_bytes();
      if (!free) return 0;
      free_and_held = *free + held;
      asked = Clock::now();
    }
    return std::max<size_t>(free_and_held - std::min(free_and_held, held), 1);
  }
};

}  // namespace

Backend& backend() {
  static Cpu& cpu = *new Cpu;
  return cpu;
}

}  // namespace hearth::cpu
