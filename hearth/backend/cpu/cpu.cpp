#include "hearth/backend/cpu/cpu.h"

#include "hearth/backend/cpu/isa.h"
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
    kernels.add<&layer_norm>().add<&rms_norm>();
    kernels.add<&expert_linears>().add<&causal_conv>().add<&gated_delta>(attention_fits);
    kernels.add<&rope>(attention_fits)
        .add<&scaled_dot_product_attention>(attention_fits)
        .add<&cached_attention>(attention_fits);
  }
  Device::DeviceType type() const override { return Device::cpu; }
  int device_count() const override { return 1; }
  std::string describe(int) const override {
    return concat(to_string(isa()), ", ", threads(), " threads");
  }
  DeviceMemory memory(int) const override {
    const BufferCache& m = host_memory();
    return {m.active(), m.peak(), m.cached(), available_memory_bytes().value_or(0), m.limit()};
  }
  std::unique_ptr<Queue> queue(Stream) override { return std::make_unique<CpuQueue>(); }
};

}  // namespace

Backend& backend() {
  static Cpu& cpu = *new Cpu;
  return cpu;
}

}  // namespace hearth::cpu
