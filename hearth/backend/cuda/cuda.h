// The CUDA backend: its queue, how kernels are launched, and their declarations.
#pragma once
#include <cuda_runtime.h>

#include "hearth/backend/batch_queue.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/primitives_layers.h"

namespace hearth::cuda {

/// Throws what went wrong, with the operation's name.
void check_cuda(cudaError_t status, std::string_view what);

/// What the kernels need to know of a card.
struct Card {
  int index;
  int multiprocessors;
  int capability;                  // 90 for 9.0
  size_t shared_memory_per_block;  // with opt-in, bytes
  size_t memory;                   // bytes
  std::string name;
};
const Card& card(int index);

/// The memory of one queue: freed blocks are reused in the order of its stream, without waiting.
class Memory : public Allocator {
 public:
  Memory(int card, cudaStream_t stream);
  ~Memory() override;
  Buffer allocate(size_t bytes) override { return cache_.allocate(bytes); }
  void release(Buffer buffer) override { cache_.release(buffer); }
  Device device() const override { return {Device::cuda, card_}; }
  void read(const Buffer& from, void* host, size_t bytes) const override;
  void write(const void* host, const Buffer& to, size_t bytes) const override;
  const BufferCache& cache() const { return cache_; }

 private:
  void* get(size_t bytes);
  int card_;
  cudaStream_t stream_;
  BufferCache cache_;
};

/// Of all queues of a card.
DeviceMemory memory_of(int card);

class Tasks;

/// Work in the order of a CUDA stream. Its thread only starts kernels.
class CudaQueue : public BatchQueue {
 public:
  explicit CudaQueue(Stream stream);
  ~CudaQueue() override;
  Memory& allocator() override { return memory_; }
  bool done(const EventState& event) override;
  std::unique_ptr<Program> program(std::vector<Work> work) override;

  /// Comes after all that waits in tasks().
  cudaStream_t stream();
  /// Work that is started together with what follows.
  Tasks& tasks() { return *tasks_; }
  const Card& card() const { return card_; }
  /// The address of an array's first element for kernels of this queue.
  template <class T>
  T* ptr(const array& a) {
    return reinterpret_cast<T*>(static_cast<std::byte*>(a.node().storage->on(memory_)) +
                                a.node().offset * int64_t(a.itemsize()));
  }
  /// Device memory for the kernels that one call of an operation starts; asked for once in it.
  template <class T>
  T* scratch(size_t count) {
    return static_cast<T*>(scratch_bytes(count * sizeof(T)));
  }
  /// Counters that are zero; whoever raises them sets them back.
  unsigned* counters(int count) {
    return static_cast<unsigned*>(zeroed(counters_, size_t(count) * sizeof(unsigned)));
  }
  /// Words of the kernel of tasks, zero at first.
  uint64_t* tagged(size_t words) {
    return static_cast<uint64_t*>(zeroed(tagged_, words * sizeof(uint64_t)));
  }

 protected:
  void execute(Batch& batch) override;
  void finish(const Event& event) override;

 private:
  void* scratch_bytes(size_t bytes);
  void* zeroed(std::vector<Buffer>& of, size_t bytes);
  struct Running {
    cudaEvent_t end;
    Event event;
    std::vector<Ref<Storage>> held;  // other memory's storage, that the stream may still read
  };
  /// What `stream` is given later comes after the event, on the device.
  void order_before(const Event& event, cudaStream_t stream);
  void retire_front();
  cudaEvent_t new_event();

  const Card& card_;
  cudaStream_t stream_;
  Memory memory_;
  std::unique_ptr<Tasks> tasks_;
  std::vector<Buffer> scratch_, counters_, tagged_;  // the last one is in use, those before may be
  std::mutex running_mutex_;
  std::deque<Running> running_;  // in the order of the stream
  std::vector<cudaEvent_t> idle_events_;
  std::exception_ptr lost_;  // why the device takes no more work
};

/// How fast the card reads the arrays, in samples; read.cu.
std::vector<double> read_gb_per_s(std::span<const array> arrays);
/// The clock of its multiprocessors, in samples of about `seconds` in all; clock.cu.
std::vector<double> clock_mhz(int card, double seconds);

/// A kernel launch, on the queue's stream. Throws when it could not start.
///   launch(queue, kernel, grid, block, shared_bytes, arguments...)
template <class... Parameters, class... Arguments>
void launch(CudaQueue& queue, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
            Arguments&&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid, config.blockDim = block;
  config.dynamicSmemBytes = shared, config.stream = queue.stream();
  check_cuda(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...),
             "kernel launch");
}

