"""`train`: contrastive training, from pairs to a model.

The way of one pair of an image and a caption, module by module:

- `settings`, `config_file` and `defaults` give the configuration of the run; `run` checks it and creates all parts.
- `data` lists all pairs. `order` decides, from the seed and the step alone, in which batch this one is.
- `batches` decodes the image with its random crop (`augment`, `trivial`, `cutmix`) and tokenizes the caption, ahead of
  the step, in threads. A pair whose image cannot be read goes to `skipped`.
- `session` passes the batch to the `trainer`, which takes the step: `gradient` encodes the pair with the towers of
  `model` and compares it with all others of the batch, by a function of `loss`; `optimizer` changes the weights. With
  several `processes`, each has a part of the batch.
- `session` logs the step (`step_meter`, `metrics_log`), looks for a loss that is no number (`divergence`) and for a
  model that has collapsed (`collapse`), validates it (`validation`) and saves checkpoints (`saving`, `checkpoints`) in
  the run's folder (`run_folder`). `identity` says if a run may go on from them.
- After the last step `finish` writes the model, mixed by `wise_ft` if that was asked for, and `report` the HTML page.
"""
