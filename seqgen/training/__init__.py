"""What training is: optimizers, schedules, losses, metrics and callbacks, by Keras's names."""
