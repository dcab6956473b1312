"""Programs as people write them for PyTorch; each takes the module `torch`, and returns the losses of its steps."""

from __future__ import annotations

import math
from typing import Any


def character_model(torch: Any) -> list[float]:
    """An MLP over the last characters, trained by hand, as courses do."""
    words = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "amelia", "harper"]
    letters = [".", *sorted(set("".join(words)))]
    number = {letter: i for i, letter in enumerate(letters)}
    contexts, targets = [], []
    for word in words:
        context = [0] * 3
        for letter in word + ".":
            contexts.append(context)
            targets.append(number[letter])
            context = [*context[1:], number[letter]]
    x, y = torch.tensor(contexts), torch.tensor(targets)
    g = torch.Generator().manual_seed(2147483647)
    table = torch.randn((len(letters), 4), generator=g)
    w1 = torch.randn((12, 20), generator=g) * (5 / 3) / (12**0.5)
    gain, shift = torch.ones((1, 20)), torch.zeros((1, 20))
    w2 = torch.randn((20, len(letters)), generator=g) * 0.1
    b2 = torch.randn(len(letters), generator=g) * 0
    parameters = [table, w1, gain, shift, w2, b2]
    for p in parameters:
        p.requires_grad = True
    losses = []
    for _ in range(12):
        picked = torch.randint(0, x.shape[0], (16,), generator=g)
        embedded = table[x[picked]].view(-1, 12)
        hidden = embedded @ w1
        mean, std = hidden.mean(0, keepdim=True), hidden.std(0, keepdim=True)
        hidden = torch.tanh(gain * (hidden - mean) / (std + 1e-5) + shift)
        logits = hidden @ w2 + b2
        loss = torch.nn.functional.cross_entropy(logits, y[picked])
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -0.1 * p.grad
        losses.append(loss.item())
    return losses


