"""Translators between hyperhook and other libraries, a module each.

Trackers show a trial's events in an outside system: `hyperhook_adapters.tensorboard`, `hyperhook_adapters.mlflow`,
`hyperhook_adapters.wandb`. Callbacks report a trainer's progress to a trial: `hyperhook_adapters.lightning`.
Samplers put suggesters into other libraries' searches: `hyperhook_adapters.optuna`.

Each module imports its library when it is first used, not before.
"""
