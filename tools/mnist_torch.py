#!/usr/bin/env python3
"""The training of examples/mnist.cpp by PyTorch, with its data in memory too: for comparison.
    mnist_torch.py FOLDER [SEED [EPOCHS]]
Needs torch; OMP_NUM_THREADS says how many threads."""
import gzip
import os
import pathlib
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        x = torch.flatten(self.dropout1(x), 1)
        return F.log_softmax(self.fc2(self.dropout2(F.relu(self.fc1(x)))), dim=1)


def digits(folder, name):
    def values(kind, skipped):
        with gzip.open(folder / f"{name}-{kind}-ubyte.gz") as file:
            return torch.frombuffer(bytearray(file.read()[skipped:]), dtype=torch.uint8)

    return values("images-idx3", 16).view(-1, 1, 28, 28), values("labels-idx1", 8).long()


def batch(images):
    return (images.float() / 255 - 0.1307) / 0.3081


folder = pathlib.Path(sys.argv[1])
torch.manual_seed(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
train, test = digits(folder, "train"), digits(folder, "t10k")
# MNIST_LAST=1: channels last, which oneDNN is often faster with.
form = torch.channels_last if os.environ.get("MNIST_LAST") else torch.contiguous_format
net = Net().to(memory_format=form)
optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 1
for epoch in range(1, epochs + 1):
    start = time.perf_counter()
    net.train()
    for i, which in enumerate(torch.randperm(len(train[0])).split(64)):
        optimizer.param_groups[0]["lr"] = 1 - (epoch - 1 + i * 64 / len(train[0])) / epochs
        loss = F.nll_loss(net(batch(train[0][which]).to(memory_format=form)), train[1][which])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if i % 50 == 0:
            print(f"batch {i:4}  loss {loss.item():.3f}", flush=True)
    taken = time.perf_counter() - start
    net.eval()
    with torch.no_grad():
        right = sum((net(batch(x)).argmax(1) == y).sum().item() for x, y in zip(test[0].split(500), test[1].split(500)))
    print(f"epoch {epoch} in {taken:.3f} s: {100 * right / len(test[0]):.2f} % of {len(test[0])} are told right")
