"""A callback that needs a secret."""

from lightning.pytorch import Callback


class Notify(Callback):
    """Would send a message when training ends."""

    def __init__(self, token: str, port: int = 1) -> None:
        """
        Args:
            token: The right to.
            port: Where to.
        """
        self.token, self.port = token, port

    def on_train_start(self, trainer, pl_module):
        assert self.token
        if self.port == 13:
            raise RuntimeError(f"cannot reach port 13 with {self.token}")
