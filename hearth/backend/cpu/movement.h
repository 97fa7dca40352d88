// Kernels of movement, creation, indexing and random bits.
#pragma once
#include "hearth/backend/cpu/cpu.h"
#include "hearth/ops/primitives.h"

namespace hearth::cpu {

void copy(const Copy& op, const Args& args, CpuQueue& queue);
void contiguous(const Contiguous& op, const Args& args, CpuQueue& queue);
void assign(const Assign& op, const Args& args, CpuQueue& queue);
void reshape(const Reshape& op, const Args& args, CpuQueue& queue);
void reinterpret(const Reinterpret& op, const Args& args, CpuQueue& queue);
void concatenate(const Concatenate& op, const Args& args, CpuQueue& queue);
void slice_update(const SliceUpdate& op, const Args& args, CpuQueue& queue);
void dynamic_slice(const DynamicSlice& op, const Args& args, CpuQueue& queue);
void dynamic_slice_update(const DynamicSliceUpdate& op, const Args& args, CpuQueue& queue);
void gather(const Gather& op, const Args& args, CpuQueue& queue);
void scatter(const Scatter& op, const Args& args, CpuQueue& queue);
void gather_axis(const GatherAxis& op, const Args& args, CpuQueue& queue);
void scatter_axis(const ScatterAxis& op, const Args& args, CpuQueue& queue);
void masked_scatter(const MaskedScatter& op, const Args& args, CpuQueue& queue);
void search_sorted(const SearchSorted& op, const Args& args, CpuQueue& queue);
void random_bits(const RandomBits& op, const Args& args, CpuQueue& queue);
void arange(const Arange& op, const Args& args, CpuQueue& queue);

}  // namespace hearth::cpu
