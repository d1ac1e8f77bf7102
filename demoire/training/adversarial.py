"""A discriminator to train the restorer against, so that its pictures are as sharp as clean ones.

Pixel losses reward the mean of all pictures that might have been, which is blurred. The
discriminator is a PatchGAN (Isola et al., 2017) with spectral normalisation (Miyato et al., 2018):
a small CNN that says of every patch how much it looks like a clean picture. Its loss is
relativistic (Jolicoeur-Martineau, 2018), patch by patch: it has to find the clean twin more real
than the restored one, and the restorer wants it the other way round. The two twins show the same
place, so what tells them apart is not what they show.

It sees each with the input beside it. Alone, any detail that looks natural would please it,
invented detail too; beside the input it can see what stood there, and what is left of the pattern.

It is part of the training and of its checkpoints, never of the weights. With the default widths a
training step of the fast restorer takes three times as long as without.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from demoire.training.config import DiscriminatorConfig


class Discriminator(nn.Module):
    """Says of every patch of a candidate, seen beside the input, how real it looks.

    (N, 3, H, W) input and (N, 3, H, W) candidate, sRGB 0..1 -> (N, 1, H / 2^K, W / 2^K), where K is
    the number of widths; the values are any numbers. With the default three widths a patch is
    38 px wide.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((6, *widths)):
            layers += [
                spectral_norm(nn.Conv2d(narrow, wide, 4, stride=2, padding=1)),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1)))

    def forward(self, moire: Tensor, candidate: Tensor) -> Tensor:
        """Score the patches of `candidate`, which was made from `moire`."""
        scores: Tensor = self.layers(torch.cat([moire, candidate], dim=1) - 0.5)
        return scores


class Adversary:
    """The discriminator with its optimizer.

    `loss` is its part of the restorer's loss; `step` trains it on the same batch. In its first
    `warmup_steps` steps it learns and adds nothing: random scores would only do damage.
    """

    def __init__(self, config: DiscriminatorConfig, device: str) -> None:
        self._warmup_steps = config.warmup_steps
        # In evaluation mode except in `step`: in training mode every call changes the norms a
        # little.
        self._network = Discriminator(config.widths).to(device).eval()
        # Rate and betas of Isola et al., 2017, section 3.3: a momentum of 0.9 makes the two chase
        # each other.
        self._optimizer = torch.optim.Adam(
            self._network.parameters(), config.learning_rate, betas=(0.5, 0.999)
        )
        self._steps = 0
        self._batch: tuple[Tensor, Tensor, Tensor] | None = None

    def loss(self, moire: Tensor, restored: Tensor, clean: Tensor) -> Tensor:
        """How much less real than their clean twins the restored pictures look, as a scalar.

        Args:
            moire: The restorer's input, (N, 3, H, W) sRGB 0..1.
            restored: What it made of it.
            clean: The truth.
        """
        self._batch = moire, restored.detach(), clean
        if self._steps < self._warmup_steps:
            return restored.new_zeros(())
        self._network.requires_grad_(False)
        loss = F.softplus(self._network(moire, clean) - self._network(moire, restored)).mean()
        self._network.requires_grad_(True)
        return loss

    def step(self) -> float:
        """Train the discriminator on the batch that `loss` has seen.

        Returns:
            Its own loss, 0.69 where it cannot tell the two apart. A loss that is not finite changes
            no weight; the caller has to look at it.
        """
        assert self._batch is not None
        moire, restored, clean = self._batch
        self._network.train()
        # In one batch, so that both are scored under the same norms.
        both = self._network(torch.cat([moire, moire]), torch.cat([restored, clean]))
        self._network.eval()
        of_restored, of_clean = both.chunk(2)
        loss = F.softplus(of_restored - of_clean).mean()
        self._batch = None
        if loss.isfinite():
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._steps += 1
        return loss.item()

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on as if there had been no break."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state that `state_dict` gave."""
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._steps = state["steps"]
