#include "hearth/backend/cuda/cuda.h"

#include "hearth/backend/cuda/architectures.h"
#include "hearth/backend/cuda/convolution.h"
#include "hearth/backend/cuda/custom_kernel.h"
#include "hearth/backend/cuda/dequantize.h"
#include "hearth/backend/cuda/tasks.h"
#include "hearth/backend/plugin.h"

namespace hearth::cuda {

void check_cuda(cudaError_t status, std::string_view what) {
  if (status == cudaSuccess) return;
  ensure(false, what, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")");
}

namespace {

std::vector<Card>& cards() {
  static std::vector<Card>& all = *new std::vector<Card>;
  return all;
}

std::string why_none(cudaError_t status) {
  int driver = 0;
  cudaDriverGetVersion(&driver);
  if (status == cudaErrorInsufficientDriver && driver > 0)
    return concat("the NVIDIA driver is too old: it supports CUDA ", driver / 1000, ".",
                  driver % 1000 / 10, ", wanted ", CUDART_VERSION / 1000, ".0 or newer");
  if (status == cudaErrorInsufficientDriver) return "there is no NVIDIA driver";
  if (status == cudaSuccess || status == cudaErrorNoDevice)
    return concat("no GPU is visible (", cudaGetErrorString(cudaErrorNoDevice),
                  "); CUDA_VISIBLE_DEVICES may hide it");
  return concat("the NVIDIA driver does not start: ", cudaGetErrorString(status), " (",
                cudaGetErrorName(status), ")");
}

// Fills cards() up to the first that this build has no code for; says why when that is none.
bool find_cards(std::string& why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    why = why_none(status);
    return false;
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp p;
    check_cuda(cudaGetDeviceProperties(&p, i), "device properties");
    if (const int capability = p.major * 10 + p.minor; !runs_on(HEARTH_CUDA_BUILT, capability)) {
      why = concat("GPU ", i, ", ", p.name, ", has compute capability ", p.major, ".", p.minor,
                   "; this build has code for ", HEARTH_CUDA_BUILT,
                   "; build with -DHEARTH_CUDA_ARCHITECTURES=", capability,
                   ", or leave the card out by CUDA_VISIBLE_DEVICES");
      break;
    }
    cards().push_back({i, p.multiProcessorCount, p.major * 10 + p.minor, p.sharedMemPerBlockOptin,
                       p.totalGlobalMem, p.name});
  }
  return !cards().empty();
}

}  // namespace

const Card& card(int index) { return cards()[size_t(index)]; }

namespace {
cudaStream_t new_stream(int card) {
  check_cuda(cudaSetDevice(card), "stream");
  cudaStream_t stream;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  return stream;
}
}  // namespace

CudaQueue::CudaQueue(Stream stream)
    : card_(cuda::card(stream.device.index)),
      stream_(new_stream(stream.device.index)),
      memory_(stream.device.index, stream_),
      tasks_(std::make_unique<Tasks>()) {}

CudaQueue::~CudaQueue() {
  close();
  cudaSetDevice(card_.index);
  cudaStreamSynchronize(stream_);
  running_.clear();
  for (const auto& buffers : {scratch_, counters_, tagged_})
    for (const Buffer& b : buffers) memory_.release(b);
  for (cudaEvent_t e : idle_events_) cudaEventDestroy(e);
  cudaStreamDestroy(stream_);
}

cudaStream_t CudaQueue::stream() {
  if (!tasks_->empty()) tasks_->start(*this, stream_);
  return stream_;
}

cudaEvent_t CudaQueue::new_event() {
  if (!idle_events_.empty()) {
    const cudaEvent_t e = idle_events_.back();
    idle_events_.pop_back();
    return e;
  }
  cudaEvent_t e;
  check_cuda(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "event");
  return e;
}

namespace {
// What those get who wait for a device that stopped: an error of one kernel ends all work of the
// process on it.
std::exception_ptr lost(cudaError_t status) {
  return std::make_exception_ptr(std::runtime_error(
      concat("the GPU stopped: ", cudaGetErrorString(status), " (", cudaGetErrorName(status),
             "); what was started on it is lost, the CPU works on; a new process may use it "
             "again")));
}
}  // namespace

void CudaQueue::execute(Batch& batch) {
  try {
    check_cuda(cudaSetDevice(card_.index), "set device");
    std::vector<Ref<Storage>> held;
    for (const Event& e : batch.after) {
      if (e->done.load(std::memory_order_acquire)) continue;
      if (auto* other = dynamic_cast<CudaQueue*>(e->queue))
        other->order_before(e, stream_);
      else
        e->queue->wait(e);
    }
    for (Work& w : batch.work) {
      for (const array& x : w.in)
        if (const auto& s = x.node().storage; s->owner != &memory_) held.push_back(s);
      run(w, *this);
    }
    const cudaStream_t started = stream();
    std::lock_guard lock(running_mutex_);
    while (!running_.empty() && cudaEventQuery(running_.front().end) == cudaSuccess) retire_front();
    const cudaEvent_t end = new_event();
    check_cuda(cudaEventRecord(end, started), "event");
    running_.push_back({end, batch.done, std::move(held)});
  } catch (...) {  // of the device, not of one operation: whoever waits gets it
    std::lock_guard lock(running_mutex_);
    if (!lost_) lost_ = std::current_exception();
  }
}

void CudaQueue::order_before(const Event& event, cudaStream_t stream) {
  wait_started(event);
  std::lock_guard lock(running_mutex_);
  if (lost_) std::rethrow_exception(lost_);
  for (const Running& r : running_)
    if (r.event == event) check_cuda(cudaStreamWaitEvent(stream, r.end, 0), "order of streams");
}

