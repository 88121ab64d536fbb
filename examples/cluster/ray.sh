#!/bin/sh
# Label a folder on a Ray cluster; without an address one is started on this machine.
#   sh ray.sh photos labels.txt all.csv
#   sh ray.sh s3://bucket/photos labels.txt s3://bucket/all.parquet ray://head:10001
# All machines need clipcli, its model, and the photos below the same names. It costs the cluster for as long as the run
# goes, and starting Ray on one machine takes some 10 to 20 seconds; docs/cluster.md reckons the rest.
set -eu
clipcli classify "$1" --labels "$2" --model "${MODEL:-tiny}" --output "$3" --cluster "${4:-ray}" --resume || test $? -eq 3
