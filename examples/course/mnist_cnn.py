"""A convolutional network on MNIST's 10,000 test images: the first 8,000 to train on, the last 2,000 to test.

Three blocks of convolution, batch norm, ReLU and pooling; Adam with one cycle of the learning rate, averaged
weights, and each image slightly rotated, zoomed and shifted at random in every epoch.
"""

from __future__ import annotations

from pathlib import Path

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.course.digits import FIGURES, saved_figure
from tinygrad_dl.course.record import show
from tinygrad_dl.data import Affine, DataLoader, datasets
from tinygrad_dl.train import AveragedWeights, Schedule, Trainer

TITLE = "A convolutional network on MNIST: 8,000 images to train on, 2,000 to test"
REQUIRED_FILES = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


def block(inputs: int, channels: int) -> list[nn.Module]:
    """Convolution, batch norm, ReLU, and pooling to half the size."""
    return [
        nn.Conv2d(inputs, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]


def network() -> nn.Sequential:
    """28 by 28 pixels, 14, 7, 3, 10 classes."""
    layers = [
        *block(1, 16),
        *block(16, 32),
        *block(32, 64),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(576, 10),
    ]
    return nn.Sequential(*layers)


def run(data: Path, out: Path = FIGURES, epochs: int = 20, train_on: int = 8000) -> dict[str, float]:
    """Accuracy on the last 2,000 images."""
    digits = datasets.load_mnist(data, part="test")
    train, test = digits.take(slice(train_on)), digits.take(slice(8000, None))
    tg.manual_seed(0)
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.004)
    changed = Affine(rotate=12, zoom=0.12, shear=8, shift=2)
    loader = DataLoader(train, 64, shuffle=True, transform=changed, rng=0)
    cycle = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.004, total_steps=epochs * len(loader))
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics=["accuracy"],
        callbacks=[Schedule(cycle, per="batch"), AveragedWeights(0.99)],
        progress="off",
    )
    history = trainer.fit(loader, test, epochs)
    read = trainer.predict(test).argmax(axis=1)
    wrong = read != test.y
    with saved_figure(out, "mnist_cnn", 2, 8, size=1.6) as axes:
        for ax in axes.flat:
            ax.axis("off")
        for ax, image, label, taken in zip(axes.flat, test.x[wrong], test.y[wrong], read[wrong]):
            ax.imshow(image[0], cmap="gray_r")
            ax.set_title(f"{label}, read as {taken}", fontsize=7)
    return {
        "test accuracy, %": float(100 * (1 - wrong.mean())),
        "images read wrongly, of 2,000": float(wrong.sum()),
        "training accuracy of the last epoch, augmented, %": 100 * history["accuracy"][-1],
    }


if __name__ == "__main__":
    show(globals())
