"""A script that only knows MLflow: a small network learns the digits, an epoch at a time."""

import argparse

import mlflow
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

EPOCHS = 27


def main() -> None:
    """Train with what the command line says, and log each epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=32)
    options = parser.parse_args()
    images, labels = load_digits(return_X_y=True)
    train_x, val_x, train_y, val_y = train_test_split(images / 16, labels, random_state=0)
    model = MLPClassifier((options.width,), learning_rate_init=options.lr, random_state=0)
    with mlflow.start_run():
        mlflow.log_params(vars(options))
        for epoch in range(EPOCHS):
            model.partial_fit(train_x, train_y, classes=range(10))
            mlflow.log_metrics({"loss": model.loss_, "val_acc": model.score(val_x, val_y)}, step=epoch)


if __name__ == "__main__":
    main()
