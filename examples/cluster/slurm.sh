#!/bin/bash
# Label images with an array of jobs, a card each:
#   jobid=$(sbatch --parsable slurm.sh) && sbatch --dependency=afterok:$jobid --wrap "clipcli merge 'part-*-of-16.parquet' -o all.parquet"
# A task that failed is run again alone, with the same number of shards: sbatch --array=3,7 slurm.sh
# It costs a card and four processors an hour for each hour of each task; docs/cluster.md reckons how many.
#SBATCH --array=0-15
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=4
#SBATCH --time=12:00:00
#SBATCH --requeue
# auto/16 and not auto: an array of some of the tasks does not say how many there are in all.
clipcli classify "${PHOTOS:-photos}" --labels "${LABELS:-labels.txt}" --quiet \
    --shard auto/16 --output 'part-{shard}.parquet' --resume || test $? -eq 3