void CudaQueue::retire_front() {
  Running& r = running_.front();
  r.event->done.store(1, std::memory_order_release);
  idle_events_.push_back(r.end);
  running_.pop_front();
}

void CudaQueue::finish(const Event& event) {
  while (!event->done.load(std::memory_order_acquire)) {
    Event first;
    cudaEvent_t end;
    {
      std::lock_guard lock(running_mutex_);
      if (lost_) std::rethrow_exception(lost_);
      if (event->done.load(std::memory_order_acquire)) return;
      first = running_.front().event, end = running_.front().end;
    }
    const cudaError_t status = cudaEventSynchronize(end);
    std::lock_guard lock(running_mutex_);
    if (status != cudaSuccess && !lost_) lost_ = lost(status);
    if (lost_) std::rethrow_exception(lost_);
    if (!running_.empty() && running_.front().event == first) retire_front();
  }
}

bool CudaQueue::done(const EventState& event) {
  if (!event.started.load(std::memory_order_acquire)) return false;
  std::lock_guard lock(running_mutex_);
  while (!running_.empty() && cudaEventQuery(running_.front().end) == cudaSuccess) retire_front();
  return event.done.load(std::memory_order_acquire) != 0;
}

void* CudaQueue::scratch_bytes(size_t bytes) {
  if (scratch_.empty() || scratch_.back().size < bytes)
    scratch_.push_back(memory_.allocate(std::max(bytes, size_t{1} << 20)));
  return scratch_.back().data;
}

namespace {

// The work as a CUDA graph; the arrays keep its memory.
class Graph : public Program {
 public:
  Graph(std::vector<Work> work, cudaGraphExec_t graph) : work_(std::move(work)), graph_(graph) {}
  ~Graph() override { cudaGraphExecDestroy(graph_); }
  void start(Queue& queue) override {
    check_cuda(cudaGraphLaunch(graph_, static_cast<CudaQueue&>(queue).stream()), "graph launch");
  }

 private:
  std::vector<Work> work_;
  cudaGraphExec_t graph_;
};

}  // namespace

std::unique_ptr<Program> CudaQueue::program(std::vector<Work> work) {
  check_cuda(cudaSetDevice(card_.index), "set device");
  for (Work& w : work) prepare(w, *this, false);
  counters(1024), tagged(1 << 17);  // zeroed now, not each time
  // Relaxed: a kernel's first use may load its module, its scratch may grow.
  check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "record");
  cudaGraph_t graph = nullptr;
  try {
    for (Work& w : work) w.kernel(*w.op, {w.in, w.out}, *this);
    stream();  // starts the last tasks
  } catch (...) {
    cudaStreamEndCapture(stream_, &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  check_cuda(cudaStreamEndCapture(stream_, &graph), "record");
  cudaGraphExec_t exec;
  const cudaError_t made = cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  check_cuda(made, "record");
  return std::make_unique<Graph>(std::move(work), exec);
}

void* CudaQueue::zeroed(std::vector<Buffer>& of, size_t bytes) {
  if (of.empty() || of.back().size < bytes) {
    of.push_back(memory_.allocate(std::max(bytes, size_t{4096})));
    check_cuda(cudaMemsetAsync(of.back().data, 0, of.back().size, stream_), "counters");
  }
  return of.back().data;
}

namespace {

class Cuda : public Backend {
 public:
  Cuda() {
    kernels.add<&map>(map_fits);
    kernels.add<&copy>().add<&assign>().add<&contiguous>().add<&reshape>().add<&reinterpret>();
    kernels.add<&concatenate>().add<&slice_update>().add<&arange>();
    kernels.add<&dynamic_slice>().add<&dynamic_slice_update>().add<&random_bits>();
    kernels.add<&gather>().add<&scatter>().add<&gather_axis>().add<&scatter_axis>();
    kernels.add<&masked_scatter>().add<&search_sorted>();
    kernels.add<&reduce>().add<&arg_reduce>().add<&scan>().add<&sort>();
    kernels.add<&softmax>().add<&log_sum_exp>();
    kernels.add<&matmul>().add<&linear>(linear_fits).add<&linear_sum>(linear_fits);
    kernels.add<&expert_linears>(expert_linears_fit).add<&dequantize>();
    kernels.add<&custom_kernel>().add<&convolution>(convolution_fits);
    kernels.add<&causal_conv>().add<&gated_delta>(gated_delta_fits);
    kernels.add<&layer_norm>().add<&rms_norm>().add<&rope>();
    kernels.add<&attention>(attention_fits).add<&cached_attention>(cached_attention_fits);
  }
  Device::DeviceType type() const override { return Device::cuda; }
  int device_count() const override { return int(cards().size()); }
  std::string describe(int index) const override {
    const Card& c = card(index);
    return concat(c.name, ", compute capability ", c.capability / 10, ".", c.capability % 10, ", ",
                  c.multiprocessors, " multiprocessors, ", c.memory >> 20, " MiB");
  }
  DeviceMemory memory(int index) const override { return memory_of(index); }
  std::unique_ptr<Queue> queue(Stream stream) override {
    return std::make_unique<CudaQueue>(stream);
  }
  std::vector<double> read_gb_per_s(std::span<const array> arrays) override {
    return cuda::read_gb_per_s(arrays);
  }
  std::vector<double> clock_mhz(int index, double seconds) override {
    return cuda::clock_mhz(index, seconds);
  }
};

}  // namespace
}  // namespace hearth::cuda

extern "C" {
uint64_t hearth_plugin_abi() { return hearth::kAbi; }
hearth::Backend* hearth_plugin_open(std::string& why) {
  try {
    if (!hearth::cuda::find_cards(why)) return nullptr;
  } catch (const std::exception& e) {
    why = e.what();
    return nullptr;
  }
  return new hearth::cuda::Cuda;
}
}
