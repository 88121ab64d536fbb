"""The logit bias of a model that had none, for SigLIP's loss: the one with the least loss for its first batch.

The bias of -10 that SigLIP begins with (Zhai et al. 2023) fits its scale of 10. A model of CLIP has one of 100, with
which most logits would be far above 0.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import torch
from torch import Tensor, nn

from clipcli.backbones.checkpoint import Architecture, Checkpoint
from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.batches import Batches
from clipcli.commands.train.gradient import Encoder, encode_batch
from clipcli.commands.train.loss import ContrastiveLoss, Features, Targets
from clipcli.commands.train.model import Trainee
from clipcli.commands.train.processes import Processes

# Images whose logits with all texts are looked at: enough for one number.
_MOST_ROWS = 512
_HALVINGS = 40


def with_fitting_bias(
    trainee: Trainee, start: Architecture, batches: Batches, *, runtime: Runtime, processes: Processes
) -> Trainee:
    """The trainee with its new bias fitted to the first batch; as it is where `start` had a bias or no weights."""
    bias = trainee.towers.logit_bias
    if bias is None or not isinstance(start, Checkpoint) or start.model_cfg.get("init_logit_bias") is not None:
        return trainee
    with closing(batches.start(0, end=1)) as first:
        batch = replace(next(first), mix=None).to(runtime.device)
    autocast = runtime.dtype if runtime.is_reduced else None
    trainee.train_mode()
    encoder = Encoder(trainee.towers, preprocessing=trainee.backbone.preprocessing, autocast=autocast)
    local = encode_batch(encoder, batch, micro_batch=trainee.config.micro_batch)
    loss = ContrastiveLoss("siglip", trainee.config.duplicates, trainee.config.negatives, processes)
    # The same rows in all processes, so that all find the same bias.
    gathered = Features(processes.gather(local.images), processes.gather(local.texts), local.logit_scale, None)
    groups = batch.groups.map(processes.gather)
    targets = loss.targets_of(groups.select(slice(_MOST_ROWS)), groups)
    fitted = fit_bias(gathered.logit_scale * gathered.images[:_MOST_ROWS] @ gathered.texts.T, targets)
    nn.init.constant_(bias, fitted)
    model_cfg = {**trainee.architecture.model_cfg, "init_logit_bias": fitted}
    return replace(trainee, architecture=replace(trainee.architecture, model_cfg=model_cfg))


def fit_bias(logits: Tensor, targets: Targets) -> float:
    """The bias with the least `siglip_loss` for logits `[b, B]` without one.

    It is where the sum of the probabilities is that of the right answers: the derivative of the loss, which rises with
    the bias.
    """
    ignored = targets.ignored(targets.texts)
    counts = torch.ones_like(logits, dtype=torch.bool) if ignored is None else ~ignored
    values, right = logits[counts].double(), targets.texts[counts].double().sum()
    share = (right / len(values)).clamp(1e-9, 1 - 1e-9)
    low, high = torch.logit(share) - values.max(), torch.logit(share) - values.min()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        too_high = torch.sigmoid(values + middle).sum() > right
        low, high = torch.where(too_high, low, middle), torch.where(too_high, middle, high)
    return float((low + high) / 2)
