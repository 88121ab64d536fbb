#!/usr/bin/env bash
# A walk through clipcli. Run it in a folder with these example files and a folder `photos`:
#   bash walk.sh
set -euo pipefail

# The bundled model needs no download. It is small: for real photos leave --model out and take the default.
MODEL=tiny

# 1. A folder of photos and a list of words. The rows go to predictions.csv, one for each photo.
clipcli classify photos --labels labels.txt --model $MODEL

# 2. Labels with other names for the same thing and with descriptions; the two best labels of each photo, as JSON.
clipcli classify photos --labels labels.yaml --model $MODEL --top-k 2 --output best-two.jsonl

# 3. Prompts of one's own: a file, or a single template.
clipcli classify photos --labels aliases.csv --prompts my-prompts.yaml --model $MODEL --output mine.csv
clipcli classify photos --labels aliases.csv --prompts 'a snapshot of a {}.' --model $MODEL --output snapshot.csv

# 4. Class embeddings computed once, used anywhere. What was encoded above comes from the cache.
clipcli build-classifier --labels aliases.csv --model $MODEL --output classes.safetensors
clipcli classify photos --classifier classes.safetensors --output by-classifier.csv

# 5. Inputs from elsewhere: a quoted glob, a list, standard input. The rows of - go to standard output.
clipcli classify 'photos/**/c*.png' --labels labels.txt --model $MODEL --output globbed.csv
ls photos/*.png > list.txt
clipcli classify @list.txt --labels labels.txt --model $MODEL --output listed.csv
ls photos/*.png | clipcli classify - --labels labels.txt --model $MODEL --output - --quiet

# 6. What there is to choose from, and what the cache holds.
clipcli prompts
clipcli prompts pets
clipcli models tiny
clipcli cache