// Kernels, by file.
void map(const Map& op, const Args& args, CudaQueue& queue);  // map.cu
bool map_fits(const Primitive& op, std::span<const array> in);

void copy(const Copy& op, const Args& args, CudaQueue& queue);  // copy.cu
void contiguous(const Contiguous& op, const Args& args, CudaQueue& queue);
void reshape(const Reshape& op, const Args& args, CudaQueue& queue);
void reinterpret(const Reinterpret& op, const Args& args, CudaQueue& queue);
void concatenate(const Concatenate& op, const Args& args, CudaQueue& queue);
void assign(const Assign& op, const Args& args, CudaQueue& queue);
void slice_update(const SliceUpdate& op, const Args& args, CudaQueue& queue);
void dynamic_slice(const DynamicSlice& op, const Args& args, CudaQueue& queue);
void dynamic_slice_update(const DynamicSliceUpdate& op, const Args& args, CudaQueue& queue);
void arange(const Arange& op, const Args& args, CudaQueue& queue);

void gather(const Gather& op, const Args& args, CudaQueue& queue);  // index.cu
void scatter(const Scatter& op, const Args& args, CudaQueue& queue);
void gather_axis(const GatherAxis& op, const Args& args, CudaQueue& queue);
void scatter_axis(const ScatterAxis& op, const Args& args, CudaQueue& queue);
void masked_scatter(const MaskedScatter& op, const Args& args, CudaQueue& queue);
void search_sorted(const SearchSorted& op, const Args& args, CudaQueue& queue);
void random_bits(const RandomBits& op, const Args& args, CudaQueue& queue);  // random.cu

void reduce(const Reduce& op, const Args& args, CudaQueue& queue);         // reduce.cu
void arg_reduce(const ArgReduce& op, const Args& args, CudaQueue& queue);  // arg_reduce.cu
void scan(const Scan& op, const Args& args, CudaQueue& queue);             // scan.cu
void sort(const Sort& op, const Args& args, CudaQueue& queue);             // sort.cu
void softmax(const Softmax& op, const Args& args, CudaQueue& queue);       // softmax.cu
void log_sum_exp(const LogSumExp& op, const Args& args, CudaQueue& queue);

void matmul(const hearth::Matmul& op, const Args& args, CudaQueue& queue);  // matmul.cpp
void linear(const fast::Linear& op, const Args& args, CudaQueue& queue);    // linear.cpp
void linear_sum(const fast::LinearSum& op, const Args& args, CudaQueue& queue);
bool linear_fits(const Primitive& op, std::span<const array> in);
void expert_linears(const fast::ExpertLinear& op, const Args& args, CudaQueue& queue);
bool expert_linears_fit(const Primitive& op, std::span<const array> in);
void causal_conv(const fast::CausalConv& op, const Args& args, CudaQueue& queue);  // recurrent.cu
void gated_delta(const fast::GatedDelta& op, const Args& args, CudaQueue& queue);
bool gated_delta_fits(const Primitive& op, std::span<const array> in);
void layer_norm(const fast::LayerNorm& op, const Args& args, CudaQueue& queue);  // norm.cu
void rms_norm(const fast::RMSNorm& op, const Args& args, CudaQueue& queue);
void rope(const fast::RoPE& op, const Args& args, CudaQueue& queue);            // rope.cu
void attention(const fast::Attention& op, const Args& args, CudaQueue& queue);  // attention.cpp
bool attention_fits(const Primitive& op, std::span<const array> in);
// cached_attention.cu
void cached_attention(const fast::CachedAttention& op, const Args& args, CudaQueue& queue);
bool cached_attention_fits(const Primitive& op, std::span<const array> in);

}  // namespace hearth::cuda
