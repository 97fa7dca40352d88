#!/usr/bin/env python3
"""Writes tests/data/nn.json: activations, losses and optimizer steps, computed by PyTorch in
float64. Run from the root of the repository; needs torch."""
import json

import torch
import torch.nn.functional as F

torch.manual_seed(7)
cases = []


def flat(t):
    return {"shape": list(t.shape), "data": [float(f"{v:.8g}") for v in t.double().flatten().tolist()]}


def case(op, inputs, out, **params):
    cases.append({"op": op, "in": [flat(i) for i in inputs], "out": flat(out), "params": params})


def normal(*shape, scale=2.0):
    return (torch.randn(*shape, dtype=torch.float64) * scale).mul(100).round().div(100)


x = torch.cat([normal(18), torch.tensor([0.0, -0.0, 30.0, -30.0, 3.0, -3.0], dtype=torch.float64)])
alpha = normal(x.shape[0])
for name, y in {
    "gelu_fast_approx": x * torch.sigmoid(1.702 * x),
    "leaky_relu": F.leaky_relu(x, 0.01),
    "relu6": F.relu6(x),
    "relu2": F.relu(x) ** 2,
    "elu": F.elu(x),
    "celu": F.celu(x, 1.5),
    "selu": 1.0507 * F.elu(x, 1.67326),
    "log_softmax": F.log_softmax(x, -1),
    "softmin": F.softmin(x, -1),
    "log_sigmoid": F.logsigmoid(x),
    "softsign": F.softsign(x),
    "softshrink": F.softshrink(x, 0.5),
    "hard_shrink": F.hardshrink(x, 0.5),
    "hard_tanh": F.hardtanh(x),
    "hardswish": F.hardswish(x),
    "mish": F.mish(x),
    "step": (x > 0).double(),
    "glu": F.glu(x),
}.items():
    case(name, [x], y)
case("prelu", [x, alpha], torch.clamp(x, min=0) + alpha * torch.clamp(x, max=0))

logits, ids, w = normal(4, 5), torch.tensor([0, 4, 2, 2]), normal(4).abs()
for smoothing in (0.0, 0.1):
    loss = F.cross_entropy(logits, ids, reduction="none", label_smoothing=smoothing)
    case("cross_entropy", [logits, ids], loss, smoothing=smoothing)
    case("cross_entropy", [logits, ids, w], loss * w, smoothing=smoothing)
soft = torch.softmax(normal(4, 5), -1)
case("cross_entropy", [logits, soft], F.cross_entropy(logits, soft, reduction="none"), smoothing=0.0)
p, t = normal(6), torch.rand(6, dtype=torch.float64).mul(100).round().div(100)
case("binary_cross_entropy", [p, t], F.binary_cross_entropy_with_logits(p, t), logits=True)
probabilities = torch.sigmoid(p).mul(100).round().div(100)
case("binary_cross_entropy", [probabilities, t], F.binary_cross_entropy(probabilities, t), logits=False)
a, b = normal(3, 4), normal(3, 4)
case("l1_loss", [a, b], F.l1_loss(a, b))
case("mse_loss", [a, b], F.mse_loss(a, b))
case("smooth_l1_loss", [a, b], F.smooth_l1_loss(a, b, beta=0.7), beta=0.7)
case("huber_loss", [a, b], F.huber_loss(a, b, delta=0.7, reduction="none"), delta=0.7)
case("hinge_loss", [a, b], torch.clamp(1 - a * b, min=0))
case("log_cosh_loss", [a, b], torch.log(torch.cosh(a - b)))
case("nll_loss", [F.log_softmax(logits, -1), ids], F.nll_loss(F.log_softmax(logits, -1), ids, reduction="none"))
lp, lq = F.log_softmax(normal(3, 4), -1), F.log_softmax(normal(3, 4), -1)
case("kl_div_loss", [lp, lq], F.kl_div(lp, lq, log_target=True, reduction="none").sum(-1))

