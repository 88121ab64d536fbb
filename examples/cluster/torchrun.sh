#!/bin/sh
# Label a folder with a process a card, on one machine; for several machines give torchrun its --nnodes and --rdzv-endpoint.
#   sh torchrun.sh photos labels.txt all.csv 2
# The processes share nothing: torchrun starts them, and --shard auto takes RANK and WORLD_SIZE from it. It costs the
# machine for as long as its slowest process runs; docs/cluster.md reckons how long that is.
set -eu
photos=$1 labels=$2 output=$3 processes=$4 model=${MODEL:-tiny}
# Each process has the card of its number; without a card all use the processor.
export photos labels output model
# Code 3 says that some images could not be read. To torchrun it would be a failure, for which it stops all processes.
torchrun --nproc-per-node "$processes" --no-python sh -c '
    export CUDA_VISIBLE_DEVICES=${LOCAL_RANK}
    clipcli classify "$photos" --labels "$labels" --model "$model" --quiet \
        --shard auto --output "$output.{shard}.parquet" --resume || test $? -eq 3'
clipcli merge "$output.*-of-$processes.parquet" --output "$output" || test $? -eq 3
