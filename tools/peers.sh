#!/bin/sh
# Makes a Python environment of the engines that PyPI has for this machine, where `hearth lab` finds
# it: `tools/peers.sh [FOLDER]`. One that does not install is named and left out.
set -u

folder=${1:-${XDG_DATA_HOME:-$HOME/.local/share}/hearth/peers}
python=${PYTHON:-python3}
"$python" -m venv "$folder" || exit 1
pip="$folder/bin/pip"
"$pip" install -q --upgrade pip

mlx='mlx'
if [ "$(uname)" = Linux ]; then
  if [ -e /dev/nvidia0 ]; then mlx='mlx[cuda12]'; else mlx='mlx[cpu]'; fi
fi

missing=''
add() {  # name, packages
  name=$1
  shift
  echo "installing $name"
  "$pip" install -q "$@" || missing="$missing $name"
}
add numpy numpy
add torch torch transformers safetensors
add mlx "$mlx" mlx-lm
add onnxruntime onnxruntime-genai onnx onnx-ir
add jax jax
if [ "$(uname)" = Linux ] && [ ! -e /dev/nvidia0 ]; then add tensorflow tensorflow-cpu; else add tensorflow tensorflow; fi
# From source, in minutes: a C++ compiler and cmake are needed.
if [ -e /dev/nvidia0 ]; then export CMAKE_ARGS="${CMAKE_ARGS:--DGGML_CUDA=ON}"; fi
add llama.cpp llama-cpp-python

[ -z "$missing" ] || echo "not installed:$missing" >&2
echo "$folder: HEARTH_PYTHON=$folder/bin/python, or the default place, is what hearth lab uses"
[ -z "$missing" ]
