"""A script that knows nothing of hyperhook: it takes flags, and prints a line of JSON behind each epoch.

It trains one hidden layer on scikit-learn's digits, and runs by itself, too: python train.py --lr=0.1 --width=64
"""

from __future__ import annotations

import argparse
import json
import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def main() -> None:
    """Train, and report the accuracy on the digits that were held back."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="adam")
    parser.add_argument("--momentum", type=float, default=0.0)
    given = parser.parse_args()

    warnings.simplefilter("ignore", ConvergenceWarning)
    data, labels = load_digits(return_X_y=True)
    x, x_val, y, y_val = train_test_split(data / 16, labels, random_state=0)
    model = MLPClassifier(
        given.width,
        solver=given.optimizer,
        learning_rate_init=given.lr,
        momentum=given.momentum,
        max_iter=1,
        warm_start=True,
        random_state=0,
    )
    for epoch in range(given.epochs):
        model.fit(x, y)
        reading = {"loss": model.loss_, "val_acc": model.score(x_val, y_val), "step": epoch, "epoch": epoch}
        print(json.dumps({"hyperhook": reading}))


if __name__ == "__main__":
    main()