def autoencoder(torch: Any) -> list[float]:
    """A variational autoencoder with the reparameterization trick."""
    nn, F = torch.nn, torch.nn.functional

    class VAE(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.mean, self.spread = nn.Linear(30, 16), nn.Linear(16, 3), nn.Linear(16, 3)
            self.decode = nn.Sequential(
                nn.Linear(3, 16), nn.ReLU(inplace=True), nn.Linear(16, 30), nn.Sigmoid()
            )

        def forward(self, x: Any) -> Any:
            h = F.relu(self.encode(x.view(x.size(0), -1)))
            mu, logvar = self.mean(h), self.spread(h)
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
            return self.decode(z), mu, logvar

    torch.manual_seed(1)
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    data = torch.utils.data.TensorDataset(torch.rand(40, 5, 6))
    losses = []
    for _ in range(3):
        for (batch,) in torch.utils.data.DataLoader(data, batch_size=10, shuffle=True, num_workers=0):
            optimizer.zero_grad()
            out, mu, logvar = model(batch)
            fit = F.binary_cross_entropy(out, batch.view(-1, 30), reduction="sum")
            loss = fit - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
            loss.backward()
            optimizer.step()
            losses.append(loss.item() / len(batch))
    return losses


def adversaries(torch: Any) -> list[float]:
    """A generator and a discriminator of small images."""
    nn = torch.nn
    torch.manual_seed(7)
    generator = nn.Sequential(
        nn.ConvTranspose2d(4, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(True),
        nn.ConvTranspose2d(8, 1, 4, 2, 1),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Dropout2d(0.2),
        nn.Conv2d(8, 1, 3),
        nn.Flatten(),
        nn.Sigmoid(),
    )

    def initialize(m: Any) -> None:
        name = m.__class__.__name__
        if name.find("Conv") != -1:
            torch.nn.init.normal_(m.weight, 0.0, 0.02)
        elif name.find("BatchNorm") != -1:
            torch.nn.init.normal_(m.weight, 1.0, 0.02)
            torch.nn.init.zeros_(m.bias)

    generator.apply(initialize)
    discriminator.apply(initialize)
    criterion = nn.BCELoss()
    d_steps = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    g_steps = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    losses = []
    for _ in range(5):
        real = torch.rand(6, 1, 6, 6) * 2 - 1
        discriminator.zero_grad()
        label = torch.full((6,), 1.0)
        right = criterion(discriminator(real).view(-1), label)
        right.backward()
        fake = generator(torch.randn(6, 4, 1, 1))
        label.fill_(0.0)
        wrong = criterion(discriminator(fake.detach()).view(-1), label)
        wrong.backward()
        d_steps.step()
        generator.zero_grad()
        label.fill_(1.0)
        fooled = criterion(discriminator(fake).view(-1), label)
        fooled.backward()
        g_steps.step()
        losses += [(right + wrong).item(), fooled.item()]
    return losses


def waves(torch: Any) -> list[float]:
    """Two LSTM cells that predict a wave, trained with LBFGS in float64."""
    nn = torch.nn

    class Sequence(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.out = nn.LSTMCell(1, 8), nn.LSTMCell(8, 8), nn.Linear(8, 1)

        def forward(self, x: Any) -> Any:
            outputs = []
            h1 = torch.zeros(x.size(0), 8, dtype=torch.double)
            c1, h2, c2 = h1.clone(), h1.clone(), h1.clone()
            for step in x.split(1, dim=1):
                h1, c1 = self.first(step, (h1, c1))
                h2, c2 = self.second(h1, (h2, c2))
                outputs += [self.out(h2)]
            return torch.cat(outputs, dim=1)

    torch.manual_seed(0)
    data = torch.sin(torch.arange(16).double().view(1, -1) / 3 + torch.arange(4).double().unsqueeze(1))
    model = Sequence().double()
    criterion = nn.MSELoss()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.8, max_iter=4)
    losses: list[float] = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(data[:, :-1]), data[:, 1:])
        losses.append(loss.item())
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(closure)
    return losses


def small_gpt(torch: Any) -> list[float]:
    """A small transformer for characters, with masked attention, dropout and weight decay by groups."""
    nn, F = torch.nn, torch.nn.functional

    class Attention(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, width: int, heads: int, length: int) -> None:
            super().__init__()
            self.qkv, self.out, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads
            self.dropout = nn.Dropout(0.1)
            self.register_buffer("mask", torch.tril(torch.ones(length, length)).view(1, 1, length, length))

        def forward(self, x: Any) -> Any:
            B, T, C = x.size()
            q, k, v = self.qkv(x).split(C, dim=2)
            q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in (q, k, v))
            scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            scores = scores.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
            y = self.dropout(F.softmax(scores, dim=-1)) @ v
            return self.out(y.transpose(1, 2).contiguous().view(B, T, C))

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, width: int) -> None:
            super().__init__()
            self.ln_1, self.attention = nn.LayerNorm(width), Attention(width, 2, 8)
            self.ln_2 = nn.LayerNorm(width)
            self.mlp = nn.ModuleDict({"up": nn.Linear(width, 4 * width), "down": nn.Linear(4 * width, width)})

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.ln_1(x))
            return x + self.mlp["down"](F.gelu(self.mlp["up"](self.ln_2(x))))

    class GPT(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(11, 16), nn.Embedding(8, 16)
            self.blocks = nn.ModuleList([Block(16) for _ in range(2)])
            self.head = nn.Linear(16, 11, bias=False)
            self.apply(self._init)

        def _init(self, m: Any) -> None:
            if isinstance(m, (nn.Linear, nn.Embedding)):
                torch.nn.init.normal_(m.weight, mean=0.0, std=0.02)
            if isinstance(m, nn.Linear) and m.bias is not None:
                torch.nn.init.zeros_(m.bias)

        def forward(self, x: Any, y: Any) -> Any:
            h = self.tokens(x) + self.places(torch.arange(0, x.size(1), dtype=torch.long).unsqueeze(0))
            for block in self.blocks:
                h = block(h)
            logits = self.head(h)
            return F.cross_entropy(logits.view(-1, logits.size(-1)), y.reshape(-1), ignore_index=-1)

    torch.manual_seed(3407)
    model = GPT()
    decay = [p for n, p in model.named_parameters() if p.dim() > 1]
    rest = [p for n, p in model.named_parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95))
    losses = []
    for _ in range(6):
        text = torch.randint(0, 11, (6, 9))
        loss = model(text[:, :-1], text[:, 1:])
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def graph_attention(torch: Any) -> list[float]:
    """One layer of attention over the neighbors in a graph, then a linear one."""
    nn, F = torch.nn, torch.nn.functional
    torch.manual_seed(5)
    n = 12
    neighbors = (torch.rand(n, n) < 0.3).float()
    neighbors = torch.clamp(neighbors + neighbors.t() + torch.eye(n), max=1.0)
    x, y = torch.randn(n, 6), torch.randint(3, (n,))
    w, a = nn.Parameter(torch.empty(6, 8)), nn.Parameter(torch.empty(16, 1))
    nn.init.xavier_uniform_(w)
    nn.init.xavier_uniform_(a)
    head = nn.Linear(8, 3)
    optimizer = torch.optim.SGD([w, a, *head.parameters()], lr=0.2, momentum=0.9)
    losses = []
    for _ in range(6):
        h = torch.mm(x, w)
        scores = F.leaky_relu(torch.matmul(h, a[:8]) + torch.matmul(h, a[8:]).T, 0.2)
        scores = torch.where(neighbors > 0, scores, -9e15 * torch.ones_like(scores))
        attention = F.dropout(F.softmax(scores, dim=1), 0.2, training=True)
        loss = F.nll_loss(F.log_softmax(head(F.elu(torch.matmul(attention, h))), dim=1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


PROGRAMS = [character_model, autoencoder, adversaries, waves, small_gpt, graph_attention]
