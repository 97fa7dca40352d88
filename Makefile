# hearth: `make run` lets the model that ships tell a story, `make test` runs every test.
BUILD := build/release
JOBS ?= $(shell nproc)

.PHONY: run test bench build format check install clean packages

run: packages
	cmake --preset release >/dev/null
	cmake --build $(BUILD) -j $(JOBS) --target hearth
	$(BUILD)/hearth generate --prompt "Once upon a time" --max-tokens 200

test: build
	ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

bench: build
	$(BUILD)/hearth probe
	$(BUILD)/hearth bench -p 256

build: packages
	cmake --preset release >/dev/null
	cmake --build $(BUILD) -j $(JOBS)

packages:
	@tools/install_packages.sh

install: build
	cmake --install $(BUILD)

format:
	clang-format -i $$(git ls-files '*.h' '*.cpp')

check:
	tools/check.sh

clean:
	rm -rf build
