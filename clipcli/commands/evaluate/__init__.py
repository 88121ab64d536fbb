"""`evaluate`: measures how well models label and retrieve images.

The way of a labelled image, module by module, to its row in `predictions.csv`:

- `settings` and `parsing` read the flags; `run` decides between labels and captions, and checks the output's folder;
  `task_settings` refuses what the task has no use for.
- `labels` reads everything before a model is loaded: the images of each DATA, the classes and the index of the image's
  true class (`classes`), and the training images of linear probes (`probes`).
- `models` opens the models and builds their classifiers, and `images` embeds the image with all of them, in one decode.
- `classification` scores the embedding against the classes of each classifier. The image is now a row of `Predictions`
  (`results`), its best classes with their scores. Over all rows it computes the metrics of a `Run`, with `calibration`
  and `intervals`.
- `probes` fits linear probes (`linear_probe`), and `comparison` computes the differences between runs.
- `output` writes the row to `predictions.csv`, and all metrics to `metrics.json` (`metrics_json`); `report` makes the
  HTML page, with metrics formatted as in `tables`.

An image with captions takes the same way, with `captions` in place of `labels` and `retrieval` in place of
`classification`.
"""
