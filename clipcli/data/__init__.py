"""Reads images with their labels or captions, from folders, tables, shards, zips and lists.

An input is a `Data`: the text that the user wrote. `kinds.kind_of` finds its row in the table `KINDS`, by trying each
kind in order. The kind gives a `Sample` for each image: where its bytes lie, and the folder, texts or cells that may
say what it shows. No image is read here. Three functions turn samples into what a command needs:

    list_images    classify             every image, as an `ImageItem`
    read_labelled  evaluate             every image with the name of its class, as a `Labelled`
    read_pairs     train and retrieval  every image with its captions, as a `Pair`

Three images on their way:

    photos/cats/1.jpg           kinds/folders.py                Sample with folder "cats" and the texts beside it
    row 3 of photos.csv         kinds/tables.py, tables/rows.py Sample with the cell of the label or caption column
    0001.jpg of shard-0.tar     kinds/shards.py, tars.py        Sample with the texts of its key, such as 0001.txt

`read_labelled` takes the class from the folder, the cell or the text (`class_names.py`); `read_pairs` takes captions
from the cell or the text (`captions.py`), or prompts of the folder's class. Whatever has no image, label or caption
stays in its place as `Skipped`, with the reason.
"""
