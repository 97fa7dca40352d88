# hearth: `make run` lets the model that ships tell a story, `make test` runs every test.
BUILD := build/release
JOBS ?= $(shell nproc)
# libhearth-cuda is built where an NVIDIA GPU is, or with CUDA=ON.
CUDA ?= AUTO
CONFIGURE = cmake --preset release -DHEARTH_CUDA=$(CUDA)

# Architectures of gpu-bundle's kernels: 90 is an H100. PTX of the last, for those to come.
GPU_ARCHITECTURES ?= 80-real;86-real;89-real;90-real;100-real;120

.PHONY: gpu-bundle run test bench build format check install package clean packages

run: packages
	$(CONFIGURE) >/dev/null
	cmake --build $(BUILD) -j $(JOBS) --target hearth
	$(BUILD)/hearth generate --prompt "Once upon a time" --max-tokens 200

test: build
	ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

bench: build
	$(BUILD)/hearth probe
	$(BUILD)/hearth bench -p 256

build: packages
	$(CONFIGURE) >/dev/null
	cmake --build $(BUILD) -j $(JOBS)

packages:
	@tools/install_packages.sh

install: build
	cmake --install $(BUILD)

# A Debian package, and an archive that carries its libraries, in build/package. tools/try_package.sh
# tries both on bare systems.
package:
	@tools/install_packages.sh package
	$(CONFIGURE) -DHEARTH_CUDA_ARCHITECTURES="$(GPU_ARCHITECTURES)" >/dev/null
	cmake --build $(BUILD) -j $(JOBS) --target hearth
	tools/package.sh $(BUILD) build/package

# One folder that runs on another machine with a driver, build/gpu-bundle: see tools/gpu_check.sh.
gpu-bundle: CUDA := ON
gpu-bundle: packages
	$(CONFIGURE) -DHEARTH_BENCH=ON -DHEARTH_TESTS=ON -DHEARTH_CUDA_ARCHITECTURES="$(GPU_ARCHITECTURES)" >/dev/null
	cmake --build $(BUILD) -j $(JOBS) --target hearth hearth_tests bench_elementwise libhearth-cuda
	tools/gpu_bundle.sh $(BUILD) build/gpu-bundle

format:
	clang-format -i $$(git ls-files '*.h' '*.cpp')

check:
	tools/check.sh

clean:
	rm -rf build
