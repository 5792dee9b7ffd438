"""A script that only knows Weights & Biases: a small network learns the digits, an epoch at a time."""

import wandb
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

EPOCHS = 27


def main() -> None:
    """Train with what `wandb.config` says, and log each epoch."""
    with wandb.init(project="digits", config={"lr": 1e-3, "width": 32}) as run:
        images, labels = load_digits(return_X_y=True)
        train_x, val_x, train_y, val_y = train_test_split(images / 16, labels, random_state=0)
        model = MLPClassifier((run.config.width,), learning_rate_init=run.config.lr, random_state=0)
        for epoch in range(EPOCHS):
            model.partial_fit(train_x, train_y, classes=range(10))
            run.log({"loss": model.loss_, "val_acc": model.score(val_x, val_y), "epoch": epoch})


if __name__ == "__main__":
    main()