# Three steps of each optimizer on the same parameter with given gradients. PyTorch's Adam always
# corrects the bias; SGD's dampening counts from the second step there, so it is left out.
start, gradients = normal(5), [normal(5) for _ in range(3)]
for name, make in {
    "sgd": lambda q: torch.optim.SGD(q, lr=0.1),
    "sgd_momentum": lambda q: torch.optim.SGD(q, lr=0.1, momentum=0.9, weight_decay=0.01),
    "sgd_nesterov": lambda q: torch.optim.SGD(q, lr=0.1, momentum=0.8, nesterov=True),
    "adam": lambda q: torch.optim.Adam(q, lr=0.1, betas=(0.8, 0.95), eps=1e-6),
    "adadelta": lambda q: torch.optim.Adadelta(q, lr=0.5, rho=0.8, eps=1e-3),
    "adamw": lambda q: torch.optim.AdamW(q, lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.2),
}.items():
    q = start.clone().requires_grad_()
    optimizer = make([q])
    for g in gradients:
        q.grad = g.clone()
        optimizer.step()
    case(name, [start, *gradients], q.detach())

# Layers: weights as torch has them, (O, C / groups, K...), with the channels moved behind.
def last(t):
    return t.movedim(1, -1).contiguous()


for layer, shape, args in [
    (torch.nn.Conv1d, (2, 9), (2, 3, 4)),
    (torch.nn.Conv1d, (2, 12), (4, 6, 3, 2, 2, 2, 2)),
    (torch.nn.Conv1d, (1, 5), (3, 2, 1, 1, 0, 1, 1, False)),
    (torch.nn.Conv2d, (2, 6, 5), (3, 4, 3)),
    (torch.nn.Conv2d, (1, 9, 8), (4, 4, (3, 2), (2, 3), (0, 2), (2, 1), 4)),
    (torch.nn.Conv2d, (1, 4, 4), (2, 3, 2, 2, 1, 1, 1, False)),
]:
    m = layer(*args).double()
    with torch.no_grad():
        for q in m.parameters():
            q.copy_(normal(*q.shape))
    given = normal(shape[0], args[0], *shape[1:])
    case(type(m).__name__, [last(given), last(m.weight.detach()), *([] if m.bias is None else [m.bias.detach()])],
         last(m(given).detach()), args=args)

# Pooling, and its gradient by the second input. Odd sizes, windows that overlap, that leave a rest,
# that stand in the padding.
torch.manual_seed(11)
for name, shape, args in [
    ("max_pool2d", (2, 3, 4, 6), (2, 2, 0)),
    ("max_pool2d", (2, 3, 5, 7), (2, 2, 0)),
    ("max_pool2d", (1, 2, 7, 6), (3, 2, 1)),
    ("max_pool2d", (2, 1, 7, 9), ((3, 2), (1, 3), (1, 0))),
    ("max_pool2d", (2, 4, 6, 6), (6, 6, 0)),
    ("avg_pool2d", (2, 3, 4, 6), (2, 2, 0)),
    ("avg_pool2d", (1, 2, 7, 5), (3, 2, 1)),
    ("avg_pool2d", (2, 3, 5, 5), ((2, 3), (2, 3), 0)),
    ("max_pool1d", (2, 3, 9), (2, 2, 0)),
    ("max_pool1d", (2, 3, 9), (4, 1, 2)),
    ("avg_pool1d", (2, 3, 9), (4, 3, 2)),
    ("max_pool3d", (1, 2, 4, 5, 6), (2, 2, 0)),
    ("max_pool3d", (1, 2, 4, 5, 6), ((2, 3, 1), (1, 2, 3), (1, 1, 0))),
    ("avg_pool3d", (2, 2, 3, 5, 4), (3, 2, 1)),
]:
    count = torch.tensor(shape).prod()  # no two alike: PyTorch gives all to the first of them
    given = (torch.randperm(count).double() / 64 - 1).view(shape).requires_grad_()
    out = getattr(F, name)(given, *args)
    weight = normal(*out.shape)
    (out * weight).sum().backward()
    case(name, [last(given.detach()), last(weight)], last(out.detach()), args=args)
    case(name + " slope", [last(given.detach()), last(weight)], last(given.grad), args=args)

with open("tests/data/nn.json", "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
