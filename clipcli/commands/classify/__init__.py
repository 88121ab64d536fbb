"""`classify`: from images and labels to rows.

The way of one photo and one label to a row, function by function:

- `read_work` in `run.py` calls `read_prompted_classes`, and the label becomes a class with its prompts. It calls
  `list_images`, and the photo becomes an `ImageItem`: a name and a reference to its bytes.
- `provenance_of` records the settings, classes and images, for the manifest of the output. With `--resume`,
  `resume.check` compares that with the earlier rows; photos that have a row are not labelled again.
- `_label_images` calls `build`: the prompts become a class embedding, the label's row in a `Classifier`. Then `embed`
  reads, decodes and encodes the photo: an image embedding, in the `Embedded` of its batch.
- `score` compares both embeddings: the photo's score for the label, in `Scores`.
- `decide` chooses the best classes of the photo, and `to_rows` turns them into its `Row`.
- `run` yields the row in a `RowsReady`; the command line writes it to the output, the Python API returns it.

Embeddings that earlier runs have left in memory are taken from there, in `build` and `embed`.
"""
